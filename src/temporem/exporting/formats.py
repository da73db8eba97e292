"""The registry of formats.

To add one, write a file like those beside this and put it into the list below.
"""

from __future__ import annotations

from temporem.exporting.base import Format
from temporem.exporting.chimerax import ChimeraX
from temporem.exporting.gif import Gif
from temporem.exporting.mp4 import Mp4
from temporem.exporting.mrc import Mrc
from temporem.exporting.napari import Napari
from temporem.exporting.png import Png

_FORMATS: tuple[Format, ...] = (Mrc(), ChimeraX(), Napari(), Mp4(), Gif(), Png())

FORMATS: dict[str, Format] = {format.name: format for format in _FORMATS}
"""All formats by name."""
