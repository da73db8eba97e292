"""Images on another grid: other pixel size, other box, sheared or magnified, all in Fourier space.

An image is taken for band-limited and for zero outside its box, so that its Fourier transform is
known at every frequency. Nothing is interpolated in real space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Resampler:
    """Crops images in real space, and in Fourier space to a coarser pixel.

    The centre stays: pixel ``box // 2``, which is RELION's also for odd boxes. White noise keeps
    its variance per pixel.

    Args:
        box: side of the images in pixels, even or odd.
        pixel_size_angstrom: their pixel size, Å.
        new_box: side of the new images in pixels, even.
        new_pixel_size_angstrom: their pixel size, Å, no smaller.

    Raises:
        ValueError: the new image is wider than the old one, or its pixels are finer.
    """

    box: int
    pixel_size_angstrom: float
    new_box: int
    new_pixel_size_angstrom: float

    def __post_init__(self) -> None:
        if self.new_box % 2 or self.new_box < 2:
            raise ValueError(f"the new box must be even, not {self.new_box}")
        if self.ratio < 1 - 1e-6:
            raise ValueError("the new pixels are finer than the old ones")
        if self.width > self.box * (1 + 1e-6) + 0.5:
            raise ValueError("the new image is wider than the old one")

    @property
    def ratio(self) -> float:
        """New pixel size, in old pixels."""
        return self.new_pixel_size_angstrom / self.pixel_size_angstrom

    @property
    def width(self) -> float:
        """Width of the new image, in old pixels."""
        return self.new_box * self.ratio

    @cached_property
    def _matrix(self) -> Tensor:
        """``exp(−2πi f x)`` at frequencies f of the new box and pixels x inside it, complex64."""
        x = torch.arange(self.box, dtype=torch.float64) - self.box // 2
        half = self.width / 2
        inside = (x >= -half - 1e-6) & (x < half - 1e-6)
        f = torch.arange(-(self.new_box // 2), self.new_box // 2, dtype=torch.float64) / self.width
        phase = -2 * math.pi * f[:, None] * x[None]
        wave = torch.polar(inside.double().expand_as(phase), phase)
        return (wave / self.width**0.5).to(torch.complex64)

    def __call__(self, images: Tensor) -> Tensor:
        """Resample real images ``(n, box, box)`` → ``(n, new_box, new_box)``, float32."""
        if self.box == self.new_box and self.ratio == 1:
            return images.float()  # to the last bit
        waves = self._matrix
        spectrum = waves @ images.to(torch.complex64) @ waves.mT
        # A frequency at Nyquist has no partner of the other sign. A cropped one would fold there.
        if self.ratio > 1 + 1e-6:
            spectrum[..., 0, :] = 0
            spectrum[..., :, 0] = 0
        spectrum = torch.fft.ifftshift(spectrum, dim=(-2, -1))
        image = torch.fft.ifft2(spectrum, norm="ortho").real
        return torch.fft.fftshift(image, dim=(-2, -1))


def unstretched(images: Tensor, matrix: Tensor) -> Tensor:
    """Undo a linear stretch of images about their centres: ``t(y) = |det M| o(Mᵀ y)``.

    RELION's anisotropic magnification M maps the nominal frequency k of an image to the true one,
    ``Mk`` (``rlnMagMat00`` …). So the observed image is ``o(x) = t(M⁻ᵀ x) / |det M|``. Mᵀ is split
    into two triangular matrices, and each changes one coordinate only. That is done exactly for
    band-limited images: a shear is a ramp of phases, a stretch a sum of sines.

    Args:
        images: ``(n, D, D)``, real.
        matrix: M, ``(2, 2)``, in the order (x, y).
    """
    (a, b), (c, d) = matrix.double().mT.tolist()
    s = b / d
    e = a - s * c
    # u(x, y) = o(x + s y, y), v(x, y) = u(x, d y + (c/e) x), t(x, y) = v(e x, y).
    sheared = _along_x(images, 1.0, s)
    stretched = _along_x(sheared.mT, d, c / e).mT
    done = _along_x(stretched, e, 0.0)
    return done * abs(a * d - b * c)


def _along_x(images: Tensor, scale: float, shear: float) -> Tensor:
    """``u(x, y) = o(scale·x + shear·y, y)`` of images ``(n, y, x)``, by their Fourier series."""
    box = images.shape[-1]
    x = torch.arange(box, dtype=torch.float64) - box // 2
    if shear:
        k = torch.fft.rfftfreq(box, dtype=torch.float64)
        ramp = torch.polar(torch.ones(box, len(k)).double(), 2 * math.pi * shear * x[:, None] * k)
        images = torch.fft.irfft(torch.fft.rfft(images) * ramp.to(torch.complex64), n=box)
    if scale != 1:
        k = torch.fft.fftfreq(box, dtype=torch.float64)
        # Value at scale·x of the series through the pixels n: Σ_k exp(2πi k (scale·x − n)) / D.
        waves = (
            torch.exp(2j * math.pi * x[:, None] * k),
            torch.exp(2j * math.pi * scale * x * k[:, None]),
        )
        images = images @ (waves[0].conj() @ waves[1] / box).real.to(images.dtype)
    return images
