"""What a command says of a finished run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from temporem.cli.findings import warn_of_lost_motion, warn_of_symmetry
from temporem.poses.symmetry import Symmetry


def run_that_ended_with(folder: Path, kl: float, **settings: object) -> Path:
    """A run folder with a configuration and the log of its last epoch."""
    config = {"dataset": "movies", "method": "tempor", **settings}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    records = [
        {"part": "network", "epoch": 1, "kl": 2.0},
        {"part": "network", "epoch": 2, "kl": kl},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def test_latents_that_say_nothing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_lost_motion(run_that_ended_with(tmp_path, 0.01, model={"generator": "cloud"}))
    said = " ".join(capsys.readouterr().out.split())
    assert "the motion was lost" in said
    assert "0.01 nats per frame" in said
    assert "--generator volumes, or --method linear" in said


@pytest.mark.parametrize(("kl", "method"), [(0.3, "tempor"), (0.0, "clock"), (0.0, "linear")])
def test_other_runs_are_not_blamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kl: float, method: str
) -> None:
    warn_of_lost_motion(run_that_ended_with(tmp_path, kl, method=method))
    assert "lost" not in capsys.readouterr().out


@pytest.mark.parametrize(("agreement", "words"), [(0.9, "looks nearly"), (0.99, "looks the same")])
def test_a_molecule_that_is_nearly_symmetric_is_not_called_symmetric(
    agreement, words, capsys, monkeypatch, tmp_path
) -> None:
    threefold = Symmetry(3, False, (0.0, 0.0, 1.0), agreement)
    facts = SimpleNamespace(found_symmetry=threefold)
    monkeypatch.setattr("temporem.runs.facts.read_facts", lambda run: facts)
    warn_of_symmetry(tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert words in printed
    assert "If the molecule has this symmetry, that is no error" in printed
