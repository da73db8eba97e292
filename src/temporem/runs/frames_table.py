"""The table ``RUN/frames.star``: movie, latent and pose of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.background import plane_basis
from temporem.frames.corrections import DEFOCUS_COLUMN, FACTOR_COLUMN, PLANE_COLUMNS
from temporem.frames.dataset import Dataset
from temporem.io.pose_columns import columns_from_poses, poses_from_table
from temporem.io.star import StarTable, read_star, write_star
from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses
from temporem.runs import names

_BLOCK = "frames"
_TIME = "temporemTimeSeconds"
ANGLE_SD = "temporemAngleSd"
"""Column of the posterior deviation of angles that a run found, degrees."""


@dataclass(frozen=True, eq=False)
class FrameTable:
    """The N frames of a run, in the order of the dataset's rows.

    Attributes:
        particle_names: movie of every frame.
        frame_numbers: position in the movie, int64 ``(N,)``.
        times_seconds: float64 ``(N,)``, NaN where the dataset has no times.
        held_out: the frame's movie was kept from training, bool ``(N,)``.
        poses: as used or found.
        mean: posterior means of the latents, float32 ``(N, q)``; q is 0 for a method without.
        covariance: float32 ``(N, q, q)``, diagonal where the table has only standard deviations;
            None where it has neither.
    """

    particle_names: list[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    held_out: np.ndarray
    poses: Poses
    mean: np.ndarray
    covariance: np.ndarray | None


def write_frame_table(
    folder: Path,
    dataset: Dataset,
    held_out: np.ndarray,
    *,
    mean: Tensor | None,
    covariance: Tensor | None,
    found: Poses | None,
    corrections: Mapping[str, np.ndarray],
) -> None:
    """Write the table of a run.

    Args:
        folder: the run.
        dataset: names and times of frames, and the poses that the run used.
        held_out: bool ``(N,)``.
        mean: posterior means of the latents, ``(N, q)``; None for a method without.
        covariance: ``(N, q, q)``, or variances ``(N, q)``; None where the method has neither.
        found: the run found the poses of the dataset; their standard deviations are written too.
        corrections: columns of what was done to the images, ``(N,)`` each.
    """
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "rlnParticleName": dataset.particle_names,
        "rlnMovieFrameNumber": dataset.frame_numbers,
    }
    if np.isfinite(dataset.times_seconds).all():
        columns[_TIME] = dataset.times_seconds
    if mean is not None:
        columns |= latent_columns(mean, covariance)
    columns |= columns_from_poses(dataset.poses)
    if found is not None and found.angle_sd_degrees is not None:
        columns[ANGLE_SD] = found.angle_sd_degrees.numpy()
    if found is not None and found.shift_sd_angstrom is not None:
        columns["temporemOriginSdAngst"] = found.shift_sd_angstrom.numpy()
    columns |= corrections
    columns["temporemHeldOut"] = held_out.astype(np.int64)
    write_star(folder / names.FRAMES, {_BLOCK: StarTable(columns, where=names.FRAMES)})


def read_frame_table(folder: Path, z_dim: int, *, covariance: bool) -> FrameTable:
    """Read the table of a run.

    Args:
        folder: the run.
        z_dim: latent dimension q; 0 for a method without latents.
        covariance: the table must have the covariances of the latents.

    Raises:
        TemporemError: a column is missing, or a value is not what it must be.
    """
    path = folder / names.FRAMES
    table = read_star(path).get(_BLOCK, StarTable({}, where=str(path)))
    table.require("rlnParticleName", "rlnMovieFrameNumber", "temporemHeldOut")
    if table.n_rows == 0:
        raise TemporemError(f"{table.where} has no rows", expected="one for every frame")
    return FrameTable(
        particle_names=table.strings("rlnParticleName"),
        frame_numbers=table.ints("rlnMovieFrameNumber"),
        times_seconds=table.floats(_TIME) if _TIME in table else np.full(table.n_rows, np.nan),
        held_out=table.ints("temporemHeldOut") == 1,
        poses=poses_from_table(table),
        mean=_read_means(table, z_dim),
        covariance=_read_covariance(table, z_dim, full=covariance),
    )


@dataclass(frozen=True, eq=False)
class PredictedFrames:
    """Frame numbers that movies lack, with latents that a run predicted there.

    Attributes:
        particle_names: movie of each.
        frame_numbers: position in the movie, int64 ``(n,)``.
        mean: of the latents, float32 ``(n, q)``.
        covariance: float32 ``(n, q, q)``.
    """

    particle_names: list[str]
    frame_numbers: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


def read_predicted(folder: Path, z_dim: int) -> PredictedFrames | None:
    """Read ``RUN/predicted.star``; None where a run predicted nothing.

    Args:
        folder: the run.
        z_dim: latent dimension q.

    Raises:
        TemporemError: a column is missing, or a value is not what it must be.
    """
    path = folder / names.PREDICTED
    if not path.is_file():
        return None
    table = read_star(path).get(_BLOCK, StarTable({}, where=str(path)))
    table.require("rlnParticleName", "rlnMovieFrameNumber")
    covariance = _read_covariance(table, z_dim, full=True)
    assert covariance is not None, "required"
    return PredictedFrames(
        particle_names=table.strings("rlnParticleName"),
        frame_numbers=table.ints("rlnMovieFrameNumber"),
        mean=_read_means(table, z_dim),
        covariance=covariance,
    )


def numeric_columns(folder: Path) -> dict[str, np.ndarray]:
    """Read all columns of the table that hold numbers: float64 ``(N,)`` by name."""
    path = folder / names.FRAMES
    table = read_star(path).get(_BLOCK, StarTable({}, where=str(path)))
    columns = {}
    for name in table:
        try:
            columns[name] = table.floats(name)
        except TemporemError:
            continue  # texts, such as names of movies
    return columns


@dataclass(frozen=True, eq=False)
class FrameCorrections:
    """Corrections that a run made to the images of N frames.

    Attributes:
        planes: level and rises along x and y that were subtracted, ``(N, 3)``; None for none.
        factor: factor that followed, ``(N,)``; None for 1.
        intensity: intensity of the molecule, ``(N,)``; None for 1.
        defocus_error: of the defocus, Å ``(N,)``; None for none.
    """

    planes: np.ndarray | None
    factor: np.ndarray | None
    intensity: np.ndarray | None
    defocus_error: np.ndarray | None

    def corrected(self, image: np.ndarray, row: int) -> tuple[np.ndarray, float]:
        """Correct the image ``(D, D)`` of a row, and tell the intensity of its molecule."""
        if self.planes is not None:
            basis = plane_basis(len(image)).numpy()
            image = image - (basis @ self.planes[row]).reshape(image.shape)
        if self.factor is not None:
            image = image * self.factor[row]
        return image, 1.0 if self.intensity is None else float(self.intensity[row])

    def ctf(self, given: CTFParameters, row: int) -> CTFParameters:
        """CTF of a row ``(1,)``, of the CTF ``(N,)`` of the dataset."""
        own = given[torch.tensor([row])]
        if self.defocus_error is None:
            return own
        return own.refocused(torch.tensor([-self.defocus_error[row]], dtype=torch.float64))


def read_corrections(folder: Path) -> FrameCorrections:
    """Read what a run did to the images of its frames."""
    columns = numeric_columns(folder)
    planes = None
    if "temporemBackground" in columns:
        planes = np.stack([columns[name] for name in PLANE_COLUMNS], axis=1)
    return FrameCorrections(
        planes,
        columns.get(FACTOR_COLUMN),
        columns.get("temporemScale"),
        columns.get(DEFOCUS_COLUMN),
    )


def latent_columns(mean: Tensor, covariance: Tensor | None) -> dict[str, np.ndarray]:
    """Columns of a STAR file: mean and deviation of every latent, covariance of every pair."""
    full = covariance is not None and covariance.dim() == 3
    statistics = {"Mean": mean}
    if covariance is not None:
        variance = covariance.diagonal(dim1=-2, dim2=-1) if full else covariance
        statistics["Sd"] = variance.sqrt()
    columns: dict[str, np.ndarray] = {}
    for name, values in statistics.items():
        array = values.float().cpu().numpy()
        columns |= {f"temporemLatent{name}{j}": v for j, v in enumerate(array.T, start=1)}
    if covariance is not None and full:
        for i, j in _pairs(mean.shape[1]):
            array = covariance[:, i, j].float().cpu().numpy()
            columns[f"temporemLatentCovariance{i + 1}_{j + 1}"] = array
    return columns


def _pairs(q: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(q) for j in range(i + 1, q)]


def _read_means(table: StarTable, q: int) -> np.ndarray:
    columns = [f"temporemLatentMean{j}" for j in range(1, q + 1)]
    table.require(*columns)
    if not columns:
        return np.empty((table.n_rows, 0), dtype=np.float32)
    return np.stack([_singles(table, name) for name in columns], axis=-1)


def _read_covariance(table: StarTable, q: int, *, full: bool) -> np.ndarray | None:
    pairs = _pairs(q) if full else []
    columns = [f"temporemLatentSd{j}" for j in range(1, q + 1)]
    if not full and not set(columns) & set(table):
        return None
    columns += [f"temporemLatentCovariance{i + 1}_{j + 1}" for i, j in pairs]
    table.require(*columns)
    covariance = np.zeros((table.n_rows, q, q), dtype=np.float32)
    for name, (i, j) in zip(columns[q:], pairs, strict=True):
        covariance[:, i, j] = covariance[:, j, i] = _singles(table, name)
    for j, name in enumerate(columns[:q]):
        deviations = _singles(table, name)
        table.check(name, deviations >= 0, "0 or more")
        covariance[:, j, j] = deviations**2
    return covariance


def _singles(table: StarTable, name: str) -> np.ndarray:
    """Column as float32 ``(N,)``, limited to values with finite squares."""
    values = table.floats(name)
    table.check(name, np.abs(values) < 1e18, "a number below 1e18")
    return values.astype(np.float32)
