"""Half of the padded grid against the whole one, and against its own adjoint, in double."""

import pytest
import torch
from torch import Tensor

from helpers.whole_grid import extract_slices, grid_radii, insert_symmetric, volume_to_grid
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import PADDING, PaddedGrid, gridding_correction
from temporem.physics.rotations import random_rotations

BOX = 12
MODEL = ForwardModel(BOX, 3.0)
CPU = torch.device("cpu")
INNER = slice(0, PADDING * BOX)  # the whole grid has no plane at +D


@pytest.fixture(params=[4.0, 4.7, 5.5])
def grid(request: pytest.FixtureRequest) -> PaddedGrid:
    return PaddedGrid(BOX, request.param, CPU)


def white_volumes(channels: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(channels, BOX, BOX, BOX, generator=generator, dtype=torch.float64)


def compact_volumes() -> Tensor:
    """Gaussians off the centre that fall to nothing well inside the box, ``(2, D, D, D)``."""
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    centres = [(0.5, -0.8, 0.3), (-1.0, 0.4, 0.9)]
    squares = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 for a, b, c in centres]
    return torch.stack([torch.exp(-s / (2 * 1.1**2)) for s in squares])


def slice_points(radius: float, n: int = 7, seed: int = 1) -> Tensor:
    """Where n random frames, and one that is not rotated, sample below a radius: ``(·, 3)``."""
    rotations = random_rotations(n, torch.Generator().manual_seed(seed))
    rotations = torch.cat([torch.eye(3).to(rotations)[None], rotations])
    n_pixels = int((MODEL.support.radii <= radius).sum())
    return MODEL.slice_frequencies(rotations, slice(n_pixels)).reshape(-1, 3)


def special_points() -> Tensor:
    """The origin, the plane kx = 0, just off it on either side, and mirrors of one another."""
    listed = [
        (0.0, 0.0, 0.0),
        (0.0, 1.3, -2.1),
        (0.0, -1.3, 2.1),
        (0.0, 2.0, 0.0),
        (0.2, 1.1, 0.7),
        (-0.2, 1.1, 0.7),
        (-1.0, -2.0, 1.0),
        (-2.6, 0.4, 1.9),
        (1e-9, 0.5, 0.5),
        (-1e-9, 0.5, 0.5),
    ]
    return torch.tensor(listed, dtype=torch.float64)


def complex_values(n: int, channels: int, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, generator=generator, dtype=torch.complex128)


def inserted(grid: PaddedGrid, points: Tensor, values: Tensor) -> Tensor:
    """Rows that samples and their mirrors were added to: complex ``(V, C)``."""
    corners = grid.corners(points)
    rows = torch.zeros(len(grid.radii), 2 * values.shape[1], dtype=torch.float64)
    grid.insert(rows, corners, torch.view_as_real(corners.restore(values)).flatten(1))
    grid.close(rows, torch.tensor([1.0, -1.0]).repeat(values.shape[1]))
    return torch.view_as_complex(rows.unflatten(1, (-1, 2)))


def symmetric_rows(grid: PaddedGrid, channels: int, seed: int = 3) -> Tensor:
    """Random rows as those of real volumes: the plane kx = 0 is its own mirror."""
    rows = complex_values(len(grid.radii), channels, seed) * grid.inside[:, None]
    plane = rows.view(*grid.shape, channels)[:, :, 0]
    plane.copy_((plane + plane.flip(0, 1).conj()) / 2)
    return rows


@pytest.mark.parametrize("special", [False, True])
def test_insertion_is_the_adjoint_of_extraction(grid: PaddedGrid, special: bool) -> None:
    points = special_points() if special else slice_points(grid.radius)
    weights = torch.where((points == 0).all(-1), 1.0, 2.0)[:, None]
    rows, values = symmetric_rows(grid, 2), complex_values(len(points), 2)
    sampled = grid.extract(rows, grid.corners(points))
    over_samples = (weights * (sampled * values.conj()).real).sum(0)
    back = inserted(grid, points, values * weights / 2)
    over_rows = (grid.multiplicity[:, None] * (rows * back.conj()).real).sum(0)
    torch.testing.assert_close(over_rows, over_samples)


