"""Scores of ``temporem extract`` on simulated fields, at several signal-to-noise ratios and seeds.

``python -m benchmarks.extraction -o FOLDER`` takes about ten minutes on two free cores.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from temporem.extraction.command import Imaging, extract_movies
from temporem.extraction.drift import measure_drift
from temporem.extraction.settings import ExtractionSettings
from temporem.extraction.sums import group_means
from temporem.io.microscope.readers import open_movie
from temporem.simulation.field import simulate_field
from temporem.simulation.field_truth import read_field_truth
from temporem.simulation.presets import load_simulation_config

DIAMETER_ANGSTROM = 110.0
COLUMNS = ("recall", "precision", "error_pixels", "purity", "fragments", "drift_error_pixels")


def measure(snr: float, seed: int, folder: Path) -> dict[str, float]:
    """Simulate one field of 15 particles, extract them, and score the result."""
    changes = {
        **{"snr": snr, "seed": seed, "movies": 15, "frames_per_movie": [20, 40]},
        **{"ctf.defocus_angstrom": [14000, 14000], "field": {}},
    }
    field = folder / f"field-{snr:g}-{seed}"
    simulate_field(load_simulation_config("toy-free", changes=changes), field, overwrite=True)
    movies = sorted(field.glob("field_*.mrc"))
    settings = ExtractionSettings(diameter_angstrom=DIAMETER_ANGSTROM)
    output = folder / f"extracted-{snr:g}-{seed}"
    summary = extract_movies(movies, output, settings, Imaging(), truth=field, overwrite=True)
    known = read_field_truth(field)
    errors = [
        measure_drift(group_means(open_movie(path))).shifts - known.drift[path.name]
        for path in movies
    ]
    drift = float(np.sqrt(np.square(np.concatenate(errors)).sum(axis=1).mean()))
    return {"snr": snr, "seed": seed, **summary["scores"], "drift_error_pixels": drift}


def main() -> None:
    """Measure all, write ``extraction.csv`` and print the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--snr", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True)
    rows = []
    for snr in given.snr:
        for seed in given.seeds:
            rows.append(measure(snr, seed, given.output))
            print(rows[-1], flush=True)
            with (given.output / "extraction.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    print("| SNR |", " | ".join(COLUMNS), "|")
    for snr in given.snr:
        own = [row for row in rows if row["snr"] == snr]
        means = (f"{np.mean([row[name] for row in own]):.3f}" for name in COLUMNS)
        print(f"| {snr:g} |", " | ".join(means), "|")


if __name__ == "__main__":
    main()
