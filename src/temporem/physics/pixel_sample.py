"""Samples of Fourier pixels that estimate sums over all pixels without bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport


@dataclass(frozen=True)
class PixelSample:
    """S of the P pixels of a :class:`FourierSupport`.

    Attributes:
        index: index of each pixel in the support, ``(S,)``.
        weights: weight of each pixel in a sum over the full plane, ``(S,)``.
    """

    index: Tensor
    weights: Tensor

    @classmethod
    def lowest(cls, support: FourierSupport, n_pixels: int) -> PixelSample:
        """Take all of the ``n_pixels`` lowest frequencies."""
        return cls(torch.arange(n_pixels), support.weights[:n_pixels])

    @classmethod
    def drawn(cls, support: FourierSupport, probability: Tensor, start: float) -> PixelSample:
        """Draw pixels at random, each at most once, that keep the expectation of sums.

        Pixel k is drawn with probability π_k and gets the weight ``weights_k / π_k``, so that the
        expectation of a weighted sum is the sum over all pixels (Horvitz and Thompson 1952).
        Systematic sampling draws the pixels at which ``floor(Σ_{i≤k} π_i + start)`` rises. It gives
        every range of radii its share, so that sums vary little from one sample to the next.

        Args:
            support: support of the images.
            probability: π of the lowest frequencies, ``(P',)``; others are not drawn.
            start: uniform in [0, 1).
        """
        steps = (probability.double().cumsum(0) + start).floor()
        before = torch.cat([steps.new_zeros(1), steps[:-1]])
        index = (steps > before).nonzero().squeeze(1)
        return cls(index, support.weights[index] / probability[index])


def inclusion_probabilities(importance: Tensor, size: int) -> Tensor:
    """Probabilities ``(P,)`` to draw about ``size`` of P pixels, important ones more often.

    ``π_k = min(1, c·importance_k)`` with c such that ``Σ π_k = size``; all 1 where there are no
    more than ``size`` pixels.

    Args:
        importance: positive, ``(P,)``.
        size: how many on average; a draw differs from it by less than one.
    """
    if size >= len(importance):
        return torch.ones_like(importance)
    # With the m most important pixels certain, c = (size − m) / Σ of the others' importance; m is
    # the least number that leaves all other probabilities at most 1.
    ordered = importance.double().sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)
    certain = torch.arange(size, device=importance.device)
    scale = (size - certain) / rest[:size]
    first = (scale * ordered[:size] <= 1).int().argmax()
    return (scale[first] * importance.double()).clamp(max=1).to(importance)
