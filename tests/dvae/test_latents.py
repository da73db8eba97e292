"""Gaussian arithmetic of latent paths, against torch.distributions and Monte Carlo; priors."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from temporem.dvae.priors import GatedTransition, StandardPrior
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.gaussian import gaussian_kl, sample_gaussian


def normal(mean: torch.Tensor, log_variance: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


def draws(shape: tuple[int, int], seed: int) -> torch.Tensor:
    return FrameNoise(torch.Generator().manual_seed(seed)).normal(*shape)


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


def test_noise_of_a_frame_does_not_depend_on_who_computes_it() -> None:
    def noise(*part: object) -> list[torch.Tensor]:
        some = FrameNoise(torch.Generator().manual_seed(6), *part)
        n = 7 if not part else len(range(7)[part[1]])
        return [some.normal(n, 2), some.uniform(n), some.normal(n, 3)]

    parts = [noise(7, part) for part in (slice(0, 3), slice(3, 3), slice(3, 7))]
    for whole, *cut in zip(noise(), *parts, strict=True):
        assert torch.cat(cut).equal(whole)


def test_standard_prior_is_the_unit_gaussian_at_every_frame() -> None:
    like = torch.randn(3, 2)
    for previous in (None, torch.randn(3, 2)):
        mean, log_variance = StandardPrior()(previous, like)
        assert (mean == 0).all()
        assert (log_variance == 0).all()
        assert mean.shape == log_variance.shape == (3, 2)


@pytest.fixture
def transition() -> GatedTransition:
    torch.manual_seed(0)
    return GatedTransition(2, 8)


def test_learned_prior_starts_as_a_walk_that_stays_near_where_it_is(
    transition: GatedTransition,
) -> None:
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(1))
    mean, log_variance = transition(z, z)
    assert (mean - z).norm() < 0.3 * z.norm()
    assert (log_variance < 0).all()  # narrower than N(0, 1): the next frame is like this one
    first_mean, first_log_variance = transition(None, z)
    assert first_mean.equal(torch.zeros(100, 2))
    assert first_log_variance.equal(torch.zeros(100, 2))


def test_learned_prior_follows_the_gated_equation(transition: GatedTransition) -> None:
    with torch.no_grad():
        for parameter in transition.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    z = torch.randn(7, 2)
    gate = 1 / (1 + torch.exp(-transition.gate(z)))
    proposal = transition.proposal(z)
    linear = z @ transition.linear.weight.T + transition.linear.bias
    mean, log_variance = transition(z, z)
    torch.testing.assert_close(mean, (1 - gate) * linear + gate * proposal)
    head = transition.log_variance
    torch.testing.assert_close(log_variance, proposal.clamp(min=0) @ head.weight.T + head.bias)
    first_mean, first_log_variance = transition(None, z)
    assert first_mean.equal(transition.first_mean.expand(7, 2))
    assert first_log_variance.equal(transition.first_log_variance.expand(7, 2))


def test_learned_prior_can_learn_a_constant_drift() -> None:
    """Fitted to z_{t+1} = z_t + 0.2 + noise of σ 0.1, it finds the drift and the noise."""
    torch.manual_seed(1)
    transition = GatedTransition(1, 8)
    z = torch.linspace(-1, 1, 200)[:, None]
    after = z + 0.2 + 0.1 * torch.randn(200, 1)
    optimizer = torch.optim.Adam(transition.parameters(), 0.02)
    for _ in range(300):
        mean, log_variance = transition(z, z)
        loss = -normal(mean, log_variance).log_prob(after).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean, log_variance = transition(z, z)
    assert (mean - z).mean().item() == pytest.approx(0.2, abs=0.03)
    assert log_variance.exp().mean().sqrt().item() == pytest.approx(0.1, rel=0.3)
