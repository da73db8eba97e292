"""A reconstruction from dataset to finished run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temporem.data.dataset import MovieDataset, read_dataset
from temporem.data.files import atomic_write, fresh_directory
from temporem.data.outputs import require_replaceable
from temporem.data.volume import write_volume
from temporem.errors import TemporemError
from temporem.models.voxels import VoxelGenerator
from temporem.training.checkpoint import save_checkpoint
from temporem.training.config import RunConfig, save_config
from temporem.training.frames import PreparedFrames, prepare_frames
from temporem.training.loop import Progress, Trainer, infer_all
from temporem.training.precision import choose_device
from temporem.training.run_files import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    METRICS_NAME,
    VolumeGrid,
    is_finished,
    load_run_config,
    write_frames,
    write_grid,
)

_HELD_OUT_STREAM = 1  # of random numbers, besides those of the training


@dataclass(frozen=True, eq=False)
class _Job:
    """What a reconstruction works on, checked and prepared."""

    config: RunConfig
    dataset: MovieDataset
    training_movies: list[np.ndarray]
    held_out: np.ndarray  # bool (N,)
    frames: PreparedFrames


def reconstruct(
    config: RunConfig,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
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

    Returns:
        ``output``.

    Raises:
        TemporemError: bad input; a run that exists, or is not there, or was started with another
            configuration; training that diverges.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
    """
    output = Path(output)
    if resume:
        _require_same_config(load_run_config(output), config, output)
        if is_finished(output):
            return output
        job = _prepare(config)
    else:
        with _new_run(output, overwrite=overwrite) as directory:
            job = _prepare(config)
            save_config(config, directory / CONFIG_NAME)
    if config.method == "homogeneous":
        _back_project(job, output)
    else:
        _train(job, output, progress)
    return output


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
def _new_run(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder that becomes the run when all input proves good."""
    if overwrite:
        require_replaceable(output, "a run", holds=CONFIG_NAME)
    with fresh_directory(output, overwrite=overwrite) as directory:
        yield directory


def _prepare(config: RunConfig) -> _Job:
    device = choose_device(config.training.device)
    dataset = read_dataset(config.dataset)
    if config.method == "tempor":
        dataset.require_movies(min_frames=2)
    training, held_out = split_movies(dataset.movies, config.data.held_out_fraction, config.seed)
    n = sum(map(len, training))
    for key, value in (
        ("model.z_dim", config.model.z_dim),
        ("training.frames_per_step", config.training.frames_per_step),
    ):
        if config.method != "homogeneous" and value > n:
            raise TemporemError(
                f"{key} is {value}, and there are {n} frames to train on",
                expected=f"at most {n}",
            )
    mask = np.zeros(dataset.n_frames, dtype=bool)
    for movie in held_out:
        mask[movie] = True
    frames = prepare_frames(dataset, config.data, config.model.encoder_input, training, device)
    return _Job(config, dataset, training, mask, frames)


def _train(job: _Job, output: Path, progress: Progress | None) -> None:
    trainer = Trainer(job.config, job.frames, job.training_movies, output, progress)
    if (output / CHECKPOINT_NAME).is_dir():
        trainer.restore()
    else:
        (output / METRICS_NAME).unlink(missing_ok=True)  # of epochs that no checkpoint keeps
    model = trainer.fit()
    write_grid(output, _grid(job))
    write_frames(output, job.dataset, job.held_out, infer_all(model, job.frames))


def _back_project(job: _Job, output: Path) -> None:
    """Write the volume that explains all training frames best, and the half maps."""
    mean, grid = job.frames.mean_volume, _grid(job)
    maps = {"mean": mean.volume, "half1": mean.half_volumes[0], "half2": mean.half_volumes[1]}
    for name, volume in maps.items():
        volume_in_image_units = (grid.noise_scale * volume).numpy()
        write_volume(output / f"{name}.mrc", volume_in_image_units, grid.pixel_size_angstrom)
    voxels = VoxelGenerator(grid.box)
    voxels.set_volume(mean.volume)
    save_checkpoint(output / CHECKPOINT_NAME, voxels, {"finished": True, "kind": "homogeneous"})
    record = {"stage": "homogeneous", "half_fsc": mean.half_fsc.tolist()}
    with atomic_write(output / METRICS_NAME) as partial:
        partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
    write_grid(output, grid)
    write_frames(output, job.dataset, job.held_out, None)


def _grid(job: _Job) -> VolumeGrid:
    return VolumeGrid(job.dataset.box, job.dataset.pixel_size_angstrom, job.frames.noise_scale)


def _require_same_config(started: RunConfig, wanted: RunConfig, output: Path) -> None:
    """Refuse to continue a run as another one, naming the first setting that differs."""
    before, now = _flatten(started.model_dump()), _flatten(wanted.model_dump())
    for key, value in before.items():
        if now[key] != value:
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
