"""Movies of what the page shows, drawn as ``temporem export`` draws them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.exporting.gif import write_gif
from temporem.exporting.mp4 import write_mp4
from temporem.exporting.png import side_by_side
from temporem.report.camera import TurnedView
from temporem.report.level import Level
from temporem.report.scene import Scene
from temporem.viewing.gallery import Panel
from temporem.viewing.takeaway import Download

MOST_FRAMES = 400
"""Volumes of a movie; more take minutes to draw."""

_SIZE = 480  # edge of a picture of one panel, pixels
_FPS = (0.5, 50.0)
_WRITERS = {"mp4": write_mp4, "gif": write_gif}


@dataclass(frozen=True, eq=False)
class Camera:
    """Camera of the page.

    Attributes:
        rotation: molecule (x, y, z) to screen (right, up, towards the viewer), 9 numbers by rows.
        centre_angstrom: middle of the picture (right, up) from the centre of the box, Å.
        extent_angstrom: width of the picture, Å.
    """

    rotation: tuple[float, ...]
    centre_angstrom: tuple[float, float]
    extent_angstrom: float

    @classmethod
    def read(cls, text: str) -> Camera:
        """Read twelve numbers of a request: rotation, centre, extent.

        Raises:
            TemporemError: they are no camera.
        """
        try:
            values = [float(part) for part in text[:400].split(",")]
        except ValueError:
            values = []
        sound = len(values) == 12 and np.isfinite(values).all() and 1e-3 < values[-1] < 1e6
        if sound:
            turn = np.reshape(values[:9], (3, 3))
            sound = (
                bool(np.abs(turn @ turn.T - np.eye(3)).max() < 1e-3)
                and max(map(abs, values[9:11])) < 1e6
            )
        if not sound:
            raise TemporemError(
                f"'{text:.40}' is no camera", expected="a rotation, a centre and a width"
            )
        return cls(tuple(values[:9]), (values[9], values[10]), values[11])


class Film:
    """The volumes of a clip, panel beside panel, as pictures.

    Args:
        panels: what is shown.
        clip: index of a movie, or name of a path that all panels have.
        sigmas: level of each panel.
        camera: camera of the page.
        masks: number of a mask of each panel, 0 for none.
        plain: without the colours of motion.

    Raises:
        TemporemError: no such clip, or one that is too long.
    """

    def __init__(
        self,
        panels: Sequence[Panel],
        clip: int | str,
        sigmas: Sequence[float],
        camera: Camera,
        *,
        masks: Sequence[int] = (),
        plain: bool = False,
    ) -> None:
        self._panels, self._clip, self._sigmas = panels, clip, sigmas
        self._camera, self._plain = camera, plain
        self._masks = masks or [0] * len(panels)
        if len(self) > MOST_FRAMES:
            raise TemporemError(
                f"the movie has {len(self)} volumes",
                expected=f"at most {MOST_FRAMES}",
                hint="temporem export writes movies of any length",
            )

    def __len__(self) -> int:
        return self._panels[0].length(self._clip)

    @property
    def size(self) -> tuple[int, int]:
        """See :class:`Pictures`."""
        height, width = self._picture(0).shape[:2]
        return width, height

    def pictures(self) -> Iterator[np.ndarray]:
        """See :class:`Pictures`."""
        for frame in range(len(self)):
            yield self._picture(frame)

    def colours(self) -> np.ndarray:
        """See :class:`Pictures`."""
        frames = {0, len(self) // 2, len(self) - 1}
        return np.concatenate([self._picture(frame) for frame in sorted(frames)])

    @cached_property
    def _scenes(self) -> list[Scene]:
        return [
            self._scene(panel, sigmas)
            for panel, sigmas in zip(self._panels, self._sigmas, strict=True)
        ]

    def _scene(self, panel: Panel, sigmas: float) -> Scene:
        pixel, camera = panel.shown.pixel_size_angstrom, self._camera
        right, up = camera.centre_angstrom
        view = TurnedView(
            centre=(right / pixel, up / pixel),
            extent=camera.extent_angstrom / pixel,
            matrix=camera.rotation,
        )
        level = Level(panel.levels.value(sigmas), sigmas)
        tint = panel.amplitude(self._clip)
        return Scene(level, view, 0 * tint if self._plain else tint, pixel, _SIZE)

    def _picture(self, frame: int) -> np.ndarray:
        drawn = []
        for panel, scene, mask in zip(self._panels, self._scenes, self._masks, strict=True):
            shown = panel.shown
            title, time = shown.name if shown.kind != "truth" else "truth", float("nan")
            if isinstance(self._clip, int):
                row = panel.row(self._clip, frame)
                time = float(shown.times_seconds[row])
                title = f"{title}, frame {shown.frame_numbers[row]}"
            volume = panel.masked(panel.volume(self._clip, frame), mask)
            drawn.append(scene.picture(volume, title, time))
        return side_by_side(drawn)


def film_file(film: Film, kind: str, frames_per_second: float) -> Download:
    """Write a film as ``mp4`` or ``gif``.

    Raises:
        TemporemError: another kind, a speed out of range, or no encoder.
    """
    if kind not in _WRITERS:
        raise TemporemError(f"'{kind:.20}' is no kind of movie", expected=" or ".join(_WRITERS))
    speed = float(np.clip(frames_per_second, *_FPS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"movie.{kind}"
        _WRITERS[kind](film, path, speed)
        return Download(path.name, path.read_bytes())
