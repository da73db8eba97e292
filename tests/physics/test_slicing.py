"""Inserting slices, the exact transpose of interpolation: first the plain reference, then ours."""

import pytest
import torch

from helpers.whole_grid import extract_slices, insert_slices
from temporem.physics.slicing import insert_slices_apart

EDGE = 8


@pytest.fixture
def points() -> torch.Tensor:
    """Points of two slices, some of them partly or wholly outside the grid."""
    generator = torch.Generator().manual_seed(0)
    points = 11 * torch.rand(2, 150, 3, generator=generator, dtype=torch.float64) - 5.5
    points[0, :3] = torch.tensor([[-4.0, -4, -4], [3, 3, 3], [0, 0, 0]])
    return points


def complex_noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, generator=generator, dtype=torch.complex128)


def test_insert_is_the_adjoint_of_extract(points: torch.Tensor) -> None:
    grid, values = complex_noise(EDGE, EDGE, EDGE), complex_noise(2, 150)
    left = (extract_slices(grid, points).conj() * values).sum()
    right = (grid.conj() * insert_slices(values, points, EDGE)).sum()
    torch.testing.assert_close(left, right, rtol=1e-13, atol=1e-13)


def test_real_values_insert_as_their_complex_selves(points: torch.Tensor) -> None:
    weights = complex_noise(2, 150).real
    inserted = insert_slices(weights, points, EDGE)
    assert inserted.dtype == torch.float64
    torch.testing.assert_close(inserted, insert_slices(weights + 0j, points, EDGE).real)


def test_linear_functions_are_sampled_exactly() -> None:
    axis = torch.arange(EDGE, dtype=torch.float64) - EDGE // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    # Products of different coordinates are linear along each axis too.
    grid = (1 + 2j) + (3 - 1j) * x + 0.5j * y - 2 * z + 0.25 * x * y - 1j * x * y * z
    generator = torch.Generator().manual_seed(2)
    inside = 7 * torch.rand(5, 40, 3, generator=generator, dtype=torch.float64) - 4
    px, py, pz = inside.unbind(-1)
    wanted = (1 + 2j) + (3 - 1j) * px + 0.5j * py - 2 * pz + 0.25 * px * py - 1j * px * py * pz
    sampled = extract_slices(grid, inside)
    assert sampled.shape == (5, 40)
    torch.testing.assert_close(sampled, wanted, rtol=0, atol=1e-12)


def test_grid_points_are_read_and_written_as_they_are() -> None:
    grid = complex_noise(EDGE, EDGE, EDGE)
    point = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    assert extract_slices(grid, point) == grid[4 + 3, 4 - 2, 4 + 1]  # (z, y, x)
    written = insert_slices(torch.tensor(2 - 1j, dtype=torch.complex128), point, EDGE)
    assert written[7, 2, 5] == 2 - 1j
    assert written.count_nonzero() == 1


def test_value_is_spread_over_the_eight_voxels_around_it() -> None:
    point = torch.tensor([[0.25, 0.5, -1.75]], dtype=torch.float64)
    spread = insert_slices(torch.ones(1, dtype=torch.float64), point, EDGE)
    assert spread.sum() == 1
    # z between −2 and −1, y between 0 and 1, x between 0 and 1, counted from the centre voxel 4.
    x, y, z = torch.tensor([0.75, 0.25]), torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])
    wanted = (z[:, None, None] * y[:, None] * x).double()
    torch.testing.assert_close(spread[2:4, 4:6, 4:6], wanted)


def test_repeated_points_add_up() -> None:
    point = torch.tensor([[0.25, 0.5, -1.75]]).repeat(50, 1).double()
    total = insert_slices(torch.ones(50, dtype=torch.float64), point, EDGE)
    torch.testing.assert_close(total, 50 * insert_slices(torch.ones(1).double(), point[:1], EDGE))


def test_nothing_lies_beyond_the_grid() -> None:
    grid = complex_noise(EDGE, EDGE, EDGE)
    beyond = torch.tensor([[4.0, 0, 0], [0, -5.5, 0], [100, 100, 100]], dtype=torch.float64)
    assert (extract_slices(grid, beyond) == 0).all()
    assert (insert_slices(complex_noise(3), beyond, EDGE) == 0).all()
    # Half outside: the missing corners count as zero.
    edge = torch.tensor([[3.5, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(extract_slices(grid, edge), grid[4, 4, 7:8] / 2)


def test_inserting_apart_is_inserting_frame_by_frame() -> None:
    generator = torch.Generator().manual_seed(7)
    points = 8 * torch.rand(4, 30, 3, generator=generator, dtype=torch.float64) - 4
    values = torch.randn(4, 30, generator=generator, dtype=torch.complex128)
    apart = insert_slices_apart(values, points, 10)
    one_by_one = [insert_slices(v, p, 10) for v, p in zip(values, points, strict=True)]
    torch.testing.assert_close(apart, torch.stack(one_by_one))
