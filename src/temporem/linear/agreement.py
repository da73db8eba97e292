"""Agreement of two halves of the movies, each fitted on its own: is a motion there?

The half maps of a linear model begin at coordinates that all movies gave, and so agree at low
resolution even where these followed noise. Here nothing is shared. As few volumes are alike at
low resolution in any case, agreement is compared with what chance makes of it: with one half turned
into every other orientation of a cube, where its volumes have the same power and no reason to
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
_DEVIATIONS = 3  # above the mean of chance, where agreement is none


@dataclass(frozen=True)
class HalfAgreement:
    """Agreement of the spaces that the components of two halves span: float64 ``(q,)``, falling.

    Attributes:
        correlations: cosines of the principal angles between them.
        chance: mean of the same over the other orientations of one half.
        chance_sd: and its standard deviation.
    """

    correlations: Tensor
    chance: Tensor
    chance_sd: Tensor

    @property
    def n_found(self) -> int:
        """How many directions both halves have found: up to the last that is beyond chance.

        Where the m-th is, the spaces have m directions in common, whatever chance makes of the
        others: of a molecule that resembles itself in another orientation it makes much.
        """
        beyond = (self.correlations > self.chance + _DEVIATIONS * self.chance_sd).nonzero()
        return int(beyond.max()) + 1 if len(beyond) else 0


def half_agreement(
    fit: CoarseFit, movies: list[np.ndarray], prior: SpectralPrior, *, temporal: bool, seed: int
) -> HalfAgreement:
    """Fit either half of the movies at low resolution and compare what they find.

    Args:
        fit: of all movies, which gives frames, grid and number of components, and nothing else.
        movies: every other one goes to the second half; at least :data:`LEAST_MOVIES`.
        prior, temporal, seed: as in :func:`temporem.linear.cross_fit.fit_coarse`.
    """
    first = initial_parameters(fit.solver, fit.parameters.q, prior, temporal=temporal)
    one, other = (
        cross_fit(fit.solver, fit.frames, half, first, seed).volumes[1:]
        for half in (movies[0::2], movies[1::2])
    )
    return compare(fit.solver.grid, one, other)


def compare(grid: PaddedGrid, one: Tensor, other: Tensor) -> HalfAgreement:
    """The agreement of components ``(q, D', D', D')`` of two halves."""
    basis = _orthonormal(grid, one)

    def correlations(volumes: Tensor) -> Tensor:
        return torch.linalg.svdvals(basis.mT @ _orthonormal(grid, volumes)).cpu()

    chance = torch.stack([correlations(turned) for turned in _other_orientations(other)])
    return HalfAgreement(correlations(other), chance.mean(0), chance.std(0))


def _orthonormal(grid: PaddedGrid, volumes: Tensor) -> Tensor:
    """A basis of what the volumes span, as real vectors over the Fourier grid: ``(2V, q)``."""
    rows = grid.from_volumes(volumes) * grid.multiplicity[:, None].sqrt()
    return torch.linalg.qr(torch.view_as_real(rows).transpose(1, 2).flatten(0, 1).double()).Q


def _other_orientations(volumes: Tensor) -> Iterator[Tensor]:
    """The 47 rotations and reflections of a cube, about the origin at ``D // 2``."""
    for order, signs in product(permutations((1, 2, 3)), product((1, -1), repeat=3)):
        axes = [axis for axis, sign in enumerate(signs, start=1) if sign < 0]
        if axes or order != (1, 2, 3):
            turned = volumes.permute(0, *order)
            yield turned.flip(axes).roll([1] * len(axes), axes) if axes else turned
