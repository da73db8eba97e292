"""Inference of all frames: movie by movie, in the order of the dataset."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.networks import TINY, tiny_frames
from temporem.dvae.infer import infer_features, infer_latents
from temporem.dvae.model import MovieVAE
from temporem.dvae.state import build_model


def model_of(kind: str) -> MovieVAE:
    arguments = {"base_components": None, "learned": None, "dtype": None, "seed": 0}
    return build_model(kind, tiny_frames(), TINY, **arguments)


@pytest.mark.parametrize("kind", ["static", "tempor"])
def test_latents_are_those_of_movies_alone_in_order_of_rows(kind: str) -> None:
    rows = np.random.default_rng(2).permutation(32)
    movies = np.split(rows, [5, 9, 20, 30])
    encoded = tiny_frames()
    encoded = replace(encoded, frames=replace(encoded.frames, movies=movies))
    model = model_of(kind)
    latents = infer_latents(model, encoded, block=9)
    for movie in movies:
        alone = model.infer(encoded.batch([movie]))
        torch.testing.assert_close(latents.mean[movie], alone.mean)
        torch.testing.assert_close(latents.kl[movie], alone.kl)
    assert latents.z.equal(latents.mean)
    again = infer_latents(model, encoded, block=9)
    assert again.log_variance.equal(latents.log_variance)
    torch.testing.assert_close(latents.sd.square(), latents.variance)


def test_features_come_in_order_of_rows() -> None:
    model, encoded = model_of("static"), tiny_frames()
    expected = model.features(encoded.batch([np.array([7, 3])]))
    torch.testing.assert_close(infer_features(model, encoded)[[7, 3]], expected)
