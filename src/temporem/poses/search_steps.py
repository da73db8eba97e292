"""The steps of a search for poses, each a function of the state before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS
from temporem.frames.frames import Frames
from temporem.frames.statistics import CHANGE_FRACTION, SpectralPrior, power_of_slices
from temporem.linear.cross_fit import CoarseFit, coarse_samples, fit_coarse
from temporem.linear.fit import largest_components
from temporem.linear.half_sets import principal_axes
from temporem.linear.masks import moving_mask
from temporem.physics.poses import Poses
from temporem.poses.ab_initio import Round, frames_alike
from temporem.poses.candidates import SEARCH_RADIUS, SearchScope
from temporem.poses.chain import PoseChain
from temporem.poses.conformational_alignment import align_conformations
from temporem.poses.diffusion import fit_diffusion
from temporem.poses.errors import PoseErrors, measure_pose_errors
from temporem.poses.estimates import ImprovedPoses, PoseEstimates
from temporem.poses.folds import FoldedFrames
from temporem.poses.improvement import improve_poses
from temporem.poses.refinement import RotationPrior
from temporem.poses.search_state import PoseSearchState
from temporem.poses.settings import PoseSettings
from temporem.poses.starts import RandomStarts
from temporem.poses.symmetry import find_symmetry
from temporem.progress import Progress

Stage = Literal["start", "poses", "motion"]

_WIDE = {0, 2}  # iterations that look everywhere, or around
_NEAR_ITERATIONS = 3  # where given poses are nearly right
# Time of the steps in milliseconds a frame, as measured in a box of 32 pixels.
_START_TIME = 15.0
_SEARCH_TIME: dict[SearchScope, float] = {"everywhere": 4.0, "around": 4.0, "here": 1.5}
_MODEL_TIME = 12.0


@dataclass(frozen=True)
class SearchSteps:
    """The steps of a search, with the frames and options that they need.

    Attributes:
        frames: frames on the CPU, centred by the shifts of the given poses.
        given: poses of the dataset.
        settings: settings of the search.
        steps: time from the frame before to each frame, ``(N,)``, NaN for the first of a movie.
        temporal: dynamics within movies, for the linear model of what changes.
        motion: at the end, find poses together with the motion.
        iterations: number of iterations with one volume.
        motion_iterations: number of iterations with a volume that changes.
        components: number of components of the linear model.
        rounds: rounds of every random start.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        seed: seed of random numbers.
        errors: errors of the given poses, if they were measured already.
    """

    frames: Frames
    given: Poses
    settings: PoseSettings
    steps: np.ndarray
    temporal: bool
    motion: bool
    iterations: int
    motion_iterations: int
    components: int
    rounds: Sequence[Round]
    window_radius: float
    seed: int
    errors: PoseErrors | None

    @cached_property
    def plan(self) -> list[tuple[Stage, int]]:
        """Stage of every step, and its number in the stage."""
        starts = self.settings.effort if self._from_images else 0
        moves = self.motion and self._components > 0
        near = _NEAR_ITERATIONS if self._near else max(self.iterations, self.motion_iterations)
        stages: list[tuple[Stage, int]] = [
            ("start", starts),
            ("poses", min(near, self.iterations)),
            ("motion", min(near, self.motion_iterations) if moves else 0),
        ]
        return [(stage, number) for stage, count in stages for number in range(count)]

    @cached_property
    def times(self) -> list[float]:
        """Estimated relative time of every step."""
        wide = _SEARCH_TIME[self._wide]
        return [
            _START_TIME
            if stage == "start"
            else _MODEL_TIME + wide
            if stage == "motion"
            else wide
            if number in _WIDE
            else _SEARCH_TIME["here"]
            for stage, number in self.plan
        ]

    def step(self, state: PoseSearchState, progress: Progress) -> PoseSearchState:
        """Take the next step; after the last one, make the final state.

        Args:
            state: what the step begins from.
            progress: scale of this step.
        """
        stage, number = self.plan[state.done]
        if stage == "start":
            new = self._starts.take(state, number, progress)
        else:
            take = self._improve if stage == "poses" else self._move
            new = replace(take(state, number, progress), done=state.done + 1)
        return self._concluded(new) if new.done == len(self.plan) else new

    # --- iterations with one volume ---

    def _improve(self, state: PoseSearchState, number: int, progress: Progress) -> PoseSearchState:
        """Volumes from the poses so far, then poses from these volumes."""
        record: dict[str, Any] = {"stage": "poses", "iteration": number + 1}
        note = f"poses  iteration {number + 1}/{self._count('poses')}"
        progress(0, 1, note)
        radius = state.radius
        if state.volume is not None:
            start = PoseEstimates.at(torch.eye(3).repeat(len(self.given), 1, 1))
            volumes = state.volume[None]
        else:
            start = self._estimates(state)
            folds = self._folded.back_project(start, radius)
            volumes = folds.volumes
            record["half_fsc"] = folds.half_fsc.tolist()
            radius = max(radius, min(folds.radius, self._folded.model.box / 2))
        improved = improve_poses(
            self._folded,
            volumes,
            start,
            radius,
            scope=self._scope(state) if number in _WIDE else "here",
            around_degrees=self.settings.around_degrees,
            chain=self._chain(state),
            prior=self._prior,
            on_frames=self._counter(progress, note),
        )
        return self._kept(state, improved, radius, record)

    # --- iterations with a volume that changes ---

    def _move(self, state: PoseSearchState, number: int, progress: Progress) -> PoseSearchState:
        """Fit a linear model of the motion, then find poses and latents with it."""
        record: dict[str, Any] = {"stage": "motion", "iteration": number + 1}
        note = f"poses  with motion {number + 1}/{self._count('motion')}"
        share = _MODEL_TIME / (_MODEL_TIME + _SEARCH_TIME[self._wide])
        progress(0, 1, note)
        start, folded, radius = self._estimates(state), self._folded, state.radius
        frames, fit = self._fit_motion(start, progress.part(0, share), note)
        volumes = fit.parameters.volumes
        axes = principal_axes(fit.solver, volumes)
        components = torch.einsum("ij,jzyx->izyx", axes.to(volumes), volumes[1:])
        # Where a part moves, and no more: a turn of the whole molecule is a matter of poses.
        mask = moving_mask(components, torch.eye(len(components)), components.shape[-1])
        improved = improve_poses(
            folded,
            folded.back_project(start, radius).volumes,
            start,
            radius,
            scope=self._scope(state),
            around_degrees=self.settings.around_degrees,
            components=components * mask,
            chain=self._chain(state),
            prior=self._prior,
            on_frames=self._counter(progress.part(share, 1), note),
        )
        if not self._near:  # else the given poses hold the reference frame
            posterior = fit.sums.posterior
            if frames.held_out:
                unseen = frames.blocks(frames.held_out, fit.solver.n_pixels)
                found = fit.solver.expect(fit.parameters, unseen, gradient=False)
                posterior = posterior + found.posterior
            latents = posterior.transformed(axes).mean
            improved, record["turned_degrees"] = align_conformations(
                folded,
                improved,
                latents,
                self._rows,
                power=self._power,
                radius=radius,
                seed=self.seed,
            )
        record["log_likelihood"] = fit.sums.log_likelihood
        return self._kept(state, improved, radius, record)

    def _fit_motion(
        self, start: PoseEstimates, progress: Progress, note: str
    ) -> tuple[Frames, CoarseFit]:
        """The frames in their poses so far, and a linear model of them at low resolution."""
        frames, done = self.frames, 0
        total = max(coarse_samples(frames, 1)[0], 1)

        def count(samples: int) -> None:
            nonlocal done
            done += samples
            progress(done, total, note)

        frames = replace(
            frames,
            source=self._folded.centred(start),
            rotations=start.rotations.float(),
            processes=SINGLE_PROCESS,
            on_samples=count,
        )
        fit = fit_coarse(
            frames,
            frames.training,
            [min(self.components, self._components)],
            SpectralPrior(self._power, CHANGE_FRACTION * self._power),
            temporal=self.temporal and any(len(movie) > 1 for movie in frames.training),
            window_radius=self.window_radius,
            seed=self.seed,
        )
        return frames, fit

    def _kept(
        self, state: PoseSearchState, improved: ImprovedPoses, radius: float, record: dict[str, Any]
    ) -> PoseSearchState:
        estimates = improved.estimates
        state = self._with_diffusion(replace(state, record=record), improved.alone)
        record = {
            **(state.record or {}),
            "radius": radius,
            "score": float(estimates.score.mean()),
            "angle_sd_degrees": float(torch.rad2deg(estimates.turn_variance.sqrt()).median()),
        }
        return replace(state, radius=radius, estimates=estimates, volume=None, record=record)

    def _with_diffusion(self, state: PoseSearchState, alone: PoseEstimates) -> PoseSearchState:
        """The state with the diffusion coefficient of poses that own images alone have led to."""
        if self.settings.diffusion == "none":
            return state
        training = self.frames.training
        fit = fit_diffusion(alone.rotations, alone.turn_variance, training, self.steps)
        if fit is None:
            return state
        coefficient = math.degrees(1) ** 2 * fit.coefficient
        fitted = asdict(fit) | {"coefficient": coefficient, "useful": fit.useful}
        finite = {k: v if math.isfinite(v) else None for k, v in fitted.items()}
        return replace(
            state,
            diffusion=coefficient if fit.useful else state.diffusion,
            inflation=max(fit.inflation, 1.0),
            record={**(state.record or {}), "diffusion": finite},
        )

    def _concluded(self, state: PoseSearchState) -> PoseSearchState:
        """The last state, with the symmetry of the volume and the agreement of the starts."""
        estimates, alike = self._estimates(state), None
        folds = self._folded.back_project(estimates, min(state.radius, SEARCH_RADIUS))
        symmetry = find_symmetry(folds.volumes[-1], folds.half_fsc)
        starts, evidences = state.starts, state.start_evidences
        if starts is not None and evidences is not None and len(starts) > 1:
            found = estimates.rotations[self._rows]
            alike = frames_alike(starts, int(np.argmax(evidences.numpy())), found, symmetry)
        concluded = {"symmetry": asdict(symmetry), "starts_alike": alike}
        return replace(
            state,
            finished=True,
            starts=None,
            start_evidences=None,
            symmetry=symmetry,
            starts_alike=alike,
            record={**(state.record or {}), **concluded},
        )

    def _count(self, stage: Stage) -> int:
        return sum(name == stage for name, _ in self.plan)

    @property
    def _from_images(self) -> bool:
        return self.settings.source == "estimate"

    def _scope(self, state: PoseSearchState) -> SearchScope:
        """Range of a wide search. Linked frames have poses from their movies; alone they err."""
        return "here" if self._from_images and self._chain(state) else self._wide

    @property
    def _wide(self) -> SearchScope:
        return "everywhere" if self._from_images else "here" if self._near else "around"

    @cached_property
    def _near(self) -> PoseErrors | None:
        """Errors of given poses that are so small that no search is needed; else None."""
        if self._from_images or not isinstance(self.settings.diffusion, str):
            return None
        errors = self.errors or measure_pose_errors(self.frames)
        return errors if errors is not None and errors.are_near else None

    @cached_property
    def _prior(self) -> RotationPrior | None:
        return None if self._near is None else self._near.prior(self.given.rotations)

    @property
    def _components(self) -> int:
        """Number of components that the training frames support."""
        return largest_components(self.frames.training)

    @cached_property
    def _rows(self) -> np.ndarray:
        """Rows of the training movies."""
        return np.concatenate(self.frames.training)

    @cached_property
    def _starts(self) -> RandomStarts:
        return RandomStarts(
            frames=self._folded,
            training=self.frames.training,
            movies=self.frames.movies,
            steps=self.steps,
            diffusion=self.settings.diffusion,
            power=self._power,
            rounds=self.rounds,
            most=self.settings.effort,
            seed=self.seed,
        )

    @cached_property
    def _folded(self) -> FoldedFrames:
        model = self.frames.forward_model
        shift_sd = self.settings.shift_sd * model.box * model.pixel_size_angstrom
        if self._near is not None:
            shift_sd = self._near.shift_sd(model.pixel_size_angstrom)
        return FoldedFrames.deal(
            self.frames, shift_sd_angstrom=shift_sd, window_radius=self.window_radius
        )

    @cached_property
    def _power(self) -> Tensor:
        """Power of slices at integer radii: what exceeds the noise in the training frames."""
        return power_of_slices(self.frames.forward_model, self.frames.source, self._rows)

    def _chain(self, state: PoseSearchState) -> PoseChain | None:
        """Chain that links the frames of movies, if its coefficient is known by now."""
        asked = self.settings.diffusion
        coefficient = state.diffusion if isinstance(asked, str) else asked
        if coefficient is None:
            return None
        tau = math.radians(1) ** 2 * coefficient * torch.from_numpy(self.steps)
        return PoseChain(self.frames.movies, tau, state.inflation)

    def _estimates(self, state: PoseSearchState) -> PoseEstimates:
        return state.estimates or PoseEstimates.at(self.given.rotations)

    def _counter(self, progress: Progress, note: str) -> Callable[[int], None]:
        done = 0

        def count(n_frames: int) -> None:
            nonlocal done
            done += n_frames
            progress(done, len(self.given), note)

        return count
