"""The panels of an experiment: from plain numbers to a matplotlib ``Figure``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from temporem.experiments.measures import Interval, Measure
from temporem.report import theme
from temporem.report.plots import fsc_axes

_ASIDE = 0.015  # distance between neighbouring lines, as a fraction of the axis


def fsc_over_seeds(
    curves: Mapping[str, np.ndarray],
    box: int,
    pixel_size_angstrom: float,
    title: str,
    methods: Sequence[str] = (),
) -> Figure:
    """Draw the mean FSC curve of every method, with the range of the seeds' curves.

    Args:
        curves: mean curve of every seed by method, ``(seeds, shells)``.
        box: box edge, pixels.
        pixel_size_angstrom: pixel size, Å.
        title: set above the axes.
        methods: all methods of the dataset, in the order of their colours.
    """
    figure, axes = theme.new_figure(height=3.4)
    ax = axes[0, 0]
    for index, name in theme.places(curves, methods):
        values = curves[name]
        frequency = np.arange(values.shape[1]) / (box * pixel_size_angstrom)
        colour = theme.run_colour(index)
        ax.fill_between(
            frequency, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0
        )
        style = "-" if index < len(theme.RUN_COLOURS) else (0, (4, 1.5))
        ax.plot(
            frequency,
            values.mean(0),
            color=colour,
            linewidth=1.6,
            linestyle=style,
            label=theme.shorten(name),
        )
    lowest = min(float(values.mean(0).min()) for values in curves.values())
    fsc_axes(ax, box, pixel_size_angstrom, 0.5, lowest)
    theme.label(ax, "Resolution (Å)", "FSC with the truth", title)
    theme.legend(figure, ax)
    return figure


def states_over_seeds(
    areas: Mapping[str, np.ndarray],
    labels: np.ndarray,
    region: str,
    methods: Sequence[str] = (),
) -> Figure:
    """Draw the area under the FSC curve of every true state, with the range of the seeds.

    Args:
        areas: areas by method, ``(seeds, states)``.
        labels: the states, ``(states,)``.
        region: region of the FSC, in words.
        methods: all methods of the dataset, in the order of their colours.
    """
    figure, axes = theme.new_figure(height=3.4)
    ax = axes[0, 0]
    for index, name in theme.places(areas, methods):
        colour, values = theme.run_colour(index), areas[name]
        ax.fill_between(labels, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        ax.plot(
            labels,
            values.mean(0),
            color=colour,
            linewidth=1.4,
            marker="o",
            markersize=3,
            label=theme.shorten(name),
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "True state", "FSC area", f"States, {region}")
    theme.legend(figure, ax)
    return figure


def measures_figure(
    values: Mapping[str, Mapping[str, Interval | None]], measures: Sequence[Measure]
) -> Figure:
    """Draw a panel for every measure with a row for every method: mean, interval over seeds.

    Args:
        values: values by method, then by label of the measure.
        measures: the measures to show.
    """
    columns = 2
    rows = -(-len(measures) // columns)
    width = 1.5 * theme.COLUMN_INCHES
    figure, axes = theme.new_figure(rows, columns, width=width, height=0.75 + 0.22 * len(values))
    names = list(values)
    for position, (ax, measure) in enumerate(zip(axes.flat, measures, strict=False)):
        for index, name in enumerate(names):
            value = values[name].get(measure.label)
            if value is not None:
                _dot(ax, value, index, theme.run_colour(index), horizontal=True)
        labels = [theme.shorten(name, 20) for name in names] if position % columns == 0 else []
        ax.set_yticks(range(len(names)), labels or [""] * len(names))
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.xaxis.set_major_locator(MaxNLocator(4))  # labels of close values are long
        theme.label(ax, "", "", measure.label)
    for ax in axes.flat[len(measures) :]:
        ax.set_visible(False)
    return figure


def axis_figure(
    values: Mapping[str, Mapping[float, Mapping[str, Interval | None]]],
    measures: Sequence[Measure],
    label: str,
    *,
    logarithmic: bool,
) -> Figure:
    """Draw a panel for every measure along the experiment's axis, with a line for every series.

    Lines are drawn a little apart, so that equal ones do not hide one another.

    Args:
        values: values by series, then by place on the axis, then by label of the measure.
        measures: the measures to show.
        label: label of the axis.
        logarithmic: draw the axis on a logarithmic scale.
    """
    columns = 2
    figure, axes = theme.new_figure(
        -(-len(measures) // columns), columns, width=1.5 * theme.COLUMN_INCHES, height=2.4
    )
    places = sorted({place for series in values.values() for place in series})
    scale, back = (math.log, math.exp) if logarithmic else (float, float)
    span = scale(places[-1]) - scale(places[0])
    for ax, measure in zip(axes.flat, measures, strict=False):
        for index, (name, series) in enumerate(values.items()):
            known = [(x, v) for x in places if (v := series.get(x, {}).get(measure.label))]
            if not known:
                continue
            colour = theme.run_colour(index)
            aside = _ASIDE * span * (index - (len(values) - 1) / 2)
            x = [back(scale(place) + aside) for place, _ in known]
            ax.plot(
                x,
                [v.mean for _, v in known],
                color=colour,
                linewidth=1.5,
                label=theme.shorten(name),
            )
            for place, (_, value) in zip(x, known, strict=True):
                _dot(ax, value, place, colour, horizontal=False)
        if logarithmic:
            ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(places))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([f"{place:g}" for place in places])
        theme.label(ax, label, "", measure.label)
    for ax in axes.flat[len(measures) :]:
        ax.set_visible(False)
    theme.legend(figure, axes.flat[0])
    return figure


def _dot(ax: object, value: Interval, place: float, colour: str, *, horizontal: bool) -> None:
    """Draw a mean with its interval, if it has one."""
    half = 0.0 if math.isnan(value.low) else value.high - value.mean
    at = (value.mean, place) if horizontal else (place, value.mean)
    error = {"xerr" if horizontal else "yerr": [half]}
    ax.errorbar(  # type: ignore[attr-defined]
        [at[0]], [at[1]], **error, fmt="o", color=colour, markersize=4.5, linewidth=1.2, capsize=2
    )
