"""Images of one particle, cut from the frames of its track."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import fourier_shift

from temporem.extraction.boxes import background_disc, fourier_crop, plane
from temporem.extraction.flat import FlatMovie
from temporem.extraction.noise import NoiseSpectrum
from temporem.extraction.tracks import Track


@dataclass(frozen=True)
class Cutting:
    """How images are cut out.

    Attributes:
        box: edge of an image, pixels, even.
        bin: pixels of the movie, along an edge, that become one.
        diameter_pixels: of the particle, in pixels of the movie.
    """

    box: int
    bin: int
    diameter_pixels: float

    @property
    def edge(self) -> int:
        """Edge in pixels of the movie."""
        return self.box * self.bin

    def centres(self, track: Track) -> np.ndarray:
        """Pixels about which images are cut, whole numbers ``(n, 2)``."""
        return np.rint(track.places).astype(int)


def usable(
    tracks: Sequence[Track], cutting: Cutting, shape: tuple[int, int], min_frames: int
) -> list[Track]:
    """Leave out frames in which a particle is at the edge or overlaps another one.

    Args:
        tracks: of one movie.
        cutting: how images are cut out.
        shape: of a frame, y and x.
        min_frames: tracks of fewer frames are left out.
    """
    kept = []
    for i, track in enumerate(tracks):
        corner = cutting.centres(track) - cutting.edge // 2
        ends = np.concatenate([corner, np.array(shape[::-1]) - corner - cutting.edge], axis=1)
        inside = np.asarray((ends >= 0).all(axis=1))
        for j, other in enumerate(tracks):
            if i != j:
                _, mine, theirs = np.intersect1d(track.frames, other.frames, return_indices=True)
                near = np.hypot(*(track.places[mine] - other.places[theirs]).T)
                inside[mine[near < 0.75 * cutting.diameter_pixels]] = False
        left = track.at(inside)
        if len(left) >= min_frames:
            kept.append(left)
    return kept


def in_order(tracks: Sequence[Track]) -> list[tuple[int, int]]:
    """List index of the track and position in it of every image, in the order of the frames."""
    order = [
        (frame, i, position)
        for i, track in enumerate(tracks)
        for position, frame in enumerate(track.frames.tolist())
    ]
    return [(i, position) for _, i, position in sorted(order)]


def cut_out(
    movie: FlatMovie, tracks: Sequence[Track], cutting: Cutting, noise: NoiseSpectrum
) -> Iterator[np.ndarray]:
    """Cut images ``(box, box)`` from frame after frame, in the order of :func:`in_order`.

    The background of each is 0, and its noise has standard deviation 1. The place of the particle,
    which is between pixels, comes to pixel ``box / 2``: searches for poses start from volumes so
    coarse that they look for no shifts.
    """
    outside = background_disc(cutting.edge, cutting.diameter_pixels)
    centres = [cutting.centres(track) for track in tracks]
    rests = [track.places - centre for track, centre in zip(tracks, centres, strict=True)]
    read, image = -1, np.zeros((0, 0))
    for i, position in in_order(tracks):
        frame = int(tracks[i].frames[position])
        if frame != read:
            read, image = frame, movie.frame(frame)
        x, y = centres[i][position] - cutting.edge // 2
        crop = image[y : y + cutting.edge, x : x + cutting.edge]
        crop = recentred(crop - plane(crop, outside), rests[i][position])
        yield fourier_crop(crop, cutting.box) / np.float32(noise.deviation)


def recentred(image: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Move an image back by a displacement x, y in pixels, exact for all frequencies it holds.

    What leaves at one edge comes in at the other, where only background is.
    """
    moved = fourier_shift(np.fft.fft2(image), -displacement[::-1])
    return np.asarray(np.fft.ifft2(moved).real)
