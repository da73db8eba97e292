"""Datasets: particle movies in a folder that RELION and cryoDRGN can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.frames.ctf_columns import (
    B_FACTOR_COLUMN,
    CTF_COLUMNS,
    DEFOCUS_COLUMNS,
    OPTICS_COLUMNS,
    SCALE_COLUMN,
    read_ctf,
)
from temporem.frames.image_formation import refuse_unmodelled
from temporem.frames.measured_noise import read_noise
from temporem.frames.particle_images import ParticleImages, read_particle_images
from temporem.frames.pixel_size import read_pixel_size
from temporem.io.mrc import open_stack, write_stack
from temporem.io.optics_groups import groups_in_use
from temporem.io.pose_columns import POSE_COLUMNS, columns_from_poses, poses_from_table
from temporem.io.star import StarTable, fits_one_line, read_star, write_star
from temporem.physics.ctf import CTFParameters, no_ctf
from temporem.physics.poses import Poses

STAR_NAME = "particles.star"
STACK_NAME = "particles.mrcs"

_LONGEST_NAME = 4096  # characters

ImageFormation = Literal["file", "none"]
"""Where the CTF of the images comes from: the file, or they are formed without one."""

USED_COLUMNS = frozenset(
    (
        *("rlnImageName", "rlnParticleName", "rlnMovieFrameNumber", "rlnOpticsGroup"),
        *CTF_COLUMNS,
        *("rlnImagePixelSize", "rlnPixelSize", "rlnImageSize", "rlnCtfDataAreCtfPremultiplied"),
        *(*POSE_COLUMNS, "temporemTimeSeconds"),
    )
)
"""Columns of ``particles.star`` that reach a result or are checked; others are ignored."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N frames of particle movies, in the order of their rows in ``particles.star``.

    Attributes:
        path: the dataset's folder.
        images: ``(N, D, D)`` float32; those of a folder are read from the disk when indexed.
        pixel_size_angstrom: Å per pixel, the same for all frames.
        poses: orientations and displacements; identity where the file has none.
        ctf: imaging parameters, fields ``(N,)`` float64.
        particle_names: the movie that each frame belongs to.
        frame_numbers: ``(N,)`` int64, position in the movie, from 1, gaps allowed.
        times_seconds: ``(N,)`` float64, NaN where the file has no times.
        movies: row indices of each movie in the order of its frames; movies by name (2 before 10).
        has_poses: the file has poses.
        has_ctf: the file has a CTF; without, ``ctf`` is 1 everywhere.
        noise_power: power of the noise at radii 0 … D/2, ``(D/2 + 1,)``, that was measured where no
            particle is, in variances of a pixel there; None without ``noise.star``.

    Example:
        >>> data = tm.read_dataset("movies")
        >>> movie = data.movies[0]  # its rows, in order of time
        >>> data.images[movie].shape
        (10, 64, 64)
        >>> data.poses[movie].rotations.shape
        torch.Size([10, 3, 3])
    """

    path: Path
    images: np.ndarray | ParticleImages
    pixel_size_angstrom: float
    poses: Poses
    ctf: CTFParameters
    particle_names: list[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    movies: list[np.ndarray]
    has_poses: bool = True
    has_ctf: bool = True
    noise_power: np.ndarray | None = None

    @property
    def box(self) -> int:
        """Side D of an image, pixels."""
        return self.images.shape[-1]

    @property
    def n_frames(self) -> int:
        """Number N of frames of all movies."""
        return len(self.images)

    @property
    def n_movies(self) -> int:
        """Number of movies."""
        return len(self.movies)

    def require_poses(self) -> None:
        """Raise a TemporemError if the file has no poses."""
        if not self.has_poses:
            raise TemporemError(
                f"{self.path / STAR_NAME} has no poses",
                expected=f"the columns {', '.join('_' + column for column in POSE_COLUMNS)}",
                hint="refine the images in RELION or cryoSPARC, or pass --poses estimate",
            )

    def formed(self, ctf: ImageFormation) -> Dataset:
        """The dataset with the CTF that its images are formed with.

        Args:
            ctf: ``none`` takes the CTF to be 1 at all frequencies.

        Raises:
            TemporemError: the file has no CTF, and it is to come from there.
        """
        if ctf == "none":
            return replace(self, ctf=no_ctf(self.n_frames), has_ctf=True)
        if not self.has_ctf:
            columns = ", ".join("_" + column for column in (*DEFOCUS_COLUMNS, *OPTICS_COLUMNS))
            raise TemporemError(
                f"{self.path / STAR_NAME} has no CTF",
                expected=f"the columns {columns}",
                hint="estimate it, or pass --ctf none for images that are formed without one: "
                "negative stain at low resolution, dark field, nanoparticles",
            )
        return self

    def without_poses(self) -> Dataset:
        """The dataset without its poses."""
        return replace(self, poses=Poses.identity(self.n_frames), has_poses=False)

    def with_poses(self, poses: Poses) -> Dataset:
        """The dataset in other poses.

        Raises:
            TemporemError: there are more or fewer poses than frames.
        """
        if len(poses) != self.n_frames:
            raise TemporemError(
                f"poses of {len(poses)} frames, but {self.path} has {self.n_frames} frames",
                expected="one pose for every frame",
            )
        return replace(self, poses=poses, has_poses=True)

    def shuffled(self, seed: int) -> Dataset:
        """The dataset with the frames of every movie in a random order.

        A movie keeps its numbers and times, and its frames change places among them. Rows keep
        their images, poses and CTF, so results of a row belong to the same frame as before.
        """
        random = np.random.default_rng(seed)
        movies = [random.permutation(movie) for movie in self.movies]
        before, now = np.concatenate(self.movies), np.concatenate(movies)
        numbers, times = self.frame_numbers.copy(), self.times_seconds.copy()
        numbers[now], times[now] = self.frame_numbers[before], self.times_seconds[before]
        return replace(self, movies=movies, frame_numbers=numbers, times_seconds=times)


def read_star_folder(path: str | Path) -> Dataset:
    """Read and check a dataset folder: ``particles.star`` and the stacks that it names.

    Rows may be in any order. Poses, CTF, movie and frame number of every row, and every pixel, are
    checked here and nowhere else.

    Raises:
        TemporemError: anything that breaks the contract of ``docs/data.md``.
    """
    path = Path(path)
    particles, optics = _read_tables(path)
    images = read_particle_images(path, particles)
    _check_box(optics, images.shape[-1])
    pixel_size = read_pixel_size(optics, images.stacks)
    poses, has_poses = _read_poses(particles, images.shape[-1] * pixel_size)
    movies = _checked_movies(particles)
    ctf = read_ctf(particles, optics)
    return Dataset(
        path=path,
        images=images,
        pixel_size_angstrom=pixel_size,
        poses=poses,
        ctf=no_ctf(len(images)) if ctf is None else ctf,
        particle_names=particles.strings("rlnParticleName"),
        frame_numbers=particles.ints("rlnMovieFrameNumber"),
        times_seconds=_read_times(particles, movies),
        movies=movies,
        has_poses=has_poses,
        has_ctf=ctf is not None,
        noise_power=read_noise(path, images.shape[-1], pixel_size),
    )


def group_movies(particle_names: Sequence[str], frame_numbers: np.ndarray) -> list[np.ndarray]:
    """Group rows by movie, in order of frame number; movies are ordered by name (2 before 10)."""
    movie = _movie_index(particle_names)
    order = np.lexsort((frame_numbers, movie))
    return np.split(order, np.flatnonzero(np.diff(movie[order])) + 1)


def write_dataset(
    directory: str | Path,
    *,
    images: np.ndarray | Iterable[np.ndarray],
    pixel_size_angstrom: float,
    poses: Poses | None,
    ctf: CTFParameters,
    particle_names: Sequence[str],
    frame_numbers: Sequence[int] | np.ndarray,
    times_seconds: np.ndarray | None = None,
    movie_names: Sequence[str] | None = None,
    columns: Mapping[str, Sequence[str] | np.ndarray] | None = None,
) -> None:
    """Write ``particles.star`` and ``particles.mrcs`` into a folder that exists.

    Frames of one voltage, spherical aberration and amplitude contrast share an optics group. Wrap
    in :func:`temporem.io.files.fresh_directory` so that the dataset appears whole.

    Args:
        directory: existing folder.
        images: ``(N, D, D)``, or blocks ``(n, D, D)`` of it in order, written as they come.
        pixel_size_angstrom: Å per pixel.
        poses: poses of the N frames; None leaves their columns out.
        ctf: imaging parameters, fields ``(N,)``.
        particle_names: ``(N,)`` name of each frame's movie.
        frame_numbers: ``(N,)`` position in the movie, from 1.
        times_seconds: ``(N,)`` or None.
        movie_names: ``(N,)`` source movie of each frame (``rlnMicrographMovieName``) or None.
        columns: more columns ``(N,)`` of the table of particles, by name.
    """
    directory = Path(directory)
    names = {"rlnParticleName": particle_names}
    if movie_names is not None:
        names["rlnMicrographMovieName"] = movie_names
    for column in names:
        _check_names(StarTable(names, where="data_particles"), column)
    if isinstance(images, np.ndarray):
        images = [images]
    n = write_stack(directory / STACK_NAME, images, pixel_size_angstrom)
    box = open_stack(directory / STACK_NAME).shape[-1]

    ctf = ctf.to("cpu", torch.float64)
    optics, group = np.unique(
        torch.stack([ctf.voltage_kv, ctf.cs_mm, ctf.amplitude_contrast], dim=1).numpy(),
        axis=0,
        return_inverse=True,
    )
    group_numbers = np.arange(1, len(optics) + 1)
    optics_table = StarTable(
        {
            "rlnOpticsGroup": group_numbers,
            "rlnOpticsGroupName": [f"opticsGroup{i}" for i in group_numbers],
            **dict(zip(OPTICS_COLUMNS, optics.T, strict=True)),
            "rlnImagePixelSize": np.full(len(optics), pixel_size_angstrom),
            "rlnImageSize": np.full(len(optics), box),
            "rlnImageDimensionality": np.full(len(optics), 2),
        },
        where="data_optics",
    )
    table: dict[str, Sequence[str] | np.ndarray] = {
        "rlnImageName": [f"{i:06d}@{STACK_NAME}" for i in range(1, n + 1)],
        **names,
        "rlnMovieFrameNumber": np.asarray(frame_numbers),
        "rlnOpticsGroup": group_numbers[group],
        **({} if poses is None else columns_from_poses(poses)),
        "rlnDefocusU": ctf.defocus_u_angstrom.numpy(),
        "rlnDefocusV": ctf.defocus_v_angstrom.numpy(),
        "rlnDefocusAngle": torch.rad2deg(ctf.astigmatism_radians).numpy(),
        "rlnPhaseShift": torch.rad2deg(ctf.phase_shift_radians).numpy(),
    }
    for column, values in ((B_FACTOR_COLUMN, ctf.b_factor_angstrom2), (SCALE_COLUMN, ctf.scale)):
        if values is not None:
            table[column] = values.numpy()
    if times_seconds is not None and not np.isnan(times_seconds).all():
        table["temporemTimeSeconds"] = np.asarray(times_seconds)
    particles_table = StarTable({**table, **(columns or {})}, where="data_particles")
    write_star(directory / STAR_NAME, {"optics": optics_table, "particles": particles_table})


def _check_names(table: StarTable, column: str) -> None:
    """Require names without spaces: cryoDRGN splits rows there, quoted or not."""
    names = table.strings(column)
    good = [
        len(name.split()) == 1 and len(name) <= _LONGEST_NAME and fits_one_line(name)
        for name in names
    ]
    expected = f"a name without spaces, of at most {_LONGEST_NAME} printable characters in one line"
    table.check(column, np.array(good, dtype=bool), expected)


def _read_tables(path: Path) -> tuple[StarTable, StarTable]:
    """The tables of particles and of optics groups, with every column that must be there."""
    star = path / STAR_NAME
    if not star.is_file():
        raise TemporemError(
            f"{path} has no {STAR_NAME}" if path.is_dir() else f"{path} is not a folder",
            expected=f"a dataset folder with {STAR_NAME}",
            hint="make one with temporem simulate, or of data of yours with temporem import",
        )
    blocks = read_star(star)
    if not {"optics", "particles"} <= blocks.keys():
        raise TemporemError(
            f"{star} has the blocks {', '.join('data_' + name for name in blocks)}",
            expected="data_optics and data_particles, as RELION 3.1 and later write",
            hint="make a dataset of it with temporem import",
        )
    particles, optics = blocks["particles"], blocks["optics"]
    particles.require("rlnImageName", "rlnParticleName", "rlnMovieFrameNumber", "rlnOpticsGroup")
    optics.require("rlnOpticsGroup")
    if any(column in particles for column in DEFOCUS_COLUMNS):
        particles.require(*DEFOCUS_COLUMNS)
        optics.require(*OPTICS_COLUMNS)
    for table in (particles, optics):
        if table.n_rows == 0:
            raise TemporemError(f"{table.where} has no rows", expected="at least one row")
    optics = groups_in_use(particles, optics)
    refuse_unmodelled(particles, optics)
    return particles, optics


def _check_box(optics: StarTable, box: int) -> None:
    if "rlnImageSize" in optics:
        sizes = optics.ints("rlnImageSize")
        optics.check("rlnImageSize", sizes == box, f"{box}, the size of the images in the stack")


def _read_poses(particles: StarTable, width_angstrom: float) -> tuple[Poses, bool]:
    """Read poses, and tell if the table has them. Incomplete poses are refused."""
    if not any(column in particles for column in POSE_COLUMNS):
        return Poses.identity(particles.n_rows), False
    return poses_from_table(particles, farthest_angstrom=width_angstrom / 2), True


def _read_times(particles: StarTable, movies: list[np.ndarray]) -> np.ndarray:
    column = "temporemTimeSeconds"
    if column not in particles:
        return np.full(particles.n_rows, np.nan)
    times = particles.floats(column)
    order, lengths = np.concatenate(movies), [len(rows) for rows in movies]
    later = np.empty(len(times), dtype=bool)
    later[order] = np.diff(times[order], prepend=-np.inf) > 0
    later[order[np.cumsum([0, *lengths[:-1]])]] = True  # first frames have none before them
    particles.check(
        column, later, "a later time than that of the movie's frame before, or no such column"
    )
    return times


def _checked_movies(particles: StarTable) -> list[np.ndarray]:
    """Check movies and frame numbers of a table; returns the rows of each movie."""
    names, numbers = particles.strings("rlnParticleName"), particles.ints("rlnMovieFrameNumber")
    _check_names(particles, "rlnParticleName")
    particles.check("rlnMovieFrameNumber", numbers >= 1, "a frame number from 1")
    once = _first_of_its_kind(np.stack([_movie_index(names), numbers], axis=1))
    particles.check("rlnMovieFrameNumber", once, "each number once in a movie (_rlnParticleName)")
    return group_movies(names, numbers)


def _movie_index(particle_names: Sequence[str]) -> np.ndarray:
    """Index of the movie of each frame; movies in natural order of their names."""
    rank = {name: i for i, name in enumerate(sorted(set(particle_names), key=_natural_order))}
    return np.array([rank[name] for name in particle_names])


def _first_of_its_kind(values: np.ndarray) -> np.ndarray:
    """True at entries of ``values (N, ...)`` that no earlier entry equals; bool ``(N,)``."""
    _, first = np.unique(values, axis=0, return_index=True)
    unique = np.zeros(len(values), dtype=bool)
    unique[first] = True
    return unique


def _natural_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sort key that puts movie2 before movie10: text and numbers alternate, text first."""
    parts = re.split(r"(\d+)", name)
    return [_size(part) if i % 2 else part for i, part in enumerate(parts)], name


def _size(digits: str) -> tuple[int, str]:
    """Sort key of a number of any length; Python refuses to convert very long ones."""
    digits = digits.lstrip("0")
    return len(digits), digits
