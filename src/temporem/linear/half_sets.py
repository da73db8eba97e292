"""Two linear models of half of the movies each, and what their agreement says about the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.linear.model import LinearParameters, Posterior
from temporem.linear.solver import LinearSolver
from temporem.physics.fsc import shell_correlation

_ALIGNED_RADIUS = 8  # cycles per box in which components of the halves are turned onto another
_LOW_SHELLS = 6
_LEAST, _MOST = 1e-4, 0.999


@dataclass(frozen=True)
class Halves:
    """Linear models of the even and of the odd movies.

    Attributes:
        volumes: μ, U_1 … U_q of either half, the second turned onto the first,
            ``(2, q + 1, D', D', D')``.
        fsc: Fourier shell correlation of the two, ``(n_shells, q + 1)``.
        noise: σ² of what either leaves unexplained, their mean, ``(n_shells,)``.
        precision: what the prior of a model of all movies with this noise should be,
            ``(n_shells, q + 1)``.
        posterior: of all frames, each by the model of its own half.
    """

    volumes: Tensor
    fsc: Tensor
    noise: Tensor
    precision: Tensor
    posterior: Posterior


def fit_halves(
    solver: LinearSolver,
    parameters: LinearParameters,
    posterior: Posterior,
    frames: Frames,
    movies: list[np.ndarray],
) -> Halves:
    """Fit either half on its own, from a common start: two updates with an E-step between.

    With ``F`` the correlation of the halves, a model of all movies has the signal-to-noise ratio
    ``2 F / (1 − F)``, and its prior the precision ``w̄ / SNR``, w̄ the mean weight of the shell,
    ``Σ CTF² E[u²] / σ²``, with the noise that the halves find and not what was assumed.

    Args:
        solver: at the resolution that is wanted.
        parameters: dynamics, noise and prior to begin with; volumes are not looked at.
        posterior: coordinates to begin with, at a resolution that both halves share.
        frames: what is fitted.
        movies: every other one goes to the second half.
    """
    grid = solver.grid
    volumes, posteriors, weights, noises = zip(
        *(
            _fit_half(solver, parameters, posterior, frames, half)
            for half in (movies[0::2], movies[1::2])
        ),
        strict=True,
    )
    first, second = (grid.from_volumes(v) for v in volumes)
    low = grid.multiplicity * (grid.radii <= _ALIGNED_RADIUS)
    turn = _orthogonal_map(second[:, 1:], first[:, 1:], low)
    second[:, 1:] = second[:, 1:] @ turn.to(second.dtype)
    volumes[1][1:] = torch.einsum("izyx,ij->jzyx", volumes[1][1:], turn)
    fsc = _correlation(solver, first, second)
    reliable = _reliable(fsc)
    noise = (noises[0] + noises[1]) / 2
    weight = (weights[0] + weights[1]) * (parameters.noise / noise)[:, None]
    # V = Σ z_i U_i = Σ (Rᵀz)_j (U R)_j
    turned = posteriors[1].transformed(turn.mT.double().cpu())
    return Halves(
        torch.stack(volumes),
        fsc,
        noise,
        weight * (1 - reliable) / (2 * reliable),
        posteriors[0] + turned,
    )


def _fit_half(
    solver: LinearSolver,
    parameters: LinearParameters,
    posterior: Posterior,
    frames: Frames,
    movies: list[np.ndarray],
) -> tuple[Tensor, Posterior, Tensor, Tensor]:
    """Volumes, posterior, mean weights of shells ``(n_shells, q + 1)`` as assumed, and noise.

    Sums are large; none is kept longer than it is needed.
    """
    own = solver.update(parameters, solver.gather(parameters, posterior, frames.blocks(movies)))
    sums = solver.expect(own, frames.blocks(movies))
    i, j = torch.triu_indices(parameters.q + 1, parameters.q + 1)
    weights = solver.grid.shell_means(sums.normal[:, i == j])
    better = solver.update(own, sums)
    return better.volumes, sums.posterior, weights, better.noise


def principal_axes(solver: LinearSolver, volumes: Tensor) -> Tensor:
    """Orthogonal M ``(q, q)`` so that components of ``M z`` are uncorrelated and ordered.

    Components become ``U Mᵀ``; the prior N(0, 1) of z is the same in all such coordinates. M is
    float64 and on the CPU, as coordinates are.
    """
    rows = solver.grid.from_volumes(volumes)[:, 1:]
    gram = (rows.mH @ (rows * solver.grid.multiplicity[:, None])).real.double().cpu()
    _, vectors = torch.linalg.eigh(gram)
    return vectors.flip(1).mT


def _orthogonal_map(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The rotation R ``(q, q)`` that brings ``source R`` closest to the target (Procrustes)."""
    cross = (source.mH @ (target * weight[:, None])).real
    u, _, vh = torch.linalg.svd(cross)
    return u @ vh


def _correlation(solver: LinearSolver, first: Tensor, second: Tensor) -> Tensor:
    means = solver.grid.shell_means
    cross = means((first.conj() * second).real)
    return shell_correlation(cross, means(first.abs().square()), means(second.abs().square()))


def _reliable(fsc: Tensor) -> Tensor:
    """The correlation as a prior may use it, ``(n_shells, C)``: smooth, and never rising again.

    Beyond the first fall to noise, agreement is chance, or the mean volume's own detail that leaks
    into a component whose coordinates happen to follow the pose.
    """
    smooth = fsc.clone()
    smooth[1:-1] = (fsc[:-2] + fsc[1:-1] + fsc[2:]) / 3
    smooth[: _LOW_SHELLS - 2] = smooth[:_LOW_SHELLS].amax(0)
    return smooth.cummin(0).values.clamp(_LEAST, _MOST)
