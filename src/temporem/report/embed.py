"""Figures and pictures as text inside an HTML page, so that the page needs no other file."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from temporem.report.theme import INK

_POINTS_PER_INCH = 72  # of SVG as matplotlib writes it
_PIXELS_PER_INCH = 112  # a figure of one column fills it; text is equally large in all figures


def figure_svg(figure: Figure, description: str) -> Markup:
    """Turn a figure into inline SVG on a transparent ground, in the page's own text colour.

    Args:
        figure: drawn with the colours of :mod:`temporem.report.theme`.
        description: read to people who cannot see the figure; also makes its inner ids unique.
    """
    return inline_svg(svg_document(figure, description), description)


def svg_document(figure: Figure, salt: str) -> str:
    """Draw a figure as an SVG document on a transparent ground, with its text as text.

    The same figure and salt give the same document.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(document: str, description: str) -> Markup:
    """Turn a document of :func:`svg_document` into inline SVG, in the page's own text colour."""
    svg = document[document.index("<svg") :]
    # A style in an inline picture is one for the whole page; the page has these rules itself.
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to these, and figures repeat them
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size, "matplotlib's SVG has a viewBox"
    # The page lets a figure fill its place; without a limit a single panel would have huge text.
    most = round(_PIXELS_PER_INCH * float(size[1]) / _POINTS_PER_INCH)
    tag = (
        f'<svg viewBox="0 0 {size[1]} {size[2]}" style="max-width: {most}px" role="img" '
        f'aria-label="{escape(description)}">'
    )
    svg = tag + svg[svg.index(">") + 1 :]
    return Markup(svg.replace(INK, "currentColor"))


def document_of(inline: str) -> str:
    """Turn inline SVG of :func:`inline_svg` back into a document; its ink is ``currentColor``."""
    begin, rest = inline.split(">", 1)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', begin)
    assert size, "inline_svg writes a viewBox"
    begin = re.sub(r' style="[^"]*"', "", begin)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    begin = begin.replace("<svg ", f'<svg {names} width="{size[1]}" height="{size[2]}" ', 1)
    return f"{begin}><style>*{{stroke-linejoin:round;stroke-linecap:butt}}</style>{rest}"


def strip_png(pictures: Sequence[np.ndarray]) -> str:
    """Put pictures ``(size, size, 4)`` uint8 side by side, as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=1)).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
