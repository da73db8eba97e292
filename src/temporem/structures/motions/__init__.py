"""Registry of motions of a simulation, one file each.

To add a motion, write its file and put it into the list below, or call :func:`register_motion`.
"""

from __future__ import annotations

from typing import Any

from temporem.errors import TemporemError
from temporem.structures.motions.base import MotionKind, MotionSettings
from temporem.structures.motions.hinge import HINGE
from temporem.structures.motions.morph import MORPH
from temporem.structures.motions.pulled import PULLED
from temporem.structures.motions.trajectory import TRAJECTORY

MOTIONS: dict[str, MotionKind[Any]] = {}
"""Every known kind by its name."""


def register_motion(kind: MotionKind[Any]) -> None:
    """Register a kind of motion for configurations and for the truth of datasets.

    Raises:
        TemporemError: its settings have no name for it, or another kind has that name.

    Example:
        >>> tm.register_motion(BREATHING)  # the kind in docs/extending.md
    """
    if not isinstance(kind.name, str):
        raise TemporemError(
            f"{kind.settings.__name__}: kind needs a default, the name of the motion"
        )
    if MOTIONS.setdefault(kind.name, kind) is not kind:
        raise TemporemError(f"there is a motion of kind '{kind.name}' already")


def motion_sections() -> dict[str, type[MotionSettings]]:
    """Class of the settings of every kind, by its name."""
    return {name: kind.settings for name, kind in MOTIONS.items()}


for _kind in (
    HINGE,
    MORPH,
    PULLED,
    TRAJECTORY,
):
    register_motion(_kind)
