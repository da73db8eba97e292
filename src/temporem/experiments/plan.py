"""The parts of an experiment, and the folders where finished ones are found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporem import __version__
from temporem.errors import TemporemError
from temporem.evaluation.settings import Align
from temporem.evaluation.storage import FORMAT, SUMMARY_NAME
from temporem.experiments.config import Experiment, MethodEntry
from temporem.io.settings import apply_changes
from temporem.runs.config import RunConfig, build_config
from temporem.simulation.config import SimulationConfig
from temporem.simulation.presets import load_simulation_config


@dataclass(frozen=True)
class DatasetPart:
    """A dataset of one seed.

    Attributes:
        name: in the experiment.
        seed: of the simulation.
        config: complete.
        folder: where it is, or is to be; named by what is simulated.
    """

    name: str
    seed: int
    config: SimulationConfig
    folder: Path


@dataclass(frozen=True)
class ResultPart:
    """A method on a dataset.

    Attributes:
        dataset: what it is given.
        method: in the experiment.
        entry: the kind, and the command of a program.
        config: of a reconstruction, with its seed and without its dataset; None for other kinds.
        every: evaluate every N-th frame of each movie.
        align: what is aligned as one, where poses were found.
        folder: where it is, or is to be; named by all that decides its content, which the names
            in the experiment do not: methods that are the same are run once.
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
        """True once it was evaluated."""
        return (self.folder / SUMMARY_NAME).is_file()


@dataclass(frozen=True)
class Plan:
    """All parts, seed after seed, so that the first seed gives a whole table early."""

    datasets: Sequence[DatasetPart]
    results: Sequence[ResultPart]

    def of(self, dataset: str, method: str) -> list[ResultPart]:
        """Results of all seeds."""
        return [p for p in self.results if (p.dataset.name, p.method) == (dataset, method)]


def make_plan(experiment: Experiment, folder: Path, *, peer: Path | None = None) -> Plan:
    """Check all settings and name all folders; nothing is run or written.

    Args:
        experiment: what to do.
        folder: of the experiment.
        peer: virtual environment of programs; without it they are left out.

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
        f"{whose}: {name} is the experiment's to set", hint="leave it out of the settings"
    )


def _require_same_movies(results: Sequence[ResultPart]) -> None:
    """Methods are compared frame by frame, those held out marked; all must hold out the same."""
    first: dict[Path, tuple[str, float]] = {}
    for part in results:
        fraction = 0.0 if part.config is None else part.config.data.held_out_fraction
        method, expected = first.setdefault(part.dataset.folder, (part.method, fraction))
        if fraction != expected:
            raise TemporemError(
                f"method {part.method}: data.held_out_fraction is {fraction:g}",
                expected=f"{expected:g}, as for {method}: methods are compared on the same frames",
            )


def _key(content: dict[str, Any]) -> str:
    """Ten digits that change with the content or the version."""
    text = json.dumps({"temporem": __version__, **content}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
