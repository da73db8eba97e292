"""Places of particles in single frames, from all frames of their tracks together.

Detection averages frames, which blurs the path of a particle, and single frames are too noisy to
find it. Here every frame counts for itself: with the filter's response r, the logarithm of the
likelihood ratio of a particle of strength A at a place is ``A r − A²/2``. A particle diffuses, so
its places form a chain, and the forward-backward algorithm (Rabiner, 1989) gives the distribution
of each. The same sums tell how well each frame speaks for a particle: the ends of a track at which
none do are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates, uniform_filter1d

from temporem.extraction.detection import SCALES, Detector
from temporem.extraction.tracks import Track
from temporem.progress import Progress

_ROUNDS = 3
_STEPS = (0.02, 0.04, 0.08, 0.16, 0.3)
"""Standard deviations of a step that are tried, as fractions of the diameter."""

_LEAST_QUALITY = 0.15
"""Mean evidence of a frame, relative to the median of all tracks: weaker ones are side lobes."""

_LEAST_EVIDENCE = 8.0
"""Smallest sum of the evidence of a track."""


_LOST = 1e-9
"""Probability that a particle jumps anywhere in its patch."""


@dataclass(frozen=True)
class _Patches:
    """Responses about the path of a track: ``(n, u, u)`` at ``path + grid``, still coordinates."""

    responses: np.ndarray
    path: np.ndarray


def follow(
    detector: Detector, tracks: Sequence[Track], *, min_frames: int, progress: Progress
) -> list[Track]:
    """Find the place of every particle in every frame of its track, the best track first.

    The step of diffusion is the one of highest evidence for all tracks together.

    Args:
        detector: of the movie.
        tracks: as linked.
        min_frames: tracks of fewer frames are left out.
        progress: called after every frame.
    """
    if not tracks:
        return []
    diameter = detector.diameter
    grid = np.arange(-0.5 * diameter, 0.5 * diameter + 0.01, max(0.5 * detector.binning, 1.0))
    patches = _cut(detector, tracks, grid, progress)
    runs = {step: [_Chain(p, grid, step * diameter) for p in patches] for step in _STEPS}
    step = max(runs, key=lambda s: sum(chain.total for chain in runs[s]))
    followed = []
    for track, chain in zip(tracks, runs[step], strict=True):
        drift = detector.drift[track.frames]
        found = replace(
            track,
            places=chain.places + drift,
            evidence=chain.evidence,
            error_pixels=chain.deviation,
        )
        first, last = _best_part(chain.evidence)
        found = found.at(np.arange(first, last))
        if len(found) >= min_frames and found.evidence.sum() >= _LEAST_EVIDENCE:
            followed.append(found)
    if followed:
        usual = float(np.median([track.quality for track in followed]))
        followed = [track for track in followed if track.quality >= _LEAST_QUALITY * usual]
    followed.sort(key=lambda track: -track.evidence.sum())
    return [replace(track, name=f"{i:04d}") for i, track in enumerate(followed, 1)]


def _cut(
    detector: Detector, tracks: Sequence[Track], grid: np.ndarray, progress: Progress
) -> list[_Patches]:
    """Read the responses of single frames about the smoothed path of each track."""
    paths = [
        uniform_filter1d(t.places - detector.drift[t.frames], 3, axis=0, mode="nearest")
        for t in tracks
    ]
    patches = [np.zeros((len(t), len(grid), len(grid))) for t in tracks]
    b = detector.binning
    n = detector.movie.n_frames
    for frame in range(n):
        present = [i for i, t in enumerate(tracks) if t.frames[0] <= frame <= t.frames[-1]]
        if not present:
            continue
        responses = detector.of_frame(frame)
        for i in present:
            position = frame - tracks[i].frames[0]
            x, y = paths[i][position] + detector.drift[frame]
            rows, columns = np.meshgrid(y + grid, x + grid, indexing="ij")
            scale = int(np.abs(np.array(SCALES) - tracks[i].scale).argmin())
            places = [(rows + 0.5) / b - 0.5, (columns + 0.5) / b - 0.5]
            patches[i][position] = map_coordinates(
                responses[scale], places, order=1, mode="nearest"
            )
        progress(frame + 1, n, "following particles")
    return [_Patches(p, path) for p, path in zip(patches, paths, strict=True)]


class _Chain:
    """Distribution of the places of one particle.

    Attributes:
        places: mean place in each frame, still coordinates ``(n, 2)``.
        deviation: of the place in x or y, ``(n,)``.
        evidence: of each frame, given the others, ``(n,)``.
        total: evidence of all frames.
    """

    def __init__(self, patches: _Patches, grid: np.ndarray, step: float) -> None:
        responses, path = patches.responses, patches.path
        n = len(responses)
        kernels = []
        for delta in np.diff(path, axis=0):
            both = [np.exp(-((grid[:, None] - grid[None] + d) ** 2) / (2 * step**2)) for d in delta]
            # Columns are distributions; what leaves the grid is lost to both hypotheses alike.
            kernels.append([k / np.maximum(k.sum(axis=0), 1e-12) for k in both])
        middle = responses[:, len(grid) // 2, len(grid) // 2]
        strength = max(float(middle.mean()), 0.1)
        for _ in range(_ROUNDS):
            prior, self.total = self._others(responses, kernels, strength)
            likelihood, scale = _likelihood(responses, strength)
            joint = prior * likelihood
            sums = joint.sum(axis=(1, 2))
            posterior = joint / sums[:, None, None]
            # As often, places without a particle look best by chance; the mean over frames that
            # speak for one is the strength.
            strength = max(float((posterior * responses).sum(axis=(1, 2)).mean()), 0.1)
        self.evidence = np.log(sums) + scale
        x = (posterior.sum(axis=1) * grid).sum(axis=1)
        y = (posterior.sum(axis=2) * grid).sum(axis=1)
        square = (posterior.sum(axis=1) * grid**2).sum(axis=1) - x**2
        square += (posterior.sum(axis=2) * grid**2).sum(axis=1) - y**2
        self.deviation = np.sqrt(np.maximum(square / 2, 0))
        self.places = path[:n] + np.stack([x, y], axis=1)

    @staticmethod
    def _others(
        responses: np.ndarray, kernels: list[list[np.ndarray]], strength: float
    ) -> tuple[np.ndarray, float]:
        """Distribution of each place given all other frames, and the evidence of all frames."""
        likelihood, scale = _likelihood(responses, strength)
        n, u = responses.shape[:2]
        forward, backward = np.empty_like(responses), np.empty_like(responses)
        ahead, total = np.full((u, u), 1 / u**2), float(scale.sum())
        for t in range(n):
            forward[t] = ahead
            ahead = ahead * likelihood[t]
            weight = ahead.sum()
            total += float(np.log(weight))
            if t < n - 1:
                kx, ky = kernels[t]
                ahead = ky @ (ahead / weight) @ kx.T + _LOST / u**2
        behind = np.full((u, u), 1 / u**2)
        for t in range(n - 1, -1, -1):
            backward[t] = behind
            if t:
                kx, ky = kernels[t - 1]
                behind = ky.T @ (behind * likelihood[t]) @ kx
                behind = behind / behind.sum() + _LOST / u**2
        prior = forward * backward
        return prior / prior.sum(axis=(1, 2), keepdims=True), total


def _likelihood(responses: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Likelihood ratios ``(n, u, u)``, and the logarithm ``(n,)`` of what they are divided by."""
    logarithm = strength * responses - strength**2 / 2
    scale = logarithm.max(axis=(1, 2))
    return np.exp(logarithm - scale[:, None, None]), scale


def _best_part(evidence: np.ndarray) -> tuple[int, int]:
    """First index and end of the run of frames with the largest sum."""
    best, first, last, start, total = -np.inf, 0, 0, 0, 0.0
    for i, value in enumerate(evidence):
        if total <= 0:
            start, total = i, 0.0
        total += value
        if total > best:
            best, first, last = total, start, i + 1
    return first, last
