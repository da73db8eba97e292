"""The figures of a report: from plain arrays to a matplotlib ``Figure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from temporem.evaluation.principal_axes import principal_axes
from temporem.report import theme

_TICKS_ANGSTROM = (100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1)

MAX_DOTS = 4000
"""Dots of a scatter plot beyond which it is drawn as an image: a dot takes 100 bytes of SVG."""


def fsc_figure(
    curves: Mapping[str, np.ndarray],
    box: int,
    pixel_size_angstrom: float,
    *,
    threshold: float = 0.5,
    title: str = "",
    compared: str = "FSC with the truth",
    runs: Sequence[str] = (),
) -> Figure:
    """Draw the mean FSC and the range of 80 % of the frames.

    Args:
        curves: FSC of every frame by run, ``(frames, shells)``, shell i at i cycles per box.
        box: box edge, pixels.
        pixel_size_angstrom: pixel size, Å.
        threshold: FSC at which the resolution is read.
        title: set above the axes.
        compared: label of the axis, which says what was compared.
        runs: all runs of the page, in the order of their colours.
    """
    figure, axes = theme.new_figure()
    ax = axes[0, 0]
    length = box * pixel_size_angstrom
    for index, name in theme.places(curves, runs):
        values = curves[name]
        frequency = np.arange(values.shape[1]) / length
        colour = theme.run_colour(index)
        low, high = np.quantile(values, [0.1, 0.9], axis=0)
        ax.fill_between(frequency, low, high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(
            frequency, values.mean(axis=0), color=colour, linewidth=1.8, label=theme.shorten(name)
        )
    lowest = min(float(values.mean(axis=0).min()) for values in curves.values())
    fsc_axes(ax, box, pixel_size_angstrom, threshold, lowest)
    theme.label(ax, "Resolution (Å)", compared, title)
    theme.legend(figure, ax)
    return figure


def fsc_axes(
    ax: Axes, box: int, pixel_size_angstrom: float, threshold: float, lowest: float
) -> None:
    """Set threshold, limits and ticks of the axes of FSC curves with a lowest value."""
    ax.axhline(threshold, color=theme.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate(
        f"{threshold:g}",
        (0, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(3, 3),
        textcoords="offset points",
        fontsize=theme.SMALL_POINTS,
        color=theme.INK,
    )
    ax.set_xlim(0, 0.5 / pixel_size_angstrom)
    ax.set_ylim(min(0.0, lowest), 1.02)
    _resolution_ticks(ax, box * pixel_size_angstrom)


def gain_figure(gains: np.ndarray, better: str, baseline: str) -> Figure:
    """Draw a histogram of the resolution gain ``(r_baseline − r) / r_baseline`` (paper Eq. 16).

    Args:
        gains: one fraction per frame, positive where ``better`` resolves more.
        better: name of the run that is judged.
        baseline: name of the run that it is compared with.
    """
    figure, axes = theme.new_figure()
    ax = axes[0, 0]
    percent = 100 * gains
    reach = max(float(np.quantile(np.abs(percent), 0.995)), 0.1)
    # One edge lies at 0, so that no bar mixes frames that gain with frames that lose.
    edges = np.linspace(-reach, reach, 41)
    inside = percent.clip(-reach, reach)
    for side, colour in ((inside > 0, theme.run_colour(0)), (inside <= 0, theme.FAINT)):
        ax.hist(inside[side], edges, histtype="stepfilled", color=colour)
    ax.axvline(0, color=theme.INK, linewidth=0.8)
    mean = float(percent.mean())
    ax.axvline(mean, color=theme.INK, linewidth=1.2, linestyle=(0, (4, 2)))
    share = 100 * float((gains > 0).mean())
    right = mean < 0  # the text stands beside the bars
    ax.text(
        0.98 if right else 0.02,
        0.97,
        f"{share:.1f}% of frames\nimproved\nmean {mean:+.2f}%",
        transform=ax.transAxes,
        ha="right" if right else "left",
        va="top",
        fontsize=theme.FONT_POINTS,
        color=theme.INK,
    )
    ax.set_xlim(-reach, reach)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    better, baseline = theme.shorten(better), theme.shorten(baseline)
    theme.label(ax, f"Resolution gain over {baseline} (%)", "Frames", f"{better} over {baseline}")
    return figure


def latent_figure(
    latents: Mapping[str, np.ndarray],
    parameter: np.ndarray,
    state: np.ndarray,
    parameter_label: str,
    *,
    columns: int = 2,
) -> Figure:
    """Draw latents against the true conformational parameter, one panel per run.

    Dots have the colours of their true states. With several dimensions, a panel shows the principal
    axis that follows the parameter best (Spearman). Its sign, which is arbitrary, makes it rise
    with the parameter.

    Args:
        latents: posterior means by run, ``(frames, q)``.
        parameter: true parameter of every frame, ``(frames,)``.
        state: true state of every frame, an integer, ``(frames,)``.
        parameter_label: name of the parameter with its unit.
        columns: largest number of panels in a row.
    """
    figure, axes = _panels(len(latents), height=2.6, columns=columns)
    for index, (name, values) in enumerate(latents.items()):
        latent, rank = _following_axis(values, parameter)
        ax = axes.flat[index]
        dots = ax.scatter(
            parameter,
            latent,
            c=state,
            cmap=theme.STATE_COLOURS,
            s=5,
            linewidths=0,
            alpha=0.75,
            rasterized=len(parameter) > MAX_DOTS,
        )
        y = "Latent" if index % axes.shape[1] == 0 else ""
        theme.label(ax, parameter_label, y, f"{theme.shorten(name)}\n|ρ| = {rank:.2f}")
    state_bar(figure, dots, ax=axes, shrink=0.8 / len(axes), aspect=25, pad=0.02)
    return figure


def latent_path_figure(
    latents: Mapping[str, np.ndarray],
    movies: Sequence[np.ndarray],
    frame_numbers: np.ndarray,
    *,
    runs: Sequence[str] = (),
) -> Figure:
    """Draw the latent path of every movie, one panel per run, for data without a truth.

    Args:
        latents: posterior means by run, ``(frames, q)``. With several dimensions, a panel shows the
            first principal component.
        movies: rows of each movie, in order of time.
        frame_numbers: number of every frame in its movie, from 1, ``(frames,)``.
        runs: all runs of the page, in the order of their colours.
    """
    figure, axes = _panels(len(latents), height=2.6)
    shown = movies[:: -(-len(movies) // 100)]
    for index, (place, name) in enumerate(theme.places(latents, runs)):
        ax, values = axes.flat[index], latents[name]
        components = principal_axes(values)
        latent = components[:, 0] if components.shape[1] else np.zeros(len(values))
        for movie in shown:
            ax.plot(
                frame_numbers[movie],
                latent[movie],
                color=theme.run_colour(place),
                linewidth=0.7,
                alpha=0.35,
            )
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        theme.label(
            ax, "Frame", "Latent" if index % axes.shape[1] == 0 else "", theme.shorten(name)
        )
    return figure


def training_figure(
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
    terms: Mapping[str, str],
    *,
    runs: Sequence[str] = (),
) -> Figure:
    """Draw terms of the loss by epoch, one panel per term; gaps separate stages of training.

    Args:
        metrics: records by run, one per epoch, each with ``epoch``, ``stage`` and the terms.
        terms: labels of the terms to show, by their keys in the records.
        runs: all runs of the page, in the order of their colours.
    """
    figure, axes = _panels(len(terms), height=2.4)
    for ax, (key, text) in zip(axes.flat, terms.items(), strict=False):
        for place, name in theme.places(metrics, runs):
            colour, records = theme.run_colour(place), metrics[name]
            for number, (_, stage) in enumerate(groupby(records, key=lambda r: r.get("stage"))):
                epochs, values = zip(*[(r["epoch"], r[key]) for r in stage], strict=True)
                ax.plot(
                    epochs,
                    values,
                    color=colour,
                    linewidth=1.5,
                    marker="o",
                    markersize=2.5,
                    label=theme.shorten(name) if number == 0 else None,
                )
        _focus(ax, [float(r[key]) for records in metrics.values() for r in records])
        ax.ticklabel_format(axis="y", style="plain", useOffset=False)
        theme.label(ax, "Epoch", "", text)
    theme.legend(figure, axes.flat[0])
    return figure


def image_figure(images: np.ndarray, labels: Sequence[str], *, columns: int = 5) -> Figure:
    """Draw a montage of particle images ``(n, D, D)``.

    The grey scale of an image is its mean ± 3 standard deviations. Rows are drawn upwards (y up),
    as the molecule is seen from the electron source.
    """
    rows = -(-len(images) // columns)
    width = theme.COLUMN_INCHES
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.01, hspace=0, wspace=0)
    figure = Figure(figsize=(width, rows * (width / columns + 0.16)), layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, text in zip(axes.flat, images, labels, strict=False):
        mean, sd = float(image.mean()), float(image.std())
        ax.imshow(
            image,
            cmap="gray",
            origin="lower",
            vmin=mean - 3 * sd,
            vmax=mean + 3 * sd,
            interpolation="none",
        )
        ax.set_title(text, fontsize=theme.SMALL_POINTS - 1, color=theme.INK, pad=1.5)
    return figure


def _panels(count: int, *, height: float, columns: int = 2) -> tuple[Figure, np.ndarray]:
    """Make panels, at most ``columns`` in a row; a single one is not much wider than high."""
    columns = min(count, columns)
    width = theme.COLUMN_INCHES * (columns / 2 if columns > 1 else 0.75)
    figure, axes = theme.new_figure(-(-count // columns), columns, width=width, height=height)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    return figure, axes


def _focus(ax: Axes, values: Sequence[float]) -> None:
    """Set limits that leave out the first epochs if these would flatten the later ones."""
    low, early, high = np.quantile(values, [0, 0.2, 1])
    if early - low > 4 * (high - early):
        low = early
    margin = 0.06 * max(high - low, 1e-9)
    ax.set_ylim(low - margin, high + margin)


def _following_axis(latents: np.ndarray, parameter: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the principal axis ``(frames,)`` with the largest |Spearman ρ|, rising, and that |ρ|."""
    axes = principal_axes(latents)
    if not axes.shape[1] or np.ptp(parameter) == 0:  # one of the two does not vary
        return np.zeros(len(parameter)), 0.0
    ranks = [float(spearmanr(axis, parameter).statistic) for axis in axes.T]
    best = int(np.argmax(np.abs(ranks)))
    return np.copysign(1, ranks[best]) * axes[:, best], abs(ranks[best])


def _resolution_ticks(ax: Axes, length_angstrom: float) -> None:
    """Set ticks at round resolutions, in Å, with room between them."""
    low, high = ax.get_xlim()
    chosen: list[float] = []
    for angstrom in _TICKS_ANGSTROM:
        position = 1 / angstrom
        if angstrom < length_angstrom and position <= high * 1.001:
            gap = position - (1 / chosen[-1] if chosen else low)
            if gap > 0.07 * (high - low):
                chosen.append(angstrom)
    ax.set_xticks([1 / angstrom for angstrom in chosen], [f"{angstrom:g}" for angstrom in chosen])


def state_bar(figure: Figure, dots: ScalarMappable, **place: Any) -> None:
    """Explain the colours of states; ``place`` as for matplotlib's ``colorbar``."""
    bar = figure.colorbar(dots, **place)
    bar.locator = MaxNLocator(5, integer=True)
    bar.update_ticks()
    bar.set_alpha(1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=theme.SMALL_POINTS, labelcolor=theme.INK, color=theme.FAINT)
    bar.set_label("True state", fontsize=theme.SMALL_POINTS, color=theme.INK)
