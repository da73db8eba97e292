"""A finished run applied to movies that it has not seen: latents and poses, without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from temporem.checks import Evidence, examine, require_sound
from temporem.device import choose_device
from temporem.distributed import SINGLE_PROCESS
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.frames.readers import read_dataset
from temporem.frames.source import Weighted
from temporem.io.checkpoint import load_checkpoint
from temporem.io.files import fresh_directory
from temporem.physics.poses import Poses
from temporem.poses.candidates import SEARCH_RADIUS
from temporem.poses.known_volumes import KnownVolumes
from temporem.poses.settings import PoseSource
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.methods import find_method
from temporem.runs.methods.base import Infers, Outcome, Task
from temporem.runs.pose_choice import settle_poses, with_settled
from temporem.runs.pose_head import guess_of_run_head, has_head
from temporem.runs.run import Run
from temporem.runs.shown_molecule import fit_mean, mean_volume
from temporem.runs.writing import require_replaceable_run, write_outcome, write_request
from temporem.volumes.linear_volumes import LinearVolumes

_RADIUS = 12.0  # cycles per box, below which the intensity of the images is compared
_FAINT = 0.6  # strength below which many poses are wrong
_OF_TRAINING = ("movies", "views")  # checks of what a fit of volumes needs
_POSES_SHARE = 0.6  # of the time


def apply_run(
    run: Run,
    dataset: str | Path,
    output: str | Path,
    *,
    poses: PoseSource = "auto",
    invert: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Path:
    """Infer latents, and if need be poses, of movies that a run has not seen; write a run of them.

    The volumes stay as they are. The images may have another intensity and another level of noise:
    both are measured. The result is a run like any other, to evaluate, export or look at.

    Args:
        run: a finished run.
        dataset: new movies of the same molecule, with the same box and pixel size.
        output: folder to write.
        poses: ``known`` takes the poses of the dataset, ``refine`` improves them, ``estimate``
            finds them in the run's volumes: by the run's pose head if it has one, else by a search.
            ``auto``: known, or refine where the images show that they are off; estimate where the
            dataset has none.
        invert: flip the sign of the images, for dark molecules; None does as the run did.
        overwrite: replace a run that exists.
        progress: receives the progress.
        warn: receives what the checks of the dataset find, before the work begins.

    Returns:
        ``output``.

    Raises:
        TemporemError: another box or pixel size, images that do not show the molecule, no poses
            where they are to be known, or a method that cannot be applied.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> new = tm.load_run(tm.apply_run(run, "movies", "new-run"))
        >>> new.latents.shape
        (200, 1)
    """
    progress, output = progress or Progress(), Path(output)
    method = find_method(run.config.method)
    if not isinstance(method, Infers):
        raise TemporemError(
            f"{run.path} was made with --method {run.config.method}, which cannot be applied to "
            "new movies",
            expected="a run of linear, tempor, static or homogeneous",
        )
    if overwrite:
        require_replaceable_run(output, [dataset, run.path])
    task = _checked(run, dataset, poses, invert)
    for doubt in task.doubts:
        warn(doubt.sentence)
    stored, given = load_checkpoint(run.path / names.MODEL), task.dataset
    with fresh_directory(output, overwrite=overwrite) as folder:
        write_request(folder, task.config, given)
        intensity, poses_from = None, "the dataset"
        if task.config.poses.source != "known":
            found = _found_poses(run, task, progress.part(0, _POSES_SHARE), warn)
            intensity, poses_from = found.intensity, found.source
            posed = given.with_poses(found.poses)
            task = replace(task, dataset=posed, poses=found.poses, as_given=None)
        frames = task.prepare(task.device, posed=True)
        progress(_POSES_SHARE, 1, "intensity")
        if intensity is None:
            fit = fit_mean(run, frames, 0, _RADIUS)
            fit.require_molecule(run, found=False)
            intensity = fit.factor
        progress(_POSES_SHARE + 0.1, 1, "latents")
        seen = _in_units_of(frames, intensity)
        mean, covariance = method.infer(stored, task.config, task.dataset, seen)
        outcome = Outcome(model=stored, mean=mean, covariance=covariance)
        facts = {
            "applied_run": str(run.path.resolve()),
            "applied_intensity": intensity,
            "applied_poses": poses_from,
        }
        write_outcome(folder, task, outcome, frames, run.grid.noise_scale, facts)
    progress(1, 1)
    return output


def _checked(run: Run, path: str | Path, poses: PoseSource, invert: bool | None) -> Task:
    """Read and check new movies, with the settings of a run."""
    movies = read_dataset(path)
    _require_same_grid(run, movies)
    if poses == "auto" and not movies.has_poses:
        poses = "estimate"
    if poses == "estimate":
        movies = movies.without_poses()
    else:
        movies.require_poses()
    if poses == "auto" and movies.n_movies == 1:
        poses = "known"  # errors are measured against half sets of movies
    settings = run.config
    data = {"held_out_fraction": 0.0, "shuffle_frames": False}
    data |= {} if invert is None else {"invert": invert}
    config = settings.model_copy(
        update={
            "dataset": str(Path(path).resolve()),
            "data": settings.data.model_copy(update=data),
        }
    )
    config = with_settled(config, source=poses, learned="none", diffusion="none")
    evidence = Evidence.of(movies, config.data, halves=config.method != "homogeneous")
    findings = [found for found in examine(evidence) if found.check not in _OF_TRAINING]
    doubts = require_sound(findings, config.data, movies.path)
    device = choose_device("auto")
    task = Task(config, movies, movies.movies, device, SINGLE_PROCESS, doubts=doubts)
    return settle_poses(task) if poses == "auto" else task


def _in_units_of(frames: Frames, intensity: float) -> Frames:
    """The frames, their CTF times the intensity, so that the run's volumes explain them."""
    factor = torch.full((len(frames),), intensity)
    white = torch.ones(len(frames.forward_model.support))
    return replace(frames, source=Weighted(frames.source, factor, white))


