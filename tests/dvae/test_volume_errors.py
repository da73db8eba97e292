"""What errors of the volumes add to the posteriors of latents."""

from dataclasses import replace

import torch

from helpers.known_volumes import known_volumes
from temporem.dvae.latent_grid import latents_on_grid
from temporem.dvae.latents import PLACES
from temporem.dvae.volume_errors import volume_error_variance


def of_movies(n: int) -> torch.Tensor:
    model, encoded, _ = known_volumes()
    frames = encoded.frames
    few = replace(frames, training=frames.movies[:n])
    found = latents_on_grid(model, encoded, few.training)
    return volume_error_variance(model, few, found["probability"])


def test_volumes_from_more_movies_leave_less() -> None:
    few, all_of_them = of_movies(8), of_movies(40)
    assert few.shape == (PLACES,)
    assert (all_of_them > 0).all()
    # A fifth of the variance where volumes are good; those of few movies are worse than that.
    assert float(all_of_them.mean()) < 0.4 * float(few.mean())


def test_they_are_small_beside_the_posteriors_where_volumes_are_good() -> None:
    model, encoded, _ = known_volumes()
    found = latents_on_grid(model, encoded, encoded.frames.movies)
    assert float(of_movies(40).mean()) < float(found["variance"].mean())


def test_too_few_movies_for_halves_add_nothing() -> None:
    assert (of_movies(3) == 0).all()
