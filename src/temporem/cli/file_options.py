"""Options of files that other programs wrote, for ``temporem import`` and ``temporem check``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from temporem.importing.importer import ImportSettings


@Parameter(name="*")  # its fields are options of the command itself
@dataclass(frozen=True)
class FileOptions:
    """How files become a dataset, but for the sign of the images and their CTF."""

    datadir: Annotated[
        Path | None,
        Parameter(help="Folder that names of stacks are relative to, such as a project's root."),
    ] = None
    movie_from: Annotated[
        str | None, Parameter(help="Column: images with the same text in it are a movie.")
    ] = None
    frame_from: Annotated[
        str | None,
        Parameter(help="Column of numbers, times or doses that orders frames; else rows do."),
    ] = None
    frames_per_movie: Annotated[
        int | None, Parameter(help="So many images in a row of a stack are a movie.")
    ] = None
    stack_is_movie: Annotated[
        bool, Parameter(negative="", show_default=False, help="Every stack is a movie.")
    ] = False
    size: Annotated[
        int | None, Parameter(help="Box of the dataset in pixels, even; coarser by Fourier crop.")
    ] = None
    pixel_size: Annotated[float | None, Parameter(help="Pixel size of the dataset in Å.")] = None
    input_pixel_size: Annotated[
        float | None, Parameter(help="Pixel size of the images as they are, in Å.")
    ] = None
    normalise: Annotated[
        bool,
        Parameter(help="Take away a background plane and scale noise to 1, frame by frame."),
    ] = True
    voltage: Annotated[float | None, Parameter(help="kV, where the file has none.")] = None
    cs: Annotated[
        float | None, Parameter(help="Spherical aberration in mm, where the file has none.")
    ] = None
    amplitude_contrast: Annotated[
        float | None, Parameter(help="Fraction, where the file has none.")
    ] = None
    ignore: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            show_default=False,
            help="Column of image formation that a dataset cannot hold, to leave out. May be "
            "repeated.",
        ),
    ] = None

    def settings(
        self, invert: Literal["auto", "yes", "no"], ctf: Literal["file", "none"]
    ) -> ImportSettings:
        """Make settings of an import."""
        from temporem.importing.api import import_settings

        return import_settings(**asdict(self), invert=invert, ctf=ctf)

    def words(self) -> list[str]:
        """Write the options that were given as on a command line."""
        found = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            name = field.name.replace("_", "-")
            if isinstance(value, bool):
                found.append(f"--{name}" if value else f"--no-{name}")
                continue
            for one in value if isinstance(value, list) else [value]:
                found += [f"--{name}", str(one)]
        return found

    def import_command(self, files: Sequence[Path], words: Sequence[str]) -> str:
        """Write the command that imports files with these options and more words."""
        command = ["temporem", "import", *map(str, files), "-o", "movies"]
        return shlex.join([*command, *self.words(), *words])
