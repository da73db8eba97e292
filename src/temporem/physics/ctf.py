"""Contrast transfer function (CTF), with RELION's sign."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

_PLANCK, _CHARGE, _MASS, _LIGHT = 6.62607015e-34, 1.602176634e-19, 9.1093837015e-31, 299792458.0


@dataclass(frozen=True)
class CTFParameters:
    """Imaging parameters of N frames; every field is a tensor of shape ``(N,)``.

    The last two may be None: then the CTF does not fall off, and has no scale.

    Attributes:
        defocus_u_angstrom: defocus along the major axis, Å, underfocus positive.
        defocus_v_angstrom: defocus along the minor axis, Å.
        astigmatism_radians: angle from the x axis to the major axis.
        voltage_kv: acceleration voltage, kV.
        cs_mm: spherical aberration, mm.
        amplitude_contrast: fraction w of amplitude contrast, in [0, 1].
        phase_shift_radians: phase plate shift.
        b_factor_angstrom2: B of the fall-off ``exp(−B s²/4)``, Å², 0 or more.
        scale: factor of the whole CTF, above 0.

    Example:
        >>> same = torch.ones(10)
        >>> defocus = torch.linspace(10_000, 20_000, 10)
        >>> ctf = tm.CTFParameters(
        ...     defocus, defocus, 0 * same, 300 * same, 2.7 * same, 0.1 * same, 0 * same
        ... )
        >>> len(ctf), len(ctf[:3])
        (10, 3)
    """

    defocus_u_angstrom: Tensor
    defocus_v_angstrom: Tensor
    astigmatism_radians: Tensor
    voltage_kv: Tensor
    cs_mm: Tensor
    amplitude_contrast: Tensor
    phase_shift_radians: Tensor
    b_factor_angstrom2: Tensor | None = None
    scale: Tensor | None = None

    def __len__(self) -> int:
        return len(self.defocus_u_angstrom)

    def __getitem__(self, index: Any) -> CTFParameters:
        return CTFParameters(**{name: values[index] for name, values in self.columns().items()})

    def columns(self) -> dict[str, Tensor]:
        """All fields that are there, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def refocused(self, change_angstrom: Tensor) -> CTFParameters:
        """Add a change ``(N,)`` to the defocus along both axes."""
        return replace(
            self,
            defocus_u_angstrom=self.defocus_u_angstrom + change_angstrom,
            defocus_v_angstrom=self.defocus_v_angstrom + change_angstrom,
        )

    def to(self, *args: Any, **kwargs: Any) -> CTFParameters:
        """Move or cast every field, as :meth:`torch.Tensor.to`."""
        moved = {name: value.to(*args, **kwargs) for name, value in self.columns().items()}
        return CTFParameters(**moved)


def no_ctf(n: int) -> CTFParameters:
    """Parameters of a CTF that is 1 at all frequencies, for N frames."""
    zero, one = torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    return CTFParameters(zero, zero, zero, 300 * one, zero, one, zero)


def electron_wavelength(voltage_kv: Tensor) -> Tensor:
    """Relativistic de Broglie wavelength in Å: ``λ = h / √(2 m e V (1 + eV / 2mc²))``."""
    volts = voltage_kv * 1e3
    momentum_squared = 2 * _MASS * _CHARGE * volts
    momentum_squared = momentum_squared * (1 + _CHARGE * volts / (2 * _MASS * _LIGHT**2))
    return _PLANCK / momentum_squared.sqrt() * 1e10


def ctf_values(parameters: CTFParameters, frequencies_per_angstrom: Tensor) -> Tensor:
    """CTF of N frames at P frequencies ``(P, 2)``, 1/Å → real ``(N, P)``.

    ``CTF = A exp(−B s²/4) (√(1−w²) sin χ + w cos χ)`` with scale A, and
    ``χ = π λ Δf s² − ½ π Cs λ³ s⁴ + phase shift``,
    ``Δf = ½ (dU + dV + (dU − dV) cos 2(α − α₀))``. RELION uses the same formula; the CTF is +w at
    s = 0, but for A.
    """
    # χ reaches hundreds of radians at high defocus, too many for float32.
    p = parameters.to(torch.float64)
    k = frequencies_per_angstrom.to(torch.float64)
    s2 = k.square().sum(-1)
    angle = torch.atan2(k[:, 1], k[:, 0])
    du, dv = p.defocus_u_angstrom[:, None], p.defocus_v_angstrom[:, None]
    defocus = 0.5 * (du + dv + (du - dv) * (2 * (angle - p.astigmatism_radians[:, None])).cos())
    wavelength = electron_wavelength(p.voltage_kv)[:, None]
    cs_angstrom = p.cs_mm[:, None] * 1e7
    chi = torch.pi * wavelength * defocus * s2
    chi = (
        chi - 0.5 * torch.pi * cs_angstrom * wavelength**3 * s2**2 + p.phase_shift_radians[:, None]
    )
    w = p.amplitude_contrast[:, None]
    values = (1 - w**2).sqrt() * chi.sin() + w * chi.cos()
    if p.b_factor_angstrom2 is not None:
        values = values * (-0.25 * p.b_factor_angstrom2[:, None] * s2).exp()
    if p.scale is not None:
        values = values * p.scale[:, None]
    return values.to(frequencies_per_angstrom.dtype)


def ctf_slopes(parameters: CTFParameters, frequencies_per_angstrom: Tensor) -> Tensor:
    """Derivative of the CTF by defocus, 1/Å, at P frequencies ``(P, 2)``: real ``(N, P)``.

    ``∂χ/∂Δf = π λ s²``, and the derivative by χ is the CTF with χ a quarter of a turn on.
    """
    turned = replace(parameters, phase_shift_radians=parameters.phase_shift_radians + torch.pi / 2)
    wavelength = electron_wavelength(parameters.voltage_kv.double())[:, None]
    s2 = frequencies_per_angstrom.double().square().sum(-1)
    slope = torch.pi * wavelength * s2
    return slope.to(frequencies_per_angstrom.dtype) * ctf_values(turned, frequencies_per_angstrom)
