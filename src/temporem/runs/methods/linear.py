"""The linear dynamical model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.io.checkpoint import module_tensors
from temporem.io.state import Parts
from temporem.linear.fit import (
    MOST_COMPONENTS,
    Masks,
    linear_result,
    linear_states,
    mask_of,
    require_enough,
)
from temporem.linear.likeness import component_likeness
from temporem.linear.model import LinearParameters
from temporem.linear.settings import LinearSettings
from temporem.linear.solver import LinearSolver
from temporem.linear.state import LinearFit, LinearState, dynamics_tensors, stored_dynamics
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid
from temporem.progress import Progress
from temporem.runs.config import RunConfig
from temporem.runs.masks import read_given_mask
from temporem.runs.methods.base import Job, Outcome, require_no_options
from temporem.runs.methods.homogeneous import grid_size, load_linear_volumes
from temporem.runs.persistence import RunStore
from temporem.runs.predictions import predicted_latents
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid

PART = "linear"
_BYTES_PER_CHANNEL = 24  # for a voxel of the padded grid, measured


class Linear:
    """Linear dynamical model: mean volume and components with latents that vary smoothly."""

    name = "linear"
    summary = "a mean volume plus a few difference volumes, about a minute"

    def uses_dynamics(self, config: RunConfig) -> bool:
        return config.linear.temporal

    def check(self, config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
        require_no_options(config)
        require_enough(config.linear, training)
        _given_masks(config, dataset.box)

    def memory(
        self, config: RunConfig, model: ForwardModel, longest: int, *, in_memory: bool
    ) -> tuple[int, str]:
        chosen = config.linear.components
        q = MOST_COMPONENTS if chosen == "auto" else chosen
        hint = (
            f"lower --components, which is {chosen}, or bin the images to a box below {model.box}"
        )
        return linear_memory(model, q), hint

    def run(self, job: Job) -> Outcome:
        config, frames = job.config, job.frames
        masks = _given_masks(config, frames.forward_model.box)
        state = follow_linear(
            job.store,
            frames,
            config.linear,
            masks=masks,
            window_radius=config.data.window_radius,
            seed=config.seed,
            progress=job.progress,
        )
        fit = linear_result(frames, state)
        volumes = _named(fit.parameters.volumes, "mean", "component")
        for half, own in enumerate(fit.halves, start=1):
            volumes |= _named(own, f"half{half}", f"half{half}_component")
        dynamics = fit.parameters.dynamics
        tensors = module_tensors(_volumes_of(fit.parameters.volumes), "generator.")
        tensors |= dynamics_tensors(dynamics)
        return Outcome(
            model=Parts(self.name, tensors),
            mean=fit.latents.mean,
            covariance=fit.latents.covariance,
            volumes=volumes,
            masks={"mask": fit.masks[0], "focus_mask": fit.masks[1]},
            predicted=predicted_latents(job.task.dataset, frames, fit),
            facts=facts_of(fit),
        )

    def infer(
        self, model: Parts, config: RunConfig, dataset: Dataset, frames: Frames
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Infers`."""
        q = len(model.tensors["generator.maps"]) - 1
        grid = full_grid(frames.forward_model.box, frames.device)
        solver = LinearSolver.of_frames(frames, grid, torch.ones(1, device=frames.device))
        parameters = LinearParameters(
            volumes=model.tensors["generator.maps"].to(frames.device),
            dynamics=stored_dynamics(model, q, temporal=config.linear.temporal),
            noise=torch.ones(grid.n_shells, device=frames.device),
            precision=torch.zeros(grid.n_shells, q + 1, device=frames.device),
        )
        posterior = solver.infer(
            parameters, frames.blocks(frames.movies, solver.n_pixels)
        ).posterior
        return posterior.mean, posterior.covariance

    def load(self, model: Parts, config: RunConfig, grid: VolumeGrid, z_dim: int) -> LinearVolumes:
        model.require_kind(self.name)
        own = {n: t for n, t in model.tensors.items() if n.startswith("generator.")}
        return load_linear_volumes(Parts(model.kind, own, {}, model.source), grid.box, z_dim)


def facts_of(fit: LinearFit) -> dict[str, Any]:
    """Facts about a linear model for ``run.json``."""
    return {
        "components": fit.parameters.q,
        "half_agreement": fit.agreement,
        "component_likeness": [asdict(one) for one in component_likeness(fit.parameters.volumes)],
    }


def follow_linear(
    store: RunStore,
    frames: Frames,
    settings: LinearSettings,
    *,
    least: int = 1,
    masks: Masks,
    window_radius: float,
    seed: int,
    progress: Progress,
) -> LinearState:
    """Fit the linear model of a run, from its last checkpoint if there is one."""

    def states(resume: LinearState | None) -> Iterator[LinearState]:
        return linear_states(
            frames,
            settings,
            least=least,
            masks=masks,
            window_radius=window_radius,
            seed=seed,
            resume=resume,
            progress=progress,
        )

    def load(stored: Parts) -> LinearState:
        box = frames.forward_model.box
        return LinearState.from_parts(stored, n_frames=len(frames), box=box)

    return store.follow(PART, states, load)


def linear_memory(model: ForwardModel, q: int) -> int:
    """Bytes of the sums over frames of a linear model with q components."""
    channels = 2 * (q + 1) + (q + 1) * (q + 2) // 2
    return _BYTES_PER_CHANNEL * channels * grid_size(model)


def _given_masks(config: RunConfig, box: int) -> Masks:
    """Masks from files or none, as set; None for masks to make from the data."""
    radius = config.data.window_radius
    found: list[Tensor | None] = [
        mask_of(name, box)
        if name in ("auto", "none")
        else read_given_mask(name, box, window_radius=radius)
        for name in (config.linear.mask, config.linear.focus_mask)
    ]
    return found[0], found[1]


def _named(volumes: Tensor, mean: str, component: str) -> dict[str, Any]:
    """μ and U_1 … U_q by the names of their files."""
    return {f"{component}{j}" if j else mean: volume for j, volume in enumerate(volumes)}


def _volumes_of(maps: Tensor) -> LinearVolumes:
    generator = LinearVolumes(maps.shape[-1], len(maps) - 1)
    generator.set_maps(maps.cpu())
    return generator
