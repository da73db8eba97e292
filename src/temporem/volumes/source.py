"""What the evaluation compares: anything that gives a volume for every frame."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor


class VolumeSource(Protocol):
    """A reconstruction, or the truth: one volume per row of ``particles.star``."""

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of some frames.

        Args:
            rows: integer rows of ``particles.star``, counted from 0, ``(B,)``.

        Returns:
            Complex64 ``(B, P)`` on ``FourierSupport(box, 3)``.
        """
        ...
