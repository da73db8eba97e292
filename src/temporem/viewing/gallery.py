"""Volumes, levels and meshes of what is shown, made when asked for and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from temporem.errors import TemporemError
from temporem.report.camera import View, revealing_view
from temporem.report.level import find_level, mean_and_sigma
from temporem.report.render import moving_region
from temporem.runs.latent_points import LatentPoints
from temporem.runs.series import Series
from temporem.viewing.knowledge import Uncertainty
from temporem.viewing.meshes import surface_mesh
from temporem.viewing.sources import Shown, ShownRun, evenly

LEVEL_STEP = 0.25
"""Levels are multiples of this, σ: so that neighbours can be fetched ahead."""

_LOWEST, _HIGHEST = 0.5, 2.5  # of the range of levels, times the first one
_MESH_BYTES, _VOLUME_BYTES = 2**28, 2**28  # kept
_PATHS = 16  # kept
_SAMPLE_OF_VIEW = 5  # every so many volumes of a sample tell the direction
_FULL_COLOUR = 0.98  # quantile, over the molecule, of the uncertainty that has the full colour

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Levels:
    """Levels of the surface of one panel, the same for all its movies.

    Attributes:
        mean: of the voxels, in units of the volumes.
        sigma: standard deviation of the voxels.
        start: level to begin with, in σ above the mean.
        low, high: range in which there is a surface, σ.
        sign: −1 for a molecule that is darker than its surroundings; volumes are then multiplied
            by it before anything else.
    """

    mean: float
    sigma: float
    start: float
    low: float
    high: float
    sign: int = 1

    def value(self, sigmas: float) -> float:
        """Density at a level in σ."""
        return self.mean + sigmas * self.sigma


@dataclass(frozen=True)
class Look:
    """Choices besides level and frame.

    Attributes:
        colour: 0 for motion, else the number of an uncertainty, from 1.
        mask: 0 for none, else the number of a mask, from 1.
    """

    colour: int = 0
    mask: int = 0


class Gallery:
    """Everything that the page can ask for about volumes.

    Args:
        shown: the panels, all of the same frames.
    """

    def __init__(self, shown: Sequence[Shown]) -> None:
        self.panels = [Panel(one) for one in shown]

    def measure(self) -> None:
        """Measure levels now, so that the page need not wait."""
        for panel in self.panels:
            _ = panel.levels
        _ = self.view

    @property
    def view(self) -> View:
        """Direction from which all panels are seen at first."""
        return self.panels[0].view

    def panel(self, index: int) -> Panel:
        """A panel by its index.

        Raises:
            TemporemError: there is none.
        """
        if not 0 <= index < len(self.panels):
            raise TemporemError(f"there is no panel {index}")
        return self.panels[index]


class Panel:
    """One run or truth.

    Args:
        shown: its volumes.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self._lock = threading.Lock()
        self._levels: Levels | None = None
        self._still: np.ndarray | None = None
        self._mean: np.ndarray | None = None
        self._volumes = _Kept[object, np.ndarray](_VOLUME_BYTES, lambda volume: volume.nbytes)
        self._meshes = _Kept[object, bytes](_MESH_BYTES, len)
        self._amplitudes = _Kept[object, np.ndarray](_VOLUME_BYTES // 4, lambda tint: tint.nbytes)
        self._paths = _Kept[str, Series](_PATHS, lambda series: 1)

    @property
    def levels(self) -> Levels:
        """Levels, from volumes that are spread over all frames."""
        self._measure()
        assert self._levels is not None
        return self._levels

    @cached_property
    def view(self) -> View:
        """Direction in which most of the motion is seen."""
        level, sign = self.levels.value(self.levels.start), self.levels.sign
        rows = np.concatenate(self.shown.movies)
        with self._lock:
            few = sign * self.shown.spread_sample(rows)[::_SAMPLE_OF_VIEW]
        return revealing_view(few, level).framing(few, level)

    def add_path(self, key: str, points: LatentPoints) -> None:
        """Keep latents under a name, so that their volumes can be asked for.

        Raises:
            TemporemError: this panel has no latents.
        """
        self.keep_path(key, self.run().series_of(points))

    def keep_path(self, key: str, series: Series) -> None:
        """Keep the volumes of latents under a name."""
        self._paths[key] = series

    def length(self, clip: int | str) -> int:
        """Number of volumes of a movie, by its index, or of a path, by its name."""
        return len(self.path(clip)) if isinstance(clip, str) else len(self.rows(clip))

    def row(self, movie: int, frame: int) -> int:
        """Row of a frame, by its place in a movie.

        Raises:
            TemporemError: there is no such movie or frame.
        """
        rows = self.rows(movie)
        if not 0 <= frame < len(rows):
            raise TemporemError(f"movie {movie} has no frame {frame}")
        return int(rows[frame])

    def volume(self, clip: int | str, frame: int) -> np.ndarray:
        """A volume of a movie or path, its molecule bright: ``(d, d, d)`` (z, y, x)."""
        if not 0 <= frame < self.length(clip):
            raise TemporemError(f"there is no volume {frame}")
        key = (clip, frame) if isinstance(clip, str) else self.row(clip, frame)
        sign = self.levels.sign
        with self._lock:
            kept = self._volumes.get(key)
            found = self._decode(clip, frame) if kept is None else kept
        return found if sign > 0 else -found

    def mesh(self, clip: int | str, frame: int, sigmas: float, look: Look = Look()) -> bytes:
        """A surface in the format of :mod:`temporem.viewing.meshes`.

        Args:
            clip: index of a movie, or name of a path.
            frame: place in it.
            sigmas: level above the mean, σ; rounded to a multiple of :data:`LEVEL_STEP`.
            look: colour and mask.

        Raises:
            TemporemError: there is no such volume, colour or mask.
        """
        step = round(sigmas / LEVEL_STEP)
        key = (clip, frame, step, look)
        mesh = self._meshes.get(key)
        if mesh is None:
            volume = self.masked(self.volume(clip, frame), look.mask)
            tint = self._tint(clip, look.colour)
            mesh = self._meshes[key] = self._make_mesh(volume, step * LEVEL_STEP, tint)
        return mesh

    def masked(self, volume: np.ndarray, number: int) -> np.ndarray:
        """A volume without what is outside of a mask, by its number from 1; 0 leaves all.

        Raises:
            TemporemError: there is no such mask.
        """
        if not number:
            return volume
        masks = list(self.shown.masks.values())
        if number > len(masks):
            raise TemporemError(f"{self.shown.name} has no mask {number}")
        mean = self.levels.mean
        masked: np.ndarray = mean + (volume - mean) * masks[number - 1]
        return masked

    def uncertainty(self, number: int) -> Uncertainty:
        """An uncertainty by its number, from 1.

        Raises:
            TemporemError: there is none.
        """
        known = self.shown.uncertainties
        if not 1 <= number <= len(known):
            raise TemporemError(f"{self.shown.name} has no uncertainty {number}")
        return known[number - 1]

    def full_colour(self, number: int) -> float:
        """The uncertainty that has the full colour, in its own unit.

        It is the same for all movies: that of all frames which few places of the molecule exceed.
        """
        return self._uncertain(number)[1]

    def mesh_of(self, points: LatentPoints, sigmas: float, look: Look = Look()) -> bytes:
        """The surface of a single latent, in the colours of all frames."""
        run, tint = self.run(), self.still
        if look.colour:
            found, full = self._uncertain(look.colour)
            tint = _coloured(found, full, self.uncertainty(look.colour).least)
        with self._lock:
            volume = run.voxels_of(run.series_of(points))[0]
        bright = self.masked(self.levels.sign * volume, look.mask)
        return self._make_mesh(bright, sigmas, tint)

    @property
    def still(self) -> np.ndarray:
        """How much every voxel moves over all frames: 0 … 1, ``(d, d, d)``."""
        self._measure()
        assert self._still is not None
        return self._still

    def amplitude(self, clip: int | str) -> np.ndarray:
        """How much every voxel moves in a movie or path: 0 … 1, ``(d, d, d)``."""
        found = self._amplitudes.get(clip)
        if found is None:
            level = self.levels.value(self.levels.start)
            spread = evenly(self.length(clip))
            volumes = np.stack([self.volume(clip, frame) for frame in spread.tolist()])
            found = self._amplitudes[clip] = moving_region(volumes, level).astype(np.float32)
        return found

    def _tint(self, clip: int | str, colour: int) -> np.ndarray:
        """Colour of every voxel, 0 … 1: of a movie, or for a path of all frames."""
        if not colour:
            return self.amplitude(clip)
        found, full = self._uncertain(colour)
        if not isinstance(clip, str):
            key = ("uncertain", colour, clip)
            kept = self._amplitudes.get(key)
            if kept is None:
                rows, uncertainty = self.rows(clip), self.uncertainty(colour)
                with self._lock:
                    kept = self.shown.deviation(uncertainty, rows).astype(np.float32)
                self._amplitudes[key] = kept
            found = kept
        return _coloured(found, full, self.uncertainty(colour).least)

    def _uncertain(self, number: int) -> tuple[np.ndarray, float]:
        """An uncertainty of all frames, and the value that has the full colour."""
        uncertainty = self.uncertainty(number)
        self._measure()
        assert self._mean is not None
        key = ("uncertain", number)
        found = self._amplitudes.get(key)
        if found is None:
            with self._lock:
                every = np.concatenate(self.shown.movies)
                found = self.shown.deviation(uncertainty, every).astype(np.float32)
            self._amplitudes[key] = found
        inside = self._mean > self.levels.value(self.levels.start)
        values = found[inside] if inside.any() else found
        return found, max(float(np.quantile(values, _FULL_COLOUR)), 1e-30)

    def _make_mesh(self, volume: np.ndarray, sigmas: float, amplitude: np.ndarray) -> bytes:
        level, size = self.levels.value(sigmas), self.shown.pixel_size_angstrom
        return surface_mesh(volume, level, size, amplitude).to_bytes()

    def _decode(self, clip: int | str, frame: int) -> np.ndarray:
        """Decode a volume and keep it; of a path all, which costs little more."""
        if isinstance(clip, str):
            volumes = self.run().voxels_of(self.path(clip))
            for i, volume in enumerate(volumes):
                self._volumes[clip, i] = volume
            return volumes[frame]
        row = self.row(clip, frame)
        volume = self._volumes[row] = self.shown.voxels(np.array([row]))[0]
        return volume

    def _measure(self) -> None:
        with self._lock:
            if self._levels is not None:
                return
            sample = self.shown.spread_sample(np.concatenate(self.shown.movies))
            found = find_level(sample)
            sample = found.sign * sample
            mean, sigma = mean_and_sigma(sample)
            start = max(1, round(found.sign * found.sigmas / LEVEL_STEP)) * LEVEL_STEP
            top = (float(sample.max()) - mean) / sigma
            self._still = moving_region(sample, found.height).astype(np.float32)
            self._mean = sample.mean(0)
            self._levels = Levels(
                mean, sigma, start, _LOWEST * start, min(_HIGHEST * start, 0.95 * top), found.sign
            )

    def rows(self, movie: int) -> np.ndarray:
        """Rows of a movie, by its index.

        Raises:
            TemporemError: there is none.
        """
        movies = self.shown.movies
        if not 0 <= movie < len(movies):
            raise TemporemError(f"there is no movie {movie}", expected=f"0 to {len(movies) - 1}")
        return movies[movie]

    def path(self, key: str) -> Series:
        """The volumes of a path, by its name.

        Raises:
            TemporemError: it is not kept.
        """
        path = self._paths.get(key)
        if path is None:
            raise TemporemError("this path is no longer kept", hint="draw it again")
        return path

    def run(self) -> ShownRun:
        """The run, where this is one that has latents.

        Raises:
            TemporemError: it is not.
        """
        if not isinstance(self.shown, ShownRun) or self.shown.latents is None:
            raise TemporemError(f"{self.shown.name} has no latents")
        return self.shown


class _Kept(Generic[_K, _V]):
    """A dictionary of bounded size that forgets what was asked for longest ago.

    Args:
        most: largest sum of the sizes.
        size: size of a value.
    """

    def __init__(self, most: int, size: Callable[[_V], int]) -> None:
        self._most, self._size = most, size
        self._values: OrderedDict[_K, _V] = OrderedDict()
        self._total = 0
        self._lock = threading.Lock()

    def get(self, key: _K) -> _V | None:
        """A value, or None if it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def __setitem__(self, key: _K, value: _V) -> None:
        with self._lock:
            if key in self._values:
                self._total -= self._size(self._values.pop(key))
            self._values[key] = value
            self._total += self._size(value)
            while self._total > self._most and len(self._values) > 1:
                self._total -= self._size(self._values.popitem(last=False)[1])


def _coloured(values: np.ndarray, full: float, least: float) -> np.ndarray:
    """Colour 0 … 1 of an uncertainty: none at ``least``, all of it from ``full``."""
    return np.clip((values - least) / max(full - least, 1e-6 * full), 0, 1)
