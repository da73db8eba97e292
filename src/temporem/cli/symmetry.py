"""A word of warning where poses were found of a molecule that is symmetric."""

from __future__ import annotations

from pathlib import Path

from temporem.cli.console import say


def warn_of_symmetry(run: Path) -> None:
    """Say so where the volume that poses were found with looks the same after some turn."""
    from temporem.runs.pose_state import found_symmetry

    symmetry = found_symmetry(run)
    if symmetry is None or symmetry.order == 1:
        return
    turn = f"a turn by {360 / symmetry.order:g}°" if symmetry.order else "any turn"
    across = (
        ", and after half a turn about others at right angles to it" if symmetry.dihedral else ""
    )
    x, y, z = symmetry.axis
    say(
        f"Warning: the volume looks the same after {turn} about the axis ({x:.2f}, {y:.2f}, "
        f"{z:.2f}){across} ({symmetry.name}, agreement {symmetry.agreement:.2f}). Poses are "
        "determined up to such turns only: frames that differ by one are not in error, though an "
        "evaluation counts them so."
    )
