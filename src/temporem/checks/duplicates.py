"""Is an image there twice?"""

from __future__ import annotations

import numpy as np

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence


class Duplicates:
    """Looks for images with the same pixels in several rows.

    Two halves of the movies are then not independent, and their agreement proves nothing. Noise
    never repeats an image, so one pair is enough.
    """

    name = "duplicates"

    def look(self, evidence: Evidence) -> list[Finding]:
        images = evidence.images
        keys = np.stack([images.background_mean, images.background_sd, images.extreme], axis=1)
        _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        earlier = first[group]
        later = np.flatnonzero(earlier != np.arange(len(images)))
        pixels = evidence.dataset.images
        same = [
            row for row in later.tolist() if np.array_equal(pixels[row], pixels[int(earlier[row])])
        ]
        if not same:
            return [Finding(self.name, Verdict.GOOD, "no image is there twice")]
        text = (
            f"{len(same)} images repeat earlier ones: {evidence.name_rows(np.array(same))}, the "
            f"first as row {earlier[same[0]]}"
        )
        remedy = "keep one row of each, for otherwise half maps agree on the noise that they share"
        return [Finding(self.name, Verdict.WARNING, text, remedy)]
