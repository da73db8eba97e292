"""The CTF against RELION's formula as RELION writes it, torch-ctf, and known limits."""

import math

import numpy as np
import pytest
import torch
from torch_ctf import calculate_ctf_2d

from temporem.physics.ctf import CTFParameters, ctf_values, electron_wavelength
from temporem.physics.fourier import FourierSupport

BOX, PIXEL = 32, 1.7
FREQUENCIES = FourierSupport(BOX, 2).frequencies.double() / (BOX * PIXEL)


def parameters(**changes: float) -> CTFParameters:
    """One frame's parameters: 300 kV, Cs 2.7, w 0.1, defocus 1.5 µm, unless changed."""
    values = {
        "defocus_u_angstrom": 15000.0,
        "defocus_v_angstrom": 15000.0,
        "astigmatism_radians": 0.0,
        "voltage_kv": 300.0,
        "cs_mm": 2.7,
        "amplitude_contrast": 0.1,
        "phase_shift_radians": 0.0,
    } | changes
    return CTFParameters(**{k: torch.tensor([v], dtype=torch.float64) for k, v in values.items()})


ASTIGMATIC = {
    "defocus_u_angstrom": 16500.0,
    "defocus_v_angstrom": 12000.0,
    "astigmatism_radians": math.radians(25),
}
CASES = [
    pytest.param({}, id="plain"),
    pytest.param(ASTIGMATIC, id="astigmatism"),
    pytest.param({"phase_shift_radians": math.radians(70)}, id="phase-plate"),
    pytest.param({**ASTIGMATIC, "phase_shift_radians": math.radians(40)}, id="both"),
    pytest.param({"defocus_u_angstrom": -6000.0, "defocus_v_angstrom": -6000.0}, id="overfocus"),
    pytest.param({"voltage_kv": 200.0, "cs_mm": 0.01, "amplitude_contrast": 0.0}, id="200kV"),
]


def relion_ctf(p: CTFParameters, k: np.ndarray) -> np.ndarray:
    """``−sin(K1 Δf u² + K2 u⁴ − K5 − K3)``, Δf negative for underfocus: as RELION computes it."""
    du, dv, azimuth, kv, cs, w, phase = (
        float(v)
        for v in (
            p.defocus_u_angstrom, p.defocus_v_angstrom, p.astigmatism_radians, p.voltage_kv,
            p.cs_mm, p.amplitude_contrast, p.phase_shift_radians,
        )
    )  # fmt: skip
    volts = kv * 1e3
    wavelength = 12.2643247 / math.sqrt(volts * (1 + volts * 0.978466e-6))
    # The defocus as a quadratic form, in place of an angle for every frequency.
    c, s = math.cos(azimuth), math.sin(azimuth)
    turn = np.array([[c, s], [-s, c]])
    form = turn.T @ np.diag([-du, -dv]) @ turn
    u2 = (k**2).sum(-1)
    gamma = math.pi * wavelength * np.einsum("pi,ij,pj->p", k, form, k)
    gamma += math.pi / 2 * cs * 1e7 * wavelength**3 * u2**2
    gamma -= phase + math.atan(w / math.sqrt(1 - w * w))
    return -np.sin(gamma)


