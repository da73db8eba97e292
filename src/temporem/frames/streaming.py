"""Frames prepared from the pixels of a dataset on request.

How much windowed images tell. Noise is white with variance σ² in every pixel before the window w.
In every Fourier coefficient of a windowed image it has the variance ``σ² ⟨w²⟩``, with the mean ⟨w²⟩
over pixels. Images are scaled to make that 1. Neighbouring coefficients are correlated, because a
window is a convolution. Likelihoods count them as independent all the same. This is a composite
likelihood (Varin, Reid and Firth 2011): its estimates are right, but it counts every pixel of the
molecule, where w is 1, ``1/⟨w²⟩`` times (1.81 for a radius of 0.9). By Parseval, the information on
a signal S inside the window is ``Σ|S|²/σ²``, not ``Σ|S|²/(σ² ⟨w²⟩)``. So posteriors and the choice
between models count only the share ⟨w²⟩ of the coefficients
(:attr:`FrameStatistics.independent_share`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.background import (
    Background,
    NeighbourCorrelation,
    PlaneMeter,
    corner_pixels,
    find_background,
)
from temporem.frames.broken_pixels import (
    BrokenPixels,
    brightest_allowed,
    find_broken,
    most_extreme,
)
from temporem.frames.dataset import Dataset
from temporem.frames.image_statistics import ImageMeter, ImageStatistics
from temporem.frames.settings import DataSettings
from temporem.frames.source import blocks_of
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import soft_ball

_WINDOW_EDGE = 0.1  # soft edge, in half boxes
_LARGEST_PIXEL = 1e4  # times the noise; beyond, squares of products leave single precision


@dataclass(frozen=True, eq=False)
class FrameStack:
    """Frames that are centred, windowed, transformed and scaled on request.

    On a CPU, a frame has the same bits whichever frames it is prepared with.

    Attributes:
        dataset: pixels, shifts and CTF parameters.
        forward_model: image formation at its box and pixel size.
        window: soft disc, ``(D, D)``, on the device where frames are prepared.
        invert: flip the sign.
        noise_scale: divisor of the images, so that noise has unit variance in every coefficient.
        correlation: of the noise in neighbouring pixels, as the corners have it.
        broken: pixels that are repaired.
        block_samples: Fourier pixels that are read and prepared together; None for a number that
            bounds memory.
        background: what is subtracted from frames, and factors that follow.
    """

    dataset: Dataset
    forward_model: ForwardModel
    window: Tensor
    invert: bool
    background: Background
    noise_scale: float = 1.0
    correlation: float = 0.0
    broken: BrokenPixels = field(default_factory=BrokenPixels)
    block_samples: int | None = None

    @property
    def device(self) -> torch.device:
        return self.window.device

    @property
    def independent_share(self) -> float:
        """``⟨w²⟩`` over pixels: the share of the coefficients that counts as independent."""
        return self.window.square().mean().item()

    @property
    def in_memory(self) -> bool:
        return False

    @property
    def n_pixels(self) -> int:
        return len(self.forward_model.support)

    def __len__(self) -> int:
        return self.dataset.n_frames

    def take(self, rows: np.ndarray, n_pixels: int | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`temporem.frames.source.FrameSource`."""
        blocks = blocks_of(rows, self.n_pixels, self.block_samples)
        images, ctf = zip(*(self._prepare(block, n_pixels) for block in blocks), strict=True)
        return torch.cat(images), torch.cat(ctf)

    def to(self, device: torch.device) -> FrameStack:
        """A stack whose frames are prepared on a device."""
        return replace(self, window=self.window.to(device))

    def _prepare(self, rows: np.ndarray, n_pixels: int | None) -> tuple[Tensor, Tensor]:
        if len(rows) == 1:  # the transform of a single image is rounded differently
            images, ctf = self._prepare(rows.repeat(2), n_pixels)
            return images[:1], ctf[:1]
        model, device, index = self.forward_model, self.device, torch.from_numpy(rows)
        pixels = torch.from_numpy(self.broken.repair(self.dataset.images[rows], rows)).to(device)
        if not self.background.is_none:
            pixels = self.background.apply(pixels, index)
        pixels = -pixels if self.invert else pixels
        shifts = self.dataset.poses.shifts_angstrom[index].to(device)
        centring = model.shift_phase(-shifts)
        centred = model.support.ifft(_product(model.support.fft(pixels), centring))
        images = model.support.fft(centred * self.window) / self.noise_scale
        ctf = model.ctf(self.dataset.ctf[index].to(device), n_pixels)
        return images[:, :n_pixels], ctf


def open_frames(
    dataset: Dataset, settings: DataSettings, block_samples: int | None = None
) -> FrameStack:
    """Open the frames of a dataset, scaled to unit noise.

    Noise is measured in the corners of the raw images, outside the circle that holds the particle.

    Raises:
        TemporemError: the images are constant outside the particle, so noise cannot be measured, or
            a pixel is so far above it that single precision does not hold the squares of sums.
    """
    return _open(dataset, settings, block_samples, None)


