"""Random numbers for frames of a batch, independent of the number of processes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameNoise:
    """Random numbers for this process's frames of a batch.

    Numbers are drawn for the whole batch and then split, so they do not depend on the process.

    Attributes:
        generator: in the same state in all processes when a batch begins.
        total: frames of the whole batch; None where this process computes all of them.
        own: this process's frames among them.
    """

    generator: torch.Generator
    total: int | None = None
    own: slice = field(default_factory=lambda: slice(None))

    def normal(self, frames: int, width: int) -> Tensor:
        """Draw from N(0, 1), ``(F, width)``."""
        size = (self.total or frames, width)
        return torch.randn(size, generator=self.generator, device=self.generator.device)[self.own]

    def uniform(self, frames: int) -> Tensor:
        """Draw uniformly from [0, 1), ``(F, 1)``."""
        size = (self.total or frames, 1)
        return torch.rand(size, generator=self.generator, device=self.generator.device)[self.own]
