"""The run of the linear dynamical model: low resolution, half sets, all frames.

Three steps, each followed by a checkpoint: ``start`` fits the model at low resolution and chooses
the number of components, ``halves`` fits half of the movies each at full resolution and takes the
prior from their agreement, ``joint`` iterates with all movies. Every step is a function of the one
before, so that a run that was stopped ends as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.frames import PreparedFrames
from temporem.io import checkpoint
from temporem.linear.agreement import LEAST_MOVIES, half_agreement
from temporem.linear.cross_fit import CoarseFit, fit_coarse, initial_parameters
from temporem.linear.dynamics import Dynamics
from temporem.linear.half_sets import fit_halves, principal_axes
from temporem.linear.masks import moving_mask, solvent_mask
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.solver import LinearSolver
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.progress import Progress
from temporem.runs.config import RunConfig

_FRAMES_PER_COMPONENT = 10
_TENSORS = {  # of a checkpoint, by how many steps leave them behind
    1: ("mean", "covariance", "lag", "rotation", "decay", "masks"),
    2: ("halves", "noise", "precision"),
    3: ("volumes",),
}


@dataclass(frozen=True)
class LinearResult:
    """A fitted linear model.

    Attributes:
        parameters: volumes on the full grid, dynamics, noise.
        posterior: of all frames, held out or not.
        halves: μ and components of the half sets, ``(2, q + 1, D, D, D)``.
        masks: solvent and moving, ``(2, D, D, D)``.
    """

    parameters: LinearParameters
    posterior: Posterior
    halves: Tensor
    masks: Tensor


class LinearRun:
    """Fits the linear model of a run, step by step.

    Args:
        config: of the run, method ``linear``.
        frames: what is fitted.
        movies: the movies that may be looked at.
        held_out: the others; they get posteriors at the end.
        masks: solvent and moving mask ``(D, D, D)``, None to make them from the data.
        run_dir: receives ``metrics.jsonl`` and ``checkpoint/``.
        progress: told of every pass over the frames.
        world: the processes that share every pass; each has a run of its own.
        validate: see whether halves of the movies find the components on their own.
    """

    def __init__(
        self,
        config: RunConfig,
        frames: PreparedFrames,
        movies: list[np.ndarray],
        held_out: list[np.ndarray],
        masks: tuple[Tensor | None, Tensor | None],
        run_dir: Path,
        progress: Progress | None = None,
        processes: ProcessGroup = SINGLE_PROCESS,
        *,
        validate: bool = False,
    ) -> None:
        self.config = config
        self.settings = config.linear
        self.validate = validate and len(movies) >= LEAST_MOVIES
        self.frames = frames
        self.data = replace(frames.movie_frames, on_pass=self._count_pass)
        self.data = self.data.shared(frames.movies, processes)
        self.movies = movies
        self.held_out = held_out
        self.given_masks = masks
        self.run_dir = run_dir
        self.progress = progress
        self.processes = processes
        self.prior = frames.spectral_prior
        self.tensors: dict[str, Tensor] = {}
        self._last: tuple[LinearParameters, Sums] | None = None
        self._passes = 0
        self.state: dict[str, Any] = {"kind": "linear", "done": 0, "seconds": 0.0, "q": 0}

    @property
    def _n_steps(self) -> int:
        return 2 + self.settings.iterations

    @property
    def _stage(self) -> str:
        """The step that comes next."""
        return ("start", "halves", "joint")[min(self.state["done"], 2)]

    @property
    def _steps(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """What each does; it returns its line of ``metrics.jsonl``."""
        return {"start": self._start, "halves": self._halves, "joint": self._joint}

    def fit(self) -> LinearResult:
        """Do what is left to do; returns the fitted model."""
        while self.state["done"] < self._n_steps:
            started = time.monotonic()
            self._tell()
            record = {"stage": self._stage, **self._steps[self._stage]()}
            # As they are read back: the last bits of products depend on the order in memory.
            self.tensors = {name: t.contiguous() for name, t in self.tensors.items()}
            self.processes.same(*self.tensors.values())
            self.state["done"] += 1
            self.state["seconds"] += time.monotonic() - started
            self._save(record)
        self._tell()
        return self._result()

    # --- steps ---

    def _start(self) -> dict[str, Any]:
        settings, q = self.settings, self.config.model.z_dim
        candidates = [q]
        if settings.choose_components:
            most = min(settings.most_components, largest_components(self.movies))
            candidates = list(range(1, most + 1))
        fit = fit_coarse(
            self.data,
            self.movies,
            candidates,
            self.prior,
            temporal=settings.temporal,
            window_radius=self.config.data.window_radius,
            seed=self.config.seed,
        )
        self.state["q"] = fit.parameters.q
        axes = principal_axes(fit.solver, fit.parameters.volumes)
        components = torch.einsum(
            "ij,jzyx->izyx", axes.to(fit.parameters.volumes), fit.parameters.volumes[1:]
        )
        posterior = fit.sums.posterior.transformed(axes)
        self._keep_posterior(posterior)
        self._keep_dynamics(fit.parameters.dynamics.rotated(axes))
        self.tensors["masks"] = torch.stack(self._masks(components, posterior))
        record: dict[str, Any] = {"components": self.state["q"]}
        if fit.scores:
            record["held_out_log_likelihood"] = fit.scores
        if self.validate:
            record["half_agreement"] = self._agreement(fit)
        return record | {"log_likelihood": fit.sums.log_likelihood}

    def _masks(self, components: Tensor, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """Solvent and moving mask, inside the window of the images."""
        box = self.frames.forward_model.box
        solvent, moving = self.given_masks
        if moving is None:
            rows = torch.from_numpy(np.concatenate(self.movies))
            mean = posterior.mean[rows]
            moving = moving_mask(components, mean.mT @ mean / len(mean), box)
        if solvent is None:
            solvent = solvent_mask(self.frames.mean_volume.volume, moving.cpu())
        ball = window_ball(box, self.config.data.window_radius)
        return solvent.cpu() * ball, moving.cpu() * ball

    def _halves(self) -> dict[str, Any]:
        # Not the tight masks: what two masked maps share at their edges is no agreement.
        ball = window_ball(self.frames.forward_model.box, self.config.data.window_radius)
        solver = self._solver(ball.to(self.data.device))
        first = self._first_parameters(solver)
        halves = fit_halves(solver, first, self._posterior(), self.data, self.movies)
        self._keep_posterior(halves.posterior)
        self.tensors |= {"noise": halves.noise, "precision": halves.precision}
        self.tensors["halves"] = halves.volumes
        return {"half_fsc": halves.fsc.T.tolist()}

    def _agreement(self, fit: CoarseFit) -> dict[str, Any]:
        temporal, seed = self.settings.temporal, self.config.seed
        found = half_agreement(fit, self.movies, self.prior, temporal=temporal, seed=seed)
        numbers = {name: value.tolist() for name, value in vars(found).items()}
        return numbers | {"components_found": found.n_found}

    def _joint(self) -> dict[str, Any]:
        solver = self._joint_solver()
        iteration = self.state["done"] - 1
        if iteration == 1:
            parameters = self._first_parameters(solver)
            blocks = self.data.blocks(self.movies)
            parameters = solver.update(
                parameters, solver.gather(parameters, self._posterior(), blocks)
            )
            sums = solver.expect(parameters, self.data.blocks(self.movies))
        else:
            parameters = self._parameters()
            sums = self._sums(solver, parameters)
            parameters, sums = solver.improve(
                parameters, sums, lambda: self.data.blocks(self.movies)
            )
        self._last = (parameters, sums)
        self.tensors |= {"volumes": parameters.volumes, "noise": parameters.noise}
        self._keep_dynamics(parameters.dynamics)
        self._keep_posterior(sums.posterior)
        return {
            "iteration": iteration,
            "log_likelihood": sums.log_likelihood,
            "objective": sums.objective,
        }

    def _result(self) -> LinearResult:
        """The model in its principal axes, with posteriors of all frames."""
        solver = self._joint_solver()
        parameters = self._parameters()
        posterior = self._posterior()
        if self.held_out:
            unseen = solver.expect(parameters, self.data.blocks(self.held_out))
            posterior = posterior + unseen.posterior
        axes = principal_axes(solver, parameters.volumes)
        volumes = parameters.volumes.clone()
        volumes[1:] = torch.einsum("ij,jzyx->izyx", axes.to(volumes), volumes[1:])
        return LinearResult(
            replace(parameters, volumes=volumes, dynamics=parameters.dynamics.rotated(axes)),
            posterior.transformed(axes),
            self.tensors["halves"],
            self.tensors["masks"],
        )

    # --- parts ---

    def _solver(self, mask: Tensor) -> LinearSolver:
        model, n = self.frames.forward_model, len(self.data)
        return LinearSolver(model, self._grid, mask, self.data.intervals, n, self.processes)

    @property
    def _grid(self) -> PaddedGrid:
        model = self.frames.forward_model
        return PaddedGrid(model.box, float(model.support.radii[-1]), self.data.device)

    def _joint_solver(self) -> LinearSolver:
        solvent, moving = self.tensors["masks"].to(self.data.device)
        return self._solver(torch.stack([solvent] + [moving] * self.state["q"]))

    def _first_parameters(self, solver: LinearSolver) -> LinearParameters:
        parameters = initial_parameters(
            solver, self.state["q"], self.prior, temporal=self.settings.temporal
        )
        names = [name for name in ("noise", "precision") if name in self.tensors]
        found = {name: self.tensors[name].to(self.data.device) for name in names}
        return replace(parameters, dynamics=self._dynamics(), **found)

    def _parameters(self) -> LinearParameters:
        device = self.data.device
        t = {name: self.tensors[name].to(device) for name in ("volumes", "noise", "precision")}
        return LinearParameters(t["volumes"], self._dynamics(), t["noise"], t["precision"])

    def _sums(self, solver: LinearSolver, parameters: LinearParameters) -> Sums:
        """Of the parameters; those of the last iteration are at hand unless it was resumed."""
        if self._last is not None:
            return self._last[1]
        return solver.expect(parameters, self.data.blocks(self.movies))

    def _posterior(self) -> Posterior:
        names = ("mean", "covariance", "lag")
        return Posterior(*(self.tensors[name] for name in names))

    def _keep_posterior(self, posterior: Posterior) -> None:
        self.tensors |= vars(posterior)

    def _dynamics(self) -> Dynamics:
        return Dynamics(self.tensors["rotation"], self.tensors["decay"], self.settings.temporal)

    def _keep_dynamics(self, dynamics: Dynamics) -> None:
        self.tensors |= {"rotation": dynamics.rotation, "decay": dynamics.decay}

    # --- checkpoints ---

    def _count_pass(self) -> None:
        self._passes += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self._stage, self.state["done"], self._n_steps, {"pass": self._passes})

    def _save(self, record: dict[str, Any]) -> None:
        if not self.processes.is_main:
            return
        record = {**record, "seconds": round(self.state["seconds"], 3)}
        path = self.run_dir / "metrics.jsonl"
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        # Volumes, the model of a finished run, are not there before its end.
        checkpoint.save_checkpoint(
            self.run_dir / "checkpoint", None, self.state, extra=self.tensors
        )

    def restore(self) -> None:
        """Continue after the last step that was finished."""
        directory = self.run_dir / "checkpoint"
        state = checkpoint.load_state(directory)
        if state.get("kind") != "linear":
            raise TemporemError(f"{directory}: checkpoint of another kind of run")
        most = max(self.settings.most_components, self.config.model.z_dim)
        done = checkpoint.load_count(state, "done", directory, below=self._n_steps + 1)
        q = checkpoint.load_count(state, "q", directory, below=most + 1)
        seconds = checkpoint.load_number(state, "seconds", directory)
        self.state = {"kind": "linear", "done": done, "seconds": seconds, "q": q}
        names = [name for after, names in _TENSORS.items() if done >= after for name in names]
        self.tensors = checkpoint.load_extra(directory, self._shapes(q), names)
        if not self.processes.is_main:
            return
        metrics = self.run_dir / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines(keepends=True)
        metrics.write_bytes(b"".join(lines[:done]))

    def _shapes(self, q: int) -> dict[str, tuple[int, ...]]:
        """Of the tensors of a checkpoint, for q components."""
        n, box = len(self.data), self.frames.forward_model.box
        shells = self._grid.n_shells
        return {
            "mean": (n, q),
            "covariance": (n, q, q),
            "lag": (n, q, q),
            "rotation": (q, q),
            "decay": (q, q),
            "masks": (2, box, box, box),
            "halves": (2, q + 1, box, box, box),
            "precision": (shells, q + 1),
            "volumes": (q + 1, box, box, box),
            "noise": (shells,),
        }


def largest_components(movies: list[np.ndarray]) -> int:
    """How many components the frames support: ten frames for each."""
    return sum(map(len, movies)) // _FRAMES_PER_COMPONENT
