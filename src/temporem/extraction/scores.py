"""Scores of an extraction against the true places of simulated particles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from temporem.io.positions import Positions


@dataclass(frozen=True)
class Scores:
    """Agreement of found places with true ones.

    Attributes:
        recall: fraction of true places that were found.
        precision: fraction of found places that are true.
        error_pixels: median distance of matched places.
        rms_error_pixels: root mean square distance of matched places.
        purity: fraction of the frames of a track that show the particle it shows most, mean over
            tracks.
        fragments: tracks that show a particle most, per particle that has any.
        tracks: number of tracks.
        particles: number of true particles.
    """

    recall: float
    precision: float
    error_pixels: float
    rms_error_pixels: float
    purity: float
    fragments: float
    tracks: int
    particles: int


def match(found: Positions, true: Positions, radius: float) -> np.ndarray:
    """Match found places to true ones, frame by frame: row of the true place, or −1, ``(N,)``.

    The assignment has the smallest sum of squared distances; pairs farther apart than the radius
    are no match.
    """
    matched = np.full(len(found.frames), -1)
    for movie in np.unique(found.movies):
        mine, theirs = (np.flatnonzero(p.movies == movie) for p in (found, true))
        for frame in np.unique(found.frames[mine]):
            a = mine[found.frames[mine] == frame]
            b = theirs[true.frames[theirs] == frame]
            if len(b) == 0:
                continue
            square = np.square(found.places[a, None] - true.places[None, b]).sum(axis=-1)
            rows, columns = linear_sum_assignment(np.minimum(square, radius**2))
            near = square[rows, columns] < radius**2
            matched[a[rows[near]]] = b[columns[near]]
    return matched


def score(found: Positions, true: Positions, radius: float) -> Scores:
    """Score found places.

    Args:
        found: places of an extraction.
        true: true places in the same movies.
        radius: largest distance of a match, pixels.
    """
    matched = match(found, true, radius)
    hit = matched >= 0
    distance = np.hypot(*(found.places[hit] - true.places[matched[hit]]).T)
    identity = np.full(len(matched), "", dtype=object)
    particles = _names(true)
    identity[hit] = np.asarray(particles, dtype=object)[matched[hit]]
    purity, shown = [], []
    names = np.array(_names(found), dtype=object)
    for track in dict.fromkeys(names):
        own = identity[names == track]
        seen, counts = np.unique(own[own != ""].astype(str), return_counts=True)
        purity.append(counts.max() / len(own) if len(seen) else 0.0)
        if len(seen):
            shown.append(seen[counts.argmax()])
    nothing = float("nan")
    return Scores(
        recall=float(hit.sum() / len(true.frames)),
        precision=float(hit.mean()) if len(hit) else nothing,
        error_pixels=float(np.median(distance)) if hit.any() else nothing,
        rms_error_pixels=float(np.sqrt(np.square(distance).mean())) if hit.any() else nothing,
        purity=float(np.mean(purity)) if purity else nothing,
        fragments=len(shown) / len(set(shown)) if shown else nothing,
        tracks=len(purity),
        particles=len(set(particles)),
    )


def _names(positions: Positions) -> Sequence[str]:
    """Movie and track of every row, as one name."""
    return [f"{m}/{t}" for m, t in zip(positions.movies, positions.tracks, strict=True)]
