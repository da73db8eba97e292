"""What the documentation says of settings is what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from temporem.models.config import ModelConfig
from temporem.training.config import DataConfig, LinearConfig, PosesConfig, TrainingConfig

SETTINGS = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("model", ModelConfig),
        ("training", TrainingConfig),
        ("linear", LinearConfig),
        ("data", DataConfig),
        ("poses", PosesConfig),
    ],
)
def test_every_setting_is_documented_with_its_meaning(section: str, model: type[BaseModel]) -> None:
    documented = [line.split("`")[1] for line in SETTINGS.splitlines() if line.startswith("| `")]
    ours = [name for name in documented if name.startswith(f"{section}.")]
    assert ours == [f"{section}.{key}" for key in model.model_fields]
    for key, field in model.model_fields.items():
        assert f"`{section}.{key}` |" in SETTINGS
        assert f"| {field.description} |" in SETTINGS


def test_documented_defaults_are_the_defaults() -> None:
    rows = [line.split(" | ") for line in SETTINGS.splitlines() if line.startswith("| `")]
    stated = {row[0].split("`")[1]: row[1] for row in rows}
    assert float(stated["training.learning_rate"]) == TrainingConfig().learning_rate
    assert int(stated["training.epochs"]) == TrainingConfig().epochs
    assert stated["model.prior"] == ModelConfig().prior
    assert stated["model.encoder_input"] == ModelConfig().encoder_input
