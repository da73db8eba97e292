"""Aberrations beyond defocus, astigmatism and spherical aberration, as RELION describes them.

Antisymmetric ones (beam tilt, coma, trefoil) turn the phases of an image (Zivanov, Nakane and
Scheres 2020). They are undone by turning back. Symmetric ones change the CTF. Those of defocus, of
spherical aberration and of astigmatism are added to its parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from temporem.physics.ctf import CTFParameters, electron_wavelength


def zernike(m: int, n: int, points: Tensor) -> Tensor:
    """Zernike polynomial at points (x, y) ``(..., 2)`` → ``(...)``; radii are not scaled to 1.

    ``R(|m|, n, r) cos mφ`` for m ≥ 0, and with ``sin |m|φ`` for m < 0.
    """
    r = points.double().norm(dim=-1)
    angle = torch.atan2(points[..., 1].double(), points[..., 0].double())
    radial = torch.zeros_like(r)
    for power, factor in _radial(m, n).items():
        radial = radial + factor * r**power
    return radial * (torch.cos(m * angle) if m >= 0 else torch.sin(-m * angle))


def _radial(m: int, n: int) -> dict[int, float]:
    """Coefficients of the radial polynomial ``R(|m|, n, r)``, by power of r."""
    high, low = (n + abs(m)) // 2, (n - abs(m)) // 2
    return {
        n - 2 * k: (-1) ** k
        * math.factorial(n - k)
        / (math.factorial(k) * math.factorial(high - k) * math.factorial(low - k))
        for k in range(low + 1)
    }


def odd_order(index: int) -> tuple[int, int]:
    """Order (m, n) of entry ``index`` of ``rlnOddZernike``: (−1, 1), (1, 1), (−3, 3), …"""
    k = int((math.sqrt(1 + 4 * index) - 1) / 2)
    n = 2 * k + 1
    return 2 * (index - k * k - k) - n, n


def even_order(index: int) -> tuple[int, int]:
    """Order (m, n) of entry ``index`` of ``rlnEvenZernike``: (0, 0), (−2, 2), (0, 2), (2, 2), …"""
    k = math.isqrt(index)
    return 2 * (index - k * k - k), 2 * k


def odd_phase(
    frequencies_per_angstrom: Tensor,
    odd_zernike: Sequence[float],
    beam_tilt_mrad: tuple[float, float],
    *,
    cs_mm: float,
    voltage_kv: float,
) -> Tensor:
    """Phase in radians by which antisymmetric aberrations turned an image, ``(P, 2)`` → ``(P,)``.

    Beam tilt t adds ``−2π Cs λ² |k|² (k·t)``. A corrected image is ``X(k) exp(−i phase)``.

    Args:
        frequencies_per_angstrom: k, 1/Å, ordered (x, y).
        odd_zernike: coefficients of ``rlnOddZernike``, radians.
        beam_tilt_mrad: ``rlnBeamTiltX`` and ``rlnBeamTiltY``.
        cs_mm: spherical aberration.
        voltage_kv: acceleration voltage.
    """
    k = frequencies_per_angstrom.double()
    phase = torch.zeros(k.shape[:-1], dtype=torch.float64)
    for index, coefficient in enumerate(odd_zernike):
        if coefficient:
            phase = phase + coefficient * zernike(*odd_order(index), k)
    wavelength = float(electron_wavelength(torch.tensor(voltage_kv, dtype=torch.float64)))
    tilt = torch.tensor(beam_tilt_mrad, dtype=torch.float64) * 1e-3
    scale = 2 * math.pi * cs_mm * 1e7 * wavelength**2
    return phase - scale * k.square().sum(-1) * (k @ tilt)


def with_even_zernike(
    ctf: CTFParameters, coefficients: Sequence[float]
) -> tuple[CTFParameters, dict[int, float]]:
    """Add symmetric aberrations to the parameters of a CTF as far as it has such parameters.

    RELION subtracts ``Σ c Z(k)`` from our χ. The terms in 1, ``r²``, ``r⁴`` and in ``r² cos 2φ``,
    ``r² sin 2φ`` are those of phase shift, defocus, spherical aberration and astigmatism.

    Returns:
        The parameters, and a bound of what remains (secondary astigmatism, tetrafoil, …): by power
        n, the amount a of a phase of at most ``a |k|ⁿ``.
    """
    c = [*coefficients, *[0.0] * (9 - len(coefficients))]
    rest: dict[int, float] = {}
    for index, coefficient in enumerate(c):
        m, n = even_order(index)
        if coefficient == 0 or index in (0, 1, 2, 3, 6):
            continue
        for power, factor in _radial(m, n).items():
            if index not in (5, 7) or power == 4:  # their r² is added to the astigmatism
                rest[power] = rest.get(power, 0.0) + abs(coefficient * factor)
    # −Σ c Z, sorted by powers of r.
    constant = -(c[0] - c[2] + c[6])
    square = -(2 * c[2] - 6 * c[6])
    fourth = -6 * c[6]
    sine, cosine = -c[1] + 3 * c[5], -c[3] + 3 * c[7]
    p = ctf.to(torch.float64)
    wavelength = electron_wavelength(p.voltage_kv)
    per_angstrom = 1 / (math.pi * wavelength)  # defocus that adds 1 rad at r = 1/Å
    mean = 0.5 * (p.defocus_u_angstrom + p.defocus_v_angstrom) + square * per_angstrom
    half = 0.5 * (p.defocus_u_angstrom - p.defocus_v_angstrom)
    # The part ½(dU − dV) cos 2(α − α₀) is a vector; the new one is added to it.
    x = half * torch.cos(2 * p.astigmatism_radians) + cosine * per_angstrom
    y = half * torch.sin(2 * p.astigmatism_radians) + sine * per_angstrom
    half = torch.hypot(x, y)
    return (
        replace(
            p,
            defocus_u_angstrom=mean + half,
            defocus_v_angstrom=mean - half,
            astigmatism_radians=torch.where(half > 0, torch.atan2(y, x) / 2, 0 * half),
            cs_mm=p.cs_mm - fourth / (0.5 * math.pi * wavelength**3) * 1e-7,
            phase_shift_radians=p.phase_shift_radians + constant,
        ),
        rest,
    )
