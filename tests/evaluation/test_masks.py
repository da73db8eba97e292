"""Masks made from the truth."""

import pytest
import torch

from helpers.swing import blob
from temporem.evaluation.masks import WHOLE_BOX, MaskSettings, truth_masks
from temporem.physics.fourier import FourierSupport
from temporem.physics.masks import soft_mask

BOX = 16


@pytest.fixture(scope="module")
def support():
    return FourierSupport(BOX, 3)


def test_particle_mask_covers_all_and_moving_mask_only_what_moves(support):
    still, arm = blob((-4, 0, 0), 1.5, BOX), [blob((4, y, 0), 1.5, BOX) for y in (-2, 0, 2)]
    truth = support.fft(torch.stack([still + a for a in arm]))
    masks = truth_masks(truth.split(2), support, MaskSettings(dilation=1, soft_edge=2))
    centre = BOX // 2
    assert masks.particle[centre, centre, centre - 4] == 1
    assert masks.particle[centre, centre, centre + 4] == 1
    assert masks.moving[centre, centre, centre - 4] == 0
    assert masks.moving[centre, centre + 2, centre + 4] == 1
    assert masks.particle[0, 0, 0] == masks.moving[0, 0, 0] == 0
    assert list(masks.regions()) == [WHOLE_BOX, "particle", "moving"]


def test_masks_are_thresholds_of_the_mean_and_of_the_deviation(support):
    truth = (
        torch.stack(
            [2 * blob((-3, 0, 0), 1.5, BOX) + blob((4, y, 1), 1.5, BOX) for y in (-3, -2, 0, 1, 3)]
        )
        + 0.5
    )
    volumes = support.ifft(support.fft(truth)).numpy()
    settings = MaskSettings(smoothing=0.0, density_threshold=0.4, motion_threshold=0.3)
    masks = truth_masks(support.fft(truth).split(2), support, settings)
    mean, deviation = volumes.mean(0), volumes.std(0)
    torch.testing.assert_close(masks.particle, soft_mask(mean > 0.4 * mean.max(), 2.0, 4.0))
    assert masks.moving is not None
    torch.testing.assert_close(masks.moving, soft_mask(deviation > 0.3 * deviation.max(), 2.0, 4.0))


def test_smoothing_adds_to_the_width_of_a_blob(support):
    settings = MaskSettings(smoothing=2.0, density_threshold=0.1, dilation=0.0, soft_edge=0.0)
    mask = truth_masks([support.fft(blob((0, 0, 0), 1.5, BOX))[None]], support, settings).particle
    # σ = √(1.5² + 2²) = 2.5 falls to a tenth at 2.5 · √(2 ln 10) = 5.4.
    assert mask[8, 8, 8:].tolist() == [1] * 6 + [0] * 2


def test_masks_do_not_depend_on_how_the_frames_are_batched_or_scaled(support):
    truth = support.fft(torch.stack([blob((4, y, 0), 1.5, BOX) for y in (-2, -1, 1, 2)]))
    whole = truth_masks([truth], support, MaskSettings())
    pieces = truth_masks((100 * truth).split(1), support, MaskSettings())
    torch.testing.assert_close(whole.particle, pieces.particle)
    torch.testing.assert_close(whole.moving, pieces.moving)


def test_truth_that_stands_still_has_no_moving_region(support):
    truth = support.fft(blob((0, 0, 0), 1.5, BOX)).expand(4, -1)
    masks = truth_masks([truth], support, MaskSettings())
    assert masks.moving is None
    assert list(masks.regions()) == [WHOLE_BOX, "particle"]
