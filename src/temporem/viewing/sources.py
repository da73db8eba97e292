"""Sources of what is shown: the volumes of a run, and the true ones of a simulated dataset."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.api import alignment
from temporem.evaluation.poses import into_frame, same_poses
from temporem.frames.dataset import group_movies
from temporem.frames.readers import read_dataset
from temporem.physics.fourier import FourierSupport
from temporem.physics.rigid_transform import RigidTransform
from temporem.poses.alignment import align_poses
from temporem.report.collect import run_names
from temporem.runs.export import Cut, ExportOptions
from temporem.runs.half_runs import read_half_runs
from temporem.runs.latent_points import LatentPoints
from temporem.runs.run import Run, is_finished, is_run, load_run
from temporem.runs.series import Series, frames_series, points_series
from temporem.runs.so_far import load_run_so_far
from temporem.simulation.truth import TRUTH_NAME, Truth, read_truth_of
from temporem.viewing.knowledge import Uncertainty, masks_of, uncertainties_of

MOST_VOXELS = 128
"""Largest edge of a volume that is shown."""

_SAMPLE = 24  # volumes that level and motion are measured on


class Shown(ABC):
    """Volumes of the N frames of some movies.

    Attributes:
        name: how the page calls it.
        kind: method of the run, or ``truth``.
        path: the folder.
        particle_names: movie of every frame, N names.
        frame_numbers: position in the movie, int64 ``(N,)``.
        times_seconds: ``(N,)``, NaN where there are none.
        box: edge of the volumes that are shown, voxels.
        pixel_size_angstrom: edge of their voxels, Å.
    """

    name: str
    kind: str
    path: Path
    particle_names: Sequence[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    box: int
    pixel_size_angstrom: float

    @cached_property
    def movies(self) -> list[np.ndarray]:
        """Rows of every movie in order of time, as in :class:`Dataset`."""
        return group_movies(self.particle_names, self.frame_numbers)

    def movie_name(self, movie: int) -> str:
        """Name of a movie by its index in :attr:`movies`."""
        return self.particle_names[self.movies[movie][0]]

    @abstractmethod
    def voxels(self, rows: np.ndarray) -> np.ndarray:
        """Volumes of frames ``(B,)`` as shown: ``(B, d, d, d)`` (z, y, x)."""

    @property
    def latents(self) -> np.ndarray | None:
        """Latents of the frames, ``(N, q)``; None without."""
        return None

    @property
    def uncertainties(self) -> Sequence[Uncertainty]:
        """How far the volumes may be off, as far as this is known."""
        return ()

    @property
    def masks(self) -> Mapping[str, np.ndarray]:
        """Masks by name, ``(d, d, d)``."""
        return {}

    def deviation(self, uncertainty: Uncertainty, rows: np.ndarray) -> np.ndarray:
        """An uncertainty of up to 24 of some frames, as shown: ``(d, d, d)``."""
        return uncertainty.of(rows[evenly(len(rows))])

    def spread_sample(self, rows: np.ndarray) -> np.ndarray:
        """Volumes of up to 24 of some frames, evenly spread: ``(S, d, d, d)``."""
        return self.voxels(rows[evenly(len(rows))])


class ShownRun(Shown):
    """A run.

    Args:
        run: the run.
        name: how the page calls it.
        change: transform into the reference frame of the truth, where that is shown too.
        most_voxels: largest edge of the volumes.
        half: number of the half set that this is; 0 for the whole run.
        so_far: how far the run is; empty for a finished one.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        change: RigidTransform | None = None,
        most_voxels: int = MOST_VOXELS,
        half: int = 0,
        so_far: str = "",
    ) -> None:
        self.run, self.half, self.so_far = run, half, so_far
        self.name, self.kind, self.path = name, run.config.method, run.path
        self.particle_names, self.frame_numbers = run.particle_names, run.frame_numbers
        self.times_seconds = run.times_seconds
        self._options = ExportOptions(downsample=min(run.grid.box, most_voxels))
        self._change = change
        self._cut = self._cut_of(frames_series(run, np.arange(run.n_frames)))
        self.box = self._cut.decoder.box
        self.pixel_size_angstrom = self._cut.pixel_size_angstrom

    @property
    def latents(self) -> np.ndarray | None:
        return self.run.latents

    @cached_property
    def uncertainties(self) -> Sequence[Uncertainty]:
        return () if self.half else uncertainties_of(self.run, self._options)

    @cached_property
    def masks(self) -> Mapping[str, np.ndarray]:
        found = masks_of(self.run, self._options)
        return {name: self._turned(mask[None])[0].clip(0, 1) for name, mask in found.items()}

    def deviation(self, uncertainty: Uncertainty, rows: np.ndarray) -> np.ndarray:
        return self._turned(super().deviation(uncertainty, rows)[None])[0]

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        return self._turned(self._cut.voxels(np.asarray(rows)))

    def series_of(self, points: LatentPoints) -> Series:
        """The volumes of latents, for :meth:`voxels_of`."""
        return points_series(self.run, points)

    def voxels_of(self, series: Series) -> np.ndarray:
        """All volumes of a series, as shown: ``(n, d, d, d)``."""
        cut = self._cut_of(series)
        return self._turned(cut.voxels(np.arange(len(series))))

    def _cut_of(self, series: Series) -> Cut:
        return Cut(series, self._options)

    def _turned(self, volumes: np.ndarray) -> np.ndarray:
        if self._change is None:
            return volumes
        return into_frame(volumes, self._change, self.pixel_size_angstrom)


