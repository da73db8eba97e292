"""Parts of a plan that no number of movies changes, nor the noise: molecule, motion, microscope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.masks import MaskSettings, truth_masks
from temporem.linear.masks import moving_mask, solvent_mask
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import FrameTable, draw_frames
from temporem.simulation.images import project
from temporem.simulation.in_memory import load_motion
from temporem.simulation.truth import Truth
from temporem.structures.motions.base import conformations

_STATES = 48  # conformations that stand for all
_MODES = 8  # principal components of the true volumes that are kept
_IMAGES = 150  # from which the power of the signal comes
_BATCH = 8


@dataclass(frozen=True, eq=False)
class Scene:
    """Frames, true volumes and their principal components.

    The volumes are ``V_s = μ + Σ_j z_sj U_j + rest``, with z of variance 1 over the frames.

    Attributes:
        config: the simulation that is planned.
        frames: conformation, pose and CTF of the N frames.
        parameter_names: names of the parameters of the motion, with their units.
        movies: rows of every movie.
        state: state of every frame, ``(N,)``.
        volumes: Fourier coefficients of the S states, complex ``(S, P)``.
        modes: μ and U, strongest first, complex ``(R + 1, P)``.
        latents: z of the states, ``(S, R)``.
        signal_variance: mean variance of a pixel of images without noise.
        moving: mask in which volumes are compared, ``(D, D, D)``; None if nothing moves.
        model_masks: solvent and moving mask of the linear model, ``(2, D, D, D)``.
    """

    config: SimulationConfig
    frames: FrameTable
    parameter_names: tuple[str, ...]
    movies: list[np.ndarray]
    state: np.ndarray
    volumes: Tensor
    modes: Tensor
    latents: Tensor
    signal_variance: float
    moving: Tensor | None
    model_masks: Tensor

    @property
    def support(self) -> FourierSupport:
        """Frequencies of the volumes."""
        return FourierSupport(self.config.box, 3)

    @property
    def forward_model(self) -> ForwardModel:
        """Image formation."""
        return ForwardModel(self.config.box, self.config.pixel_size_angstrom)


def make_scene(
    config: SimulationConfig,
    *,
    structures_dir: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scene:
    """Compute the true volumes of a simulation and the strength of its images.

    Args:
        config: what would be simulated.
        structures_dir: searched first for structures.
        progress: called with the work done and all of it.
    """
    frames = draw_frames(config)
    motion = load_motion(config, structures_dir)
    chosen, state = _states(frames.parameters)
    truth = Truth.of_frames(config, motion, frames, noise_variance=1.0)
    rows, volumes = np.array_split(chosen, -(-len(chosen) // _BATCH)), []
    for done, part in enumerate(rows):
        volumes.append(truth.volumes(part))
        if progress is not None:
            progress(done + 1, len(rows) + 1)
    coefficients = torch.cat(volumes)
    share = torch.from_numpy(np.bincount(state, minlength=len(chosen)) / len(state))
    support = truth.support
    modes, latents = _principal(coefficients, share, support.weights)
    some = np.random.default_rng(0).permutation(len(state))[:_IMAGES]
    images = project(
        config,
        motion.molecule,
        lambda part: conformations(motion, frames.parameters[torch.from_numpy(some)][part]),
        frames.poses[torch.from_numpy(some)],
        frames.ctf[torch.from_numpy(some)],
    )
    masks = truth_masks(
        (coefficients[torch.from_numpy(state[part])] for part in np.array_split(some, 20)),
        support,
        MaskSettings(),
    )
    return Scene(
        config=config,
        frames=frames,
        parameter_names=truth.parameter_names,
        movies=truth.movies,
        state=state,
        volumes=coefficients,
        modes=modes,
        latents=latents,
        signal_variance=float(images.var(dtype=np.float64)),
        moving=masks.moving,
        model_masks=_model_masks(support.ifft(modes)),
    )


def _states(parameters: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows of frames that stand for all, and which of them stands for each frame, ``(N,)``."""
    distinct, index = parameters.unique(dim=0, return_inverse=True)
    first = np.unique(index.numpy(), return_index=True)[1]
    if len(distinct) <= _STATES:
        return first, index.numpy()
    scaled = (distinct - distinct.mean(0)) / distinct.std(0).clamp(min=1e-12)
    if scaled.shape[1] == 1:
        order = distinct[:, 0].argsort()
        picked = order[torch.linspace(0, len(order) - 1, _STATES).round().long()]
    else:
        picked = torch.from_numpy(np.random.default_rng(0).permutation(len(distinct))[:_STATES])
    nearest = torch.cdist(scaled, scaled[picked]).argmin(1)
    return first[picked.numpy()], nearest[index].numpy()


def _principal(volumes: Tensor, share: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and principal components of states that have shares, and latents of the states."""
    mean = (share[:, None] * volumes).sum(0).to(volumes)
    centred = volumes - mean
    half = (weights.sqrt() * centred).to(torch.complex128)
    gram = (half @ half.mH).real
    root = share.sqrt()
    values, vectors = torch.linalg.eigh(root[:, None] * gram * root)
    kept = values.flip(0)[:_MODES] > 1e-8 * gram.diagonal().max()
    vectors = vectors.flip(1)[:, :_MODES][:, kept]
    latents = vectors / root.clamp(min=1e-12)[:, None]
    modes = ((share[:, None] * latents).mT.to(volumes.dtype)) @ centred
    return torch.cat([mean[None], modes]), latents


def _model_masks(maps: Tensor) -> Tensor:
    """Masks that the linear model would make of its mean and components."""
    box = maps.shape[-1]
    if len(maps) == 1:
        moving = torch.zeros_like(maps[0])
    else:
        moving = moving_mask(maps[1:], torch.eye(len(maps) - 1), box)
    return torch.stack([solvent_mask(maps[0], moving), moving])
