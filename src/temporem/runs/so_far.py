"""Runs that are not finished, as their last checkpoint has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.readers import read_dataset
from temporem.io.checkpoint import load_checkpoint
from temporem.io.state import Parts
from temporem.linear.state import LinearState
from temporem.poses.search_state import PoseSearchState
from temporem.runs import names
from temporem.runs.config import RunConfig
from temporem.runs.facts import RunFacts
from temporem.runs.held_out import movies_of_run
from temporem.runs.methods import find_method
from temporem.runs.methods import linear as linear_method
from temporem.runs.methods import network as network_method
from temporem.runs.methods.network import Network, Static, Tempor
from temporem.runs.poses import PART as POSES
from temporem.runs.run import Run, load_run_config, require_dataset_of
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Decodes, VolumeGrid

_WITH_VOLUMES = 3  # steps of the linear model after which it has volumes of all movies


@dataclass(frozen=True, eq=False)
class RunSoFar:
    """A run that is not finished.

    Attributes:
        run: with volumes and latents of its last checkpoint; the poses are those it works with.
        words: a sentence on how far it is.
    """

    run: Run
    words: str


def load_run_so_far(path: Path) -> RunSoFar:
    """Read the last checkpoint of a run that is not finished; its dataset is needed.

    Raises:
        TemporemError: no checkpoint with volumes yet, or a method that has none before the end; a
            dataset that has moved or changed; a damaged checkpoint.
    """
    config = load_run_config(path)
    method = find_method(config.method)
    linear = config.method == linear_method.PART
    known = linear or isinstance(method, Tempor | Static)
    if not known or config.learned_poses != "none":
        what = "learns its poses with the network" if known else f"has method {config.method}"
        raise TemporemError(
            f"{path} is not finished and {what}, so there is nothing to show before its end",
            hint=_finish(path, config),
        )
    file = path / names.state_file(linear_method.PART if linear else network_method.PART)
    stored = load_checkpoint(file) if file.is_file() else None
    if stored is None or (linear and stored.integer("done", least=1) < _WITH_VOLUMES):
        raise TemporemError(
            f"{path} is still training, and has no checkpoint with volumes yet",
            hint=f"look again later; if it was stopped, {_finish(path, config)}",
        )
    dataset = read_dataset(config.dataset)
    require_dataset_of(path, dataset)
    if config.searches_poses:
        dataset = _in_found_poses(path, dataset)
    movies, training = movies_of_run(dataset, config)
    frames = prepare_frames(movies, config.data, training, choose_device("auto"))
    when = datetime.fromtimestamp(file.stat().st_mtime).strftime("%H:%M")
    if linear:
        state = LinearState.from_parts(stored, n_frames=len(frames), box=dataset.box)
        assert state.volumes is not None
        generator = LinearVolumes(dataset.box, state.q)
        generator.set_maps(state.volumes)
        mean, covariance = state.posterior.mean, state.posterior.covariance
        done = f"step {state.done} of the linear model"
        return _so_far(path, config, dataset, frames, generator, mean, covariance, done, when)
    network = Network(config.method, _kind(stored), "")
    q = config.model.z_dim
    grid = _grid(dataset, frames)
    decodes: Decodes = network.load(stored, config, grid, q)
    mean, variance = network.infer(stored, config, movies, frames)
    epochs = stored.integer("epoch")
    done = f"{epochs} of {config.training.epochs} epochs" if epochs else "its first epoch"
    covariance = torch.diag_embed(variance)
    return _so_far(path, config, dataset, frames, decodes, mean, covariance, done, when)


def _so_far(
    path: Path,
    config: RunConfig,
    dataset: Dataset,
    frames: Frames,
    generator: Any,
    mean: Tensor,
    covariance: Tensor,
    done: str,
    when: str,
) -> RunSoFar:
    device, grid = choose_device("auto"), _grid(dataset, frames)
    held_out = torch.ones(dataset.n_frames, dtype=torch.bool)
    for movie in frames.training:
        held_out[torch.from_numpy(movie)] = False
    facts = RunFacts(
        box=grid.box,
        pixel_size_angstrom=grid.pixel_size_angstrom,
        noise_scale=grid.noise_scale,
        z_dim=mean.shape[1],
        latent_covariance=True,
    )
    run = Run(
        grid=grid,
        generator=generator.to(device),
        latent_means=mean.float().to(device),
        path=path,
        config=config,
        facts=facts,
        particle_names=list(dataset.particle_names),
        frame_numbers=dataset.frame_numbers,
        times_seconds=dataset.times_seconds,
        held_out=held_out.numpy(),
        poses=dataset.poses,
        latent_covariance=covariance.float().cpu().numpy(),
    )
    return RunSoFar(run, f"Still training: its last checkpoint, {done}, written at {when}.")


def _grid(dataset: Dataset, frames: Frames) -> VolumeGrid:
    scale = frames.statistics.noise_scale
    return VolumeGrid(dataset.box, dataset.pixel_size_angstrom, scale)


def _in_found_poses(path: Path, dataset: Dataset) -> Dataset:
    """The dataset in the poses that the search of a run has found."""
    stored = load_checkpoint(path / names.state_file(POSES))
    return dataset.with_poses(PoseSearchState.from_parts(stored, dataset.poses).result())


def _kind(stored: Parts) -> Any:
    """Kind of the model in the current stage, which may be another than in the end."""
    kind = stored.document.get("model")
    if kind not in ("tempor", "static"):
        raise stored.damaged(f"model is {str(kind)[:40]}")
    return kind


def _finish(path: Path, config: RunConfig) -> str:
    return f"finish it with temporem reconstruct {config.dataset} -o {path} --resume"
