"""Is the background of the images zero, flat and the same in all of them?"""

from __future__ import annotations

import numpy as np

from temporem.checks.base import Finding, Verdict
from temporem.checks.chance import furthest
from temporem.checks.evidence import Evidence
from temporem.frames.streaming import image_window

_REMEDY = "leave data.corrections on, which subtracts a plane from every frame"


class Background:
    """Looks at level and slope of the background.

    The model of an image is molecule plus noise of mean zero. A level δ, in standard deviations of
    the noise, adds ``δ² D² ⟨w⟩² / ⟨w²⟩`` to the power at zero frequency, where the noise has 1,
    with the window w of images. A level that chance does not explain and that has more power
    than the noise makes a warning. One that holds more contrast than the molecules is refused.
    """

    name = "background"

    def look(self, evidence: Evidence) -> list[Finding]:
        images = evidence.images
        level = images.background_mean / images.deviations
        mean, error = float(level.mean()), float(level.std(ddof=1) / len(level) ** 0.5)
        error = max(error, (len(level) * images.n_corner) ** -0.5)
        window = image_window(images.box, evidence.settings.window_radius)
        gain = images.box * float(window.mean() / window.square().mean().sqrt())
        said = (
            f"the background is {mean:.3g} ± {error:.1g} standard deviations of the noise "
            f"(expected 0), in the units of the file {images.background_mean.mean():.6g} with a "
            f"standard deviation of {images.typical_sd:.4g}"
        )
        found = []
        contrast = float((images.pixel_square - 1)[window > 0.5].mean())
        contrast = max(contrast, 3 / (len(images) * float(window.sum())) ** 0.5)
        scatter = float(images.background_mean.std()) / images.typical_sd
        noise = max(1 / gain, scatter)  # at zero frequency, white or not
        if abs(mean) > furthest(1) * error and abs(mean) > noise:
            hides = mean**2 > contrast
            more = ", and outweighs the molecules" if hides else ""
            verdict = Verdict.REFUSED if hides else Verdict.WARNING
            found.append(Finding(self.name, verdict, said + more, _REMEDY))
        found += self._between(evidence, gain, contrast) + self._slope(evidence, gain)
        if found and evidence.settings.corrections:
            return [
                Finding(self.name, Verdict.GOOD, f"{one.evidence}; it is subtracted")
                for one in found
            ]
        return found or [Finding(self.name, Verdict.GOOD, said)]

    def _between(self, evidence: Evidence, gain: float, contrast: float) -> list[Finding]:
        """Levels that differ between frames more than noise, white or not, makes them."""
        images = evidence.images
        own = images.background_mean
        level = (own - np.median(own)) / images.deviations
        typical = np.median(np.abs(level)) / 0.6745  # a standard deviation, deaf to outliers
        limit = furthest(len(level)) * max(typical, images.n_corner**-0.5)
        rows = np.flatnonzero((np.abs(level) > limit) & (np.abs(level) * gain > images.box))
        if len(rows):
            rows = rows[np.argsort(-np.abs(level[rows]))]
            text = (
                f"the background of {evidence.name_rows(rows)} is off by "
                f"{level[rows[0]]:.3g} standard deviations of the noise"
            )
            return [Finding(self.name, Verdict.WARNING, text, _REMEDY)]
        scatter, chance = float(level.std()), images.n_corner**-0.5
        if scatter**2 - chance**2 > contrast:
            text = (
                f"the background differs between frames by {scatter:.2g} standard deviations of "
                f"the noise, by chance {chance:.2g}, and outweighs the molecules"
            )
            return [Finding(self.name, Verdict.WARNING, text, _REMEDY)]
        return []

    def _slope(self, evidence: Evidence, gain: float) -> list[Finding]:
        """A slope that all frames share, such as that of uneven illumination."""
        images = evidence.images
        slope = images.gradient / images.deviations[:, None]
        mean, error = slope.mean(0), slope.std(0, ddof=1) / len(slope) ** 0.5
        error = np.maximum(error, images.gradient_sd / len(slope) ** 0.5)
        steep = (np.abs(mean) > furthest(2) * error) & (np.abs(mean) * gain / 12**0.5 > 1)
        if not steep.any():
            return []
        text = (
            f"the background rises by {mean[0]:.2g} along x and {mean[1]:.2g} along y from edge to "
            "edge, in standard deviations of the noise"
        )
        return [Finding(self.name, Verdict.WARNING, text, _REMEDY)]
