"""FSC of states: how well a reconstruction shows each true conformation.

``V_s = mean of V_t over the frames t in state s`` is compared with that mean of the true volumes.

The noise of single frames averages out. What remains is the method's picture of the state: the
whole motion if it separates states, the average of all if it does not. The mean needs no latents,
so that every method is measured in the same way. CryoBench (arXiv:2408.05526) decodes one volume at
a conformation's mean latent instead; for a linear model both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.case import Batch, Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.masks import WHOLE_BOX, apply_mask
from temporem.evaluation.metrics.fsc import improvement, read_resolution
from temporem.evaluation.metrics.metric import Metric, Score
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.states import can_be_measured
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import area_under_curve, fourier_shell_correlation


class StateFsc(Metric):
    """FSC of the mean volume of each true state, by region."""

    name = "states"
    title = "FSC of states"
    scores = (
        Score(
            "resolution_angstrom",
            "State resolution",
            "Mean over states of the resolution of the mean volume of a state's frames, compared "
            "with the mean of their true volumes.",
            unit="Å",
            direction=-1,
            digits=2,
        ),
        Score(
            "auc",
            "State FSC area",
            "Mean over states of the FSC area of the mean volume of a state's frames.",
        ),
    )
    gains = (
        Score(
            "fraction_improved",
            "States improved",
            "Share of states whose mean volume has the greater FSC area in b.",
            unit="%",
            digits=1,
            factor=100,
        ),
        Score(
            "resolution_gain",
            "Mean state resolution gain",
            "Mean over states of (res_a − res_b) / res_a.",
            unit="%",
            digits=2,
            factor=100,
        ),
        Score("auc", "State FSC area", "Mean over states of b's FSC area less a's.", digits=4),
    )
    arrays: ClassVar = {
        "labels": ("iu", "states"),
        "n_frames": ("iu", "states"),
        "curves": ("f", "states", "shells"),
    }
    of_frames = False

    def begin(self, case: Case) -> StateMeans | None:
        """Gather the mean volumes of states where there are states, and not too many."""
        states = case.known.states
        if states is None or not can_be_measured(states):
            return None
        return StateMeans(states, case.support, case.regions)

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Means over states, which are not a sample and have no confidence interval."""
        angstrom = read_resolution(arrays["curves"], sample.evaluation).angstrom
        area = area_under_curve(arrays["curves"])
        return {
            "resolution_angstrom": Statistic(
                float(angstrom.mean()),
                more={"sd": float(angstrom.std()), "worst": float(angstrom.max())},
            ),
            "auc": Statistic(
                float(area.mean()), more={"sd": float(area.std()), "worst": float(area.min())}
            ),
        }

    def paired(self, a: Arrays, b: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """Gains of areas and resolutions."""
        gain = area_under_curve(b["curves"]) - area_under_curve(a["curves"])
        angstrom = [read_resolution(x["curves"], sample.evaluation).angstrom for x in (a, b)]
        return {
            "fraction_improved": Statistic(float((gain > 0).mean())),
            "resolution_gain": Statistic(float(improvement(*angstrom).mean())),
            "auc": Statistic(float(gain.mean())),
        }

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Number of states, and of those whose curve never falls below the threshold."""
        never_crossed = read_resolution(arrays["curves"], sample.evaluation).never_crossed
        return {
            "n_states": len(arrays["labels"]),
            "n_never_crossed": int(never_crossed.sum()),
        }


STATE_FSC = StateFsc()


class StateMeans:
    """Gathers the mean volumes of states over batches of frames.

    Args:
        states: of all n frames, ``(n,)``.
        support: the frequencies of the coefficients, P of them.
        regions: masks ``(D, D, D)`` by name; None for the whole box.
    """

    def __init__(
        self, states: np.ndarray, support: FourierSupport, regions: Mapping[str, Tensor | None]
    ) -> None:
        self._labels, state = np.unique(states, return_inverse=True)
        self._state = torch.from_numpy(state)
        self._support, self._regions = support, regions
        self._sums = torch.zeros(2, len(self._labels), len(support), dtype=torch.complex64)

    def add(self, batch: Batch) -> None:
        """Add the volumes of a batch to the sums of their states."""
        index, pair = self._state[torch.from_numpy(batch.part)], batch.inside(WHOLE_BOX)
        self._sums[0].index_add_(0, index, pair.volumes)
        self._sums[1].index_add_(0, index, pair.truth)

    def finish(self) -> dict[str, Arrays]:
        """The curves by region; sums serve as means, because FSC does not see scale."""
        shape = len(self._labels), self._support.n_shells
        fsc = {name: np.empty(shape, dtype=np.float32) for name in self._regions}
        for s, pair in enumerate(self._sums.unbind(1)):
            in_space = self._support.ifft(pair)
            for name, mask in self._regions.items():
                masked = pair if mask is None else apply_mask(in_space, mask, self._support)
                curve = fourier_shell_correlation(masked[0], masked[1], self._support)
                fsc[name][s] = curve.numpy()
        labels, n_frames = self._labels.astype(np.int64), np.bincount(self._state.numpy())
        return {
            region: {"labels": labels, "n_frames": n_frames, "curves": curves}
            for region, curves in fsc.items()
        }
