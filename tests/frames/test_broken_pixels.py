"""Broken pixels are repaired before anything is measured, and molecules are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.frames.dataset import Dataset
from temporem.frames.settings import DataSettings
from temporem.frames.streaming import open_frames


def clean(snr: float = 0.3) -> Dataset:
    return simulate_blobs([6] * 16, box=32, snr=snr).dataset


@pytest.mark.parametrize("place", [(16, 15), (0, 1)])
def test_an_image_with_a_broken_pixel_is_nearly_as_good_as_without(place: tuple[int, int]) -> None:
    data = clean()
    images = np.array(data.images)
    sd = images[:, :2, :2].std()
    images[10][place] = 500 * sd
    images[10][place[0] + 4, place[1] + 4] = -300 * sd
    stack = open_frames(replace(data, images=images), DataSettings())
    assert list(stack.broken.repairs) == [10]
    assert len(stack.broken) == 2
    rows = np.arange(8, 12)
    wanted, _ = open_frames(data, DataSettings()).take(rows)
    found, _ = stack.take(rows)
    assert (found - wanted).abs().square().mean() < 0.02
    torch.testing.assert_close(found[[0, 1, 3]], wanted[[0, 1, 3]], rtol=1e-3, atol=1e-3)


def test_bright_molecules_have_no_broken_pixels() -> None:
    for snr in (0.03, 1.0, 100.0, 1e4):
        assert len(open_frames(clean(snr), DataSettings()).broken) == 0
