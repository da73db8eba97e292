"""Extraction from files: movies in, a dataset out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.extraction.extract import extract_particles
from temporem.extraction.result import FOLDER, SUMMARY, Extracted, write_extraction
from temporem.extraction.settings import ExtractionSettings
from temporem.extraction.tracks import WEAK_EVIDENCE, Track, track_of_places
from temporem.io import limits
from temporem.io.files import fresh_directory
from temporem.io.limits import Limits
from temporem.io.microscope.movie import FieldMovie
from temporem.io.microscope.readers import open_movie
from temporem.io.outputs import require_replaceable
from temporem.io.positions import Positions, read_positions
from temporem.physics.ctf import CTFParameters
from temporem.progress import Progress
from temporem.simulation.field_truth import read_field_truth
from temporem.simulation.truth import TRUTH_NAME

_SECONDS = Limits(1e-12, 1e9, "s")
_DOSE = Limits(1e-9, 1e9, "electrons per Å²")
_VOLTAGE_KV_WITHOUT_CTF = 300.0


@dataclass(frozen=True)
class Imaging:
    """Facts about the movies that the user gives; None or empty where the files must tell.

    Attributes:
        pixel_size: Å.
        frame_time: seconds.
        dose: electrons per Å² and frame.
        voltage: kV.
        cs: mm.
        defocus: Å, of all movies or of each; empty for images without CTF.
        amplitude_contrast: fraction.
    """

    pixel_size: float | None = None
    frame_time: float | None = None
    dose: float | None = None
    voltage: float | None = None
    cs: float | None = None
    defocus: tuple[float, ...] = ()
    amplitude_contrast: float = 0.1

    def __post_init__(self) -> None:
        for flag, values, allowed in (
            ("pixel-size", [self.pixel_size], limits.PIXEL_SIZE_ANGSTROM),
            ("frame-time", [self.frame_time], _SECONDS),
            ("dose", [self.dose], _DOSE),
            ("voltage", [self.voltage], limits.VOLTAGE_KV),
            ("cs", [self.cs], limits.CS_MM),
            ("defocus", list(self.defocus), limits.DEFOCUS_ANGSTROM),
            ("amplitude-contrast", [self.amplitude_contrast], Limits(0, 1, "")),
        ):
            for value in values:
                if value is not None and not allowed.hold(np.array(value)):
                    raise TemporemError(f"--{flag} is {value:g}", expected=f"{allowed}")


def extract_movies(
    paths: Sequence[Path],
    output: Path,
    settings: ExtractionSettings,
    imaging: Imaging,
    *,
    gain: Path | None = None,
    positions: Path | None = None,
    truth: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find particles in movies and write their dataset to a new folder.

    Args:
        paths: movies, in any format that :func:`temporem.io.microscope.readers.open_movie` knows.
        output: the folder.
        settings: choices.
        imaging: facts about the movies, before those of the files.
        gain: image by which frames are multiplied.
        positions: table of known places; nothing is searched then.
        truth: folder of simulated fields, to score what was found.
        overwrite: replace a folder that an extraction wrote.
        progress: receives the progress.

    Returns:
        A summary of plain numbers, and notes for the user.

    Raises:
        TemporemError: a movie that cannot be read or lacks its pixel size, no particles, or an
            output that cannot be written.
    """
    progress = progress or Progress()
    require_replaceable(
        output,
        "an extracted dataset",
        holds=f"{FOLDER}/{SUMMARY}",
        folders=(FOLDER, TRUTH_NAME),
        inputs=[path for path in (*paths, gain, positions, truth) if path is not None],
    )
    movies = [open_movie(path) for path in paths]
    sizes = [_pixel_size(movie, imaging) for movie in movies]
    if max(sizes) > 1.0001 * min(sizes):
        raise TemporemError(
            f"the movies have pixels of {min(sizes):g} and {max(sizes):g} Å",
            expected="one pixel size",
            hint="extract them one by one, or give --pixel-size",
        )
    ctfs = _ctfs(movies, imaging)
    factor = None if gain is None else _gain(gain, movies)
    names = _names(paths)
    given = None if positions is None else _given(positions, paths, movies)
    known = None if truth is None else read_field_truth(truth)
    found = []
    for i, movie in enumerate(movies):
        part = progress.part(0.9 * i / len(movies), 0.9 * (i + 1) / len(movies), paths[i].name)
        extraction = extract_particles(
            movie,
            sizes[i],
            settings,
            gain=factor,
            given=None if given is None else given[i],
            progress=part,
        )
        found.append(
            Extracted(
                name=names[i],
                movie_name=re.sub(r"[^\w.\-+]", "_", paths[i].name),
                extraction=extraction,
                ctf=ctfs[i],
                frame_seconds=imaging.frame_time or movie.frame_seconds,
                dose_per_frame=imaging.dose or movie.dose_per_frame,
            )
        )
    with fresh_directory(output, overwrite=overwrite) as directory:
        summary = write_extraction(directory, found, truth=known)
    progress(1, 1, "")
    return {**summary, "notes": _notes(found, imaging)}


def _pixel_size(movie: FieldMovie, imaging: Imaging) -> float:
    size = imaging.pixel_size or movie.pixel_size_angstrom
    if size is None or not limits.PIXEL_SIZE_ANGSTROM.hold(np.array(size)):
        said = f"has pixels of {size:g} Å" if size else "does not tell its pixel size"
        raise TemporemError(
            f"{movie.path} ({movie.format}): {movie.pixel_size_fault}"
            if movie.pixel_size_fault
            else f"{movie.path} ({movie.format}) {said}",
            expected=f"a pixel size of {limits.PIXEL_SIZE_ANGSTROM}",
            hint="give --pixel-size in Å",
        )
    return size


