"""Few coordinates for the latents of a linear model, along a curve or surface through them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.minimise import minimise

_STEPS = 1500
_ROWS = 2048  # of a step
_RATE = 3e-3
_NOISE = 0.5  # part of the posterior deviation that is added to the latents while it learns
_SPREAD = 0.05  # weight that holds the coordinates at unit spread
_DRAWS = 16  # of the posterior, for the variance of coordinates
_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Coordinates of frames, and the way back.

    Attributes:
        mean: of about unit spread, ``(N, q)``.
        variance: their posterior variances, ``(N, q)``.
        curve: coordinates → latents of the linear model.
    """

    mean: Tensor
    variance: Tensor
    curve: LatentCurve


def latent_coordinates(
    mean: Tensor, covariance: Tensor, importance: Tensor, z_dim: int, *, seed: int = 0
) -> Coordinates:
    """Find q coordinates that tell the n latents of frames best.

    A motion with one degree of freedom, such as a turn by a large angle, bends through several
    components of a linear model, and the first alone may not tell one end of it from the middle.
    An auto-encoder of the latents, which begins as their first q, finds the curve (Kramer 1991).
    Noise added to its input keeps it smooth (Vincent and others 2008).

    Args:
        mean: posterior means of unit spread, ``(N, n)``.
        covariance: posterior covariances, ``(N, n, n)``.
        importance: spread of the volumes along each component, ``(n,)``.
        z_dim: q, at most n.
        seed: of all random numbers.
    """
    n = mean.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        curve = LatentCurve(z_dim, n)
        if z_dim == n:
            return Coordinates(mean, covariance.diagonal(dim1=-2, dim2=-1), curve)
        encoder = LatentCurve(n, z_dim)
        root = torch.linalg.cholesky_ex(covariance).L
        _learn(encoder, curve, mean, root, importance / importance.max())
        with torch.no_grad():
            draws = torch.stack([encoder(_drawn(mean, root, 1.0)) for _ in range(_DRAWS)])
            return Coordinates(encoder(mean), draws.var(0).clamp(min=_LEAST_VARIANCE), curve)


def _learn(
    encoder: LatentCurve, curve: LatentCurve, mean: Tensor, root: Tensor, importance: Tensor
) -> None:
    """Learn both ways, by the error in volumes."""
    rows = torch.arange(len(mean))

    def loss(done: float) -> Tensor:
        some = torch.randint(len(mean), (_ROWS,)) if len(mean) > _ROWS else rows
        target = mean[some]
        z = encoder(_drawn(target, root[some], _NOISE))
        error = ((curve(z) - target) * importance).square().sum(1).mean()
        unit = (z.std(0) - 1).square().sum() + z.mean(0).square().sum()
        return error + _SPREAD * unit

    minimise(loss, [{"params": [*encoder.parameters(), *curve.parameters()], "lr": _RATE}], _STEPS)


def _drawn(mean: Tensor, root: Tensor, share: float) -> Tensor:
    """Draw latents with a share of their posterior deviation."""
    return mean + share * (root @ torch.randn_like(mean)[..., None])[..., 0]
