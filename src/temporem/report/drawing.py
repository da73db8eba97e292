"""A figure on the page: picture, words, and the numbers behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from temporem.report.csv_text import csv_text
from temporem.report.embed import inline_svg, svg_document


@dataclass(frozen=True)
class Drawing:
    """A figure with its caption, as it stands on the page.

    Attributes:
        document: the picture, an SVG document.
        description: read to people who cannot see it.
        caption: one or two sentences below it.
        file_name: name of downloads, without ending.
        csv: the numbers that it shows; empty where it shows images.
    """

    document: str
    description: str
    caption: str
    file_name: str
    csv: str = ""

    @property
    def svg(self) -> Markup:
        """The picture, inline."""
        return inline_svg(self.document, self.description)

    @property
    def csv_json(self) -> Markup:
        """The numbers as a JSON string that may stand in a script element."""
        return script_json(self.csv)


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading, some sentences and figures.

    Attributes:
        title: heading.
        words: sentences above the figures.
        drawings: figures, which the page puts side by side where there is room.
        note: small print below them.
    """

    title: str
    words: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    note: str = ""


def draw(
    figure: Figure,
    description: str,
    caption: str = "",
    data: Mapping[str, Iterable[Any]] | None = None,
) -> Drawing:
    """Put a figure on the page.

    Args:
        figure: drawn with the style of :mod:`temporem.report.theme`.
        description: says what it shows; read to people who cannot see it, and names the files.
        caption: below the figure.
        data: columns of the numbers behind it.
    """
    name = re.sub(r"[^a-z0-9]+", "-", description.lower()).strip("-")[:60]
    text = csv_text(data) if data is not None else ""
    document = svg_document(figure, description)
    return Drawing(document, description, caption, name or "figure", text)


def script_json(text: str) -> Markup:
    """Write text as JSON without a character that could end a script element."""
    escaped = json.dumps(text).replace("<", "\\u003c").replace("&", "\\u0026")
    return Markup(escaped.replace(">", "\\u003e"))
