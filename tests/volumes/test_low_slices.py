"""Slices of decoded volumes: those that the generator itself gives, at low frequencies."""

import pytest
import torch

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.volumes.generators import make_generator
from temporem.volumes.latent_curve import LatentCurve
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.low_slices import LowSlices, low_grid
from temporem.volumes.model import VolumeModel

BOX, RADIUS = 32, 8.0
MODEL = ForwardModel(BOX, 4.0)
PIXELS = torch.arange(int((MODEL.support.radii <= RADIUS).sum()))
Z = torch.tensor([[-1.0], [0.2], [1.1]])


def cloud() -> VolumeModel:
    made = make_generator("cloud", BOX, 1, 16, components=3)
    made.cloud.place(4 * torch.randn(len(made.cloud), 3), torch.full((len(made.cloud),), 0.5), 1.4)
    torch.nn.init.normal_(made.cloud.last.weight, std=0.1)
    return made


def refined() -> VolumeModel:
    """A network on a linear model, both about the middle of the box."""
    made = make_generator("volumes", BOX, 1, 16, components=3)
    x = torch.arange(BOX) - BOX // 2
    ball = (-(x[:, None, None].square() + x[:, None].square() + x.square()) / 32).exp()
    made.start_from(ball * torch.randn(4, BOX, BOX, BOX), ball, LatentCurve(1, 3), Z)
    torch.nn.init.normal_(made.change.mlp.last.weight)
    return made


@pytest.mark.parametrize("make", [cloud, refined])
def test_slices_are_those_of_the_decoded_volumes(make) -> None:
    torch.manual_seed(0)
    generator = make()
    rotations = random_rotations(20, torch.Generator().manual_seed(2)).float()
    frequencies = MODEL.slice_frequencies(rotations, PIXELS)
    found = LowSlices.of(generator, Z, RADIUS)(frequencies)
    support = FourierSupport(BOX, 3)
    for i, z in enumerate(Z):
        whole = LinearVolumes(BOX, 0)
        whole.set_mean(support.ifft(generator.volumes(support, z[None]))[0].detach())
        expected = whole(frequencies, z[:0])
        assert (found[..., i] - expected).norm() < 0.05 * expected.norm()
    # Volumes differ by far more than that, so each has its own channel.
    assert (found[..., 0] - found[..., 2]).norm() > 0.1 * found[..., 0].norm()


def test_slices_of_a_cloud_are_its_projections() -> None:
    torch.manual_seed(0)
    generator = cloud()
    rotations = random_rotations(20, torch.Generator().manual_seed(2)).float()
    found = LowSlices.of(generator, Z, RADIUS)(MODEL.slice_frequencies(rotations, PIXELS))
    for i, z in enumerate(Z):
        exact = generator.frame_slices(MODEL, rotations, PIXELS, z[None]).detach()
        assert (found[..., i] - exact).norm() < 0.03 * exact.norm()


def test_a_coarse_grid_is_enough_for_low_frequencies() -> None:
    cpu = torch.device("cpu")
    assert low_grid(256, 20.0, cpu).box == 44
    assert low_grid(16, 8.0, cpu).box == 16
