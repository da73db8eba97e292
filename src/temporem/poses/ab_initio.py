"""A first volume from images alone: expectation–maximisation over all poses at low resolution.

The method is the regularised likelihood of RELION (Scheres 2012): every frame keeps a posterior
over a grid of rotations and shifts, and the volume is the Wiener-filtered back-projection of all
frames, each from all its poses at once.

- E: ``γ_nmt ∝ exp(log p(X_n | R_m, d_t, V)) p(d_t)``
- M: ``V̂ = (Σ γ_nmt P_mᵀ CTF_n S_t* X_n) / (Σ γ_nm P_mᵀ CTF_n² + 1/τ²)``

Both are matrix products (:mod:`temporem.poses.scores`). Round by round, more frequencies are used
and the grid of rotations becomes finer. The grid is turned at random in every round, so that it
leaves no trace. The result depends on the start, so the likeliest volume of several random starts
is kept. Its hand is random, because projections do not show it.

Starts have nothing in common but the images, so poses that several of them give a frame come from
the images. The part of the frames with such poses (:func:`frames_alike`) tells whether poses were
found at all. Neither likelihoods nor half sets do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.masks import window_ball
from temporem.physics.orientations import even_rotations
from temporem.physics.padded_grid import grid_below
from temporem.physics.rotations import geodesic_degrees, random_rotations
from temporem.poses.alignment import align_rotations
from temporem.poses.scores import (
    Slices,
    grid_scores,
    shift_grid,
    shifted_images,
    slice_volume,
)
from temporem.poses.symmetry import Symmetry
from temporem.volumes.back_projection import BackProjection

ALIKE_DEGREES = 20.0
"""Largest angle at which two starts agree on a frame; the last grid's spacing is 11°."""

LEAST_ALIKE = 0.5
"""Fraction of the frames on which two starts must agree for poses to count as found."""

_ENTRIES = 2**22  # scores in a block; bounds memory
_FAINTEST = -60.0  # nats below the likeliest pose: next to nothing, and not yet denormal, i.e. slow


@dataclass(frozen=True)
class Round:
    """One iteration: its frequencies, below ``radius`` cycles per box, and its grid's spacing."""

    radius: float
    spacing_degrees: float


ROUNDS = (*[Round(4, 18)] * 15, *[Round(5, 15)] * 8, *[Round(6, 13)] * 5, *[Round(8, 11)] * 3)
"""Rounds of every random start. At 5 cycles per box a volume that takes a motion for poses may
still be the likelier one."""


@dataclass(frozen=True)
class Expected:
    """Result of one iteration with N frames.

    Attributes:
        volume: next volume, ``(D', D', D')`` on the round's grid.
        log_evidence: log-evidence of a frame under the volume that was given, mean over frames.
        rotations: each frame's likeliest rotation of the grid, summed over shifts, ``(N, 3, 3)``.
    """

    volume: Tensor
    log_evidence: float
    rotations: Tensor


