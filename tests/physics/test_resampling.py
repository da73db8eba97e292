"""Resampling of images against closed formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from temporem.physics.resampling import Resampler, unstretched


def gaussians(box: int, size: float, sigma: float = 9.0) -> torch.Tensor:
    """Two Gaussians of unit mass per Å² whose exact pixels are known, ``(1, box, box)``."""
    axis = (torch.arange(box, dtype=torch.float64) - box // 2) * size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    one = torch.exp(-((x - 7) ** 2 + (y + 12) ** 2) / (2 * sigma**2))
    return (one + 0.5 * torch.exp(-((x + 15) ** 2 + y**2) / (2 * sigma**2)))[None].float()


@pytest.mark.parametrize(
    ("box", "size", "new_box", "new_size"),
    [
        (64, 2.0, 32, 4.0),  # Fourier crop
        (65, 2.0, 64, 2.0),  # an odd box loses a pixel
        (64, 2.0, 48, 2.0),  # crop in real space
        (81, 1.7, 40, 3.1),  # both, with sizes that have no common multiple
    ],
)
def test_samples_a_smooth_image_on_the_new_grid(
    box: int, size: float, new_box: int, new_size: float
) -> None:
    made = Resampler(box, size, new_box, new_size)(gaussians(box, size))
    # An orthonormal crop multiplies by the ratio of pixel sizes.
    expected = gaussians(new_box, new_size) * (new_size / size)
    assert torch.allclose(made, expected, atol=2e-3 * float(expected.max()))


def test_white_noise_stays_white_with_its_variance() -> None:
    noise = torch.randn(400, 40, 40, generator=torch.Generator().manual_seed(0))
    made = Resampler(40, 2.0, 16, 5.0)(noise)
    power = torch.fft.fft2(made, norm="ortho").abs().square().mean(0)
    inner = power[:8, :8]
    assert inner.mean() == pytest.approx(1, abs=0.02)
    assert (inner - 1).abs().max() < 0.35  # 400 frames


def test_a_crop_of_even_images_takes_their_middle() -> None:
    images = torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(0))
    made = Resampler(20, 1.5, 12, 1.5)(images)
    assert torch.allclose(made, images[:, 4:16, 4:16], atol=1e-5)


@pytest.mark.parametrize("new", [(15, 2.0), (16, 1.0), (40, 2.0)])
def test_refuses_odd_finer_and_wider_images(new: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="new"):
        Resampler(32, 2.0, *new)


def test_undoes_an_anisotropic_magnification() -> None:
    """The stretched image is written down as a formula: ``o(x) = t(M⁻ᵀ x) / |det M|``."""
    matrix = np.array([[1.06, 0.03], [-0.02, 0.95]])
    box, size, sigma = 64, 2.0, 9.0
    axis = (np.arange(box) - box // 2) * size
    y, x = np.meshgrid(axis, axis, indexing="ij")
    u, v = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix).T, np.stack([x, y]))

    def molecule(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-((x - 14) ** 2 + (y + 22) ** 2) / (2 * sigma**2))

    stretched = molecule(u, v) / abs(np.linalg.det(matrix))
    made = unstretched(torch.from_numpy(stretched)[None].float(), torch.from_numpy(matrix))
    assert np.abs(made[0].numpy() - molecule(x, y)).max() < 1e-3
    assert np.abs(stretched - molecule(x, y)).max() > 0.05  # the test can fail


def test_nominal_frequencies_become_true_ones() -> None:
    """RELION's definition: the observed image has at k the value of the true one at Mk."""
    matrix = torch.tensor([[1.04, 0.02], [0.01, 0.97]], dtype=torch.float64)
    observed = gaussians(96, 1.0, 4.0)
    true = unstretched(observed, matrix)
    axis = torch.arange(96, dtype=torch.float64) - 48
    k = torch.tensor([0.03, -0.05], dtype=torch.float64)

    def transform(image: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        x, y = (torch.exp(-2j * torch.pi * f * axis) for f in at)
        return y @ image[0].to(torch.complex128) @ x

    here, there = transform(true, matrix @ k), transform(observed, k)
    assert abs(here - there) < 1e-4 * abs(there)
    assert abs(transform(observed, matrix @ k) - there) > 0.05 * abs(there)
