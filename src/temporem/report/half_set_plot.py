"""The figures of half sets: FSC of volumes, and of their change, and resolution along the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from temporem.report import plots, theme
from temporem.report.content import ReportRun
from temporem.report.drawing import Drawing, draw

_WORDS = {"particle": "whole molecule", "moving": "where it moves"}


def half_set_drawings(runs: Sequence[ReportRun]) -> list[Drawing]:
    """Draw, for each mask, the curves of all runs that have half sets, then single states."""
    known = {run.name: run.validation.half_sets for run in runs}
    drawings = []
    for region, title in _WORDS.items():
        curves: dict[str, np.ndarray] = {}
        pixel = 0.0
        for name, facts in known.items():
            if facts is None or region not in facts.regions:
                continue
            found = facts.regions[region]
            for what, curve in (("volumes", found.volumes), ("change", found.change)):
                curves[f"{name}, {what}"] = np.array(curve.corrected)
            pixel = facts.pixel_size_angstrom
        if curves:
            figure, data = plots.half_fsc(curves, pixel, f"Half sets, {title}", [*curves])
            caption = (
                "FSC of two models, each of half of the movies, at the same frames: of their "
                "volumes, and of what changes between frames; corrected for the mask."
            )
            drawings.append(draw(figure, f"FSC of half sets, {title}", caption, data))
    return drawings + _along_the_path(runs)


def _is_below_nyquist(run: ReportRun) -> bool:
    facts = run.validation.half_sets
    if facts is None:
        return False
    nyquist = 2 * facts.pixel_size_angstrom
    return any(max(found.states_angstrom) > 1.001 * nyquist for found in facts.regions.values())


def _along_the_path(runs: Sequence[ReportRun]) -> list[Drawing]:
    """Resolution of the states along the path, in the whole molecule and where it moves.

    Nothing is drawn where the pixels limit every state.
    """
    known = [run for run in runs if run.validation.half_sets is not None]
    if not any(_is_below_nyquist(run) for run in known):
        return []
    figure, axes = theme.new_figure(height=2.8)
    ax = axes[0, 0]
    data: dict[str, Any] = {}
    for place, name in theme.places([run.name for run in known], [run.name for run in runs]):
        facts = next(run for run in known if run.name == name).validation.half_sets
        assert facts is not None
        for region, found in facts.regions.items():
            label = f"{name}, {_WORDS.get(region, region)}"
            states = np.arange(1, len(found.states_angstrom) + 1)
            ax.plot(
                states,
                found.states_angstrom,
                color=theme.run_colour(place),
                linewidth=1.6,
                linestyle="-" if region == "moving" else (0, (4, 2)),
                marker="o",
                markersize=3,
                label=theme.shorten(label, 40),
            )
            data |= {"state": states, label: found.states_angstrom}
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "State along the path", "Half sets agree to (Å)", "Resolution along the path")
    theme.legend(figure, ax)
    caption = "Local resolution of the moving part, state by state; not corrected for the mask."
    return [draw(figure, "Resolution along the path", caption, data)]
