"""The metrics of an evaluation, one file each, and their registry."""

from __future__ import annotations

from temporem.errors import TemporemError
from temporem.evaluation.metrics.counting import CLOCK_STATES, COUNTING
from temporem.evaluation.metrics.coverage import COVERAGE
from temporem.evaluation.metrics.fsc import FSC
from temporem.evaluation.metrics.image_quality import IMAGE_QUALITY
from temporem.evaluation.metrics.latent_states import LATENT_STATES
from temporem.evaluation.metrics.latents import LATENTS
from temporem.evaluation.metrics.metric import Metric
from temporem.evaluation.metrics.motion import MOTION
from temporem.evaluation.metrics.nuisances import DEFOCUS_LEFT, JUNK_FOUND, NUISANCES
from temporem.evaluation.metrics.pose_conformation_coupling import COUPLING
from temporem.evaluation.metrics.pose_error import POSE_ERROR
from temporem.evaluation.metrics.state_fsc import STATE_FSC

METRICS: dict[str, Metric] = {}
"""Metrics by name."""

RESERVED = frozenset(
    (
        *("format", "settings", "arrays", "n_frames", "n_movies", "n_left_out", "box", "held_out"),
        *("pixel_size_angstrom", "nyquist_angstrom", "masks", "definitions"),
    )
)
"""Names of the other sections of ``evaluation.json``."""


def register_metric(metric: Metric) -> None:
    """Make a metric part of every evaluation, table and comparison from now on.

    Raises:
        TemporemError: its name is taken, or cannot be that of a section of ``evaluation.json``.

    Example:
        >>> tm.register_metric(DensityError())  # the class in docs/extending.md
    """
    if metric.name in METRICS or metric.name in RESERVED or not metric.name.isidentifier():
        raise TemporemError(f"a metric cannot be named {metric.name!r}: taken, or no plain word")
    METRICS[metric.name] = metric


register_metric(FSC)
register_metric(MOTION)
register_metric(IMAGE_QUALITY)
register_metric(POSE_ERROR)
register_metric(STATE_FSC)
register_metric(LATENTS)
register_metric(COUNTING)
register_metric(COVERAGE)
register_metric(LATENT_STATES)
register_metric(CLOCK_STATES)
register_metric(COUPLING)
register_metric(NUISANCES)
register_metric(JUNK_FOUND)
register_metric(DEFOCUS_LEFT)