def _ctfs(movies: Sequence[FieldMovie], imaging: Imaging) -> list[CTFParameters]:
    """Imaging parameters ``(1,)`` of each movie; without defocus, a CTF of 1 everywhere."""
    defocus = imaging.defocus
    if defocus and len(defocus) not in (1, len(movies)):
        raise TemporemError(
            f"--defocus has {len(defocus)} values for {len(movies)} movies",
            expected="one value, or one for each movie",
        )
    voltages = [imaging.voltage or movie.voltage_kv for movie in movies]
    if defocus and (imaging.cs is None or None in voltages):
        lacking = "--cs" if imaging.cs is None else "--voltage"
        raise TemporemError(
            f"--defocus is given without {lacking}", hint=f"give {lacking} of the microscope too"
        )
    all_defocus = [0.0] * len(movies) if not defocus else [*defocus] * len(movies)
    return [
        CTFParameters(
            *(
                torch.tensor([value], dtype=torch.float64)
                for value in (
                    *(all_defocus[i], all_defocus[i], 0.0),
                    voltage or _VOLTAGE_KV_WITHOUT_CTF,
                    imaging.cs or 0.0 if defocus else 0.0,
                    imaging.amplitude_contrast if defocus else 1.0,
                    0.0,
                )
            )
        )
        for i, voltage in enumerate(voltages)
    ]


def _gain(path: Path, movies: Sequence[FieldMovie]) -> np.ndarray:
    gain = open_movie(path).frames(0, 1)[0]
    for movie in movies:
        if gain.shape != movie.shape[1:]:
            raise TemporemError(
                f"{path} has {gain.shape[1]} x {gain.shape[0]} pixels, and {movie.path} frames of "
                f"{movie.shape[2]} x {movie.shape[1]}",
                expected="a gain image of the size of the frames",
            )
    return gain


def _names(paths: Sequence[Path]) -> list[str]:
    """Names of the movies, from those of their files: unique, without spaces."""
    names = [re.sub(r"[^\w.\-+]", "_", path.stem or path.resolve().name)[:200] for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise TemporemError(
                f"two movies are named {name}",
                expected="a name of its own for each",
                hint="rename one of them",
            )
    return names


def _given(table: Path, paths: Sequence[Path], movies: Sequence[FieldMovie]) -> list[list[Track]]:
    """Tracks of each movie from a table of places."""
    only = paths[0].name if len(paths) == 1 else ""
    found = read_positions(table, only_movie=only)
    tracks = [_tracks(found, path.name) for path in paths]
    for movie, own in zip(movies, tracks, strict=True):
        for track in own:
            if track.frames[-1] >= movie.n_frames:
                raise TemporemError(
                    f"{table} has frame {track.frames[-1] + 1} of {movie.path.name}",
                    expected=f"frames 1 to {movie.n_frames}, those of the movie",
                )
    if not any(tracks):
        raise TemporemError(
            f"{table} names none of the movies", expected=f"rows of {paths[0].name} and so on"
        )
    return tracks


def _tracks(found: Positions, movie: str) -> list[Track]:
    rows = np.flatnonzero(found.movies == movie)
    tracks = []
    for name in dict.fromkeys(found.tracks[rows].tolist()):
        own = rows[found.tracks[rows] == name]
        own = own[np.argsort(found.frames[own], kind="stable")]
        frames = found.frames[own] - 1
        if (np.diff(frames) == 0).any():
            raise TemporemError(
                f"track {name} of {movie} is in one frame twice", expected="each frame once"
            )
        clean = re.sub(r"[^\w.\-+]", "_", name)[:200]
        tracks.append(track_of_places(clean, frames, found.places[own]))
    return tracks


def _notes(found: Sequence[Extracted], imaging: Imaging) -> list[str]:
    """Sentences on what the user should know or mend."""
    notes = []
    if sum(len(movie.extraction.tracks) for movie in found) < 2:
        notes.append("this is the movie of one particle, and every method needs two or more")
    if not imaging.defocus:
        notes.append(
            "no --defocus, so the images are written as images without CTF; for defocused movies "
            "give --defocus, --voltage and --cs"
        )
    if any(movie.frame_seconds is None for movie in found):
        notes.append("frames have no times; give --frame-time in seconds where it matters")
    for movie in found:
        result = movie.extraction
        if result.background in ("median", "rolling"):
            still = [_is_still(t, result.cutting.diameter_pixels) for t in result.tracks]
            if len(still) and np.mean(still) > 0.5:
                notes.append(
                    f"{movie.movie_name}: most particles hardly move, and the median over time "
                    "takes such particles for background; try --background none"
                )
        weak = sum(track.is_weak for track in result.tracks)
        if weak:
            tracks = f"{weak} of {len(result.tracks)} tracks"
            notes.append(
                f"{movie.movie_name}: {tracks} are weak (evidence below {WEAK_EVIDENCE:g} in all "
                "frames together). In simulated fields one such track in ten showed no particle. "
                "Look at worst.png; a higher --threshold or --min-frames leaves weak tracks out"
            )
        if not result.drift.measured and result.drift.groups == 0:
            notes.append(f"{movie.movie_name}: no drift was measured, so none was corrected")
    return notes


def _is_still(track: Track, diameter: float) -> bool:
    return bool(np.ptp(track.places, axis=0).max() < 0.5 * diameter)
