"""What a report shows, gathered from run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from temporem.errors import TemporemError
from temporem.evaluation.api import alignment, require_made_from
from temporem.evaluation.poses import into_frame
from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.io.json_file import read_json_lines
from temporem.io.settings import validate_settings
from temporem.report.content import ReportDataset, ReportRun, ReportTruth
from temporem.runs.pose_state import starts_alike
from temporem.runs.run_files import METRICS_NAME, START_METRICS_NAME, Run, load_run
from temporem.simulation.truth import Truth, read_truth_of

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
    names = run_names(paths)
    runs = [load_run(path) for path in paths]
    movies = read_dataset(dataset or runs[0].config.dataset)
    for run in runs:
        require_made_from(run, movies)
    truth = read_truth_of(movies) if (movies.path / "truth").is_dir() else None
    shown = _shown_rows(movies)
    reported = [_run(run, name, shown, truth) for run, name in zip(runs, names, strict=True)]
    return _dataset(movies, truth, shown), reported


def run_names(paths: Sequence[str | Path]) -> list[str]:
    """What to call runs: the name of the folder, or its path where two have the same name.

    Raises:
        TemporemError: two paths lead to one folder.
    """
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise TemporemError("a run is named twice", expected="different RUN folders")
    names = [Path(path).resolve().name for path in paths]
    return [
        name if names.count(name) == 1 else str(path)
        for name, path in zip(names, paths, strict=True)
    ]


class _Agreement(BaseModel):
    model_config = ConfigDict(strict=True)

    components_found: int = Field(ge=0, lt=2**31)
    correlations: list[float]
    chance: list[float]
    chance_sd: list[float]

    @model_validator(mode="after")
    def _of_one_length(self) -> _Agreement:
        if not len(self.correlations) == len(self.chance) == len(self.chance_sd):
            raise ValueError("lists must be of one length")
        return self


class _Record(BaseModel):
    """A record of ``metrics.jsonl``: what is read anywhere, where it is there."""

    model_config = ConfigDict(strict=True)

    stage: str = ""
    epoch: int = Field(0, ge=0, lt=2**53)
    step: int = Field(0, ge=0, lt=2**53)
    seconds: float = Field(0, ge=0, allow_inf_nan=False)
    log_likelihood: float = Field(0, allow_inf_nan=False)
    kl: float = Field(0, allow_inf_nan=False)
    components: int = Field(0, ge=0, lt=2**31)
    half_fsc: list[float] | list[list[float]] = []
    half_agreement: _Agreement | None = None


def read_metrics(run: Path, name: str = METRICS_NAME) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, or of another file; none where there is no such file."""
    path = run / name
    if not path.is_file():
        return []
    records = read_json_lines(path)
    for number, record in enumerate(records, start=1):
        validate_settings(_Record, record, source=f"{path} record {number}")
    return records


def half_agreement(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What halves of the movies find alone, of the records of a linear model; None where unseen."""
    return next((r["half_agreement"] for r in records if "half_agreement" in r), None)


def last_metric(run: Path, name: str) -> Any:
    """The last value that ``metrics.jsonl`` has under a name."""
    for record in reversed(read_metrics(run)):
        if name in record:
            return record[name]
    raise TemporemError(f"{run / METRICS_NAME} has no record of {name}")


def _shown_rows(dataset: Dataset) -> np.ndarray:
    """Rows spread over the longest movie."""
    movie = max(dataset.movies, key=len)
    spread = np.linspace(0, len(movie) - 1, min(SHOWN_FRAMES, len(movie)))
    return movie[spread.round().astype(int)]


def _dataset(dataset: Dataset, truth: Truth | None, shown: np.ndarray) -> ReportDataset:
    facts = {"Image": f"{dataset.box} × {dataset.box} pixels of {dataset.pixel_size_angstrom:g} Å"}
    reported = None
    if truth is not None:
        facts |= {
            "Molecule": truth.config.structure,
            "Signal-to-noise ratio": f"{truth.config.snr:g}",
        }
        reported = ReportTruth(
            volumes=truth.support.ifft(truth.volumes(shown)).numpy(),
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
    agreement = half_agreement([*metrics, *read_metrics(run.path, START_METRICS_NAME)])
    return ReportRun(
        name=name,
        method=run.config.method,
        config=run.config.model_dump(mode="json"),
        volumes=volumes,
        latents=run.latents,
        metrics=metrics,
        evaluation=load_evaluation(run.path) if evaluated else None,
        seconds=metrics[-1].get("seconds") if metrics else None,
        components_found=None if agreement is None else agreement["components_found"],
        starts_alike=starts_alike(run.path),
    )
