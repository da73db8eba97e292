"""Are the corners of some images blank, as a mask leaves them?"""

from __future__ import annotations

import numpy as np

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence


class BlankCorners:
    """Looks for images that are constant outside the particle."""

    name = "blank corners"

    def look(self, evidence: Evidence) -> list[Finding]:
        images = evidence.images
        blank = np.flatnonzero(images.blank)
        if len(blank) == 0:
            return [Finding(self.name, Verdict.GOOD, "all images have noise in their corners")]
        return [
            Finding(
                self.name,
                Verdict.REFUSED,
                f"{len(blank)} of {len(images)} images are constant in their corners, so their "
                f"noise cannot be measured: {evidence.name_rows(blank)}",
                "extract particles without a mask, or leave these rows out",
            )
        ]
