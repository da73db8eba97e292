"""Aberrations against the polynomials of Zivanov, Nakane and Scheres (2020), written out."""

from __future__ import annotations

import math

import numpy as np
import torch

from temporem.physics.aberrations import (
    even_order,
    odd_order,
    odd_phase,
    with_even_zernike,
    zernike,
)
from temporem.physics.ctf import CTFParameters, ctf_values

POINTS = torch.tensor([[0.1, 0.05], [-0.07, 0.12], [0.02, -0.16], [0.0, 0.0]], dtype=torch.float64)
X, Y = POINTS.T.numpy()
R2 = X**2 + Y**2
KV, CS = 300.0, 2.7
WAVELENGTH = 12.2643247 / math.sqrt(3e5 * (1 + 3e5 * 0.978466e-6))  # RELION's formula


def test_indices_name_the_orders_that_relion_gives_them() -> None:
    assert [odd_order(i) for i in range(6)] == [
        *((-1, 1), (1, 1), (-3, 3), (-1, 3), (1, 3), (3, 3))
    ]
    assert [even_order(i) for i in range(9)] == [
        *((0, 0), (-2, 2), (0, 2), (2, 2)),
        *((-4, 4), (-2, 4), (0, 4), (2, 4), (4, 4)),
    ]


def test_polynomials() -> None:
    written = {
        (1, 1): X,
        (-1, 1): Y,
        (1, 3): (3 * R2 - 2) * X,
        (-1, 3): (3 * R2 - 2) * Y,
        (3, 3): X**3 - 3 * X * Y**2,
        (-3, 3): 3 * X**2 * Y - Y**3,
        (0, 4): 6 * R2**2 - 6 * R2 + 1,
        (2, 2): X**2 - Y**2,
        (-2, 2): 2 * X * Y,
    }
    for (m, n), expected in written.items():
        assert np.allclose(zernike(m, n, POINTS).numpy(), expected), (m, n)


def test_phase_of_beam_tilt_and_trefoil() -> None:
    tilt = (0.6, -0.3)  # mrad
    phase = odd_phase(POINTS, [0, 0, 4.0, 0, 0, -7.0], tilt, cs_mm=CS, voltage_kv=KV)
    coma = -2 * math.pi * CS * 1e7 * WAVELENGTH**2 * R2 * (X * tilt[0] + Y * tilt[1]) * 1e-3
    trefoil = 4 * (3 * X**2 * Y - Y**3) - 7 * (X**3 - 3 * X * Y**2)
    assert np.allclose(phase.numpy(), coma + trefoil, rtol=1e-4, atol=1e-12)
    assert np.abs(coma).max() > 0.1


def test_even_aberrations_become_parameters_of_the_ctf() -> None:
    """RELION's CTF is −sin γ with γ = −χ − atan(w / √(1 − w²)) + Σ c Z."""
    one = torch.ones(1, dtype=torch.float64)
    ctf = CTFParameters(15000 * one, 14000 * one, 0.4 * one, KV * one, CS * one, 0.1 * one, 0 * one)
    c = [0.2, 9.0, -6.0, 5.0, 0, 0, 11.0, 0, 0]
    changed, rest = with_even_zernike(ctf, c)
    assert not rest
    angle = np.arctan2(Y, X)
    defocus = 0.5 * (29000 + 1000 * np.cos(2 * (angle - 0.4)))
    chi = np.pi * WAVELENGTH * defocus * R2 - 0.5 * np.pi * CS * 1e7 * WAVELENGTH**3 * R2**2
    extra = (
        c[0]
        + c[1] * 2 * X * Y
        + c[2] * (2 * R2 - 1)
        + c[3] * (X**2 - Y**2)
        + c[6] * (6 * R2**2 - 6 * R2 + 1)
    )
    expected = np.sin(chi + np.arcsin(0.1) - extra)
    assert np.allclose(ctf_values(changed, POINTS)[0].numpy(), expected, atol=2e-4)
    assert np.abs(expected - ctf_values(ctf, POINTS)[0].numpy()).max() > 0.1


def test_a_bound_of_what_has_no_parameter_is_returned() -> None:
    """Of (4r⁴ − 3r²) sin 2φ, the astigmatism in r² is taken, and 4r⁴ sin 2φ remains."""
    one = torch.ones(1, dtype=torch.float64)
    ctf = CTFParameters(*(one * v for v in (15000, 14000, 0.4, KV, CS, 0.1, 0)))
    _, tetrafoil = with_even_zernike(ctf, [0, 0, 0, 0, -3.0])
    assert tetrafoil == {4: 3.0}
    changed, rest = with_even_zernike(ctf, [0, 0, 0, 0, 0, 20.0])
    assert rest == {4: 80.0}
    angle = np.arctan2(Y, X)
    chi = np.pi * WAVELENGTH * 0.5 * (29000 + 1000 * np.cos(2 * (angle - 0.4))) * R2
    chi = chi - 0.5 * np.pi * CS * 1e7 * WAVELENGTH**3 * R2**2 + 60 * 2 * X * Y
    expected = np.sin(chi + np.arcsin(0.1))
    assert np.allclose(ctf_values(changed, POINTS)[0].numpy(), expected, atol=2e-4)
