"""Priors of latent paths: N(0, 1), and the gated transition."""

import pytest
import torch
from torch.distributions import Independent, Normal

from temporem.dvae.priors import GatedTransition, StandardPrior


def normal(mean: torch.Tensor, log_variance: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_variance).exp()), 1)


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


def test_learned_prior_starts_as_a_random_walk_of_small_steps(
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
