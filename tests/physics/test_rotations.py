"""Euler angles against scipy and RELION's explicit matrix; random rotations; origins."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from temporem.physics.rotations import (
    euler_to_rotation,
    origin_to_shift,
    random_rotations,
    rotation_about_axis,
    rotation_to_euler,
)


def random_angles(n: int, seed: int = 0) -> torch.Tensor:
    low, high = torch.tensor([-180.0, 0.0, -180.0]), torch.tensor([180.0, 180.0, 180.0])
    generator = torch.Generator().manual_seed(seed)
    return (low + (high - low) * torch.rand(n, 3, generator=generator)).double()


def relion_matrix(rot: float, tilt: float, psi: float) -> np.ndarray:
    """Rows of the matrix as they stand in RELION's (and, transposed twice, cryoDRGN's) papers."""
    ca, cb, cg = (math.cos(math.radians(a)) for a in (rot, tilt, psi))
    sa, sb, sg = (math.sin(math.radians(a)) for a in (rot, tilt, psi))
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def cryodrgn_matrix(rot: float, tilt: float, psi: float) -> np.ndarray:
    """Turns about z, y, z in cryoDRGN's sense, then its change of four signs (x, y → x, −y)."""

    def about_z(degrees: float) -> np.ndarray:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    about_y = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    flip_y = np.diag([1, -1, 1])
    return flip_y @ about_z(psi) @ about_y @ about_z(rot) @ flip_y


def test_euler_angles_agree_with_scipy_relion_and_cryodrgn() -> None:
    angles = random_angles(50)
    rotations = euler_to_rotation(angles).numpy()
    scipy = Rotation.from_euler("ZYZ", angles.numpy(), degrees=True).inv().as_matrix()
    np.testing.assert_allclose(rotations, scipy, atol=1e-12)
    for matrix, row in zip(rotations, angles.tolist(), strict=True):
        np.testing.assert_allclose(matrix, relion_matrix(*row), atol=1e-12)
        np.testing.assert_allclose(matrix, cryodrgn_matrix(*row), atol=1e-12)


def test_rotation_takes_the_molecule_to_the_camera() -> None:
    # rot = 90°: the camera has turned by +90° about z, so the molecule's x axis seems to turn back.
    turned = euler_to_rotation(torch.tensor([90.0, 0.0, 0.0], dtype=torch.float64))
    x = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(turned @ x, torch.tensor([0.0, -1, 0], dtype=torch.float64))
    # The direction that looks into the camera is (rot, tilt) in spherical coordinates.
    viewed = euler_to_rotation(torch.tensor([30.0, 60.0, 17.0], dtype=torch.float64))
    azimuth, polar = math.radians(30), math.radians(60)
    direction = torch.tensor(
        [
            math.sin(polar) * math.cos(azimuth),
            math.sin(polar) * math.sin(azimuth),
            math.cos(polar),
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(viewed @ direction, torch.tensor([0.0, 0, 1]).double())


def test_euler_angles_survive_the_round_trip() -> None:
    angles = random_angles(200, seed=1)
    torch.testing.assert_close(rotation_to_euler(euler_to_rotation(angles)), angles)
    batched = euler_to_rotation(angles.view(10, 20, 3))
    torch.testing.assert_close(rotation_to_euler(batched).view(200, 3), angles)


@pytest.mark.parametrize("tilt", [0.0, 180.0])
def test_gimbal_lock_keeps_the_rotation(tilt: float) -> None:
    angles = random_angles(20, seed=2)
    angles[:, 1] = tilt
    rotations = euler_to_rotation(angles)
    recovered = rotation_to_euler(rotations)
    assert recovered.isfinite().all()
    torch.testing.assert_close(recovered[:, 1], angles[:, 1])
    torch.testing.assert_close(euler_to_rotation(recovered), rotations, rtol=0, atol=1e-7)


def test_random_rotations_are_rotations_and_uniform() -> None:
    n = 20_000
    rotations = random_rotations(n, torch.Generator().manual_seed(0))
    identity = torch.eye(3, dtype=torch.float64).expand(n, 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(n, dtype=torch.float64))
    # Haar measure: E R = 0, E R_ij R_kl = δ_ik δ_jl / 3, and E (tr R)² = 1, E (tr R)⁴ = 3.
    flat = rotations.flatten(1)
    assert flat.mean(0).abs().max() < 5 / math.sqrt(3 * n)
    second = flat.T @ flat / n
    expected = torch.eye(9, dtype=torch.float64) / 3
    torch.testing.assert_close(second, expected, rtol=0, atol=5 * 0.4 / math.sqrt(n))
    trace = rotations.diagonal(dim1=1, dim2=2).sum(-1)
    assert trace.square().mean().item() == pytest.approx(1, abs=5 * math.sqrt(2 / n))
    assert trace.pow(4).mean().item() == pytest.approx(3, abs=5 * math.sqrt(82 / n))


def test_random_rotations_follow_their_generator() -> None:
    one, again, other = (
        random_rotations(5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert one.equal(again)
    assert not one.equal(other)


def test_rotation_about_an_axis_is_right_handed() -> None:
    z = torch.tensor([0.0, 0, 2], dtype=torch.float64)  # any length will do
    quarter = rotation_about_axis(z, torch.tensor(math.pi / 2, dtype=torch.float64))
    x, y = torch.eye(3, dtype=torch.float64)[:2]
    torch.testing.assert_close(quarter @ x, y)
    axis = torch.tensor([1.0, 2, -2], dtype=torch.float64)
    angles = torch.tensor([0.3, -1.2], dtype=torch.float64)
    turned = rotation_about_axis(axis, angles)
    scipy = Rotation.from_rotvec(angles.numpy()[:, None] * axis.numpy() / 3).as_matrix()
    np.testing.assert_allclose(turned.numpy(), scipy, atol=1e-12)


def test_origin_is_minus_the_displacement() -> None:
    origin = torch.tensor([[1.5, -2.0]])
    assert origin_to_shift(origin).tolist() == [[-1.5, 2.0]]
