"""Frames with encoder inputs: of unit variance, the same kept, computed, or in moved poses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from helpers.networks import (
    encoded_of,
    known_start,
    network_of,
    tiny_frames,
    tiny_movies,
    training_of,
)
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.encoder_input import EncoderInput
from temporem.dvae.settings import resolved_input
from temporem.errors import TemporemError
from temporem.physics.rotations import rotation_of_vector

KINDS = ("linear", "image", "back-projection")


def encoded(kind: str, **options) -> EncodedFrames:
    """Frames of :func:`tiny_movies` with inputs of a kind."""
    return encoded_of(
        tiny_movies(), network_of(encoder_input=kind), base=known_start().volumes, **options
    )


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_have_unit_variance_kept_or_computed(kind: str) -> None:
    kept, computed = encoded(kind), encoded(kind, memory_gb=0)
    assert isinstance(kept.encoder_input, torch.Tensor)
    assert isinstance(computed.encoder_input, EncoderInput)
    assert float(kept.encoder_input.square().mean()) == pytest.approx(1, rel=1e-5)
    movies = kept.frames.movies[2:4]
    for n_pixels in (0, 20, None):
        one, other = kept.batch(movies, n_pixels), computed.batch(movies, n_pixels)
        assert one.encoder_input.equal(kept.encoder_input[one.rows])
        torch.testing.assert_close(other.encoder_input, one.encoder_input, rtol=0, atol=1e-5)
        assert other.images.shape == one.images.shape
        torch.testing.assert_close(other.images, one.images)
        assert other.rows.equal(one.rows)


@pytest.mark.parametrize("kind", ["linear", "back-projection"])
def test_input_follows_moved_poses(kind: str) -> None:
    """In changed poses it is the input of a dataset with these poses."""
    network, base = network_of(encoder_input=kind), known_start().volumes
    blobs = simulate_blobs([4, 3, 5, 4], box=12, snr=2.0)
    n, noise = blobs.dataset.n_frames, torch.Generator().manual_seed(1)
    turns = 0.1 * torch.randn(n, 3, generator=noise, dtype=torch.float64)
    moves = 1.5 * torch.randn(n, 2, generator=noise, dtype=torch.float64)
    rotations = rotation_of_vector(turns) @ blobs.dataset.poses.rotations
    encoded = encoded_of(blobs, network, base=base, moving_poses=True)
    batch = encoded.batch(encoded.frames.movies, n_pixels=0)
    assert batch.encoder_input.shape == (n, 0)
    found = encoded.encode(batch, rotations.float(), moves.float()).encoder_input
    poses = replace(
        blobs.dataset.poses,
        rotations=rotations,
        shifts_angstrom=blobs.dataset.poses.shifts_angstrom + moves,
    )
    moved = replace(blobs, dataset=blobs.dataset.with_poses(poses))
    moved = encoded_of(moved, network, base=base, memory_gb=0)
    # The same function of other images, up to their window, which is centred on the particle.
    function = encoded.encoder_input
    images, ctf = moved.frames.source.take(np.arange(n), function.n_pixels)
    expected = function(images, ctf, moved.frames.rotations)
    unmoved = function(*encoded.frames.source.take(np.arange(n)), encoded.frames.rotations)
    assert (found - expected).norm() < 0.25 * (unmoved - expected).norm()


def test_poses_that_stay_need_no_new_input() -> None:
    encoded = tiny_frames()
    batch = encoded.batch(encoded.frames.movies[:1])
    assert encoded.encode(batch, batch.rotations, torch.ones(4, 2)) is batch


@pytest.mark.parametrize("memory_gb", [1.0, 0.0], ids=["kept", "computed"])
@pytest.mark.parametrize("kind", KINDS)
def test_without_images_only_what_does_not_depend_on_them_is_left(kind: str, memory_gb) -> None:
    frames = encoded(kind, memory_gb=memory_gb)
    movies = frames.frames.movies[1:4]
    seen, blank = (e.batch(movies) for e in (frames, frames.without_images()))
    n_seen = seen.encoder_input.shape[1] - (3 if kind == "linear" else 0)
    assert (blank.encoder_input[:, :n_seen] == 0).all()
    assert (seen.encoder_input[:, :n_seen] != 0).any(1).all()
    assert blank.encoder_input[:, n_seen:].equal(seen.encoder_input[:, n_seen:])
    assert blank.images.equal(seen.images)
    assert frames.batch(movies).encoder_input.equal(seen.encoder_input)  # and is as it was


def test_what_is_left_without_images_is_the_same_for_other_images() -> None:
    blobs = tiny_movies()
    others = np.random.default_rng(0).normal(size=blobs.dataset.images.shape).astype(np.float32)
    others *= blobs.noise_variance**0.5  # of the same noise, so that images have the same scale
    other = replace(blobs, dataset=replace(blobs.dataset, images=others))
    network, base = network_of(encoder_input="linear"), known_start().volumes
    left = []
    for movies in (blobs, other):
        frames = encoded_of(movies, network, base=base, memory_gb=0)
        unscaled = replace(frames, encoder_input=replace(frames.encoder_input, scale=1.0))
        left.append(unscaled.without_images().batch(frames.frames.movies).encoder_input)
    assert left[0].equal(left[1])
    assert left[0].any()


@pytest.mark.parametrize("kind", ["linear", "back-projection"])
def test_without_images_moving_poses_are_still_seen(kind: str) -> None:
    frames = encoded(kind, moving_poses=True)
    batch = frames.batch(frames.frames.movies)
    noise = torch.Generator().manual_seed(1)
    turns = 0.3 * torch.randn(32, 3, generator=noise, dtype=torch.float64)
    rotations = (rotation_of_vector(turns) @ batch.rotations.double()).float()
    seen, blank, unmoved = (
        e.encode(batch, r, torch.zeros(32, 2)).encoder_input
        for e, r in (
            (frames, rotations),
            (frames.without_images(), rotations),
            (frames.without_images(), batch.rotations),
        )
    )
    n_seen = seen.shape[1] - (3 if kind == "linear" else 0)
    assert (blank[:, :n_seen] == 0).all()
    assert blank[:, n_seen:].equal(seen[:, n_seen:])
    assert blank.equal(unmoved) == (kind == "back-projection")


def test_the_linear_input_needs_a_linear_model() -> None:
    with pytest.raises(TemporemError, match=r"needs a linear model .* expected training.start="):
        encoded_of(tiny_movies(), network_of(encoder_input="linear"))


@pytest.mark.parametrize(
    ("kind", "start", "expected"),
    [
        ("auto", "linear", "linear"),
        ("auto", "static", "back-projection"),
        ("auto", "none", "back-projection"),
        ("image", "linear", "image"),
        ("back-projection", "linear", "back-projection"),
    ],
)
def test_the_automatic_input_is_the_linear_one_where_there_is_a_linear_model(
    kind: str, start: str, expected: str
) -> None:
    assert resolved_input(network_of(encoder_input=kind), training_of(start=start)) == expected
