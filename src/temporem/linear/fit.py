"""The fit of the linear dynamical model: low resolution, half sets, all movies.

The model belongs to the family of probabilistic principal components of volumes (Tagare et al.
2015; 3DVA, Punjani and Fleet 2021; RECOVAR, Gilles and Singer 2025). Its latents have dynamics, so
that a Kalman filter and Rauch–Tung–Striebel smoother (1965) infers them.

1. ``start`` fits the model at low resolution and chooses the number of components.
2. ``halves`` fits each half of the movies at full resolution; their agreement gives the prior.
3. ``joint`` iterates with all movies.

Each step is a function of the state before it. So a resumed fit ends like one that was never
stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.settings import validate_settings
from temporem.linear.half_sets import principal_axes
from temporem.linear.settings import Components, LinearSettings
from temporem.linear.state import LinearFit, LinearState
from temporem.linear.steps import LinearSteps, joint_solver, parameters_of
from temporem.physics.poses import Poses
from temporem.progress import Progress
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid

MOST_COMPONENTS = 4
"""Largest number of components that ``auto`` tries."""

_FRAMES_PER_COMPONENT = 10

Masks = tuple[Tensor | None, Tensor | None]
"""Solvent and moving mask, ``(D, D, D)`` each; None to make them from the data."""


def fit_linear(
    data: Dataset,
    *,
    poses: Poses | None = None,
    training: list[np.ndarray] | None = None,
    components: Components = "auto",
    temporal: bool = True,
    iterations: int = 4,
    mask: Tensor | Literal["auto", "none"] = "auto",
    focus_mask: Tensor | Literal["auto", "none"] = "auto",
    invert: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> LinearFit:
    """Fit the linear dynamical model ``V_t = μ + Σ_j z_tj U_j`` to all movies, in memory.

    Args:
        data: the movies.
        poses: poses of the frames; the dataset's when None.
        training: rows of the movies to fit, from ``data.movies``; the others only get latents. All
            movies when None.
        components: number of components, or ``auto`` for the number up to 4 that makes held-out
            movies likeliest.
        temporal: dynamics within movies; without, frames are independent.
        iterations: iterations at full resolution.
        mask: where the molecule is, values 0 to 1 ``(D, D, D)``; ``auto`` makes one from the data,
            ``none`` takes the whole box.
        focus_mask: where it may move, likewise.
        invert: flip the sign of the images, for dark molecules.
        seed: seed of random numbers; the result hardly depends on it.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: receives the progress of the fit.

    Raises:
        TemporemError: no poses, too few frames, images without noise, a mask of another box, a
            number out of range.

    Example:
        >>> fit = tm.fit_linear(tm.read_dataset("movies"))
        >>> fit.volume(fit.latents.mean[0]).shape
        torch.Size([64, 64, 64])
    """
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    asked = {"components": components, "temporal": temporal, "iterations": iterations}
    settings = validate_settings(LinearSettings, asked, source="fit_linear")
    training = data.movies if training is None else training
    require_enough(settings, training)
    masks = mask_of(mask, data.box), mask_of(focus_mask, data.box)
    frames = prepare_frames(data, DataSettings(invert=invert), training, choose_device(device))
    log: list[dict[str, Any]] = []
    state = None
    for state in linear_states(frames, settings, masks=masks, seed=seed, progress=progress):
        log.append(dict(state.record or {}))
    assert state is not None
    return replace(linear_result(frames, state), log=tuple(log))


def linear_states(
    frames: Frames,
    settings: LinearSettings,
    *,
    least: int = 1,
    masks: Masks = (None, None),
    window_radius: float = 0.9,
    seed: int = 0,
    resume: LinearState | None = None,
    progress: Progress | None = None,
) -> Iterator[LinearState]:
    """Fit the linear model step by step; yields the state after every step.

    Args:
        frames: the frames to fit.
        settings: components, dynamics, iterations.
        least: fewest components to choose from where their number is automatic.
        masks: solvent and moving mask; None to make them from the data.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of the first latents.
        resume: state to continue from; yielded again if it is finished.
        progress: receives the progress of the fit, in Fourier pixels passed.
    """
    candidates = _candidates(settings, frames.training, least)
    steps = LinearSteps(frames, settings, candidates, masks, window_radius, seed, progress)
    state, sums = resume, None
    seconds = 0.0 if resume is None else resume.seconds
    if state is not None and state.finished:
        yield state
    while state is None or not state.finished:
        started = time.monotonic()
        if state is None:
            state = steps.start()
        elif state.done == 1:
            state = steps.half_sets(state)
        else:
            state, sums = steps.iterate(state, sums)
        state = state.contiguous()  # as it is read back
        frames.processes.same(*state.parts().tensors.values())
        seconds += time.monotonic() - started
        record = {**(state.record or {}), "seconds": round(seconds, 3)}
        state = replace(state, seconds=seconds, record=record)
        yield state
    if progress is not None:
        progress(1, 1, "linear")


def linear_result(frames: Frames, state: LinearState) -> LinearFit:
    """Turn a finished state into its principal axes, and infer the latents of all movies."""
    assert state.volumes is not None
    assert state.halves is not None
    solver = joint_solver(frames, state)
    parameters = parameters_of(frames, state)
    posterior = solver.infer(parameters, frames.blocks(frames.movies)).posterior
    axes = principal_axes(solver, parameters.volumes)
    volumes, halves = parameters.volumes.clone(), state.halves.clone()
    for maps in (volumes, *halves):
        maps[1:] = torch.einsum("ij,jzyx->izyx", axes.to(maps), maps[1:])
    dynamics = parameters.dynamics.rotated(axes)
    latents = posterior.transformed(axes)
    model = frames.forward_model
    generator = LinearVolumes(model.box, state.q)
    generator.set_maps(volumes.cpu())
    return LinearFit(
        grid=VolumeGrid(model.box, model.pixel_size_angstrom, frames.statistics.noise_scale),
        generator=generator,
        latent_means=latents.mean.float(),
        parameters=replace(parameters, volumes=volumes, dynamics=dynamics),
        latents=latents,
        halves=halves,
        masks=state.masks,
        agreement=state.agreement,
    )


def mask_of(mask: Tensor | str, box: int) -> Tensor | None:
    """Get the mask of a setting, ``(D, D, D)``; None if it is to be made from the data.

    Raises:
        TemporemError: the mask is of another box.
    """
    if isinstance(mask, Tensor):
        if mask.shape != (box,) * 3:
            raise TemporemError(
                f"the mask has {' x '.join(map(str, mask.shape))} voxels",
                expected=f"{box} x {box} x {box}, as the images",
            )
        return mask.float()
    return torch.ones((box,) * 3) if mask == "none" else None


def largest_components(movies: list[np.ndarray]) -> int:
    """Number of components that the frames support: ten frames for each."""
    return sum(map(len, movies)) // _FRAMES_PER_COMPONENT


def _candidates(settings: LinearSettings, training: list[np.ndarray], least: int) -> list[int]:
    """Numbers of components to choose from."""
    if settings.components != "auto":
        return [settings.components]
    most = min(MOST_COMPONENTS, largest_components(training))
    return list(range(least, max(least, most) + 1))


def require_enough(settings: LinearSettings, training: list[np.ndarray]) -> None:
    """Raise a TemporemError if there are too few frames for the number of components."""
    n, most = sum(map(len, training)), largest_components(training)
    q = 1 if settings.components == "auto" else settings.components
    if q > most:
        raise TemporemError(
            f"{q} component{'s' if q > 1 else ''} for {n} frames to train on",
            expected="at least ten frames for each component",
            hint=f"at most {most}, or --components auto" if most else "add frames",
        )
