"""Decoding of many volumes: the network's values, independent of each other, and spans of a few."""

import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.volumes.decoding import SPAN_TOLERANCE, decode, spanning_rows
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.layers import ResidualMLP
from temporem.volumes.refined_volumes import RefinedVolumes

BOX = 28  # large enough for spans


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator() -> RefinedVolumes:
    """A network that refines a linear model."""
    torch.manual_seed(0)
    network = FourierNetwork(BOX, 2, width=32, depth=2, n_features=12, feature_radius=0.1)
    made = RefinedVolumes(network, 2)
    made.set_amplitude(torch.linspace(2.0, 0.1, BOX // 2 + 1))
    everywhere = torch.ones(BOX, BOX, BOX)
    made.start_from(normal(3, BOX, BOX, BOX), everywhere, made.curve, torch.zeros(1, 2))
    return made


@pytest.fixture
def path() -> torch.Tensor:
    """Latents of 200 frames along a curve, and one far away from it."""
    t = torch.linspace(-1, 1, 200)
    return torch.cat([torch.stack([t, t.square()], dim=-1), torch.tensor([[3.0, -3.0]])])


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_decoding_is_the_network_in_its_own_arithmetic(dtype: torch.dtype | None) -> None:
    mlp = ResidualMLP(6, width=16, depth=3, outputs=2)
    mlp.dtype = dtype
    points, biases = normal(3000, 3), normal(5, 16, seed=1)

    def inputs(k: torch.Tensor) -> torch.Tensor:
        return torch.cat([k.sin(), k.cos()], dim=-1)

    expected = mlp(inputs(points), biases[:, None])
    found = decode(mlp, inputs, points, biases, dtype)
    tolerance = 1e-5 if dtype is None else 0.03
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert not found.requires_grad


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_no_volume_depends_on_the_others(
    generator: RefinedVolumes, path: torch.Tensor, dtype: torch.dtype | None
) -> None:
    generator.set_dtype(dtype)
    support, z = FourierSupport(BOX, 3), path[::50]
    together = generator.volumes(support, z)
    alone = torch.cat([generator.volumes(support, one[None]) for one in z])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_smaller_ball_holds_the_same_coefficients(
    generator: RefinedVolumes, path: torch.Tensor
) -> None:
    ball = FourierSupport(BOX, 3, radius=6)
    whole = generator.volumes(FourierSupport(BOX, 3), path[:3])
    assert 0 < len(ball) < whole.shape[1]
    torch.testing.assert_close(generator.volumes(ball, path[:3]), whole[:, : len(ball)])


@pytest.mark.parametrize("masked", [False, True])
def test_span_holds_every_volume_within_its_tolerance(
    generator: RefinedVolumes, path: torch.Tensor, masked: bool
) -> None:
    support = FourierSupport(BOX, 3)
    if masked:
        moving = torch.zeros(BOX, BOX, BOX)
        moving[4:20] = 1
        generator.start_from(generator.base.maps.clone(), moving, generator.curve, path)
    span = generator.span(support, path)
    assert span is not None
    assert len(span.basis) < len(path) / 2
    exact, found = generator.volumes(support, path), span.volumes(torch.arange(len(path)))
    motion = (exact - exact.mean(0)).abs().square().mean().sqrt()
    errors = (found - exact).abs().square().mean(1).sqrt()
    assert errors.max() < 2 * SPAN_TOLERANCE * motion  # known at a sixteenth of the frequencies
    one_by_one = torch.cat([span.volumes(torch.tensor([i])) for i in (7, 3, 200)])
    torch.testing.assert_close(one_by_one, found[[7, 3, 200]])


def test_nothing_is_spanned_that_costs_less_to_decode(
    generator: RefinedVolumes, path: torch.Tensor
) -> None:
    support = FourierSupport(BOX, 3)
    assert generator.span(support, path[:10]) is None
    assert generator.span(FourierSupport(BOX, 3, radius=4), path) is None
    many = FourierNetwork(BOX, 40, 64, 1, 12, feature_radius=0.1)
    assert many.span(support, 3 * normal(40, 40)) is None  # every frame has a direction of its own
    assert generator.span(support, path[:1].expand(16, 2)) is not None  # all the same


def test_rows_of_low_rank_are_spanned_by_as_many_rows() -> None:
    samples = normal(50, 3) @ normal(3, 40, seed=1)
    found = spanning_rows(samples, 1e-4, most=10)
    assert found is not None
    few, weights = found
    assert len(few) == 3
    torch.testing.assert_close(weights @ samples[few], samples, rtol=0, atol=1e-4)


def test_no_row_is_left_out_however_rare() -> None:
    samples = torch.cat([normal(1000, 2) @ normal(2, 40, seed=1), normal(1, 40, seed=2)])
    motion = (samples - samples.mean(0)).square().mean().sqrt()
    few, weights = spanning_rows(samples, 0.02, most=10) or pytest.fail("no span")
    assert 1000 in few
    left = (weights @ samples[few] - samples).square().mean(1).sqrt()
    assert left.max() <= 0.02 * motion * (1 + 1e-4)


def test_rows_that_are_all_the_same_need_one() -> None:
    few, weights = spanning_rows(normal(1, 40).expand(9, 40), 0.01, most=4) or pytest.fail(
        "no span"
    )
    assert len(few) == 1
    torch.testing.assert_close(weights, torch.ones(9, 1))


def test_more_directions_than_wanted_are_no_span() -> None:
    assert spanning_rows(normal(50, 40), 0.01, most=20) is None
    assert spanning_rows(torch.full((50, 40), torch.nan), 0.01, most=20) is None