def examine_frames(
    dataset: Dataset, settings: DataSettings, block_samples: int | None = None
) -> tuple[FrameStack, ImageStatistics]:
    """Open the frames as :func:`open_frames` does, and measure every image in the same pass."""
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    window = image_window(dataset.box, settings.window_radius)
    meter = ImageMeter(dataset.n_frames, window, model.support)
    return _open(dataset, settings, block_samples, meter), meter.result()


def image_window(box: int, radius: float) -> Tensor:
    """Make the soft disc that images are multiplied by, ``(D, D)``; its radius in half boxes."""
    half = box / 2
    return soft_ball(box, 2, (radius - _WINDOW_EDGE) * half, _WINDOW_EDGE * half)


def _open(
    dataset: Dataset,
    settings: DataSettings,
    block_samples: int | None,
    meter: ImageMeter | None,
) -> FrameStack:
    dataset = dataset.formed(settings.ctf)
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    window = image_window(dataset.box, settings.window_radius)
    corners, planes_of = corner_pixels(dataset.box), PlaneMeter(window)
    n, n_corner = dataset.n_frames, int(corners.sum())
    planes, variance = torch.zeros(n, 2, 3, dtype=torch.float64), torch.zeros(n).double()
    square, correlation = 0.0, NeighbourCorrelation(dataset.box)
    extreme = torch.zeros(n, dtype=torch.float64)

    def measure(rows: np.ndarray, images: Tensor) -> Tensor:
        outside = images[:, corners].double()
        planes[rows] = planes_of.measure(images)
        left = planes_of.residuals(outside, planes[rows, 0])
        variance[rows] = left.square().sum(1) / (n_corner - planes.shape[-1])
        extreme[rows] = most_extreme(images, planes[rows, 0, 0])
        return left

    for rows in blocks_of(np.arange(n), len(model.support), block_samples):
        images = torch.from_numpy(dataset.images[rows])
        left = measure(rows, images)
        outside = images[:, corners].double()
        square += float(outside.square().sum()) / (n * n_corner)
        correlation.add(left, variance[rows])
        if meter is not None:
            meter.add(images, outside)
    broken = BrokenPixels()
    if settings.corrections:
        broken = _broken_pixels(dataset, planes[:, 0, 0], extreme, variance)
        for row in broken.repairs:
            own = np.array([row])
            measure(own, torch.from_numpy(broken.repair(dataset.images[own], own)))
    noise, largest = float(variance.mean()), float(extreme.max())
    if noise <= 1e-12 * max(square, 1e-30):
        raise TemporemError(
            f"{dataset.path}: images are constant in their corners, so noise cannot be measured",
            expected="images without a mask",
            hint="extract particles without a mask",
        )
    if largest > _LARGEST_PIXEL * noise**0.5:
        raise TemporemError(
            f"{dataset.path}: an image has a pixel of {largest:g}, but the noise in the corners "
            f"has a standard deviation of {noise**0.5:g}",
            expected=f"pixels of at most {_LARGEST_PIXEL:g} times the noise",
            hint="leave out or mend images with broken pixels",
        )
    mean_square = window.square().mean().item()
    gain = dataset.box * float(window.mean()) / mean_square**0.5
    background = Background.none(n)
    if settings.corrections:
        background = find_background(planes, variance, n_corner, gain, dataset.movies)
    noise = float((variance * background.factor.square()).mean())
    noise_scale = (noise * mean_square) ** 0.5
    return FrameStack(
        dataset,
        model,
        window,
        settings.invert,
        background,
        noise_scale,
        correlation.result(),
        broken,
        block_samples,
    )


def _broken_pixels(
    dataset: Dataset, levels: Tensor, extreme: Tensor, variance: Tensor
) -> BrokenPixels:
    """Look for broken pixels in the images that have an extreme one."""
    sd = float(variance.median().sqrt())
    if sd == 0:
        return BrokenPixels()
    limit = sd * brightest_allowed(extreme.numpy() / sd, dataset.box)
    repairs = {}
    for row in (extreme > limit).nonzero()[:, 0].tolist():
        places, values = find_broken(dataset.images[row], float(levels[row]), limit)
        if len(places):
            repairs[row] = (places, values)
    return BrokenPixels(repairs)


def _product(one: Tensor, other: Tensor) -> Tensor:
    """Multiply complex numbers so that rounding does not depend on their place in the tensor.

    Torch rounds complex products differently at the end of a tensor, so that a frame would depend
    on the frames that are prepared with it.
    """
    real = one.real * other.real - one.imag * other.imag
    return torch.complex(real, one.real * other.imag + one.imag * other.real)
