"""The figure of kinetics: energy along x, autocorrelation, implied timescales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from temporem.kinetics.facts import Curve, KineticsFacts
from temporem.kinetics.words import sentences
from temporem.report import theme
from temporem.report.content import ReportRun
from temporem.report.csv_text import csv_text
from temporem.report.drawing import Drawing, Section, draw
from temporem.report.embed import svg_document

CAPTION = (
    "Above: energy −kT ln p of the stationary density, with the noise of single frames taken out; "
    "dashed lines are basins. Middle: autocorrelation. Below: implied timescale −lag / ln C; it is "
    "level where one exponential describes the relaxation. Bands hold 90 % of resampled movies."
)


def kinetics_section(runs: Sequence[ReportRun]) -> Section:
    """Kinetics of the runs that were measured."""
    drawings: list[Drawing] = []
    words: list[str] = []
    for index, run in enumerate(runs):
        if run.kinetics is None:
            continue
        figure, data = kinetics_figure(run.kinetics, colour=theme.run_colour(index))
        caption = f"{run.name}. {CAPTION}"
        drawings.append(draw(figure, f"Kinetics of {run.name}", caption, data))
        words += [f"{run.name}: {sentence}" for sentence in sentences(run.kinetics)]
    return Section("Kinetics", tuple(words), tuple(drawings))


def kinetics_files(facts: KineticsFacts) -> dict[str, str]:
    """Figure and curves as texts, by name of the file."""
    figure, data = kinetics_figure(facts)
    return {"kinetics.svg": svg_document(figure, "kinetics"), "curves.csv": csv_text(data)}


def kinetics_figure(
    facts: KineticsFacts, *, colour: str = theme.RUN_COLOURS[0]
) -> tuple[Figure, dict[str, Any]]:
    """Draw energy, autocorrelation and implied timescales.

    Returns:
        The figure, and the numbers behind it.
    """
    figure, axes = theme.new_figure(3, height=1.9)
    energy, correlation, timescale = axes[:, 0]
    time = "s" if facts.unit == "s" else "frames"
    data = _curve(energy, facts.energy, colour, f"{facts.along}", "energy, kT")
    for basin in facts.basins if len(facts.basins) > 1 and facts.hops is not False else []:
        if basin.centre.value is not None:
            energy.axvline(
                basin.centre.value, color=theme.INK, linewidth=0.9, linestyle=(0, (4, 3))
            )
    energy.set_ylim(bottom=min(0.0, energy.get_ylim()[0]), top=_top(facts.energy))
    theme.label(energy, f"x, along {facts.along}", "Energy (kT)")
    data |= _curve(correlation, facts.correlation, colour, "lag", "correlation")
    correlation.axhline(0, color=theme.FAINT, linewidth=0.8)
    theme.label(correlation, f"Lag ({time})", "Correlation")
    data |= _curve(timescale, facts.timescales, colour, "lag of timescale", "timescale")
    timescale.set_ylim(bottom=0, top=2 * _median(facts.timescales))
    theme.label(timescale, f"Lag ({time})", f"Timescale ({time})")
    return figure, data


def _curve(ax: Axes, curve: Curve, colour: str, x_name: str, name: str) -> dict[str, Any]:
    x, value, low, high = curve.arrays()
    ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
    ax.plot(
        x, value, color=colour, linewidth=1.6, marker="o" if len(x) < 15 else None, markersize=3
    )
    return {x_name: x, name: value, f"{name}, low": low, f"{name}, high": high}


def _top(curve: Curve) -> float:
    """Highest value with a little room; bands may reach beyond."""
    return 1.25 * max((value for value in curve.value if value is not None), default=1.0)


def _median(curve: Curve) -> float:
    known = [value for value in curve.value if value is not None and value > 0]
    return float(np.median(known)) if known else 1.0
