"""Noise of a dataset that was measured where no particle is: ``noise.star`` beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.star import StarTable, read_star, write_star

NOISE_NAME = "noise.star"

_FREQUENCY, _POWER = "rlnResolution", "temporemNoisePower"
_MOVIE = "rlnMicrographMovieName"
_MOST_RATIO = 1e4


def write_noise(
    folder: Path,
    frequency: Sequence[np.ndarray],
    power: Sequence[np.ndarray],
    movies: Sequence[str],
) -> None:
    """Write spectra of the noise into a dataset.

    Args:
        folder: of the dataset.
        frequency: 1/Å, ``(R,)`` for each movie of the field of view.
        power: variance of a Fourier coefficient, relative to that of a pixel outside the particle.
        movies: names of the files.
    """
    columns: dict[str, Sequence[str] | np.ndarray] = {
        _MOVIE: [name for name, one in zip(movies, power, strict=True) for _ in one],
        _FREQUENCY: np.concatenate(frequency),
        _POWER: np.concatenate(power),
    }
    write_star(folder / NOISE_NAME, {"noise": StarTable(columns, where=NOISE_NAME)})


def read_noise(folder: Path, box: int, pixel_size_angstrom: float) -> np.ndarray | None:
    """Read the power of the noise at radii 0 … D/2 of an image, ``(D/2 + 1,)``.

    It is the mean of all movies of the field of view, on a logarithmic scale.

    Args:
        folder: of the dataset.
        box: D, pixels.
        pixel_size_angstrom: Å.

    Returns:
        None where the dataset has no such file.

    Raises:
        TemporemError: it is damaged.
    """
    path = folder / NOISE_NAME
    if not path.is_file():
        return None
    table = read_star(path).get("noise")
    if table is None or table.n_rows == 0:
        raise TemporemError(f"{path} has no table data_noise with rows", hint=_HINT)
    table.require(_MOVIE, _FREQUENCY, _POWER)
    frequency, power = table.floats(_FREQUENCY), table.floats(_POWER)
    table.check(_FREQUENCY, frequency > 0, "a frequency above 0")
    sound = (power >= 1 / _MOST_RATIO) & (power <= _MOST_RATIO)
    table.check(_POWER, sound, f"a power of {1 / _MOST_RATIO:g} to {_MOST_RATIO:g}")
    names = np.array(table.strings(_MOVIE))
    wanted = np.arange(box // 2 + 1) / (box * pixel_size_angstrom)
    spectra = []
    for name in dict.fromkeys(names.tolist()):
        own = np.flatnonzero(names == name)
        own = own[np.argsort(frequency[own])]
        spectra.append(np.interp(wanted, frequency[own], np.log(power[own])))
    return np.exp(np.mean(spectra, axis=0))


_HINT = "extract the movies again, or remove the file: noise is then measured in the images"
