"""What a report shows, gathered from run folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from temporem.analysis.poses import into_frame
from temporem.analysis.run_evaluation import alignment
from temporem.analysis.storage import SUMMARY_NAME, load_evaluation
from temporem.data.dataset import MovieDataset, read_dataset
from temporem.data.truth import Truth, read_truth_of
from temporem.errors import TemporemError
from temporem.report.content import ReportDataset, ReportRun, ReportTruth
from temporem.training.run_files import METRICS_NAME, Run, load_run

SHOWN_FRAMES = 6
"""Frames of one movie whose volumes are shown."""


def collect(
    paths: Sequence[str | Path], dataset: str | Path | None = None
) -> tuple[ReportDataset, list[ReportRun]]:
    """Read runs of one dataset, and the dataset.

    Args:
        paths: finished runs.
        dataset: the dataset, where it is not at the place that the first run names.

    Raises:
        TemporemError: a run or the dataset cannot be read, or the runs are of different frames.
    """
    if not paths:
        raise TemporemError("no run to report on", hint="name at least one RUN directory")
    runs = [load_run(path) for path in paths]
    movies = read_dataset(dataset or runs[0].config.dataset)
    for run in runs:
        run.require_frames_of(movies)
    truth = read_truth_of(movies) if (movies.path / "truth").is_dir() else None
    shown = _shown_rows(movies)
    reported = [
        _run(run, name, shown, truth) for run, name in zip(runs, run_names(paths), strict=True)
    ]
    return _dataset(movies, truth, shown), reported


def run_names(paths: Sequence[str | Path]) -> list[str]:
    """What to call runs: the name of the folder, or its path where two have the same name."""
    names = [Path(path).resolve().name for path in paths]
    return [
        name if names.count(name) == 1 else str(path)
        for name, path in zip(names, paths, strict=True)
    ]


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, none where there is no such file."""
    path = run / METRICS_NAME
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise TemporemError(f"{path}: not readable ({error})") from None


def _shown_rows(dataset: MovieDataset) -> np.ndarray:
    """Rows spread over the longest movie."""
    movie = max(dataset.movies, key=len)
    spread = np.linspace(0, len(movie) - 1, min(SHOWN_FRAMES, len(movie)))
    return movie[spread.round().astype(int)]


def _dataset(dataset: MovieDataset, truth: Truth | None, shown: np.ndarray) -> ReportDataset:
    facts = {"Image": f"{dataset.box} × {dataset.box} pixels of {dataset.pixel_size_angstrom:g} Å"}
    reported = None
    if truth is not None:
        facts |= {
            "Molecule": truth.config.structure,
            "Signal-to-noise ratio": f"{truth.config.snr:g}",
        }
        reported = ReportTruth(
            volumes=truth.support.synthesise(truth.volumes(shown)).numpy(),
            parameter_name=truth.parameter_names[0],
            parameter=truth.parameters[:, 0].numpy(),
            states=truth.states,
        )
    return ReportDataset(
        name=dataset.path.resolve().name,
        facts=facts,
        movies=dataset.movies,
        frame_numbers=dataset.frame_numbers,
        shown_rows=shown,
        images=np.array(dataset.images[shown]),
        image_labels=[f"frame {dataset.frame_numbers[row]}" for row in shown],
        truth=reported,
    )


def _run(run: Run, name: str, shown: np.ndarray, truth: Truth | None) -> ReportRun:
    metrics = read_metrics(run.path)
    volumes = run.voxels(shown)
    change = None if truth is None else alignment(run, truth)
    if change is not None:
        volumes = into_frame(volumes, change, run.grid.pixel_size_angstrom)
    evaluated = (run.path / SUMMARY_NAME).is_file()
    return ReportRun(
        name=name,
        method=run.config.method,
        config=run.config.model_dump(mode="json"),
        volumes=volumes,
        latents=run.latents,
        metrics=metrics,
        evaluation=load_evaluation(run.path) if evaluated else None,
        seconds=metrics[-1].get("seconds") if metrics else None,
    )
