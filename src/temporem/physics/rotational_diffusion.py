"""Rotational diffusion: how far a molecule has turned after some time.

In every instant dt the molecule turns by ``R' = exp([w]×) R``, with independent components of w of
variance ``2 D dt``. After the time Δt, with τ = D Δt and θ the angle of ``R' Rᵀ``, its orientation
has a density relative to uniform orientations, the heat kernel of SO(3) (Furry 1957):

``K_τ(θ) = Σ_l (2l + 1) exp(−l (l + 1) τ) sin((l + ½) θ) / sin(θ / 2)``

It tends to 1 as τ → ∞. For small τ it is a Gaussian of the rotation vector with variance 2τ about
each axis, and Poisson summation gives a form of which a few terms suffice:

``K_τ(θ) = ½ √π exp(τ / 4) τ^(−3/2) Σ_m (−1)^m (θ − 2πm) exp(−(θ − 2πm)² / 4τ) / sin(θ / 2)``
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SERIES_FROM = 1.0  # τ; both forms are exact to rounding there
_DEGREES = 12  # terms of the first form
_TURNS = (-2, -1, 1, 2)  # m of the second form, besides 0
_LEAST_ANGLE = 1e-4


def log_diffusion_density(angle: Tensor, tau: Tensor) -> Tensor:
    """Log-density ``log K_τ(θ)`` relative to uniform poses.

    Args:
        angle: θ, radians from 0 to π.
        tau: ``D Δt``, radians², above 0; shapes broadcast.
    """
    angle, tau = torch.broadcast_tensors(angle.clamp(min=_LEAST_ANGLE), tau)
    result, wide = _narrow(angle, tau.clamp(max=_SERIES_FROM)), tau >= _SERIES_FROM
    if wide.any():
        result[wide] = _wide(angle[wide], tau[wide])
    return result


def _narrow(angle: Tensor, tau: Tensor) -> Tensor:
    """Log-density by the sum over m, relative to the term m = 0 so that it does not underflow."""
    others = torch.zeros_like(angle)
    for m in _TURNS:
        exponent = math.pi * m * (angle - math.pi * m) / tau
        others += (-1) ** m * (1 - 2 * math.pi * m / angle) * exponent.exp()
    half = angle / 2
    constant = 0.5 * math.log(math.pi) + tau / 4 - 1.5 * tau.log()
    shape = (half / half.sin()).log() - angle.square() / (4 * tau)
    return constant + shape + torch.log1p(others.clamp(min=-1 + 1e-12))


def _wide(angle: Tensor, tau: Tensor) -> Tensor:
    """Log-density by the sum over l."""
    degree = torch.arange(_DEGREES, dtype=angle.dtype, device=angle.device)
    terms = (2 * degree + 1) * (-degree * (degree + 1) * tau[..., None]).exp()
    waves = ((degree + 0.5) * angle[..., None]).sin() / (angle / 2).sin()[..., None]
    return (terms * waves).sum(-1).clamp(min=1e-12).log()
