"""The pictures of the shown frames: strips of surfaces, one row for each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from temporem.report.camera import revealing_view
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.embed import strip_png
from temporem.report.level import matched_levels
from temporem.report.render import moving_region, render_isosurface, trim

PICTURE_SIZE = 220
"""Edge of the picture of one volume before its empty border is cut off, pixels."""

TRUTH = "truth"
"""Name of the row of true volumes."""

_POINTS = 16  # of labels; the page shows the strips at half size on phones
_LINE = 28


@dataclass(frozen=True)
class Stills:
    """The pictures of all shown volumes.

    Attributes:
        width, height: size of the picture of one volume, pixels.
        count: pictures in a row.
        svg: all rows, with their labels; row i holds an image ``strip-i``.
        names: of the rows.
    """

    width: int
    height: int
    count: int
    svg: Markup
    names: Sequence[str]


def make_stills(rows: Mapping[str, Sequence[np.ndarray]], labels: Sequence[str]) -> Stills:
    """Put pictures of frames, by source, into one SVG with labels of rows and frames."""
    height, width = next(iter(rows.values()))[0].shape[:2]
    count = len(labels)
    total = len(rows) * (height + _LINE) + _LINE
    parts = [
        f'<svg viewBox="0 0 {width * count} {total}" role="img" '
        'aria-label="Surfaces of frames of one movie" '
        f'font-size="{_POINTS}" fill="currentColor">'
    ]
    parts += [
        f'<text x="{(i + 0.5) * width:g}" y="{_POINTS}" text-anchor="middle">{escape(text)}</text>'
        for i, text in enumerate(labels)
    ]
    for index, (name, pictures) in enumerate(rows.items()):
        top = _LINE + index * (height + _LINE)
        parts.append(
            f'<text x="0" y="{top + _POINTS}" font-weight="bold">{escape(name)}</text>'
            f'<svg y="{top + _LINE}" width="{width * count}" height="{height}">'
            f'<image id="strip-{index}" width="{width * count}" height="{height}" '
            f'href="{strip_png(pictures)}"/></svg>'
        )
    return Stills(width, height, count, Markup("".join(parts) + "</svg>"), list(rows))


def render_rows(
    dataset: ReportDataset, runs: Sequence[ReportRun], size: int = PICTURE_SIZE
) -> dict[str, list[np.ndarray]]:
    """Draw the shown frames by source, as RGBA uint8; the truth comes first where it is known.

    Pictures are at most ``size`` pixels wide and high, less the border that is empty in all of
    them. The first source decides the direction, the framing, the tint and the volume that surfaces
    enclose.
    """
    stacks = {} if dataset.truth is None else {TRUTH: dataset.truth.volumes}
    stacks |= {run.name: run.volumes for run in runs}
    levels = matched_levels(list(stacks.values()))
    bright = {
        name: (level.sign * stack, level.height)
        for (name, stack), level in zip(stacks.items(), levels, strict=True)
    }
    first, level = next(iter(bright.values()))
    motion = first
    if dataset.truth is None and runs[0].path_volumes is not None:
        # One movie may show only some of the motion, or none of it.
        motion = np.concatenate([first, levels[0].sign * runs[0].path_volumes])
    view = revealing_view(motion, level).framing(first, level)
    tint = moving_region(motion, level)
    rows = {
        name: [render_isosurface(volume, height, view, size, tint=tint) for volume in stack]
        for name, (stack, height) in bright.items()
    }
    return trim(rows)
