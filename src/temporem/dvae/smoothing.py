"""Posteriors of one latent from the likelihood of images on a grid, smoothed over time.

A network that learns latents and volumes at once finds few motions where noise is strong. The
volumes alone tell more: the likelihood of every frame at every latent, multiplied by how latents
follow one another in time. That is a hidden Markov model, whose posterior is exact (Rabiner 1989).
Its states are places and speeds. A speed changes a little from frame to frame, or jumps to any
speed found at its place, as where a molecule turns back: without jumps, posteriors there are far
too narrow. The two step sizes and the rate of jumps are learned by expectation maximisation.
It cannot count frames: movies begin with the chances of all their frames, and run either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

_FASTEST = 1 / 9  # of the grid's width, in a median interval
_SPEEDS = 11
_FIRST_STEPS = (1 / 30, 1 / 30)  # of the grid's width: standard deviations of place and speed
_FIRST_RATE = 0.05  # jumps in a median interval
_RATES = (1e-3, 1.0)
_LEAST_STEPS = (0.7, 0.5)  # of the spacing of places and of speeds
_ROUNDS = 4
_MOVIES = 32  # at a time
_EVEN = 0.1  # part of the first distribution that stays even
_FLOOR = 1e-30


@dataclass(frozen=True)
class Chances:
    """Chances of steps in I intervals: first in place, then in speed.

    Attributes:
        moves: from place to place at a speed, ``(I, S, G, G)``.
        missed: these, times squares of place minus what speed foretells.
        turns: from speed to speed without a jump, ``(I, S, S)``.
        jumps: to a speed at the new place, from any speed, ``(I, S, G)``.
    """

    moves: Tensor
    missed: Tensor
    turns: Tensor
    jumps: Tensor


@dataclass(frozen=True)
class Transitions:
    """Chances of steps on the grid of S speeds and G places.

    Attributes:
        places: evenly spaced latents, ``(G,)``.
        speeds: latents per median interval, ``(S,)``.
        first: chances of speed and place in the first frame of a movie, as in any, ``(S, G)``.
        place_sd, speed_sd: standard deviations of a step in a median interval.
        rate: jumps of the speed in a median interval.
    """

    places: Tensor
    speeds: Tensor
    first: Tensor
    place_sd: float
    speed_sd: float
    rate: float

    @classmethod
    def initial(cls, places: Tensor) -> Transitions:
        """Begin with even chances and small steps."""
        width = float(places[-1] - places[0])
        speeds = torch.linspace(-1, 1, _SPEEDS).to(places) * (_FASTEST * width)
        first = places.new_full((len(speeds), len(places)), 1 / (len(speeds) * len(places)))
        place_sd, speed_sd = (share * width for share in _FIRST_STEPS)
        return cls(places, speeds, first, place_sd, speed_sd, _FIRST_RATE)

    def missed(self, intervals: Tensor) -> Tensor:
        """Squares of place minus what speed foretells, ``(I, S, G, G)`` from place to place."""
        ahead = self.speeds[:, None] * intervals[:, None, None]
        foretold = self.places[:, None] + ahead[..., None]
        return (foretold - self.places).square()

    def turned(self) -> Tensor:
        """Squares of changes of speed, ``(S, S)``."""
        return (self.speeds[:, None] - self.speeds).square()

    def chances(self, intervals: Tensor) -> Chances:
        """Compute the chances of steps in intervals ``(I,)``."""
        wide = intervals[:, None, None]
        missed = self.missed(intervals)
        moves = (-0.5 * missed / (self.place_sd**2 * wide[..., None])).softmax(-1)
        turns = -0.5 * self.turned() / (self.speed_sd**2 * wide)
        stay = (-self.rate * wide).exp()
        jumps = (1 - stay) * self.first / self.first.sum(0)
        return Chances(moves, moves * missed, stay * turns.softmax(-1), jumps)


def smoothed(
    log_likelihood: Tensor,
    movies: list[np.ndarray],
    interval_index: Tensor,
    intervals: Tensor,
    places: Tensor,
) -> Tensor:
    """Compute the posterior of the latent of every frame, given all frames of its movie.

    Args:
        log_likelihood: of N frames at G places, nats, ``(N, G)``.
        movies: rows of every movie, in order of time; others stay 0.
        interval_index: index of the interval before every frame, ``(N,)``.
        intervals: all I different intervals, median 1.
        places: evenly spaced latents, ``(G,)``.

    Returns:
        Probabilities ``(N, G)``.
    """
    first, times = Transitions.initial(places), (interval_index, intervals)
    return smoothed_from(first, log_likelihood, movies, *times, rounds=_ROUNDS)[0]


def smoothed_from(
    transitions: Transitions,
    log_likelihood: Tensor,
    movies: list[np.ndarray],
    interval_index: Tensor,
    intervals: Tensor,
    *,
    rounds: int = 1,
) -> tuple[Tensor, Transitions]:
    """Compute posteriors as :func:`smoothed` does, and learn from given transitions on.

    Returns:
        Probabilities ``(N, G)``, and the transitions that make them likeliest.
    """
    found = torch.zeros_like(log_likelihood)
    intervals = intervals.to(transitions.places)
    blocks = [movies[i : i + _MOVIES] for i in range(0, len(movies), _MOVIES)]
    padded = [_padded(block, log_likelihood, interval_index) for block in blocks]
    for _ in range(rounds):
        chances = transitions.chances(intervals)
        sums = [_expect(transitions, chances, intervals, *block) for block in padded]
        transitions = _maximised(transitions, [one for one, _ in sums])
    for block, (rows, *_), (_, posterior) in zip(blocks, padded, sums, strict=True):
        for i, movie in enumerate(block):
            found[rows[i, : len(movie)]] = posterior[i, : len(movie)]
    return found, transitions


def unsmoothed(log_likelihood: Tensor, movies: list[np.ndarray]) -> Tensor:
    """Compute posteriors of single frames ``(N, G)``; the prior is their mean, learned.

    Arguments are those of :func:`smoothed`.
    """
    rows = torch.from_numpy(np.concatenate(movies)).to(log_likelihood.device)
    likelihood, n = log_likelihood[rows], log_likelihood.shape[1]
    even = prior = likelihood.new_full((n,), 1 / n)
    for _ in range(_ROUNDS):
        posterior = (likelihood + prior.log()).softmax(1)
        prior = (1 - _EVEN) * posterior.mean(0) + _EVEN * even
    found = torch.zeros_like(log_likelihood)
    found[rows] = posterior
    return found


@dataclass(frozen=True)
class _Sums:
    """Expected sums over steps, and of states.

    Attributes:
        place, speed: squares of steps per interval, of speeds without jumps.
        steps: steps.
        jumps: jumps.
        time: median intervals.
        states: frames at every speed and place, ``(S, G)``.
    """

    place: float
    speed: float
    steps: float
    jumps: float
    time: float
    states: Tensor


def _padded(
    movies: list[np.ndarray], log_likelihood: Tensor, interval_index: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows ``(B, T)``, likelihoods ``(B, T, G)``, intervals ``(B, T)``, and which frames exist."""
    device = log_likelihood.device
    rows = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(movie) for movie in movies], batch_first=True
    )
    lengths = torch.tensor([len(movie) for movie in movies])
    exists = torch.arange(rows.shape[1]) < lengths[:, None]
    index, rows, exists = interval_index[rows].to(device), rows.to(device), exists.to(device)
    seen = log_likelihood[rows]
    likelihood = (seen - seen.amax(-1, keepdim=True)).exp().clamp(min=_FLOOR)
    return rows, likelihood, index, exists