class ShownTruth(Shown):
    """The true volumes of a simulated dataset.

    Args:
        truth: the truth.
        path: its dataset.
        name: how the page calls the dataset.
        most_voxels: largest edge of the volumes.
    """

    kind = "truth"

    def __init__(self, truth: Truth, path: Path, name: str, most_voxels: int = MOST_VOXELS) -> None:
        self.truth = truth
        self.name, self.path = name, path
        self.particle_names, self.frame_numbers = truth.particle_names, truth.frame_numbers
        self.times_seconds = truth.times_seconds
        box, self.box = truth.config.box, min(truth.config.box, most_voxels)
        self.pixel_size_angstrom = truth.config.pixel_size_angstrom * box / self.box
        self._support = FourierSupport(self.box, 3)
        self._scale = (self.box / box) ** 1.5  # transforms are orthonormal

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        # Coefficients are sorted by radius: the lowest are those of the smaller box.
        lowest = self.truth.volumes(np.asarray(rows))[:, : len(self._support.radii)]
        return self._support.ifft(self._scale * lowest).numpy()


def open_sources(paths: Sequence[Path], *, most_voxels: int = MOST_VOXELS) -> list[Shown]:
    """Open runs and datasets; a dataset shows its truth, an unfinished run its last checkpoint.

    Runs are turned into the reference frame of the truth, or else of the first run.

    Args:
        paths: folders.
        most_voxels: largest edge of the volumes; larger ones lose their high frequencies.

    Raises:
        TemporemError: a path is neither, a run has no checkpoint yet, a dataset has no truth, or
            they are not of the same frames.
    """
    names = run_names(paths)
    words: dict[int, str] = {}
    opened: list[Run | Truth] = []
    for place, path in enumerate(paths):
        if not is_run(path):
            opened.append(_read_truth(path))
        elif is_finished(path):
            opened.append(load_run(path))
        else:
            found = load_run_so_far(path)
            words[place] = found.words
            opened.append(found.run)
    for other in opened[1:]:
        _require_same_frames(opened[0], other)
    truth = next((one for one in opened if isinstance(one, Truth)), None)
    first = next((one for one in opened if isinstance(one, Run)), None)
    shown: list[Shown] = []
    for place, (one, path, name) in enumerate(zip(opened, paths, names, strict=True)):
        if isinstance(one, Truth):
            shown.append(ShownTruth(one, path, name, most_voxels))
            continue
        if truth is not None:
            change = alignment(one, truth)
        else:
            assert first is not None
            change = _alignment_of_runs(one, first)
        shown.append(ShownRun(one, name, change, most_voxels, so_far=words.get(place, "")))
    return shown


def open_half_sets(paths: Sequence[Path], *, most_voxels: int = MOST_VOXELS) -> list[Shown]:
    """Open the two half sets of a run, to see what they agree on.

    Args:
        paths: one run.
        most_voxels: largest edge of the volumes.

    Raises:
        TemporemError: not one run, not a finished one, or one without half sets.
    """
    if len(paths) != 1 or not is_run(paths[0]):
        raise TemporemError("--half-sets shows the two half sets of one run", expected="one run")
    halves = read_half_runs(load_run(paths[0]))
    (name,) = run_names(paths)
    what = "" if halves.moving else ", mean of all frames"
    return [
        ShownRun(half, f"{name}, half {number}{what}", None, most_voxels, half=number)
        for number, half in enumerate(halves.runs, start=1)
    ]


def evenly(n: int) -> np.ndarray:
    """Find up to 24 of n places, evenly spread and with both ends."""
    return np.linspace(0, n - 1, min(n, _SAMPLE)).round().astype(int)


def points_key(points: np.ndarray) -> str:
    """Name latents ``(n, q)`` by their values."""
    return hashlib.sha256(np.ascontiguousarray(points, dtype="<f4").tobytes()).hexdigest()[:24]


def _read_truth(path: Path) -> Truth:
    dataset = read_dataset(path)
    if not (dataset.path / TRUTH_NAME).is_dir():
        raise TemporemError(
            f"{path} has no truth, so there is no volume to show",
            expected="a run, or a dataset of temporem simulate",
            hint=f"make a run with temporem reconstruct {path} -o run",
        )
    return read_truth_of(dataset)


def _alignment_of_runs(run: Run, first: Run) -> RigidTransform | None:
    """Find the transform into the reference frame of another run; None if poses are the same."""
    if run is first or same_poses(run.poses, first.poses):
        return None
    return align_poses(run.poses, first.poses)[0]


def _require_same_frames(one: Run | Truth, other: Run | Truth) -> None:
    same = list(one.particle_names) == list(other.particle_names) and np.array_equal(
        one.frame_numbers, other.frame_numbers
    )
    if not same:
        raise TemporemError(
            "the runs and datasets are not of the same frames",
            expected="runs of one dataset, or a run and its dataset",
        )
