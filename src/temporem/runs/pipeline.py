"""The pipeline from a dataset to a finished run: poses, method, output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from temporem.checks import Evidence, Finding, examine, require_sound
from temporem.device import choose_device, network_dtype
from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.io.files import fresh_directory, held
from temporem.io.leftovers import adopt_leftovers
from temporem.io.outputs import require_no_links
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.config import RunConfig, save_config
from temporem.runs.held_out import movies_of_run
from temporem.runs.memory import require_memory
from temporem.runs.methods import find_method
from temporem.runs.methods.base import Job, Task
from temporem.runs.persistence import RunStore
from temporem.runs.pose_choice import settle_poses, with_settled
from temporem.runs.pose_head import poses_of_run_head
from temporem.runs.poses import find_run_poses
from temporem.runs.run import is_finished, load_run_config, require_dataset_of
from temporem.runs.writing import require_replaceable_run, write_outcome, write_request

_POSES_SHARE = 0.6  # fraction of the time of a run that searches for poses
_HEAD_SHARE = 0.8  # fraction of the rest, where a pose head is trained


def reconstruct(
    config: RunConfig,
    output: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Reconstruct a volume for every frame of ``config.dataset`` and write a run.

    All input is checked before the run's folder is made or replaced. The run is finished when
    ``frames.star`` exists.

    Args:
        config: settings, complete.
        output: the run's folder.
        overwrite: replace a run that exists. A folder of anything else is never replaced.
        resume: continue a stopped run from its last checkpoint; the result is the same as without
            the stop. A finished run stays as it is.
        progress: receives the progress of the whole run, on one scale.
        processes: processes that share the work; the first writes.
        warn: receives what the checks of the dataset find, before the work begins.

    Returns:
        ``output``.

    Raises:
        TemporemError: bad input; a run that exists, or is not there, or was started with another
            configuration, or is being written by another process; training that diverges.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.

    Example:
        >>> from temporem.runs.config import build_config
        >>> config = build_config({"dataset": "movies", "method": "homogeneous"}, source="here")
        >>> run = tm.load_run(tm.reconstruct(config, "homogeneous-run"))
    """
    output, progress = Path(output), progress or Progress()
    if resume:
        if processes.is_main:
            adopt_leftovers(output)
        processes.wait()
        started = load_run_config(output)
        _require_same_config(started, config, output)
        if is_finished(output):
            with _held(output, processes):
                RunStore(output, processes, 0).close()  # a killed run may have left it undone
            return output
        with _held(output, processes):
            task = _continue(started, config, output, processes)
            _warn(task.doubts, warn)
            _carry_out(task, output, progress)
    else:
        task = _begin(config, output, processes, overwrite=overwrite)
        with _held(output, processes):
            _warn(task.doubts, warn)
            _carry_out(task, output, progress)
    return output


def _warn(doubts: list[Finding], warn: Callable[[str], None]) -> None:
    for doubt in doubts:
        warn(doubt.sentence)


def _carry_out(task: Task, folder: Path, progress: Progress) -> None:
    """The pipeline: poses, frames in these poses, the method, its files."""
    given = task.dataset
    dataset, training = movies_of_run(given, task.config)
    task = replace(task, dataset=dataset, training=training)
    store = RunStore(folder, task.processes, task.config.checkpoint_seconds)
    store.open()
    facts: dict[str, Any] = {"data_warnings": [doubt.sentence for doubt in task.doubts]}
    if task.config.searches_poses:
        search = find_run_poses(task, store, progress.part(0, _POSES_SHARE))
        progress, poses = progress.part(_POSES_SHARE, 1), search.poses
        if task.config.learned_poses == "head":
            by_head = poses_of_run_head(task, poses, store, progress.part(0, _HEAD_SHARE))
            poses, facts["pose_head_apart_degrees"] = by_head.poses, by_head.apart_degrees
            progress = progress.part(_HEAD_SHARE, 1)
        dataset = task.dataset.with_poses(poses)
        task = replace(task, dataset=dataset, poses=poses, as_given=None)
        if search.linked and task.config.learned_poses == "table":
            task = replace(task, config=with_settled(task.config, learned="none"))
            if task.processes.is_main:
                save_config(task.config, folder / names.CONFIG)
        facts |= search.facts
    method = find_method(task.config.method)
    frames = task.prepare(task.device, posed=True)
    outcome = method.run(Job(task, frames, store, progress))
    if task.processes.is_main:
        in_place = given.with_poses(task.dataset.poses) if task.dataset.has_poses else given
        task = replace(task, dataset=in_place)
        write_outcome(folder, task, outcome, frames, frames.statistics.noise_scale, facts)
        store.close()
    progress(1, 1)