def _expect(
    transitions: Transitions,
    chances: Chances,
    intervals: Tensor,
    rows: Tensor,
    likelihood: Tensor,
    index: Tensor,
    exists: Tensor,
) -> tuple[_Sums, Tensor]:
    """Go forward and backward through B movies; also posteriors of places ``(B, T, G)``."""
    moves, turns, jumps = chances.moves, chances.turns, chances.jumps
    turned = transitions.turned()
    n_frames = likelihood.shape[1]
    here = transitions.first * likelihood[:, 0, None]
    forward = [here / here.sum((1, 2), keepdim=True)]
    all_moved = []
    for t in range(1, n_frames):
        step = index[:, t]
        moved = torch.einsum("bsg,bsgh->bsh", forward[-1], moves[step])
        all_moved.append(moved)
        here = torch.einsum("bsh,bsr->brh", moved, turns[step])
        here = (here + moved.sum(1, keepdim=True) * jumps[step]) * likelihood[:, t, None]
        forward.append(here / here.sum((1, 2), keepdim=True))
    backward = torch.ones_like(here)
    posterior = torch.zeros_like(likelihood)
    place = speed = jumped = time = 0.0
    states = torch.zeros_like(transitions.first)
    for t in range(n_frames - 1, -1, -1):
        both = forward[t] * backward
        both = both / both.sum((1, 2), keepdim=True)
        posterior[:, t] = both.sum(1)
        states += both[exists[:, t]].sum(0)
        if t == 0:
            break
        step, real = index[:, t], exists[:, t]
        seen = likelihood[:, t, None] * backward
        after_jump = (jumps[step] * seen).sum(1, keepdim=True)
        later = torch.einsum("bsr,brh->bsh", turns[step], seen) + after_jump
        earlier = torch.einsum("bsgh,bsh->bsg", moves[step], later)
        missed = torch.einsum("bsgh,bsh->bsg", chances.missed[step], later)
        steps = (forward[t - 1] * missed).sum((1, 2)) / (forward[t - 1] * earlier).sum((1, 2))
        moved = all_moved[t - 1]
        changes = turns[step] * torch.einsum("bsh,brh->bsr", moved, seen)
        jump = (moved * after_jump).sum((1, 2))
        whole = jump + changes.sum((1, 2))
        weight = real / intervals[step]
        place += float((weight * steps).sum())
        speed += float((weight * (changes * turned).sum((1, 2)) / whole).sum())
        jumped += float((real * jump / whole).sum())
        time += float((real * intervals[step]).sum())
        earlier = earlier / earlier.sum((1, 2), keepdim=True)
        backward = torch.where(real[:, None, None], earlier, 1.0)
    return _Sums(place, speed, float(exists[:, 1:].sum()), jumped, time, states), posterior


def _maximised(old: Transitions, sums: list[_Sums]) -> Transitions:
    """Take the step sizes, rate and chances that make the expected steps most likely."""
    steps = max(sum(one.steps for one in sums), 1.0)
    jumps = sum(one.jumps for one in sums)
    time = max(sum(one.time for one in sums), 1e-3)
    states = torch.stack([one.states for one in sums]).sum(0)
    first = states + states.flip(0)  # either way in time
    spacing = (old.places[1] - old.places[0], old.speeds[1] - old.speeds[0])
    least = [share * float(gap) for share, gap in zip(_LEAST_STEPS, spacing, strict=True)]
    place = sum(one.place for one in sums) / steps
    speed = sum(one.speed for one in sums) / max(steps - jumps, 1.0)
    return replace(
        old,
        first=(1 - _EVEN) * first / first.sum() + _EVEN / first.numel(),
        place_sd=max(float(np.sqrt(place)), least[0]),
        speed_sd=max(float(np.sqrt(speed)), least[1]),
        rate=float(np.clip(jumps / time, *_RATES)),
    )
