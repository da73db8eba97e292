"""Does the CTF pass signal?"""

from __future__ import annotations

import numpy as np
import torch

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence

_LEAST = 0.01  # of the power: noise then weighs a hundredfold
_SHOWN = 500  # frames whose CTF is computed


class CTFSignal:
    """Looks at the share of the signal's power that the CTF passes.

    It is the mean of CTF² over frames and frequencies: about a half for a CTF that oscillates, and
    1 for images without CTF.
    """

    name = "CTF"

    def look(self, evidence: Evidence) -> list[Finding]:
        dataset, model = evidence.dataset, evidence.forward_model
        rows = np.linspace(0, dataset.n_frames - 1, min(dataset.n_frames, _SHOWN)).round()
        ctf = model.ctf(dataset.ctf[torch.from_numpy(np.unique(rows).astype(np.int64))])
        shares = model.support.shell_means(ctf.square()).mean(0)
        share = float(ctf.square().mean())
        defocus = 0.5 * (dataset.ctf.defocus_u_angstrom + dataset.ctf.defocus_v_angstrom)
        if bool((ctf == 1).all()):
            return [Finding(self.name, Verdict.GOOD, "images are formed without a CTF")]
        text = (
            f"the CTF passes {share:.1%} of the signal's power; defocus is "
            f"{float(defocus.min()):.0f} to {float(defocus.max()):.0f} Å"
        )
        if share < _LEAST:
            return [
                Finding(
                    self.name,
                    Verdict.REFUSED,
                    f"{text}: next to nothing of the molecule is in the images",
                    "mend defocus, spherical aberration and amplitude contrast in particles.star; "
                    "pass --ctf none for images that are formed without one",
                )
            ]
        lost = int((shares < _LEAST).sum())
        if lost:
            text += f"; {lost} of {len(shares)} shells pass less than a hundredth"
        return [Finding(self.name, Verdict.GOOD, text)]