@pytest.mark.parametrize("changes", CASES)
def test_agrees_with_relions_formula(changes: dict[str, float]) -> None:
    p = parameters(**changes)
    expected = relion_ctf(p, FREQUENCIES.numpy())
    # Its constants give the wavelength to six digits, of a phase of some hundred radians.
    np.testing.assert_allclose(ctf_values(p, FREQUENCIES)[0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("changes", CASES)
def test_agrees_with_torch_ctf(changes: dict[str, float]) -> None:
    p = parameters(**changes)
    u, v = float(p.defocus_u_angstrom), float(p.defocus_v_angstrom)
    # torch-ctf edits tensors it is given, and takes defocus in µm, angles in degrees.
    theirs = calculate_ctf_2d(
        defocus=torch.tensor((u + v) / 2e4, dtype=torch.float64),
        astigmatism=torch.tensor((u - v) / 2e4, dtype=torch.float64),
        astigmatism_angle=torch.tensor(
            math.degrees(p.astigmatism_radians.item()), dtype=torch.float64
        ),
        voltage=torch.tensor(p.voltage_kv.item(), dtype=torch.float64),
        spherical_aberration=torch.tensor(p.cs_mm.item(), dtype=torch.float64),
        amplitude_contrast=torch.tensor(p.amplitude_contrast.item(), dtype=torch.float64),
        phase_shift=torch.tensor(math.degrees(p.phase_shift_radians.item()), dtype=torch.float64),
        pixel_size=torch.tensor(PIXEL, dtype=torch.float64),
        image_shape=(BOX, BOX),
        rfft=True,
        fftshift=False,
    )
    theirs = theirs.flatten()[FourierSupport(BOX, 2).grid_index].double()
    torch.testing.assert_close(ctf_values(p, FREQUENCIES)[0], theirs, rtol=0, atol=1e-3)


def test_wavelength_at_300_kilovolts() -> None:
    wavelength = electron_wavelength(torch.tensor([300.0, 200.0, 80.0], dtype=torch.float64))
    expected = torch.tensor([0.0196875, 0.0250793, 0.0417572], dtype=torch.float64)
    torch.testing.assert_close(wavelength, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("w", [0.0, 0.07, 0.3, 1.0])
def test_is_the_amplitude_contrast_at_zero_frequency(w: float) -> None:
    origin = torch.zeros(1, 2, dtype=torch.float64)
    ctf = ctf_values(parameters(amplitude_contrast=w, **ASTIGMATIC), origin)
    assert ctf.item() == pytest.approx(w, abs=1e-12)
    # A quarter-wave phase plate turns all of the phase contrast into contrast at once.
    plate = parameters(amplitude_contrast=w, phase_shift_radians=math.pi / 2)
    assert ctf_values(plate, origin).item() == pytest.approx(math.sqrt(1 - w * w), abs=1e-12)


def test_underfocus_makes_the_molecule_bright_before_the_first_zero() -> None:
    # cos-free and Cs-free, the first zero is at s = 1 / √(λ Δf).
    p = parameters(cs_mm=0.0, amplitude_contrast=0.0)
    zero = 1 / math.sqrt(0.0196875 * 15000)
    s = torch.tensor([0.2, 0.7, 0.999, 1.001, 1.3], dtype=torch.float64) * zero
    ctf = ctf_values(p, torch.stack([s, torch.zeros_like(s)], dim=-1))[0]
    assert (ctf[:3] > 0).all()
    assert (ctf[3:] < 0).all()
    over = parameters(
        cs_mm=0.0, amplitude_contrast=0.0, defocus_u_angstrom=-15000.0, defocus_v_angstrom=-15000.0
    )
    torch.testing.assert_close(
        ctf_values(over, torch.stack([s, torch.zeros_like(s)], dim=-1))[0], -ctf
    )


def test_defocus_u_is_along_the_astigmatism_angle() -> None:
    angle = math.radians(25)
    p = parameters(**ASTIGMATIC)
    s = torch.linspace(0.02, 0.2, 40, dtype=torch.float64)
    along = s[:, None] * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    across = s[:, None] * torch.tensor([-math.sin(angle), math.cos(angle)], dtype=torch.float64)
    u = parameters(defocus_u_angstrom=16500.0, defocus_v_angstrom=16500.0)
    v = parameters(defocus_u_angstrom=12000.0, defocus_v_angstrom=12000.0)
    for direction, round_beam in ((along, u), (across, v)):
        torch.testing.assert_close(ctf_values(p, direction), ctf_values(round_beam, direction))


def test_frames_are_independent_and_parameters_index_like_them() -> None:
    frames = [parameters(), parameters(**ASTIGMATIC), parameters(voltage_kv=200.0)]
    stacked = CTFParameters(
        **{n: torch.cat([getattr(f, n) for f in frames]) for n in frames[0].columns()}
    )
    assert len(stacked) == 3
    together = ctf_values(stacked, FREQUENCIES)
    for i, frame in enumerate(frames):
        torch.testing.assert_close(together[i], ctf_values(frame, FREQUENCIES)[0])
    chosen = ctf_values(stacked[torch.tensor([2, 0])], FREQUENCIES)
    assert chosen.equal(together[[2, 0]])


def test_phase_is_computed_in_double_precision() -> None:
    # 6 µm at 1 Å: hundreds of radians, of which float32 would keep three digits.
    p = parameters(defocus_u_angstrom=60000.0, defocus_v_angstrom=60000.0)
    k = torch.linspace(0.5, 1.0, 50, dtype=torch.float64)[:, None] * torch.tensor([[0.6, 0.8]])
    k = k.float().double()
    single = ctf_values(p, k.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), ctf_values(p, k), rtol=0, atol=1e-6)


def test_b_factor_and_scale_multiply_the_ctf() -> None:
    """RELION's ``A exp(−B s²/4)``: with B of 4d² the signal at spacing d falls to 1/e."""
    plain = parameters(**ASTIGMATIC)
    k = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, -0.1], [0.03, 0.04]], dtype=torch.float64)
    fallen = parameters(**ASTIGMATIC, b_factor_angstrom2=4 * 10.0**2, scale=0.7)
    ratio = ctf_values(fallen, k) / ctf_values(plain, k)
    expected = 0.7 * torch.tensor([[1, math.exp(-1), math.exp(-1), math.exp(-0.25)]])
    torch.testing.assert_close(ratio, expected.double())
    for same in (fallen[torch.tensor([0])], fallen.to(torch.float64), fallen[:1]):
        torch.testing.assert_close(ctf_values(same, k), ctf_values(fallen, k))
    assert len(plain[:1].columns()) == 7
