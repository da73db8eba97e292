"""The fit of the linear dynamical model: low resolution, half sets, all movies.

The model belongs to the family of probabilistic principal components of volumes (Tagare et al.
2015; 3DVA, Punjani and Fleet 2021; RECOVAR, Gilles and Singer 2025), with dynamics of the latents.

1. ``start`` fits it at low resolution and chooses the number of components;
2. ``halves`` fits half of the movies each at full resolution, and takes the prior from their
   agreement;
3. ``joint`` iterates with all movies.

Every step is a function of the state before it, so that a fit that goes on from a stored state ends
as one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.agreement import LEAST_MOVIES, half_agreement
from temporem.linear.cross_fit import CoarseFit, coarse_samples, fit_coarse, initial_parameters
from temporem.linear.half_sets import fit_halves, principal_axes
from temporem.linear.masks import moving_mask, solvent_mask
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.settings import Components, LinearSettings
from temporem.linear.solver import LinearSolver
from temporem.linear.state import LinearFit, LinearState
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.physics.poses import Poses
from temporem.progress import Progress
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid

MOST_COMPONENTS = 4
"""Largest number of components that ``auto`` tries."""

_FRAMES_PER_COMPONENT = 10
_BEFORE_JOINT = 2  # steps

Masks = tuple[Tensor | None, Tensor | None]
"""Solvent and moving mask, ``(D, D, D)`` each; None to make them from the data."""


def fit_linear(
    data: Dataset,
    *,
    poses: Poses | None = None,
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
        components: number of components, or ``auto`` for the number up to 4 that makes held-out
            movies likeliest.
        temporal: dynamics within movies; without, frames are independent.
        iterations: iterations at full resolution.
        mask: where the molecule is, values 0 to 1 ``(D, D, D)``; ``auto`` makes one from the data,
            ``none`` takes the whole box.
        focus_mask: where it may move, likewise.
        invert: flip the sign of the images, for dark molecules.
        seed: of random numbers; the result hardly depends on it.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: told how far the fit is.

    Raises:
        TemporemError: no poses, too few frames, images without noise.

    Example:
        >>> fit = tm.fit_linear(tm.read_dataset("movies"))
        >>> fit.volume(fit.latents.mean[0]).shape
        torch.Size([64, 64, 64])
    """
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    settings = LinearSettings(components=components, temporal=temporal, iterations=iterations)
    require_enough(settings, data.movies)
    prepared = DataSettings(invert=invert)
    masks = mask_of(mask, data.box), mask_of(focus_mask, data.box)
    frames = prepare_frames(data, prepared, data.movies, choose_device(device))
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
    masks: Masks = (None, None),
    window_radius: float = 0.9,
    seed: int = 0,
    resume: LinearState | None = None,
    progress: Progress | None = None,
) -> Iterator[LinearState]:
    """Fit the linear model step by step; yields the state after every step.

    Args:
        frames: what is fitted.
        settings: components, dynamics, iterations.
        masks: solvent and moving mask; None to make them.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: of the first latents.
        resume: state to go on from.
        progress: told how far the fit is, in Fourier pixels passed.
    """
    fit = _Fit(frames, settings, masks, window_radius, seed, progress)
    state, sums = resume, None
    seconds = 0.0 if resume is None else resume.seconds
    while state is None or not state.finished:
        started = time.monotonic()
        if state is None:
            state = fit.start()
        elif state.done == 1:
            state = fit.half_sets(state)
        else:
            state, sums = fit.iterate(state, sums)
        state = _settled(state, frames)
        seconds += time.monotonic() - started
        record = {**(state.record or {}), "seconds": round(seconds, 3)}
        state = replace(state, seconds=seconds, record=record)
        yield state
    if progress is not None:
        progress(1, 1)


def linear_result(frames: Frames, state: LinearState) -> LinearFit:
    """The model of a finished state in its principal axes, with posteriors of all frames."""
    assert state.volumes is not None
    assert state.halves is not None
    solver = _joint_solver(frames, state)
    parameters = _parameters(frames, state)
    posterior = state.posterior
    if frames.held_out:
        unseen = solver.expect(parameters, frames.blocks(frames.held_out))
        posterior = posterior + unseen.posterior
    axes = principal_axes(solver, parameters.volumes)
    volumes = parameters.volumes.clone()
    volumes[1:] = torch.einsum("ij,jzyx->izyx", axes.to(volumes), volumes[1:])
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
        halves=state.halves,
        masks=state.masks,
        agreement=state.agreement,
    )


