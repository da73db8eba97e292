"""Figures of resolution and of images: from plain arrays to a matplotlib ``Figure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from temporem.physics.fsc import HALF_MAP_THRESHOLD, resolution
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
    read: bool = False,
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
        read: write the resolution at the threshold into the legend.
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
        label = theme.shorten(name)
        if read:
            found = resolution(values.mean(axis=0), threshold, pixel_size_angstrom)
            at = " (Nyquist)" if found.never_crossed else ""
            label += f": {float(found.angstrom):.1f} Å{at}"
        ax.plot(frequency, values.mean(axis=0), color=colour, linewidth=1.8, label=label)
    lowest = min(float(values.mean(axis=0).min()) for values in curves.values())
    fsc_axes(ax, box, pixel_size_angstrom, threshold, lowest)
    theme.label(ax, "Resolution (Å)", compared, title)
    theme.legend(figure, ax)
    return figure


def half_fsc(
    curves: Mapping[str, np.ndarray],
    pixel_size_angstrom: float,
    title: str,
    runs: Sequence[str],
    *,
    compared: str = "FSC of half sets",
    read: bool = True,
) -> tuple[Figure, dict[str, np.ndarray]]:
    """Draw FSC of half maps up to Nyquist; also the columns of the figure.

    Args:
        curves: FSC by name, ``(n,)`` each; shorter ones are 0 beyond their end.
        pixel_size_angstrom: pixel size, Å.
        title, runs, compared, read: as in :func:`fsc_figure`.
    """
    n_shells = max(map(len, curves.values()))
    padded = {name: np.pad(c, (0, n_shells - len(c)))[None] for name, c in curves.items()}
    figure = fsc_figure(
        padded,
        2 * n_shells,
        pixel_size_angstrom,
        threshold=HALF_MAP_THRESHOLD,
        title=title,
        compared=compared,
        runs=runs,
        read=read,
    )
    return figure, fsc_columns(padded, 2 * n_shells, pixel_size_angstrom)


def fsc_columns(
    curves: Mapping[str, np.ndarray], box: int, pixel_size_angstrom: float
) -> dict[str, np.ndarray]:
    """Columns of :func:`fsc_figure`: frequency, and mean and range of every run's curves."""
    n_shells = max(values.shape[1] for values in curves.values())
    frequency = np.arange(n_shells) / (box * pixel_size_angstrom)
    columns = {"frequency_per_angstrom": frequency}
    for name, values in curves.items():
        columns[name] = values.mean(axis=0)
        if len(values) > 1:
            low, high = np.quantile(values, [0.1, 0.9], axis=0)
            columns |= {f"{name}, 10%": low, f"{name}, 90%": high}
    return columns


def fsc_axes(
    ax: Axes, box: int, pixel_size_angstrom: float, threshold: float, lowest: float
) -> None:
    """Set threshold, limits and ticks of the axes of FSC curves with a lowest value."""
    ax.axhline(threshold, color=theme.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    crossed = lowest < threshold  # else there is no curve below the line, and its label is there
    ax.annotate(
        f"{threshold:g}",
        (1, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 3 if crossed else -3),
        textcoords="offset points",
        ha="right",
        va="bottom" if crossed else "top",
        fontsize=theme.SMALL_POINTS,
        color=theme.INK,
    )
    ax.set_xlim(0, 0.5 / pixel_size_angstrom)
    ax.set_ylim(max(min(0.0, lowest), -0.3), 1.02)
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


def image_figure(images: np.ndarray, labels: Sequence[str], *, columns: int = 3) -> Figure:
    """Draw a montage of particle images ``(n, D, D)``.

    The grey scale of an image is its mean ± 3 standard deviations. Rows are drawn upwards (y up),
    as the molecule is seen from the electron source.
    """
    rows = -(-len(images) // columns)
    width = theme.COLUMN_INCHES
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.01, hspace=0, wspace=0)
    figure = Figure(figsize=(width, rows * (width / columns + 0.18)), layout=layout)
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
        ax.set_title(text, fontsize=theme.SMALL_POINTS, color=theme.INK, pad=1.5, parse_math=False)
    return figure


def panels(count: int, *, height: float, columns: int = 2) -> tuple[Figure, np.ndarray]:
    """Make panels, at most ``columns`` in a row; a single one is not much wider than high."""
    columns = min(count, columns)
    width = theme.COLUMN_INCHES * (columns / 2 if columns > 1 else 0.75)
    figure, axes = theme.new_figure(-(-count // columns), columns, width=width, height=height)
    for ax in axes.flat[count:]:
        ax.set_visible(False)
    return figure, axes


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


def colour_bar(figure: Figure, dots: ScalarMappable, label: str, **place: Any) -> None:
    """Explain colours; ``place`` as for matplotlib's ``colorbar``."""
    bar = figure.colorbar(dots, **place)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
    bar.set_alpha(1)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=theme.SMALL_POINTS, labelcolor=theme.INK, color=theme.FAINT)
    bar.set_label(label, fontsize=theme.SMALL_POINTS, color=theme.INK)
