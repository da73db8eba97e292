"""Electron scattering by atoms."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.physics.structure_factors import FormFactor
from temporem.structures.molecule import Molecule


def form_factors(atomic_numbers: Sequence[int], b_factor_angstrom2: float) -> list[FormFactor]:
    """Electron form factors, ``f(s) = Σ_j a_j exp(−(b_j + B) s² / 4)``, one for each element.

    Sums of five Gaussians from the International Tables for Crystallography (volume C, table
    4.3.2.2, for s up to 4 1/Å), blurred by an isotropic B-factor.

    Args:
        atomic_numbers: the elements.
        b_factor_angstrom2: B of every atom, Å².

    Raises:
        TemporemError: an element has no form factor in the table.
    """
    return [_form_factor(number, b_factor_angstrom2) for number in atomic_numbers]


def element_index(molecule: Molecule) -> tuple[Tensor, list[int]]:
    """Elements of a molecule: index ``(N,)`` of each atom's element, and their atomic numbers."""
    numbers, index = molecule.atomic_numbers.unique(return_inverse=True)
    return index, numbers.tolist()


def _form_factor(atomic_number: int, b_factor: float) -> FormFactor:
    element = gemmi.Element(atomic_number)
    table = element.c4322
    if table is None:
        raise TemporemError(
            f"no electron form factor is known for element {element.name}",
            hint="leave its atoms out",
        )
    return FormFactor(
        amplitudes=torch.tensor(table.a, dtype=torch.float64),
        widths=torch.tensor(table.b, dtype=torch.float64) + b_factor,
    )
