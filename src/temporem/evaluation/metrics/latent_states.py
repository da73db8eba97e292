"""Agreement of latents with discrete true states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Ready, Score
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.states import are_states

NEIGHBOURS = 5
"""Neighbours that vote on a frame's state."""

MOST_FRAMES = 5000
"""Silhouette and overlap, quadratic in frames, use at most this many, drawn with a fixed seed."""

_FRAMES_AT_ONCE = 500  # whose distances to all others are in memory
_DETAILS = ("n_states", "chance", "neighbourhood_chance")


class LatentsAndStates(Metric):
    """Agreement of latents with discrete true states."""

    name = "latent_states"
    title = "Latents and states"
    scores = (
        Score(
            "silhouette",
            "State silhouette",
            "Mean over frames of (b − a) / max(a, b), a the mean latent distance to frames of the "
            "same state and b that to the nearest other state (Rousseeuw 1987).",
        ),
        Score(
            "knn_accuracy",
            "State accuracy, nearest neighbours",
            f"Share of frames whose {NEIGHBOURS} nearest frames of other movies have, by majority, "
            "the frame's true state.",
            ranks={NO_PLACE: 9},
            noun="state accuracy",
        ),
        Score(
            "neighbourhood_overlap",
            "State neighbourhood overlap",
            "Mean over frames of |L ∩ S| / k, S the k frames of other movies in the frame's true "
            "state and L the k frames of other movies nearest in latent space.",
        ),
    )
    arrays: ClassVar = {
        "n_states": ("iu",),
        "silhouette": ("f",),
        "knn_accuracy": ("f",),
        "chance": ("f",),
        "neighbourhood_overlap": ("f",),
        "neighbourhood_chance": ("f",),
    }
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Look at neighbours; None without latents or states, or with a single movie."""
        latents, states = case.known.latents, case.known.states
        if latents is None or states is None or not are_states(states) or case.n_movies < 2:
            return None
        return Ready({NO_PLACE: state_agreement(latents, case.frames.movie, states)})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers as they are: their spread over movies is not known."""
        return {score.name: Statistic(float(arrays[score.name])) for score in self.scores}

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Number of states, and what latents without any information would give."""
        return {name: arrays[name].item() for name in _DETAILS}


LATENT_STATES = LatentsAndStates()


def state_agreement(
    latents: np.ndarray, movie: np.ndarray, states: np.ndarray, *, most_frames: int = MOST_FRAMES
) -> dict[str, np.ndarray]:
    """Agreement of latents ``(n, q)`` with at least two states ``(n,)``.

    Silhouette and overlap are those of at most ``most_frames`` frames.

    Returns:
        ``silhouette``, NaN where the frames drawn for it are of one state; ``knn_accuracy`` and
        ``chance``, the share of the most frequent state; ``neighbourhood_overlap`` and
        ``neighbourhood_chance``, NaN where no frame shares its state with another movie;
        ``n_states``.
    """
    labels, states = np.unique(states, return_inverse=True)
    overlap, by_chance = neighbourhood_overlap(latents, movie, states, most_frames=most_frames)
    silhouette = state_silhouette(latents, states, most_frames=most_frames)
    return {
        "n_states": np.array(len(labels)),
        "silhouette": np.array(silhouette, dtype=np.float64),
        "knn_accuracy": neighbour_accuracy(latents, movie, states),
        "chance": np.bincount(states).max() / len(states),
        "neighbourhood_overlap": np.array(overlap),
        "neighbourhood_chance": np.array(by_chance),
    }


def state_silhouette(
    latents: np.ndarray, states: np.ndarray, *, most_frames: int = MOST_FRAMES
) -> float:
    """Silhouette of states ``(n,)`` in latents ``(n, q)``, of at most ``most_frames`` frames.

    NaN where the frames drawn for it are of one state.
    """
    # Not every tenth frame: with movies of ten frames that would be one state.
    few = np.random.default_rng(0).permutation(len(states))[:most_frames]
    several = len(np.unique(states[few])) > 1  # else a state so rare that no frame of it was drawn
    return silhouette_score(latents[few], states[few]) if several else math.nan


def neighbour_accuracy(latents: np.ndarray, movie: np.ndarray, states: np.ndarray) -> np.float64:
    """Share of frames whose nearest frames of other movies vote for their state."""
    votes = _neighbour_votes(latents, movie, states)
    # The nearest of the states that tie: argmax takes the first.
    agreeing = (votes[:, :, None] == votes[:, None, :]).sum(-1)
    winner = np.take_along_axis(votes, agreeing.argmax(1)[:, None], 1)[:, 0]
    return (winner == states).mean()


def neighbourhood_overlap(
    latents: np.ndarray, movie: np.ndarray, states: np.ndarray, *, most_frames: int = MOST_FRAMES
) -> tuple[float, float]:
    """Mean share of nearest frames in the frame's own state, and that of frames drawn at random.

    A frame of state s has as many neighbours as there are frames in s in other movies, so that it
    is 1 where every state is a cluster of its own. Frames that no other movie shares a state with
    have none and are left out.

    Args:
        latents: ``(n, q)``.
        movie: movie of every frame, ``(n,)``.
        states: integer labels ``(n,)``.
        most_frames: with more, so many are drawn with a fixed seed.
    """
    chosen = np.random.default_rng(0).permutation(len(states))[:most_frames]
    shares, chances = [], []
    for rows in np.array_split(chosen, -(-len(chosen) // _FRAMES_AT_ONCE)):
        other = movie[rows, None] != movie
        same = other & (states[rows, None] == states)
        distance = np.where(other, cdist(latents[rows], latents), np.inf)
        nearest = np.take_along_axis(same, distance.argsort(axis=1, kind="stable"), 1)
        k = same.sum(1)
        found = np.cumsum(nearest, axis=1)[np.arange(len(rows)), np.maximum(k, 1) - 1]
        shares.append(found[k > 0] / k[k > 0])
        chances.append(k[k > 0] / other.sum(1)[k > 0])
    share = np.concatenate(shares)
    if not len(share):
        return float("nan"), float("nan")
    return float(share.mean()), float(np.concatenate(chances).mean())


def _neighbour_votes(latents: np.ndarray, movie: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States of the nearest frames of other movies, nearest first: ``(n, NEIGHBOURS)``."""
    _, movie, lengths = np.unique(movie, return_inverse=True, return_counts=True)
    others = len(movie) - int(lengths.max())
    reach = min(len(movie), NEIGHBOURS + int(lengths.max()))
    nearest = NearestNeighbors(n_neighbors=reach).fit(latents)
    index = nearest.kneighbors(latents, return_distance=False)
    own = movie[index] == movie[:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, : min(NEIGHBOURS, others)]
    return states[np.take_along_axis(index, order, 1)]
