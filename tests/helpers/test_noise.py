"""The noise that tests add."""

import torch

from helpers.noise import add_noise
from temporem.physics.fourier import FourierSupport


def test_noise_has_unit_variance_at_every_coefficient_and_is_real_at_the_origin() -> None:
    support, n = FourierSupport(12, 2), 4000
    signal = torch.full((n, len(support)), 3 - 1j)
    noise = add_noise(signal, torch.Generator().manual_seed(0)) - signal
    assert (noise[:, 0].imag == 0).all()
    power = noise.abs().square().mean(0)
    torch.testing.assert_close(power, torch.ones_like(power), rtol=0.12, atol=0)
    for part in (noise.real, noise.imag):
        half = part[:, 1:].square().mean(0)
        torch.testing.assert_close(half, torch.full_like(half, 0.5), rtol=0.12, atol=0)
