"""Collection of a report's content from run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from temporem.errors import TemporemError
from temporem.evaluation.api import alignment, require_made_from
from temporem.evaluation.poses import into_frame
from temporem.evaluation.storage import SUMMARY_NAME, load_evaluation
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.io.settings import validate_settings
from temporem.kinetics.storage import load_kinetics
from temporem.report import knowledge
from temporem.report.content import ReportDataset, ReportRun, ReportTruth
from temporem.runs.frames_table import ANGLE_SD, numeric_columns
from temporem.runs.methods import linear, network
from temporem.runs.names import METRICS
from temporem.runs.persistence import read_metrics
from temporem.runs.run import Run, load_run
from temporem.simulation.truth import Truth, read_truth_of
from temporem.validation.compare import stored_validation

SHOWN_FRAMES = 6
"""Frames of one movie whose volumes are shown."""


def collect(
    paths: Sequence[str | Path], dataset: str | Path | None = None, *, residuals: bool = True
) -> tuple[ReportDataset, list[ReportRun]]:
    """Read runs of one dataset, and the dataset.

    Args:
        paths: finished runs.
        dataset: the dataset, if it is no longer where the first run says.
        residuals: measure what the volumes leave of the images, which reads all images, and local
            resolution.

    Raises:
        TemporemError: a run or the dataset cannot be read, or the runs are not of the same frames.
    """
    if not paths:
        raise TemporemError("no run to report on", hint="name at least one RUN folder")
    names = run_names(paths)
    runs = [load_run(path) for path in paths]
    movies = read_dataset(dataset or runs[0].config.dataset)
    for run in runs:
        require_made_from(run, movies)
    truth = read_truth_of(movies) if (movies.path / "truth").is_dir() else None
    shown = _shown_rows(movies)
    reported = [
        _run(run, name, str(path), shown, truth, movies, residuals=residuals)
        for run, name, path in zip(runs, names, paths, strict=True)
    ]
    return _dataset(movies, truth, shown), reported


def run_names(paths: Sequence[str | Path]) -> list[str]:
    """Name runs by their folders, or by their paths where two folders have one name.

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


class _Record(BaseModel):
    """Numbers of a log line that a report shows, where the line has them."""

    model_config = ConfigDict(strict=True)

    part: str = ""
    stage: str = ""
    epoch: int = Field(0, ge=0, lt=2**53)
    step: int = Field(0, ge=0, lt=2**53)
    seconds: float = Field(0, ge=0, allow_inf_nan=False)
    log_likelihood: FiniteFloat = 0
    kl: FiniteFloat = 0
    held_out_log_likelihood: list[FiniteFloat] = []
    objective: FiniteFloat = 0
    n_pixels: int = Field(1, ge=1, lt=2**53)
    half_fsc: list[FiniteFloat] | list[list[FiniteFloat]] = []


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
        pixel_size_angstrom=dataset.pixel_size_angstrom,
        movie_names=[dataset.particle_names[movie[0]] for movie in dataset.movies],
        times_seconds=dataset.times_seconds,
        path=str(dataset.path),
        truth=reported,
    )


def _run(
    run: Run,
    name: str,
    path: str,
    shown: np.ndarray,
    truth: Truth | None,
    dataset: Dataset,
    *,
    residuals: bool,
) -> ReportRun:
    log = _checked_log(run.path)
    metrics = _lines(log, network.PART) or _lines(log, linear.PART)
    change = None if truth is None else alignment(run, truth)

    def placed(rows: np.ndarray) -> np.ndarray:
        volumes = run.voxels(rows)
        if change is None:
            return volumes
        return into_frame(volumes, change, run.grid.pixel_size_angstrom)

    along = knowledge.path_rows(run)
    evaluated = (run.path / SUMMARY_NAME).is_file()
    agreement = run.facts.half_agreement
    found_poses = run.config.searches_poses or run.config.learned_poses != "none"
    return ReportRun(
        name=name,
        method=run.config.method,
        config=run.config.model_dump(mode="json"),
        volumes=placed(shown),
        latents=run.latents,
        latent_covariance=run.latent_covariance,
        path_volumes=None if along is None else placed(along),
        ends=knowledge.ends_of(run),
        log=log,
        metrics=metrics,
        evaluation=load_evaluation(run.path) if evaluated else None,
        seconds=_seconds(log),
        components_found=None if agreement is None else agreement.components_found,
        components=None if agreement is None else len(agreement.correlations),
        doubtful_components=run.facts.doubtful_components,
        starts_alike=run.facts.starts_alike,
        found_poses=found_poses,
        angle_sd_degrees=numeric_columns(run.path).get(ANGLE_SD) if found_poses else None,
        half_fsc=knowledge.half_fsc_of(run, log),
        local_resolution=knowledge.local_resolution_of(run) if residuals else {},
        coverage=knowledge.coverage_of(run),
        cloud_motion=knowledge.cloud_motion_of(run),
        residuals=knowledge.residuals_of(run, dataset, shown) if residuals else None,
        data_warnings=run.facts.data_warnings,
        validation=stored_validation(run.path),
        kinetics=load_kinetics(run.path),
        path=path,
    )


def _checked_log(run: Path) -> list[dict[str, Any]]:
    records = read_metrics(run)
    for number, record in enumerate(records, start=1):
        validate_settings(_Record, record, source=f"{run / METRICS} record {number}")
    return records


def _lines(log: Sequence[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [record for record in log if record.get("part") == part]


def _seconds(log: Sequence[dict[str, Any]]) -> float | None:
    """Time of all parts of a run; each line has the time since its part began."""
    last = {str(record.get("part")): record["seconds"] for record in log if "seconds" in record}
    return sum(last.values()) if last else None
