"""Fourier images on rings about the origin, where a turn in the plane is a shift along a ring."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport


def polar_samples(support: FourierSupport, rings: int, angles: int) -> Tensor:
    """Linear map from the coefficients of an image to samples of its transform on rings.

    The radii are 1 … ``rings`` cycles per box. Half of a ring is enough: the other half has the
    complex conjugates. Between its integer frequencies, the transform of an image is that of its
    pixels.

    Args:
        support: frequencies of the image, ``(P,)``.
        rings: number of rings.
        angles: samples of a whole ring, even.

    Returns:
        Real ``(2P, 2 · rings · angles/2)``: from real parts and imaginary parts to the same of the
        samples, ring by ring, from the angle 0 upwards.
    """
    turn = 2 * math.pi / angles * torch.arange(angles // 2, dtype=torch.float64)
    radius = torch.arange(1, rings + 1, dtype=torch.float64)[:, None]
    points = torch.stack([radius * turn.cos(), radius * turn.sin()], dim=-1).flatten(0, 1)
    axis = torch.arange(support.box, dtype=torch.float64) - support.box // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).flatten(0, 1)
    wave = torch.polar(torch.ones(()).double(), -2 * math.pi / support.box * (points @ pixels.T))
    one = torch.eye(len(support), dtype=torch.complex64)
    parts = []
    for unit in (one, 1j * one):
        seen = support.ifft(unit).flatten(1).double()
        samples = (seen.to(wave.dtype) @ wave.T) / support.box
        parts.append(torch.cat([samples.real, samples.imag], dim=1))
    return torch.cat(parts).float()


def ring_spectrum(samples: Tensor) -> Tensor:
    """Fourier coefficients along a ring, of real samples: ``(..., A)`` → ``(..., A/2 + 1)``."""
    return torch.fft.rfft(samples, norm="ortho")
