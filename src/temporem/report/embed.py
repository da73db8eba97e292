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


def svg_document(figure: Figure, salt: str) -> str:
    """Draw a figure as an SVG document on a transparent ground, with its text as text.

    The same figure and salt give the same document.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def inline_svg(document: str, description: str) -> Markup:
    """Turn a document of :func:`svg_document` into inline SVG, in the page's own text colour.

    Args:
        document: drawn with the colours of :mod:`temporem.report.theme`, of one salt for each.
        description: read to people who cannot see the figure.
    """
    width, height, inside = _opened(document)
    # The page lets a figure fill its place; without a limit a single panel would have huge text.
    tag = (
        f'<svg viewBox="0 0 {width} {height}" style="max-width: {shown_width(document)}px" '
        f'role="img" aria-label="{escape(description)}">'
    )
    return Markup(tag + inside)


def coloured_svg(document: str) -> str:
    """Turn a document of :func:`svg_document` into one whose ink is ``currentColor``."""
    width, height, inside = _opened(document)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    tag = f'<svg {names} width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return f"{tag}<style>*{{stroke-linejoin:round;stroke-linecap:butt}}</style>{inside}"


def shown_width(document: str) -> int:
    """Largest width at which a page shows a document, pixels; text is equally large in all."""
    return round(_PIXELS_PER_INCH * float(_size(document)[0]) / _POINTS_PER_INCH)


def _size(document: str) -> tuple[str, str]:
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', document)
    assert size, "matplotlib's SVG has a viewBox"
    return size[1], size[2]


def _opened(document: str) -> tuple[str, str, str]:
    """Width, height, and all that follows the opening tag, its ink ``currentColor``."""
    svg = document[document.index("<svg") :]
    # A style in an inline picture is one for the whole page; the page has these rules itself.
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to these, and figures repeat them
    return *_size(svg), svg[svg.index(">") + 1 :].replace(INK, "currentColor")


def strip_png(pictures: Sequence[np.ndarray]) -> str:
    """Put pictures ``(size, size, 4)`` uint8 side by side, as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=1)).save(buffer, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
