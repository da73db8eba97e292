"""Evaluation of a run, of volumes in memory, or of volumes from any program, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.case import Known
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.frames import EvaluatedFrames, Movies
from temporem.evaluation.one_pass import Progress, measure
from temporem.evaluation.poses import AlignedPoses, pose_agreement, same_poses
from temporem.evaluation.settings import Align, EvaluationSettings
from temporem.evaluation.sources import VolumeFolder, has_volumes
from temporem.evaluation.state_alignment import AlignedStates
from temporem.frames.dataset import STAR_NAME, Dataset
from temporem.frames.readers import read_dataset
from temporem.physics.poses import Poses
from temporem.physics.rigid_transform import RigidTransform
from temporem.poses.alignment import align_poses
from temporem.runs.decoder import Decoder
from temporem.runs.frames_table import numeric_columns
from temporem.runs.probes import can_be_probed, probe_latents
from temporem.runs.run import Run, is_run, load_run, require_dataset_of
from temporem.simulation.truth import Truth, read_truth, read_truth_of
from temporem.volumes.source import VolumeSource


def evaluate(
    reconstruction: Run | VolumeSource | str | Path,
    truth: Truth | str | Path | None = None,
    *,
    latents: np.ndarray | None = None,
    poses: Poses | None = None,
    every: int = 1,
    align: Align = "all",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a reconstruction against the true volumes of a simulated dataset.

    Volumes are compared in the reference frame of their poses. If these are not the true poses, the
    truth is moved into that reference frame. The encoder of a run of ``static`` or ``tempor`` is
    probed too (:func:`temporem.runs.probes.probe_latents`), unless the truth is from memory.

    Args:
        reconstruction: a run or its folder; an object with ``volumes(rows)``; or a folder of MRC
            files, ``frame_<row>.mrc`` or one for each frame (:class:`VolumeFolder`). Rows that have
            no file are left out.
        truth: the truth, or the folder of the dataset that it belongs to; by default that of the
            run.
        latents: latent means of all N frames, ``(N, q)``; by default those of the reconstruction.
        poses: poses of all N frames that the volumes belong to; by default those of the run, else
            the true ones.
        every: evaluate every N-th frame of each movie.
        align: where poses are not the true ones, move all of the truth as one, or each true state
            by the poses of its own frames.
        progress: called after every batch of frames.

    Raises:
        TemporemError: no reconstruction or truth there; volumes of another box or voxel size, or
            that are not finite; latents or poses that are not those of N frames.

    Example:
        >>> of_a_run = tm.evaluate("tempor-run")
        >>> of_files = tm.evaluate("volumes", "movies")  # MRC files of any program
        >>> fit = tm.reconstruct_homogeneous(tm.read_dataset("movies"))
        >>> of_a_fit = tm.evaluate(fit, "movies", every=5)
    """
    found, covariance = _open(reconstruction), None
    probed: dict[str, np.ndarray] = {}
    nuisances: dict[str, np.ndarray] = {}
    if isinstance(found, Run):
        known, movies = _truth_of_run(found, truth)
        if known.nuisances is not None:
            nuisances = known.nuisances.against(numeric_columns(found.path))
        if movies is not None and can_be_probed(found.config):
            probed = probe_latents(found, movies)
        frames = frames_to_evaluate(known, held_out=found.held_out, every=every)
        frames = frames.at(np.isin(frames.rows, known.known_rows))
        source: VolumeSource = Decoder(found, frames.rows)
        if latents is None:
            latents, covariance = found.latents, found.latent_covariance
        poses = found.poses if poses is None else poses
    else:
        if truth is None:
            raise TemporemError(
                "no truth to evaluate against", hint="name the dataset with --truth"
            )
        known = truth if isinstance(truth, Truth) else read_truth(truth)
        frames = frames_to_evaluate(known, every=every)
        frames = frames.at(np.isin(frames.rows, known.known_rows))
        if isinstance(found, Path):
            config = known.config
            source = VolumeFolder(found, known.n_frames, config.box, config.pixel_size_angstrom)
        else:
            source = found
            if latents is None:
                latents, covariance = _latent_means(found), _latent_covariance(found)
    wanted = len(frames)
    if isinstance(source, VolumeFolder):
        frames = _present(frames, source, found)
    _require_all(known.n_frames, latents=latents, poses=poses)
    evaluation = _measure(
        source, known, frames, latents, covariance, poses, align, probed, nuisances, progress
    )
    return replace(evaluation, n_left_out=wanted - len(frames))


def frames_to_evaluate(
    movies: Movies, *, held_out: np.ndarray | None = None, every: int = 1
) -> EvaluatedFrames:
    """Select every N-th frame of each movie, and mark held-out frames.

    The first frame differs between movies. Otherwise, movies that begin in the same state would
    show only some of their states.

    Args:
        movies: a dataset or a truth.
        held_out: the movie of a frame was kept from training, bool ``(N,)``; None for none.
        every: keep every N-th frame of each movie.
    """
    all_movies = list(enumerate(movies.movies))
    kept_back = [] if held_out is None else [i for i, rows in all_movies if held_out[rows].any()]
    position = np.concatenate([np.arange(len(rows)) + i for i, rows in all_movies])
    return EvaluatedFrames.of_movies(movies, held_out=kept_back).at(position % every == 0)


