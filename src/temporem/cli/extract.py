"""``temporem extract``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from temporem.cli.console import print_facts, print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, output, refuse_missing


def extract(
    movies: Annotated[
        list[Path],
        Parameter(
            help="Movies of the field of view: MRC, TIFF, DM3/DM4, SER/EMI, EMD, TVIPS, MIB, or "
            "folders of pictures.",
            negative="",
            show_default=False,
            validator=refuse_missing(
                Path.exists, "", expected="a movie, or a folder of pictures", hint="see --help"
            ),
        ),
    ],
    /,
    *,
    out: Annotated[Path, output("Dataset folder to write.")],
    diameter: Annotated[float, Parameter(help="Diameter of a particle, Å.")],
    box: Annotated[
        int | None, Parameter(help="Edge of the images, px, even; by default 1.5 diameters.")
    ] = None,
    bin: Annotated[int, Parameter(help="Make one pixel of N x N.")] = 1,
    pixel_size: Annotated[float | None, Parameter(help="Pixel size of the movies, Å.")] = None,
    frame_time: Annotated[float | None, Parameter(help="Time from frame to frame, s.")] = None,
    dose: Annotated[float | None, Parameter(help="Electrons per Å² and frame.")] = None,
    gain: Annotated[Path | None, Parameter(help="Image by which frames are multiplied.")] = None,
    contrast: Annotated[
        Literal["auto", "bright", "dark"],
        Parameter(help="Sign of the particles; auto takes the one that shows more of them."),
    ] = "auto",
    background: Annotated[
        Literal["auto", "median", "rolling", "none"],
        Parameter(
            help="Subtract the median over time, of all frames or of those about each; auto: of "
            "all where there are 50 or more. It removes particles that stay where they are."
        ),
    ] = "auto",
    drift: Annotated[bool, Parameter(help="Measure the drift of the stage.")] = True,
    threshold: Annotated[
        float, Parameter(help="Lowest detection, standard deviations of the background.")
    ] = 4.0,
    average: Annotated[
        int, Parameter(help="Frames about each one that are averaged to find particles.")
    ] = 7,
    max_step: Annotated[
        float | None,
        Parameter(help="Longest step from frame to frame, Å; by default half a diameter."),
    ] = None,
    gap: Annotated[int, Parameter(help="Longest gap in a track, frames.")] = 3,
    min_frames: Annotated[int, Parameter(help="Frames of the shortest track.")] = 5,
    voltage: Annotated[float | None, Parameter(help="Acceleration voltage, kV.")] = None,
    cs: Annotated[float | None, Parameter(help="Spherical aberration, mm.")] = None,
    defocus: Annotated[
        list[float] | None,
        Parameter(
            help="Underfocus, Å, of all movies or of each; without it images have no CTF.",
            negative="",
        ),
    ] = None,
    amplitude_contrast: Annotated[
        float, Parameter(help="Fraction of amplitude contrast, with --defocus.")
    ] = 0.1,
    positions: Annotated[
        Path | None,
        Parameter(
            help="CSV table of known places (movie, track, frame, x, y): cut there, find nothing."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        Parameter(help="Folder of simulate --field, to score what was found without it."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find particles in movies of the field of view, follow them, and cut their movies out.

    Writes a dataset without poses, and beside it tracks, noise spectra and pictures.

    Example:  temporem extract field.mrc -o movies --diameter 110 --defocus 14000 --voltage 300
              --cs 2.7
    """
    from temporem.extraction.command import Imaging, extract_movies
    from temporem.extraction.settings import checked_settings
    from temporem.io.files import require_new_directory

    require_new_directory(out, overwrite=overwrite)
    imaging = Imaging(
        pixel_size=pixel_size,
        frame_time=frame_time,
        dose=dose,
        voltage=voltage,
        cs=cs,
        defocus=tuple(defocus or ()),
        amplitude_contrast=amplitude_contrast,
    )
    settings = checked_settings(
        diameter_angstrom=diameter,
        box=box,
        bin=bin,
        contrast=contrast,
        threshold=threshold,
        average=average,
        max_step_angstrom=max_step,
        gap=gap,
        min_frames=min_frames,
        background=background,
        drift=drift,
    )
    with progress_bar("Extracting") as progress:
        summary = extract_movies(
            movies,
            out,
            settings,
            imaging,
            gain=gain,
            positions=positions,
            truth=truth,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json({"dataset": str(out), **summary})
        return
    _say_result(summary)
    say(f"Dataset:  {out}")
    say(f"Pictures: {out / 'extraction'} (best.png, worst.png and a GIF of each movie)")
    say(f"Next:     temporem reconstruct {shlex.quote(str(out))} -o RUN --poses estimate")


def _tracks(n: int) -> str:
    return f"{n} track" if n == 1 else f"{n} tracks"


def _say_result(summary: dict[str, Any]) -> None:
    """Print what was found in each movie, and what the user should know."""
    for movie in summary["movies"]:
        sign = "dark" if movie["inverted"] else "bright"
        moved = f"drift {movie['drift_angstrom']:.0f} Å" if movie["drift_measured"] else "no drift"
        print_facts(
            {
                movie["movie"]: f"{_tracks(movie['tracks'])}, {movie['images']} images of "
                f"{movie['frames']} frames; {sign} particles, {moved}, background "
                f"{movie['background']}, {_tracks(movie['left_out'])} left out"
            }
        )
    size = f"{summary['box']} px of {summary['pixel_size_angstrom']:g} Å"
    say(f"Tracks:   {summary['tracks']}, {summary['images']} images of {size}")
    for note in summary["notes"]:
        say(f"Note:     {note}")
    if "scores" in summary:
        found = summary["scores"]
        say(
            f"Scores:   recall {found['recall']:.3f}, precision {found['precision']:.3f}, "
            f"position error {found['error_pixels']:.2f} px, track purity {found['purity']:.3f}"
        )
