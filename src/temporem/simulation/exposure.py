"""Exposure of simulated frames: motion meanwhile, damage, the detector, counts and other noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from temporem.physics.poses import Poses
from temporem.physics.rotations import rotation_of_vector
from temporem.simulation.config import DefectsConfig, SimulationConfig
from temporem.simulation.drawing import FrameTable
from temporem.simulation.images import project
from temporem.simulation.nuisances import Nuisances
from temporem.structures.motions.base import Motion, conformations

_MOMENTS = 7  # of an exposure; odd, so that one is the middle, in which a pose is true


def blur_by_motion(
    images: np.ndarray,
    config: SimulationConfig,
    motion: Motion,
    frames: FrameTable,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Average clean images ``(N, D, D)`` over the poses of their exposure, in place.

    The molecule turns and moves evenly; its pose is that of the middle of the exposure.
    """
    turn, move = frames.nuisances.turn_degrees.deg2rad(), frames.nuisances.move_angstrom
    if not turn.any() and not move.any():
        return
    n = len(images)

    def count(done: int) -> None:
        if progress is not None:
            progress(done, _MOMENTS * n)

    for i in range(_MOMENTS):
        time = (i - _MOMENTS // 2) / _MOMENTS
        if time == 0:
            continue
        poses = Poses(
            rotation_of_vector(time * turn) @ frames.poses.rotations,
            frames.poses.shifts_angstrom + time * move,
        )
        count(i * n)
        images += project(
            config,
            motion.molecule,
            lambda rows: conformations(motion, frames.parameters[rows]),
            poses,
            frames.ctf,
        )
    images /= _MOMENTS


def detect(images: np.ndarray, config: SimulationConfig, nuisances: Nuisances) -> None:
    """Let damage and the detector take high frequencies from images ``(N, D, D)``, in place.

    Damage is the B-factor of every frame. The detector multiplies by its modulation transfer
    function ``exp(−(k/k₀)²)``, with k₀ from its value at Nyquist: the Gaussian of McMullan et al.
    (2009), Ultramicroscopy 109, 1126.
    """
    mtf, b_factor = config.defects.mtf_at_nyquist, nuisances.b_factor_angstrom2
    if mtf == 1 and not b_factor.any():
        return
    box = images.shape[-1]
    k2 = _radii(box).square()[:, : box // 2 + 1]
    detector = mtf ** (k2 / 0.25)
    s2 = k2 / config.pixel_size_angstrom**2
    for image, b in zip(images, b_factor.float(), strict=True):
        kept = torch.fft.rfft2(torch.from_numpy(image)) * detector * (-0.25 * b * s2).exp()
        image[:] = torch.fft.irfft2(kept, s=image.shape).numpy()


def noise_law(box: int, defects: DefectsConfig) -> Tensor:
    """Power of coloured noise at the frequencies of :func:`torch.fft.rfft2`, that of white being 1.

    It is ``1 + (k0/k)^p`` with k in cycles per pixel; at k = 0 it is that of 1/D.
    """
    k = _radii(box).clamp(min=1 / box)
    power = 1 + (defects.noise_knee_cycles_per_pixel / k) ** defects.noise_exponent
    return power


def add_noise(
    images: np.ndarray,
    variance: float,
    defects: DefectsConfig,
    transmission: Tensor,
    generator: torch.Generator,
) -> None:
    """Add noise with a power law to images ``(N, D, D)`` in place.

    Its white part is Gaussian, or the shot noise of electrons that are counted. Counts are written
    less their expected mean and in the unit of the images, so that nothing else depends on them.

    Args:
        images: what the detector would see of the molecules without noise.
        variance: of the noise of a pixel, white and coloured together.
        defects: power law and number of electrons.
        transmission: relative number of electrons of every image, ``(N,)``.
        generator: source of random numbers.
    """
    box, n = images.shape[-1], defects.electrons_per_pixel
    law = noise_law(box, defects)
    white = variance / float(law.mean())  # variance of the white part
    kept = slice(0, box // 2 + 1)
    for image, passed in zip(images, transmission.tolist(), strict=True):
        drawn = torch.fft.rfft2(torch.randn(image.shape, generator=generator))
        if not n:
            amplitude = (white * passed * law[:, kept]).sqrt()
            image += torch.fft.irfft2(amplitude * drawn, s=image.shape).numpy()
            continue
        waves = torch.fft.irfft2((white * (law - 1)[:, kept]).sqrt() * drawn, s=image.shape)
        per_electron = (white / n) ** 0.5
        signal = torch.from_numpy(image) + passed**0.5 * waves
        expected = passed * n + signal / per_electron
        counts = torch.poisson(expected.clamp(min=0), generator=generator)
        image[:] = ((counts - passed * n) * per_electron).numpy()


def _radii(box: int) -> Tensor:
    """Length of every frequency of an image, cycles per pixel ``(D, D)``."""
    k = torch.fft.fftfreq(box)
    return (k[:, None].square() + k.square()).sqrt()
