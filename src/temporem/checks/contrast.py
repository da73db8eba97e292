"""Are molecules brighter than their surroundings, as the methods take them to be?

Image formation itself does not tell: negated images fit the negated volume as well. What tells is
that a molecule is a compact thing, denser than the liquid all around it. Two numbers follow.

- Frames with the sign of their CTF undone are brighter in the middle than farther out. Every frame
  gives one number, its product with a blob in the middle of the box, without the mean of the image.
  Their mean over frames, in units of its standard error, is Student's t where there is only noise.
- The mean volume has a few dense voxels and much liquid, so its skewness is positive. Volumes of
  the same power spectrum and random phases tell how far it is from 0 by chance.

The first needs no poses. The second is left out without poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.frames.image_statistics import LOW_RADIUS
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import window_ball
from temporem.physics.padded_grid import PaddedGrid
from temporem.volumes.back_projection import BackProjection

_BLOB = 0.12  # standard deviation of the blob, of the box
_SURE, _LIKELY = 1e-6, 1e-3  # chance that noise alone gives the number
_DRAWS = 200
_SMALLEST_CHANCE = 1e-300


@dataclass(frozen=True)
class Signs:
    """Evidence on the sign of the contrast; positive numbers speak for bright molecules.

    Attributes:
        middle: Student's t of the frames' middle against its surroundings.
        frames: number of frames behind it.
        skewness: standard deviations from 0 of the mean volume's skewness; None without poses.
    """

    middle: float
    frames: int
    skewness: float | None

    @property
    def chances(self) -> list[float]:
        """Chance that noise gives so large a number of either sign, for each of them."""
        chances = [2 * float(stats.t.sf(abs(self.middle), max(self.frames - 1, 1)))]
        if self.skewness is not None:
            # The skewness of few voxels has longer tails than a Gaussian.
            chances.append(2 * float(stats.t.sf(abs(self.skewness), 10)))
        return [max(chance, _SMALLEST_CHANCE) for chance in chances]

    @property
    def numbers(self) -> list[float]:
        """The numbers that there are."""
        return [self.middle] if self.skewness is None else [self.middle, self.skewness]


class Contrast:
    """Looks for dark molecules."""

    name = "contrast"

    def look(self, evidence: Evidence) -> list[Finding]:
        signs = measure_signs(evidence)
        text = (
            f"with their CTF undone, frames are {'brighter' if signs.middle > 0 else 'darker'} in "
            f"the middle than around it (t = {signs.middle:.1f}, by chance 0 ± 1)"
        )
        if signs.skewness is not None:
            text += (
                f", and the density of their mean volume has a skewness {signs.skewness:.1f} "
                "standard deviations from that of noise"
            )
        telling = [
            (number, chance)
            for number, chance in zip(signs.numbers, signs.chances, strict=True)
            if chance < _LIKELY
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
                f"molecules seem to be dark: {text}",
                flip,
            )
        ]


def measure_signs(evidence: Evidence) -> Signs:
    """Measure both numbers from the lowest frequencies of the frames."""
    images, ctf = evidence.low_frames
    support = evidence.forward_model.support
    n = images.shape[1]
    radii = support.radii[:n] / 1.0
    blob = torch.exp(-2 * (torch.pi * _BLOB * radii) ** 2) * support.weights[:n]
    blob[0] = 0  # a background level, or its subtraction, sits there
    products = (images.real * ctf * blob).sum(1).double().numpy()
    spread = float(products.std(ddof=1)) if len(products) > 1 else np.inf
    middle = float(products.mean()) / max(spread / len(products) ** 0.5, 1e-30)
    skewness = _skewness(evidence, images, ctf) if evidence.dataset.has_poses else None
    return Signs(middle, len(products), skewness)


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
