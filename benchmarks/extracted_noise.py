"""Noise spectra of extracted movies: from the images, and from where no particle is.

``python -m benchmarks.extracted_noise -o FOLDER --snr 0.3 --seeds 100 0`` takes about two minutes a
fit. Particles are cut out at their true places and fitted in their true poses.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import temporem as tm
from temporem.evaluation.values import main_scores
from temporem.extraction.command import Imaging, extract_movies
from temporem.extraction.settings import ExtractionSettings
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.mrc import open_stack, write_stack
from temporem.simulation.field import simulate_field
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.truth import read_truth_of

KNEE, BOX, PIXEL_ANGSTROM, DEFOCUS_ANGSTROM = 0.12, 32, 4.0, 14000.0


def with_long_waves(movie: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add noise of the power ``(0.12/k)²`` to counted electrons, whose own power is their mean."""
    n, height, width = movie.shape
    k = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    k[0, 0] = np.inf
    white = random.normal(size=(n, height, width)) * np.sqrt(movie.mean())
    waves = np.fft.irfft2(np.fft.rfft2(white) * (KNEE / k), (height, width))
    return np.asarray(movie + waves, dtype=np.float32)


def extracted(snr: float, seed: int, added: bool, folder: Path) -> Dataset:
    """Simulate fields, add noise, and cut the particles out."""
    changes = {"snr": snr, "seed": seed, "movies": 45, "frames_per_movie": [8, 16], "field": {}}
    changes["ctf.defocus_angstrom"] = [DEFOCUS_ANGSTROM] * 2
    field = folder / f"field-{snr:g}-{seed}-{added:d}"
    simulate_field(load_simulation_config("toy-free", changes=changes), field, overwrite=True)
    random, movies = np.random.default_rng(seed), sorted(field.glob("field_*.mrc"))
    for path in movies if added else []:
        write_stack(path, [with_long_waves(open_stack(path).read(), random)], PIXEL_ANGSTROM)
    output = folder / f"movies-{snr:g}-{seed}-{added:d}"
    extract_movies(
        movies,
        output,
        ExtractionSettings(diameter_angstrom=110, box=BOX),
        Imaging(frame_time=0.1, voltage=300, cs=2.7, defocus=(DEFOCUS_ANGSTROM,)),
        positions=field / "truth" / "positions.csv",
        truth=field,
        overwrite=True,
    )
    data = tm.read_dataset(output)
    return data.with_poses(read_truth_of(data).poses)


def error(data: Dataset) -> float:
    """Standard deviation over shells of the logarithm of the spectrum, less the true one's."""
    frames = prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))
    true = 1 + (KNEE * BOX / np.arange(1, BOX // 2)) ** 2
    spectrum = frames.corrections.spectrum  # None: taken for white
    found = np.ones_like(true) if spectrum is None else spectrum.numpy()[1 : BOX // 2]
    return float(np.log(found / true).std())


def main() -> None:
    """Measure all and write ``noise.csv``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True)
    with (given.output / "noise.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for seed in given.seeds:
            for added in (True, False):
                data = extracted(given.snr, seed, added, given.output)
                for name, one in (
                    ("images", replace(data, noise_power=None)),
                    ("between particles", data),
                ):
                    off = error(one) if added else ""
                    fit = tm.fit_linear(one, components=2)
                    scores = main_scores(tm.evaluate(fit, read_truth_of(data)))
                    writer.writerow((given.snr, seed, added, name, off, *scores.values()))
                    file.flush()


if __name__ == "__main__":
    main()
