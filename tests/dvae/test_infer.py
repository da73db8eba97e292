"""Inference of all frames: movie by movie, in the order of the dataset."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from helpers.networks import TINY, encoded_of, tiny_frames
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import infer_features, infer_latents
from temporem.dvae.inference import log_gaps
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


def movies_at(numbers: list[int], seconds: list[float] | None = None) -> EncodedFrames:
    """Two movies of four frames with frame numbers, and times, of our own."""
    blobs = simulate_blobs([4, 4], box=12)
    times = blobs.dataset.times_seconds if seconds is None else np.array(seconds)
    data = replace(blobs.dataset, frame_numbers=np.array(numbers), times_seconds=times)
    return encoded_of(replace(blobs, dataset=data))


def test_missing_frames_are_seen_by_tempor_alone() -> None:
    complete, gaps = movies_at([1, 2, 3, 4] * 2), movies_at([1, 2, 3, 4, 1, 2, 6, 7])
    for kind in ("static", "tempor"):
        model = model_of(kind)
        one, other, again = (infer_latents(model, e).mean for e in (complete, gaps, gaps))
        assert other.equal(again)
        assert one[:4].equal(other[:4])
        assert one[4:].equal(other[4:]) == (kind == "static")


@pytest.mark.parametrize("unit", [1e-6, 0.037, 3600.0])
def test_the_unit_of_time_does_not_matter(unit: float) -> None:
    """Nor whether times or frame numbers tell of the same gaps."""
    numbers = [1, 2, 5, 6, 3, 4, 5, 8]
    model = model_of("tempor")
    expected = infer_latents(model, movies_at(numbers))
    found = infer_latents(model, movies_at([1, 2, 3, 4] * 2, [unit * n for n in numbers]))
    assert found.mean.equal(expected.mean)
    assert found.kl.equal(expected.kl)


@pytest.mark.parametrize("unit", [1e-6, 0.037, 3600.0])
def test_even_times_are_no_times_at_all(unit: float) -> None:
    even = movies_at([1, 2, 3, 4] * 2, [unit * n for n in (4, 5, 6, 7, 0, 1, 2, 3)])
    gaps = log_gaps(even.frames.times, torch.tensor([4, 4]))
    assert gaps.equal(torch.zeros(8, 1))