def _begin(config: RunConfig, output: Path, processes: ProcessGroup, *, overwrite: bool) -> Task:
    """Check the input and make the folder of a run."""
    with _new_run(config, output, processes, overwrite=overwrite) as directory:
        task = _checked(config, processes)
        if directory is not None:
            write_request(directory, task.config, task.dataset)
    return task


def _continue(started: RunConfig, config: RunConfig, output: Path, processes: ProcessGroup) -> Task:
    """Make the task of a stopped run again; its dataset may have moved."""
    require_no_links([output, *output.iterdir(), *(output / names.CHECKPOINT).glob("*")])
    moved = started.model_copy(update={"dataset": config.dataset})
    task = _checked(moved, processes)
    require_dataset_of(output, task.dataset)
    if processes.is_main and moved != started:
        save_config(moved, output / names.CONFIG)
    return task


def _held(output: Path, processes: ProcessGroup) -> AbstractContextManager[None]:
    return held(output) if processes.is_main else nullcontext()


@contextmanager
def _new_run(
    config: RunConfig, output: Path, processes: ProcessGroup, *, overwrite: bool
) -> Iterator[Path | None]:
    """Make a folder that becomes the run once all input is checked; None in other processes."""
    if not processes.is_main:
        processes.wait()
        yield None
        processes.wait()
    else:
        if overwrite:
            require_replaceable_run(output, [config.dataset, *config.linear.mask_files])
        with fresh_directory(output, overwrite=overwrite) as directory:
            processes.wait()  # fail before images are read if the folder cannot be written
            yield directory
            processes.wait()  # nor is one replaced for input that another process cannot use
    processes.wait()


def _checked(config: RunConfig, processes: ProcessGroup) -> Task:
    """Read and check the input of a configuration."""
    method = find_method(config.method)
    device = choose_device(config.device, processes)
    if processes.size > 1 and device.type == "cuda":
        torch.cuda.set_device(device)
    dataset = read_dataset(config.dataset)
    if config.poses.source != "estimate":
        dataset.require_poses()
    elif dataset.has_poses:  # not looked at
        dataset = dataset.without_poses()
    _, training = movies_of_run(dataset, config)
    method.check(config, dataset, training)
    if method.uses_dynamics(config):
        _require_dynamics(config, dataset, training)
    config = _with_precision(config, device, processes)
    require_memory(config, method, dataset, device)
    evidence = Evidence.of(dataset, config.data, halves=config.method != "homogeneous")
    doubts = require_sound(examine(evidence), config.data, dataset.path)
    task = Task(config, dataset, training, device, processes, doubts=doubts)
    return settle_poses(task) if config.poses.source == "auto" else task


def _with_precision(config: RunConfig, device: torch.device, processes: ProcessGroup) -> RunConfig:
    """Settle the number format, which a run keeps wherever it is resumed."""
    if config.precision != "auto":
        return config
    half = network_dtype("auto", device) is not None
    half = processes.any(processes.is_main and half)  # the first process decides
    return config.model_copy(update={"precision": "bfloat16" if half else "float32"})


def _require_dynamics(config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
    """Raise a TemporemError if no movie has a second frame."""
    if all(len(movie) == 1 for movie in training):
        instead = "--no-temporal" if config.method == "linear" else "--method static"
        raise TemporemError(
            f"{dataset.path}: every movie has one frame, so there are no dynamics to infer",
            expected="movies of 2 frames or more",
            hint=f"{instead}, or check _rlnParticleName and _rlnMovieFrameNumber",
        )


def _require_same_config(started: RunConfig, wanted: RunConfig, output: Path) -> None:
    """Refuse to resume a run with other settings, and name the first difference."""
    before, now = _flatten(started.model_dump()), _flatten(wanted.model_dump())
    if wanted.precision == "auto":  # the run chose it
        now["precision"] = before["precision"]
    for name, asked in (("source", wanted.poses.source), ("learned", wanted.poses.learned)):
        if asked == "auto":
            now[f"poses.{name}"] = before[f"poses.{name}"]
    for key in before | now:  # options may be set in one of them only
        value, wish = before.get(key), now.get(key)
        if key != "dataset" and wish != value:  # the dataset may have moved
            raise TemporemError(
                f"{output} was started with {key} = {value}, but the value is now {wish}",
                expected="the same settings to resume",
                hint="leave the option out, or start a new run with another output",
            )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
