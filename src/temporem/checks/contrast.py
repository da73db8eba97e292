"""Are molecules brighter than their surroundings, as the methods take them to be?

Image formation itself does not tell: negated images fit the negated volume as well. What tells is
that a molecule is a compact thing, denser than the liquid all around it. Two numbers follow.

- Frames with the sign of their CTF undone are brighter in the middle than farther out, as
  :mod:`temporem.frames.contrast` measures. `temporem import` goes by the same number.
- The mean volume has a few dense voxels and much liquid, so its skewness is positive. Volumes of
  the same power spectrum and random phases tell how far it is from 0 by chance.

The first needs no poses. The second is left out without poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.frames.contrast import LIKELY, MiddleContrast, measure_contrast
from temporem.frames.image_statistics import LOW_RADIUS
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.volumes.back_projection import BackProjection

DARK = "molecules seem to be dark"
"""Beginning of the finding that the contrast is wrong."""

_SURE = 1e-6  # chance that noise alone gives the number
_DRAWS = 200
_SMALLEST_CHANCE = 1e-300


@dataclass(frozen=True)
class Signs:
    """Evidence on the sign of the contrast; positive numbers speak for bright molecules.

    Attributes:
        middle: brightness of the frames' middle against its surroundings.
        skewness: standard deviations from 0 of the mean volume's skewness; None without poses.
    """

    middle: MiddleContrast
    skewness: float | None

    @property
    def chances(self) -> list[float]:
        """Chance that noise gives so large a number of either sign, for each of them."""
        chances = [self.middle.chance]
        if self.skewness is not None:
            # The skewness of few voxels has longer tails than a Gaussian.
            chances.append(2 * float(stats.t.sf(abs(self.skewness), 10)))
        return [max(chance, _SMALLEST_CHANCE) for chance in chances]

    @property
    def numbers(self) -> list[float]:
        """The numbers that there are."""
        t = self.middle.t
        return [t] if self.skewness is None else [t, self.skewness]


class Contrast:
    """Looks for dark molecules."""

    name = "contrast"

    def look(self, evidence: Evidence) -> list[Finding]:
        signs = measure_signs(evidence)
        text = str(signs.middle)
        if signs.skewness is not None:
            text += (
                f", and the density of their mean volume has a skewness {signs.skewness:.1f} "
                "standard deviations from that of noise"
            )
        telling = [
            (number, chance)
            for number, chance in zip(signs.numbers, signs.chances, strict=True)
            if chance < LIKELY
        ]
        bright = any(number > 0 for number, _ in telling)
        dark = any(number < 0 for number, _ in telling)
        if not telling or (bright and dark):
            reason = "contradict each other" if telling else "are within what noise gives"
            return [
                Finding(
                    self.name,
                    Verdict.UNKNOWN,
                    f"{text}: these numbers {reason}",
                    "look at the mean volume of --method homogeneous before anything else",
                )
            ]
        if bright:
            return [Finding(self.name, Verdict.GOOD, f"molecules are bright: {text}")]
        sure = min(chance for _, chance in telling) < _SURE
        flip = "leave --invert out" if evidence.settings.invert else "pass --invert"
        return [
            Finding(
                self.name,
                Verdict.REFUSED if sure else Verdict.WARNING,
                f"{DARK}: {text}",
                flip,
            )
        ]


def measure_signs(evidence: Evidence) -> Signs:
    """Measure both numbers from the lowest frequencies of the frames."""
    images, ctf = evidence.low_frames
    middle = measure_contrast(images, ctf, evidence.forward_model)
    skewness = _skewness(evidence, images, ctf) if evidence.dataset.has_poses else None
    return Signs(middle, skewness)


def _skewness(evidence: Evidence, images: Tensor, ctf: Tensor) -> float:
    volume = low_resolution_volume(evidence, images, ctf)
    inside = window_ball(len(volume), evidence.settings.window_radius) > 0.5
    support = FourierSupport(len(volume), 3)
    coefficients = support.fft(volume * inside)
    coefficients[0] = 0
    generator = torch.Generator().manual_seed(0)
    turns = 2 * torch.pi * torch.rand(_DRAWS, len(support), generator=generator)
    drawn = support.ifft(coefficients * torch.polar(torch.ones_like(turns), turns))
    by_chance = stats.skew(drawn[:, inside].numpy(), axis=1)
    found = stats.skew(support.ifft(coefficients)[inside].numpy())
    return float(found / by_chance.std(ddof=1))


def low_resolution_volume(evidence: Evidence, images: Tensor, ctf: Tensor) -> Tensor:
    """Back-project the lowest frequencies of frames into a small box ``(D', D', D')``."""
    dataset, model = evidence.dataset, evidence.forward_model
    radius = min(LOW_RADIUS, model.box / 2 - 1)
    grid = PaddedGrid(min(model.box, int(2 * (radius + 2))), radius, torch.device("cpu"))
    rotations = dataset.poses.rotations[torch.from_numpy(evidence.images.low_rows)].float()
    sums = BackProjection(grid)
    sums.add(images, ctf, model.slice_frequencies(rotations, slice(0, images.shape[1])))
    return sums.solve(torch.ones(int(radius) + 1))
