"""Coordinates along a curve through the latents of a linear model."""

import torch
from scipy.stats import spearmanr

from temporem.dvae.latent_coordinates import latent_coordinates


def bent(n: int = 400, noise: float = 0.1) -> tuple[torch.Tensor, ...]:
    """Latents of a turn by 300°: the first component alone confuses its ends with its middle."""
    random = torch.Generator().manual_seed(0)
    angle = 5.2 * (torch.rand(n, generator=random) - 0.5)
    latents = torch.stack([angle.sin(), angle.cos(), torch.zeros(n)], dim=-1)
    latents += noise * torch.randn(n, 3, generator=random)
    spread = latents.std(0)
    covariance = (noise**2 / spread**2).diag().expand(n, 3, 3).contiguous()
    return angle, (latents - latents.mean(0)) / spread, covariance, spread


def test_one_coordinate_follows_a_motion_that_bends() -> None:
    angle, mean, covariance, spread = bent()
    found = latent_coordinates(mean, covariance, spread, 1)
    assert abs(spearmanr(found.mean[:, 0], angle).statistic) > 0.97
    assert abs(spearmanr(mean[:, 0], angle).statistic) < 0.9
    back = found.curve(found.mean) - mean
    assert (back[:, :2] * spread[:2]).square().sum(1).mean().sqrt() < 0.25
    assert abs(float(found.mean.std()) - 1) < 0.2


def test_deviations_are_those_of_repeated_noise() -> None:
    _, mean, covariance, spread = bent()
    found = latent_coordinates(mean, covariance, spread, 1)
    wider = latent_coordinates(mean, 4 * covariance, spread, 1)
    assert found.variance.min() > 0
    assert wider.variance.mean() > 2 * found.variance.mean()


def test_same_seed_gives_the_same_coordinates() -> None:
    _, mean, covariance, spread = bent(100)
    one, other = (latent_coordinates(mean, covariance, spread, 1, seed=3) for _ in range(2))
    assert one.mean.equal(other.mean)
    assert one.variance.equal(other.variance)
