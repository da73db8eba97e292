"""Differences in motion correlation between the methods of a finished experiment, pair by pair.

``python -m benchmarks.paired FOLDER`` reads the folder of ``temporem experiment`` and prints a
table; ``--csv FILE`` also writes it. A difference is that to the baseline on the same movies. Its
interval over movies is a paired bootstrap of the first seed; that over seeds is Student's.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from temporem.evaluation.metrics.motion import MotionSums
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.experiments.config import load_experiment
from temporem.experiments.execute import TIME_NAME
from temporem.experiments.measures import over_seeds
from temporem.experiments.plan import Plan, ResultPart, make_plan

_COLUMNS = (
    *("dataset", "method", "seeds", "motion", "difference", "movies_low", "movies_high"),
    *("seeds_low", "seeds_high", "processor_ratio", "latent_r2", "blank_r2"),
)


def motion(part: ResultPart) -> tuple[float, np.ndarray, MovieBootstrap]:
    """Motion correlation in the whole box, and that of the same draws of movies for all."""
    arrays = np.load(part.folder / "evaluation.npz", allow_pickle=False)
    names = ("cross", "power", "truth_power")
    sums = MotionSums(*(arrays[f"motion/unmasked/{name}"] for name in names))
    bootstrap = MovieBootstrap(arrays["movie"], BootstrapSettings())
    return float(sums.correlation()), sums.correlation(bootstrap.weights), bootstrap


def processor_seconds(part: ResultPart) -> float:
    """Time of a reconstruction; NaN where a stop made it unknown."""
    file = part.folder / TIME_NAME
    return json.loads(file.read_text())["processor_seconds"] if file.is_file() else float("nan")


def r2_of(part: ResultPart) -> tuple[float, float]:
    """Latent R² with images, and with blank ones."""
    arrays = np.load(part.folder / "evaluation.npz", allow_pickle=False)
    found = [name for name in arrays.files if name.startswith("counting/")]
    values = {name.rsplit("/", 1)[1]: float(arrays[name]) for name in found}
    return values.get("r2", float("nan")), values.get("blank_r2", float("nan"))


def rows(plan: Plan, datasets: Sequence[str], methods: Sequence[str], baseline: str) -> list[list]:
    """One row for each dataset and method, values as in ``_COLUMNS``."""
    table = []
    for dataset in datasets:
        known = {p.dataset.seed: p for p in plan.of(dataset, baseline) if p.finished}
        for method in methods:
            parts = [p for p in plan.of(dataset, method) if p.finished and p.dataset.seed in known]
            if not parts:
                continue
            pairs = [(motion(part), motion(known[part.dataset.seed])) for part in parts]
            gains = [one[0] - other[0] for one, other in pairs]
            low, high = np.percentile(pairs[0][0][1] - pairs[0][1][1], [2.5, 97.5])
            interval = over_seeds(gains)
            assert interval is not None
            ratio = np.mean(
                [processor_seconds(p) / processor_seconds(known[p.dataset.seed]) for p in parts]
            )
            r2 = np.mean([r2_of(part) for part in parts], axis=0)
            mean = np.mean([one[0] for one, _ in pairs])
            numbers = [mean, np.mean(gains), low, high, interval.low, interval.high, ratio, *r2]
            seeds = " ".join(str(part.dataset.seed) for part in parts)
            table.append([dataset, method, seeds, *(_rounded(value) for value in numbers)])
    return table


def _rounded(value: float | None) -> float | str:
    return "" if value is None or not np.isfinite(value) else round(float(value), 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paired", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    experiment = load_experiment(str(options.folder / "experiment.yaml"))
    plan = make_plan(experiment, options.folder, peer=options.folder)
    table = rows(plan, [*experiment.datasets], [*experiment.methods], experiment.baseline)
    for row in [_COLUMNS, *table]:
        print("\t".join(map(str, row)))
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([_COLUMNS, *table])
    return 0


if __name__ == "__main__":
    sys.exit(main())
