"""Statements of single frames, from posteriors that all frames of a movie share.

A smoothed posterior holds the frames before and after. Whoever estimates rates from it counts the
smoothing as slowness. So the dynamics that smoothed the latents are divided out again.

The posterior of a chain has the precision ``Λ = Λ₀ + diag(J_1 … J_T)``, where Λ₀ is that of the
prior and J_t what frame t adds. Off the diagonal, Λ is the prior's ``−B = −Aᵀ Q⁻¹``, a known one.
The covariance of two neighbouring frames thus has known marginals P₁, P₂ and a known off-diagonal
block of its inverse. It has a closed form, the one of the Schrödinger bridge between Gaussians
(Janati et al. 2020): with ``Y = P₁^½ B P₂^½`` and its singular values y,

``Cov(z₁, z₂) = P₁^½ X P₂^½``, X like Y with singular values ``x = (√(1 + 4y²) − 1) / 2y``.

All blocks of Λ follow, and with them ``J_t = Λ_tt − Λ₀_tt`` and ``h = Λ m``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from temporem.linear.dynamics import Transitions


def information_alone(
    mean: Tensor, covariance: Tensor, transitions: Transitions
) -> tuple[Tensor, Tensor]:
    """Divide the prior out of the smoothed posterior of one movie.

    It is the inverse of :func:`temporem.linear.smoother.smooth`.

    Args:
        mean: posterior means of T frames in order of time, float64 ``(T, q)``.
        covariance: posterior covariances, ``(T, q, q)``.
        transitions: from every frame to the next, ``(T − 1, q, q)``; the prior of the first frame
            is N(0, 1).

    Returns:
        Information J ``(T, q, q)``, positive semi-definite, and score h ``(T, q)``, so that frame
        t alone has the likelihood ``exp(hᵀz − ½ zᵀJz)``.
    """
    n, q = mean.shape
    one = torch.eye(q, dtype=torch.float64)
    mean, covariance = mean.double(), covariance.double() + 1e-12 * one
    inverse = torch.linalg.inv(covariance)
    posterior, score = inverse.clone(), (inverse @ mean[..., None]).squeeze(-1)
    prior = one.repeat(n, 1, 1)
    if n > 1:
        link = transitions.matrix.mT @ torch.linalg.inv(transitions.noise)  # B
        root = _root(covariance)
        before, after = root[:-1], root[1:]
        u, y, vh = torch.linalg.svd(before @ link @ after)
        x = 2 * y / (1 + (1 + 4 * y.square()).sqrt())
        # (1 − X Xᵀ)⁻¹ and (1 − Xᵀ X)⁻¹, whose excess over 1 is x² / (1 − x²) = x y.
        first = torch.linalg.solve(before, (u * (x * y)[:, None]) @ u.mT) @ torch.linalg.inv(before)
        second = torch.linalg.solve(after, (vh.mT * (x * y)[:, None]) @ vh) @ torch.linalg.inv(
            after
        )
        posterior[:-1] += first
        posterior[1:] += second
        score[:-1] += (first @ mean[:-1, :, None] - link @ mean[1:, :, None]).squeeze(-1)
        score[1:] += (second @ mean[1:, :, None] - link.mT @ mean[:-1, :, None]).squeeze(-1)
        prior[1:] = torch.linalg.inv(transitions.noise)
        prior[:-1] += link @ transitions.matrix
        # The first frame has the prior N(0, 1) besides; later ones have only their transitions.
    found = posterior - prior
    values, vectors = torch.linalg.eigh((found + found.mT) / 2)
    return (vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT, score


def along_axis(information: Tensor, score: Tensor, axis: Tensor) -> tuple[Tensor, Tensor]:
    """Information of frames about ``x = aᵀz`` alone; other directions have the prior N(0, 1).

    Args:
        information: J, ``(N, q, q)``.
        score: h, ``(N, q)``.
        axis: a, a unit vector ``(q,)``.

    Returns:
        Information ``(N,)`` and score ``(N,)`` of x.
    """
    one = torch.eye(len(axis), dtype=torch.float64)
    covariance = torch.linalg.inv(information + one)
    mean = (covariance @ score[..., None]).squeeze(-1) @ axis
    variance = torch.einsum("i,nij,j->n", axis, covariance, axis)
    return (1 / variance - 1).clamp(min=0), mean / variance


def _root(matrix: Tensor) -> Tensor:
    """Symmetric square root of positive definite matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=1e-12).sqrt()[..., None, :]) @ vectors.mT
