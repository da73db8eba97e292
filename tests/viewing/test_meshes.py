"""Meshes: place, size, hand and rounding of surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.viewing.meshes import Mesh, surface_mesh

BOX, PIXEL = 32, 2.5


def ball(centre_xyz: tuple[float, float, float], radius: float) -> np.ndarray:
    """A soft ball of density 1; lengths in Å from voxel ``D // 2``."""
    z, y, x = (np.indices((BOX,) * 3) - BOX // 2) * PIXEL
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip((x, y, z), centre_xyz, strict=True)))
    return 1 / (1 + np.exp((distance - radius) / 1.5))


def mesh_of(volume: np.ndarray) -> Mesh:
    return surface_mesh(volume, 0.5, PIXEL, np.zeros_like(volume))


def signed_volume(mesh: Mesh) -> float:
    a, b, c = mesh.positions_angstrom[mesh.triangles].swapaxes(0, 1)
    return float((a * np.cross(b, c)).sum() / 6)


def test_sphere_has_its_radius_in_angstrom() -> None:
    mesh = mesh_of(ball((0, 0, 0), 20))
    radii = np.linalg.norm(mesh.positions_angstrom, axis=1)
    np.testing.assert_allclose(radii, 20, atol=0.15)
    outwards = (mesh.positions_angstrom * mesh.normals).sum(1) / radii
    assert outwards.min() > 0.99


@pytest.mark.parametrize("centre", [(18, 0, 0), (0, 18, 0), (0, 0, 18), (-9, 6, 12)])
def test_axes_are_x_y_z(centre) -> None:
    mesh = mesh_of(ball(centre, 10))
    np.testing.assert_allclose(mesh.positions_angstrom.mean(0), centre, atol=0.3)


def test_triangles_are_counter_clockwise_from_outside() -> None:
    mesh = mesh_of(ball((5, -3, 8), 15))
    assert signed_volume(mesh) == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)
    a, b, c = mesh.positions_angstrom[mesh.triangles].swapaxes(0, 1)
    faces = np.cross(b - a, c - a)
    assert ((faces * mesh.normals[mesh.triangles[:, 0]]).sum(1) > 0).mean() > 0.999


def test_hand_is_kept() -> None:
    """Balls at x, y and z of different sizes: their order turns as in the array."""
    volume = np.max([ball((20, 0, 0), 6), ball((0, 20, 0), 8), ball((0, 0, 20), 10)], axis=0)
    places = mesh_of(volume).positions_angstrom
    largest = places[np.argmax(places, axis=0)]
    assert np.linalg.det(largest) > 0
    tops = places.max(0)
    np.testing.assert_allclose(tops, [26, 28, 30], atol=0.3)


def test_bytes_are_within_half_a_step() -> None:
    volume = np.max([ball((10, 0, 0), 12), ball((-14, 4, 2), 9)], axis=0)
    amplitude = np.linspace(0, 1, BOX**3).reshape(volume.shape)
    mesh = surface_mesh(volume, 0.5, PIXEL, amplitude)
    found = Mesh.from_bytes(mesh.to_bytes())
    step = 2 * mesh.half_width_angstrom / 65535
    assert step < 0.002  # Å, of a box of 80 Å
    difference = np.abs(found.positions_angstrom - mesh.positions_angstrom).max()
    assert 0 < difference <= step / 2 * 1.01
    np.testing.assert_allclose(found.amplitude, mesh.amplitude, atol=0.5 / 65535 * 1.01)
    np.testing.assert_allclose(found.normals, mesh.normals, atol=0.5 / 127 * 1.01)
    np.testing.assert_array_equal(found.triangles, mesh.triangles)
    assert mesh.amplitude.max() > 0.4


def test_mesh_of_nothing_has_no_vertices() -> None:
    mesh = mesh_of(np.zeros((BOX,) * 3))
    found = Mesh.from_bytes(mesh.to_bytes())
    assert len(found.positions_angstrom) == len(found.triangles) == 0


def test_large_meshes_have_wide_indices() -> None:
    n = 2**16 + 1
    places, normals = np.zeros((n, 3)), np.zeros((n, 3))
    mesh = Mesh(places, normals, np.zeros(n), np.array([[0, 1, n - 1]]), 10.0)
    data = mesh.to_bytes()
    assert len(data) % 4 == 0
    assert Mesh.from_bytes(data).triangles.tolist() == [[0, 1, n - 1]]
