"""Image formation: where a molecule lands, what noise is, and what its likelihood scores."""

import math

import numpy as np
import pytest
import torch

from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import euler_to_rotation, random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors

BOX, PIXEL = 16, 3.0
MODEL = ForwardModel(BOX, PIXEL)
# A Gaussian of σ = 1.5 pixels, so smooth that the band limit does not touch it.
SIGMA = 1.5 * PIXEL
GAUSSIAN = FormFactor(torch.tensor([5.0]), torch.tensor([8 * math.pi**2 * SIGMA**2]))


def project(positions: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Fourier images of Gaussian atoms ``(N, 3)``, unrotated, in poses ``(..., 3, 3)``."""
    turned = positions @ rotations.mT
    element = torch.zeros(len(positions), dtype=torch.long)
    return structure_factors(turned, element, [GAUSSIAN], MODEL.support, PIXEL)


def gaussian_image(x: float, y: float) -> np.ndarray:
    """Pixels of the projected Gaussian at (x, y) Å, rows y and columns x, from its formula."""
    axis = (np.arange(BOX) - BOX // 2) * PIXEL
    gx = np.exp(-0.5 * ((axis - x) / SIGMA) ** 2)
    gy = np.exp(-0.5 * ((axis - y) / SIGMA) ** 2)
    # ∫ over z of a 3D Gaussian of integral 5, as the sum of voxels: divided by the pixel size.
    return 5.0 / (2 * math.pi * SIGMA**2) / PIXEL * np.outer(gy, gx)


@pytest.mark.parametrize(
    ("angles", "seen_at"),
    [
        # The molecule's point (6, 3, −5) Å in the camera's x and y, by hand.
        pytest.param((0, 0, 0), (6, 3), id="as-it-is"),
        pytest.param((90, 0, 0), (3, -6), id="rot"),
        pytest.param((0, 0, 90), (3, -6), id="psi"),
        pytest.param((0, 90, 0), (5, 3), id="tilt"),
        pytest.param((0, 180, 0), (-6, 3), id="from-behind"),
        pytest.param((90, 90, 0), (5, -6), id="rot-tilt"),
        pytest.param((90, 90, 90), (-6, -5), id="rot-tilt-psi"),
    ],
)
def test_rotated_gaussian_lands_where_geometry_says(
    angles: tuple[float, ...], seen_at: tuple[float, float]
) -> None:
    point = torch.tensor([[6.0, 3.0, -5.0]], dtype=torch.float64)
    rotation = euler_to_rotation(torch.tensor(angles, dtype=torch.float64))
    image = MODEL.support.ifft(project(point, rotation))
    np.testing.assert_allclose(image.numpy(), gaussian_image(*seen_at), atol=2e-5)


def test_projection_is_the_slice_of_the_volume_that_the_pose_names() -> None:
    """``√D V̂(Rᵀ(kx, ky, 0))`` of the volume's own formula, for any pose and hand."""
    generator = torch.Generator().manual_seed(0)
    positions = 8 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    rotations = random_rotations(4, generator)
    k = MODEL.slice_frequencies(rotations) / (BOX * PIXEL)
    envelope = 5.0 * (-2 * (math.pi * SIGMA) ** 2 * k.square().sum(-1)).exp()
    waves = torch.exp(-2j * torch.pi * (k @ positions.T)).sum(-1)
    volume_hat = envelope * waves / (PIXEL**3 * BOX**1.5)
    expected = (BOX**0.5 * volume_hat).to(torch.complex64)
    images = project(positions, rotations)
    torch.testing.assert_close(images, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


def test_projection_is_the_sum_of_voxels_along_the_beam() -> None:
    generator = torch.Generator().manual_seed(1)
    positions = 6 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    element = torch.zeros(5, dtype=torch.long)
    support = FourierSupport(BOX, 3)
    volume = structure_factors(positions, element, [GAUSSIAN], support, PIXEL)
    along_z = support.ifft(volume).sum(0)  # axes (z, y, x)
    image = MODEL.support.ifft(project(positions, torch.eye(3).double()))
    torch.testing.assert_close(image, along_z, rtol=0, atol=2e-5 * float(image.abs().max()))


def test_frames_sample_the_camera_plane_turned_into_the_molecule() -> None:
    rotations = random_rotations(3, torch.Generator().manual_seed(2))
    k = MODEL.slice_frequencies(rotations)
    plane = torch.nn.functional.pad(MODEL.support.frequencies.double(), (0, 1))
    torch.testing.assert_close(k @ rotations.mT, plane.expand_as(k), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("x", "y"), [(2, 0), (0, 2), (-3, 1)])
def test_shift_moves_the_image_by_its_sign_and_axis(x: int, y: int) -> None:
    image = torch.from_numpy(gaussian_image(0, 0)).float()
    phase = MODEL.shift_phase(torch.tensor([x * PIXEL, y * PIXEL]))
    moved = MODEL.support.ifft(MODEL.support.fft(image) * phase)
    np.testing.assert_allclose(moved.numpy(), gaussian_image(x * PIXEL, y * PIXEL), atol=2e-5)


def test_observe_multiplies_by_ctf_and_shift() -> None:
    one = torch.ones(2, dtype=torch.float64)
    ctf = CTFParameters(12e3 * one, 11e3 * one, 0.3 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one)
    ctf = MODEL.ctf(ctf)
    assert ctf.dtype == torch.float32
    assert ctf[0, 0] == pytest.approx(0.1)  # w at the origin
    assert ctf[0].equal(ctf[1])
    shifts = torch.tensor([[4.0, -2.0], [0.0, 0.0]])
    slices = project(torch.tensor([[6.0, 3, -9]]).double(), torch.eye(3).double()).expand(2, -1)
    observed = MODEL.observe(slices, ctf, MODEL.shift_phase(shifts))
    k = MODEL.support.frequencies.double() / (BOX * PIXEL)
    ramp = torch.exp(-2j * torch.pi * (4 * k[:, 0] - 2 * k[:, 1]))
    torch.testing.assert_close(observed[0], (slices[0] * ctf[0] * ramp).to(torch.complex64))
    torch.testing.assert_close(observed[1], MODEL.observe(slices, ctf)[1])


def test_likelihood_is_that_of_independent_pixels() -> None:
    """``−½ Σ_pixels (y − x)² / σ²``, summed in real space over the whole image."""
    generator = torch.Generator().manual_seed(3)
    shape = (2, 3, len(MODEL.support))
    data, observed = (
        torch.randn(shape, generator=generator, dtype=torch.complex128) for _ in range(2)
    )
    for values in (data, observed):
        values[..., 0] = values[..., 0].real.to(values.dtype)
    residual = MODEL.support.ifft(data) - MODEL.support.ifft(observed)
    for variance in (1.0, 0.37):
        brute_force = -0.5 * residual.square().flatten(-2).sum(-1) / variance
        scored = MODEL.log_likelihood(observed, data, variance)
        assert scored.shape == (2, 3)
        torch.testing.assert_close(scored, brute_force, rtol=1e-12, atol=0)


def test_likelihood_takes_a_variance_for_every_coefficient() -> None:
    generator = torch.Generator().manual_seed(4)
    n = len(MODEL.support)
    data = torch.randn(n, generator=generator, dtype=torch.complex128)
    variance = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
    white = data / variance.sqrt()
    torch.testing.assert_close(
        MODEL.log_likelihood(torch.zeros_like(data), data, variance),
        MODEL.log_likelihood(torch.zeros_like(data), white, 1.0),
        rtol=1e-12,
        atol=0,
    )


def test_white_noise_on_pixels_is_the_noise_that_is_scored() -> None:
    # −2 log L of a draw is χ² with as many degrees of freedom as the full plane has numbers.
    n, variance = 500, 0.3
    pixels = torch.randn(n, BOX, BOX, generator=torch.Generator().manual_seed(5))
    data = MODEL.support.fft(variance**0.5 * pixels)
    chi_squared = -2 * MODEL.log_likelihood(torch.zeros_like(data), data, variance)
    degrees = float(MODEL.support.weights.sum())
    assert chi_squared.mean().item() == pytest.approx(degrees, abs=5 * math.sqrt(2 * degrees / n))
    assert chi_squared.var().item() == pytest.approx(2 * degrees, rel=0.4)


def test_low_frequencies_are_a_prefix() -> None:
    radii, rotations = MODEL.support.radii, random_rotations(2, torch.Generator().manual_seed(6))
    assert (radii.diff() >= 0).all()
    n = int((radii < 4).sum())
    low = MODEL.slice_frequencies(rotations, slice(n))
    torch.testing.assert_close(low, MODEL.slice_frequencies(rotations)[:, :n])
    data = torch.randn(2, n, generator=torch.Generator().manual_seed(7), dtype=torch.complex64)
    whole = torch.nn.functional.pad(data, (0, len(radii) - n))
    score = MODEL.log_likelihood(torch.zeros_like(whole), whole, 1.0)
    torch.testing.assert_close(MODEL.log_likelihood(torch.zeros_like(data), data, 1.0), score)
