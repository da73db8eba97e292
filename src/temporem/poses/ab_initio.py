"""A first volume from images alone: expectation–maximisation over all poses at low resolution.

The method is the regularised likelihood of RELION (Scheres 2012): every frame keeps a posterior
over a grid of rotations and shifts, and the volume is the Wiener-filtered back-projection of all
frames, each from all its poses at once.

- E: ``γ_nmt ∝ exp(log p(X_n | R_m, d_t, V)) p(d_t)``
- M: ``V̂ = (Σ γ_nmt P_mᵀ CTF_n S_t* X_n) / (Σ γ_nm P_mᵀ CTF_n² + 1/τ²)``

Both are matrix products (:mod:`temporem.poses.scores`). Round by round, more frequencies are used
and the grid of rotations becomes finer. The grid is turned at random in every round, so that it
leaves no trace. At a low signal the posteriors are broad, and each iteration gains little. So every
step adds half of the step before (heavy ball, Polyak 1964), and frequencies up to 8 cycles per box
are used for most rounds: below 6 a noisy frame does not tell its pose.

Frames of a movie follow one another. Where molecules turn little from frame to frame, posteriors
come from the whole movie (:mod:`temporem.poses.grid_chain`). The first start tries it. If after two
fifths of its rounds unlinked poses have more evidence, it begins again without links, and so do all
others. Else the turn is made larger while that raises the gain of links by two fifths. It begins at
the smallest, because poses in an unfinished volume scatter more than molecules turn.

The hand of the result is random, because projections do not show it. Starts have nothing in common
but the images, so poses that several of them give a frame come from the images. The part of the
frames with such poses (:func:`frames_alike`) tells whether poses were found at all. Neither
likelihoods nor half sets do. Starts are taken until two of them agree; the likeliest one goes on
to convergence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.masks import window_ball
from temporem.physics.orientations import even_rotations
from temporem.physics.padded_grid import grid_below
from temporem.physics.rotations import geodesic_degrees, random_rotations
from temporem.poses.alignment import align_rotations
from temporem.poses.grid_chain import GridChain
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

_TRIAL = 0.4  # fraction of the rounds after which links are kept or given up
_MUCH_BETTER = 1.4  # gain of larger turns, over that of the present ones
_ENTRIES = 2**22  # scores in a block; bounds memory
_FAINTEST = -60.0  # nats below the likeliest pose: next to nothing, and not yet denormal, i.e. slow


@dataclass(frozen=True)
class Round:
    """One iteration.

    Attributes:
        radius: frequencies below it are used, cycles per box.
        spacing_degrees: spacing of the grid of rotations.
        momentum: fraction of the step before that is added to this one.
    """

    radius: float
    spacing_degrees: float
    momentum: float = 0.0


ROUNDS = (*[Round(6, 18, 0.5)] * 8, *[Round(8, 18, 0.5)] * 20, *[Round(8, 13)] * 2)
"""Rounds of every random start."""


@dataclass(frozen=True)
class Expected:
    """Result of one iteration with N frames.

    Attributes:
        volume: next volume, ``(D', D', D')`` on the round's grid.
        log_evidence: log-evidence of a frame under the volume that was given, mean over frames.
        rotations: each frame's likeliest rotation of the grid, summed over shifts, ``(N, 3, 3)``.
        shifts_angstrom: its likeliest shift there, ``(N, 2)``.
        unlinked: log-evidence of a frame if frames did not follow one another.
        wider: log-evidence of a frame if molecules turned by the next size, if asked for.
    """

    volume: Tensor
    log_evidence: float
    rotations: Tensor
    shifts_angstrom: Tensor
    unlinked: float
    wider: float

    def next_chain(self, chain: GridChain) -> GridChain:
        """The chain, or one of larger turns if that explains the frames much better."""
        gain, wider = self.log_evidence - self.unlinked, self.wider - self.unlinked
        return chain.wider() if wider > max(_MUCH_BETTER * gain, 0.0) else chain


@dataclass(frozen=True)
class Start:
    """Result of one random start.

    Attributes:
        expected: result of the last round, with the last volume.
        chain: how frames follow one another; None where they do not.
    """

    expected: Expected
    chain: GridChain | None


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

    def ascend(
        self,
        rounds: Sequence[Round],
        seed: int,
        on_round: Callable[[float, float], None],
        *,
        chain: GridChain | None = None,
        try_chain: bool = False,
        volume: Tensor | None = None,
    ) -> Start:
        """Take all rounds of one random start.

        Args:
            rounds: the rounds.
            seed: seed of the start, and of the grids.
            on_round: called with the fraction that is done, and the log-evidence so far.
            chain: how frames follow one another; None for frames that do not.
            try_chain: find out whether they do, and how far molecules turn.
            volume: volume to begin with, ``(D', D', D')``; frames in random poses when None.
        """
        trial = round(_TRIAL * len(rounds)) if try_chain else 0
        if volume is None:
            volume = self.first_volume(rounds[0].radius, seed)
        last, tried = None, trial > 0
        for i, step in enumerate(rounds):
            compared = try_chain and i + 1 >= trial
            expected = self.iterate(volume, step, seed + i, chain, compared=compared)
            total = len(rounds) + tried * trial
            on_round((i + 1) / total, expected.log_evidence)
            if compared and chain is not None:
                if tried and max(expected.log_evidence, expected.wider) <= expected.unlinked:
                    return self._unlinked(rounds, seed, on_round, begun=trial / total)
                tried, chain = False, expected.next_chain(chain)
            box = expected.volume.shape[-1]
            volume = resized(volume[None], box)[0]
            change = expected.volume - volume
            if last is not None:
                change = change + step.momentum * resized(last[None], box)[0]
            volume, last = volume + change, change
        return Start(replace(expected, volume=volume), chain)

    def _unlinked(
        self,
        rounds: Sequence[Round],
        seed: int,
        on_round: Callable[[float, float], None],
        begun: float,
    ) -> Start:
        """All rounds without links, after a fraction of the work that went into trying them."""
        return self.ascend(
            rounds,
            seed,
            lambda done, evidence: on_round(begun + (1 - begun) * done, evidence),
        )

    def iterate(
        self,
        volume: Tensor,
        step: Round,
        seed: int,
        chain: GridChain | None = None,
        *,
        compared: bool = False,
    ) -> Expected:
        """Take one round from a volume on any coarse grid.

        Args:
            volume: the volume, ``(D', D', D')``.
            step: the round.
            seed: seed of the grid's turn.
            chain: how frames follow one another; None for frames that do not.
            compared: also measure the evidence of larger turns.
        """
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
        evidence, unlinked, wider = 0.0, 0.0, 0.0
        likeliest, likeliest_shift = [], []
        for block, part in self._blocks(len(shifts) * m, chain):
            images, ctf = self.images[block, :n], self.ctf[block, :n]
            shifted, squares = shifted_images(images, ctf, phases), ctf.square()
            scores = grid_scores(shifted, squares, slices).add_(prior[:, None])
            largest = scores.amax(1)
            weights = scores.sub_(largest[:, None]).clamp_(min=_FAINTEST).exp_()
            over_shifts = weights.sum(1)
            log_likelihood = largest + over_shifts.log()
            alone = (log_likelihood - math.log(m)).logsumexp(1)
            unlinked += float(alone.sum(dtype=torch.float64))
            if part is None:
                posterior = (log_likelihood - math.log(m) - alone[:, None]).exp()
            else:
                posterior, found = part.smoothed(log_likelihood, step.spacing_degrees)
                evidence += found
                if compared:
                    wider += part.wider().smoothed(log_likelihood, step.spacing_degrees)[1]
            best = posterior.argmax(1)
            likeliest.append(best)
            likeliest_shift.append(weights[torch.arange(len(best)), :, best].argmax(1))
            weights.mul_((posterior / over_shifts)[:, None])
            image_sums += weights.flatten(0, 1).T @ shifted.flatten(0, 1)
            weight_sums += posterior.T @ squares
        sums = BackProjection(grid)
        values = torch.view_as_complex(image_sums.view(m, n, 2))
        sums.add_sums(values, weight_sums, self.model.slice_frequencies(rotations, slice(0, n)))
        frames = len(self.images)
        return Expected(
            volume=self._solve(sums),
            log_evidence=(unlinked if chain is None else evidence) / frames,
            rotations=rotations[torch.cat(likeliest)],
            shifts_angstrom=shifts[torch.cat(likeliest_shift)],
            unlinked=unlinked / frames,
            wider=wider / frames,
        )

    def _n_pixels(self, radius: float) -> int:
        return int((self.model.support.radii < radius).sum())

    def _solve(self, sums: BackProjection) -> Tensor:
        box = sums.grid.box
        return sums.solve_with_power(self.power) * window_ball(box, self.window_radius)

    def _blocks(
        self, entries_a_frame: int, chain: GridChain | None
    ) -> Iterator[tuple[slice, GridChain | None]]:
        """Blocks of frames, of whole movies where they are linked."""
        step = max(1, _ENTRIES // entries_a_frame)
        if chain is None:
            yield from ((slice(i, i + step), None) for i in range(0, len(self.images), step))
            return
        start = 0
        for part in chain.blocks(step):
            yield slice(start, start + len(part)), part
            start += len(part)


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
