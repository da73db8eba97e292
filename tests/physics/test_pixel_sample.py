"""Random pixels: the probabilities asked for, and sums that keep their expectation."""

import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.physics.pixel_sample import PixelSample, inclusion_probabilities

SUPPORT = FourierSupport(12, 2)
P = len(SUPPORT)


@pytest.fixture
def importance() -> torch.Tensor:
    falling = 1 / (1 + SUPPORT.radii) ** 3  # a few are certain
    return falling * (1 + 0.5 * torch.rand(P, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("size", [1, 5, 20, P - 1])
def test_probabilities_are_proportional_where_not_certain(importance, size: int) -> None:
    probability = inclusion_probabilities(importance, size)
    assert probability.sum() == pytest.approx(size, rel=1e-5)
    assert (probability > 0).all()
    assert (probability <= 1).all()
    scale = (probability / importance)[probability < 1]
    torch.testing.assert_close(scale, scale[:1].expand_as(scale))
    if size > 1:  # who is certain would be drawn more often than once
        certain = probability == 1
        assert (importance[certain] * scale[0] >= 1 - 1e-5).all()
        assert certain.any()
        assert not certain.all()


@pytest.mark.parametrize("size", [P, P + 3])
def test_all_pixels_are_a_sample_too(importance, size: int) -> None:
    sample = PixelSample.drawn(SUPPORT, inclusion_probabilities(importance, size), 0.3)
    all_pixels = PixelSample.lowest(SUPPORT, P)
    assert sample.index.equal(all_pixels.index)
    assert sample.weights.equal(all_pixels.weights)
    assert all_pixels.weights.equal(SUPPORT.weights)


def test_no_pixel_twice_and_as_many_as_wanted(importance) -> None:
    for start in torch.linspace(0, 0.999, 50).tolist():
        sample = PixelSample.drawn(SUPPORT, inclusion_probabilities(importance, 17), start)
        assert len(sample.index) in (16, 17, 18)
        assert len(sample.index.unique()) == len(sample.index)
        assert len(sample.weights) == len(sample.index)


def test_weighted_sums_keep_their_expectation(importance) -> None:
    """The mean over all starts, which a fine grid stands for, counts every pixel as it should."""
    probability = inclusion_probabilities(importance, 9)
    n = 10000
    counts = torch.zeros(P, dtype=torch.float64)
    for start in ((torch.arange(n) + 0.5) / n).tolist():
        sample = PixelSample.drawn(SUPPORT, probability, start)
        counts[sample.index] += sample.weights.double() / n
    # A pixel's starts are an interval, whose ends the grid meets to 1 / n.
    error = SUPPORT.weights / probability / n
    assert ((counts - SUPPORT.weights).abs() <= 1.01 * error + 1e-5).all()


def test_only_the_lowest_frequencies_are_drawn_from(importance) -> None:
    probability = inclusion_probabilities(importance[:30], 10)
    starts = torch.linspace(0, 0.999, 100).tolist()
    seen = torch.cat([PixelSample.drawn(SUPPORT, probability, s).index for s in starts])
    assert seen.unique().equal(torch.arange(30))
