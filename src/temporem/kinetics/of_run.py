"""Kinetics of a run, from what its single frames say about a coordinate of its latents."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.frames.intervals import frame_intervals, movie_clock
from temporem.io.checkpoint import load_checkpoint
from temporem.kinetics.frames_alone import along_axis, information_alone
from temporem.kinetics.measurements import Coordinate, Measurements
from temporem.kinetics.path import principal_path
from temporem.kinetics.study import Kinetics, require_movies, study
from temporem.linear.state import stored_dynamics
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.latent_points import latents_of_run, principal_axes
from temporem.runs.run import Run

PATH = "path"


def measure_kinetics(
    run: Run,
    *,
    along: str = PATH,
    states: int | Literal["auto"] = "auto",
    basins: list[float] | None = None,
    samples: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Kinetics:
    """Measure energies, rates and diffusion along a coordinate of a linear run.

    Args:
        run: a finished run of ``--method linear``.
        along: ``path`` for a curve through the latents, ``z1`` for a latent, ``PC1`` for a
            principal component, or a direction ``0.8,0.6``.
        states: number of basins; ``auto`` takes that with the lowest BIC, up to 3.
        basins: centres with which the fit of the basins begins; they set the number of basins.
        samples: bootstrap samples for the intervals.
        seed: of the samples.
        progress: receives the progress.

    Returns:
        Numbers with intervals (``facts``), and what they come from.

    Raises:
        TemporemError: a run of another method, no such coordinate, or too few movies.

    Example:
        >>> found = tm.measure_kinetics(tm.load_run("linear-run"), samples=20)
        >>> [rate.rate.value for rate in found.facts.rates if rate.known]
        [0.62, 1.24]
    """
    measured, coordinate = measurements_of_run(run, along)
    return study(
        measured,
        coordinate=coordinate,
        states=states,
        basins=basins,
        samples=samples,
        seed=seed,
        progress=progress,
    )


def measurements_of_run(run: Run, along: str = PATH) -> tuple[Measurements, Coordinate]:
    """Divide the dynamics out of the latents of a linear run, and read a coordinate of them.

    Args:
        run: a finished run of ``--method linear``.
        along: ``path`` for a curve through the latents, ``z1`` for a latent, ``PC1`` for a
            principal component of the frames' latents, or a direction ``0.8,0.6``. With one latent,
            the path is this latent.

    Returns:
        What every frame says alone about the coordinate, and the coordinate.

    Raises:
        TemporemError: a run of another method, no such axis, or too few movies.
    """
    if run.config.method != "linear":
        raise TemporemError(
            f"{run.path} was made with --method {run.config.method}, whose latents share what "
            "frames say in a way that cannot be undone",
            expected="a run of --method linear, which keeps its dynamics",
            hint=f"temporem reconstruct {run.config.dataset} -o RUN --method linear",
        )
    require_movies(run.movies)  # before the path, which takes a while and would warn
    if along.strip().lower() == PATH and latents_of_run(run).shape[1] == 1:
        along = "z1"
    axis = read_axis(run, along)
    mean = torch.from_numpy(latents_of_run(run))
    assert run.latent_covariance is not None
    covariance = torch.from_numpy(run.latent_covariance).double()
    stored = load_checkpoint(run.path / names.MODEL)
    dynamics = stored_dynamics(stored, mean.shape[1], temporal=run.config.linear.temporal)
    intervals, index = frame_intervals(run)
    information, score = torch.zeros_like(covariance), torch.zeros_like(mean)
    for movie in run.movies:
        rows = torch.from_numpy(movie)
        steps = dynamics.transitions(intervals[index[rows[1:]]])
        information[rows], score[rows] = information_alone(mean[rows], covariance[rows], steps)
    if axis is None:
        path = principal_path(mean.numpy(), information.mean(0).numpy())
        j, h = path.measure(information.numpy(), score.numpy())
        shown = Coordinate(PATH, path.places, path.latents)
    else:
        found = along_axis(information, score, torch.from_numpy(axis))
        j, h = (part.numpy() for part in found)
        shown = Coordinate(along.strip(), np.arange(2.0), np.stack([0 * axis, axis]))
    times, unit = movie_clock(run)
    times = np.nan_to_num(times)  # that of a movie's only frame may be unknown
    return Measurements(h, j, times, run.movies, unit), shown


def read_axis(run: Run, text: str) -> np.ndarray | None:
    """Read the direction that a text names, a unit vector ``(q,)``; None for the path."""
    latents = latents_of_run(run)
    q = latents.shape[1]
    if text.strip().lower() == PATH:
        return None
    found = re.fullmatch(r"(z|pc)(\d{1,4})", text.strip(), re.IGNORECASE | re.ASCII)
    expected = f"path, z1 to z{q}, PC1 to PC{q}, or {q} numbers with commas between"
    if found is not None:
        number = int(found[2])
        if not 1 <= number <= q:
            raise TemporemError(f"--along {text}: the run has {q} latents", expected=expected)
        if found[1].lower() == "z":
            return np.eye(q)[number - 1]
        return principal_axes(latents)[number - 1]
    try:
        direction = np.array([float(part) for part in text.split(",")])
    except ValueError:
        direction = np.zeros(0)
    length = float(np.linalg.norm(direction)) if np.isfinite(direction).all() else 0.0
    if len(direction) != q or not 0 < length < 1e18:
        raise TemporemError(f"--along {text}: no direction", expected=expected)
    return direction / length
