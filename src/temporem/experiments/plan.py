"""The parts of an experiment and their folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.evaluation.settings import Align
from temporem.evaluation.storage import FORMAT, SUMMARY_NAME
from temporem.experiments.config import Experiment, MethodEntry
from temporem.io.settings import apply_changes
from temporem.runs.config import RunConfig, build_config
from temporem.simulation.config import SimulationConfig
from temporem.simulation.presets import load_simulation_config
from temporem.version import __version__


@dataclass(frozen=True)
class DatasetPart:
    """A dataset of one seed.

    Attributes:
        name: name in the experiment.
        seed: seed of the simulation.
        config: settings, complete.
        folder: where the dataset is or will be; its name follows from the settings.
    """

    name: str
    seed: int
    config: SimulationConfig
    folder: Path


@dataclass(frozen=True)
class ResultPart:
    """A method on a dataset.

    Attributes:
        dataset: the input.
        method: name in the experiment.
        entry: the kind, and the command of a program.
        config: settings of a reconstruction, with its seed and without its dataset; None for other
            kinds.
        every: evaluate every N-th frame of every movie.
        align: how poses that were found are aligned.
        folder: where the result is or will be. Its name follows from everything that decides the
            content; names in the experiment do not, so that equal methods run once.
    """

    dataset: DatasetPart
    method: str
    entry: MethodEntry
    config: RunConfig | None
    every: int
    align: Align
    folder: Path

    @property
    def finished(self) -> bool:
        """True if the result has been evaluated."""
        return (self.folder / SUMMARY_NAME).is_file()


@dataclass(frozen=True)
class Plan:
    """All parts of an experiment, seed after seed: the first seed fills all tables early."""

    datasets: Sequence[DatasetPart]
    results: Sequence[ResultPart]

    def of(self, dataset: str, method: str) -> list[ResultPart]:
        """Results of a method on a dataset, one for every seed."""
        return [p for p in self.results if (p.dataset.name, p.method) == (dataset, method)]


def make_plan(experiment: Experiment, folder: Path, *, peer: Path | None = None) -> Plan:
    """Check all settings and name all folders, without running or writing anything.

    Args:
        experiment: datasets, methods and seeds.
        folder: folder of the experiment.
        peer: virtual environment of programs; None leaves programs out.

    Raises:
        TemporemError: a setting of a dataset or method is unknown or bad.
    """
    datasets, results = [], []
    for seed in experiment.seeds:
        for name, entry in experiment.datasets.items():
            if "seed" in entry.settings:
                raise _reserved(f"dataset {name}", "seed")
            changes = {**entry.settings, "seed": seed}
            simulation = load_simulation_config(entry.preset, changes=changes)
            key = _key(simulation.model_dump(mode="json"))
            kind = Path(entry.preset).stem
            dataset = DatasetPart(
                name, seed, simulation, folder / "datasets" / f"{kind}-seed{seed}-{key}"
            )
            datasets.append(dataset)
            for method, how in experiment.methods.items():
                if how.kind == "program" and peer is None:
                    continue
                results.append(_result(folder, dataset, method, how, experiment))
    _require_same_movies(results)
    return Plan(datasets, results)


def _result(
    folder: Path,
    dataset: DatasetPart,
    method: str,
    entry: MethodEntry,
    experiment: Experiment,
) -> ResultPart:
    config = None
    if entry.kind == "run":
        settings = apply_changes({}, entry.settings, source=f"method {method}")
        if reserved := {"dataset", "seed"} & settings.keys():
            raise _reserved(f"method {method}", reserved.pop())
        config = build_config(settings | {"seed": dataset.seed}, source=f"method {method}")
    content = {
        "dataset": dataset.folder.name,
        "entry": entry.model_dump(mode="json", exclude={"value", "settings"}),
        "config": None if config is None else config.model_dump(mode="json"),
        "every": experiment.every,
        "align": experiment.align,
        "evaluation": FORMAT,
    }
    kind = entry.kind if config is None else config.method
    path = folder / "results" / dataset.folder.name / f"{kind}-{_key(content)}"
    return ResultPart(dataset, method, entry, config, experiment.every, experiment.align, path)


def _reserved(whose: str, name: str) -> TemporemError:
    return TemporemError(
        f"{whose}: the experiment sets {name} itself", hint="leave it out of the settings"
    )


def _require_same_movies(results: Sequence[ResultPart]) -> None:
    """Refuse methods with different held-out movies: frames could not be compared."""
    first: dict[Path, tuple[str, float]] = {}
    for part in results:
        fraction = 0.0 if part.config is None else part.config.data.held_out_fraction
        method, expected = first.setdefault(part.dataset.folder, (part.method, fraction))
        if fraction != expected:
            raise TemporemError(
                f"method {part.method}: data.held_out_fraction is {fraction:g}",
                expected=f"{expected:g}, as for {method}: methods must share their frames",
            )


def _key(content: dict[str, Any]) -> str:
    """Make ten digits that change with the content and the version of the program."""
    text = json.dumps({"temporem": __version__, **content}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
