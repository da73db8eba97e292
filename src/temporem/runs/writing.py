"""The files of a run: what was asked for, and what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from temporem.frames.dataset import Dataset
from temporem.frames.fingerprint import fingerprint
from temporem.frames.frames import Frames
from temporem.io.checkpoint import save_checkpoint
from temporem.io.mrc import write_volume
from temporem.io.outputs import require_replaceable
from temporem.io.star import write_star
from temporem.runs import names
from temporem.runs.config import RunConfig, save_config
from temporem.runs.facts import write_facts
from temporem.runs.frames_table import write_frame_table
from temporem.runs.methods.base import Outcome, Task
from temporem.volumes.source import VolumeGrid


def require_replaceable_run(output: Path, inputs: Iterable[str | Path]) -> None:
    """Raise a TemporemError unless ``output`` is free or a run that holds none of the inputs."""
    folders = (names.CHECKPOINT, names.VALIDATION, names.KINETICS)
    require_replaceable(output, "a run", holds=names.CONFIG, folders=folders, inputs=inputs)


def write_request(folder: Path, config: RunConfig, dataset: Dataset) -> None:
    """Write the settings of a run, and the fingerprint of its dataset as it was given."""
    save_config(config, folder / names.CONFIG)
    text = f"{fingerprint(dataset)}\n"
    (folder / names.FINGERPRINT).write_text(text, encoding="ascii")


def write_outcome(
    folder: Path,
    task: Task,
    outcome: Outcome,
    frames: Frames,
    noise_scale: float,
    facts: Mapping[str, Any],
) -> None:
    """Write an outcome; ``frames.star``, which marks a finished run, comes last.

    Args:
        folder: the run.
        task: what was asked for.
        outcome: what came out.
        frames: the frames, with what was corrected.
        noise_scale: factor from the units of the outcome's volumes to those of images.
        facts: facts besides those of the outcome.
    """
    dataset = task.dataset
    grid = VolumeGrid(dataset.box, dataset.pixel_size_angstrom, noise_scale)
    for scale, maps in ((noise_scale, outcome.volumes), (1.0, outcome.masks)):
        for name, volume in maps.items():
            array = (scale * volume).cpu().numpy()
            write_volume(folder / f"{name}.mrc", array, grid.pixel_size_angstrom)
    (folder / names.CHECKPOINT).mkdir(exist_ok=True)
    save_checkpoint(folder / names.MODEL, outcome.model)
    write_facts(
        folder,
        grid,
        {**frames.corrections.facts(), **facts, **outcome.facts},
        z_dim=0 if outcome.mean is None else outcome.mean.shape[1],
        latent_covariance=outcome.covariance is not None and outcome.covariance.dim() == 3,
    )
    if outcome.predicted is not None and not task.config.data.shuffle_frames:
        write_star(folder / names.PREDICTED, {"frames": outcome.predicted})
    found = outcome.poses or task.poses
    write_frame_table(
        folder,
        dataset if found is None else dataset.with_poses(found),
        task.held_out,
        mean=outcome.mean,
        covariance=outcome.covariance,
        found=found,
        corrections=frames.corrections.columns(),
    )