def mask_of(mask: Tensor | str, box: int) -> Tensor | None:
    """A mask that was asked for, ``(D, D, D)``; None where it is to be made from the data."""
    if isinstance(mask, Tensor):
        return mask
    return torch.ones((box,) * 3) if mask == "none" else None


def largest_components(movies: list[np.ndarray]) -> int:
    """Number of components that the frames support: ten frames for each."""
    return sum(map(len, movies)) // _FRAMES_PER_COMPONENT


def require_enough(settings: LinearSettings, training: list[np.ndarray]) -> None:
    """Raise a TemporemError where the frames cannot support the model that is asked for."""
    n, most = sum(map(len, training)), largest_components(training)
    q = 1 if settings.components == "auto" else settings.components
    if q > most:
        raise TemporemError(
            f"{q} component{'s' if q > 1 else ''} asked for, and {n} frames to train on",
            expected="ten frames for each",
            hint=f"at most {most}, or --components auto" if most else "add frames",
        )


@dataclass(frozen=True)
class _Fit:
    """The steps of a fit."""

    given: Frames
    settings: LinearSettings
    masks: Masks
    window_radius: float
    seed: int
    progress: Progress | None

    @cached_property
    def frames(self) -> Frames:
        """The frames, which tell the progress of every pass over them."""
        if self.progress is None:
            return self.given
        total, done = max(self._samples, 1), 0

        def count(samples: int) -> None:
            nonlocal done
            done += samples
            assert self.progress is not None
            self.progress(min(done, 0.999 * total), total, f"linear  {self._note[0]}")

        return replace(self.given, on_samples=count)

    @cached_property
    def _note(self) -> list[str]:
        return ["low resolution"]

    @property
    def _candidates(self) -> list[int]:
        if self.settings.components != "auto":
            return [self.settings.components]
        return list(range(1, min(MOST_COMPONENTS, largest_components(self.given.training)) + 1))

    @property
    def _validate(self) -> bool:
        return len(self.given.training) >= LEAST_MOVIES

    @cached_property
    def _samples(self) -> int:
        """Fourier pixels that all passes of the fit go through, at most."""
        frames = self.given
        n, held_out = (sum(map(len, movies)) for movies in (frames.training, frames.held_out))
        coarse = coarse_samples(frames, len(self._candidates), halves=self._validate)
        passes = 2 + 2 + (self.settings.iterations - 1)
        return coarse + (passes * n + held_out) * len(frames.forward_model.support)

    @cached_property
    def _ball(self) -> Tensor:
        return window_ball(self.given.forward_model.box, self.window_radius)

    def start(self) -> LinearState:
        """Fit the model at low resolution, choose the number of components, make masks."""
        frames, settings = self.frames, self.settings
        prior = frames.statistics.spectral_prior
        fit = fit_coarse(
            frames,
            frames.training,
            self._candidates,
            prior,
            temporal=settings.temporal,
            window_radius=self.window_radius,
            seed=self.seed,
        )
        axes = principal_axes(fit.solver, fit.parameters.volumes)
        volumes = fit.parameters.volumes
        components = torch.einsum("ij,jzyx->izyx", axes.to(volumes), volumes[1:])
        posterior = fit.sums.posterior.transformed(axes)
        record: dict[str, Any] = {"stage": "start", "components": fit.parameters.q}
        if fit.scores:
            record["held_out_log_likelihood"] = fit.scores
        agreement = self._agreement(fit) if self._validate else None
        if agreement is not None:
            record["half_agreement"] = agreement
        return LinearState(
            done=1,
            finished=False,
            seconds=0.0,
            posterior=posterior,
            dynamics=fit.parameters.dynamics.rotated(axes),
            masks=torch.stack(self._made_masks(components, posterior)),
            agreement=agreement,
            record=record | {"log_likelihood": fit.sums.log_likelihood},
        )

    def _agreement(self, fit: CoarseFit) -> dict[str, Any]:
        self._note[0] = "half sets at low resolution"
        found = half_agreement(
            fit,
            self.frames.training,
            self.frames.statistics.spectral_prior,
            temporal=self.settings.temporal,
            seed=self.seed,
        )
        numbers = {name: value.tolist() for name, value in vars(found).items()}
        return numbers | {"components_found": found.n_found}

    def _made_masks(self, components: Tensor, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """Solvent and moving mask, inside the window of the images."""
        frames = self.frames
        solvent, moving = self.masks
        if moving is None:
            rows = torch.from_numpy(np.concatenate(frames.training))
            mean = posterior.mean[rows]
            spread = mean.mT @ mean / len(mean)
            moving = moving_mask(components, spread, frames.forward_model.box)
        if solvent is None:
            solvent = solvent_mask(frames.statistics.mean_volume.volume, moving.cpu())
        return solvent.cpu() * self._ball, moving.cpu() * self._ball

    def half_sets(self, state: LinearState) -> LinearState:
        """Fit half of the movies each; their agreement gives the prior."""
        self._note[0] = "half sets"
        frames = self.frames
        # Not the tight masks: what two masked maps share at their edges is no agreement.
        solver = _solver(frames, self._ball.to(frames.device))
        first = self._first_parameters(solver, state)
        halves = fit_halves(solver, first, state.posterior, frames, frames.training)
        return replace(
            state,
            done=_BEFORE_JOINT,
            posterior=halves.posterior,
            noise=halves.noise,
            precision=halves.precision,
            halves=halves.volumes,
            record={"stage": "halves", "half_fsc": halves.fsc.T.tolist()},
        )

    def iterate(self, state: LinearState, sums: Sums | None) -> tuple[LinearState, Sums]:
        """One iteration with all movies; the sums are those of the iteration before, if at hand.

        A step that would lower the objective is refused, and ends the fit: the next one would be
        the same.
        """
        frames = self.frames
        iteration = state.done - _BEFORE_JOINT + 1
        self._note[0] = f"iteration {iteration}/{self.settings.iterations}"
        solver = _joint_solver(frames, state)

        def blocks() -> Iterator[Any]:
            return frames.blocks(frames.training)

        refused = False
        if state.volumes is None:
            first = self._first_parameters(solver, state)
            new = solver.update(first, solver.gather(first, state.posterior, blocks()))
            found = solver.expect(new, blocks())
        else:
            before = _parameters(frames, state)
            sums = sums or solver.expect(before, blocks())
            new, found = solver.improve(before, sums, blocks)
            refused = new is before
        state = replace(
            state,
            done=state.done + 1,
            finished=refused or iteration == self.settings.iterations,
            posterior=found.posterior,
            dynamics=new.dynamics,
            volumes=new.volumes,
            noise=new.noise,
            record={
                "stage": "joint",
                "iteration": iteration,
                "log_likelihood": found.log_likelihood,
                "objective": found.objective,
            },
        )
        return state, found

    def _first_parameters(self, solver: LinearSolver, state: LinearState) -> LinearParameters:
        prior = self.frames.statistics.spectral_prior
        first = initial_parameters(solver, state.q, prior, temporal=self.settings.temporal)
        if state.noise is None or state.precision is None:
            return replace(first, dynamics=state.dynamics)
        device = self.frames.device
        noise, precision = state.noise.to(device), state.precision.to(device)
        return replace(first, dynamics=state.dynamics, noise=noise, precision=precision)


def _settled(state: LinearState, frames: Frames) -> LinearState:
    """The state as it is read back, and as the first process has it.

    The last bits of products depend on the order of tensors in memory.
    """
    p, d = state.posterior, state.dynamics

    def plain(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.contiguous()

    settled = replace(
        state,
        posterior=Posterior(plain(p.mean), plain(p.covariance), plain(p.lag)),
        dynamics=replace(d, rotation=plain(d.rotation), decay=plain(d.decay)),
        masks=plain(state.masks),
        halves=plain(state.halves),
        noise=plain(state.noise),
        precision=plain(state.precision),
        volumes=plain(state.volumes),
    )
    frames.processes.same(*settled.parts().tensors.values())
    return settled


def _grid(frames: Frames) -> PaddedGrid:
    model = frames.forward_model
    return PaddedGrid(model.box, float(model.support.radii[-1]), frames.device)


def _solver(frames: Frames, mask: Tensor) -> LinearSolver:
    return LinearSolver(
        frames.forward_model,
        _grid(frames),
        mask,
        frames.intervals,
        len(frames),
        frames.processes,
    )


def _joint_solver(frames: Frames, state: LinearState) -> LinearSolver:
    solvent, moving = state.masks.to(frames.device)
    return _solver(frames, torch.stack([solvent] + [moving] * state.q))


def _parameters(frames: Frames, state: LinearState) -> LinearParameters:
    found = (state.volumes, state.noise, state.precision)
    volumes, noise, precision = (t.to(frames.device) for t in found if t is not None)
    return LinearParameters(volumes, state.dynamics, noise, precision)
