"""Parameters of the linear model, posteriors of its latents, and the sums of a pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.linear.dynamics import Dynamics, Moments

_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class LinearParameters:
    """Parameters of the linear model.

    Attributes:
        volumes: μ, U_1 … U_q: ``(q + 1, D', D', D')`` on the voxels of a :class:`PaddedGrid`.
        dynamics: dynamics of z.
        noise: σ² at integer radii, ``(n_shells,)``.
        precision: prior precision of the volumes per shell of the grid, ``(n_shells, q + 1)``;
            iterations leave it as it is.
    """

    volumes: Tensor
    dynamics: Dynamics
    noise: Tensor
    precision: Tensor

    @property
    def q(self) -> int:
        return len(self.volumes) - 1


@dataclass(frozen=True)
class Posterior:
    """Gaussian posterior of the latents of N frames, float64, on the CPU.

    Attributes:
        mean: ``(N, q)``.
        covariance: ``(N, q, q)``.
        lag: covariance with the frame before in the movie, ``Cov(z_t, z_{t−1})``, ``(N, q, q)``; 0
            at first frames.
    """

    mean: Tensor
    covariance: Tensor
    lag: Tensor

    @classmethod
    def of_points(cls, mean: Tensor) -> Posterior:
        """The posterior of latents ``(N, q)`` that are known exactly."""
        zero = mean.new_zeros(*mean.shape, mean.shape[1])
        return cls(mean, zero, zero)

    def __getitem__(self, rows: Tensor) -> Posterior:
        return Posterior(self.mean[rows], self.covariance[rows], self.lag[rows])

    def transformed(self, matrix: Tensor) -> Posterior:
        """The posterior of ``M z``."""
        return Posterior(
            self.mean @ matrix.mT,
            matrix @ self.covariance @ matrix.mT,
            matrix @ self.lag @ matrix.mT,
        )

    def __add__(self, other: Posterior) -> Posterior:
        """The posterior of two sets of movies; each is 0 in frames of the other."""
        return Posterior(
            self.mean + other.mean, self.covariance + other.covariance, self.lag + other.lag
        )


@dataclass
class Sums:
    """Sums of one pass over frames, for K = q + 1 channels.

    Attributes:
        posterior: latents of the frames that were passed; 0 for others.
        moments: moments of neighbouring frames.
        voxels: ``(V, 2K + K (K + 1) / 2)``: the gradient of the log-likelihood by the grid of every
            channel, real and imaginary part, and ``Σ CTF²/σ² E[u uᵀ]``, u = (1, z), by pairs.
        residual_power: ``Σ E|y − CTF P V|²`` at integer radii, and the number of its terms,
            ``(2, n_shells)``.
        log_likelihood: log-likelihood of the movies with latents integrated out, nats.
        penalty: ``½ Σ precision |G|²`` of the volumes' grid G.
    """

    posterior: Posterior
    moments: Moments
    voxels: Tensor
    residual_power: Tensor
    log_likelihood: float = 0.0
    penalty: float = 0.0

    @property
    def objective(self) -> float:
        """The penalised log-likelihood, which the iterations maximise."""
        return self.log_likelihood - self.penalty

    def noise_or(self, noise: Tensor) -> Tensor:
        """σ² of the residuals, ``(n_shells,)``; the given σ² in shells without any."""
        power, count = self.residual_power
        found = torch.where(count > 0, power / count.clamp(min=1), noise)
        return found.clamp(min=_LEAST_NOISE).to(noise)

    def __add__(self, other: Sums) -> Sums:
        """The sums of two sets of movies that have no movie in common."""
        return Sums(
            self.posterior + other.posterior,
            self.moments + other.moments,
            self.voxels + other.voxels,
            self.residual_power + other.residual_power,
            self.log_likelihood + other.log_likelihood,
            self.penalty + other.penalty,
        )

    @property
    def gradient(self) -> Tensor:
        """Gradient of the log-likelihood by the grid of every channel, complex ``(V, K)``."""
        channels = self.posterior.mean.shape[1] + 1
        real = self.voxels[:, : 2 * channels].unflatten(1, (channels, 2))
        return torch.view_as_complex(real.contiguous())

    @property
    def normal(self) -> Tensor:
        """Normal matrices, ``(V, K (K + 1) / 2)``, in the order of :func:`torch.triu_indices`."""
        return self.voxels[:, 2 * (self.posterior.mean.shape[1] + 1) :]
