"""Components that errors of poses make are told from motions of a part."""

import pytest
import torch
from torch import Tensor

from helpers.swing import blob
from temporem.linear.likeness import DOUBTFUL, component_likeness

BOX = 32
PARTS = ((-4, 0, 0), (3, 2, 0), (0, -4, 3), (1, 3, -4))


def molecule(moved: int | None = None, by: Tensor | None = None) -> Tensor:
    """Some blobs of different sizes; one may be moved."""
    places = torch.tensor(PARTS, dtype=torch.float64)
    if moved is not None and by is not None:
        places[moved] += by
    return density(places)


def density(places: Tensor) -> Tensor:
    return sum(
        ((k + 1) * blob(tuple(p.tolist()), 1.8, BOX) for k, p in enumerate(places)),
        torch.zeros(BOX, BOX, BOX),
    )


def turned(degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    c, s = angle.cos(), angle.sin()
    turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    return density(torch.tensor(PARTS, dtype=torch.float64) @ turn.T)


CHANGES = {
    "turn": lambda: turned(4.0) - turned(-4.0),
    "shift": lambda: density(torch.tensor(PARTS) + 0.3) - density(torch.tensor(PARTS) - 0.3),
    "scale": lambda: density(torch.tensor(PARTS) * 1.05) - density(torch.tensor(PARTS) * 0.95),
    "contrast": lambda: 0.2 * molecule(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_whole_is_found_and_named(change: str) -> None:
    noise = torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(0))
    component = CHANGES[change]()
    component = component + 0.1 * component.std() * noise
    (found,) = component_likeness(torch.stack([molecule(), component]))
    assert found.change == change
    assert found.fraction > 0.6


def test_a_part_that_moves_is_no_change_of_the_whole() -> None:
    by = torch.tensor([0.0, 2.0, -2.0], dtype=torch.float64)
    component = molecule(0, by) - molecule(0, -by)
    noise = torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    for found in component_likeness(torch.stack([molecule(), component, noise])):
        assert found.fraction < DOUBTFUL
