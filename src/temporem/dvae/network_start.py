"""Start of the training of a network: a linear model, bent where there is one latent."""

from __future__ import annotations

from temporem.dvae.curved_start import curved_start
from temporem.dvae.model import VAEKind
from temporem.dvae.settings import NetworkSettings, TrainingSettings
from temporem.dvae.stages import finds_latents_on_grid
from temporem.dvae.warm_start import WarmStart, warm_start_from
from temporem.frames.frames import Frames
from temporem.linear.state import LinearFit
from temporem.progress import Progress
from temporem.volumes.generators import generator_kind

LINEAR_SHARE = 0.4
"""Part of the time of a fit that its start takes, if it is a linear model."""

CURVE_FROM = 0.15
"""Part of the time after which the linear model is bent, where it is."""

_LEAST_MOVIES = 4  # to see latents of some with volumes of others


def starts_from_curve(
    network: NetworkSettings,
    training: TrainingSettings,
    kind: VAEKind,
    *,
    learned_poses: bool = False,
) -> bool:
    """Tell whether a network starts from a curve, if it has movies enough."""
    generator = generator_kind(network.generator)
    grid = finds_latents_on_grid(kind, training, generator, network.z_dim, learned_poses)
    return generator.from_curve and grid


def network_start(
    fit: LinearFit,
    cropped: Frames,
    frames: Frames,
    network: NetworkSettings,
    training: TrainingSettings,
    kind: VAEKind,
    *,
    learned_poses: bool = False,
    window_radius: float = 0.9,
    seed: int = 0,
    progress: Progress | None = None,
) -> WarmStart:
    """Make the start of a network from a linear fit.

    Args:
        fit: linear model of the frames, in their box or a smaller one of the same field of view.
        cropped: the frames in the box of the fit.
        frames: the frames.
        network: sizes and structure of the network; z_dim is at most the components of the fit.
        training: settings of the training.
        kind: the model that is trained.
        learned_poses: poses are learned, too.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: of the search for coordinates.
        progress: receives the progress of the bent start.

    Raises:
        TemporemError: see :func:`warm_start_from`.
    """
    flat = warm_start_from(fit, frames, network.z_dim, seed=seed)
    bends = starts_from_curve(network, training, kind, learned_poses=learned_poses)
    if not bends or len(frames.training) < _LEAST_MOVIES:
        return flat
    return curved_start(
        flat, fit, cropped, frames, kind, window_radius=window_radius, progress=progress
    )
