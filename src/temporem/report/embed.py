"""Figures and pictures as text inside an HTML page, so that the page needs no other file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from temporem.report.theme import INK

_PIXELS_PER_INCH = 112  # a figure of one column fills it; the text of all others is as large


def figure_svg(figure: Figure, description: str) -> Markup:
    """A figure as inline SVG on a transparent ground, in the page's own text colour.

    Args:
        figure: drawn with the colours of :mod:`temporem.report.theme`.
        description: what a reader who cannot see it is told; also makes its inner ids unique.
    """
    buffer = io.StringIO()
    write_svg(figure, buffer, description, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # A style in an inline picture is one for the whole page; the page has these rules itself.
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to these, and figures repeat them
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size, "matplotlib's SVG has a viewBox"
    # As wide as its place in the page lets it, but a single panel would have huge text there.
    most = round(_PIXELS_PER_INCH * figure.get_figwidth())
    tag = (
        f'<svg viewBox="0 0 {size[1]} {size[2]}" style="max-width: {most}px" role="img" '
        f'aria-label="{escape(description)}">'
    )
    svg = tag + svg[svg.index(">") + 1 :]
    return Markup(svg.replace(INK, "currentColor"))


def write_svg(
    figure: Figure, target: Path | io.StringIO, salt: str, *, transparent: bool = False
) -> None:
    """A figure as SVG with its text as text; the same figure and salt give the same file."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(target, format="svg", transparent=transparent, metadata={"Date": None})


def strip_png(pictures: Sequence[np.ndarray]) -> str:
    """Pictures ``(size, size, 4)`` uint8 side by side, as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=1)).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