def alignment(run: Run, truth: Truth) -> RigidTransform | None:
    """Find the transform from the reference frame of a run to that of the truth.

    None if the run has the true poses.
    """
    if same_poses(run.poses, truth.poses):
        return None
    rows = truth.known_rows
    return align_poses(run.poses[rows], truth.poses[rows])[0]


def require_made_from(run: Run, movies: Dataset) -> None:
    """Raise a TemporemError if a run was not made from this dataset.

    Simulations with different seeds have the same names of frames. So the check compares poses if
    the run took them from the dataset, and the fingerprint if it found its own.
    """
    run.require_frames_of(movies)
    if run.config.poses.source != "known":
        looked_at = movies.without_poses() if run.config.poses.source == "estimate" else movies
        require_dataset_of(run.path, looked_at)
        return
    if not movies.has_poses:
        return
    if not same_poses(run.poses, movies.poses):
        raise TemporemError(
            f"{run.path} was made with poses that differ from those in {movies.path / STAR_NAME}",
            expected=f"the dataset that it was made from ({run.config.dataset})",
        )


def _open(reconstruction: Run | VolumeSource | str | Path) -> Run | VolumeSource | Path:
    """Load a path if it is a run; keep a folder of volumes as a path."""
    if not isinstance(reconstruction, str | Path):
        return reconstruction
    path = Path(reconstruction)
    if is_run(path):
        return load_run(path)
    if not has_volumes(path):
        raise TemporemError(
            f"{path} is neither a run nor a folder of volumes",
            expected="a folder with config.yaml, or with frame_<row>.mrc",
            hint="make a run with temporem reconstruct",
        )
    return path


def _latent_means(source: VolumeSource) -> np.ndarray | None:
    """Latents of a reconstruction in memory; None without latents."""
    means: Tensor | None = getattr(source, "latent_means", None)
    return means.cpu().numpy() if means is not None and means.shape[1] else None


def _latent_covariance(source: VolumeSource) -> np.ndarray | None:
    """Posterior covariance of the latents of a fit in memory; None where there is none."""
    covariance: np.ndarray | None = getattr(source, "latent_covariance", None)
    return covariance


def _truth_of_run(run: Run, truth: Truth | str | Path | None) -> tuple[Truth, Dataset | None]:
    """Read the truth of the dataset of a run, and the dataset; None if the truth is known."""
    if isinstance(truth, Truth):
        return truth, None
    dataset = truth
    if dataset is None and not Path(run.config.dataset).is_dir():
        raise TemporemError(
            f"{run.config.dataset}, the dataset of {run.path}, does not exist",
            hint="name it with --truth",
        )
    movies = read_dataset(dataset or run.config.dataset)
    require_made_from(run, movies)
    return read_truth_of(movies), movies


def _present(frames: EvaluatedFrames, source: VolumeFolder, folder: object) -> EvaluatedFrames:
    present = np.isin(frames.rows, source.rows)
    if not present.any():
        raise TemporemError(
            f"{folder} has no volume of any frame to evaluate",
            hint="evaluate with --every 1, or export the frames that are evaluated",
        )
    return frames.at(present)


def _require_all(n: int, *, latents: np.ndarray | None, poses: Poses | None) -> None:
    """Raise a TemporemError unless there are latents and poses of all N frames."""
    for name, values in (("latents", latents), ("poses", poses)):
        if values is not None and len(values) != n:
            raise TemporemError(f"{len(values)} {name} for {n} frames", expected="one per frame")


def _measure(
    source: VolumeSource,
    truth: Truth,
    frames: EvaluatedFrames,
    latents: np.ndarray | None,
    covariance: np.ndarray | None,
    poses: Poses | None,
    align: Align,
    probed: Mapping[str, np.ndarray],
    nuisances: Mapping[str, np.ndarray],
    progress: Progress | None,
) -> Evaluation:
    rows, aligned = frames.rows, None
    moved: Truth | AlignedStates = truth
    if poses is not None and not same_poses(poses, truth.poses):
        agreement, change = pose_agreement(poses, truth.poses, rows=truth.known_rows)
        if align == "states":
            moved = AlignedStates(truth, poses, mirrored=change.mirrored)
            agreement = replace(
                agreement, angle_degrees=moved.angle_degrees, shift_angstrom=moved.shift_angstrom
            )
        else:
            moved = truth.placed(change.linear, change.shift_angstrom)
        aligned = AlignedPoses(
            agreement.at(rows), change.rotations(poses.rotations)[rows], truth.poses.rotations[rows]
        )
    return measure(
        source,
        moved,
        frames,
        box=truth.config.box,
        pixel_size_angstrom=truth.config.pixel_size_angstrom,
        known=Known(
            latents=None if latents is None else np.asarray(latents)[rows],
            latent_covariance=None if covariance is None else covariance[rows],
            parameters=truth.parameters.numpy()[rows],
            parameter_names=truth.parameter_names,
            states=truth.states[rows],
            poses=aligned,
            probes={name: values[rows] for name, values in probed.items()},
            nuisances={name: values[rows] for name, values in nuisances.items()},
        ),
        unmoved_truth=None if moved is truth else truth,
        settings=EvaluationSettings(align=align),
        progress=progress,
    )
