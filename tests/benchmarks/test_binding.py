"""Movies of an arm that comes and goes: the parts add up to the molecule."""

from __future__ import annotations

import pytest
import torch
from benchmarks.binding import Parts

from temporem.physics.fourier import FourierSupport
from temporem.physics.structure_factors import structure_factors
from temporem.structures.scattering import element_index, form_factors


@pytest.mark.parametrize("kind", ["bind", "melt"])
def test_a_bound_arm_makes_the_whole_molecule_and_a_lost_one_less(kind: str) -> None:
    parts, support = Parts(kind, 0.1, 0), FourierSupport(8, 3)
    parts.bound[:2] = torch.tensor([1.0, 0.0])
    molecule, config = parts.motion.molecule, parts.config
    atoms = parts.motion.positions(torch.tensor([45.0], dtype=torch.float64))
    places = molecule.positions_angstrom.clone()
    places[parts.motion.moving] = atoms.reshape(-1, 3)
    index, numbers = element_index(molecule)
    factors = form_factors(numbers, config.b_factor_angstrom2)
    whole = structure_factors(places, index, factors, support, config.pixel_size_angstrom)
    bound, lost = parts.coefficients(torch.tensor([0, 1]), support)
    assert torch.allclose(bound, whole.to(bound), rtol=1e-5)
    power = [float(x[1:].abs().square().sum()) for x in (bound, lost)]
    assert power[1] < 0.97 * power[0]
    amount = float(lost[0].abs() / bound[0].abs())
    assert amount == pytest.approx(1) if kind == "melt" else amount < 0.95