@dataclass(frozen=True, eq=False)
class _Found:
    """Poses that were found in the volumes of a run.

    Attributes:
        poses: poses of all frames.
        intensity: intensity of the molecule beside the noise, that of the run being 1.
        source: where they come from, in words.
    """

    poses: Poses
    intensity: float
    source: str


def _found_poses(run: Run, task: Task, progress: Progress, warn: Callable[[str], None]) -> _Found:
    """Find the poses of all frames in the run's volumes.

    A search fits the noise of images to any volume. So frequencies that it does not use tell if the
    images show the molecule, and how strongly. Where they do not tell, images are taken to have the
    scale of those of the run.
    """
    done, n = 0, 2 * task.dataset.n_frames

    def count(n_frames: int) -> None:
        nonlocal done
        done += n_frames
        progress(done, n, "poses")

    posed = task.config.poses.source == "refine"
    frames = task.prepare(torch.device("cpu"), posed=posed)
    # Both sets of images are taken to have the same intensity until poses are known.
    ratio = run.grid.noise_scale / frames.statistics.noise_scale
    components = None
    if isinstance(run.generator, LinearVolumes) and run.generator.z_dim:
        components = ratio * run.generator.maps[1:].cpu()
    guess = None
    if not posed and has_head(run):
        guess = guess_of_run_head(run, frames, ratio)
    volumes = KnownVolumes(
        frames=frames,
        given=task.dataset.poses,
        mean=ratio * mean_volume(run),
        components=components,
        settings=task.config.poses,
        window_radius=task.config.data.window_radius,
        errors=task.pose_errors,
        guess=guess,
    )
    found = volumes.search(count)
    unseen = fit_mean(run, volumes.posed(found), SEARCH_RADIUS, task.dataset.box / 2)
    if unseen.is_telling:
        unseen.require_molecule(run, found=True)
        if unseen.factor < _FAINT:
            hint = "; --poses estimate looks everywhere" if posed else ""
            warn(
                "many poses may be wrong: in those that were found, images show the mean volume of "
                f"the run at {unseen.factor:.2g} of its strength{hint}"
            )
    else:
        warn(
            "the images are too few or too noisy to tell if they show the molecule of the run; "
            "compare the volumes with other results"
        )
    intensity = unseen.factor if unseen.is_telling else ratio
    source = "the dataset, refined" if posed else "the pose head" if guess else "a search"
    return _Found(volumes.refine(found, count), intensity, source)


def _require_same_grid(run: Run, movies: Dataset) -> None:
    same = abs(movies.pixel_size_angstrom / run.grid.pixel_size_angstrom - 1) < 1e-3
    if movies.box != run.grid.box or not same:
        raise TemporemError(
            f"{movies.path} has {movies.box} pixels of {movies.pixel_size_angstrom:g} Å, but "
            f"{run.path} was made from {run.grid.box} pixels of {run.grid.pixel_size_angstrom:g} Å",
            expected="the same box and pixel size",
            hint=f"temporem import … --size {run.grid.box} "
            f"--pixel-size {run.grid.pixel_size_angstrom:g}",
        )
