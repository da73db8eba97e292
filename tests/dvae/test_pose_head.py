"""Poses inferred from images by a head on the encoder's features."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.networks import assert_same_parts, encoded_of, network_of, train, training_of
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import infer_latents
from temporem.dvae.learned_poses import LearnedPoses, learned_poses
from temporem.dvae.model import MovieVAE
from temporem.dvae.state import build_model
from temporem.dvae.training import training_states
from temporem.errors import TemporemError
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.pixel_sample import PixelSample
from temporem.physics.rotations import geodesic_degrees
from temporem.poses.head import PoseHead, twin_image

NETWORK = network_of(z_dim=1, encoder_input="image", encoder_width=16, generator_width=16)
HEAD = LearnedPoses("head")


@cache
def tiny() -> tuple[BlobMovies, EncodedFrames]:
    """Sixteen frames without poses. Not to be changed."""
    blobs = simulate_blobs([4, 3, 5, 4], box=12, snr=2.0, shift_sd_angstrom=2.0)
    return blobs, encoded_of(blobs, NETWORK, posed=False)


def model_of(method: str = "static") -> MovieVAE:
    return build_model(
        method, tiny()[1], NETWORK, base_components=None, learned=HEAD, dtype=None, seed=0
    )


def test_head_gives_proper_rotations_that_differ_between_frames() -> None:
    torch.manual_seed(0)
    head = PoseHead(32, 4.0)
    with torch.no_grad():
        posterior = head(torch.relu(torch.randn(50, 32)))
    rotations = posterior.rotations
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(50, 3, 3))
    assert (torch.linalg.det(rotations) > 0.99).all()
    assert float(geodesic_degrees(rotations[1:], rotations[:-1]).min()) > 0.1
    assert (posterior.kl() > 0).all()


def test_frame_and_frame_turned_in_its_plane_have_poses_that_are_twins() -> None:
    """A frame turned by 180° in its plane is X(−k), and so is any volume seen from its twin."""
    model, encoded = model_of(), tiny()[1]
    support = encoded.frames.forward_model.support
    others = PixelSample(torch.arange(1, len(support)), support.weights[1:])  # than the origin
    batch = encoded.batch(encoded.frames.movies).at(others)
    turned = replace(
        batch, encoder_input=twin_image(batch.encoder_input), images=batch.images.conj()
    )
    assert twin_image(turned.encoder_input).equal(batch.encoder_input)
    first, second = model.pose_posteriors(batch)
    turned_first, turned_second = model.pose_posteriors(turned)
    z = torch.zeros(len(batch.rows), 1)
    for posterior, other in ((first, turned_second), (second, turned_first)):
        images = [
            model.render(replace(b, rotations=p.rotations, shifts_angstrom=p.shifts_angstrom), z)
            for b, p in ((batch, posterior), (turned, other))
        ]
        torch.testing.assert_close(images[1], images[0].conj(), rtol=1e-3, atol=1e-4)
    # So both frames are explained equally well, by poses that are each other's twins.
    scores, turned_scores = model.scored(batch, z), model.scored(turned, z)
    torch.testing.assert_close(scores[0], turned_scores[0], rtol=1e-4, atol=1e-3)
    assert scores[2].equal(1 - turned_scores[2])
    assert 0 < int(scores[2].sum()) < len(z)


def test_better_of_both_counts() -> None:
    model, encoded = model_of(), tiny()[1]
    batch = encoded.batch(encoded.frames.movies)
    z = torch.zeros(len(batch.rows), 1)
    values = []
    for p in model.pose_posteriors(batch):
        placed = replace(batch, rotations=p.rotations, shifts_angstrom=p.shifts_angstrom)
        likelihood = model.log_likelihood(placed, model.render(placed, z))
        values.append(likelihood - p.kl())
    likelihood, kl, _ = model.scored(batch, z)
    torch.testing.assert_close(likelihood - kl, torch.stack(values).amax(0))


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_gradient_reaches_every_parameter_and_evaluation_is_deterministic(method: str) -> None:
    model, encoded = model_of(method), tiny()[1]
    batch = encoded.batch(encoded.frames.movies)
    batch = replace(batch, times=batch.times**1.2)  # of gaps that are all 1 nothing is learned
    bound = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    (bound.kl + bound.pose_kl - bound.log_likelihood).mean().backward()
    assert any(name.startswith("poses.") for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    with torch.no_grad():
        first, second = model.bound(batch), model.bound(batch)
        drawn = model.bound(batch, FrameNoise(torch.Generator().manual_seed(0)))
    for name in ("log_likelihood", "kl", "pose_kl"):
        assert getattr(first, name).equal(getattr(second, name))
    assert not torch.allclose(drawn.log_likelihood, first.log_likelihood)


def test_inference_of_latents_is_at_rest_while_poses_are_learned() -> None:
    training = training_of(start="none", epochs=4)
    states = training_states(tiny()[1], NETWORK, training, method="static", learned=HEAD)
    before, after = next(states).parts().tensors, next(states).parts().tensors
    for name in before:
        if name.startswith("model."):
            moves = name.startswith(("model.poses.", "model.extractor.", "model.generator."))
            moves &= not name.endswith(("positions", "envelope"))
            assert before[name].equal(after[name]) != moves, name


@pytest.mark.parametrize("stop", [1, 5, 9])
def test_training_goes_on_as_if_never_stopped(stop: int) -> None:
    (blobs, encoded), training = tiny(), training_of(start="static", epochs=8)
    whole = train(encoded, "tempor", NETWORK, training, learned=HEAD, keep=(stop,))
    stages = [record["stage"] for record in whole.records]
    assert stages == ["poses"] * 2 + ["static"] * 2 + ["warm-up"] + ["tempor"] * 3
    stored = whole.parts[stop]
    again = train(encoded, "tempor", NETWORK, training, learned=HEAD, stored=stored)
    assert_same_parts(again.last, whole.last)
    centres = blobs.dataset.without_poses().poses.shifts_angstrom
    one, other = (
        learned_poses(t.model, encoded, centres, infer_latents(t.model, encoded).mean)
        for t in (whole, again)
    )
    assert one.rotations.equal(other.rotations)
    assert one.shifts_angstrom.equal(other.shifts_angstrom)
    assert (one.angle_sd_degrees > 0).all()
    assert one.rotations.std(0).min() > 0


def test_head_has_no_linear_model_to_start_from() -> None:
    with pytest.raises(TemporemError, match=r"begins without poses.*start=none or static"):
        train(tiny()[1], "static", NETWORK, training_of(start="linear"), learned=HEAD)
