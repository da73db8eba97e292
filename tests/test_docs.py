"""What the documentation says of settings is what the code does."""

from __future__ import annotations

import re
import textwrap
import typing
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from temporem.dvae.config import ModelConfig

from temporem.evaluation.storage import load_evaluation
from temporem.evaluation.values import value_of
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_stack
from temporem.io.star import Table, read_star, write_star
from temporem.runs.config import (
    DataConfig,
    LinearConfig,
    PosesConfig,
    RunConfig,
    TrainingConfig,
)
from temporem.simulation.config import SimulationConfig
from temporem.simulation.truth import read_truth

DOCS = Path(__file__).parent.parent / "docs"
SETTINGS = (DOCS / "settings.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "model": ModelConfig,
    "training": TrainingConfig,
    "linear": LinearConfig,
    "data": DataConfig,
    "poses": PosesConfig,
}


def rows() -> dict[str, list[str]]:
    """Default, values and meaning of every documented setting."""
    lines = [line for line in SETTINGS.splitlines() if line.startswith("| `")]
    cells = [line.removesuffix(" |").split(" | ") for line in lines]
    return {first.split("`")[1]: rest for first, *rest in cells}


def values(field: FieldInfo) -> str:
    """What a setting may be, as it is documented: words, or bounds of a number."""
    if words := words_of(field.annotation):
        return ", ".join([*words, *["a number"] * (float in typing.get_args(field.annotation))])
    found = {type(bound).__name__: bound for bound in field.metadata}
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    return ", ".join(
        f"{sign} {getattr(found[name], name.lower()):g}"
        for name, sign in signs.items()
        if name in found
    )


def words_of(annotation: object) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [word for part in typing.get_args(annotation) for word in words_of(part)]


def test_every_section_and_setting_of_a_run_is_documented() -> None:
    documented = rows()
    expected = []
    for name, field in RunConfig.model_fields.items():
        section = SECTIONS.get(name)
        expected += [f"{name}.{key}" for key in section.model_fields] if section else [name]
        assert (section is None) == (not isinstance(field.default, BaseModel))
    assert list(documented) == expected


@pytest.mark.parametrize("section", SECTIONS)
def test_meaning_and_values_are_those_of_the_code(section: str) -> None:
    documented = rows()
    for key, field in SECTIONS[section].model_fields.items():
        _, allowed, meaning = documented[f"{section}.{key}"]
        assert meaning == field.description
        assert allowed.strip() == values(field), key


def test_documented_defaults_are_the_defaults() -> None:
    for name, (default, _, _) in rows().items():
        section, _, key = name.rpartition(".")
        if not section:
            continue
        actual = SECTIONS[section].model_fields[key].default
        if actual is None:
            assert default == "automatic", name
        elif isinstance(actual, bool):
            assert default == str(actual).lower(), name
        elif isinstance(actual, (int, float)):
            assert float(default) == actual, name
        else:
            assert default == (str(list(actual)) if isinstance(actual, tuple) else actual), name


def test_configurations_of_simulations_are_accepted() -> None:
    """The complete one as it stands, those of other motions with what it has besides."""
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    complete = blocks[0]
    kinds = {SimulationConfig.model_validate(complete | block).motion.kind for block in blocks}
    assert kinds == {"hinge", "trajectory", "morph", "pulled"}


def program(page: str) -> str:
    """The Python that a page shows."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return textwrap.dedent(block)


def test_a_relion_project_with_a_stack_for_every_molecule_becomes_a_dataset(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the program of data.md, with columns and tables that are none of our business."""
    expected = read_dataset(tiny_dataset)
    tables = read_star(tiny_dataset / "particles.star")
    columns = dict(tables["particles"])
    del columns["rlnParticleName"], columns["rlnMovieFrameNumber"]
    columns["rlnCoordinateX"] = [str(i) for i in range(expected.n_frames)]
    names = np.empty(expected.n_frames, dtype=object)
    (tmp_path / "Extract").mkdir()
    for movie, rows in enumerate(expected.movies):
        write_stack(tmp_path / f"Extract/{movie}.mrcs", [expected.images[rows]], 8.0)
        names[rows] = [f"{i:06d}@Extract/{movie}.mrcs" for i in range(1, len(rows) + 1)]
    columns["rlnImageName"] = list(names)
    others = {"general": Table({"rlnTomoName": ["none"]})}
    write_star(tmp_path / "particles.star", tables | others | {"particles": Table(columns)})
    monkeypatch.chdir(tmp_path)
    exec(program("data.md"), {})
    found = read_dataset(tmp_path)
    assert [rows.tolist() for rows in found.movies] == [r.tolist() for r in expected.movies]
    rows = np.arange(expected.n_frames)
    np.testing.assert_array_equal(found.images[rows], expected.images[rows])
    assert "rlnCoordinateX" in read_star(tmp_path / "particles.star")["particles"]


def test_volumes_of_any_program_can_be_evaluated(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the program of evaluation.md, with the true volumes as somebody's."""
    truth = read_truth(tiny_dataset)
    (tmp_path / "movies").symlink_to(tiny_dataset)
    (tmp_path / "my-results").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(
        program("evaluation.md"),
        {"my_volumes": lambda r: truth.support.ifft(truth.volumes(r))},
    )
    found = load_evaluation(tmp_path / "my-results")
    assert value_of(found, "fsc", "auc", "unmasked") > 0.999
