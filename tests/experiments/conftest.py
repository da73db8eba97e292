"""An experiment that was run, which many tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.experiments import write_experiment
from temporem.experiments.config import load_experiment
from temporem.experiments.execute import Datasets, make_result
from temporem.experiments.outcome import write_outcome
from temporem.experiments.plan import make_plan
from temporem.progress import Progress


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """Folder of the small experiment with two seeds, and its file."""
    folder = tmp_path_factory.mktemp("experiment")
    file = write_experiment(folder / "small.yaml")
    experiment = load_experiment(file)
    plan = make_plan(experiment, folder / "out")
    datasets = Datasets(None)
    for dataset in plan.datasets:
        datasets.make(dataset, Progress())
    for result in plan.results:
        make_result(result, None, Progress())
    write_outcome(experiment, plan, folder / "out", ["A note."])
    return folder / "out", file
