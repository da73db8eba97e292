"""Is the noise white?"""

from __future__ import annotations

from temporem.checks.base import Finding, Verdict
from temporem.checks.chance import furthest
from temporem.checks.evidence import Evidence

_TWICE = 2.0


class NoiseColour:
    """Looks at the correlation ρ of neighbouring pixels outside the particle.

    White noise has ρ = 0. Correlations ρx and ρy multiply the noise power at the lowest frequencies
    by about ``(1 + 2ρx)(1 + 2ρy)``; a factor of two makes a warning where it is not whitened.
    """

    name = "noise colour"

    def look(self, evidence: Evidence) -> list[Finding]:
        images = evidence.images
        # Each image's own mean was subtracted, which lowers the correlation of white noise.
        correlation = images.neighbour_correlation + 1 / images.n_corner
        error = float((images.neighbour_pairs.sum() * len(images)) ** -0.5)
        x, y = correlation
        power = max(1 + 2 * x, 0.0) * max(1 + 2 * y, 0.0)
        text = (
            f"neighbouring pixels of the background correlate by {x:.3f} along x and {y:.3f} along "
            f"y (white noise: 0 ± {error:.1g}), so low frequencies have about {power:.2g} times "
            "the noise of white noise"
        )
        unlikely = max(abs(x), abs(y)) > furthest(2) * error
        if unlikely and not 1 / _TWICE <= power <= _TWICE:
            if evidence.settings.corrections:
                return [
                    Finding(
                        self.name,
                        Verdict.GOOD,
                        f"{text}; it is whitened unless molecules outweigh it",
                    )
                ]
            remedy = "leave data.corrections on, which whitens the noise"
            return [Finding(self.name, Verdict.WARNING, text, remedy)]
        return [Finding(self.name, Verdict.GOOD, text)]
