"""The evaluation of a run, or of any other volumes, against the truth of a dataset."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Align, Evaluation, EvaluationSettings, Progress, evaluate
from temporem.evaluation.frames import Frames
from temporem.evaluation.pose_conformation_coupling import pose_conformation_coupling
from temporem.evaluation.poses import pose_agreement, same_poses
from temporem.evaluation.state_alignment import AlignedStates
from temporem.frames.dataset import STAR_NAME, Dataset
from temporem.frames.readers import read_dataset
from temporem.physics.rigid_transform import RigidTransform
from temporem.poses.alignment import align_poses
from temporem.runs.decoder import Decoder
from temporem.runs.run import Run, require_dataset_of
from temporem.simulation.truth import Truth, read_truth_of
from temporem.volumes.source import VolumeSource


def evaluate_run(
    run: Run,
    dataset: str | Path,
    *,
    every: int = 1,
    align: Align = "all",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a run against the truth of a simulated dataset.

    Args:
        run: a finished run.
        dataset: the dataset that it was made from.
        every: evaluate every so manieth frame of every movie.
        align: what is aligned as one, where the run found its poses.
        progress: told after every batch of frames.

    Raises:
        TemporemError: the dataset has no truth, or its rows are not the frames of the run.
    """
    movies = read_dataset(dataset)
    require_made_from(run, movies)
    truth = read_truth_of(movies)
    frames = frames_to_evaluate(movies, held_out=run.held_out, every=every)
    source = Decoder(run, frames.rows)
    return evaluate_source(
        source,
        truth,
        frames,
        latents=run.latents,
        poses=(run.poses.rotations, run.poses.shifts_angstrom),
        align=align,
        progress=progress,
    )


def alignment(run: Run, truth: Truth) -> RigidTransform | None:
    """From the frame of a run to that of the truth; None where the run has the true poses."""
    poses = run.poses.rotations, run.poses.shifts_angstrom
    if _are_true(poses, truth):
        return None
    return align_poses(*poses, truth.rotations, truth.shifts_angstrom)[0]


def require_made_from(run: Run, movies: Dataset) -> None:
    """Raise a TemporemError where a dataset cannot be the one that a run was made from.

    Simulations of other seeds have the same names of frames. A run that took its poses from a
    dataset tells it by them; one that found poses of its own, by the fingerprint.
    """
    run.require_frames_of(movies)
    if run.config.poses.source != "known":
        looked_at = movies.without_poses() if run.config.poses.source == "estimate" else movies
        require_dataset_of(run.path, looked_at)
        return
    if not movies.has_poses:
        return
    poses = (movies.poses.rotations, movies.poses.shifts_angstrom)
    if not same_poses(run.poses.rotations, run.poses.shifts_angstrom, *poses):
        raise TemporemError(
            f"{run.path} was made with other poses than those of {movies.path / STAR_NAME}",
            expected=f"the dataset that it was made from ({run.config.dataset})",
        )


def _are_true(poses: tuple[Tensor, Tensor], truth: Truth) -> bool:
    return same_poses(*poses, truth.rotations, truth.shifts_angstrom)


def evaluate_source(
    source: VolumeSource,
    truth: Truth,
    frames: Frames,
    *,
    latents: np.ndarray | None = None,
    poses: tuple[Tensor, Tensor] | None = None,
    align: Align = "all",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the volumes, latents and poses of any method against the truth of a dataset.

    Args:
        source: a volume for each of the frames.
        truth: what they should be.
        frames: which rows of the dataset to evaluate.
        latents: latent means of **all** N frames of the dataset, ``(N, q)``; None for a method
            without latents.
        poses: rotations ``(N, 3, 3)`` and displacements ``(N, 2)`` that the method found or used;
            None for the true ones. The volumes are in the frame of these poses, so that the truth
            is moved into it where they are others.
        align: move all of the truth as one, or every true state by the poses of its own frames.
        progress: told after every batch of frames.

    Raises:
        TemporemError: volumes or latents that are not finite or of another size than the truth;
            states that cannot be aligned.
    """
    agreement, change = None, None
    moved: Truth | AlignedStates = truth
    if poses is not None and not _are_true(poses, truth):
        agreement, change = pose_agreement(*poses, truth.rotations, truth.shifts_angstrom)
        if align == "states":
            moved = AlignedStates(truth, *poses, mirrored=change.mirrored)
            agreement = replace(
                agreement, angle_degrees=moved.angle_degrees, shift_angstrom=moved.shift_angstrom
            )
        else:
            moved = truth.placed(change.linear, change.shift_angstrom)
        agreement = agreement.at(frames.rows)
    evaluation = evaluate(
        source,
        moved,
        frames,
        box=truth.config.box,
        pixel_size_angstrom=truth.config.pixel_size_angstrom,
        latents=None if latents is None else latents[frames.rows],
        parameters=truth.parameters.numpy()[frames.rows],
        parameter_names=truth.parameter_names,
        states=truth.states[frames.rows],
        poses=agreement,
        unmoved_truth=None if moved is truth else truth,
        settings=EvaluationSettings(align=align),
        progress=progress,
    )
    if poses is None or change is None:
        return evaluation
    coupling = pose_conformation_coupling(
        change.rotations(poses[0])[frames.rows],
        truth.rotations[frames.rows],
        frames.movie,
        None if latents is None else latents[frames.rows],
        truth.states[frames.rows],
    )
    return replace(evaluation, coupling=coupling)


def frames_to_evaluate(
    dataset: Dataset, *, held_out: np.ndarray | None = None, every: int = 1
) -> Frames:
    """The frames of all movies, thinned out within every movie, with those held out marked.

    Thinning starts at another frame in each movie: were it the same one, movies that begin in the
    same state would show only some of their states.

    Args:
        dataset: where they come from.
        held_out: whether each frame's movie was kept from training, bool ``(N,)``; None for no.
        every: keep every so manieth frame of every movie.
    """
    movies = enumerate(dataset.movies)
    kept_back = [] if held_out is None else [i for i, rows in movies if held_out[rows].any()]
    frames = Frames.of_dataset(dataset, held_out=kept_back)
    position = np.concatenate([np.arange(len(r)) + i for i, r in enumerate(dataset.movies)])
    chosen = position % every == 0
    return Frames(**{field.name: getattr(frames, field.name)[chosen] for field in fields(Frames)})
