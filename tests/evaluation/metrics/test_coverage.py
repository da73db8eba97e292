"""Coverage of the intervals of parameters, on posteriors that are exact."""

import numpy as np
import pytest

from temporem.evaluation.metrics.coverage import ParameterCurve, parameter_errors

N = 2000
MOVIE = np.repeat(np.arange(N // 10), 10)
GRID = np.linspace(0, 1, 401)

MAPS = {
    "even": lambda p: p,
    "bent": lambda p: p + 0.12 * np.sin(2 * np.pi * p),
    "saturated": lambda p: np.sin(0.5 * np.pi * p),
    "backwards": lambda p: 3 - 2 * p**2,
}


def exact_posteriors(latent, sd: float, seed: int) -> tuple[np.ndarray, ...]:
    """Parameters between two walls, and the exact posteriors of their latents from noisy values."""
    random = np.random.default_rng(seed)
    parameter = random.random(N)
    noise = sd * np.exp(0.4 * random.standard_normal(N))
    seen = latent(parameter) + noise * random.standard_normal(N)
    weight = np.exp(-0.5 * ((seen[:, None] - latent(GRID)) / noise[:, None]) ** 2)
    weight /= weight.sum(1, keepdims=True)
    mean = weight @ latent(GRID)
    variance = (weight * (latent(GRID) - mean[:, None]) ** 2).sum(1)
    return parameter, mean, variance


def inside(error: np.ndarray, spread: np.ndarray) -> list[float]:
    ratio = np.abs(error) / spread
    return [float((ratio <= edge).mean()) for edge in (0.674, 1.645)]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("sd", [0.03, 0.1])
def test_exact_posteriors_cover_as_often_as_they_say(name: str, sd: float) -> None:
    parameter, mean, variance = exact_posteriors(MAPS[name], sd, seed=0)
    found = parameter_errors(mean[:, None], variance[:, None, None], MOVIE, parameter[:, None])
    assert inside(*found) == pytest.approx([0.5, 0.9], abs=0.045)


def test_posteriors_that_are_too_narrow_cover_less() -> None:
    parameter, mean, variance = exact_posteriors(MAPS["bent"], 0.1, seed=1)
    found = parameter_errors(
        mean[:, None], 0.49 * variance[:, None, None], MOVIE, parameter[:, None]
    )
    # Of a Gaussian, 36 and 75 % are within 0.7 of its 50 and 90 % intervals.
    assert inside(*found) == pytest.approx([0.36, 0.75], abs=0.045)


def test_several_latents_and_parameters() -> None:
    random = np.random.default_rng(2)
    parameters = random.random((N, 2)) * [90, 5]
    x, y = parameters[:, 0] / 90, parameters[:, 1] / 5
    true = np.stack([np.cos(1.5 * x) + 0.3 * y, np.sin(1.5 * x), y - 0.2 * x], axis=1)
    mixing = random.standard_normal((N, 3, 3))
    covariance = 0.03**2 * (np.eye(3) + 0.3 * mixing @ np.swapaxes(mixing, 1, 2))
    root = np.linalg.cholesky(covariance)
    mean = true + np.einsum("nij,nj->ni", root, random.standard_normal((N, 3)))
    error, spread = parameter_errors(mean, covariance, MOVIE, parameters)
    for column in range(2):
        found = inside(error[:, column], spread[:, column])
        assert found == pytest.approx([0.5, 0.9], abs=0.045)
    # An error of the latents by 0.03 or a little more, along a curve of 1.5 per 90 degrees.
    assert 1.8 < np.median(spread[:, 0]) < 4


def test_the_curve_is_not_flattened_by_noise_as_least_squares_is() -> None:
    parameter, mean, _ = exact_posteriors(MAPS["even"], 0.3, seed=3)
    curve = ParameterCurve.fit(parameter[:, None], mean[:, None])
    middle = np.array([[0.5]])
    assert curve.slope(middle)[0, 0, 0] == pytest.approx(1, abs=0.12)
    assert np.polyfit(parameter, mean, 1)[0] < 0.75
