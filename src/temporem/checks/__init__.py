"""Checks of a dataset before a reconstruction, one file each.

To add a check, write a class with ``name`` and ``look`` in a file of its own and put it into one of
the lists below.
"""

from __future__ import annotations

from temporem.checks.background import Background
from temporem.checks.base import Check, Finding, Verdict
from temporem.checks.blank_corners import BlankCorners
from temporem.checks.broken_pixels import BrokenPixels
from temporem.checks.contrast import Contrast
from temporem.checks.ctf import CTFSignal
from temporem.checks.duplicates import Duplicates
from temporem.checks.evidence import Evidence
from temporem.checks.movies import Movies
from temporem.checks.noise_colour import NoiseColour
from temporem.checks.noise_level import NoiseLevel
from temporem.checks.pose_errors import PoseErrorCheck
from temporem.checks.thon_rings import ThonRings
from temporem.checks.views import Views
from temporem.errors import TemporemError
from temporem.frames.settings import DataSettings

CHECKS: tuple[Check, ...] = (
    BlankCorners(),
    BrokenPixels(),
    Background(),
    NoiseLevel(),
    NoiseColour(),
    Contrast(),
    CTFSignal(),
    Views(),
    Movies(),
    Duplicates(),
)
"""Checks that cost next to nothing; ``temporem reconstruct`` makes them too."""

THOROUGH: tuple[Check, ...] = (ThonRings(), PoseErrorCheck())
"""Checks that read the images again; only ``temporem check`` makes them."""


def examine(evidence: Evidence, *, thorough: bool = False) -> list[Finding]:
    """Make all checks.

    Args:
        evidence: the dataset and what was measured of it.
        thorough: also make the checks that read the images again.

    Returns:
        A finding or more of every check, in their order.
    """
    checks = CHECKS + THOROUGH if thorough else CHECKS
    return [finding for check in checks for finding in check.look(evidence)]


def require_sound(findings: list[Finding], settings: DataSettings, where: object) -> list[Finding]:
    """Refuse data that cannot give a volume; return the findings to warn of.

    Args:
        findings: of :func:`examine`.
        settings: ``checks`` decides if refusals become warnings.
        where: the dataset, for the message.

    Raises:
        TemporemError: a check refuses the data.
    """
    refused = [finding for finding in findings if finding.verdict == Verdict.REFUSED]
    if refused and settings.checks == "refuse":
        raise TemporemError(
            f"{where}: {refused[0].evidence}",
            hint=f"{refused[0].remedy}; temporem check tells more, and --set data.checks=warn goes "
            "on all the same",
        )
    return [f for f in findings if f.verdict in (Verdict.WARNING, Verdict.REFUSED)]


__all__ = [
    "CHECKS",
    "THOROUGH",
    "Check",
    "Evidence",
    "Finding",
    "Verdict",
    "examine",
    "require_sound",
]
