"""Agreement of latents with truth, on maps whose answer is known."""

import numpy as np
import pytest

from temporem.evaluation import latents as latents_module
from temporem.evaluation.latents import latent_agreement, neighbourhood_overlap, state_agreement

MOVIES, LENGTH = 24, 10
MOVIE = np.repeat(np.arange(MOVIES), LENGTH)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def angle(rng):
    """A hinge that opens 9° a frame from an offset of its own in every movie: (n,)."""
    return (rng.uniform(0, 9, MOVIES)[:, None] + 9 * np.arange(LENGTH)).ravel()


def agreement(latents, parameter):
    report = latent_agreement(latents, MOVIE, parameter[:, None], ["angle_degrees"])
    return report.parameters["angle_degrees"]


def test_linear_latent_explains_all(rng):
    theta = angle(rng)
    result = agreement((-0.03 * theta + 1)[:, None], theta)
    assert result.r2 == pytest.approx(1, abs=1e-4)
    assert result.r2_linear == pytest.approx(1, abs=1e-9)
    assert result.trajectory_rmse < 0.3
    assert result.abs_spearman == pytest.approx(1)


def test_curved_monotone_latent_is_smooth_but_not_linear(rng):
    theta = angle(rng)
    result = agreement(np.exp(theta / 15)[:, None], theta)
    assert result.r2 > 0.97
    assert result.r2_linear < 0.8
    assert result.abs_spearman == pytest.approx(1)


def test_parameter_that_is_not_monotone_in_the_latent(rng):
    latent = rng.uniform(-2, 2, (MOVIES * LENGTH, 1))
    result = agreement(latent, latent[:, 0] ** 2)
    assert result.r2 > 0.99
    assert result.r2_linear < 0.1
    assert result.abs_spearman < 0.2


def test_folded_latent_cannot_tell_the_two_branches(rng):
    # |θ − 45°|: two angles share every latent value, so the mean is all that can be predicted.
    theta = angle(rng)
    assert agreement(np.abs(theta - 45)[:, None], theta).r2 < 0.15


def test_noise_gives_the_attenuated_value(rng):
    theta = rng.normal(size=MOVIES * LENGTH)
    latent = theta + rng.normal(size=len(theta))  # R² of θ given latent is 1/2
    result = agreement(latent[:, None], theta)
    assert result.r2 == pytest.approx(0.5, abs=0.12)
    assert result.trajectory_rmse == pytest.approx(np.sqrt(0.5), rel=0.15)


def test_unrelated_latent_explains_nothing_in_unseen_movies(rng):
    # A constant latent per movie memorises movies; predicting others from it must fail.
    theta = np.repeat(rng.normal(size=MOVIES), LENGTH)
    memorised = np.repeat(rng.permutation(MOVIES).astype(float), LENGTH)
    assert agreement(memorised[:, None], theta).r2 < 0.2
    assert agreement(rng.normal(size=(len(theta), 4)), theta).r2 < 0.05


def test_circle_in_a_rotated_latent_space(rng):
    # θ on a half circle, rotated into 5 dimensions among small noise: curved, no axis suffices.
    theta = angle(rng)
    phase = np.deg2rad(2 * theta)
    plane = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    latents = plane @ basis + 0.01 * rng.normal(size=(len(theta), 5))
    result = agreement(latents, theta)
    assert result.r2 > 0.97
    assert result.abs_spearman > 0.8


def test_parameter_that_depends_on_two_axes_at_once(rng):
    latents = rng.uniform(-1, 1, (MOVIES * LENGTH, 2)) * [1, 3]
    assert agreement(latents, latents[:, 0] * latents[:, 1]).r2 > 0.99


def test_spearman_names_the_axis(rng):
    theta = angle(rng)
    latents = np.stack([100 * rng.normal(size=len(theta)), theta], axis=1)
    result = agreement(latents, theta)
    assert result.spearman_axis == 2
    assert result.abs_spearman > 0.95


def test_collapsed_latent_scores_zero_not_an_error(rng):
    result = agreement(np.full((MOVIES * LENGTH, 3), 0.7), angle(rng))
    assert result.r2 == result.r2_linear == result.abs_spearman == 0


def test_the_same_input_gives_the_same_numbers(rng):
    theta = angle(rng)
    latents = np.stack([theta, rng.normal(size=len(theta))], axis=1)
    states = np.tile(np.arange(LENGTH), MOVIES)
    arguments = (latents, MOVIE, theta[:, None], ["angle_degrees"], states)
    assert latent_agreement(*arguments) == latent_agreement(*arguments)


def test_constant_parameter_and_single_state_are_left_out(rng):
    latents = rng.normal(size=(len(MOVIE), 2))
    parameters = np.stack([np.zeros(len(MOVIE)), np.arange(len(MOVIE))], axis=1)
    report = latent_agreement(latents, MOVIE, parameters, ["still", "moves"], np.zeros(len(MOVIE)))
    assert list(report.parameters) == ["moves"]
    assert report.states is None
    assert report.dimensions == 2


def test_separated_states_are_told_apart_and_mixed_ones_by_chance(rng):
    states = np.tile(np.arange(LENGTH), MOVIES)
    clear = state_agreement(
        states[:, None] + 0.01 * rng.normal(size=(len(states), 1)), MOVIE, states
    )
    assert clear.n_states == LENGTH
    assert clear.silhouette > 0.95
    assert clear.knn_accuracy == 1
    assert clear.chance == pytest.approx(1 / LENGTH)
    mixed = state_agreement(rng.normal(size=(len(states), 2)), MOVIE, states)
    assert mixed.silhouette < 0
    assert mixed.knn_accuracy < 0.2


def test_neighbours_of_the_same_movie_have_no_vote(rng):
    # Every movie is its own cluster with its own state: only its own frames would vote right.
    states = np.repeat(np.arange(MOVIES), LENGTH)
    latents = 10.0 * states[:, None] + 0.01 * rng.normal(size=(len(states), 1))
    result = state_agreement(latents, MOVIE, states)
    assert result.silhouette > 0.95
    assert result.knn_accuracy == 0


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


def test_too_few_frames_to_predict_from_are_no_error(rng):
    """Two movies, of which one frame each, or one and two, were looked at."""
    for movie in (np.array([0, 1]), np.array([0, 0, 1])):
        latents, parameter = rng.normal(size=(len(movie), 1)), rng.normal(size=(len(movie), 1))
        found = latent_agreement(latents, movie, parameter, ["angle"]).parameters["angle"]
        assert np.isnan([found.r2, found.r2_linear, found.trajectory_rmse]).all()
        assert found.abs_spearman > 0


def test_a_state_too_rare_to_be_drawn_has_no_silhouette(rng, monkeypatch):
    monkeypatch.setattr(latents_module, "SILHOUETTE_FRAMES", 3)
    states = np.r_[1, np.zeros(99, dtype=int)]
    movie = np.arange(100) // 10
    assert 0 not in np.random.default_rng(0).permutation(100)[:3]
    assert np.isnan(state_agreement(rng.normal(size=(100, 2)), movie, states).silhouette)
