"""The images themselves: read in blocks, checked, corrected and brought to one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.pixel_size import CALIBRATION, says_nothing
from temporem.importing.table import ForeignParticles, Optics
from temporem.io import limits
from temporem.io.mrc import Stack
from temporem.physics.aberrations import odd_phase
from temporem.physics.ctf import ctf_values
from temporem.physics.resampling import Resampler, unstretched

_BLOCK_BYTES = 2**23  # work in double precision takes some ten times as much
_CONSTANT = 1e-6  # of the largest pixel as recorded: what varies less is rounding, not noise


@dataclass(frozen=True)
class Grid:
    """Box and pixel size of a dataset.

    Attributes:
        box: side in pixels, even.
        pixel_size_angstrom: Å per pixel.
    """

    box: int
    pixel_size_angstrom: float

    @property
    def finest_spacing_angstrom(self) -> float:
        """Spacing at Nyquist, Å."""
        return 2 * self.pixel_size_angstrom


def check_stacks(particles: ForeignParticles, stacks: Sequence[Stack]) -> np.ndarray:
    """Compare stacks with the table: images, box and pixel size. Returns Å per pixel, ``(N,)``.

    Raises:
        TemporemError: images are not square, a row points past its stack, the header has another
            box or pixel size than the table, or nothing tells the pixel size.
    """
    boxes = np.array([stack.shape[-1] for stack in stacks])
    for stack in stacks:
        _, height, width = stack.shape
        if height != width or width < 8:
            raise TemporemError(
                f"{stack.path} has images of {width} x {height} pixels",
                expected="square images of 8 pixels or more",
            )
    index = particles.stack_index
    counts = np.array([stack.shape[0] for stack in stacks])[index]
    exists = (particles.sections >= 0) & (particles.sections < counts)
    row = int(np.argmin(exists))
    particles.check(
        exists,
        f"image {particles.sections[row] + 1} of {stacks[index[row]].path}",
        f"an image from 1 to {counts[row]}, the stack's last",
    )
    same = (particles.box == 0) | (particles.box == boxes[index])
    row = int(np.argmin(same))
    particles.check(
        same,
        f"the table says that images have {particles.box[row]} pixels, and "
        f"{stacks[index[row]].path} has {boxes[index[row]]}",
        "one box",
        "does the table belong to these stacks, or were they binned?",
    )
    return _pixel_sizes(particles, stacks)


def _pixel_sizes(particles: ForeignParticles, stacks: Sequence[Stack]) -> np.ndarray:
    index, sizes = particles.stack_index, particles.pixel_size_angstrom.copy()
    headers = np.array([stack.pixel_size_angstrom for stack in stacks])[index]
    silent = np.array([says_nothing(stack.pixel_size_angstrom) for stack in stacks])[index]
    unknown = ~np.isfinite(sizes)
    row = int(np.argmax(unknown & silent))
    particles.check(
        ~(unknown & silent),
        f"nothing tells the pixel size: the header of {stacks[index[row]].path} has "
        f"{headers[row]:g} Å, which stands for an unknown one",
        "a pixel size",
        "pass --input-pixel-size",
    )
    sizes[unknown] = headers[unknown]
    held = limits.PIXEL_SIZE_ANGSTROM.hold(sizes)
    row = int(np.argmin(held))
    particles.check(held, f"pixels of {sizes[row]:g} Å", str(limits.PIXEL_SIZE_ANGSTROM))
    ratio = headers / sizes
    agree = silent | ((ratio > 1 / CALIBRATION) & (ratio < CALIBRATION))
    row = int(np.argmin(agree))
    particles.check(
        agree,
        f"the pixel size is {sizes[row]:g} Å, and the header of {stacks[index[row]].path} has "
        f"{headers[row]:g} Å",
        "one pixel size",
        "were the images binned? mend the column, or write 0 into the header",
    )
    return sizes


def choose_grid(
    boxes: np.ndarray, sizes: np.ndarray, box: int | None, pixel_size_angstrom: float | None
) -> Grid:
    """Choose box and pixel size of the dataset.

    By default the field of view of the smallest image, at the coarsest pixel size; an odd box
    loses one pixel.

    Args:
        boxes: sides of the images in pixels.
        sizes: their pixel sizes, Å.
        box: what the user wants, even, or None.
        pixel_size_angstrom: what the user wants, or None.

    Raises:
        TemporemError: the images do not have so many or such fine pixels.
    """
    width = float((boxes * sizes).min())
    coarsest = float(sizes.max())
    if box is not None and (box < 8 or box % 2):
        raise TemporemError(f"--size {box}", expected="an even number, 8 or more")
    if pixel_size_angstrom is None:
        pixel = coarsest if box is None else width / box
        if pixel < coarsest * (1 - 1e-6):
            raise TemporemError(
                f"--size {box}: the images have {int(width / coarsest + 1e-6)} pixels of "
                f"{coarsest:g} Å",
                expected="no more pixels than the images have",
            )
    else:
        pixel = pixel_size_angstrom
        if not coarsest * (1 - 1e-4) <= pixel <= limits.PIXEL_SIZE_ANGSTROM.high:  # false for NaN
            raise TemporemError(
                f"--pixel-size {pixel:g}: the images have pixels of {coarsest:g} Å",
                expected="a pixel size that is no finer, up to 10,000 Å",
            )
    most = 2 * int(width / pixel / 2 + 1e-6)
    if box is not None and box * pixel > width * (1 + 1e-6) + pixel:
        raise TemporemError(
            f"--size {box} at {pixel:g} Å is {box * pixel:.4g} Å wide, and the images "
            f"{width:.4g} Å",
            expected=f"a box of at most {most} pixels",
        )
    chosen = box if box is not None else most
    if chosen < 8:
        raise TemporemError(f"a box of {chosen} pixels of {pixel:g} Å", expected="8 pixels or more")
    return Grid(chosen, pixel)


@dataclass(frozen=True, eq=False)
class PixelWork:
    """Makes images of a dataset out of those of stacks, a block at a time.

    Attributes:
        particles: what the table says.
        stacks: the files.
        pixel_sizes: Å per pixel of each image, ``(N,)``.
        grid: the dataset's.
        sign: −1 where an image is inverted, ``(N,)``.
        normalise: take away a background plane, and divide by the background's standard deviation.
    """

    particles: ForeignParticles
    stacks: Sequence[Stack]
    pixel_sizes: np.ndarray
    grid: Grid
    sign: np.ndarray
    normalise: bool

    def blocks(self) -> Iterator[np.ndarray]:
        """All images in order, in blocks ``(n, D, D)`` of bounded size."""
        largest = max(stack.shape[-1] for stack in self.stacks)
        step = max(1, _BLOCK_BYTES // (4 * largest**2))
        for start in range(0, len(self.particles), step):
            yield self.images(np.arange(start, min(start + step, len(self.particles))))

    def images(self, rows: np.ndarray) -> np.ndarray:
        """Images of some rows, ``(n, D, D)`` float32.

        Raises:
            TemporemError: a pixel is not finite or beyond all sense, or a background is constant.
        """
        box = self.grid.box
        out = np.empty((len(rows), box, box), dtype=np.float32)
        index = self.particles.stack_index[rows]
        for number in np.unique(index):
            of_stack = np.flatnonzero(index == number)
            raw = self.stacks[number].read(self.particles.sections[rows[of_stack]])
            self._check(raw, rows[of_stack])
            raw *= self.sign[rows[of_stack]][:, None, None]
            kinds = np.stack(
                [self.particles.optics_index[rows[of_stack]], self._size_index[rows[of_stack]]], 1
            )
            for kind in np.unique(kinds, axis=0):
                mine = (kinds == kind).all(axis=1)
                group = of_stack[mine]
                out[group] = self._work(torch.from_numpy(raw[mine]), rows[group]).numpy()
        return out

    @cached_property
    def _size_index(self) -> np.ndarray:
        return np.unique(self.pixel_sizes, return_inverse=True)[1].reshape(-1)

    def _check(self, raw: np.ndarray, rows: np.ndarray) -> None:
        good = (np.abs(raw) <= limits.LARGEST_PIXEL).all(axis=(1, 2))  # false for NaN
        if not good.all():
            valid = np.ones(len(self.particles), dtype=bool)
            valid[rows] = good
            self.particles.check(
                valid,
                "the image has a pixel that is not a number or beyond all sense",
                f"finite pixels, at most {limits.LARGEST_PIXEL:g} of either sign",
                "mend the image or leave the row out",
            )

    def _work(self, images: Tensor, rows: np.ndarray) -> Tensor:
        """Correct images of one stack, optics group and pixel size."""
        optics = self.particles.optics[self.particles.optics_index[rows[0]]]
        size = float(self.pixel_sizes[rows[0]])
        largest = images.abs().amax(dim=(1, 2))
        if self.normalise:
            images = without_plane(images)
        if optics.phase_flipped:
            images = self._unflipped(images, optics, size, rows)
        if optics.stretches:
            images = unstretched(images, torch.tensor(optics.magnification))
        if optics.turns_phases:
            images = self._turned_back(images, optics, size)
        images = Resampler(images.shape[-1], size, self.grid.box, self.grid.pixel_size_angstrom)(
            images
        )
        return self._scaled(images, largest, rows) if self.normalise else images

    def _scaled(self, images: Tensor, largest: Tensor, rows: np.ndarray) -> Tensor:
        """Bring the noise outside the particle to 1; ``largest (n,)`` are pixels as recorded."""
        outside = images[:, _corners(images.shape[-1])].double()
        spread = outside.std(dim=1)
        flat = (spread <= _CONSTANT * largest).numpy()
        if flat.any():
            valid = np.ones(len(self.particles), dtype=bool)
            valid[rows] = ~flat
            self.particles.check(
                valid,
                "the image is constant outside the particle, so its noise cannot be measured",
                "images without a mask",
                "extract them without a mask, or pass --no-normalise to take them as they are",
            )
        return images / spread.float()[:, None, None]

    def _unflipped(self, images: Tensor, optics: Optics, size: float, rows: np.ndarray) -> Tensor:
        """Multiply by the sign of the CTF once more, which takes the first time back."""
        ctf = self.particles.ctf
        if ctf is None:
            return images
        k = (
            _frequencies(images.shape[-1], size)
            @ torch.tensor(optics.magnification, dtype=torch.float64).mT
        )
        values = ctf_values(ctf[torch.from_numpy(rows)], k.reshape(-1, 2))
        sign = torch.where(values < 0, -1.0, 1.0).reshape(len(rows), *k.shape[:2])
        return torch.fft.irfft2(torch.fft.rfft2(images) * sign, s=images.shape[-2:])

    def _turned_back(self, images: Tensor, optics: Optics, size: float) -> Tensor:
        """Turn phases back by the odd aberrations of an optics group."""
        k = _frequencies(images.shape[-1], size)
        phase = odd_phase(
            k,
            optics.odd_zernike,
            optics.beam_tilt_mrad,
            cs_mm=optics.cs_mm,
            voltage_kv=optics.voltage_kv,
        )
        turn = torch.polar(torch.ones_like(phase), -phase).to(torch.complex64)
        return torch.fft.irfft2(torch.fft.rfft2(images) * turn, s=images.shape[-2:])


def without_plane(images: Tensor) -> Tensor:
    """Take away the plane that fits the background, outside the circle: ``(n, D, D)``."""
    box = images.shape[-1]
    axis = (torch.arange(box, dtype=torch.float64) - box // 2) / box
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    basis = torch.stack([torch.ones_like(x), x, y], dim=-1)
    corners = _corners(box)
    values = images[:, corners].double()
    plane = torch.linalg.pinv(basis[corners]) @ values.mT  # (3, n)
    return (images.double() - (basis @ plane).permute(2, 0, 1)).float()


def _corners(box: int) -> Tensor:
    """True at pixels outside the circle that an image holds, ``(D, D)``."""
    axis = torch.arange(box) - box // 2
    return axis[:, None] ** 2 + axis[None] ** 2 >= (box / 2) ** 2


def _frequencies(box: int, size: float) -> Tensor:
    """Frequencies (x, y) of ``rfft2``'s output, 1/Å, ``(D, D // 2 + 1, 2)``."""
    y = torch.fft.fftfreq(box, size, dtype=torch.float64)
    x = torch.fft.rfftfreq(box, size, dtype=torch.float64)
    ky, kx = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([kx, ky], dim=-1)
