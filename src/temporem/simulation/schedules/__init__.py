"""Registry of schedules: how the movies of a simulation go along a motion's path."""

from __future__ import annotations

from temporem.simulation.schedules.base import PathSchedule, ScheduleSettings, Sweep
from temporem.simulation.schedules.diffusion import Diffusion
from temporem.simulation.schedules.jumps import Jumps
from temporem.simulation.schedules.wander import Wander

__all__ = ["SCHEDULES", "PathSchedule", "ScheduleSettings", "Sweep", "schedule_sections"]

SCHEDULES: dict[str, type[ScheduleSettings]] = {
    schedule.model_fields["kind"].default: schedule
    for schedule in (Sweep, Wander, Diffusion, Jumps)
}
"""Every known kind by its name."""


def schedule_sections() -> dict[str, type[ScheduleSettings]]:
    """Class of the settings of every kind, by its name."""
    return SCHEDULES
