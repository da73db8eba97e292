"""Intensities of frames and junk are found by comparison with the mean volume."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.likeness import Likeness
from temporem.frames.settings import DataSettings
from temporem.linear.fit import fit_linear

BOX, SNR = 32, 0.1
N_MOVIES, LENGTH = 60, 8


@cache
def movies(snr: float = SNR, arc: float = 100.0, seed: int = 0) -> BlobMovies:
    return simulate_blobs([LENGTH] * N_MOVIES, box=BOX, snr=snr, arc_degrees=arc, seed=seed)


@cache
def clean_images() -> np.ndarray:
    """The same movies without noise."""
    return np.asarray(movies(1e6).dataset.images)


def spoilt(scale: np.ndarray | None = None, junk: np.ndarray | None = None) -> Dataset:
    """Scale the molecules, and put others in other poses in the place of some."""
    data, images = movies().dataset, clean_images().copy()
    noise = np.asarray(data.images) - images
    if junk is not None:
        stranger = images[:, ::-1, ::-1][np.random.default_rng(1).permutation(len(images))]
        images[junk] = np.roll(stranger, (3, -4), axis=(1, 2))[junk]
    if scale is not None:
        images *= scale[:, None, None]
    return replace(data, images=(images + noise).astype(np.float32))


def prepared(data: Dataset, settings: DataSettings | None = None) -> Frames:
    return prepare_frames(data, settings or DataSettings(), data.movies, torch.device("cpu"))


def likeness(data: Dataset) -> Likeness:
    found = prepared(data).corrections.likeness
    assert found is not None
    return found


@pytest.mark.parametrize(("snr", "arc"), [(3.0, 100.0), (0.1, 100.0), (0.1, 0.0), (0.03, 100.0)])
def test_clean_frames_are_even(snr: float, arc: float) -> None:
    found = prepared(movies(snr, arc).dataset).corrections
    assert found.likeness is None or found.likeness.is_even
    assert found.sentences() == []


def test_intensities_of_frames_are_found() -> None:
    generator = np.random.default_rng(0)
    scale = np.exp(0.3 * generator.standard_normal(N_MOVIES * LENGTH))
    found = likeness(spoilt(scale))
    assert found.spread == pytest.approx(scale.std(), rel=0.2)
    assert np.corrcoef(found.scale, scale)[0, 1] > 0.85
    assert not found.junk.any()


def test_intensities_that_movies_share_are_found_better() -> None:
    """Frames of a movie then tell of one another."""
    generator = np.random.default_rng(0)
    scale = np.exp(0.3 * generator.standard_normal(N_MOVIES)).repeat(LENGTH)
    found = likeness(spoilt(scale))
    alone = np.corrcoef(found.measured, scale)[0, 1]
    assert np.corrcoef(found.scale, scale)[0, 1] > max(alone, 0.95)


def test_junk_is_found_and_tells_nothing() -> None:
    junk = np.random.default_rng(2).random(N_MOVIES * LENGTH) < 0.1
    frames = prepared(spoilt(junk=junk))
    found = frames.corrections.likeness
    assert found is not None
    left_out = found.junk.numpy()
    assert left_out[junk].mean() > 0.9
    assert left_out[~junk].mean() < 0.01
    batch = frames.batch(frames.movies)
    assert batch.used.equal(torch.from_numpy(~left_out))
    assert not batch.images[left_out].any()
    assert "Left out" in frames.corrections.sentences()[0]
    assert set(frames.corrections.columns()) == {"temporemGood"}


def test_noise_and_spectra_do_not_count_frames_that_are_left_out() -> None:
    nothing = np.zeros(N_MOVIES * LENGTH)
    nothing[::3] = 1
    data = spoilt(1 - nothing)
    frames = prepared(data)
    whole = prepared(movies().dataset).statistics
    torch.testing.assert_close(
        frames.statistics.signal_power[:6], whole.signal_power[:6], rtol=0.15, atol=0.05
    )
    fit = fit_linear(data, components=1, iterations=1)
    noise = fit.log[-1]
    assert np.isfinite(noise["log_likelihood"])


def test_where_most_frames_are_unlike_the_mean_none_is_left_out() -> None:
    good = torch.full((10,), 0.2)
    assert not Likeness(torch.ones(10), torch.ones(10), 0.0, good).junk.any()


def test_without_corrections_frames_stay_as_they_are() -> None:
    nothing = np.zeros(N_MOVIES * LENGTH)
    nothing[::3] = 1
    frames = prepared(spoilt(1 - nothing), DataSettings(corrections=False))
    assert frames.corrections.likeness is None
    assert frames.batch(frames.movies).used.all()
