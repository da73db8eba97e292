"""Local resolution of a pair of half maps: a Fourier shell correlation about every voxel.

Both maps are filtered to the band about each shell s, ``a_s`` and ``b_s``, and correlated in a
Gaussian window w about the voxel x,

``FSC(x, s) = Σ w a_s b_s / √(Σ w a_s² · Σ w b_s²)``,

as Cardone and others (2013) have it in cubic windows. The window has a standard deviation of 0.08
of the box, and at low frequencies of 0.6 wavelengths, so that it always holds some tens of
independent numbers. The threshold is 0.5: with so few numbers, noise reaches 0.143 by chance.

What such a window leaves is smooth, so it is sampled at 32 points along an edge. Products of a band
are taken on the coarsest grid on which they do not fold back into the window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from temporem.physics.masks import interpolated

THRESHOLD = 0.5
"""FSC at which a local resolution is read."""

_WINDOW = 0.08  # standard deviation of the window, of the box
_WAVELENGTHS = 0.6  # the same at low frequencies, of a wavelength
_BAND = 0.75  # standard deviation of a band, of the distance of bands
_MOST_BANDS = 32
_MOST_SAMPLES = 32  # along an edge; the transform of the window is below 1e-13 there
_WINDOW_CYCLES = 8  # per box, where it is 3e-4
_BAND_DEVIATIONS = 3  # within which a band has its coefficients


def local_resolution(first: Tensor, second: Tensor, pixel_size_angstrom: float) -> Tensor:
    """Measure to which resolution pairs of maps agree about every voxel.

    Args:
        first, second: K maps each, ``(K, D, D, D)``; what they agree on is summed over the pairs.
        pixel_size_angstrom: edge of a voxel, Å.

    Returns:
        ``(D, D, D)``, Å: from twice the edge of a voxel, where they agree throughout, to the edge
        of the box.

    Example:
        >>> map = torch.randn(32, 32, 32)
        >>> float(local_resolution(map[None], map[None], 4.0).max())
        8.0
    """
    box = first.shape[-1]
    step = max(1.0, box / 2 / _MOST_BANDS)
    spectra = [torch.fft.rfftn(maps.float(), dim=(-3, -2, -1)) for maps in (first, second)]
    samples = min(box, _MOST_SAMPLES)
    crossing = torch.full((samples,) * 3, box / 2)
    found = torch.zeros_like(crossing, dtype=torch.bool)
    before = torch.ones_like(crossing)
    shell = step
    while shell < box / 2 and not bool(found.all()):
        here = _correlation(spectra, shell, step, samples)
        falls = ~found & (here < THRESHOLD)
        part = (before - THRESHOLD) / (before - here).clamp(min=1e-6)
        crossing = torch.where(falls, shell - step + step * part, crossing)
        found, before, shell = found | falls, here, shell + step
    everywhere = torch.from_numpy(interpolated(crossing.numpy(), box))
    return box * pixel_size_angstrom / everywhere.clamp(min=1)


def _correlation(spectra: list[Tensor], shell: float, step: float, samples: int) -> Tensor:
    """Correlation of the maps in the band about a shell, ``(samples, samples, samples)``."""
    box = spectra[0].shape[-2]
    highest = shell + _BAND_DEVIATIONS * _BAND * step
    edge = min(box, max(samples, 8 * math.ceil((2 * highest + _WINDOW_CYCLES) / 8)))
    band = torch.exp(-0.5 * ((_radii(edge) - shell) / (_BAND * step)) ** 2)
    sums: list[Tensor | float] = [0.0, 0.0, 0.0]
    for one, other in zip(*spectra, strict=True):
        a, b = (torch.fft.irfftn(_cropped(values, edge) * band) for values in (one, other))
        for index, product in enumerate((a * b, a * a, b * b)):
            sums[index] = sums[index] + product
    window = _window(_radii(samples), shell)
    cross, *powers = (
        torch.fft.irfftn(_cropped(torch.fft.rfftn(total), samples) * window)
        for total in sums
        if isinstance(total, Tensor)
    )
    least = 1e-9 * max(float(power.max()) for power in powers) + 1e-30
    return cross / (powers[0].clamp(min=least) * powers[1].clamp(min=least)).sqrt()


def _cropped(spectrum: Tensor, edge: int) -> Tensor:
    """Low frequencies of a real transform ``(D, D, D//2+1)``, as those of a grid of an edge."""
    box = spectrum.shape[-2]
    if edge == box:
        return spectrum
    kept = torch.fft.fftfreq(edge, 1 / edge).long() % box
    return spectrum[kept[:, None], kept][..., : edge // 2 + 1]


def _window(radius: Tensor, shell: float) -> Tensor:
    """Transform of the Gaussian window at a shell."""
    deviation = max(_WINDOW, _WAVELENGTHS / shell)  # in box lengths
    return torch.exp(-2 * (math.pi * deviation * radius) ** 2)


def _radii(box: int) -> Tensor:
    """``|k|`` of the coefficients of a real transform, cycles per box."""
    whole = torch.fft.fftfreq(box, 1 / box)
    half = torch.fft.rfftfreq(box, 1 / box)
    squares = whole[:, None, None] ** 2 + whole[:, None] ** 2 + half**2
    return squares.sqrt()
