"""The figure of local resolution: sections through the molecule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from scipy.ndimage import binary_dilation

from temporem.errors import TemporemError
from temporem.physics.local_resolution import THRESHOLD
from temporem.physics.masks import interpolated
from temporem.report import plots, theme
from temporem.report.content import ReportRun
from temporem.report.drawing import Drawing, draw
from temporem.report.level import find_level

_COLOURS = "viridis_r"  # fine is light
_SECTIONS = ("x, y", "x, z", "y, z")  # across and up
_WORST = 0.95  # quantile, over the molecule, of the last colour; the first is as far from the end
_HEIGHT = 1.7  # inches
_MARGIN = 1  # voxels around the outline; farther away, windows hold nothing of the molecule
_FINE = 1.1  # times the finest: below, a map is of one colour


def local_resolution_drawings(
    runs: Sequence[ReportRun], pixel_size_angstrom: float
) -> list[Drawing]:
    """Draw sections of the local resolution of all runs, with the outline of the molecule."""
    drawings = [
        _drawing(run, compared, found, pixel_size_angstrom)
        for run in runs
        for compared, found in run.local_resolution.items()
    ]
    return [drawing for drawing in drawings if drawing is not None]


def _drawing(run: ReportRun, compared: str, found: np.ndarray, pixel: float) -> Drawing | None:
    """Sections of one map; None where it is as fine as the pixels throughout."""
    volume, edge = run.volumes.mean(0), len(found)
    pixel *= len(volume) / edge
    volume = interpolated(volume, edge)
    finest, coarsest = 2 * pixel, edge * pixel
    try:
        level = find_level(volume[None])
    except TemporemError:  # an empty volume
        return None
    volume = level.sign * volume
    inside = volume > level.height
    worst = float(np.quantile(found[inside], _WORST))
    if worst < _FINE * finest:
        return None
    around = binary_dilation(inside, iterations=_MARGIN)
    norm = Normalize(min(float(np.quantile(found[inside], 1 - _WORST)), 0.9 * worst), worst)
    figure, axes = theme.new_figure(1, len(_SECTIONS), height=_HEIGHT)
    middle, box = _framed(around)
    for axis, (ax, title) in enumerate(zip(axes.flat, _SECTIONS, strict=True)):
        own = tuple(middle[axis] if i == axis else box[i] for i in range(3))
        shown = np.where(around, found, np.nan)[own]
        ax.imshow(shown, norm=norm, cmap=_COLOURS, origin="lower")
        section = volume[own]
        if section.min() < level.height < section.max():
            ax.contour(section, [level.height], colors=theme.INK, linewidths=0.9)
        ax.set_axis_off()
        ax.set_title(title, fontsize=theme.SMALL_POINTS, color=theme.INK, pad=2)
    plots.colour_bar(figure, ScalarMappable(norm, _COLOURS), "Å", ax=axes, shrink=0.9)
    median = float(np.median(found[inside]))
    agree = f"{median:.1f} Å (median)" if median < 0.9 * coarsest else "no resolution"
    caption = (
        f"{run.name}: local resolution of {compared}. Half sets agree on it to {agree} within the "
        f"outline of the molecule (FSC {THRESHOLD:g} in a window of a fifth of the box). "
        "Sections through the middle."
    )
    return draw(figure, f"Local resolution of {compared}, {run.name}", caption)


def _framed(region: np.ndarray) -> tuple[list[int], list[slice]]:
    """Middle voxel of a region along each axis, and slices of one length that hold it."""
    places = np.argwhere(region)
    low, high = places.min(0), places.max(0)
    half = int((high - low).max()) // 2 + 1
    middle = ((low + high) // 2).tolist()
    return middle, [slice(max(one - half, 0), one + half + 1) for one in middle]