@dataclass(frozen=True)
class AbInitio:
    """Expectation–maximisation over poses.

    Attributes:
        model: image formation.
        images: lowest frequencies of N roughly centred frames with unit noise, ``(N, P)``.
        ctf: CTF, ``(N, P)``.
        power: prior power τ² of slices at integer radii, ``(R,)``.
        shift_sd_angstrom: standard deviation of the Gaussian prior of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
    """

    model: ForwardModel
    images: Tensor
    ctf: Tensor
    power: Tensor
    shift_sd_angstrom: float
    window_radius: float

    def first_volume(self, radius: float, seed: int) -> Tensor:
        """Back-project the frames in random poses, which gives a random blob: ``(D', D', D')``."""
        generator = torch.Generator().manual_seed(seed)
        rotations = random_rotations(len(self.images), generator).float()
        n = self._n_pixels(radius)
        grid = grid_below(self.model.box, radius)
        sums = BackProjection(grid)
        points = self.model.slice_frequencies(rotations, slice(0, n))
        sums.add(self.images[:, :n], self.ctf[:, :n], points)
        return self._solve(sums)

    def iterate(self, volume: Tensor, step: Round, seed: int) -> Expected:
        """Take one round from a volume on any coarse grid."""
        n, grid = self._n_pixels(step.radius), grid_below(self.model.box, step.radius)
        generator = torch.Generator().manual_seed(seed)
        rotations = (even_rotations(step.spacing_degrees) @ random_rotations(1, generator)).float()
        shifts, prior = shift_grid(self.model, self.shift_sd_angstrom, step.radius)
        rows = grid.from_volumes(resized(volume[None], grid.box))
        slices = Slices.of(
            slice_volume(self.model, grid, rows, rotations, n), self.model.support.weights[:n]
        )
        phases = self.model.shift_phase(shifts)[:, :n]
        m = len(rotations)
        image_sums, weight_sums = torch.zeros(m, 2 * n), torch.zeros(m, n)
        evidence, likeliest = 0.0, []
        for block in self._blocks(len(shifts) * m):
            images, ctf = self.images[block, :n], self.ctf[block, :n]
            shifted, squares = shifted_images(images, ctf, phases), ctf.square()
            scores = grid_scores(shifted, squares, slices) + prior[:, None]
            flat = scores.flatten(1)
            largest = flat.amax(1, keepdim=True)
            flat.sub_(largest).clamp_(min=_FAINTEST).exp_()
            total = flat.sum(1, keepdim=True)
            evidence += float((largest + total.log() - math.log(m)).sum(dtype=torch.float64))
            posterior = flat.div_(total).view_as(scores)
            image_sums += posterior.flatten(0, 1).T @ shifted.flatten(0, 1)
            of_rotations = posterior.sum(1)
            weight_sums += of_rotations.T @ squares
            likeliest.append(of_rotations.argmax(1))
        sums = BackProjection(grid)
        values = torch.view_as_complex(image_sums.view(m, n, 2))
        sums.add_sums(values, weight_sums, self.model.slice_frequencies(rotations, slice(0, n)))
        return Expected(
            volume=self._solve(sums),
            log_evidence=evidence / len(self.images),
            rotations=rotations[torch.cat(likeliest)],
        )

    def _n_pixels(self, radius: float) -> int:
        return int((self.model.support.radii < radius).sum())

    def _solve(self, sums: BackProjection) -> Tensor:
        box = sums.grid.box
        return sums.solve_with_power(self.power) * window_ball(box, self.window_radius)

    def _blocks(self, entries_a_frame: int) -> Iterator[slice]:
        step = max(1, _ENTRIES // entries_a_frame)
        return (slice(i, i + step) for i in range(0, len(self.images), step))


def frames_alike(starts: Tensor, chosen: int, found: Tensor, symmetry: Symmetry) -> float:
    """Fraction of N frames on whose poses another start agrees with the chosen one.

    The other start that agrees best counts. Each start is first brought into the reference frame
    and hand of the chosen one, as a whole. Where the molecule is symmetric, turns about its axis
    mean nothing, and only the direction of the axis is compared.

    Args:
        starts: rotations that S starts have found, ``(S, N, 3, 3)``; S is 2 or more.
        chosen: start that the search went on from.
        found: rotations in the end, float64 ``(N, 3, 3)``, in whose reference frame the axis is.
        symmetry: symmetry of the volume found.
    """
    mine = align_rotations(starts[chosen].double(), found)
    axis = torch.tensor(symmetry.axis, dtype=torch.float64)
    parts = []
    for other in [*starts[:chosen], *starts[chosen + 1 :]]:
        theirs = align_rotations(other.double(), mine)
        if symmetry.order == 1:
            apart = geodesic_degrees(theirs, mine)
        else:
            cosine = ((theirs @ axis) * (mine @ axis)).sum(-1)
            apart = torch.rad2deg(
                (cosine.abs() if symmetry.dihedral else cosine).clamp(-1, 1).acos()
            )
        parts.append(float((apart < ALIKE_DEGREES).double().mean()))
    return max(parts)
