"""The content of a report as plain arrays and records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from temporem.checks.views import Coverage
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.words import parameter_label, parameter_unit
from temporem.kinetics.facts import KineticsFacts
from temporem.poses.ab_initio import LEAST_ALIKE
from temporem.validation.compare import Validation

HELD_OUT = "held_out_log_likelihood"
"""Entry of a log: log-likelihoods of left-out movies by number of components."""


@dataclass(frozen=True, eq=False)
class ReportTruth:
    """The truth of a simulated dataset.

    Attributes:
        volumes: true volumes of the shown frames, ``(S, D, D, D)`` (z, y, x).
        parameter_name: conformational parameter, with its unit last (``angle_degrees``).
        parameter: its value for every row of the dataset, ``(N,)``.
        states: true state of every row, integers ``(N,)``.
    """

    volumes: np.ndarray
    parameter_name: str
    parameter: np.ndarray
    states: np.ndarray

    @property
    def label(self) -> str:
        """Axis label with unit, as in ``Angle (°)``."""
        text = parameter_label(self.parameter_name)
        return text[:1].upper() + text[1:]

    def value(self, row: int) -> str:
        """The parameter of one row with its unit, as in ``27°``."""
        unit = parameter_unit(self.parameter_name)
        # As many digits as tell the values apart, or as the one value needs.
        span = float(np.ptp(self.parameter)) or float(np.abs(self.parameter).max())
        decimals = max(2 - math.ceil(math.log10(max(span, 1e-6))), 0) if span else 0
        return f"{self.parameter[row]:.{decimals}f}{'' if unit == '°' else ' '}{unit}".strip()


@dataclass(frozen=True, eq=False)
class ReportDataset:
    """The movies that were reconstructed.

    Attributes:
        name: what to call the dataset.
        facts: other facts, as label and value.
        movies: rows of every movie, in order of time.
        frame_numbers: number of every row in its movie, ``(N,)``.
        shown_rows: the S rows whose volumes are shown, in order of time.
        images: some particle images, ``(n, D, D)``.
        image_labels: labels of the n images.
        pixel_size_angstrom: edge of a pixel and of a voxel, Å.
        movie_names: name of every movie.
        times_seconds: time of every frame, ``(N,)``, NaN where it is not known; None for none.
        path: the dataset's folder, for commands.
        truth: None for real data.
    """

    name: str
    facts: Mapping[str, str]
    movies: Sequence[np.ndarray]
    frame_numbers: np.ndarray
    shown_rows: np.ndarray
    images: np.ndarray
    image_labels: Sequence[str]
    pixel_size_angstrom: float
    movie_names: Sequence[str] = ()
    times_seconds: np.ndarray | None = None
    path: str = ""
    truth: ReportTruth | None = None

    def shown_labels(self) -> list[str]:
        """Frame number and, where known, true parameter of every shown frame."""
        labels = [f"frame {self.frame_numbers[row]}" for row in self.shown_rows]
        if self.truth is None:
            return labels
        values = [self.truth.value(row) for row in self.shown_rows]
        return [f"{label} · {value}" for label, value in zip(labels, values, strict=True)]


@dataclass(frozen=True, eq=False)
class Ends:
    """The two ends of an axis of the latents, as volumes.

    Attributes:
        name: what the axis is, as ``Component 1``.
        share: part of the variance of the latents along it.
        low, high: volumes where 5 % of the frames lie below, and above, ``(D, D, D)``.
    """

    name: str
    share: float
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Residuals:
    """Rest of the images that the volumes do not explain. All is in units of the noise.

    Attributes:
        observed: images of n frames, without their high frequencies, ``(n, D, D)``.
        predicted: their projections, likewise.
        labels: one of each frame.
        shells: frequency of each shell, 1/Å, ``(n_shells,)``.
        image_power: mean power of many frames in each shell, ``(n_shells,)``.
        residual_power: of the same frames less their projections.
        n_frames: how many these are.
    """

    observed: np.ndarray
    predicted: np.ndarray
    labels: Sequence[str]
    shells: np.ndarray
    image_power: np.ndarray
    residual_power: np.ndarray
    n_frames: int


@dataclass(frozen=True, eq=False)
class ReportRun:
    """One reconstruction of the dataset.

    Attributes:
        name: unique among the runs of a report.
        method: ``tempor``, ``static``, ...
        config: the resolved configuration, nested.
        volumes: reconstructed volumes of the shown frames, ``(S, D, D, D)`` (z, y, x).
        latents: posterior means ``(N, q)`` in the order of the dataset's rows; None without any.
        latent_covariance: posterior covariance of the latents, ``(N, q, q)``; None where it is not
            known.
        path_volumes: volumes of frames spread over the whole motion, in its order,
            ``(P, D, D, D)``; None for those of the shown frames.
        ends: ends of the main axes of the latents.
        log: all lines of ``metrics.jsonl``.
        metrics: those of them that tell of the last part of the run: one per epoch of a network,
            one per step of a linear model.
        evaluation: None if the run was not evaluated.
        seconds: time that all parts of the run took, where known.
        components_found: number of linear components that half of the movies find on their own,
            where this was checked.
        components: number of linear components.
        doubtful_components: sentence on components that may be errors of poses; empty without any.
        starts_alike: fraction of the frames that two random starts found in the same poses, where
            poses are from images alone.
        found_poses: the run found or refined the poses itself.
        angle_sd_degrees: posterior standard deviation of every angle, ``(N,)``, where known.
        half_fsc: FSC of half sets as logged, ``(n_shells,)`` each, by what was compared.
        local_resolution: Å, ``(d, d, d)``, to which half sets agree about every voxel; by what was
            compared, ``the density`` and ``the change``. Empty where there are no half sets, or it
            was not measured.
        coverage: how the views fill Fourier space.
        cloud_motion: what :func:`temporem.runs.motion.summary` says of a cloud; None for other
            generators.
        residuals: None where they were not measured.
        data_warnings: sentences of the checks of the dataset.
        validation: what tests without a truth have found.
        kinetics: what ``temporem kinetics`` measured; None if it was not asked.
        path: the run's folder, for commands.
    """

    name: str
    method: str
    config: Mapping[str, Any]
    volumes: np.ndarray
    latents: np.ndarray | None = None
    latent_covariance: np.ndarray | None = None
    path_volumes: np.ndarray | None = None
    ends: Sequence[Ends] = ()
    log: Sequence[Mapping[str, Any]] = ()
    metrics: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    evaluation: Evaluation | None = None
    seconds: float | None = None
    components_found: int | None = None
    components: int | None = None
    doubtful_components: str = ""
    starts_alike: float | None = None
    found_poses: bool = False
    angle_sd_degrees: np.ndarray | None = None
    half_fsc: Mapping[str, np.ndarray] = field(default_factory=dict)
    local_resolution: Mapping[str, np.ndarray] = field(default_factory=dict)
    coverage: Coverage | None = None
    cloud_motion: Mapping[str, Any] | None = None
    residuals: Residuals | None = None
    data_warnings: Sequence[str] = ()
    validation: Validation = field(default_factory=Validation)
    kinetics: KineticsFacts | None = None
    path: str = ""

    @property
    def poses_lost(self) -> bool:
        """True if random starts do not find the same poses, so that volumes mean nothing."""
        return self.starts_alike is not None and self.starts_alike < LEAST_ALIKE

    @property
    def shuffled(self) -> bool:
        """True if the run took the frames of every movie in random order."""
        return bool(self.config.get("data", {}).get("shuffle_frames"))

    @property
    def held_out_log_likelihood(self) -> float | None:
        """Log-likelihood of left-out movies, with the number of components that suits them best.

        Nats per frame; None where the number was given.
        """
        found = [x for record in self.metrics for x in record.get(HELD_OUT, ())]
        return max(found, default=None)
