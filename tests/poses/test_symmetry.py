"""Symmetry is found with its order and axis where it is, and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import rotation_about_axis
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.poses.symmetry import SYMMETRIC, find_symmetry
from temporem.simulation.presets import load_simulation_config

BOX, PIXEL = 24, 4.0
SUPPORT = FourierSupport(BOX, 3)
AXIS = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
AXIS = AXIS / AXIS.norm()
CENTRE = torch.tensor([3.0, -4.0, 2.0], dtype=torch.float64)
ALIKE = torch.ones(BOX // 2)


def turn(order: int, axis: torch.Tensor = AXIS) -> torch.Tensor:
    return rotation_about_axis(axis, torch.tensor(2 * math.pi / order, dtype=torch.float64))


def gaussians(atoms: torch.Tensor, width: float = 12.0) -> torch.Tensor:
    """A volume of equal Gaussians at ``(n, 3)`` Å."""
    factor = [FormFactor(torch.tensor([300.0]), torch.tensor([8 * math.pi**2 * width]))]
    element = torch.zeros(len(atoms), dtype=torch.long)
    return SUPPORT.ifft(structure_factors(atoms + CENTRE, element, factor, SUPPORT, PIXEL))


def unit(seed: int = 0) -> torch.Tensor:
    """Atoms of a part without any symmetry, off the axis."""
    generator = torch.Generator().manual_seed(seed)
    atoms = 9 * torch.randn(10, 3, generator=generator, dtype=torch.float64)
    return atoms + torch.tensor([14.0, 6.0, 0.0], dtype=torch.float64)


def copies(order: int) -> torch.Tensor:
    atoms, turned = [unit()], unit()
    for _ in range(order - 1):
        turned = turned @ turn(order).mT
        atoms.append(turned)
    return torch.cat(atoms)


def degrees_apart(a: tuple[float, ...], b: torch.Tensor) -> float:
    return float(
        torch.rad2deg((torch.tensor(a, dtype=torch.float64) @ b).abs().clamp(max=1).acos())
    )


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_order_and_axis_of_copies_around_an_axis(order: int) -> None:
    found = find_symmetry(gaussians(copies(order)), ALIKE)
    assert found.name == f"C{order}"
    assert degrees_apart(found.axis, AXIS) < 2
    assert found.agreement > 0.97


@pytest.mark.parametrize("order", [2, 3])
def test_axes_across_make_it_dihedral(order: int) -> None:
    across = torch.linalg.cross(AXIS, torch.tensor([1.0, 0, 0], dtype=torch.float64))
    ring = copies(order)
    found = find_symmetry(gaussians(torch.cat([ring, ring @ turn(2, across).mT])), ALIKE)
    assert found.name == f"D{order}"
    if order > 2:  # the three axes of D2 are alike
        assert degrees_apart(found.axis, AXIS) < 2


def test_a_rod_looks_the_same_from_all_sides() -> None:
    along = torch.linspace(-30, 30, 13, dtype=torch.float64)[:, None] * AXIS
    found = find_symmetry(gaussians(along), ALIKE)
    assert found.name == "D∞"
    assert degrees_apart(found.axis, AXIS) < 3


@pytest.mark.parametrize("seed", range(4))
def test_no_symmetry_is_found_where_there_is_none(seed: int) -> None:
    found = find_symmetry(gaussians(torch.cat([unit(seed), -unit(seed + 10)])), ALIKE)
    assert found.name == "C1"
    assert found.agreement < SYMMETRIC - 0.1


def test_one_copy_of_three_that_is_another_is_not_symmetry() -> None:
    atoms = copies(3)
    atoms[:10] = unit(1)
    assert find_symmetry(gaussians(atoms), ALIKE).name == "C1"


@pytest.mark.integration
def test_the_toy_molecule_has_none(tmp_path) -> None:
    from temporem.simulation.simulate import simulate
    from temporem.simulation.truth import read_truth

    options = ["movies=1", "frames_per_movie=10"]
    simulate(load_simulation_config("toy", options), tmp_path / "data")
    truth = read_truth(tmp_path / "data")
    volume = truth.support.ifft(truth.volumes(np.array([0, 5, 9])))
    for one in (volume[0], volume.mean(0)):
        found = find_symmetry(one, torch.ones(16))
        assert found.name == "C1"


@pytest.mark.integration
def test_noise_does_not_hide_it_nor_make_it() -> None:
    """Half sets that agree by h: what the noise takes from agreement is given back."""
    generator = torch.Generator().manual_seed(1)
    for atoms, name in ((copies(3), "C3"), (torch.cat([unit(2), -unit(3)]), "C1")):
        volume = gaussians(atoms)
        signal = SUPPORT.shell_means(SUPPORT.fft(volume).abs().square())
        noise = 0.1 * float(signal[4])
        noisy = volume + noise**0.5 * torch.randn(BOX, BOX, BOX, generator=generator)
        half = signal / (signal + 2 * noise)  # halves have twice the noise of the whole
        found = find_symmetry(noisy, half)
        assert found.name == name
