"""Backgrounds are subtracted where images have them, and clean images stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from helpers.blobs import simulate_blobs
from temporem.frames.background import plane_basis
from temporem.frames.dataset import Dataset
from temporem.frames.settings import DataSettings
from temporem.frames.streaming import FrameStack, open_frames

BOX = 32
AS_THEY_ARE = DataSettings(corrections=False)


@pytest.fixture(scope="module")
def clean() -> Dataset:
    return simulate_blobs([8] * 40, box=BOX, snr=0.1).dataset


def noise_of(data: Dataset) -> float:
    return float(np.asarray(data.images)[:, :2, :2].std())


def with_planes(data: Dataset, planes: torch.Tensor) -> Dataset:
    """Add planes ``(N, 3)``, in units of the file."""
    surfaces = (planes @ plane_basis(BOX).T).view(-1, BOX, BOX).numpy()
    return replace(data, images=(np.asarray(data.images) + surfaces).astype(np.float32))


def opened(data: Dataset, settings: DataSettings | None = None) -> FrameStack:
    return open_frames(data, settings or DataSettings())


def test_clean_images_stay_as_they_are(clean) -> None:
    for snr in (3.0, 0.03):
        stack = opened(simulate_blobs([6] * 20, box=BOX, snr=snr, seed=3).dataset)
        assert stack.background.is_none
    rows = np.arange(clean.n_frames)
    for corrected, given in zip(
        opened(clean).take(rows), opened(clean, AS_THEY_ARE).take(rows), strict=True
    ):
        assert corrected.equal(given)


def test_planes_of_frames_are_found_and_subtracted(clean) -> None:
    sd = noise_of(clean)
    truth = (
        sd
        * torch.tensor([1.5, 0.5, 0.5], dtype=torch.float64)
        * torch.randn(
            clean.n_frames, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
    )
    stack = opened(with_planes(clean, truth))
    found = stack.background.planes
    assert np.corrcoef(found[:, 0], truth[:, 0])[0, 1] > 0.99
    assert np.corrcoef(found[:, 1], truth[:, 1])[0, 1] > 0.9
    assert stack.background.shares[0] > 0.95

    rows = np.arange(clean.n_frames)
    wanted, _ = opened(clean).take(rows)
    without, _ = opened(with_planes(clean, truth), AS_THEY_ARE).take(rows)
    images, _ = stack.take(rows)
    assert (images - wanted).abs().square().mean() < 0.03
    assert (without - wanted).abs().square().mean() > 1


def test_a_level_that_all_frames_share_is_subtracted(clean) -> None:
    level = torch.tensor([5.0, 0, 0], dtype=torch.float64).expand(clean.n_frames, 3)
    found = opened(with_planes(clean, noise_of(clean) * level)).background
    assert found.planes[:, 0] == pytest.approx(5 * noise_of(clean), rel=0.02)
    assert found.shares[0] == 0


def test_noise_with_long_waves_is_not_taken_for_a_background(clean) -> None:
    """Its planes in the corners say less of the inside than a true background's."""
    waves = ndimage.gaussian_filter(
        np.random.default_rng(0).standard_normal((clean.n_frames, BOX, BOX)), (0, 3, 3)
    )
    images = np.asarray(clean.images) + noise_of(clean) * 3 * waves
    found = opened(replace(clean, images=images.astype(np.float32))).background
    assert (found.shares < 0.8).all()


def test_noise_of_movies_is_brought_to_one_level(clean) -> None:
    images = np.array(clean.images)
    images[clean.movies[3]] *= 7
    stack = opened(replace(clean, images=images))
    rows = clean.movies[3]
    wanted, _ = opened(clean).take(rows)
    torch.testing.assert_close(stack.take(rows)[0], wanted, rtol=0.05, atol=0.05)
    assert (opened(clean).background.factor == 1).all()


def test_a_frame_has_the_same_bits_in_any_company(clean) -> None:
    generator = torch.Generator().manual_seed(1)
    planes = torch.randn(clean.n_frames, 3, generator=generator, dtype=torch.float64)
    stack = opened(with_planes(clean, 3 * noise_of(clean) * planes))
    images, _ = stack.take(np.arange(50))
    for rows in (np.arange(7, 8), np.arange(5, 30), np.arange(49, 2, -3)):
        assert stack.take(rows)[0].equal(images[rows])
