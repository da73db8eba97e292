"""Do the views cover all directions?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.physics.rotations import random_rotations

_DIRECTIONS = 1000
_MOST_FRAMES = 20_000
_THICKNESS = 1 / 8  # half width of a slice, of its radius: 1 cycle per box at 8 cycles per box
_HALF = 0.5


@dataclass(frozen=True)
class Coverage:
    """How slices fill a shell of Fourier space.

    Attributes:
        directions: evenly spread over half a sphere, ``(_DIRECTIONS, 3)``.
        sampling: slices through each, divided by the number that even views give on average.
        unseen: fraction of the directions without a slice.
        factor: sampling compensation factor of the views.
        even_factor: the same of as many views drawn evenly.
    """

    directions: Tensor
    sampling: Tensor
    unseen: float
    factor: float
    even_factor: float

    @property
    def worth(self) -> float:
        """Fraction of the frames that would do, were their views even."""
        return min(1.0, self.factor / self.even_factor)


class Views:
    """Looks at the directions from which molecules are seen.

    The sampling compensation factor (SCF; Baldwin and Lyumkis 2020) is the harmonic mean over
    directions of Fourier space of the number of slices there, divided by its arithmetic mean. The
    signal-to-noise ratio of a volume falls by it. A direction without a slice counts as half a
    slice. The factor is compared with that of as many even views, because few views leave gaps.
    """

    name = "views"

    def look(self, evidence: Evidence) -> list[Finding]:
        if not evidence.dataset.has_poses:
            return []
        coverage = measure_coverage(evidence.dataset.poses.rotations)
        text = (
            f"slices pass through {1 - coverage.unseen:.0%} of the directions of Fourier space, "
            f"and views are worth {coverage.worth:.0%} of as many even ones (sampling compensation "
            f"factor {coverage.factor:.2f}, even views {coverage.even_factor:.2f})"
        )
        if coverage.unseen > _HALF:
            return [
                Finding(
                    self.name,
                    Verdict.REFUSED,
                    f"{text}: no volume follows from views so alike",
                    "check the angles in particles.star, or add views",
                )
            ]
        if coverage.worth < _HALF:
            remedy = "volumes are smeared along the missing directions: add views, such as tilted"
            return [Finding(self.name, Verdict.WARNING, text, remedy)]
        return [Finding(self.name, Verdict.GOOD, text)]


def measure_coverage(rotations: Tensor) -> Coverage:
    """Measure how the slices of frames fill a shell of Fourier space.

    Args:
        rotations: molecule to camera, ``(N, 3, 3)``.
    """
    chosen = np.linspace(0, len(rotations) - 1, min(len(rotations), _MOST_FRAMES)).round()
    axes = rotations[torch.from_numpy(np.unique(chosen).astype(np.int64))][:, 2].double()
    directions = _even_directions(_DIRECTIONS)
    generator = torch.Generator().manual_seed(0)
    even = random_rotations(len(axes), generator)[:, 2].double()
    counts = _slices(directions, axes)
    expected = len(axes) * _THICKNESS
    return Coverage(
        directions=directions,
        sampling=counts / expected,
        unseen=float((counts == 0).double().mean()),
        factor=_factor(counts),
        even_factor=_factor(_slices(directions, even)),
    )


def _slices(directions: Tensor, axes: Tensor) -> Tensor:
    """Number of slices, at right angles to the axes, through every direction."""
    counts = torch.zeros(len(directions), dtype=torch.float64)
    for some in axes.split(2000):
        counts += ((directions @ some.T).abs() < _THICKNESS).double().sum(1)
    return counts


def _factor(counts: Tensor) -> float:
    """Harmonic over arithmetic mean."""
    return float(1 / (1 / counts.clamp(min=0.5)).mean() / counts.mean().clamp(min=0.5))


def _even_directions(n: int) -> Tensor:
    """Directions on a spiral over half a sphere, evenly spread, ``(n, 3)``."""
    index = torch.arange(n, dtype=torch.float64)
    z = (index + 0.5) / n
    angle = index * torch.pi * (3 - 5**0.5)
    across = (1 - z.square()).sqrt()
    return torch.stack([across * angle.cos(), across * angle.sin(), z], dim=1)
