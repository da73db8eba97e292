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
        mean, log_variance = StandardPrior()(previous, torch.ones(3, 1), like)
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
    mean, log_variance = transition(z, torch.zeros(100, 1), z)
    assert (mean - z).norm() < 0.3 * z.norm()
    assert (log_variance < 0).all()  # narrower than N(0, 1): the next frame is like this one
    first_mean, first_log_variance = transition(None, torch.zeros(100, 1), z)
    assert first_mean.equal(torch.zeros(100, 2))
    assert first_log_variance.equal(torch.zeros(100, 2))


def test_learned_prior_follows_the_gated_equation(transition: GatedTransition) -> None:
    with torch.no_grad():
        for parameter in transition.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    z = torch.randn(7, 2)
    log_gap = torch.randn(7, 1)
    seen = torch.cat([z, log_gap], dim=1)
    gate = 1 / (1 + torch.exp(-transition.gate(seen)))
    proposal = transition.proposal(seen)
    linear = z @ transition.linear.weight.T + transition.linear.bias
    mean, log_variance = transition(z, log_gap, z)
    torch.testing.assert_close(mean, (1 - gate) * linear + gate * proposal)
    head = transition.log_variance
    expected = proposal.clamp(min=0) @ head.weight.T + head.bias + transition.diffusion * log_gap
    torch.testing.assert_close(log_variance, expected.clamp(-12, 4))
    first_mean, first_log_variance = transition(None, log_gap, z)
    assert first_mean.equal(transition.first_mean.expand(7, 2))
    assert first_log_variance.equal(transition.first_log_variance.expand(7, 2))


def test_variance_grows_with_the_gap_at_first(transition: GatedTransition) -> None:
    """In proportion, as in diffusion: 2 D Δ."""
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(1))
    gaps = torch.tensor([0.25, 1, 4, 16])
    found = torch.stack([transition(z, gap.log().expand(100, 1), z)[1] for gap in gaps])
    assert (found.diff(dim=0) > 0).all()
    slope = found.diff(dim=0) / gaps.log().diff()[:, None, None]
    torch.testing.assert_close(slope, torch.ones_like(slope), rtol=0, atol=0.1)


def test_first_frames_have_no_gap(transition: GatedTransition) -> None:
    z = torch.randn(5, 2)
    one, other = (transition(None, torch.full((5, 1), gap), z) for gap in (0.0, 3.0))
    assert one[0].equal(other[0])
    assert one[1].equal(other[1])


@pytest.mark.parametrize("even", [True, False])
def test_learned_prior_can_learn_a_drift_in_time(even: bool) -> None:
    """Fitted to z + 0.2 Δ + noise of σ 0.1 √Δ, it finds the drift and the noise."""
    torch.manual_seed(1)
    transition = GatedTransition(1, 8)
    z = torch.linspace(-1, 1, 400)[:, None]
    gaps = torch.ones(400, 1) if even else torch.tensor([1, 1, 2, 4.0]).repeat(100)[:, None]
    after = z + 0.2 * gaps + 0.1 * gaps.sqrt() * torch.randn(400, 1)
    optimizer = torch.optim.Adam(transition.parameters(), 0.02)
    for _ in range(300):
        mean, log_variance = transition(z, gaps.log(), z)
        loss = -normal(mean, log_variance).log_prob(after).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mean, log_variance = transition(z, gaps.log(), z)
    for gap in gaps.unique():
        own = gaps == gap
        assert (mean - z)[own].mean().item() == pytest.approx(0.2 * gap.item(), abs=0.04)
        spread = log_variance.exp()[own].mean().sqrt().item()
        assert spread == pytest.approx(0.1 * gap.item() ** 0.5, rel=0.3)
