"""Masks of the molecule and of what moves, made from volumes."""

import pytest
import torch
from torch import Tensor

from helpers.matrices import covariance, rotation
from temporem.linear.masks import moving_mask, solvent_mask


def blob(box: int, centre: tuple[float, float, float], width: float) -> Tensor:
    """A Gaussian; centre (x, y, z) and width in boxes, from the middle."""
    axis = (torch.arange(box) - box // 2) / box
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    squares = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return torch.exp(-squares / (2 * width**2))


def moving(box: int, coarse: int = 24) -> tuple[Tensor, Tensor]:
    """The mask of a blob that comes and goes, and the blob, in a box."""
    where = (0.2, -0.1, 0.05)
    return moving_mask(blob(coarse, where, 0.06)[None], torch.eye(1), box), blob(box, where, 0.06)


@pytest.mark.parametrize("box", [16, 24, 32, 48])
def test_what_moves_is_in_the_mask_whatever_the_box(box) -> None:
    mask, density = moving(box)
    assert mask.shape == (box,) * 3
    assert mask.min() >= 0
    assert mask.max() == 1
    assert (mask[density > 0.5] == 1).all()
    assert (mask[density < 1e-4] < 0.5).all()
    # Its size does not depend on the box, and it is soft.
    assert float(mask.mean()) == pytest.approx(float(moving(64)[0].mean()), rel=0.5)
    assert ((mask > 0) & (mask < 1)).any()


def test_only_what_moves_much_is_in_the_moving_mask() -> None:
    components = torch.stack([blob(24, (0.25, 0, 0), 0.05), blob(24, (-0.25, 0, 0), 0.05)])
    spread = torch.diag(torch.tensor([1.0, 0.01]))
    mask = moving_mask(components, spread, 24)
    assert mask[12, 12, 18] == 1
    assert mask[12, 12, 6] == 0
    both = moving_mask(components, torch.eye(2), 24)
    assert both[12, 12, 6] == both[12, 12, 18] == 1


def test_moving_mask_does_not_depend_on_the_latents() -> None:
    components = torch.stack([blob(24, (0.2, 0, 0), 0.05), blob(24, (-0.1, 0.2, 0), 0.07)])
    spread = covariance(2).float()
    turn = rotation(2).float()
    turned = torch.einsum("ij,jzyx->izyx", turn, components)
    found = moving_mask(turned, turn @ spread @ turn.mT, 24)
    torch.testing.assert_close(found, moving_mask(components, spread, 24), rtol=0, atol=1e-4)


def test_solvent_mask_contains_the_body_and_what_moves() -> None:
    mask_of_moving, _ = moving(32)
    body = blob(32, (-0.2, 0.1, 0.0), 0.08)
    mask = solvent_mask(body, mask_of_moving)
    assert (mask >= mask_of_moving).all()
    assert (mask[body > 0.5] == 1).all()
    assert mask.max() == 1
    assert mask[0, 0, 0] == 0
    assert float((mask > 0.5).float().mean()) < 0.3
