"""Linear models of the two halves of the movies, and the prior from their agreement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.solver import LinearSolver
from temporem.physics.fsc import shell_correlation

_ALIGNED_RADIUS = 8  # cycles per box; components of the halves are aligned up to here
_LOW_SHELLS = 6
_LEAST, _MOST = 1e-4, 0.999


@dataclass(frozen=True)
class Halves:
    """Linear models of the even and of the odd movies.

    Attributes:
        volumes: μ, U_1 … U_q of each half, the second rotated onto the first,
            ``(2, q + 1, D', D', D')``.
        fsc: Fourier shell correlation of the halves, ``(n_shells, q + 1)``.
        noise: σ² of the residuals, mean of both halves, ``(n_shells,)``.
        precision: prior precision for a model of all movies with this noise,
            ``(n_shells, q + 1)``.
        posterior: latents of all frames, each from the model of its own half.
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
    """Fit each half on its own from common latents: two updates with an E-step between.

    A model of all movies has the signal-to-noise ratio ``SNR = 2 F / (1 − F)``, with F the FSC of
    the halves. Its Wiener prior has the precision ``w̄ / SNR`` (Scheres 2012), with w̄ the shell's
    mean of the weights ``Σ CTF² E[u²] / σ²``; σ² is the noise that the halves find, not the noise
    that was assumed.

    Args:
        solver: solver at the resolution of the result.
        parameters: first dynamics, noise and prior; volumes are not used.
        posterior: first latents, from low resolution, which both halves share.
        frames: the frames to fit.
        movies: rows of the movies; every other movie goes to the second half.
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
        _wiener_precision(weight, reliable),
        posteriors[0] + turned,
    )


def _fit_half(
    solver: LinearSolver,
    parameters: LinearParameters,
    posterior: Posterior,
    frames: Frames,
    movies: list[np.ndarray],
) -> tuple[Tensor, Posterior, Tensor, Tensor]:
    """Volumes, posterior, mean weights of shells ``(n_shells, q + 1)``, and noise of one half.

    Weights are those of the noise that was assumed. Sums are large, and not kept.
    """
    own = solver.update(parameters, solver.gather(parameters, posterior, frames.blocks(movies)))
    sums = solver.expect(own, frames.blocks(movies))
    i, j = torch.triu_indices(parameters.q + 1, parameters.q + 1)
    weights = solver.grid.shell_means(sums.normal[:, i == j])
    better = solver.update(own, sums)
    return better.volumes, sums.posterior, weights, better.noise


def agreed_precision(solver: LinearSolver, first: Tensor, second: Tensor, total: Sums) -> Tensor:
    """Compute the Wiener prior of volumes whose halves agree so far, ``(n_shells, q + 1)``.

    Args:
        solver: solver of all.
        first, second: grids of both halves' volumes, ``(V, q + 1)``.
        total: sums of both halves.
    """
    channels = first.shape[1]
    i, j = torch.triu_indices(channels, channels)
    weight = solver.grid.shell_means(total.normal[:, i == j])
    return _wiener_precision(weight, _reliable(_correlation(solver, first, second)))


def principal_axes(solver: LinearSolver, volumes: Tensor) -> Tensor:
    """Find the orthogonal M ``(q, q)`` that makes the components ``U Mᵀ`` orthogonal.

    The strongest component comes first. The prior N(0, 1) of ``M z`` is that of z. M is float64 and
    on the CPU, like latents.
    """
    rows = solver.grid.from_volumes(volumes)[:, 1:]
    gram = (rows.mH @ (rows * solver.grid.multiplicity[:, None])).real.double().cpu()
    _, vectors = torch.linalg.eigh(gram)
    return vectors.flip(1).mT


def _orthogonal_map(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The orthogonal R ``(q, q)`` that brings ``source R`` closest to the target.

    The solution of the orthogonal Procrustes problem (Schönemann 1966).
    """
    cross = (source.mH @ (target * weight[:, None])).real
    u, _, vh = torch.linalg.svd(cross)
    return u @ vh


def _wiener_precision(weight: Tensor, reliable: Tensor) -> Tensor:
    return weight * (1 - reliable) / (2 * reliable)


def _correlation(solver: LinearSolver, first: Tensor, second: Tensor) -> Tensor:
    means = solver.grid.shell_means
    cross = means((first.conj() * second).real)
    return shell_correlation(cross, means(first.abs().square()), means(second.abs().square()))


def _reliable(fsc: Tensor) -> Tensor:
    """Smooth the FSC for a prior, ``(n_shells, C)``, so that it never rises.

    Agreement beyond the first fall to noise is chance, or detail of the mean volume that leaks into
    a component with latents that happen to follow the pose.
    """
    smooth = fsc.clone()
    smooth[1:-1] = (fsc[:-2] + fsc[1:-1] + fsc[2:]) / 3
    smooth[: _LOW_SHELLS - 2] = smooth[:_LOW_SHELLS].amax(0)
    return smooth.cummin(0).values.clamp(_LEAST, _MOST)
