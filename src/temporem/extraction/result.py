"""The dataset that an extraction writes, with tracks, noise spectra and pictures beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.extraction.crops import in_order
from temporem.extraction.extract import Extraction
from temporem.extraction.pictures import Contacts, save_overlay
from temporem.extraction.scores import Scores, score
from temporem.extraction.truth import true_positions, truth_of_images
from temporem.frames.dataset import write_dataset
from temporem.frames.measured_noise import write_noise
from temporem.io.positions import Positions, write_positions
from temporem.physics.ctf import CTFParameters
from temporem.simulation.field_truth import FieldTruth
from temporem.simulation.truth import write_truth

FOLDER, SUMMARY = "extraction", "summary.json"
_SHOWN = 8  # tracks of a picture


@dataclass(frozen=True, eq=False)
class Extracted:
    """Particles of one movie, and what is known of the movie.

    Attributes:
        name: unique, without spaces; begins the names of its particles.
        movie_name: name of its file.
        extraction: particles found.
        ctf: imaging parameters ``(1,)``.
        frame_seconds: time from frame to frame; None where it is not known.
        dose_per_frame: electrons per Å²; None where it is not known.
    """

    name: str
    movie_name: str
    extraction: Extraction
    ctf: CTFParameters
    frame_seconds: float | None
    dose_per_frame: float | None


class _Rows:
    """Rows of the dataset, in the order in which images are cut out."""

    def __init__(self, movies: Sequence[Extracted]) -> None:
        self.movies = movies
        order = [in_order(movie.extraction.tracks) for movie in movies]
        self.movie = np.repeat(np.arange(len(movies)), [len(rows) for rows in order])
        self.track, self.position = np.array([row for rows in order for row in rows]).T
        places, frames, names = [], [], []
        self.strength, self.evidence, self.error = np.empty((3, len(self.movie)))
        for row, (m, i, p) in enumerate(self):
            track = movies[m].extraction.tracks[i]
            places.append(track.places[p])
            frames.append(track.frames[p] + 1)
            names.append(f"{movies[m].name}-{track.name}")
            self.strength[row], self.evidence[row] = track.strength[p], track.evidence[p]
            self.error[row] = track.error_pixels[p]
        self.places, self.frames, self.names = np.array(places), np.array(frames), names

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.movie.tolist(), self.track.tolist(), self.position.tolist(), strict=True)

    def positions(self) -> Positions:
        """Places of all images, for a table."""
        tracks = [self.movies[m].extraction.tracks[i].name for m, i, _ in self]
        return Positions(
            movies=np.array([self.movies[m].movie_name for m, _, _ in self]),
            tracks=np.array(tracks),
            frames=self.frames,
            places=self.places,
            more={
                "strength": [_text(value) for value in self.strength],
                "evidence": [_text(value) for value in self.evidence],
                "error": [_text(value) for value in self.error],
            },
        )


def write_extraction(
    directory: Path, movies: Sequence[Extracted], *, truth: FieldTruth | None = None
) -> dict[str, Any]:
    """Write the dataset of an extraction into a folder that exists.

    Args:
        directory: the folder.
        movies: what was found in each movie.
        truth: truth of simulated fields, to score the places and to write ``truth/``; nothing else
            depends on it.

    Returns:
        A summary of plain numbers.

    Raises:
        TemporemError: no particles were found.
    """
    if not any(movie.extraction.tracks for movie in movies):
        found = sum(movie.extraction.n_found for movie in movies)
        raise TemporemError(
            f"no particle can be cut out of {', '.join(m.movie_name for m in movies)[:200]}: "
            f"{found} were found, and all of them are at the edge or too close to others"
            if found
            else "no particle could be followed in "
            f"{', '.join(m.movie_name for m in movies)[:200]}",
            expected="bright or dark particles of the given diameter",
            hint="look at the movie, and try another --diameter, --contrast dark or bright, a "
            "lower --threshold, a longer --average or a larger --max-step",
        )
    rows = _Rows(movies)
    first = movies[0].extraction
    size = first.pixel_size_angstrom * first.cutting.bin
    best, worst = _contacts(rows)
    write_dataset(
        directory,
        images=_images(rows, (best, worst)),
        pixel_size_angstrom=size,
        poses=None,
        ctf=_ctf(rows),
        particle_names=rows.names,
        frame_numbers=rows.frames,
        times_seconds=_per_frame(rows, [movie.frame_seconds for movie in movies]),
        movie_names=[movies[m].movie_name for m, _, _ in rows],
        columns=_columns(rows),
    )
    folder = directory / FOLDER
    folder.mkdir()
    positions = rows.positions()
    write_positions(folder / "tracks.csv", positions)
    _write_noise(directory, movies)
    best[0].save(folder / "best.png")
    worst[0].save(folder / "worst.png")
    for movie in movies:
        save_overlay(folder / f"{movie.name}.gif", movie.extraction)
    summary = _summary(rows, size)
    if truth is not None:
        scores = _score(directory, rows, positions, truth, size)
        summary["scores"] = asdict(scores)
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2, allow_nan=False), encoding="utf-8")
    return summary


def _score(
    directory: Path, rows: _Rows, positions: Positions, truth: FieldTruth, size: float
) -> Scores:
    """Score the places, and write the truth of the images."""
    cutting = rows.movies[0].extraction.cutting
    radius = 0.5 * cutting.diameter_pixels
    known = truth_of_images(
        truth,
        positions,
        rows.names,
        box=cutting.box,
        pixel_size_angstrom=size,
        radius=radius,
    )
    write_truth(directory, known)
    names = {movie.movie_name for movie in rows.movies}
    every = true_positions(truth)
    seen = np.isin(every.movies, list(names))
    true = Positions(*(getattr(every, n)[seen] for n in ("movies", "tracks", "frames", "places")))
    return score(positions, true, radius)


Shown = tuple[Contacts, dict[tuple[int, int], int]]


def _contacts(rows: _Rows) -> tuple[Shown, Shown]:
    """Choose the best and the worst tracks of all movies."""
    box = rows.movies[0].extraction.cutting.box
    every = [
        (m, i) for m, movie in enumerate(rows.movies) for i in range(len(movie.extraction.tracks))
    ]
    every.sort(key=lambda at: -rows.movies[at[0]].extraction.tracks[at[1]].quality)

    def chosen(which: list[tuple[int, int]]) -> Shown:
        tracks = [rows.movies[m].extraction.tracks[i] for m, i in which]
        names = [
            f"{rows.movies[m].name}-{track.name}"
            for (m, _), track in zip(which, tracks, strict=True)
        ]
        contacts = Contacts(list(zip(names, tracks, strict=True)), box)
        return contacts, {at: row for row, at in enumerate(which)}

    return chosen(every[:_SHOWN]), chosen(every[::-1][:_SHOWN])


def _images(rows: _Rows, shown: Sequence[Shown]) -> Iterator[np.ndarray]:
    """Cut out all images, one by one, and add those of some tracks to their pictures."""
    images = (image for movie in rows.movies for image in movie.extraction.images())
    for (movie, track, position), image in zip(rows, images, strict=True):
        for contacts, where in shown:
            if (movie, track) in where:
                contacts.add(where[movie, track], position, image)
        yield image[None]


def _ctf(rows: _Rows) -> CTFParameters:
    import torch

    fields = {
        name: torch.cat([getattr(movie.ctf, name) for movie in rows.movies])
        for name in rows.movies[0].ctf.columns()
    }
    return CTFParameters(**fields)[torch.from_numpy(rows.movie)]


def _per_frame(rows: _Rows, per_movie: Sequence[float | None]) -> np.ndarray | None:
    """Multiply the index of every frame by a number of its movie; None where one lacks it."""
    if any(value is None for value in per_movie):
        return None
    return np.asarray((rows.frames - 1) * np.array(per_movie, dtype=float)[rows.movie])


def _columns(rows: _Rows) -> dict[str, np.ndarray]:
    columns = {
        "rlnCoordinateX": rows.places[:, 0].round(3),
        "rlnCoordinateY": rows.places[:, 1].round(3),
    }
    dose = _per_frame(rows, [movie.dose_per_frame for movie in rows.movies])
    if dose is not None:
        columns["rlnMicrographPreExposure"] = dose
    return columns


def _write_noise(directory: Path, movies: Sequence[Extracted]) -> None:
    """Write the noise spectrum of each movie."""
    spectra = [movie.extraction.noise for movie in movies]
    size = movies[0].extraction.pixel_size_angstrom * movies[0].extraction.cutting.bin
    write_noise(
        directory,
        [spectrum.frequency / size for spectrum in spectra],
        [spectrum.power for spectrum in spectra],
        [movie.movie_name for movie in movies],
    )


def _summary(rows: _Rows, size: float) -> dict[str, Any]:
    movies = []
    for m, movie in enumerate(rows.movies):
        found = movie.extraction
        movies.append(
            {
                "movie": movie.movie_name,
                "format": found.flat.movie.format,
                "frames": found.flat.n_frames,
                "tracks": len(found.tracks),
                "images": int((rows.movie == m).sum()),
                "left_out": found.n_found - len(found.tracks),
                "inverted": found.inverted,
                "background": found.background,
                "drift_measured": found.drift.measured,
                "drift_angstrom": float(
                    np.hypot(*found.drift.shifts.T).max() * found.pixel_size_angstrom
                ),
                "noise_deviation": found.noise.deviation,
                "noise_boxes": found.noise.boxes,
            }
        )
    lengths = [len(track) for movie in rows.movies for track in movie.extraction.tracks]
    return {
        "tracks": len(lengths),
        "images": len(rows.names),
        "median_length": float(np.median(lengths)),
        "box": rows.movies[0].extraction.cutting.box,
        "pixel_size_angstrom": size,
        "movies": movies,
    }


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
