"""A reconstruction from dataset to finished run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.dvae.learned_poses import learned_poses
from temporem.dvae.training import START_NAME, Trainer, infer_all
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.fingerprint import fingerprint
from temporem.frames.frame_stack import open_frames
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.frames.readers import read_dataset
from temporem.io.checkpoint import resume_if_possible, save_checkpoint
from temporem.io.files import atomic_write, fresh_directory, held
from temporem.io.mrc import read_mask, write_volume
from temporem.io.outputs import require_no_links, require_replaceable
from temporem.physics.masks import soft_ball
from temporem.progress import Progress
from temporem.runs.config import RunConfig, save_config
from temporem.runs.linear import LinearRun, largest_components
from temporem.runs.memory import require_memory
from temporem.runs.pose_state import POSES_NAME
from temporem.runs.poses import FoundPoses, PoseRun
from temporem.runs.predictions import write_predictions
from temporem.runs.run_files import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    FINGERPRINT_NAME,
    METRICS_NAME,
    VolumeGrid,
    is_finished,
    load_run_config,
    require_dataset_of,
    write_frames,
    write_grid,
)
from temporem.volumes.linear_volumes import LinearVolumes

_FOLDERS = (CHECKPOINT_NAME, POSES_NAME, START_NAME)
_HELD_OUT_STREAM = 1  # of random numbers, besides those of the training


@dataclass(frozen=True, eq=False)
class _Task:
    """What a reconstruction is asked for, checked."""

    config: RunConfig
    dataset: Dataset
    training_movies: list[np.ndarray]
    held_out: np.ndarray  # bool (N,)
    masks: tuple[Tensor | None, Tensor | None]  # of the linear model, None to make them
    device: torch.device
    processes: ProcessGroup


@dataclass(frozen=True, eq=False)
class _Job(_Task):
    """What it works on, prepared; the dataset has the poses that were found, if any were."""

    frames: PreparedFrames
    poses: FoundPoses | None


def reconstruct(
    config: RunConfig,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Path:
    """Reconstruct a volume for every frame of ``config.dataset`` and write a run.

    All input is read and checked before the run's folder appears, and before one that exists is
    replaced. The run is finished when ``frames.star`` is there.

    Args:
        config: what to do; complete.
        output: the run's folder.
        overwrite: replace a run that exists. A folder of anything else is never replaced.
        resume: continue a run that was stopped, from its last checkpoint; it ends as it would
            have without the stop. Nothing happens to a finished run.
        progress: told after every optimiser step.
        world: the processes that share the work; the first writes.

    Returns:
        ``output``.

    Raises:
        TemporemError: bad input; a run that exists, or is not there, or was started with another
            configuration, or is being written by another process; training that diverges.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
    """
    output = Path(output)
    if resume:
        started = load_run_config(output)
        _require_same_config(started, config, output)
        if is_finished(output):
            return output
        with _held(output, processes):
            _carry_out(*_continue(started, config, output, processes), output, progress)
    else:
        begun = _begin(config, output, processes, overwrite=overwrite)
        with _held(output, processes):
            _carry_out(*begun, output, progress)
    return output


def _held(output: Path, processes: ProcessGroup) -> AbstractContextManager[None]:
    return held(output) if processes.is_main else nullcontext()


def _begin(
    config: RunConfig, output: Path, processes: ProcessGroup, *, overwrite: bool
) -> tuple[_Task, _Job | None]:
    """Make the folder of a run; there is no job yet where poses must be found first."""
    with _new_run(config, output, processes, overwrite=overwrite) as directory:
        task = _check(config, processes)
        job = None if task.config.searches_poses else _prepare(task)
        if directory is not None:
            save_config(config, directory / CONFIG_NAME)
            (directory / FINGERPRINT_NAME).write_text(f"{fingerprint(task.dataset)}\n")
    return task, job


def _continue(
    started: RunConfig, config: RunConfig, output: Path, processes: ProcessGroup
) -> tuple[_Task, _Job | None]:
    """The same of a run that was stopped; its dataset may have moved."""
    require_no_links([output, *output.iterdir(), *(output / CHECKPOINT_NAME).glob("*")])
    moved = started.model_copy(update={"dataset": config.dataset})
    task = _check(moved, processes)
    require_dataset_of(output, task.dataset)
    if processes.is_main and moved != started:
        save_config(moved, output / CONFIG_NAME)
    return task, None if task.config.searches_poses else _prepare(task)


def _carry_out(task: _Task, job: _Job | None, output: Path, progress: Progress | None) -> None:
    if job is None:
        poses = PoseRun(
            task.config, task.dataset, task.training_movies, output, progress, task.processes
        ).fit()
        job = _prepare(replace(task, dataset=poses.of(task.dataset)), poses)
    if task.config.method == "homogeneous":
        _back_project(job, output)
    elif task.config.method == "linear":
        _solve(job, output, progress)
    else:
        _train(job, output, progress)


def split_movies(
    movies: list[np.ndarray], held_out_fraction: float, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Movies to train on and movies held out, whole movies chosen at random.

    Raises:
        TemporemError: fewer than two movies remain to train on (half sets need two).
    """
    n = round(held_out_fraction * len(movies))
    if held_out_fraction > 0:
        n = max(n, 1)
    if len(movies) - n < 2:
        raise TemporemError(
            f"{len(movies) - n} of {len(movies)} movies would be left to train on",
            expected="at least 2",
            hint="lower data.held_out_fraction" if n else "add movies",
        )
    order = np.random.default_rng([seed, _HELD_OUT_STREAM]).permutation(len(movies))
    chosen = set(order[:n].tolist())
    return (
        [movie for i, movie in enumerate(movies) if i not in chosen],
        [movie for i, movie in enumerate(movies) if i in chosen],
    )


