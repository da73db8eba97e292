"""Projections and volumes of atoms against gemmi's density, direct sums and rotated volumes."""

import math

import gemmi
import pytest
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.structures.scattering import element_index, form_factors
from temporem.structures.toy import toy_molecule

ELEMENTS = [1, 6, 7, 8, 16]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_atoms(n: int, spread: float) -> tuple[Tensor, Tensor]:
    positions = torch.randn(n, 3, generator=seeded(), dtype=torch.float64) * spread
    return positions, torch.randint(0, len(ELEMENTS), (n,), generator=seeded(1))


def direct_sum(
    positions: Tensor,
    element: Tensor,
    factors: list[FormFactor],
    support: FourierSupport,
    pixel: float,
) -> Tensor:
    """The definition, frequency by frequency and atom by atom in float64."""
    k = support.frequencies.double() / (support.box * pixel)
    total = torch.zeros(len(k), dtype=torch.complex128)
    for e, factor in enumerate(factors):
        phase = -2 * math.pi * k @ positions[element == e][:, : support.ndim].T
        total += factor.at(k.square().sum(-1)) * torch.exp(1j * phase).sum(-1)
    return total / (pixel**3 * support.box ** (support.ndim / 2))


@pytest.mark.parametrize(("box", "ndim"), [(16, 2), (30, 2), (64, 2), (8, 3), (22, 3)])
def test_structure_factors_are_the_direct_sum(box: int, ndim: int) -> None:
    positions, element = random_atoms(200, spread=box / 6)
    factors, support = form_factors(ELEMENTS, 20.0), FourierSupport(box, ndim)
    expected = direct_sum(positions, element, factors, support, 1.1)
    found = structure_factors(positions, element, factors, support, 1.1)
    assert (found - expected).norm() / expected.norm() < 1e-6
    batch = structure_factors(torch.stack([positions, -positions]), element, factors, support, 1.1)
    torch.testing.assert_close(batch[0], found, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(batch[1], found.conj().resolve_conj(), rtol=1e-4, atol=1e-5)


def test_low_resolution_support_is_a_part_of_the_full_one() -> None:
    positions, element = random_atoms(50, spread=4)
    factors = form_factors(ELEMENTS, 20.0)
    full = structure_factors(positions, element, factors, FourierSupport(24, 3), 1.0)
    low = structure_factors(positions, element, factors, FourierSupport(24, 3, radius=5), 1.0)
    torch.testing.assert_close(low, full[: low.shape[-1]], rtol=1e-5, atol=1e-7)


def test_volume_is_gemmis_electron_density() -> None:
    # Fine sampling and a large B-factor, so that gemmi's point samples do not alias. What is left
    # is gemmi's approximation of the exponential, good to 0.2 %.
    box, pixel, b_factor = 36, 0.8, 45.0
    length = box * pixel
    positions, element = random_atoms(12, spread=2.5)
    model, residue = gemmi.Model(1), gemmi.Residue()
    for position, e in zip((positions + length / 2).tolist(), element.tolist(), strict=True):
        atom = gemmi.Atom()
        atom.element, atom.pos = gemmi.Element(ELEMENTS[e]), gemmi.Position(*position)
        atom.occ, atom.b_iso = 1.0, b_factor
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model.add_chain(chain)
    calculator = gemmi.DensityCalculatorE()
    calculator.cutoff = 1e-8
    calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
    calculator.grid.set_unit_cell(gemmi.UnitCell(length, length, length, 90, 90, 90))
    calculator.grid.set_size(box, box, box)
    calculator.add_model_density_to_grid(model)
    density = torch.tensor(calculator.grid.array).permute(2, 1, 0)  # gemmi's is [x, y, z]

    support = FourierSupport(box, 3)
    expected = support.fft(density.contiguous())
    factors = form_factors(ELEMENTS, b_factor)
    found = structure_factors(positions, element, factors, support, pixel)
    assert (found - expected).norm() / expected.norm() < 5e-3


def test_projection_is_the_sum_of_the_volume_along_z() -> None:
    box, pixel = 24, 1.2
    positions, element = random_atoms(100, spread=3)
    factors = form_factors(ELEMENTS, 60.0)
    volume, image = (
        (s := FourierSupport(box, ndim)).ifft(
            structure_factors(positions, element, factors, s, pixel)
        )
        for ndim in (3, 2)
    )
    # The volume's coefficients fill a ball, whose plane kz = 0 is the image's disc.
    torch.testing.assert_close(volume.sum(-3), image, rtol=1e-4, atol=1e-4 * float(image.max()))


def test_projection_of_rotated_atoms_is_a_central_slice_of_the_volume() -> None:
    box, pixel = 16, 2.0
    positions, element = random_atoms(60, spread=4)
    factors = form_factors(ELEMENTS, 60.0)
    rotation = random_rotations(1, seeded(3))[0]
    model = ForwardModel(box, pixel)
    image = structure_factors(positions @ rotation.T, element, factors, model.support, pixel)

    # The volume between grid points: the transform of its voxels at Rᵀ(kx, ky, 0). A finer grid of
    # the same box keeps all that the slice can reach.
    fine = FourierSupport(3 * box, 3)
    volume = fine.ifft(
        structure_factors(positions, element, factors, fine, pixel / 3).to(torch.complex128)
    )
    k = model.slice_frequencies(rotation) / (3 * box)
    axis = torch.arange(3 * box, dtype=torch.float64) - 3 * box // 2
    wave = torch.exp(-2j * math.pi * k[:, :, None] * axis)  # (P, 3, 3D), axes x, y, z
    transform = torch.einsum(
        "zyx,px,py,pz->p", volume.to(wave.dtype), wave[:, 0], wave[:, 1], wave[:, 2]
    )
    # Voxels 27 times smaller and √D times a slice of the orthonormal transform of D³ voxels.
    expected = transform / 27 / box
    assert (image - expected).norm() / expected.norm() < 1e-5


def test_form_factor_at_zero_is_the_sum_of_amplitudes_and_b_factor_blurs() -> None:
    carbon = form_factors([6], 0.0)[0]
    blurred = form_factors([6], 80.0)[0]
    s_squared = torch.tensor([0.0, 0.04, 0.25])
    assert float(carbon.at(s_squared)[0]) == pytest.approx(2.5088, abs=1e-3)  # IT vol. C
    ratio = blurred.at(s_squared) / carbon.at(s_squared)
    torch.testing.assert_close(ratio, torch.exp(-80.0 * s_squared / 4), rtol=1e-5, atol=0)


def test_element_index_points_at_the_right_element() -> None:
    molecule = toy_molecule()
    index, numbers = element_index(molecule)
    assert numbers == [6, 7, 8, 16]
    assert torch.tensor(numbers)[index].equal(molecule.atomic_numbers)


def test_element_without_form_factor() -> None:
    with pytest.raises(TemporemError, match="no electron form factor"):
        form_factors([99], 0.0)
