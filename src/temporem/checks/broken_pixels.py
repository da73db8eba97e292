"""Are there pixels that no noise and no molecule explains?"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from temporem.checks.base import Finding, Verdict
from temporem.checks.chance import furthest
from temporem.checks.evidence import Evidence
from temporem.frames.broken_pixels import brightest_allowed


class BrokenPixels:
    """Looks for single extreme pixels, and for places that differ from their neighbours.

    :mod:`temporem.frames.broken_pixels` says when a pixel is extreme.
    """

    name = "broken pixels"

    def look(self, evidence: Evidence) -> list[Finding]:
        found = self._extreme(evidence) or self._stuck(evidence)
        images = evidence.images
        largest = _in_deviations(evidence).max()
        return found or [
            Finding(
                self.name,
                Verdict.GOOD,
                f"the most extreme pixel is {largest:.1f} standard deviations of the noise from "
                f"the background, in {len(images)} images",
            )
        ]

    def _extreme(self, evidence: Evidence) -> list[Finding]:
        box, deviation = evidence.images.box, _in_deviations(evidence)
        if evidence.settings.corrections:  # exactly what was repaired
            rows = np.array(sorted(evidence.frames.broken.repairs), dtype=int)
        else:
            rows = np.flatnonzero(deviation > brightest_allowed(deviation, box))
            rows = np.array([row for row in rows if _stands_alone(evidence, int(row))], dtype=int)
        rows = rows[np.argsort(-deviation[rows])]
        if len(rows) == 0:
            return []
        worst = int(rows[0])
        y, x = divmod(int(evidence.images.extreme_at[worst]), box)
        text = (
            f"{evidence.name_rows(rows)}: a pixel is {deviation[worst]:.0f} standard deviations of "
            f"the noise from the background (x {x}, y {y}, counted from 0) and outweighs the rest "
            "of its image"
        )
        if evidence.settings.corrections:
            return [Finding(self.name, Verdict.GOOD, f"{text}; such pixels are repaired")]
        remedy = "leave data.corrections on, which repairs such pixels"
        return [Finding(self.name, Verdict.REFUSED, text, remedy)]

    def _stuck(self, evidence: Evidence) -> list[Finding]:
        """Places whose mean over all images no smooth mean of molecules explains."""
        images = evidence.images
        mean = images.pixel_mean
        rest = mean - ndimage.median_filter(mean, size=3, mode="reflect")
        # Neighbouring places differ by noise, and where the mean molecule is steep.
        noise = 1 / np.sqrt(len(images))
        spread = ndimage.maximum_filter(_steepness(mean), size=3)
        limit = 2 * furthest(mean.size) * noise + spread
        # Molecules overlap at the particle's centre, where their mean may have a peak or, with its
        # CTF, a hole that is one coarse pixel wide.
        middle = mean.shape[0] // 2
        rest[middle - 1 : middle + 2, middle - 1 : middle + 2] = 0
        y, x = np.nonzero(np.abs(rest) > limit)
        if len(x) == 0:
            return []
        worst = int(np.argmax(np.abs(rest[y, x])))
        return [
            Finding(
                self.name,
                Verdict.WARNING,
                f"in the mean of all images, the pixel at x {x[worst]}, y {y[worst]} (counted from "
                f"0; {len(x)} such pixels) differs from its neighbours by {rest[y, x][worst]:.2f} "
                f"standard deviations of the noise, by chance {noise:.2f}",
                "correct the gain and the defects of the detector before particles are extracted",
            )
        ]


def _in_deviations(evidence: Evidence) -> np.ndarray:
    images = evidence.images
    return np.where(images.blank, 0.0, np.abs(images.extreme) / images.deviations)


def _stands_alone(evidence: Evidence, row: int) -> bool:
    """True if the pixels around the most extreme one of an image are far weaker."""
    images = evidence.images
    y, x = divmod(int(images.extreme_at[row]), images.box)
    around = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
    level = np.asarray(evidence.dataset.images[row])[around] - images.background_mean[row]
    return bool(np.abs(np.median(level)) < 0.5 * np.abs(images.extreme[row]))


def _steepness(mean: np.ndarray) -> np.ndarray:
    """Difference of a smoothed image between neighbours, ``(D, D)``."""
    smooth = ndimage.median_filter(mean, size=3, mode="reflect")
    return np.hypot(*np.gradient(smooth))
