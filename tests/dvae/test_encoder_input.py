"""Encoder input: the same for the same conformation, whatever the CTF and the pose."""

import math

import pytest
import torch

from temporem.dvae.encoder_input import back_projection_input, image_input
from temporem.physics.forward import ForwardModel
from temporem.physics.rotations import random_rotations, rotation_about_axis
from temporem.physics.structure_factors import FormFactor, structure_factors

BOX, PIXEL, N = 16, 3.0, 5
MODEL = ForwardModel(BOX, PIXEL)
GAUSSIAN = FormFactor(torch.tensor([5.0]), torch.tensor([8 * math.pi**2 * (1.3 * PIXEL) ** 2]))


@pytest.fixture
def weight() -> torch.Tensor:
    return 1 / (1 + 0.2 * MODEL.support.radii)


@pytest.fixture
def ctf() -> torch.Tensor:
    """A CTF that changes sign, alike in all directions: ``(N, P)``."""
    return (0.4 * MODEL.support.radii + torch.arange(N)[:, None]).cos()


def images(rotations: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    atoms = 5 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    element = torch.zeros(6, dtype=torch.long)
    slices = structure_factors(atoms @ rotations.mT, element, [GAUSSIAN], MODEL.support, PIXEL)
    return MODEL.observe(slices, ctf)


def test_image_input_is_the_phase_flipped_image(weight: torch.Tensor, ctf: torch.Tensor) -> None:
    rotations = random_rotations(N, torch.Generator().manual_seed(1))
    seen = image_input(images(rotations, ctf), ctf, weight)
    expected = torch.view_as_real(images(rotations, ctf.abs()) * weight)
    torch.testing.assert_close(seen.view(N, -1, 2), expected)


def test_back_projection_is_the_same_however_the_image_is_turned(
    weight: torch.Tensor, ctf: torch.Tensor
) -> None:
    """Turning the camera about its own axis shows nothing new of the molecule."""
    rotations = random_rotations(N, torch.Generator().manual_seed(2))
    beam = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    quarter = rotation_about_axis(beam, torch.tensor(math.pi / 2, dtype=torch.float64))
    turned = quarter @ rotations
    straight, other = (
        back_projection_input(MODEL, images(r, ctf), ctf, r.float(), weight)
        for r in (rotations, turned)
    )
    scale = float(straight.abs().max())
    assert scale > 0
    torch.testing.assert_close(other, straight, rtol=0, atol=1e-4 * scale)


def test_back_projection_is_linear_and_frames_are_independent(
    weight: torch.Tensor, ctf: torch.Tensor
) -> None:
    rotations = random_rotations(N, torch.Generator().manual_seed(3)).float()
    generator = torch.Generator().manual_seed(4)
    a, b = (
        torch.randn(N, len(MODEL.support), generator=generator, dtype=torch.complex64)
        for _ in range(2)
    )

    def back_projected(values: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        return back_projection_input(MODEL, values[rows], ctf[rows], rotations[rows], weight)

    torch.testing.assert_close(
        back_projected(2 * a - b),
        2 * back_projected(a) - back_projected(b),
        rtol=0,
        atol=1e-5,
    )
    torch.testing.assert_close(back_projected(a)[2:3], back_projected(a, slice(2, 3)))
    assert (back_projected(torch.zeros_like(a)) == 0).all()


def test_back_projection_weighs_by_the_ctf(weight: torch.Tensor) -> None:
    # Where the CTF is zero the image is noise, and not used.
    rotations = random_rotations(1, torch.Generator().manual_seed(5)).float()
    ctf = torch.ones(1, len(MODEL.support))
    ctf[:, 10:] = 0
    generator = torch.Generator().manual_seed(6)
    a = torch.randn(1, len(MODEL.support), generator=generator, dtype=torch.complex64)
    b = a.clone()
    b[:, 10:] += 100
    one, other = (back_projection_input(MODEL, values, ctf, rotations, weight) for values in (a, b))
    assert one.equal(other)
    flipped = back_projection_input(MODEL, -a, -ctf, rotations, weight)
    torch.testing.assert_close(flipped, one)
