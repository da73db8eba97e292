"""White noise in Fourier space."""

from __future__ import annotations

import torch
from torch import Tensor


def add_noise(observed: Tensor, generator: torch.Generator) -> Tensor:
    """Images ``(..., P)`` with white noise of unit variance per pixel; the origin's is real."""
    real, imag = (
        torch.randn(observed.shape, generator=generator, dtype=observed.real.dtype)
        for _ in range(2)
    )
    noise = torch.complex(real, imag) * 0.5**0.5
    noise[..., 0] = real[..., 0]
    return observed + noise