def test_volumes_and_rows_are_adjoint_up_to_a_factor(grid: PaddedGrid) -> None:
    volumes, rows = white_volumes(2), symmetric_rows(grid, 2)
    products = grid.multiplicity[:, None] * (grid.from_volumes(volumes) * rows.conj()).real
    in_space = (volumes * grid.to_volumes(rows)).sum((1, 2, 3))
    torch.testing.assert_close(products.sum(0), in_space * PADDING**3 * BOX)


def test_integer_frequencies_are_coefficients_of_the_corrected_volume() -> None:
    support = FourierSupport(BOX, 3, 5)
    volumes = white_volumes(2)
    grid = PaddedGrid(BOX, 5, CPU)
    corners = grid.corners(support.frequencies.double())
    sampled = grid.extract(grid.from_volumes(volumes), corners)
    expected = support.fft(volumes / gridding_correction(BOX)) * BOX**0.5
    torch.testing.assert_close(sampled.T, expected)


def test_integer_frequencies_of_a_compact_volume_are_its_coefficients() -> None:
    support = FourierSupport(BOX, 3, 5)
    volumes = compact_volumes()
    grid = PaddedGrid(BOX, 5, CPU)
    sampled = grid.extract(grid.from_volumes(volumes), grid.corners(support.frequencies.double()))
    expected = support.fft(volumes) * BOX**0.5
    assert (sampled.T - expected).norm() < 0.05 * expected.norm()


def test_samples_between_voxels_are_right_on_average() -> None:
    # Trilinear interpolation and its correction, against the transform at any frequency.
    volumes = compact_volumes()
    points = slice_points(5.0, n=40)
    grid = PaddedGrid(BOX, 6, CPU)
    sampled = grid.extract(grid.from_volumes(volumes), grid.corners(points))
    axis = torch.arange(BOX, dtype=torch.float64) - BOX // 2
    x, y, z = (torch.exp(-2j * torch.pi / BOX * points[..., None] * axis)).unbind(1)
    expected = torch.einsum("czyx,nz,ny,nx->nc", volumes.to(x.dtype), z, y, x) / BOX
    assert (sampled - expected).norm() < 0.03 * expected.norm()


def test_there_and_back_divides_twice_by_the_interpolation() -> None:
    grid = PaddedGrid(BOX, 6, CPU)
    volumes = compact_volumes()
    back = grid.to_volumes(grid.from_volumes(volumes)) * gridding_correction(BOX).square()
    assert (back - volumes).norm() < 0.01 * volumes.norm()


def test_slices_all_around_give_the_volumes_back() -> None:
    grid = PaddedGrid(BOX, 6, CPU)
    volumes = compact_volumes()
    points = slice_points(6.0, n=400)
    sampled = grid.extract(grid.from_volumes(volumes), grid.corners(points))
    sums = inserted(grid, points, sampled)
    counts = inserted(grid, points, torch.ones(len(sampled), 1, dtype=torch.complex128)).real
    found = grid.to_volumes(sums / counts.clamp(min=1e-6))
    assert (found - volumes).norm() < 0.05 * volumes.norm()


def test_samples_are_those_of_the_whole_grid(grid: PaddedGrid) -> None:
    volumes, points = white_volumes(2), slice_points(grid.radius)
    sampled = grid.extract(grid.from_volumes(volumes), grid.corners(points))
    inside = grid_radii(BOX) <= grid.radius
    for volume, own in zip(volumes, sampled.T, strict=True):
        expected = extract_slices(volume_to_grid(volume) * inside, points * PADDING)
        torch.testing.assert_close(own, expected)


