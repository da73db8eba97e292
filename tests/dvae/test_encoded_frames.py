"""Frames with encoder inputs: of unit variance, the same kept, computed, or in moved poses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from helpers.networks import encoded_of, network_of, tiny_frames, tiny_movies
from temporem.dvae.encoder_input import EncoderInput
from temporem.physics.rotations import rotation_of_vector


@pytest.mark.parametrize("kind", ["image", "back-projection"])
def test_inputs_have_unit_variance_kept_or_computed(kind: str) -> None:
    network = network_of(encoder_input=kind)
    kept = encoded_of(tiny_movies(), network)
    computed = encoded_of(tiny_movies(), network, memory_gb=0)
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


def test_input_follows_moved_poses() -> None:
    """In changed poses it is the input of a dataset with these poses."""
    blobs = simulate_blobs([4, 3, 5, 4], box=12, snr=2.0)
    n, noise = blobs.dataset.n_frames, torch.Generator().manual_seed(1)
    turns = 0.1 * torch.randn(n, 3, generator=noise, dtype=torch.float64)
    moves = 1.5 * torch.randn(n, 2, generator=noise, dtype=torch.float64)
    rotations = rotation_of_vector(turns) @ blobs.dataset.poses.rotations
    encoded = encoded_of(blobs, moving_poses=True)
    batch = encoded.batch(encoded.frames.movies, n_pixels=0)
    assert batch.encoder_input.shape == (n, 0)
    found = encoded.encode(batch, rotations.float(), moves.float()).encoder_input
    poses = replace(
        blobs.dataset.poses,
        rotations=rotations,
        shifts_angstrom=blobs.dataset.poses.shifts_angstrom + moves,
    )
    moved = encoded_of(replace(blobs, dataset=blobs.dataset.with_poses(poses)), memory_gb=0)
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
