"""A test for motion: two halves of the movies, fitted separately, must find the same components.

The half sets of :mod:`temporem.linear.half_sets` start from latents of all movies, so they agree at
low resolution even if these latents follow noise. The halves here share nothing. Their components
span two spaces, which are compared by principal angles (Björck and Golub 1973). Volumes at low
resolution always resemble one another. Agreement by chance is therefore measured with one half
turned into every other orientation of a cube: its volumes keep their power but have no reason to
agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch
from torch import Tensor

from temporem.frames.statistics import SpectralPrior
from temporem.linear.cross_fit import CoarseFit, cross_fit, initial_parameters
from temporem.physics.padded_grid import PaddedGrid

LEAST_MOVIES = 4
_DEVIATIONS = 3  # above the mean of chance; what is below counts as chance


@dataclass(frozen=True)
class HalfAgreement:
    """Agreement of two spaces of q components; float64 ``(q,)`` each, falling.

    Attributes:
        correlations: cosines of the principal angles between the spaces.
        chance: mean of these cosines over the other orientations of one half.
        chance_sd: standard deviation of these cosines.
    """

    correlations: Tensor
    chance: Tensor
    chance_sd: Tensor

    @property
    def n_found(self) -> int:
        """Number m of directions that both halves have found.

        The m-th cosine is the last one above chance. Earlier cosines may lie within chance: a
        molecule that resembles itself in another orientation raises the chance level.
        """
        beyond = (self.correlations > self.chance + _DEVIATIONS * self.chance_sd).nonzero()
        return int(beyond.max()) + 1 if len(beyond) else 0


def half_agreement(
    fit: CoarseFit, movies: list[np.ndarray], prior: SpectralPrior, *, temporal: bool, seed: int
) -> HalfAgreement:
    """Fit each half of the movies at low resolution and compare what they find.

    Args:
        fit: fit of all movies; only its frames, grid and number of components are used.
        movies: rows of the movies; every other movie goes to the second half. At least
            :data:`LEAST_MOVIES`.
        prior, temporal, seed: see :func:`temporem.linear.cross_fit.fit_coarse`.
    """
    first = initial_parameters(fit.solver, fit.parameters.q, prior, temporal=temporal)
    one, other = (
        cross_fit(fit.solver, fit.frames, half, first, seed).volumes[1:]
        for half in (movies[0::2], movies[1::2])
    )
    return compare(fit.solver.grid, one, other)


def compare(grid: PaddedGrid, one: Tensor, other: Tensor) -> HalfAgreement:
    """Measure the agreement of components ``(q, D', D', D')`` of two halves."""
    basis = _orthonormal(grid, one)

    def correlations(volumes: Tensor) -> Tensor:
        return torch.linalg.svdvals(basis.mT @ _orthonormal(grid, volumes)).cpu()

    chance = torch.stack([correlations(turned) for turned in _other_orientations(other)])
    return HalfAgreement(correlations(other), chance.mean(0), chance.std(0))


def _orthonormal(grid: PaddedGrid, volumes: Tensor) -> Tensor:
    """An orthonormal basis of the volumes' span, real vectors over the Fourier grid ``(2V, q)``."""
    rows = grid.from_volumes(volumes) * grid.multiplicity[:, None].sqrt()
    return torch.linalg.qr(torch.view_as_real(rows).transpose(1, 2).flatten(0, 1).double()).Q


def _other_orientations(volumes: Tensor) -> Iterator[Tensor]:
    """The 47 rotations and reflections of a cube, about the origin at ``D // 2``."""
    for order, signs in product(permutations((1, 2, 3)), product((1, -1), repeat=3)):
        axes = [axis for axis, sign in enumerate(signs, start=1) if sign < 0]
        if axes or order != (1, 2, 3):
            turned = volumes.permute(0, *order)
            yield turned.flip(axes).roll([1] * len(axes), axes) if axes else turned