def test_sums_are_those_of_the_whole_grid(grid: PaddedGrid) -> None:
    points = slice_points(grid.radius)
    values = complex_values(len(points), 1)
    expected = insert_symmetric(values[:, 0], points, BOX)[..., BOX:]
    found = inserted(grid, points, values).view(grid.shape)[INNER, INNER, :BOX]
    torch.testing.assert_close(found, expected)


def test_samples_have_friedel_symmetry(grid: PaddedGrid) -> None:
    rows = symmetric_rows(grid, 3)
    points = torch.cat([special_points(), slice_points(grid.radius)])
    here = grid.extract(rows, grid.corners(points))
    there = grid.extract(rows, grid.corners(-points))
    torch.testing.assert_close(there, here.conj().resolve_conj())


def test_rows_of_a_volume_are_their_own_mirror_at_kx_0() -> None:
    grid = PaddedGrid(BOX, 5.5, CPU)
    plane = grid.from_volumes(white_volumes(2)).view(*grid.shape, 2)[:, :, 0]
    torch.testing.assert_close(plane.flip(0, 1).conj().resolve_conj(), plane)


def test_nothing_is_held_beyond_the_radius(grid: PaddedGrid) -> None:
    rows = grid.from_volumes(white_volumes(1))
    assert (rows[grid.radii > grid.radius] == 0).all()
    assert (rows[grid.radii < grid.radius - 1] != 0).all()


def test_rows_occur_as_often_as_in_the_whole_grid(grid: PaddedGrid) -> None:
    axis = torch.arange(-BOX, BOX + 1) / PADDING
    whole = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    assert grid.multiplicity.sum() == (whole <= grid.radius).sum()


def test_shell_means_are_those_of_the_whole_grid(grid: PaddedGrid) -> None:
    values = symmetric_rows(grid, 2).abs()
    half = values.view(*grid.shape, 2)
    mirrored = half[:, :, 1:].flip(0, 1, 2)
    whole = torch.cat([mirrored, half], dim=2).flatten(0, 2)
    axis = torch.arange(-BOX, BOX + 1) / PADDING
    radii = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt().flatten()
    means = grid.shell_means(values)
    assert means.shape == (grid.n_shells, 2)
    for shell, mean in enumerate(means):
        own = (radii.round() == shell) & (radii <= grid.radius)
        if own.any():
            torch.testing.assert_close(mean, whole[own].mean(0))
        else:
            assert (mean == 0).all()


def test_weights_of_corners_sum_to_one_and_centre_on_the_point() -> None:
    grid = PaddedGrid(BOX, 6, CPU)
    points = slice_points(6.0)
    corners = grid.corners(points)
    torch.testing.assert_close(corners.weight.sum(-1), torch.ones(len(points)).double())
    half = torch.where(corners.mirrored[:, None], -points, points)
    depth, height, width = grid.shape
    x = corners.index % width
    y = corners.index // width % height - BOX
    z = corners.index // (width * height) - BOX
    assert (corners.index < depth * height * width).all()
    centre = (torch.stack([x, y, z], -1) * corners.weight[..., None]).sum(1) / PADDING
    torch.testing.assert_close(centre, half)


@pytest.mark.parametrize("box", [64, 1024])
def test_rows_of_the_largest_grids_are_counted_in_full(box: int) -> None:
    """The last row of a grid of 1024³ voxels is beyond 32 bits: an index may not wrap there."""
    grid = PaddedGrid(box, box / 2, CPU)
    depth, height, width = grid.shape
    edge = box / 2 - 0.5  # of the last cell, on every axis
    corners = grid.corners(torch.tensor([[edge, edge, edge]], dtype=torch.float64))
    x = y = z = int(PADDING * edge)
    first = ((z + box) * height + y + box) * width + x
    assert corners.index[0, 0] == first
    assert corners.index[0, 7] == first + height * width + width + 1
    assert corners.index.max() <= depth * height * width - 1
