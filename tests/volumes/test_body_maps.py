"""Maps that move with rigid bodies."""

from pathlib import Path

import torch

from temporem.io.checkpoint import load_checkpoint, load_module, module_tensors, save_checkpoint
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.physics.screw_axis import RigidMotions
from temporem.volumes.body_maps import BodyMaps
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.rigid_bodies import RigidBodies

BOX = 16
SUPPORT = FourierSupport(BOX, 3)
QUARTER = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about z, from x to y


def two_bodies() -> tuple[BodyMaps, torch.Tensor]:
    """Two blobs, one for each body, and the points of these bodies."""
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(40) >= 25).long()
    still = RigidMotions(torch.eye(3).repeat(1, 2, 1, 1), torch.zeros(1, 2, 3))
    bodies = RigidBodies(labels, still, 0, torch.ones(40), torch.tensor([0.6, 0.4]), (1.0, 0.1))
    maps = BodyMaps(BOX, 40)
    maps.set_bodies(bodies, points)
    volumes = torch.zeros(2, BOX, BOX, BOX)
    volumes[0, 6:9, 7, 8] = 1.0
    volumes[1, 8, 8:10, 11] = 2.0
    maps.set_maps(torch.stack([smooth(volume) for volume in volumes]))
    return maps, points


def smooth(volume: torch.Tensor) -> torch.Tensor:
    """Keep what a grid can turn without loss: low frequencies."""
    return SUPPORT.ifft(SUPPORT.fft(volume) * (-0.08 * SUPPORT.radii.square()).exp())


def at_voxels(maps: BodyMaps, positions: torch.Tensor) -> torch.Tensor:
    found = maps.sample(SUPPORT.frequencies, positions) / BOX**0.5
    return SUPPORT.ifft(found)


def missed_by(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative error; interpolation on the grid makes some hundredths."""
    return float((found - expected).norm() / expected.norm())


def test_maps_go_where_their_bodies_go() -> None:
    maps, points = two_bodies()
    moved = points.clone()
    moved[25:] = points[25:] @ QUARTER.T + torch.tensor([2.0, 0.0, 1.0])
    volume = at_voxels(maps, moved[None])[0]
    # Voxel (x, y, z) from the centre goes to (−y + 2, x, z + 1).
    turned = torch.zeros(BOX, BOX, BOX)
    turned[9, 11, 9:11] = 2.0
    expected = maps.maps[0] + smooth(turned)
    assert missed_by(volume, expected) < 0.05


def test_maps_stay_where_nothing_moves() -> None:
    maps, points = two_bodies()
    volume = at_voxels(maps, points[None])[0]
    assert missed_by(volume, maps.maps.sum(0)) < 0.06


def test_slices_of_a_cloud_hold_its_maps() -> None:
    maps, points = two_bodies()
    model = ForwardModel(BOX, 4.0)
    torch.manual_seed(0)
    cloud = CloudVolumes(BOX, 1, 20, 1)
    cloud.cloud.place(points, torch.full((40,), 0.5), 1.1)
    torch.nn.init.normal_(cloud.cloud.last.weight, std=0.1)
    z, pixels = torch.tensor([[0.3], [-1.0]]), torch.arange(40)
    rotations = random_rotations(2, torch.Generator().manual_seed(2)).float()
    alone = cloud.frame_slices(model, rotations, pixels, z)
    cloud.missed = maps
    slices = cloud.frame_slices(model, rotations, pixels, z)
    assert float((slices - alone).detach().abs().max()) > 0.1
    plain = cloud(model.slice_frequencies(rotations, pixels), z)
    torch.testing.assert_close(slices, plain, rtol=1e-4, atol=1e-4)
    volumes = cloud.volumes(SUPPORT, z)
    on_grid = cloud(SUPPORT.frequencies.float().expand(2, -1, -1), z) / BOX**0.5
    torch.testing.assert_close(volumes, on_grid, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_brings_as_many_maps_as_it_holds(tmp_path: Path) -> None:
    maps, points = two_bodies()
    file = tmp_path / "model.safetensors"
    save_checkpoint(file, Parts("maps", module_tensors(maps, "maps.")))
    read = BodyMaps(BOX, 40)
    load_module(read, load_checkpoint(file), "maps.")
    assert len(read) == 2
    torch.testing.assert_close(at_voxels(read, points[None]), at_voxels(maps, points[None]))
    load_module(read, Parts("maps", module_tensors(BodyMaps(BOX, 40), "maps.")), "maps.")
    assert len(read) == 0
