"""A linear model of conformations at low resolution: where the networks start from.

``V = μ + Σ_j z_j U_j`` with ``z ~ N(0, 1)`` for every frame (probabilistic principal components of
volumes), fitted by expectation–maximisation. Every step is closed form, so that the few components
in which frames differ are found in seconds; a network trained from random weights may find them
late, or settle on fitting noise instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.models.voxels import PADDING, grid_radii, insert_symmetric
from temporem.physics.forward import ForwardModel
from temporem.physics.slicing import extract_slices

_STARTS = 4
_TRIAL_ITERATIONS = 10
_ITERATIONS = 30


@dataclass(frozen=True)
class LinearPosterior:
    """Posterior of the coordinates of N frames in a linear model.

    Attributes:
        mean: ``(N, q)``.
        variance: diagonal of the posterior covariance, ``(N, q)``.
        log_likelihood: of all frames after each iteration, relative to the mean volume alone, nats.
    """

    mean: Tensor
    variance: Tensor
    log_likelihood: list[float]


class LinearModel:
    """Expectation–maximisation for ``r = CTF P Σ_j z_j U_j + noise`` with unit noise.

    Args:
        forward_model: image formation.
        residuals: images less the projection of the mean volume, ``(N, P)``; only frequencies up to
            ``radius`` are read.
        contrast: CTF ``(N, P)``.
        rotations: molecule to camera, ``(N, 3, 3)``.
        z_dim: number of components q.
        radius: highest frequency, cycles per box.
        prior_power: ``E|U(k)|²`` a priori at integer radii 0 … radius + 1 at least.
    """

    def __init__(
        self,
        forward_model: ForwardModel,
        residuals: Tensor,
        contrast: Tensor,
        rotations: Tensor,
        z_dim: int,
        radius: int,
        prior_power: Tensor,
    ) -> None:
        n_pixels = int((forward_model.support.radii <= radius).sum())
        self.z_dim = z_dim
        self.box = 2 * (radius + 2)  # coarse voxels hold frequencies up to the radius
        self.weights = forward_model.support.weights[:n_pixels]
        self.residuals = residuals[:, :n_pixels]
        self.contrast = contrast[:, :n_pixels]
        self.frequencies = forward_model.slice_frequencies(rotations, n_pixels)
        radii = grid_radii(self.box)
        self.inside = radii <= radius
        self.prior_precision = 1 / prior_power[radii.round().long().clamp(max=radius + 1)]

    def fit(self, generator: torch.Generator) -> LinearPosterior:
        """Posterior of all frames, from the best of several random starts."""
        trials = []
        for _ in range(_STARTS):
            start = torch.randn(len(self.residuals), self.z_dim, generator=generator)
            trials.append(self._iterate(start, _TRIAL_ITERATIONS))
        best = max(trials, key=lambda trial: trial.log_likelihood[-1])
        final = self._iterate(best.mean, _ITERATIONS)
        return LinearPosterior(
            final.mean, final.variance, best.log_likelihood + final.log_likelihood
        )

    def _iterate(self, z: Tensor, iterations: int) -> LinearPosterior:
        covariance = torch.zeros(len(z), self.z_dim, self.z_dim)
        history = []
        for _ in range(iterations):
            components = self._maximise(z, covariance)
            z, covariance, likelihood = self._expect(components)
            history.append(likelihood)
        return LinearPosterior(z, covariance.diagonal(dim1=-2, dim2=-1), history)

    def _expect(self, components: Tensor) -> tuple[Tensor, Tensor, float]:
        """``Σ = (J + 1)⁻¹, z = Σ h`` with ``J = Re HᴴH``, ``h = Re Hᴴr``, ``H_j = CTF P U_j``."""
        slices = torch.stack(
            [extract_slices(u, self.frequencies * PADDING) for u in components], dim=-1
        )
        design = slices * (self.contrast * self.weights.sqrt())[..., None]
        data = self.residuals * self.weights.sqrt()
        precision = (design.mH @ design).real + torch.eye(self.z_dim)
        score = (design.mH @ data[..., None]).real
        covariance = torch.linalg.inv(precision)
        z = (covariance @ score).squeeze(-1)
        gain = 0.5 * (score.squeeze(-1) * z).sum() - 0.5 * torch.logdet(precision).sum()
        return z, covariance, float(gain)

    def _maximise(self, z: Tensor, covariance: Tensor) -> Tensor:
        """Components ``(q, E, E, E)`` by least squares in every voxel, ``(A + 1/τ²) U = b``.

        ``A = Σ Pᵀ CTF² E[zzᵀ]``, ``b = Σ Pᵀ CTF r E[z]``, τ² the prior power of the shell.
        """
        q = self.z_dim
        second = covariance + z[:, :, None] * z[:, None, :]
        normal = torch.zeros(*self.inside.shape, q, q)
        right = torch.zeros(*self.inside.shape, q, dtype=torch.complex64)
        squares = self.contrast.square()

        def insert(values: Tensor) -> Tensor:
            return insert_symmetric(values, self.frequencies, self.box)

        for i in range(q):
            right[..., i] = insert(self.residuals * self.contrast * z[:, i, None])
            for j in range(i, q):
                normal[..., i, j] = normal[..., j, i] = insert(squares * second[:, i, j, None])
        normal += self.prior_precision[..., None, None] * torch.eye(q)
        solved = (torch.linalg.inv(normal).to(right.dtype) @ right[..., None]).squeeze(-1)
        return torch.where(self.inside[..., None], solved, 0).movedim(-1, 0).contiguous()
