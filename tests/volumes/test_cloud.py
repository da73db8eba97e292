"""The cloud of Gaussians: the same volumes however one asks, and a start that finds turns."""

import pytest
import torch

from temporem.errors import TemporemError
from temporem.io.checkpoint import load_module, module_tensors
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.volumes.body_maps import BodyMaps
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.cloud_start import gaussians_that_move
from temporem.volumes.generators import make_generator
from temporem.volumes.latent_curve import LatentCurve

BOX = 16
MODEL = ForwardModel(BOX, 4.0)
SUPPORT = FourierSupport(BOX, 3)


@pytest.fixture
def cloud() -> CloudVolumes:
    torch.manual_seed(0)
    made = make_generator("cloud", BOX, 2, 16, components=3)
    assert isinstance(made, CloudVolumes)
    made.cloud.place(2 * torch.randn(32, 3), torch.full((32,), 0.5), 1.1)
    torch.nn.init.normal_(made.cloud.last.weight, std=0.1)
    return made


@pytest.fixture
def z() -> torch.Tensor:
    return torch.randn(3, 2, generator=torch.Generator().manual_seed(1))


def test_slices_are_those_of_the_volumes(cloud: CloudVolumes, z: torch.Tensor) -> None:
    rotations = random_rotations(3, torch.Generator().manual_seed(2)).float()
    pixels = torch.tensor([0, 5, 3, 60])
    frequencies = MODEL.slice_frequencies(rotations, pixels)
    fast, plain = cloud.frame_slices(MODEL, rotations, pixels, z), cloud(frequencies, z)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cloud(-frequencies, z), plain.conj().resolve_conj())
    volumes = cloud.volumes(SUPPORT, z)
    on_grid = cloud(SUPPORT.frequencies.float().expand(3, -1, -1), z) / BOX**0.5
    torch.testing.assert_close(volumes, on_grid, rtol=1e-4, atol=1e-5)


def test_volumes_hold_the_same_density_in_every_state(cloud: CloudVolumes, z: torch.Tensor) -> None:
    volumes = SUPPORT.ifft(cloud.volumes(SUPPORT, z))
    torch.testing.assert_close(volumes.sum((1, 2, 3)), torch.full((3,), 16.0), rtol=1e-4, atol=0)


def moving_blob(angles: torch.Tensor) -> torch.Tensor:
    """Volumes of a body, with an arm that turns about z: ``(A, D, D, D)``."""
    axis = torch.arange(BOX) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")

    def blob(cx: torch.Tensor, cy: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((x - cx) ** 2 + (y - cy) ** 2 + z**2) / 4.5)

    zero = torch.zeros(())
    arms = [blob(5 * a.cos(), 5 * a.sin()) + blob(3 * a.cos(), 3 * a.sin()) for a in angles]
    return torch.stack([2 * blob(zero, zero) + 2 * blob(zero - 3, zero - 3) + arm for arm in arms])


def test_start_finds_a_turn_in_a_linear_model() -> None:
    """The linear model of a turning arm blurs it; the cloud that starts from it has the arm."""
    angles = torch.linspace(-0.8, 0.8, 41)
    true = moving_blob(angles)
    mean = true.mean(0)
    u, s, v = torch.linalg.svd((true - mean).flatten(1), full_matrices=False)
    q = 3
    spread = (u[:, :q] * s[:q]).std(0)
    latents = u[:, :q] * s[:q] / spread
    components = (spread[:, None] * v[:q]).unflatten(1, mean.shape)
    z = (angles / angles.std())[:, None]
    curve = LatentCurve(1, q)
    optimizer = torch.optim.Adam(curve.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        (curve(z) - latents).square().mean().backward()
        optimizer.step()
    torch.manual_seed(0)
    cloud = CloudVolumes(BOX, 1, 150, q)
    # Half of the motion, as shrunk components of a noisy fit have it.
    maps = torch.cat([mean[None], 0.5 * components])
    cloud.start_from(maps, torch.ones(BOX, BOX, BOX), curve, z)
    found = SUPPORT.ifft(cloud.volumes(SUPPORT, z))
    change, wanted = found - found.mean(0), true - true.mean(0)
    correlation = (change * wanted).sum() / (change.norm() * wanted.norm())
    assert correlation > 0.9
    assert 0.7 < (change * wanted).sum() / wanted.square().sum() < 1.2


def test_the_more_moves_the_more_gaussians_there_are() -> None:
    volume = torch.zeros(BOX, BOX, BOX)
    volume[4:12, 4:12, 4:12] = 1.0  # eight slabs
    numbers = []
    for slabs in (0, 3, 4, 8):
        moving = torch.zeros(BOX, BOX, BOX)
        moving[4 : 4 + slabs] = 1.0
        numbers.append(gaussians_that_move(volume, moving, 1000))
    assert numbers == [250, 375, 500, 1000]


def test_a_stored_cloud_has_as_many_gaussians_as_when_it_was_stored(z: torch.Tensor) -> None:
    cloud, read = CloudVolumes(BOX, 2, 40, 1), CloudVolumes(BOX, 2, 40, 1)
    places = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    cloud.cloud.place(2 * places, torch.full((30,), 0.5), 1.1)
    cloud.missed = BodyMaps(BOX, 30)
    load_module(read, Parts("cloud", module_tensors(cloud, "cloud.")), "cloud.")
    assert len(read.cloud) == 30
    torch.testing.assert_close(read.volumes(SUPPORT, z), cloud.volumes(SUPPORT, z))


def test_still_nodes_stay(z: torch.Tensor, cloud: CloudVolumes) -> None:
    cloud.cloud.gate.zero_()
    torch.testing.assert_close(cloud.cloud.positions(z)[0], cloud.cloud.positions(z)[1])
    assert cloud.penalty(z).max() == 0


def test_volumes_without_density_are_refused() -> None:
    cloud = CloudVolumes(BOX, 1, 16, 1)
    maps = -torch.ones(2, BOX, BOX, BOX)
    with pytest.raises(TemporemError, match=r"no density.*--invert"):
        cloud.start_from(maps, torch.ones(BOX, BOX, BOX), LatentCurve(1, 1), torch.randn(20, 1))


def test_cloud_needs_a_linear_model() -> None:
    with pytest.raises(TemporemError, match=r"'cloud' starts from a linear model.*start=linear"):
        make_generator("cloud", BOX, 1, 8)
