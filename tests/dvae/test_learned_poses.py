"""Poses in a table, learned with the network: closer to the truth, and used by the encoder."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.networks import assert_same_parts, encoded_of, network_of, train, training_of
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.fit import fit_static
from temporem.dvae.learned_poses import LearnedPoses, encode_in_current_poses, learned_poses
from temporem.dvae.model import MovieVAE
from temporem.dvae.settings import NetworkSettings
from temporem.dvae.state import build_model
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.poses import Poses
from temporem.physics.rotations import geodesic_degrees, rotation_of_vector

NETWORK = network_of()
TABLE = LearnedPoses()


def poses_off(blobs: BlobMovies, degrees: float, shift_angstrom: float) -> Poses:
    """The true poses, with errors of these standard deviations about and along every axis."""
    poses, noise = blobs.dataset.poses, torch.Generator().manual_seed(7)
    n = len(poses)
    turns = np.deg2rad(degrees) * torch.randn(n, 3, generator=noise, dtype=torch.float64)
    moves = shift_angstrom * torch.randn(n, 2, generator=noise, dtype=torch.float64)
    return Poses(rotation_of_vector(turns) @ poses.rotations, poses.shifts_angstrom + moves)


@cache
def tiny() -> tuple[BlobMovies, EncodedFrames]:
    """Sixteen frames whose poses are 4° and 1 Å off. Not to be changed."""
    blobs = simulate_blobs([4, 3, 5, 4], box=12, snr=2.0)
    blobs = replace(blobs, dataset=blobs.dataset.with_poses(poses_off(blobs, 4.0, 1.0)))
    return blobs, encoded_of(blobs, NETWORK, moving_poses=True)


def model_of(method: str) -> MovieVAE:
    """A model whose poses are in a table, and whose generator refines a linear model."""
    model = build_model(
        method, tiny()[1], NETWORK, base_components=4, learned=TABLE, dtype=None, seed=0
    )
    random, base = torch.Generator().manual_seed(9), model.generator.base
    base.set_maps(0.1 * torch.randn(base.maps.shape, generator=random))
    # As after a first step of training: no gradient passes weights that are 0.
    curve = model.generator.curve.bend.last.weight
    curve.data.copy_(0.1 * torch.randn(curve.shape, generator=random))
    return model


def errors(poses: Poses, true: Poses) -> tuple[float, float]:
    """Medians of the errors of angle, degrees, and shift, Å."""
    shift = (poses.shifts_angstrom - true.shifts_angstrom).norm(dim=-1)
    return float(geodesic_degrees(poses.rotations, true.rotations).median()), float(shift.median())


@pytest.mark.integration
def test_table_some_degrees_off_comes_closer_to_the_truth() -> None:
    blobs = simulate_blobs([8] * 30, snr=10.0, arc_degrees=0.0)
    given, true = poses_off(blobs, 5.0, 1.5), blobs.dataset.poses
    fit = fit_static(
        blobs.dataset,
        poses=given,
        network=NetworkSettings(encoder_width=16, rnn_width=8, generator_width=16),
        training=training_of(start="none", epochs=24, learning_rate=2e-3),
        learned=replace(TABLE, step_degrees=1.0),
        precision="float32",
    )
    assert fit.poses is not None
    (angle, shift), (angle_before, shift_before) = (errors(p, true) for p in (fit.poses, given))
    assert angle_before > 7
    assert angle < 0.6 * angle_before
    assert shift < 0.6 * shift_before
    assert (fit.poses.angle_sd_degrees > 0).all()
    assert fit.poses.angle_sd_degrees.median() < 2  # the value that it starts from


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_gradient_reaches_every_parameter_and_evaluation_is_deterministic(method: str) -> None:
    model, encoded = model_of(method), tiny()[1]
    batch = encode_in_current_poses(model, encoded, encoded.batch(encoded.frames.movies))
    batch = replace(batch, times=batch.times**1.2)  # of gaps that are all 1 nothing is learned
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    (bound.kl + bound.pose_kl - bound.log_likelihood).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert (model.poses.turns.grad.norm(dim=-1) > 0).all()  # of every frame
    with torch.no_grad():
        first, second = model.bound(batch), model.bound(batch)
        drawn = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    for name in ("log_likelihood", "kl", "pose_kl"):
        assert getattr(first, name).equal(getattr(second, name))
    assert not torch.allclose(drawn.log_likelihood, first.log_likelihood)


def test_encoder_input_is_that_of_the_poses_learned_so_far() -> None:
    (blobs, encoded), model = tiny(), model_of("static")
    table, n = model.poses, blobs.dataset.n_frames
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        table.turns.copy_(0.1 * torch.randn(n, 3, generator=noise))
        table.shifts.copy_(0.1 * torch.randn(n, 2, generator=noise))
    batch = encoded.batch(encoded.frames.movies, n_pixels=0)
    found = encode_in_current_poses(model, encoded, batch).encoder_input
    centres = blobs.dataset.poses.shifts_angstrom
    poses = learned_poses(model, encoded, centres)
    moves = (poses.shifts_angstrom - centres).float()
    expected = encoded.encode(batch, poses.rotations.float(), moves).encoder_input
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    turned = poses.rotations @ blobs.dataset.poses.rotations.mT
    expected = rotation_of_vector(table.turns.detach().double())
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(moves, 16 * table.shifts.detach(), rtol=1e-4, atol=1e-5)


def test_table_starts_with_the_spread_that_is_known() -> None:
    encoded, n = tiny()[1], len(tiny()[1])
    rotations, shifts = torch.eye(3).repeat(n, 1, 1), torch.zeros(n, 2)
    known = Poses(rotations, shifts, torch.linspace(0, 5, n), torch.linspace(0, 1, n))
    for given, angle, shift in (
        (None, torch.full((n,), 2.0), torch.full((n,), np.deg2rad(2.0) * 16)),
        (known, torch.linspace(0, 5, n).clamp(min=1e-3), torch.linspace(0, 1, n).clamp(min=1e-3)),
    ):
        table = LearnedPoses(given).build(encoded)
        posterior = table(torch.arange(n))
        assert posterior.rotations.allclose(encoded.frames.rotations, atol=1e-6)
        torch.testing.assert_close(posterior.spread()[0][1:], angle[1:])
        torch.testing.assert_close(posterior.spread()[1], shift)


@pytest.mark.parametrize(("start", "stops"), [("static", (1, 5, 9)), ("none", (1, 3))])
def test_training_goes_on_as_if_never_stopped(start: str, stops: tuple[int, ...]) -> None:
    encoded, training = tiny()[1], training_of(start=start, epochs=8)
    whole = train(encoded, "tempor", NETWORK, training, learned=TABLE, keep=stops)
    assert float(whole.model.poses.turns.detach().abs().max()) > 1e-3
    assert all("pose_kl" in record for record in whole.records)
    for stop in stops:
        stored = whole.parts[stop]
        resumed = train(encoded, "tempor", NETWORK, training, learned=TABLE, stored=stored)
        assert_same_parts(resumed.last, whole.last)
