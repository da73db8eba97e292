"""What the Gaussians of a cloud miss, and what they do not."""

import math
from dataclasses import replace

import pytest
import torch

from helpers.known_volumes import BOX, NETWORK, known_volumes
from helpers.networks import network_of
from temporem.dvae.missed_detail import find_missed_detail, missed_to_noise
from temporem.dvae.model import MovieVAE, build_vae
from temporem.frames.frames import Frames
from temporem.frames.source import FramesInMemory
from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.physics.rotations import rotation_about_axis
from temporem.volumes.moving_cloud import WEIGHT_UNIT

NOISE, WEIGHT = 1.0, 1.5
ARM = torch.arange(40) >= 24
ABOUT_Z = torch.tensor([0.0, 0.0, 1.0])
SUPPORT = FourierSupport(BOX, 3)


def turning(missing: float) -> tuple[MovieVAE, Frames, torch.Tensor]:
    """A cloud with an arm that turns, noisy frames of it, and their latents.

    In the frames, one Gaussian of the arm is heavier than in the cloud, by ``missing``.
    """
    _, encoded, z = known_volumes()
    frames = encoded.frames
    network = network_of(**{**NETWORK.model_dump(), "generator": "cloud", "generator_width": 20})
    model = build_vae("tempor", network, frames.forward_model, 4, base_components=1, seed=0)
    cloud, random = model.generator.cloud, torch.Generator().manual_seed(0)
    points = 1.5 * torch.randn(40, 3, generator=random)
    points[ARM] = 0.5 * points[ARM] + torch.tensor([5.0, 0.0, 0.0])
    cloud.place(points, torch.full((40,), WEIGHT), 1.0)

    def positions(latents: torch.Tensor) -> torch.Tensor:
        turn = rotation_about_axis(ABOUT_Z.expand(len(latents), 3), 0.4 * latents[:, 0])
        moved = points @ turn.mT
        return torch.where(ARM[:, None], moved, points.expand_as(moved))

    cloud.positions = positions
    weights = cloud.log_weight.detach().clone()
    with torch.no_grad():
        cloud.log_weight[-1] += math.log(1 + missing / WEIGHT) / WEIGHT_UNIT
        pixels = torch.arange(len(frames.forward_model.support))
        slices = model.generator.frame_slices(
            frames.forward_model, frames.rotations, pixels, z[:, None]
        )
        cloud.log_weight.copy_(weights)
    _, ctf = frames.source.take(torch.arange(len(frames)).numpy(), None)
    noise = torch.randn(*slices.shape, 2, generator=random) * NOISE * 0.5**0.5
    images = slices * ctf + torch.view_as_complex(noise)
    return model, replace(frames, source=FramesInMemory(images, ctf)), z[:, None]


def error(model: MovieVAE, missing: float, z: torch.Tensor) -> float:
    """Squared error of the volumes, as a part of the power of what the cloud misses."""
    cloud = model.generator.cloud
    with torch.no_grad():
        heavier = torch.tensor([missing])
        lacking = gaussian_sums(cloud.positions(z)[:, -1:], heavier, cloud.sd, SUPPORT)
        left = cloud.coefficients(SUPPORT, z) + lacking - model.generator.volumes(SUPPORT, z)
    return float(left.abs().square().sum() / lacking.abs().square().sum())


def test_density_that_moves_and_is_missed_is_found() -> None:
    model, frames, z = turning(30.0)
    few = z[::40]
    assert error(model, 30.0, few) == pytest.approx(1)
    assert find_missed_detail(model, frames, z)
    assert len(model.generator.missed) == 2
    assert error(model, 30.0, few) < 0.4


def test_what_turns_with_the_arm_is_in_the_map_of_the_arm() -> None:
    model, frames, z = turning(30.0)
    find_missed_detail(model, frames, z)
    missed = model.generator.missed
    power, arm = missed.maps.square().sum((1, 2, 3)), int(missed.labels[-1])
    assert float(power[arm]) > 3 * float(power[1 - arm])


def test_nothing_is_added_where_nothing_is_missed() -> None:
    model, frames, z = turning(0.0)
    assert not find_missed_detail(model, frames, z)
    assert len(model.generator.missed) == 0


def test_too_few_movies_for_half_sets_add_nothing() -> None:
    model, frames, z = turning(30.0)
    assert not find_missed_detail(model, replace(frames, training=frames.movies[:3]), z)


@pytest.mark.parametrize("taken", [0.0, 0.3])
@pytest.mark.parametrize("signal", [0.0, 0.5, 4.0])
def test_filter_is_nearly_the_best(taken: float, signal: float) -> None:
    """A cloud that fitted part of the noise: what is left is filtered nearly as with the truth."""
    n, shells = 4000, 24
    random = torch.Generator().manual_seed(1)
    # In the lower half of the shells nothing is missed, so that they tell what was fitted.
    power = torch.where(torch.arange(shells) < shells // 2, 0.0, signal)
    missed = power[:, None].sqrt() * torch.randn(shells, n, generator=random)
    noises = 2**0.5 * torch.randn(2, shells, n, generator=random)
    fitted = taken * noises.mean(0)
    halves = missed + noises - fitted
    cross, powers = (halves[0] * halves[1]).sum(1), halves.square().sum(2)
    ratio = missed_to_noise(cross / powers.prod(0).sqrt())
    gain = (ratio / (1 + ratio))[:, None]
    left, lacking = halves.mean(0), missed - fitted
    best = ((left * lacking).sum(1) / left.square().sum(1)).clamp(min=0)[:, None]
    upper = slice(shells // 2, None)
    loss = (lacking - gain * left)[upper].square().mean()
    least = (lacking - best * left)[upper].square().mean()
    assert loss < 1.15 * least + 0.002
