"""Truth of a simulated dataset, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.dataset import STAR_NAME, Dataset, group_movies
from temporem.io.outputs import require_replaceable
from temporem.io.pose_columns import columns_from_poses, poses_from_table
from temporem.io.settings import load_settings, validate_settings
from temporem.io.star import StarTable, read_star, write_star
from temporem.physics.fourier import FourierSupport
from temporem.physics.poses import Poses
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import FrameTable
from temporem.simulation.nuisances import Nuisances
from temporem.structures.motion_files import read_motion, write_motion
from temporem.structures.motions.base import Motion
from temporem.structures.scattering import element_index, form_factors
from temporem.version import __version__

TRUTH_NAME = "truth"
_TABLE, _SETTINGS, _INCOMPLETE = "truth.star", "simulation.yaml", "incomplete"
_VOLUMES_PER_CHUNK = 8  # more do not fit a processor's cache and are slower
_KEPT_BYTES = 2**28  # of volumes, if those of all conformations take no more


@dataclass(frozen=True, eq=False)
class Truth:
    """States, poses and volumes of the N frames of a dataset, in the order of its rows.

    Attributes:
        config: how the dataset was simulated.
        motion: the molecule and how it moves.
        noise_variance: of the noise of a pixel.
        states: index of the conformational state, int64 ``(N,)``.
        parameters: of the motion, ``(N, n_parameters)`` float64; see ``parameter_names``.
        poses: orientations and displacements.
        times_seconds: ``(N,)`` float64.
        particle_names: the movie that each frame belongs to.
        frame_numbers: position in the movie, from 1, int64 ``(N,)``.
        known: frames whose truth is known, bool ``(N,)``; the others, as of things that an
            extraction took for particles, hold the truth of some other frame. None for all.
        nuisances: defects of the frames; None for a simulation without.
        linear: a rotation, or one and inversion, by which volumes are turned, ``(3, 3)``.
        offset_angstrom: by which volumes are displaced thereafter, ``(3,)``.

    Example:
        >>> truth = tm.read_truth("movies")
        >>> rows = truth.movies[0]
        >>> truth.support.ifft(truth.volumes(rows)).shape
        torch.Size([10, 64, 64, 64])
    """

    config: SimulationConfig
    motion: Motion
    noise_variance: float
    states: np.ndarray
    parameters: Tensor
    poses: Poses
    times_seconds: np.ndarray
    particle_names: Sequence[str]
    frame_numbers: np.ndarray
    known: np.ndarray | None = None
    nuisances: Nuisances | None = None
    linear: Tensor = field(default_factory=lambda: torch.eye(3, dtype=torch.float64))
    offset_angstrom: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))

    @classmethod
    def of_frames(
        cls, config: SimulationConfig, motion: Motion, frames: FrameTable, noise_variance: float
    ) -> Truth:
        """Truth of frames that were drawn; nuisances only where the configuration has defects."""
        return cls(
            config=config,
            motion=motion,
            noise_variance=noise_variance,
            states=frames.states,
            parameters=frames.parameters,
            poses=frames.poses,
            times_seconds=frames.times_seconds,
            particle_names=frames.particle_names,
            frame_numbers=frames.frame_numbers,
            nuisances=frames.nuisances if config.defects.any else None,
        )

    @property
    def n_frames(self) -> int:
        """Number N of frames."""
        return len(self.states)

    @cached_property
    def movies(self) -> list[np.ndarray]:
        """Rows of each movie in the order of its frames, as :attr:`Dataset.movies`."""
        return group_movies(self.particle_names, self.frame_numbers)

    @cached_property
    def known_rows(self) -> np.ndarray:
        """Rows whose truth is known."""
        return np.arange(self.n_frames) if self.known is None else np.flatnonzero(self.known)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Name and unit of each parameter, such as ``angle_degrees``."""
        return self.motion.parameter_names

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`."""
        return FourierSupport(self.config.box, 3)

    def placed(self, linear: Tensor, offset_angstrom: Tensor) -> Truth:
        """Move all volumes: an atom at r is then at ``linear r + offset``.

        Exact, as volumes are computed from atoms. Poses stay those of the molecule as simulated.
        """
        return replace(self, linear=linear, offset_angstrom=offset_angstrom)

    def volumes(self, rows: np.ndarray | Tensor | Sequence[int]) -> Tensor:
        """Fourier coefficients of the true volumes of frames ``(B,)``: complex64 ``(B, P)``.

        A conformation that many frames share is computed once.
        """
        distinct, index = self._conformations
        wanted = index[torch.as_tensor(rows)]
        bytes_of_all = len(distinct) * len(self.support) * torch.complex64.itemsize
        known = self._known if bytes_of_all <= _KEPT_BYTES else {}
        missing = [number for number in wanted.unique().tolist() if number not in known]
        for start in range(0, len(missing), _VOLUMES_PER_CHUNK):
            some = missing[start : start + _VOLUMES_PER_CHUNK]
            positions = self.motion.positions(distinct[some])
            moving = self._structure_factors(positions, self.motion.moving)
            known.update(zip(some, self._static + moving, strict=True))
        return torch.stack([known[number] for number in wanted.tolist()])

    @cached_property
    def _conformations(self) -> tuple[Tensor, Tensor]:
        """Parameters of every conformation, and the conformation of each frame, ``(N,)``."""
        distinct, index = self.parameters.unique(dim=0, return_inverse=True)
        return distinct, index

    @cached_property
    def _known(self) -> dict[int, Tensor]:
        """Volumes ``(P,)`` by conformation."""
        return {}

    @cached_property
    def _static(self) -> Tensor:
        """The part of every volume that does not move, ``(P,)``."""
        still = ~self.motion.moving
        return self._structure_factors(self.motion.molecule.positions_angstrom[still], still)

    @cached_property
    def _elements(self) -> tuple[Tensor, list[FormFactor]]:
        index, numbers = element_index(self.motion.molecule)
        return index, form_factors(numbers, self.config.b_factor_angstrom2)

    def _structure_factors(self, positions: Tensor, which: Tensor) -> Tensor:
        index, factors = self._elements
        pixel_size = self.config.pixel_size_angstrom
        linear, offset = self.linear.to(positions), self.offset_angstrom.to(positions)
        if not linear.equal(torch.eye(3).to(linear)) or offset.any():
            positions = positions @ linear.mT + offset
        return structure_factors(positions, index[which], factors, self.support, pixel_size)


def write_truth(dataset: Path, truth: Truth) -> None:
    """Write ``truth/`` into a dataset folder: a table, the molecule, its motion, the settings.

    Frames whose truth is not known are left out of the table.
    """
    rows = truth.known_rows
    folder = dataset / TRUTH_NAME
    folder.mkdir()
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "rlnParticleName": [truth.particle_names[row] for row in rows],
        "rlnMovieFrameNumber": truth.frame_numbers[rows],
        "temporemState": truth.states[rows],
        **dict(zip(_columns(truth.motion), truth.parameters[rows].T.numpy(), strict=True)),
        **columns_from_poses(truth.poses[rows]),
        "temporemTimeSeconds": truth.times_seconds[rows],
        **({} if truth.nuisances is None else truth.nuisances[rows].columns()),
    }
    write_star(folder / _TABLE, {"truth": StarTable(columns, where=_TABLE)})
    write_motion(folder, truth.config.motion.kind, truth.motion)
    settings = {
        "temporem_version": __version__,
        "noise_variance": truth.noise_variance,
        **({} if truth.known is None else {_INCOMPLETE: True}),
        "simulation": truth.config.model_dump(mode="json"),
    }
    (folder / _SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def read_truth(dataset: str | Path) -> Truth:
    """The truth of a simulated dataset, in the order of the rows of its ``particles.star``.

    Raises:
        TemporemError: the dataset has no truth, or it lacks a frame of ``particles.star``.

    Example:
        >>> truth = tm.read_truth("movies")
        >>> truth.parameter_names
        ('angle_degrees',)
        >>> angles = truth.parameters[:, 0]
    """
    truth, complete = _read_table(dataset)
    particles = _block(Path(dataset) / STAR_NAME, "particles")
    row = _rows_in_order_of(particles, truth, complete=complete)
    return replace(
        truth,
        states=truth.states[row],
        parameters=truth.parameters[row],
        poses=truth.poses[row],
        times_seconds=truth.times_seconds[row],
        particle_names=particles.strings("rlnParticleName"),
        frame_numbers=particles.ints("rlnMovieFrameNumber"),
        known=None if complete else row >= 0,
        nuisances=None if truth.nuisances is None else truth.nuisances[row],
    )


def read_truth_table(folder: str | Path) -> Truth:
    """The truth in the order of its own table, for simulations without ``particles.star``.

    Raises:
        TemporemError: the folder has no truth, or it is damaged.
    """
    return _read_table(folder)[0]


def _read_table(dataset: str | Path) -> tuple[Truth, bool]:
    """The truth in the order of its table, and if the table has every frame of the dataset."""
    folder = Path(dataset) / TRUTH_NAME
    if not folder.is_dir():
        raise TemporemError(
            f"{dataset} has no folder {TRUTH_NAME}", expected="a dataset of temporem simulate"
        )
    table = _block(folder / _TABLE, "truth")
    motion = read_motion(folder)
    settings = load_settings(folder / _SETTINGS)
    source = str(folder / _SETTINGS)
    config = validate_settings(SimulationConfig, settings.get("simulation", {}), source=source)
    parameters = [table.floats(column) for column in _columns(motion)]
    truth = Truth(
        config=config,
        motion=motion,
        noise_variance=_noise_variance(settings, source),
        states=table.ints("temporemState"),
        parameters=torch.from_numpy(np.stack(parameters, axis=-1)),
        poses=poses_from_table(table),
        times_seconds=table.floats("temporemTimeSeconds"),
        particle_names=table.strings("rlnParticleName"),
        frame_numbers=table.ints("rlnMovieFrameNumber"),
        nuisances=Nuisances.from_table(table),
    )
    return truth, settings.get(_INCOMPLETE) is not True


def require_simulated(output: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Raise a TemporemError unless ``output`` is free or a simulation that may be replaced.

    A user's own dataset looks alike, except for the truth.

    Args:
        output: the folder.
        inputs: files and folders to read, which must not lie in it.
    """
    holds = f"{TRUTH_NAME}/{_SETTINGS}"
    require_replaceable(
        output, "a simulated dataset", holds=holds, folders=(TRUTH_NAME,), inputs=inputs
    )


def read_truth_of(movies: Dataset) -> Truth:
    """The truth of a dataset that has been read.

    Raises:
        TemporemError: as :func:`read_truth`, or it is the truth of images of another size.
    """
    truth = read_truth(movies.path)
    box, pixel_size = truth.config.box, truth.config.pixel_size_angstrom
    if box != movies.box or not math.isclose(pixel_size, movies.pixel_size_angstrom, rel_tol=1e-4):
        raise TemporemError(
            f"{movies.path / TRUTH_NAME / _SETTINGS} is of images of {box} pixels of "
            f"{pixel_size:g} Å",
            expected=f"{movies.box} pixels of {movies.pixel_size_angstrom:g} Å, as {STAR_NAME}",
            hint="copy the truth with the dataset that it belongs to",
        )
    return truth


def _noise_variance(settings: Mapping[str, Any], source: str) -> float:
    if "noise_variance" not in settings:
        raise TemporemError(f"{source} has no noise_variance", expected="a number")
    value = settings["noise_variance"]
    if not isinstance(value, float | int) or not 0 <= value < math.inf:
        raise TemporemError(
            f"{source}: noise_variance is {value!r:.80}", expected="a finite number from 0"
        )
    return float(value)


def _columns(motion: Motion) -> list[str]:
    """STAR columns of a motion's parameters: ``temporemParameterAngleDegrees``."""
    names = [name.title().replace("_", "") for name in motion.parameter_names]
    return [f"temporemParameter{name}" for name in names]


def _block(path: Path, name: str) -> StarTable:
    blocks = read_star(path)
    if name not in blocks:
        raise TemporemError(f"{path} has no block data_{name}")
    return blocks[name]


def _rows_in_order_of(particles: StarTable, truth: Truth, *, complete: bool) -> np.ndarray:
    """The row of the truth for each row of ``particles``, by movie and frame number.

    A frame that an incomplete truth lacks has row −1.
    """
    names, numbers = particles.strings("rlnParticleName"), particles.ints("rlnMovieFrameNumber")
    wanted = list(zip(names, numbers.tolist(), strict=True))
    present = zip(truth.particle_names, truth.frame_numbers.tolist(), strict=True)
    row = {key: i for i, key in enumerate(present)}
    missing = [key for key in wanted if key not in row]
    if missing and (complete or len(missing) == len(wanted)):
        name, number = missing[0]
        raise TemporemError(
            f"{TRUTH_NAME}/{_TABLE} lacks frame {number} of movie '{name}'",
            expected=f"every frame of {STAR_NAME}",
        )
    return np.array([row.get(key, -1) for key in wanted])