@contextmanager
def _new_run(
    config: RunConfig, output: Path, processes: ProcessGroup, *, overwrite: bool
) -> Iterator[Path | None]:
    """A folder that becomes the run when all input proves good; None where another makes it."""
    if not processes.is_main:
        processes.wait()
        yield None
        processes.wait()
    else:
        if overwrite:
            inputs = [config.dataset, *config.linear.mask_files]
            require_replaceable(output, "a run", holds=CONFIG_NAME, folders=_FOLDERS, inputs=inputs)
        with fresh_directory(output, overwrite=overwrite) as directory:
            processes.wait()  # nobody reads images for a folder that cannot be written
            yield directory
            processes.wait()  # nor is one replaced for input that another process cannot use
    processes.wait()


def _check(config: RunConfig, processes: ProcessGroup) -> _Task:
    device = choose_device(config.training.device, processes)
    if processes.size > 1 and device.type == "cuda":
        torch.cuda.set_device(device)
    dataset = read_dataset(config.dataset)
    if config.poses.source != "estimate":
        dataset.require_poses()
    elif dataset.has_poses:  # not looked at
        dataset = dataset.without_poses()
    masks = _read_masks(config, dataset) if config.method == "linear" else (None, None)
    training, held_out = split_movies(dataset.movies, config.data.held_out_fraction, config.seed)
    n = sum(map(len, training))
    for key, value in (
        ("model.z_dim", config.model.z_dim),
        ("training.frames_per_step", config.training.frames_per_step),
    ):
        if config.method in ("static", "tempor") and value > n:
            raise TemporemError(
                f"{key} is {value}, and there are {n} frames to train on",
                expected=f"at most {n}",
            )
    mask = np.zeros(dataset.n_frames, dtype=bool)
    for movie in held_out:
        mask[movie] = True
    if config.method == "linear":
        _require_enough(config, training)
    if config.method == "tempor" or (config.method == "linear" and config.linear.temporal):
        _require_dynamics(config, dataset, training)
    require_memory(config, dataset, device)
    if config.poses.source != "known":
        open_frames(dataset, config.data)  # refuses images of which the noise is unknown
    return _Task(config, dataset, training, mask, masks, device, processes)


def _prepare(task: _Task, poses: FoundPoses | None = None) -> _Job:
    config = task.config
    frames = prepare_frames(
        task.dataset,
        config.data,
        config.encoder_input,
        task.training_movies,
        task.device,
        posed=config.learned_poses != "head",
        moving_poses=config.moving_poses,
    )
    return _Job(**vars(task), frames=frames, poses=poses)


def _train(job: _Job, output: Path, progress: Progress | None) -> None:
    frames, movies, processes = job.frames, job.training_movies, job.processes
    trainer = Trainer(job.config, frames, movies, output, progress, processes, job.poses)
    resume_if_possible(trainer, output, processes)
    model = trainer.fit()
    latents = infer_all(model, frames, processes)
    dataset, poses = job.dataset, job.poses
    if model.poses is not None:
        poses = learned_poses(model, frames, dataset, latents.mean, processes)
        dataset = poses.of(dataset)
    if not processes.is_main:
        return
    write_grid(output, _grid(job))
    write_frames(output, dataset, job.held_out, latents.mean, latents.log_variance.exp(), poses)


