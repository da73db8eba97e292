"""FSC of states: what a reconstruction shows of each true conformation.

``V_s = mean of V_t over the frames t in state s``, held against the same mean of the true volumes.

The noise that a method puts into single frames averages out here, and what is left is what it says
of the state: the whole motion, if it tells states apart, or else the average of all. The mean needs
no latents, so that every method is measured in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.masks import apply_mask
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import fourier_shell_correlation

MAX_STATES = 100
"""With more states than this they are not measured: a sum of volumes is kept for each."""


@dataclass(frozen=True, eq=False)
class StateCurves:
    """FSC of S states.

    Attributes:
        labels: the true states, int64 ``(S,)``, ascending.
        n_frames: frames in each, int64 ``(S,)``.
        fsc: of each state's mean volume with its true one, by region, float32 ``(S, n_shells)``.
    """

    labels: np.ndarray
    n_frames: np.ndarray
    fsc: dict[str, np.ndarray]


def are_states(states: np.ndarray | None) -> bool:
    """Whether labels ``(n,)`` part frames into states: more than one, and not one for each."""
    return states is not None and 1 < len(np.unique(states)) < len(states)


class StateMeans:
    """Gathers the mean volumes of states over batches of frames.

    Args:
        states: of all n frames, ``(n,)``.
        support: the frequencies of the coefficients, P of them.
        regions: masks ``(D, D, D)`` by name; None for the whole box.
    """

    def __init__(
        self, states: np.ndarray, support: FourierSupport, regions: dict[str, Tensor | None]
    ) -> None:
        self._labels, state = np.unique(states, return_inverse=True)
        self._state = torch.from_numpy(state)
        self._support, self._regions = support, regions
        self._sums = torch.zeros(2, len(self._labels), len(support), dtype=torch.complex64)

    def update(self, part: np.ndarray, volumes: Tensor, truth: Tensor) -> None:
        """Add frames ``part (B,)``, their volumes and the true ones, complex ``(B, P)`` each."""
        index = self._state[torch.from_numpy(part)]
        self._sums[0].index_add_(0, index, volumes)
        self._sums[1].index_add_(0, index, truth)

    def finish(self) -> StateCurves:
        """The curves; sums serve as means, because FSC does not see scale."""
        shape = len(self._labels), self._support.n_shells
        fsc = {name: np.empty(shape, dtype=np.float32) for name in self._regions}
        for s, pair in enumerate(self._sums.unbind(1)):
            in_space = self._support.ifft(pair)
            for name, mask in self._regions.items():
                masked = pair if mask is None else apply_mask(in_space, mask, self._support)
                curve = fourier_shell_correlation(masked[0], masked[1], self._support)
                fsc[name][s] = curve.numpy()
        return StateCurves(self._labels.astype(np.int64), np.bincount(self._state.numpy()), fsc)
