"""What random starts say of poses that were found from images alone."""

from __future__ import annotations

from pathlib import Path

from temporem.cli.console import say


def say_random_starts(run: Path) -> None:
    """Say what part of the frames two starts have found in like poses; warn where it is small."""
    from temporem.poses.ab_initio import ALIKE_DEGREES, LEAST_ALIKE
    from temporem.runs.pose_state import starts_alike

    alike = starts_alike(run)
    if alike is None:
        return
    say(
        f"Poses: two random starts, each on its own, find {alike:.0%} of the frames alike, within "
        f"{ALIKE_DEGREES:g}°"
    )
    if alike < LEAST_ALIKE:
        say(
            "Warning: most poses may be wrong, and with them all volumes. A pose that the images "
            "determine is found from other starts too. More frames or less noise would help, or "
            "poses from another program (--poses refine); poses.starts=8 tries more starts."
        )
