"""``noise.star`` of a dataset: written by ``extract``, read with it, and used to whiten."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.bad_input import refuse
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.fingerprint import fingerprint
from temporem.frames.frames import prepare_frames
from temporem.frames.measured_noise import read_noise, write_noise
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings

BOX, PIXEL = 16, 8.0
FREQUENCY = np.arange(1, 9) / (BOX * PIXEL)
SPECTRUM = 1 + (0.12 * BOX / np.arange(1, 9)) ** 2


@pytest.fixture
def dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A dataset whose noise was measured in two movies of the field of view."""
    folder = tmp_path / "movies"
    shutil.copytree(tiny_dataset, folder)
    write_noise(folder, [FREQUENCY] * 2, [2 * SPECTRUM, SPECTRUM / 2], ["a.mrc", "b.mrc"])
    return folder


def prepared(data: Dataset, **settings: object) -> object:
    """Frames of a dataset whose poses are not known, as a search for them begins."""
    return prepare_frames(
        data, DataSettings(**settings), data.movies, torch.device("cpu"), posed=False
    )


def test_movies_are_averaged_and_read_at_the_radii_of_the_images(dataset: Path) -> None:
    found = read_dataset(dataset).noise_power
    assert found.shape == (9,)
    np.testing.assert_allclose(found[1:], SPECTRUM)
    assert found[0] == found[1]
    # The same file in images of another box and pixel size: the frequency in 1/Å counts.
    coarse = read_noise(dataset, 8, 16.0)
    np.testing.assert_allclose(coarse[1:], SPECTRUM[:4])
    assert read_noise(dataset.parent, BOX, PIXEL) is None


def test_images_are_divided_by_the_root_of_the_spectrum(dataset: Path) -> None:
    data = read_dataset(dataset)
    plain = prepared(replace(data, noise_power=None))
    white = prepared(data)
    rows = np.arange(data.n_frames)
    before, after = plain.source.take(rows)[0], white.source.take(rows)[0]
    shells = white.forward_model.support.shells
    root = torch.from_numpy(data.noise_power).float().sqrt()[shells]
    torch.testing.assert_close(after * root, before, rtol=1e-4, atol=1e-5)
    assert any("Whitened" in said for said in white.corrections.sentences())
    assert prepared(data, corrections=False).corrections.spectrum is None


def test_a_measured_spectrum_that_is_flat_changes_no_bit(dataset: Path) -> None:
    write_noise(dataset, [FREQUENCY], [np.linspace(1.02, 0.98, 8)], ["a.mrc"])
    data = read_dataset(dataset)
    rows = np.arange(data.n_frames)
    one, other = prepared(data), prepared(replace(data, noise_power=None))
    assert torch.equal(one.source.take(rows)[0], other.source.take(rows)[0])


def test_a_run_is_not_resumed_with_another_spectrum(dataset: Path) -> None:
    data = read_dataset(dataset)
    other = replace(data, noise_power=1.1 * data.noise_power)
    prints = {fingerprint(d) for d in (data, other, replace(data, noise_power=None))}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_other\n\nloop_\n_rlnResolution\n0.1\n", "no table data_noise"),
        ("data_noise\n\nloop_\n_rlnResolution\n0.1\n", "rlnMicrographMovieName"),
        (
            "data_noise\n\nloop_\n_rlnMicrographMovieName\n_rlnResolution\n_temporemNoisePower\n"
            "a 0.1 1\na 0.2 nan\n",
            "row 1",
        ),
        (
            "data_noise\n\nloop_\n_rlnMicrographMovieName\n_rlnResolution\n_temporemNoisePower\n"
            "a 0.1 1\na 0.2 -3\n",
            "a power of 0.0001 to 10000",
        ),
        ("\x00\x01", "noise.star"),
    ],
)
def test_a_damaged_file_is_refused(dataset: Path, tmp_path: Path, text: str, message: str) -> None:
    (dataset / "noise.star").write_text(text)
    with pytest.raises(TemporemError, match=message):
        read_dataset(dataset)
    assert "noise.star" in refuse(tmp_path, "check", dataset)
