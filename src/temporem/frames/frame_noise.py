"""Random numbers for the frames of a batch, the same however many processes share it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class FrameNoise:
    """Random numbers of the F frames of a batch, or of those that this process computes.

    Numbers are drawn for all and cut, so that they do not depend on who computes what.

    Attributes:
        generator: its state when a batch begins is the same in all processes.
        total: frames of the whole batch; None: those that are asked for.
        own: which of them these are.
    """

    generator: torch.Generator
    total: int | None = None
    own: slice = field(default_factory=lambda: slice(None))

    def normal(self, frames: int, width: int) -> Tensor:
        """Draws from N(0, 1), ``(F, width)``."""
        size = (self.total or frames, width)
        return torch.randn(size, generator=self.generator, device=self.generator.device)[self.own]

    def uniform(self, frames: int) -> Tensor:
        """Draws from [0, 1), ``(F, 1)``."""
        size = (self.total or frames, 1)
        return torch.rand(size, generator=self.generator, device=self.generator.device)[self.own]
