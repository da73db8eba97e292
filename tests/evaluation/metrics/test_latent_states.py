"""Agreement of latents with true states, where the answer is known."""

import numpy as np
import pytest

from temporem.evaluation.metrics.latent_states import neighbourhood_overlap, state_agreement

MOVIES, LENGTH = 24, 10
MOVIE = np.repeat(np.arange(MOVIES), LENGTH)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_separated_states_are_told_apart_and_mixed_ones_by_chance(rng):
    states = np.tile(np.arange(LENGTH), MOVIES)
    clear = state_agreement(
        states[:, None] + 0.01 * rng.normal(size=(len(states), 1)), MOVIE, states
    )
    assert clear["n_states"] == LENGTH
    assert clear["silhouette"] > 0.95
    assert clear["knn_accuracy"] == 1
    assert clear["chance"] == pytest.approx(1 / LENGTH)
    mixed = state_agreement(rng.normal(size=(len(states), 2)), MOVIE, states)
    assert mixed["silhouette"] < 0
    assert mixed["knn_accuracy"] < 0.2


def test_neighbours_of_the_same_movie_have_no_vote(rng):
    # Every movie is its own cluster with its own state: only its own frames would vote right.
    states = np.repeat(np.arange(MOVIES), LENGTH)
    latents = 10.0 * states[:, None] + 0.01 * rng.normal(size=(len(states), 1))
    result = state_agreement(latents, MOVIE, states)
    assert result["silhouette"] > 0.95
    assert result["knn_accuracy"] == 0


def test_neighbourhoods_of_clear_states_overlap_fully_and_of_noise_by_chance(rng):
    states = np.tile(np.arange(LENGTH), MOVIES)
    clear = states[:, None] + 0.01 * rng.normal(size=(len(states), 1))
    assert neighbourhood_overlap(clear, MOVIE, states)[0] == 1
    overlap, chance = neighbourhood_overlap(rng.normal(size=(len(states), 2)), MOVIE, states)
    assert chance == pytest.approx(1 / LENGTH)
    assert overlap == pytest.approx(chance, abs=0.02)


def test_neighbourhood_counts_the_frames_of_the_state_in_other_movies():
    """By hand: two movies of three frames on a line; k is 2, 1, 1 for frames of the first."""
    movie = np.array([0, 0, 0, 1, 1, 1])
    states = np.array([0, 1, 2, 0, 0, 1])
    latents = np.array([0.0, 5.2, 9.0, 1.0, 6.0, 4.0])[:, None]
    # 0 is nearest to 1 (same) and 4 (not): 1/2. 5.2 is nearest to 6, which is not the
    # same. 9 shares its state with none. 1, 6 and 4 are nearest to 0 (same), 5.2 (not), 5.2 (same).
    overlap, chance = neighbourhood_overlap(latents, movie, states)
    assert overlap == pytest.approx(np.mean([1 / 2, 0, 1, 0, 1]))
    assert chance == pytest.approx(np.mean([2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3]))
    nan = neighbourhood_overlap(latents[:3], movie[:3], states[:3])
    assert np.isnan(nan).all()


def test_neighbourhood_sees_half_of_a_latent_that_folds_states_in_pairs(rng):
    states = np.tile(np.arange(LENGTH), MOVIES)
    folded = np.minimum(states, LENGTH - 1 - states)[:, None] + 1e-3 * rng.normal(
        size=(len(states), 1)
    )
    assert neighbourhood_overlap(folded, MOVIE, states)[0] == pytest.approx(0.5, abs=0.03)


def test_a_state_too_rare_to_be_drawn_has_no_silhouette(rng):
    states = np.r_[1, np.zeros(99, dtype=int)]
    movie = np.arange(100) // 10
    assert 0 not in np.random.default_rng(0).permutation(100)[:3]
    found = state_agreement(rng.normal(size=(100, 2)), movie, states, most_frames=3)
    assert np.isnan(found["silhouette"])
