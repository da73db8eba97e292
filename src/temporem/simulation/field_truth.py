"""Truth of simulated movies of the field of view: places of particles, and their frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.positions import Positions, read_positions, write_positions
from temporem.simulation.truth import TRUTH_NAME, Truth, read_truth_table, write_truth

POSITIONS_NAME, DRIFT_NAME = "positions.csv", "drift.csv"


@dataclass(frozen=True, eq=False)
class FieldTruth:
    """Particles of simulated fields, a row for each frame of each particle.

    Attributes:
        truth: states, parameters and poses; shifts are from the nearest whole pixel. Frame numbers
            are those of the field.
        fields: file of the field of each row, str ``(N,)``.
        positions: place in the field, x and y in pixels from 0, ``(N, 2)``.
        drift: displacement of the stage since the first frame, ``(T, 2)`` pixels, by field.
    """

    truth: Truth
    fields: np.ndarray
    positions: np.ndarray
    drift: Mapping[str, np.ndarray]


def write_field_truth(folder: Path, known: FieldTruth) -> None:
    """Write ``truth/`` into the folder of the fields, with ``positions.csv`` and ``drift.csv``.

    ``positions.csv`` can be given to ``temporem extract --positions``.
    """
    write_truth(folder, known.truth)
    places = Positions(
        movies=known.fields,
        tracks=np.asarray(known.truth.particle_names),
        frames=known.truth.frame_numbers,
        places=known.positions,
    )
    write_positions(folder / TRUTH_NAME / POSITIONS_NAME, places)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("movie", "frame", "x", "y"))
    for movie, drift in known.drift.items():
        writer.writerows((movie, i, f"{x:.3f}", f"{y:.3f}") for i, (x, y) in enumerate(drift, 1))
    with atomic_write(folder / TRUTH_NAME / DRIFT_NAME) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def read_field_truth(folder: str | Path) -> FieldTruth:
    """Read the truth of simulated fields.

    Raises:
        TemporemError: the folder has none, or it is damaged.
    """
    inside = Path(folder) / TRUTH_NAME
    if not (inside / POSITIONS_NAME).is_file():
        raise TemporemError(
            f"{folder} has no {TRUTH_NAME}/{POSITIONS_NAME}",
            expected="a folder of temporem simulate --field",
        )
    truth = read_truth_table(folder)
    found = read_positions(inside / POSITIONS_NAME)
    same = len(found.frames) == truth.n_frames and (found.frames == truth.frame_numbers).all()
    if not same or list(found.tracks) != list(truth.particle_names):
        raise TemporemError(
            f"{inside / POSITIONS_NAME} and truth.star differ in their rows",
            hint="simulate the fields again",
        )
    drift: dict[str, list[tuple[float, float]]] = {}
    with (inside / DRIFT_NAME).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            drift.setdefault(row["movie"], []).append((float(row["x"]), float(row["y"])))
    arrays = {movie: np.array(values) for movie, values in drift.items()}
    return FieldTruth(truth=truth, fields=found.movies, positions=found.places, drift=arrays)
