"""Motion correlation: do the volumes move as the true ones do?

``ρ = Σ_t ⟨V_t − V̄, T_t − T̄⟩ / sqrt(Σ_t ‖V_t − V̄‖² · Σ_t ‖T_t − T̄‖²)``

over all frames t of all movies, V̄ and T̄ the means over them. A reconstruction that returns its
mean for every frame has ρ = 0 however good that mean is; scale and offset do not matter. How large
the motion is, the slope of a regression of V − V̄ on T − T̄ tells, and how much of the true motion is
left out or added, its residual. Both are in the units of the volumes. Inner products are taken in
Fourier space (Parseval), inside a mask on the masked volumes' coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.case import Batch, Case
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.masks import MOVING, WHOLE_BOX, apply_mask
from temporem.evaluation.metrics.metric import Metric, Score
from temporem.evaluation.sample import Sample, Statistic
from temporem.physics.fourier import FourierSupport


@dataclass(frozen=True, eq=False)
class MotionSums:
    """The three sums of ρ, split over G groups of frames: float64 ``(G,)`` each.

    The means are those over all frames, whichever groups are then counted.

    Attributes:
        cross: ``Σ_{t∈g} ⟨V_t − V̄, T_t − T̄⟩``.
        power: ``Σ_{t∈g} ‖V_t − V̄‖²``.
        truth_power: ``Σ_{t∈g} ‖T_t − T̄‖²``.
    """

    cross: np.ndarray
    power: np.ndarray
    truth_power: np.ndarray

    def correlation(self, weights: np.ndarray | None = None) -> np.ndarray:
        """ρ of frames drawn by group.

        Args:
            weights: how often each group counts, ``(..., G)``; once each when None.

        Returns:
            ``(...,)``; 0 where the volumes do not move at all.
        """
        w = self._weights(weights)
        power = w @ self.power
        norm = np.sqrt(np.where(power > 0, power, 1.0) * (w @ self.truth_power))
        return np.where(power > 0, w @ self.cross / norm, 0.0)

    def slope(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Size of the motion along the true one, ``Σ⟨v, u⟩ / Σ‖u‖²``; see :meth:`correlation`."""
        w = self._weights(weights)
        return np.asarray((w @ self.cross) / (w @ self.truth_power))

    def residual(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Power of the motion's error, ``Σ‖v − u‖² / Σ‖u‖²``; see :meth:`correlation`."""
        w = self._weights(weights)
        error = w @ (self.power - 2 * self.cross + self.truth_power)
        return np.asarray(error / (w @ self.truth_power))

    def _weights(self, given: np.ndarray | None) -> np.ndarray:
        return np.ones(len(self.cross)) if given is None else np.asarray(given, dtype=np.float64)

    def subset(self, groups: np.ndarray) -> MotionSums:
        """The sums of some groups only, ``groups`` their integer indices."""
        return MotionSums(self.cross[groups], self.power[groups], self.truth_power[groups])


class MotionCorrelation(Metric):
    """Motion correlation by region."""

    name = "motion"
    title = "Motion correlation"
    scores = (
        Score(
            "correlation",
            "Motion correlation",
            "Sum over frames of ⟨V − V̄, T − T̄⟩ over the product of the norms "
            "√Σ‖V − V̄‖² · √Σ‖T − T̄‖², V̄ and T̄ the means over all frames; 0 for a method that gives "
            "every frame the same volume.",
            ranks={WHOLE_BOX: 4, MOVING: 8},
            phrase="follows the true motion with a correlation of {value}",
            noun="motion correlation",
        ),
        Score(
            "slope",
            "Motion amplitude",
            "Slope of a regression of V − V̄ on T − T̄ over frames and voxels: 1 where motion has "
            "its full size, less where it is smoothed; only for volumes in the truth's units.",
            direction=0,
        ),
        Score(
            "residual",
            "Motion residual",
            "Sum over frames of ‖(V − V̄) − (T − T̄)‖² over that of ‖T − T̄‖²: 0 for the true motion, "
            "1 for none; only for volumes in the truth's units.",
            direction=0,  # volumes of other programs have a scale of their own
        ),
    )
    arrays = dict.fromkeys(("cross", "power", "truth_power"), ("f", "groups"))

    def begin(self, case: Case) -> MotionAccumulator | None:
        """Gather the sums of ρ where the truth moves."""
        if not case.moves:
            return None
        return MotionAccumulator(case.frames.groups, case.support, case.regions)

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """ρ of the movies of the sample, about the means over all frames."""
        sums = MotionSums(**arrays).subset(sample.bootstrap.groups)
        weights = sample.bootstrap.weights
        return {
            "correlation": Statistic(float(sums.correlation()), sums.correlation(weights)),
            "slope": Statistic(float(sums.slope()), sums.slope(weights)),
            "residual": Statistic(float(sums.residual()), sums.residual(weights)),
        }

    def cautions(self, evaluation: Evaluation) -> list[str]:
        """Report a truth that stands still."""
        moves = MOVING in evaluation[self.name]
        return [] if moves else ["the truth does not move, so there is no motion to measure."]


MOTION = MotionCorrelation()


class MotionAccumulator:
    """Gathers :class:`MotionSums` in one pass over batches of frames, for several regions at once.

    Products are taken about the first frame seen, and moved to the means, known at the end, by
    ``Σ_{t∈g} ⟨v_t − v̄, u_t − ū⟩ = Σ_{t∈g} ⟨v_t, u_t⟩ − ⟨A_g, ū⟩ − ⟨v̄, B_g⟩ + n_g ⟨v̄, ū⟩``,
    where A_g and B_g are the sums of v and u over the group. These are all that is kept: two
    coefficient vectors a group, whatever the number of frames and regions.

    Args:
        groups: group 0 … G − 1 of every frame that will be added, ``(n,)``.
        support: the frequencies of the coefficients, P of them.
        regions: masks ``(D, D, D)`` by name; None for the whole box, which must be among them.
    """

    def __init__(
        self, groups: np.ndarray, support: FourierSupport, regions: Mapping[str, Tensor | None]
    ) -> None:
        self._support = support
        self._regions = regions
        self._groups = torch.from_numpy(groups)
        n_groups = int(groups.max()) + 1
        self._count = torch.zeros(n_groups, dtype=torch.float64)
        # ⟨v, u⟩, ⟨v, v⟩ and ⟨u, u⟩ of every region
        self._products = {name: torch.zeros(3, n_groups, dtype=torch.float64) for name in regions}
        self._sums = torch.zeros(2, n_groups, len(support), dtype=torch.complex64)
        self._first: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, batch: Batch) -> None:
        """Add the products of a batch of frames."""
        group = self._groups[torch.from_numpy(batch.part)]
        self._count.index_add_(0, group, torch.ones(len(group), dtype=torch.float64))
        for name in self._regions:
            volumes, truth = batch.inside(name).volumes, batch.inside(name).truth
            # About the first frame, not about zero: small motions keep their digits.
            first = self._first.setdefault(name, (volumes[0].clone(), truth[0].clone()))
            v, u = volumes - first[0], truth - first[1]
            products = torch.stack([self._inner(v, u), self._inner(v, v), self._inner(u, u)])
            self._products[name].index_add_(1, group, products)
            if name == WHOLE_BOX:
                self._sums[0].index_add_(0, group, v)
                self._sums[1].index_add_(0, group, u)

    def finish(self) -> dict[str, Arrays]:
        """The fields of :class:`MotionSums` by region."""
        means = self._sums.sum(1) / self._count.sum()
        # Masking M is linear and self-adjoint: ⟨M A, M v̄⟩ = ⟨A, M M v̄⟩, so that the group sums
        # need not be masked one by one.
        duals = [
            torch.stack([self._masked(self._masked(mean, mask), mask) for mean in means])
            for mask in self._regions.values()
        ]
        with_means = self._inner_with_sums(torch.stack(duals))
        return {
            name: asdict(self._about_means(self._products[name], means, dual, inner))
            for name, dual, inner in zip(self._regions, duals, with_means, strict=True)
        }

    def _inner_with_sums(self, duals: Tensor) -> Tensor:
        """⟨A_g, M M v̄⟩ and the like: ``(R, 2, P)`` → float64 ``(R, sums, duals, G)``."""
        weighted = torch.view_as_real(duals * self._support.weights).flatten(2).double()
        sums = torch.view_as_real(self._sums).flatten(2)
        return torch.stack(
            [torch.einsum("rdp,sp->rsd", weighted, group.double()) for group in sums.unbind(1)],
            dim=-1,
        )

    def _about_means(
        self, products: Tensor, means: Tensor, dual: Tensor, with_means: Tensor
    ) -> MotionSums:
        def about(index: int, a: int, b: int) -> np.ndarray:
            of_means = self._count * self._inner(means[a], dual[b])
            return (products[index] - with_means[a, b] - with_means[b, a] + of_means).numpy()

        return MotionSums(about(0, 0, 1), about(1, 0, 0), about(2, 1, 1))

    def _inner(self, a: Tensor, b: Tensor) -> Tensor:
        """``⟨a, b⟩`` over the whole transform, complex ``(..., P)`` → float64 ``(...,)``."""
        return ((a.conj() * b).real * self._support.weights).sum(-1, dtype=torch.float64)

    def _masked(self, coefficients: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return coefficients
        return apply_mask(self._support.ifft(coefficients), mask, self._support)
