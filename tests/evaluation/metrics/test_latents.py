"""Agreement of latents with truth, on maps whose answer is known."""

import numpy as np
import pytest

from helpers.swing import N, Swing, evaluated
from temporem.evaluation.metrics.latents import parameter_agreement
from temporem.evaluation.principal_axes import principal_axes

MOVIES, LENGTH = 24, 10
MOVIE = np.repeat(np.arange(MOVIES), LENGTH)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def angle(rng):
    """A hinge that opens 9° a frame from an offset of its own in every movie: (n,)."""
    return (rng.uniform(0, 9, MOVIES)[:, None] + 9 * np.arange(LENGTH)).ravel()


def agreement(latents, parameter):
    return parameter_agreement(principal_axes(latents), MOVIE, parameter)


def test_linear_latent_explains_all(rng):
    theta = angle(rng)
    result = agreement((-0.03 * theta + 1)[:, None], theta)
    assert result["r2"] == pytest.approx(1, abs=1e-4)
    assert result["r2_linear"] == pytest.approx(1, abs=1e-9)
    assert result["trajectory_rmse"] < 0.3
    assert result["abs_spearman"] == pytest.approx(1)


def test_curved_monotone_latent_is_smooth_but_not_linear(rng):
    theta = angle(rng)
    result = agreement(np.exp(theta / 15)[:, None], theta)
    assert result["r2"] > 0.97
    assert result["r2_linear"] < 0.8
    assert result["abs_spearman"] == pytest.approx(1)


def test_parameter_that_is_not_monotone_in_the_latent(rng):
    latent = rng.uniform(-2, 2, (MOVIES * LENGTH, 1))
    result = agreement(latent, latent[:, 0] ** 2)
    assert result["r2"] > 0.99
    assert result["r2_linear"] < 0.1
    assert result["abs_spearman"] < 0.2


def test_folded_latent_cannot_tell_the_two_branches(rng):
    # |θ − 45°|: two angles share every latent value, so the mean is all that can be predicted.
    theta = angle(rng)
    assert agreement(np.abs(theta - 45)[:, None], theta)["r2"] < 0.15


def test_noise_gives_the_attenuated_value(rng):
    theta = rng.normal(size=MOVIES * LENGTH)
    latent = theta + rng.normal(size=len(theta))  # R² of θ given latent is 1/2
    result = agreement(latent[:, None], theta)
    assert result["r2"] == pytest.approx(0.5, abs=0.12)
    assert result["trajectory_rmse"] == pytest.approx(np.sqrt(0.5), rel=0.15)


def test_unrelated_latent_explains_nothing_in_unseen_movies(rng):
    # A constant latent per movie memorises movies; predicting others from it must fail.
    theta = np.repeat(rng.normal(size=MOVIES), LENGTH)
    memorised = np.repeat(rng.permutation(MOVIES).astype(float), LENGTH)
    assert agreement(memorised[:, None], theta)["r2"] < 0.2
    assert agreement(rng.normal(size=(len(theta), 4)), theta)["r2"] < 0.05


def test_circle_in_a_rotated_latent_space(rng):
    # θ on a half circle, rotated into 5 dimensions among small noise: curved, no axis suffices.
    theta = angle(rng)
    phase = np.deg2rad(2 * theta)
    plane = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    latents = plane @ basis + 0.01 * rng.normal(size=(len(theta), 5))
    result = agreement(latents, theta)
    assert result["r2"] > 0.97
    assert result["abs_spearman"] > 0.8


def test_parameter_that_depends_on_two_axes_at_once(rng):
    latents = rng.uniform(-1, 1, (MOVIES * LENGTH, 2)) * [1, 3]
    assert agreement(latents, latents[:, 0] * latents[:, 1])["r2"] > 0.99


def test_spearman_names_the_axis(rng):
    theta = angle(rng)
    latents = np.stack([100 * rng.normal(size=len(theta)), theta], axis=1)
    result = agreement(latents, theta)
    assert result["spearman_axis"] == 2
    assert result["abs_spearman"] > 0.95


def test_collapsed_latent_scores_zero_not_an_error(rng):
    result = agreement(np.full((MOVIES * LENGTH, 3), 0.7), angle(rng))
    assert result["r2"] == result["r2_linear"] == result["abs_spearman"] == 0


def test_the_same_input_gives_the_same_numbers(rng):
    theta = angle(rng)
    latents = np.stack([theta, rng.normal(size=len(theta))], axis=1)
    assert agreement(latents, theta) == agreement(latents, theta)


def test_constant_parameter_and_single_state_are_left_out(rng):
    result = evaluated(
        Swing(),
        latents=rng.normal(size=(N, 2)),
        parameters=np.stack([np.zeros(N), np.arange(N)], axis=1),
        parameter_names=["still", "moves"],
        states=np.zeros(N, int),
    )
    assert list(result["latents"]) == ["moves"]
    assert result["latents"]["moves"]["dimensions"] == 2
    assert not result["latent_states"]


def test_too_few_frames_to_predict_from_are_no_error(rng):
    """Two movies, of which one frame each, or one and two, were looked at."""
    for movie in (np.array([0, 1]), np.array([0, 0, 1])):
        latents, parameter = rng.normal(size=(len(movie), 1)), rng.normal(size=len(movie))
        found = parameter_agreement(latents, movie, parameter)
        assert np.isnan([found[name] for name in ("r2", "r2_linear", "trajectory_rmse")]).all()
        assert found["abs_spearman"] > 0
