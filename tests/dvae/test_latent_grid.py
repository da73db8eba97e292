"""Latents on a grid, found from volumes that are known."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from helpers.known_volumes import known_volumes
from temporem.dvae.latent_grid import grid_log_likelihood, latent_grid, latents_on_grid


@pytest.mark.parametrize(("kind", "wider"), [("static", 0), ("tempor", 0.1)])
def test_posteriors_cover_the_truth_as_often_as_they_say(kind: str, wider: float) -> None:
    """With dynamics they are a little wide: a motion at one speed is smoother than any step."""
    model, encoded, truth = known_volumes(kind)
    found = latents_on_grid(model, encoded, encoded.frames.movies)
    ratio = (found["mean"][:, 0] - truth).abs() / found["variance"][:, 0].sqrt()
    assert float((ratio < 0.674).float().mean()) == pytest.approx(0.5 + wider, abs=0.07)
    assert float((ratio < 1.645).float().mean()) == pytest.approx(0.9 + wider / 3, abs=0.05)


def test_a_whole_movie_tells_more_than_a_frame() -> None:
    errors = {}
    for kind in ("static", "tempor"):
        model, encoded, truth = known_volumes(kind)
        found = latents_on_grid(model, encoded, encoded.frames.movies)
        errors[kind] = float((found["mean"][:, 0] - truth).square().mean())
    assert errors["tempor"] < 0.8 * errors["static"]
    assert errors["static"] < 0.8  # of 1, the variance of the truth


def test_likelihood_is_that_of_the_volumes_in_the_images() -> None:
    model, encoded, _ = known_volumes()
    places = latent_grid(model.generator)[::12]
    found = grid_log_likelihood(model, encoded.frames, encoded.frames.movies, places)
    batch = encoded.frames.batch(encoded.frames.movies)
    exact = torch.stack([model.scored(batch, z.view(1, 1))[0] for z in places], dim=1)
    exact = encoded.frames.statistics.independent_share * exact.detach()
    # Only differences between places count.
    found, exact = (v - v.mean(1, keepdim=True) for v in (found, exact))
    assert np.corrcoef(found.flatten(), exact.flatten())[0, 1] > 0.999
    assert float((found - exact).abs().max()) < 0.05 * float(exact.abs().max())


def test_only_movies_that_are_asked_for_get_latents() -> None:
    model, encoded, truth = known_volumes()
    some = encoded.frames.movies[:30]
    found = latents_on_grid(model, encoded, some)
    left = np.setdiff1d(np.arange(len(truth)), np.concatenate(some))
    assert (found["probability"][left] == 0).all()
    assert (found["variance"][left] == 1).all()
    rows = np.concatenate(some)
    rank = spearmanr(found["mean"][rows, 0].numpy(), truth[rows].numpy()).statistic
    assert rank > 0.8
