"""Weighted back-projection recovers a molecule from frames, with its scale, sign and hand."""

import math
from dataclasses import replace

import pytest
import torch

from helpers.noise import add_noise
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors
from temporem.volumes.back_projection import back_project

BOX, PIXEL, N = 16, 3.0, 500
MODEL, SUPPORT = ForwardModel(BOX, PIXEL), FourierSupport(BOX, 3)
# Narrow enough to have power up to Nyquist.
GAUSSIAN = FormFactor(torch.tensor([800.0]), torch.tensor([8 * math.pi**2 * (0.6 * PIXEL) ** 2]))

Frames = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def molecule() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 5 * torch.randn(12, 3, generator=generator, dtype=torch.float64)


def coefficients(positions: torch.Tensor, support: FourierSupport) -> torch.Tensor:
    element = torch.zeros(positions.shape[-2], dtype=torch.long)
    return structure_factors(positions, element, [GAUSSIAN], support, PIXEL)


@pytest.fixture(scope="module")
def frames() -> Frames:
    """(images with unit noise, CTF, rotations, half) of N frames, signal well above the noise."""
    generator = torch.Generator().manual_seed(1)
    rotations = random_rotations(N, generator)
    defocus = 8000 + 12000 * torch.rand(N, generator=generator, dtype=torch.float64)
    one = torch.ones(N, dtype=torch.float64)
    ctf = MODEL.ctf(
        CTFParameters(defocus, defocus, 0 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one)
    )
    clean = MODEL.observe(coefficients(molecule() @ rotations.mT, MODEL.support), ctf)
    images = add_noise(clean, generator)
    return images, ctf, rotations.float(), torch.arange(N) // 10 % 2


def shell_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    a, b = SUPPORT.fft(a), SUPPORT.fft(b)
    power = SUPPORT.shell_sums(a.abs().square()) * SUPPORT.shell_sums(b.abs().square())
    return SUPPORT.shell_sums((a.conj() * b).real) / power.sqrt()


def test_recovers_the_molecule_up_to_nyquist(frames: Frames) -> None:
    result = back_project(MODEL, [frames], window_radius=0.95)
    truth = SUPPORT.ifft(coefficients(molecule(), SUPPORT))
    fsc = shell_correlation(result.volume, truth)
    assert (fsc[:7] > 0.95).all()
    # The molecule itself, neither scaled, inverted, nor mirrored.
    slope = (result.volume * truth).sum() / truth.square().sum()
    assert slope.item() == pytest.approx(1, abs=0.1)
    for axis in range(3):
        mirrored = result.volume.flip(axis).roll(1, axis)
        assert shell_correlation(mirrored, truth)[2:7].mean() < 0.6
    assert (result.half_fsc[:7] > 0.9).all()


def test_frames_weigh_less_where_their_signal_falls_off() -> None:
    """Half of the frames have B factors of 600 Å². Who ignores them gets a blurred molecule."""
    generator = torch.Generator().manual_seed(3)
    rotations = random_rotations(N, generator)
    one = torch.ones(N, dtype=torch.float64)
    defocus = 8000 + 12000 * torch.rand(N, generator=generator, dtype=torch.float64)
    plain = CTFParameters(defocus, defocus, 0 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one)
    late = torch.arange(N) % 2 == 1
    fallen = replace(plain, b_factor_angstrom2=600.0 * late, scale=1 - 0.3 * late.double())
    slices = coefficients(molecule() @ rotations.mT, MODEL.support)
    images = add_noise(0.2 * MODEL.observe(slices, MODEL.ctf(fallen)), generator)
    truth = 0.2 * SUPPORT.ifft(coefficients(molecule(), SUPPORT))
    fsc, slopes = [], []
    for parameters in (fallen, plain):
        frames = (images, MODEL.ctf(parameters), rotations.float(), torch.arange(N) // 10 % 2)
        volume = back_project(MODEL, [frames], window_radius=0.95).volume
        fsc.append(shell_correlation(volume, truth)[3:7].mean())
        slopes.append(float((volume * truth).sum() / truth.square().sum()))
    assert fsc[0] > fsc[1] + 0.01
    assert slopes[0] == pytest.approx(1, abs=0.1)
    assert slopes[1] < slopes[0] - 0.15


def test_blocks_of_frames_add_up(frames: Frames) -> None:
    whole = back_project(MODEL, [frames], window_radius=0.95)
    blocks = zip(*(part.split(130) for part in frames), strict=True)
    parts = back_project(MODEL, blocks, window_radius=0.95)
    scale = float(whole.volume.abs().max())
    torch.testing.assert_close(parts.volume, whole.volume, rtol=0, atol=1e-4 * scale)


def test_halves_share_no_frame(frames: Frames) -> None:
    images, ctf, rotations, half = frames
    spoiled = torch.where(half[:, None] == 1, images.flip(0), images)
    before = back_project(MODEL, [frames], window_radius=0.95)
    after = back_project(MODEL, [(spoiled, ctf, rotations, half)], window_radius=0.95)
    assert after.half_volumes[0].equal(before.half_volumes[0])
    assert not torch.allclose(after.half_volumes[1], before.half_volumes[1], rtol=0.1)


def test_halves_of_pure_noise_do_not_agree(frames: Frames) -> None:
    _, ctf, rotations, half = frames
    silence = torch.zeros(N, len(MODEL.support), dtype=torch.complex64)
    noise = add_noise(silence, torch.Generator().manual_seed(2))
    result = back_project(MODEL, [(noise, ctf, rotations, half)], window_radius=0.95)
    assert result.half_fsc[2:].abs().max() < 0.35
    # So the regularised volume is next to nothing beside what the halves show unregularised.
    assert result.volume.norm() < 0.5 * result.half_volumes[0].norm()


def test_volume_is_zero_outside_its_window(frames: Frames) -> None:
    radius = 0.6
    result = back_project(MODEL, [frames], window_radius=radius)
    axis = torch.arange(BOX) - BOX // 2
    squares = axis.square()
    distance = (squares[:, None, None] + squares[:, None] + squares).sqrt()
    outside = distance > radius * BOX / 2
    assert (result.volume[outside] == 0).all()
    assert (result.half_volumes[:, outside] == 0).all()
    assert result.volume.abs().max() > 0
