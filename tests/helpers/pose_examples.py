"""A lopsided cluster of Gaussian atoms, imaged in known poses without noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.noise import add_noise
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.padded_grid import PaddedGrid, full_grid
from temporem.physics.rotations import random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors

BOX, PIXEL = 24, 4.0
MODEL = ForwardModel(BOX, PIXEL)


@dataclass(frozen=True)
class Example:
    """``(N, P)`` images and CTF, poses, and the volume on the padded grid."""

    images: Tensor
    ctf: Tensor
    rotations: Tensor
    shifts: Tensor
    volume: Tensor
    grid: PaddedGrid
    rows: Tensor


def example(
    n: int,
    *,
    noise: float = 0.0,
    shift_sd: float = 4.0,
    seed: int = 0,
    rotations: Tensor | None = None,
) -> Example:
    """Images scaled so that noise of standard deviation ``noise`` is a signal-to-noise of 1/noise².

    With noise, they are divided by its standard deviation. Rotations are random when None.
    """
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.tensor([15.0, 10.0, 6.0]) * torch.randn(14, 3, generator=generator)
    atoms = (atoms - atoms.mean(0)).double()
    factor = [FormFactor(torch.tensor([300.0]), torch.tensor([500.0]))]
    element = torch.zeros(len(atoms), dtype=torch.long)
    drawn = random_rotations(n, generator)
    rotations = drawn if rotations is None else rotations
    shifts = shift_sd * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    defocus = 8000 + 8000 * torch.rand(n, generator=generator, dtype=torch.float64)
    same = torch.ones(n, dtype=torch.float64)
    ctf = CTFParameters(defocus, defocus, 0 * same, 300 * same, 2.7 * same, 0.3 * same, 0 * same)
    ctf = MODEL.ctf(ctf)
    slices = structure_factors(atoms @ rotations.mT, element, factor, MODEL.support, PIXEL)
    images = MODEL.observe(slices, ctf, MODEL.shift_phase(shifts))
    support = FourierSupport(BOX, 3)
    volume = support.ifft(structure_factors(atoms, element, factor, support, PIXEL))
    if noise:
        pixels = MODEL.support.ifft(images)
        scale = noise * float(pixels.std())
        images = add_noise(images / scale, generator)
        volume = volume / scale
    grid = full_grid(BOX, torch.device("cpu"))
    return Example(images, ctf, rotations, shifts, volume, grid, grid.from_volumes(volume[None]))
