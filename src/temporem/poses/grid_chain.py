"""Movies as chains of poses on a grid of rotations, for frames too noisy to be posed one by one.

A molecule that turns little from frame to frame shows its neighbours where it is. On a grid of M
rotations a movie is a hidden Markov chain. Its transitions are the heat kernel of SO(3)
(:mod:`temporem.physics.rotational_diffusion`), and a jump anywhere with a small probability. The
forward–backward algorithm (Rabiner 1989) gives the exact posterior of every frame from all frames
of its movie, and the evidence of the movie.

The kernel widens by the spacing δ of the grid: a rotation lies ``δ² / 12`` about each axis from the
point that stands for it, at both ends of a step.

Turns have few sizes, :data:`TURNS`, so that there are few kernels. Within one grid, smaller ones
cannot be told from the smallest, and poses that turn farther than the largest are not worth
linking.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from temporem.physics.orientations import even_rotations
from temporem.physics.rotational_diffusion import log_diffusion_density
from temporem.poses.chain import JUMP

TURNS = tuple(5.0 * 1.5**k for k in range(5))
"""Turns about each axis between neighbours that are told apart, standard deviations, degrees."""

_ROWS = 512  # of the matrix of angles at a time; bounds memory
_FAR = 3.0  # standard deviations beyond which a turn is left to jumps
_FAINTEST = -80.0  # nats below the likeliest pose; smaller numbers are slow


@dataclass(frozen=True)
class GridChain:
    """Movies of N frames that follow one another.

    Attributes:
        lengths: number of frames of each movie; together N.
        interval: time from the frame before, in usual intervals, ``(N,)``; not read for first
            frames.
        turn: index into :data:`TURNS` of the turn in a usual interval.
    """

    lengths: tuple[int, ...]
    interval: Tensor
    turn: int = 0

    @classmethod
    def of_movies(
        cls, movies: list[np.ndarray], steps: np.ndarray, coefficient: float | None = None
    ) -> GridChain | None:
        """Chain the frames of movies, one after the other; None where no movie has two frames.

        Args:
            movies: rows of each movie, in order of time.
            steps: time from the frame before to each frame, by row, NaN for first frames.
            coefficient: diffusion coefficient, degrees² about each axis per unit of time; None for
                the smallest turn.
        """
        if all(len(movie) == 1 for movie in movies):
            return None
        usual = _usual(steps)
        turn = 0
        if coefficient is not None:
            asked = math.sqrt(2 * coefficient * usual)
            turn = int(np.argmin([abs(math.log(asked / known)) for known in TURNS]))
        interval = torch.from_numpy(steps[np.concatenate(movies)] / usual)
        return cls(tuple(map(len, movies)), interval, turn)

    def __len__(self) -> int:
        return sum(self.lengths)

    def wider(self) -> GridChain:
        """Chain of the next larger turn; the same where there is none."""
        return replace(self, turn=min(self.turn + 1, len(TURNS) - 1))

    def coefficient(self, steps: np.ndarray) -> float:
        """Diffusion coefficient that the turn means, degrees² about each axis per unit of time."""
        return 0.5 * TURNS[self.turn] ** 2 / _usual(steps)

    def blocks(self, most_frames: int) -> Iterator[GridChain]:
        """Chains of whole movies, of about so many frames each, at least one movie."""
        start, first, count = 0, 0, 0
        for i, length in enumerate(self.lengths):
            if i > first and count + length > most_frames:
                yield self._part(first, i, start)
                first, start, count = i, start + count, 0
            count += length
        yield self._part(first, len(self.lengths), start)

    def _part(self, first: int, last: int, start: int) -> GridChain:
        lengths = self.lengths[first:last]
        return GridChain(lengths, self.interval[start : start + sum(lengths)], self.turn)

    def smoothed(self, log_likelihood: Tensor, spacing_degrees: float) -> tuple[Tensor, float]:
        """Posterior of every frame from its whole movie, and the log-evidence of all movies.

        Args:
            log_likelihood: of N frames on the M rotations of :func:`even_rotations`, turned as a
                whole by any rotation, ``(N, M)``.
            spacing_degrees: spacing of that grid.

        Returns:
            Probabilities ``(N, M)``, and the sum of log-evidences, for a uniform prior.
        """
        m = log_likelihood.shape[1]
        largest = log_likelihood.amax(1, keepdim=True)
        likely = (log_likelihood - largest).clamp_(min=_FAINTEST).exp_()
        rows, turns = self._rows, self._turns
        evidence = float(largest.sum(dtype=torch.float64))
        forward = torch.empty_like(likely)
        for t, now in enumerate(rows):
            expected = torch.full((len(now), m), 1 / m)
            if t:
                before = rows[t - 1][: len(now)]
                expected = _moved(forward[before], turns[now], spacing_degrees)
            joint = expected * likely[now]
            total = joint.sum(1, keepdim=True)
            forward[now] = joint / total
            evidence += float(total.log().sum(dtype=torch.float64))
        # Scaled to mean 1 over the grid, as only its shape matters.
        backward = torch.ones_like(likely)
        for t in range(len(rows) - 1, 0, -1):
            now = rows[t]
            told = likely[now] * backward[now]
            told = _moved(told / told.sum(1, keepdim=True), turns[now], spacing_degrees)
            backward[rows[t - 1][: len(now)]] = told * m
        posterior = forward.mul_(backward)
        return posterior.div_(posterior.sum(1, keepdim=True)), evidence

    @property
    def _rows(self) -> list[Tensor]:
        """Rows of frame t of all movies that are long enough, longest movies first."""
        lengths = np.array(self.lengths)
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        order = np.argsort(-lengths, kind="stable")
        return [
            torch.from_numpy(first[order][lengths[order] > t] + t) for t in range(lengths.max())
        ]

    @property
    def _turns(self) -> Tensor:
        """Index of the turn from the frame before to each frame; beyond the last: not linked."""
        ratio = TURNS[self.turn] / TURNS[0] * self.interval.clamp(min=1e-12).sqrt()
        index = (ratio.nan_to_num(1.0).log() / math.log(TURNS[1] / TURNS[0])).round().long()
        return index.clamp(0, len(TURNS))


def _usual(steps: np.ndarray) -> float:
    """The usual interval between frames."""
    return float(np.nanmedian(steps))


def _moved(probability: Tensor, turns: Tensor, spacing_degrees: float) -> Tensor:
    """Probabilities ``(B, M)`` one step later, with turns ``(B,)`` of different sizes."""
    m = probability.shape[1]
    moved = torch.full_like(probability, 1 / m)
    for turn in turns.unique().tolist():
        if turn < len(TURNS):
            these = turns == turn
            kernel = _kernel(spacing_degrees, TURNS[turn])
            values = torch.from_numpy(kernel @ probability[these].T.contiguous().numpy()).T
            moved[these] = (1 - JUMP) * values + JUMP / m
    return moved


@lru_cache(maxsize=16)
def _kernel(spacing_degrees: float, turn_degrees: float) -> csr_array:
    """Probabilities of turns between the points of a grid, sparse and symmetric ``(M, M)``."""
    flat = even_rotations(spacing_degrees).float().flatten(1)
    tau = 0.5 * math.radians(turn_degrees) ** 2 + math.radians(spacing_degrees) ** 2 / 12
    farthest = math.cos(min(math.pi, _FAR * math.sqrt(4 * tau)))
    parts = []
    for start in range(0, len(flat), _ROWS):
        cosine = (flat[start : start + _ROWS] @ flat.T - 1) / 2
        row, column = (cosine > farthest).nonzero(as_tuple=True)
        angle = cosine[row, column].clamp(-1, 1).double().acos()
        density = log_diffusion_density(angle, torch.tensor(tau, dtype=torch.float64)).exp()
        parts.append((density.float(), row + start, column))
    density, row, column = (torch.cat(part) for part in zip(*parts, strict=True))
    total = torch.zeros(len(flat)).index_add_(0, row, density)
    density = (
        density / (total[row] * total[column]).sqrt()
    )  # even grids: nearly the same everywhere
    where = (row.numpy(), column.numpy())
    return csr_array((density.numpy(), where), shape=(len(flat), len(flat)))