def _solve(job: _Job, output: Path, progress: Progress | None) -> None:
    """Fit the linear model and write its volumes, half maps, masks and posteriors."""
    run = LinearRun(
        job.config,
        job.frames,
        job.training_movies,
        [movie for movie in job.dataset.movies if job.held_out[movie].any()],
        job.masks,
        output,
        progress,
        job.processes,
        validate=True,
    )
    resume_if_possible(run, output, job.processes)
    result = run.fit()
    if not job.processes.is_main:
        return
    q = result.parameters.q
    model = job.config.model.model_copy(update={"z_dim": q})
    save_config(job.config.model_copy(update={"model": model}), output / CONFIG_NAME)
    grid = _grid(job)
    maps = {"mask": result.masks[0], "focus_mask": result.masks[1]}
    maps |= _named(result.parameters.volumes, "mean", "component")
    for half, volumes in enumerate(result.halves, start=1):
        maps |= _named(volumes, f"half{half}", f"half{half}_component")
    for name, volume in maps.items():
        scale = 1.0 if "mask" in name else grid.noise_scale
        write_volume(
            output / f"{name}.mrc", (scale * volume).cpu().numpy(), grid.pixel_size_angstrom
        )
    generator = LinearVolumes(grid.box, q)
    generator.set_maps(result.parameters.volumes)
    state = {**run.state, "finished": True}
    # With all that it was made from, so that a run which is stopped here can be resumed.
    save_checkpoint(output / CHECKPOINT_NAME, generator, state, extra=run.tensors)
    write_grid(output, grid)
    posterior = result.posterior
    write_predictions(output, job.dataset, job.frames.intervals, job.frames.interval_index, result)
    write_frames(output, job.dataset, job.held_out, posterior.mean, posterior.covariance, job.poses)
    dynamics = result.parameters.dynamics
    kept = {"rotation": dynamics.rotation, "decay": dynamics.decay}
    save_checkpoint(output / CHECKPOINT_NAME, generator, state, extra=kept)


def _named(volumes: Tensor, mean: str, component: str) -> dict[str, Tensor]:
    """μ and U_1 … U_q by the names of their files."""
    return {f"{component}{j}" if j else mean: volume for j, volume in enumerate(volumes)}


def _require_enough(config: RunConfig, training: list[np.ndarray]) -> None:
    """Raise a TemporemError where the frames cannot support the linear model that is asked for."""
    n, most = sum(map(len, training)), largest_components(training)
    q = 1 if config.linear.choose_components else config.model.z_dim
    if q > most:
        raise TemporemError(
            f"{q} component{'s' if q > 1 else ''} asked for, and {n} frames to train on",
            expected="ten frames for each",
            hint=f"at most {most}, or --components auto" if most else "add frames",
        )


def _require_dynamics(config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
    """Raise a TemporemError where no movie has a second frame."""
    if all(len(movie) == 1 for movie in training):
        instead = "--no-temporal" if config.method == "linear" else "--method static"
        raise TemporemError(
            f"{dataset.path}: every movie has one frame, so there are no dynamics to be found",
            expected="movies of 2 frames or more",
            hint=f"{instead}, or check _rlnParticleName and _rlnMovieFrameNumber",
        )


def _read_masks(config: RunConfig, dataset: Dataset) -> tuple[Tensor | None, Tensor | None]:
    """The solvent and the moving mask that were asked for; None where they are to be made."""
    masks: list[Tensor | None] = []
    for name in (config.linear.mask, config.linear.focus_mask):
        if name == "auto":
            masks.append(None)
        elif name == "none":
            masks.append(torch.ones((dataset.box,) * 3))
        else:
            mask = torch.from_numpy(read_mask(name, dataset.box))
            radius = config.data.window_radius * dataset.box / 2
            if not (mask * soft_ball(dataset.box, 3, radius, 0.0) > 0.5).any():
                raise TemporemError(
                    f"mask {name} is empty within the window of the images",
                    expected=f"voxels above 0.5 within {radius:g} voxels of the centre",
                    hint="centre the mask on the box, or raise data.window_radius",
                )
            masks.append(mask)
    return masks[0], masks[1]


def _back_project(job: _Job, output: Path) -> None:
    """Write the volume that explains all training frames best, and the half maps."""
    if not job.processes.is_main:
        return
    mean, grid = job.frames.mean_volume, _grid(job)
    maps = {"mean": mean.volume, "half1": mean.half_volumes[0], "half2": mean.half_volumes[1]}
    for name, volume in maps.items():
        volume_in_image_units = (grid.noise_scale * volume).numpy()
        write_volume(output / f"{name}.mrc", volume_in_image_units, grid.pixel_size_angstrom)
    generator = LinearVolumes(grid.box, 0)
    generator.set_mean(mean.volume)
    save_checkpoint(output / CHECKPOINT_NAME, generator, {"finished": True, "kind": "homogeneous"})
    record = {"stage": "homogeneous", "half_fsc": mean.half_fsc.tolist()}
    with atomic_write(output / METRICS_NAME) as partial:
        partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    write_grid(output, grid)
    write_frames(output, job.dataset, job.held_out, poses=job.poses)


def _grid(job: _Job) -> VolumeGrid:
    return VolumeGrid(job.dataset.box, job.dataset.pixel_size_angstrom, job.frames.noise_scale)


def _require_same_config(started: RunConfig, wanted: RunConfig, output: Path) -> None:
    """Refuse to continue a run as another one, naming the first setting that differs."""
    before, now = _flatten(started.model_dump()), _flatten(wanted.model_dump())
    if started.linear.choose_components and started.method == "linear":
        now["model.z_dim"] = before["model.z_dim"]  # the run chooses it
    for key, value in before.items():
        if key != "dataset" and now[key] != value:  # it may have moved
            raise TemporemError(
                f"{output} was started with {key} = {value}, and {now[key]} is asked for now",
                expected="the same settings to resume",
                hint="leave the option out, or start another run",
            )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
