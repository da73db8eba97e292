"""The steps of a fit of the linear model, each a function of the state before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.frames.batch import Batch
from temporem.frames.frames import Frames
from temporem.linear.agreement import LEAST_MOVIES, half_agreement
from temporem.linear.cross_fit import CoarseFit, coarse_samples, fit_coarse, initial_parameters
from temporem.linear.half_sets import fit_halves, principal_axes
from temporem.linear.masks import moving_mask, solvent_mask
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.settings import LinearSettings
from temporem.linear.solver import LinearSolver
from temporem.linear.state import LinearState
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.progress import Progress

_BEFORE_JOINT = 2  # steps
_COARSE_PIECES = 2  # pieces of work in the first step, for the progress


@dataclass(frozen=True)
class LinearSteps:
    """The steps of a fit: each makes the next state.

    Attributes:
        frames: the frames that are fitted.
        settings: dynamics and number of iterations.
        candidates: numbers of components to choose from.
        masks: solvent and moving mask, ``(D, D, D)`` each; None to make them from the data.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of the first latents.
        progress: receives the progress of the fit.
    """

    frames: Frames
    settings: LinearSettings
    candidates: list[int]
    masks: tuple[Tensor | None, Tensor | None]
    window_radius: float
    seed: int
    progress: Progress | None

    def start(self) -> LinearState:
        """Fit the model at low resolution, choose the number of components, make masks."""
        frames = self._watched(0, "low resolution")
        fit = fit_coarse(
            frames,
            frames.training,
            self.candidates,
            frames.statistics.spectral_prior,
            temporal=self.settings.temporal,
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
        agreement = self._agreement(fit) if self._compares_halves else None
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

    def half_sets(self, state: LinearState) -> LinearState:
        """Fit each half of the movies at full resolution; their agreement gives the prior."""
        frames = self._watched(_COARSE_PIECES, "half sets")
        # The wide mask: two maps within one tight mask agree at its edges whatever they hold.
        solver = full_solver(frames, self._ball.to(frames.device))
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
        """Iterate once with all movies.

        A step that would lower the objective is refused. It ends the fit, because the next step
        would be the same.

        Args:
            state: after the half sets, or after an iteration.
            sums: sums of the iteration before; None if not available.

        Returns:
            The next state and its sums.
        """
        iteration = state.done - _BEFORE_JOINT + 1
        note = f"iteration {iteration}/{self.settings.iterations}"
        frames = self._watched(_COARSE_PIECES + iteration, note)
        solver = joint_solver(frames, state)

        def blocks() -> Iterator[Batch]:
            return frames.blocks(frames.training)

        refused = False
        if state.volumes is None:
            first = self._first_parameters(solver, state)
            new = solver.update(first, solver.gather(first, state.posterior, blocks()))
            found = solver.expect(new, blocks())
        else:
            before = parameters_of(frames, state)
            sums = sums or solver.expect(before, blocks())
            new, found = solver.improve(before, sums, blocks)
            refused = new is before
        state = replace(
            state,
            done=state.done + 1,
            finished=refused or iteration >= self.settings.iterations,
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

    @property
    def _compares_halves(self) -> bool:
        return len(self.frames.training) >= LEAST_MOVIES

    def _agreement(self, fit: CoarseFit) -> dict[str, Any]:
        frames = self._watched(1, "half sets at low resolution")
        fit = replace(fit, frames=replace(fit.frames, on_samples=frames.on_samples))
        found = half_agreement(
            fit,
            frames.training,
            frames.statistics.spectral_prior,
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

    def _first_parameters(self, solver: LinearSolver, state: LinearState) -> LinearParameters:
        prior = self.frames.statistics.spectral_prior
        first = initial_parameters(solver, state.q, prior, temporal=self.settings.temporal)
        if state.noise is None or state.precision is None:
            return replace(first, dynamics=state.dynamics)
        device = self.frames.device
        noise, precision = state.noise.to(device), state.precision.to(device)
        return replace(first, dynamics=state.dynamics, noise=noise, precision=precision)

    @cached_property
    def _ball(self) -> Tensor:
        return window_ball(self.frames.forward_model.box, self.window_radius)

    # --- progress ---

    @cached_property
    def _costs(self) -> list[int]:
        """Fourier pixels that are passed, at most: low resolution, its halves, half sets, then
        every iteration.
        """
        n = sum(map(len, self.frames.training))
        one_pass = n * len(self.frames.forward_model.support)
        coarse, halves = coarse_samples(self.frames, len(self.candidates))
        iterations = [2 * one_pass] + [one_pass] * (self.settings.iterations - 1)
        return [coarse, halves * self._compares_halves, 2 * one_pass, *iterations]

    def _watched(self, piece: int, note: str) -> Frames:
        """The frames; passes over them advance the progress by one of :attr:`_costs`."""
        if self.progress is None:
            return self.frames
        costs, shares, done = self._costs, self.frames.processes.size, 0
        total, before = sum(costs), sum(costs[:piece])
        part = self.progress.part(before / total, (before + costs[piece]) / total)

        def count(samples: int) -> None:
            nonlocal done
            done += shares * samples
            part(done, costs[piece], f"linear  {note}")

        return replace(self.frames, on_samples=count)


def joint_solver(frames: Frames, state: LinearState) -> LinearSolver:
    """The solver of the iterations with all movies, within the masks of a state."""
    solvent, moving = state.masks.to(frames.device)
    return full_solver(frames, torch.stack([solvent] + [moving] * state.q))


def parameters_of(frames: Frames, state: LinearState) -> LinearParameters:
    """The parameters of a state after an iteration, on the device of the frames."""
    found = (state.volumes, state.noise, state.precision)
    volumes, noise, precision = (t.to(frames.device) for t in found if t is not None)
    return LinearParameters(volumes, state.dynamics, noise, precision)


def full_solver(frames: Frames, mask: Tensor) -> LinearSolver:
    """Make the solver of frames at their full resolution, with volumes inside a mask."""
    model = frames.forward_model
    grid = PaddedGrid(model.box, float(model.support.radii[-1]), frames.device)
    return LinearSolver.of_frames(frames, grid, mask)
