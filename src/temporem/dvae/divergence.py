"""The criterion by which a training has diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from temporem.dvae.schedule import Position, Schedule
from temporem.errors import TemporemError

# Training has diverged if the objective is this much worse than that of empty volumes, which
# leave the images as residuals. An encoder may be some nats off in every latent.
_HOPELESS, _NATS = 5.0, 4.0
_LOWER = "lower training.learning_rate"


@dataclass(frozen=True, eq=False)
class DivergenceCriterion:
    """Criterion of divergence, for the sums of an epoch, whole or so far.

    Sums are those of :class:`TrainingState`. With targets the fit is not to images, so only numbers
    that are not finite count.

    Attributes:
        schedule: the schedule of the training.
        signal_power: power of the signal in every shell, in units of the noise.
    """

    schedule: Schedule
    signal_power: Tensor

    def hopeless(self, sums: Sequence[float], epoch: int, *, with_targets: bool) -> bool:
        """True if the objective is finite, but far worse than that of empty volumes."""
        frames = sums[3]
        if with_targets or frames == 0:
            return False
        worst = _HOPELESS * (self.empty(epoch) - _NATS * self.schedule.z_dim)
        return -math.inf < self.objective(sums, epoch) < worst

    def require_sound(self, sums: Sequence[float], done: Position, *, with_targets: bool) -> None:
        """Raise a TemporemError if the steps of an epoch that are done have diverged."""
        finite = sums[4]
        if finite < done.step_in_epoch:  # once not finite, it stays so
            raise not_finite(done.epoch, int(done.step - done.step_in_epoch + finite) + 1)
        if self.hopeless(sums, done.epoch, with_targets=with_targets):
            raise TemporemError(
                f"training diverged in epoch {done.epoch + 1}: the objective is "
                f"{self.objective(sums, done.epoch):.3g}, worse than that of empty volumes, "
                f"{self.empty(done.epoch):.3g}",
                hint=_LOWER,
            )

    def objective(self, sums: Sequence[float], epoch: int) -> float:
        """Mean objective of the frames."""
        fit, kl, _, frames, _ = sums
        return (fit - self.schedule.kl_weight(epoch) * kl) / frames

    def empty(self, epoch: int) -> float:
        """Mean log-likelihood of the frames of an epoch under empty volumes."""
        support, n = self.schedule.support, self.schedule.n_pixels(epoch)
        power = 1 + self.signal_power[support.shells]
        return -0.5 * float((support.weights * power)[:n].sum())


def not_finite(epoch: int, step: int) -> TemporemError:
    """Make the error about a step whose loss is not finite."""
    return TemporemError(
        f"training diverged in epoch {epoch + 1}, at step {step}: the loss is not finite",
        hint=_LOWER,
    )
