"""Extraction of particle movies from one movie of the field of view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from temporem.errors import TemporemError
from temporem.extraction.background import background_of, chosen_background
from temporem.extraction.crops import Cutting, cut_out, usable
from temporem.extraction.detection import Detector
from temporem.extraction.drift import Drift, measure_drift
from temporem.extraction.flat import FlatMovie
from temporem.extraction.following import follow
from temporem.extraction.linking import link
from temporem.extraction.noise import NoiseSpectrum, measure_noise
from temporem.extraction.settings import ExtractionSettings
from temporem.extraction.sums import group_means
from temporem.extraction.tracks import Track
from temporem.io.microscope.movie import FieldMovie
from temporem.progress import Progress

_FRAMES_FOR_SIGN = 8


@dataclass(frozen=True, eq=False)
class Extraction:
    """Particles found in one movie.

    Attributes:
        flat: the corrected movie; particles are bright in it.
        pixel_size_angstrom: of the movie.
        background: kind that was subtracted.
        drift: of the stage.
        tracks: particles to cut out, the best first.
        n_found: tracks before those at the edge or too close to others were left out.
        cutting: how images are cut out.
        noise: where no particle is.
    """

    flat: FlatMovie
    pixel_size_angstrom: float
    background: str
    drift: Drift
    tracks: list[Track]
    n_found: int
    cutting: Cutting
    noise: NoiseSpectrum

    @property
    def inverted(self) -> bool:
        """Particles are dark in the movie."""
        return self.flat.sign < 0

    def images(self) -> Iterator[np.ndarray]:
        """Cut the images out; see :func:`temporem.extraction.crops.cut_out`."""
        return cut_out(self.flat, self.tracks, self.cutting, self.noise)


def extract_particles(
    movie: FieldMovie,
    pixel_size_angstrom: float,
    settings: ExtractionSettings,
    *,
    gain: np.ndarray | None = None,
    given: Sequence[Track] | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Find and follow the particles of a movie.

    The movie is read three times, frame by frame: for background and drift, for detection, and to
    follow the particles. Cutting reads it once more.

    Args:
        movie: T frames.
        pixel_size_angstrom: of the movie.
        settings: choices.
        gain: factor of every pixel, ``(y, x)``.
        given: tracks to cut out instead of those that would be found.
        progress: receives the progress.

    Raises:
        TemporemError: the movie is damaged, smaller than the box, or shorter than a track.
    """
    progress = progress or Progress()
    cutting = Cutting(
        settings.box_for(pixel_size_angstrom),
        settings.bin,
        settings.diameter_angstrom / pixel_size_angstrom,
    )
    if given is None and movie.n_frames < settings.min_frames:
        raise TemporemError(
            f"{movie.path} has {movie.n_frames} {'frame' if movie.n_frames == 1 else 'frames'}",
            expected=f"{settings.min_frames} frames or more, as --min-frames says",
            hint="name the whole movie; of pictures in a folder, name the folder",
        )
    _require_room(movie, cutting, pixel_size_angstrom)
    first = progress.part(0, 0.3)
    sums = group_means(movie, gain, lambda done, total: first(done, total, "background and drift"))
    kind = chosen_background(settings.background, sums)
    drift = measure_drift(sums) if settings.drift else Drift.none(movie.n_frames)
    flat = FlatMovie(movie, background_of(kind, sums), gain)
    if given is None:
        detect = _Detecting(flat, drift, cutting, settings, pixel_size_angstrom)
        flat = detect.flat
        tracks = detect.tracks(progress.part(0.3, 1))
    else:
        flat = replace(flat, sign=-1 if settings.contrast == "dark" else 1)
        tracks = list(given)
    kept = usable(tracks, cutting, movie.shape[1:], settings.min_frames if given is None else 1)
    return Extraction(
        flat=flat,
        pixel_size_angstrom=pixel_size_angstrom,
        background=kind,
        drift=drift,
        tracks=kept,
        n_found=len(tracks),
        cutting=cutting,
        noise=measure_noise(flat, tracks, cutting.edge, cutting.box, cutting.diameter_pixels),
    )


class _Detecting:
    """Detection and linking in one movie, with the sign that shows more particles."""

    def __init__(
        self,
        flat: FlatMovie,
        drift: Drift,
        cutting: Cutting,
        settings: ExtractionSettings,
        pixel_size_angstrom: float,
    ) -> None:
        self._drift, self._cutting, self._settings = drift, cutting, settings
        step = settings.max_step_angstrom
        diameter = cutting.diameter_pixels
        self._max_step = 0.5 * diameter if step is None else step / pixel_size_angstrom
        if settings.contrast == "auto":
            signs = (1, -1)
            self.flat = max((replace(flat, sign=s) for s in signs), key=self._evidence)
        else:
            self.flat = replace(flat, sign=-1 if settings.contrast == "dark" else 1)

    def tracks(self, progress: Progress) -> list[Track]:
        """Find all tracks."""
        detector, found = self._detector(self.flat), []
        n, first = self.flat.n_frames, progress.part(0, 0.5)
        for frame, detections in enumerate(detector, 1):
            found.append(detections)
            first(frame, n, "finding particles")
        least = self._settings.min_frames
        linked = link(
            found,
            self._drift.shifts,
            max_step=self._max_step,
            gap=self._settings.gap,
            min_frames=least,
        )
        return follow(detector, linked, min_frames=least, progress=progress.part(0.5, 1))

    def _detector(self, flat: FlatMovie) -> Detector:
        return Detector(
            flat,
            self._drift.shifts,
            self._cutting.diameter_pixels,
            average=self._settings.average,
            threshold=self._settings.threshold,
        )

    def _evidence(self, flat: FlatMovie) -> float:
        """Sum of squared heights of the peaks in some averages of frames."""
        detector = self._detector(flat)
        total, step = 0.0, max(1, flat.n_frames // _FRAMES_FOR_SIGN)
        for frame in range(0, flat.n_frames, step):
            found = detector.find(frame)
            total += float(np.square(found.strength).sum())
        return total


def _require_room(movie: FieldMovie, cutting: Cutting, pixel_size_angstrom: float) -> None:
    _, height, width = movie.shape
    diameter = cutting.diameter_pixels
    if cutting.edge > min(height, width):
        raise TemporemError(
            f"{movie.path} has frames of {width} x {height} pixels of {pixel_size_angstrom:g} Å, "
            f"smaller than the box of {cutting.edge}",
            hint="choose a smaller --box; without it, the box is 1.5 times the --diameter in Å",
        )
    if not 3 <= diameter <= cutting.edge:
        raise TemporemError(
            f"a particle of {diameter * pixel_size_angstrom:g} Å has {diameter:.3g} pixels in "
            f"{movie.path}, and the box {cutting.edge}",
            expected="a diameter from 3 pixels to the box",
            hint="mend --diameter, --pixel-size, --box or --bin",
        )
