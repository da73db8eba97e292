"""Posteriors of one latent on a grid."""

import numpy as np
import pytest
import torch

from helpers.elsewhere import ELSEWHERE, elsewhere
from temporem.dvae.smoothing import smoothed, unsmoothed

PLACES = torch.linspace(-2, 2, 41)
EVEN = torch.ones(1)


def drifting(n_movies: int, n_frames: int, *, sd: float, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Latents that move at a steady speed, and the likelihood of noisy measurements of them."""
    random = torch.Generator().manual_seed(seed)
    start = 2.4 * torch.rand(n_movies, 1, generator=random) - 1.2
    speed = 0.2 * torch.rand(n_movies, 1, generator=random) - 0.1
    truth = start + speed * torch.arange(n_frames) - speed * n_frames / 2
    seen = truth + sd * torch.randn(truth.shape, generator=random)
    return truth.flatten(), -0.5 * ((seen.flatten()[:, None] - PLACES) / sd).square()


def movies_of(n_movies: int, n_frames: int) -> list[np.ndarray]:
    return np.split(np.arange(n_movies * n_frames), n_movies)


def index_of(n: int) -> torch.Tensor:
    return torch.zeros(n, dtype=torch.long)


def root_mean_square(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_neighbours_in_time_tell_more_than_a_frame_alone():
    truth, likelihood = drifting(40, 12, sd=0.6)
    movies = movies_of(40, 12)
    together = smoothed(likelihood, movies, index_of(480), EVEN, PLACES)
    alone = unsmoothed(likelihood, movies)

    assert torch.allclose(together.sum(1), torch.ones(480), atol=1e-4)
    error = root_mean_square(together @ PLACES - truth)
    assert error < 0.6 * root_mean_square(alone @ PLACES - truth)
    assert root_mean_square(alone @ PLACES - truth) < 0.6  # the prior alone helps, too


def test_posteriors_cover_the_truth_as_often_as_they_say():
    truth, likelihood = drifting(100, 10, sd=0.5, seed=1)
    probability = smoothed(likelihood, movies_of(100, 10), index_of(1000), EVEN, PLACES)
    mean = probability @ PLACES
    sd = (probability * (PLACES - mean[:, None]).square()).sum(1).sqrt()
    inside = ((truth - mean).abs() < 1.645 * sd).float().mean()
    assert 0.83 < inside < 0.98


def test_a_gap_loosens_the_tie_between_two_frames():
    likelihood = torch.zeros(44, 41)
    # Movies of two frames, the first of which is seen clearly; in the last movie after a gap.
    likelihood[0::2] = -0.5 * ((PLACES - 0.5) / 0.05).square()
    intervals, index = torch.tensor([1.0, 20.0]), index_of(44)
    index[-1] = 1
    found = smoothed(likelihood, movies_of(22, 2), index, intervals, PLACES)
    spread = (found * (PLACES - (found @ PLACES)[:, None]).square()).sum(1)
    assert spread[-1] > 1.5 * spread[-3]


def test_frames_without_information_do_not_tell_their_number():
    # All movies run the same course; a counter would know it in the last, whose images are blank.
    course = torch.linspace(-1.5, 1.5, 10)
    likelihood = -0.5 * ((course[:, None] - PLACES) / 0.2).square()
    likelihood = torch.cat([likelihood.repeat(20, 1), torch.zeros(10, 41)])
    found = smoothed(likelihood, movies_of(21, 10), index_of(210), EVEN, PLACES)
    mean = found @ PLACES
    assert root_mean_square(mean[:10] - course) < 0.15
    assert (mean[-10:] - mean[-10:].mean()).abs().max() < 0.35


def test_movies_may_differ_in_length_and_leave_rows_out():
    truth, likelihood = drifting(30, 8, sd=0.4)
    movies = [movie[: 3 + i % 6] for i, movie in enumerate(movies_of(30, 8))]
    found = smoothed(likelihood, movies, index_of(240), EVEN, PLACES)
    used = np.concatenate(movies)
    left = np.setdiff1d(np.arange(240), used)
    assert root_mean_square((found @ PLACES - truth)[used]) < 0.3
    assert (found[left] == 0).all()
    # A movie cut short gives what it gives among others.
    alone = smoothed(likelihood[:8], [np.arange(3)], index_of(8), EVEN, PLACES)
    assert torch.isfinite(alone).all()


def test_another_device_finds_what_the_cpu_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    _, likelihood = drifting(10, 6, sd=0.4)
    arguments = (movies_of(10, 6), index_of(60), EVEN)
    expected = smoothed(likelihood, *arguments, PLACES)
    with elsewhere(monkeypatch):
        found = smoothed(likelihood.to(ELSEWHERE), *arguments, PLACES.to(ELSEWHERE))
        alone = unsmoothed(likelihood.to(ELSEWHERE), arguments[0])
        assert found.device.type == alone.device.type == ELSEWHERE.type
        found = found.cpu()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
