"""Diagonal Gaussians, against torch.distributions and Monte Carlo."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from temporem.physics.gaussian import gaussian_kl, sample_gaussian


def normal(mean: torch.Tensor, log_variance: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def draws(shape: tuple[int, int], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def gaussians() -> tuple[torch.Tensor, ...]:
    """Means and log-variances of two diagonal Gaussians, ``(6, 3)`` each."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(6, 3, generator=generator, dtype=torch.float64) for _ in range(4))


def test_kl_agrees_with_torch(gaussians: tuple[torch.Tensor, ...]) -> None:
    expected = kl_divergence(normal(*gaussians[:2]), normal(*gaussians[2:]))
    torch.testing.assert_close(gaussian_kl(*gaussians), expected, rtol=1e-12, atol=0)


def test_kl_is_the_mean_log_ratio_of_draws(gaussians: tuple[torch.Tensor, ...]) -> None:
    mean, log_variance, prior_mean, prior_log_variance = (g[:1] for g in gaussians)
    n = 40_000
    noise = draws((n, 3), seed=1).double()
    z = sample_gaussian(mean.expand(n, 3), log_variance.expand(n, 3), noise)
    ratio = normal(mean, log_variance).log_prob(z) - normal(
        prior_mean, prior_log_variance
    ).log_prob(z)
    kl = gaussian_kl(mean, log_variance, prior_mean, prior_log_variance).item()
    assert ratio.mean().item() == pytest.approx(kl, abs=5 * ratio.std().item() / math.sqrt(n))


def test_kl_vanishes_only_for_equal_gaussians(gaussians: tuple[torch.Tensor, ...]) -> None:
    mean, log_variance = gaussians[:2]
    same = gaussian_kl(mean, log_variance, mean, log_variance)
    torch.testing.assert_close(same, torch.zeros_like(same))
    assert (gaussian_kl(*gaussians) > 0).all()


def test_draws_have_the_moments_asked_for() -> None:
    n = 50_000
    mean = torch.tensor([1.0, -2.0]).expand(n, 2)
    log_variance = torch.tensor([math.log(4.0), math.log(0.01)]).expand(n, 2)
    z = sample_gaussian(mean, log_variance, draws((n, 2), seed=2))
    sd = torch.tensor([2.0, 0.1])
    assert ((z.mean(0) - mean[0]).abs() < 5 * sd / math.sqrt(n)).all()
    torch.testing.assert_close(z.std(0), sd, rtol=5 / math.sqrt(2 * n), atol=0)


def test_draws_follow_their_generator_and_are_the_mean_without_one() -> None:
    mean, log_variance = torch.randn(5, 2), torch.zeros(5, 2)
    drawn = [sample_gaussian(mean, log_variance, draws((5, 2), seed=s)) for s in (3, 3, 4)]
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
    assert sample_gaussian(mean, log_variance, None).equal(mean)


def test_draws_carry_gradients_to_mean_and_variance() -> None:
    mean = torch.zeros(4, 1, requires_grad=True)
    log_variance = torch.zeros(4, 1, requires_grad=True)
    z = sample_gaussian(mean, log_variance, draws((4, 1), seed=5))
    z.sum().backward()
    assert mean.grad is not None
    assert log_variance.grad is not None
    torch.testing.assert_close(mean.grad, torch.ones(4, 1))
    torch.testing.assert_close(log_variance.grad, 0.5 * z.detach())  # ½ σ ε, with σ = 1, m = 0
