"""Poses found before anything else is: from images alone, or from poses a few degrees off.

What comes of it replaces the poses of the dataset, and the method of the run goes on as it does
with poses that are known. Steps, each followed by a checkpoint in ``RUN/poses``:

- ``ab initio``, with ``poses.source=estimate``: low-resolution volumes from several random
  starts, of which the likeliest is kept (:mod:`temporem.poses.ab_initio`);
- ``poses``: every frame against the volume of the other movies, then new volumes
  (:mod:`temporem.poses.estimation`). Resolution rises as half sets agree;
- ``motion``, unless the method is ``homogeneous``: a linear model of the frames at low resolution
  (:mod:`temporem.linear.cross_fit`) in the poses so far, then every frame against all volumes
  of the model, its coordinate being found with its pose. Frames whose conformation is too far from
  the mean for their pose to be found before come in one after the other. At last frames of like
  coordinates are turned as one, so that most of the molecule stays where it is
  (:mod:`temporem.poses.conformational_alignment`).

With ``poses.diffusion``, frames of a movie tell one another's poses
(:mod:`temporem.poses.chain`); ``auto`` fits the coefficient after every step.

At the end the volume is looked at for rotational symmetry, up to which poses are determined only
(:mod:`temporem.poses.symmetry`), and random starts are compared: what part of the frames they have
found alike. Every step is a function of the one before, so that a run that was stopped ends as one
that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.dataset import Dataset
from temporem.frames.frame_stack import FrameStack, open_frames
from temporem.frames.frames import CHANGE_FRACTION, prepared_bytes, spectra
from temporem.frames.intervals import frame_intervals, frame_steps
from temporem.frames.frames import Frames
from temporem.frames.source import blocks_of, loaded
from temporem.io import checkpoint
from temporem.linear.cross_fit import SpectralPrior, fit_coarse
from temporem.linear.half_sets import principal_axes
from temporem.linear.masks import moving_mask
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.ab_initio import AbInitio, Round, frames_alike
from temporem.poses.chain import PoseChain
from temporem.poses.conformational_alignment import classes_of, conformational_alignment
from temporem.poses.diffusion import fit_diffusion
from temporem.poses.estimation import (
    FOLDS,
    SEARCH_RADIUS,
    Improved,
    PoseProblem,
    Poses,
    SearchScope,
)
from temporem.poses.symmetry import Symmetry, find_symmetry
from temporem.progress import Progress
from temporem.runs.config import RunConfig
from temporem.runs.linear import largest_components
from temporem.runs.pose_state import POSES_NAME, load_pose_state

_ROUNDS = (*[Round(4, 18)] * 15, *[Round(5, 15)] * 8, *[Round(6, 13)] * 5, *[Round(8, 11)] * 3)
"""Of every start. At 5 cycles a volume that gives a motion to the poses may still be likelier."""

_STARTS = "start_rotations"  # in checkpoints
_SEARCHES = {0, 2}  # iterations that look everywhere, or around
_AGREEMENT = 0.3  # of half sets, up to which frequencies are used, and a few more
_FURTHER = 2.0  # cycles per box
# Classes to be brought into one frame. Noise as strong as their differences would make a sum of
# magnitudes one of squares: therefore few, of many frames, and not at all frequencies.
_CLASSES = 6
_FRAMES_OF_A_CLASS = 100  # at least, on average
_CLASS_RADIUS = 8.0  # cycles per box


@dataclass(frozen=True)
class FoundPoses:
    """Poses of N frames and how well they are known.

    Attributes:
        rotations: molecule to camera, float64 ``(N, 3, 3)``.
        shifts_angstrom: displacement of the particle, float64 ``(N, 2)``.
        angle_sd_degrees: root mean square over three axes of the posterior, ``(N,)``.
        shift_sd_angstrom: over two, ``(N,)``.
    """

    rotations: Tensor
    shifts_angstrom: Tensor
    angle_sd_degrees: Tensor
    shift_sd_angstrom: Tensor

    def of(self, dataset: Dataset) -> Dataset:
        """The dataset with these poses in the place of its own."""
        return dataset.with_poses(self.rotations, self.shifts_angstrom)


class PoseRun:
    """Finds the poses of a run, step by step.

    Args:
        config: of the run.
        dataset: its frames.
        movies: the movies that volumes may be made of; the poses of others are found too.
        run_dir: receives ``poses/``.
        progress: told of what is done.
        world: the processes of the run; the first works, and tells the others.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        movies: list[np.ndarray],
        run_dir: Path,
        progress: Progress | None = None,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.config = config
        self.settings = config.poses
        self.dataset = dataset
        self.movies = movies
        self.directory = run_dir / POSES_NAME
        self.progress = progress
        self.processes = processes
        self.tensors: dict[str, Tensor] = {}
        self.state: dict[str, Any] = {"kind": "poses", "done": 0, "seconds": 0.0, "records": []}

    @property
    def _n_starts(self) -> int:
        return self.settings.starts if self.settings.source == "estimate" else 0

    @property
    def _n_steps(self) -> int:
        moves = self.config.method != "homogeneous" and largest_components(self.movies) > 0
        return self._n_starts + self.settings.iterations + moves * self.settings.motion_iterations

    def fit(self) -> FoundPoses:
        """Do what is left to do; returns the poses."""
        n = self.dataset.n_frames
        if self.processes.is_main:
            self._continue()
            if self.state["done"] < self._n_steps:
                self._work()
            poses = self._poses()
            shifts = self.dataset.shifts_angstrom + poses.shifts_angstrom
            variances = poses.covariance.diagonal(dim1=-2, dim2=-1)
            angle_sd = torch.rad2deg(variances[:, :3].mean(-1).sqrt())
            found = FoundPoses(poses.rotations, shifts, angle_sd, variances[:, 3:].mean(-1).sqrt())
        else:
            zero = torch.zeros(n, dtype=torch.float64)
            found = FoundPoses(zero.new_zeros(n, 3, 3), zero.new_zeros(n, 2), zero, zero.clone())
        self.processes.same(*vars(found).values())
        return found

    def _work(self) -> None:
        stack = open_frames(self.dataset, self.config.data)
        self.problem = self._problem(stack)
        while self.state["done"] < self._n_steps:
            started = time.monotonic()
            done = self.state["done"]
            record = self._step(done)
            if done + 1 == self._n_steps:
                self._conclude()
            self.state["seconds"] += time.monotonic() - started
            self.state["records"].append(record | {"seconds": round(self.state["seconds"], 3)})
            self.state["done"] += 1
            checkpoint.save_checkpoint(self.directory, None, self.state, extra=self.tensors)

    def _step(self, done: int) -> dict[str, Any]:
        if done < self._n_starts:
            return self._start(done)
        done -= self._n_starts
        if done < self.settings.iterations:
            return self._improve(done)
        return self._move(done - self.settings.iterations)

    def _problem(self, stack: FrameStack) -> PoseProblem:
        size = prepared_bytes(stack.forward_model, len(stack), None)
        in_memory = size <= self.config.data.memory_gb * 2**30
        fold = np.full(len(stack), FOLDS)
        for i, movie in enumerate(self.movies):
            fold[movie] = i % FOLDS
        return PoseProblem(
            model=stack.forward_model,
            source=loaded(stack) if in_memory else stack,
            fold=fold,
            shift_sd_angstrom=self._shift_sd,
            window_radius=self.config.data.window_radius,
        )

    @property
    def _temporal(self) -> bool:
        """Whether frames may learn from their neighbours: not for methods that do not."""
        method = self.config.method
        if all(len(movie) == 1 for movie in self.movies):
            return False
        return method == "tempor" or (method == "linear" and self.config.linear.temporal)

    @property
    def _chain(self) -> PoseChain | None:
        """How frames follow one another, where that is known by now."""
        asked = self.settings.diffusion
        coefficient = self.state.get("diffusion") if isinstance(asked, str) else asked
        if coefficient is None:
            return None
        tau = math.radians(1) ** 2 * coefficient * torch.from_numpy(frame_steps(self.dataset))
        return PoseChain(self.dataset.movies, tau, self.state.get("inflation", 1.0))

    def _fit_diffusion(self, poses: Poses) -> dict[str, Any]:
        """Whether, and how, the next step shall have frames told of by their neighbours."""
        if self.settings.diffusion == "none":
            return {}
        variance = poses.covariance.diagonal(dim1=-2, dim2=-1)[:, :3].mean(-1)
        fit = fit_diffusion(poses.rotations, variance, self.movies, frame_steps(self.dataset))
        if fit is None:
            return {}
        coefficient = math.degrees(1) ** 2 * fit.coefficient
        self.state["diffusion"] = coefficient if fit.useful else None
        self.state["inflation"] = max(fit.inflation, 1.0)
        fitted = asdict(fit) | {"coefficient": coefficient, "useful": fit.useful}
        return {"diffusion": {k: v if math.isfinite(v) else None for k, v in fitted.items()}}

    @property
    def _shift_sd(self) -> float:
        return self.settings.shift_sd * self.dataset.box * self.dataset.pixel_size_angstrom

    # --- steps ---

    @cached_property
    def _power(self) -> Tensor:
        """Power of slices at integer radii, from what exceeds the noise in the images."""
        problem, rows = self.problem, np.concatenate(self.movies)
        sums = torch.zeros(2, len(problem.model.support), dtype=torch.float64)
        for part in blocks_of(rows, problem.source.n_pixels):
            images, ctf = problem.source.take(part)
            sums[0] += images.abs().square().sum(0, dtype=torch.float64)
            sums[1] += ctf.square().sum(0, dtype=torch.float64)
        power, squares = spectra(problem.model, sums / len(rows))
        return power / squares

    def _start(self, number: int) -> dict[str, Any]:
        """One random start, kept if it is the likeliest so far."""
        search = self._ab_initio
        seed = int(np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0])
        volume, evidence = search.first_volume(_ROUNDS[0].radius, seed), 0.0
        for i, step in enumerate(_ROUNDS):
            self._tell(f"start {number + 1}", {"round": i + 1, "log_evidence": evidence})
            expected = search.iterate(volume, step, seed + i)
            volume, evidence = expected.volume, expected.log_evidence
        before = self._evidences
        if not before or evidence > max(before):
            self.tensors["volume"] = volume
        earlier = [self.tensors[_STARTS]] if before else []
        self.tensors[_STARTS] = torch.cat([*earlier, expected.rotations[None]])
        record = {"stage": "ab initio", "start": number + 1, "log_evidence": evidence}
        if number == self._n_starts - 1:
            record["chosen"] = int(np.argmax([*before, evidence])) + 1
        return record

    @property
    def _evidences(self) -> list[float]:
        """Of the starts so far, in their last rounds."""
        return [record["log_evidence"] for record in self.state["records"][: self._n_starts]]

    @cached_property
    def _ab_initio(self) -> AbInitio:
        """Frames of the training movies at low resolution, in memory, for all starts."""
        problem = self.problem
        n = problem.n_pixels(_ROUNDS[-1].radius)
        rows = np.concatenate(self.movies)
        parts = [problem.source.take(part, n) for part in blocks_of(rows, problem.source.n_pixels)]
        images, ctf = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return AbInitio(
            model=problem.model,
            images=images,
            ctf=ctf,
            power=self._power,
            shift_sd_angstrom=self._shift_sd,
            window_radius=self.config.data.window_radius,
        )

    def _improve(self, iteration: int) -> dict[str, Any]:
        """Volumes from the poses so far, then poses from these volumes."""
        record: dict[str, Any] = {"stage": "poses", "iteration": iteration + 1}
        searched = iteration in _SEARCHES
        estimate = self.settings.source == "estimate"
        scope: SearchScope = "here"
        if searched:
            scope = "everywhere" if estimate else "around"
        n = self.dataset.n_frames
        radius = self.state.get("radius", SEARCH_RADIUS)
        self._tell("poses", {"iteration": iteration + 1})
        if "rotations" not in self.tensors and estimate:
            poses = Poses.at(torch.eye(3).repeat(n, 1, 1))
            volumes = self.tensors["volume"][None]
        else:
            poses = self._poses()
            folds = self.problem.back_project(poses, radius)
            volumes = folds.volumes
            record["half_fsc"] = folds.half_fsc.tolist()
            radius = max(radius, self._next_radius(folds.half_fsc))

        improved = self.problem.improve(
            volumes,
            poses,
            radius,
            scope=scope,
            around_degrees=self.settings.around_degrees,
            chain=self._chain,
            progress=self._frame_counter(record),
        )
        return record | self._keep(improved, radius)

    def _move(self, iteration: int) -> dict[str, Any]:
        """A linear model of what changes, then poses and coordinates of frames by it."""
        record: dict[str, Any] = {"stage": "motion", "iteration": iteration + 1}

        def tell() -> None:
            self._tell("motion", {"iteration": iteration + 1})

        tell()
        poses, problem, radius = self._poses(), self.problem, self.state["radius"]
        intervals, interval_index = frame_intervals(self.dataset)
        frames = Frames(
            problem.model,
            problem.centred(poses),
            poses.rotations.float(),
            intervals,
            interval_index,
            on_pass=tell,
        )
        fit = fit_coarse(
            frames,
            self.movies,
            [min(self.settings.components, largest_components(self.movies))],
            SpectralPrior(self._power, CHANGE_FRACTION * self._power),
            temporal=self._temporal,
            window_radius=self.config.data.window_radius,
            seed=self.config.seed,
        )
        volumes = fit.parameters.volumes
        axes = principal_axes(fit.solver, volumes)
        components = torch.einsum("ij,jzyx->izyx", axes.to(volumes), volumes[1:])
        # Where a part moves, and no more: a turn of the whole molecule is a matter of poses.
        mask = moving_mask(components, torch.eye(len(components)), components.shape[-1])
        improved = problem.improve(
            problem.back_project(poses, radius).volumes,
            poses,
            radius,
            scope="everywhere" if self.settings.source == "estimate" else "around",
            around_degrees=self.settings.around_degrees,
            components=components * mask,
            chain=self._chain,
            progress=self._frame_counter(record),
        )
        posterior = fit.sums.posterior
        held_out = [m for m in self.dataset.movies if problem.fold[m[0]] == FOLDS]
        if held_out:
            unseen = frames.blocks(held_out, fit.solver.n_pixels)
            found = fit.solver.expect(fit.parameters, unseen, gradient=False)
            posterior = posterior + found.posterior
        latents = posterior.transformed(axes).mean
        improved, record["turned_degrees"] = self._aligned_conformations(improved, latents)
        record["log_likelihood"] = fit.sums.log_likelihood
        return record | self._keep(improved, radius)

    def _aligned_conformations(
        self, improved: Improved, latents: Tensor
    ) -> tuple[Improved, list[float]]:
        """Poses in which as much as possible of the molecule stays, and how far classes turned.

        Frames are put into classes by their coordinates ``(N, q)``.
        """
        rows = np.concatenate(self.movies)
        n_classes = min(_CLASSES, len(rows) // _FRAMES_OF_A_CLASS)
        if n_classes < 2:
            return improved, []
        classes = classes_of(latents, rows, n_classes, self.config.seed)
        radius = min(self.state["radius"], _CLASS_RADIUS)
        volumes = self.problem.class_volumes(improved.poses, classes, self._power, radius)
        model = self.problem.model
        changes = conformational_alignment(
            volumes, model.box * model.pixel_size_angstrom / volumes.shape[-1]
        )
        turns = torch.stack([change.rotation for change in changes])
        degrees = geodesic_degrees(turns, torch.eye(3).double()).tolist()
        return improved.changed(changes, classes), degrees

    def _conclude(self) -> None:
        """What there is to say of the poses found."""
        poses = self._poses()
        symmetry = self._symmetry(poses)
        self.state["symmetry"] = asdict(symmetry)
        starts = self.tensors.pop(_STARTS, None)
        if starts is not None and len(starts) > 1:
            chosen, rows = int(np.argmax(self._evidences)), np.concatenate(self.movies)
            alike = frames_alike(starts, chosen, poses.rotations[rows], symmetry)
            self.state["starts_alike"] = alike

    def _symmetry(self, poses: Poses) -> Symmetry:
        """Of the volume in these poses: they are determined up to it only."""
        radius = min(self.state["radius"], SEARCH_RADIUS)
        folds = self.problem.back_project(poses, radius)
        return find_symmetry(folds.volumes[-1], folds.half_fsc)

    def _keep(self, improved: Improved, radius: float) -> dict[str, Any]:
        poses = improved.poses
        self.tensors |= vars(poses)
        self.state["radius"] = radius
        turns = poses.covariance.diagonal(dim1=-2, dim2=-1)[:, :3]
        return self._fit_diffusion(improved.alone) | {
            "radius": radius,
            "score": float(poses.score.mean()),
            "angle_sd_degrees": float(torch.rad2deg(turns.mean(-1).sqrt()).median()),
        }

    def _frame_counter(self, record: dict[str, Any]) -> Callable[[int], None]:
        seen = 0

        def progress(more: int) -> None:
            nonlocal seen
            seen += more
            self._tell(record["stage"], {"iteration": record["iteration"], "frames": seen})

        return progress

    def _next_radius(self, half_fsc: Tensor) -> float:
        below = (half_fsc < _AGREEMENT).nonzero()
        last = int(below[0]) if len(below) else len(half_fsc)
        return min(last + _FURTHER, self.problem.model.box / 2)

    def _poses(self) -> Poses:
        if "rotations" not in self.tensors:
            return Poses.at(self.dataset.rotations)
        names = ("rotations", "shifts_angstrom", "covariance", "score")
        return Poses(*(self.tensors[name] for name in names))

    # --- checkpoints ---

    def _continue(self) -> None:
        if not self.directory.is_dir():
            return
        self.state = load_pose_state(self.directory, starts=self._n_starts, steps=self._n_steps)
        done, n = self.state["done"], self.dataset.n_frames
        poses = {
            "rotations": (n, 3, 3),
            "shifts_angstrom": (n, 2),
            "covariance": (n, 5, 5),
            "score": (n,),
        }
        required = list(poses) if done > self._n_starts else ["volume"] * (done > 0)
        shapes = {"volume": (-1, -1, -1), **poses}
        starts = min(done, self._n_starts)
        if starts and done < self._n_steps:
            required.append(_STARTS)
            shapes[_STARTS] = (starts, sum(map(len, self.movies)), 3, 3)
        self.tensors = checkpoint.load_extra(self.directory, shapes, required)

    def _tell(self, stage: str, terms: dict[str, float]) -> None:
        if self.progress is not None:
            self.progress(stage, self.state["done"], self._n_steps, terms)
