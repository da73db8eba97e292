"""Common style of all plots and surfaces: colours for every kind of colour vision, quiet axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

INK = "#1f2937"  # text and axes; the page swaps it for its own text colour
FAINT = "#8a94a3"  # grid and guides, readable on white and on black
# Colours of runs in order, from the palette of Okabe and Ito (2008).
RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Both ends of the scale are visible on a white and on a black page.
STATE_COLOURS = ListedColormap(colormaps["viridis"](np.linspace(0.08, 0.92, 256)))

# Surfaces of molecules, red, green and blue from 0 to 1.
BODY = (0.62, 0.69, 0.77)  # slate
MOVING = (0.93, 0.56, 0.10)  # orange: distinct from slate for every kind of colour vision
# Signed maps: blue where density goes away, orange where it comes; white is no change.
SIGNED_COLOURS = colormaps["PuOr_r"]
# What a figure marks as good, unknown, doubtful and wrong (Okabe and Ito).
GOOD, DOUBTFUL, WRONG = "#009E73", "#E69F00", "#D55E00"

COLUMN_INCHES = 4.6  # one column of the page: 9 pt stays legible across a phone
FONT_POINTS = 9.0
SMALL_POINTS = 8.0


def run_colour(index: int) -> str:
    """Colour of the run with an index in the report."""
    return RUN_COLOURS[index % len(RUN_COLOURS)]


def places(shown: Iterable[str], runs: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Give index and name of the runs that a figure shows.

    The index is that among all runs of the page, if those are given. A run thus has one colour in
    all figures, also where a figure leaves out runs before it.
    """
    for index, name in enumerate(shown):
        yield (runs.index(name) if runs else index), name


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = COLUMN_INCHES, height: float = 3.1
) -> tuple[Figure, np.ndarray]:
    """Make a figure and its axes ``(rows, columns)``; sizes in inches, height per row."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        quieten(ax)
    return figure, axes


def label(ax: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Set axis labels, with units, and a title flush left."""
    texts = (
        ax.set_xlabel(x, fontsize=FONT_POINTS, color=INK),
        ax.set_ylabel(y, fontsize=FONT_POINTS, color=INK),
        ax.set_title(title, fontsize=FONT_POINTS, color=INK, loc="left", fontweight="bold"),
    )
    for text in texts:
        text.set_parse_math(False)  # names may contain dollar signs


def legend(figure: Figure, ax: Axes) -> None:
    """Put a legend of the lines of one of the axes below all axes."""
    handles, names = ax.get_legend_handles_labels()
    box = figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=SMALL_POINTS,
        labelcolor=INK,
    )
    for text in box.get_texts():
        text.set_parse_math(False)


def shorten(name: str, limit: int = 24) -> str:
    """Shorten a name in its middle so that it fits into a plot; ends of names often differ."""
    name = name.lstrip("_")  # matplotlib leaves names with "_" out of legends
    if len(name) <= limit:
        return name
    end = limit // 2
    return f"{name[: limit - 1 - end]}…{name[-end:]}"


def quieten(ax: Axes) -> None:
    """Leave two spines, small ticks and a faint grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(labelsize=SMALL_POINTS, labelcolor=INK, color=FAINT, length=3)
    ax.grid(color=FAINT, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
