"""Figures of what a run logged while it learned: ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from temporem.physics.fsc import HALF_MAP_THRESHOLD, resolution
from temporem.report import theme
from temporem.report.content import HELD_OUT, ReportDataset, ReportRun
from temporem.report.drawing import Drawing, draw

_OTHER_OBJECTIVE = "warm-up"  # a stage whose terms are not those of the bound
_FIT, _KL = "log_likelihood", "kl"
_EARLY = 0.2  # part of the epochs that may leave the picture

Record = Mapping[str, Any]


def learning_drawings(runs: Sequence[ReportRun], dataset: ReportDataset) -> list[Drawing]:
    """Draw every curve that the logs of the runs hold."""
    names = [run.name for run in runs]
    epochs = {run.name: found for run in runs if (found := epoch_records(run))}
    drawings = []
    if epochs:
        drawings.append(
            draw(
                curves_figure(epochs, fit_per_pixel, "Log-likelihood", runs=names),
                "Log-likelihood by epoch",
                "Log-likelihood of a pixel of a frame, nats. Later stages let in more pixels, "
                "which hold more noise, so that a step at a dotted line is no failure.",
                _table(epochs, {"log_likelihood_per_pixel": fit_per_pixel}),
            )
        )
        drawings.append(
            draw(
                curves_figure(
                    epochs, lambda record: float(record[_KL]), "KL divergence", runs=names
                ),
                "KL divergence by epoch",
                "What the latents of a frame say beyond their prior, nats.",
                _table(epochs, {"kl": lambda record: float(record[_KL])}),
            )
        )
    drawings += _of_components(runs)
    drawings += _of_linear_steps(runs, dataset)
    drawings += _of_pose_search(runs, dataset)
    return drawings


def epoch_records(run: ReportRun) -> list[Record]:
    """The epochs of a run that learned with the bound."""
    return [
        record
        for record in run.metrics
        if {"epoch", _FIT, _KL} <= record.keys() and record.get("stage") != _OTHER_OBJECTIVE
    ]


def fit_per_pixel(record: Record) -> float:
    """Log-likelihood of an epoch per Fourier pixel of a frame, nats."""
    return float(record[_FIT]) / max(int(record.get("n_pixels", 1)), 1)


def curves_figure(
    records: Mapping[str, Sequence[Record]], value: Any, title: str, *, runs: Sequence[str] = ()
) -> Figure:
    """Draw a number of every epoch; gaps separate stages, and a dotted line begins a new one.

    Args:
        records: by run, one per epoch, each with ``epoch`` and ``stage``.
        value: of a record.
        title: set above the axes.
        runs: all runs of the page, in the order of their colours.
    """
    figure, axes = theme.new_figure(height=2.6)
    ax = axes[0, 0]
    marks: dict[str, float] = {}
    for place, name in theme.places(records, runs):
        colour = theme.run_colour(place)
        stages = groupby(records[name], key=lambda record: record.get("stage"))
        for number, (stage, its) in enumerate(stages):
            epochs, values = zip(*[(r["epoch"], value(r)) for r in its], strict=True)
            ax.plot(
                epochs,
                values,
                color=colour,
                linewidth=1.5,
                marker="o",
                markersize=2.5,
                label=theme.shorten(name) if number == 0 else None,
            )
            marks.setdefault(str(stage), float(epochs[0]) - 0.5)
    _focus(ax, [value(record) for some in records.values() for record in some])
    _mark_stages(ax, marks)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", style="plain", useOffset=False)
    theme.label(ax, "Epoch", "", title)
    theme.legend(figure, ax)
    return figure


def _mark_stages(ax: Axes, marks: Mapping[str, float]) -> None:
    """Name the stages where they begin, if there are several; each name has a line of its own."""
    if len(marks) < 2:
        return
    left = ax.get_xlim()[0]
    for line, (stage, start) in enumerate(sorted(marks.items(), key=lambda item: item[1])):
        if line:
            ax.axvline(start, color=theme.FAINT, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate(
            stage,
            (max(start, left), 0.03 + 0.09 * (line % 3)),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=theme.SMALL_POINTS,
            color=theme.INK,
            parse_math=False,
        )


def _focus(ax: Axes, values: Sequence[float]) -> None:
    """Set limits that leave out the first epochs if these would flatten the later ones."""
    low, early, high = np.quantile(values, [0, _EARLY, 1])
    if early - low > 4 * (high - early):
        low = early
    margin = 0.06 * max(high - low, 1e-9)
    ax.set_ylim(low - margin, high + margin)


def _of_components(runs: Sequence[ReportRun]) -> list[Drawing]:
    """Likelihood of left-out movies by number of components, where the number was chosen so."""
    scores = {
        run.name: [float(x) for x in record[HELD_OUT]]
        for run in runs
        for record in run.log
        if len(record.get(HELD_OUT, ())) > 1
    }
    if not scores:
        return []
    figure, axes = theme.new_figure(height=2.6)
    ax = axes[0, 0]
    for place, name in theme.places(scores, [run.name for run in runs]):
        numbers = np.arange(1, len(scores[name]) + 1)
        values = np.array(scores[name]) - scores[name][0]
        _line(ax, numbers, values, theme.run_colour(place), name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "Components", "", "Left-out movies, nats per frame")
    theme.legend(figure, ax)
    caption = (
        "Log-likelihood of movies that were left out, beyond that with one component. The number "
        "that suits them best was chosen."
    )
    data: dict[str, Iterable[Any]] = {"components": range(1, max(map(len, scores.values())) + 1)}
    return [draw(figure, "Left-out movies by number of components", caption, {**data, **scores})]


def _of_linear_steps(runs: Sequence[ReportRun], dataset: ReportDataset) -> list[Drawing]:
    """Objective of the linear model by iteration."""
    n_frames = sum(len(movie) for movie in dataset.movies)
    steps = {
        run.name: [float(r["objective"]) / n_frames for r in run.log if "objective" in r]
        for run in runs
    }
    steps = {name: values for name, values in steps.items() if len(values) > 1}
    if not steps:
        return []
    figure, axes = theme.new_figure(height=2.6)
    ax = axes[0, 0]
    data: dict[str, Iterable[Any]] = {"iteration": range(1, max(map(len, steps.values())) + 1)}
    for place, name in theme.places(steps, [run.name for run in runs]):
        values = np.array(steps[name]) - steps[name][0]
        _line(ax, np.arange(1, len(values) + 1), values, theme.run_colour(place), name)
        data[name] = values
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "Iteration", "", "Linear model, nats per frame")
    theme.legend(figure, ax)
    caption = (
        "Objective of the linear model beyond that of the first iteration. A flat end is good."
    )
    return [draw(figure, "Objective of the linear model by iteration", caption, data)]


def _of_pose_search(runs: Sequence[ReportRun], dataset: ReportDataset) -> list[Drawing]:
    """Resolution at which half sets agree after each iteration of a pose search."""
    found = {}
    for run in runs:
        curves = [r["half_fsc"] for r in run.log if r.get("stage") == "poses" and "half_fsc" in r]
        if len(curves) > 1:
            found[run.name] = [
                float(
                    resolution(np.array(curve), HALF_MAP_THRESHOLD, _pixel(curve, dataset)).angstrom
                )
                for curve in curves
            ]
    if not found:
        return []
    figure, axes = theme.new_figure(height=2.6)
    ax = axes[0, 0]
    for place, name in theme.places(found, [run.name for run in runs]):
        values = np.array(found[name])
        _line(ax, np.arange(1, len(values) + 1), values, theme.run_colour(place), name)
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "Iteration of the pose search", "", "Half sets agree to (Å)")
    theme.legend(figure, ax)
    caption = (
        "Resolution of the mean volume from half sets, at 0.143. Wrong poses can agree too: what "
        "tells is whether random starts find the same ones."
    )
    data: dict[str, Iterable[Any]] = {"iteration": range(1, max(map(len, found.values())) + 1)}
    return [draw(figure, "Resolution of half sets by iteration", caption, {**data, **found})]


def _pixel(curve: Sequence[float], dataset: ReportDataset) -> float:
    """Pixel size of the box that a curve belongs to; searches work on smaller boxes, Å."""
    box = dataset.images.shape[-1] if dataset.images.size else 2 * len(curve)
    return dataset.pixel_size_angstrom * box / (2 * len(curve))


def _line(ax: Axes, x: np.ndarray, y: np.ndarray, colour: str, name: str) -> None:
    ax.plot(x, y, color=colour, linewidth=1.5, marker="o", markersize=3, label=theme.shorten(name))


def _table(
    records: Mapping[str, Sequence[Record]], values: Mapping[str, Any]
) -> dict[str, Iterable[Any]]:
    data: dict[str, Iterable[Any]] = {}
    for name, its in records.items():
        data[f"{name}, epoch"] = [record["epoch"] for record in its]
        data[f"{name}, stage"] = [record.get("stage", "") for record in its]
        data |= {
            f"{name}, {key}": [value(record) for record in its] for key, value in values.items()
        }
    return data
