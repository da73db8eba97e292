"""Stages of training: a warm start, then a static model, then TEMPOR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from temporem.dvae.model import VAEKind
from temporem.dvae.settings import TrainingSettings
from temporem.volumes.model import VolumeModel

StageName = Literal["start", "smooth", "static", "warm-up", "tempor"]

ROUNDS = (1 / 8, 3 / 16, 1 / 4, 5 / 16, 3 / 8, 1 / 2, 5 / 8, 3 / 4)
"""Parts of the epochs after which latents are found anew on a grid."""


@dataclass(frozen=True)
class Stage:
    """A stage: epochs with one model and one objective.

    Attributes:
        name: ``start`` fits a model to the latents of a linear model; ``smooth`` to those that its
            volumes find when the stage begins; ``static`` and ``tempor`` maximise the evidence
            lower bound; ``warm-up`` fits the temporal encoder to the latents of the static model,
            with extractor and generator at rest.
        kind: the model.
        first_epoch: epochs of the whole training that come before.
        epochs: number of epochs.
    """

    name: StageName
    kind: VAEKind
    first_epoch: int
    epochs: int

    @property
    def end(self) -> int:
        """Epochs of the whole training after this stage."""
        return self.first_epoch + self.epochs


def finds_latents_on_grid(
    method: VAEKind,
    training: TrainingSettings,
    generator: type[VolumeModel],
    z_dim: int,
    learned_poses: bool = False,
) -> bool:
    """Tell whether latents are found on a grid, in training and at last, or by an encoder.

    A grid has one dimension. A given weight of the KL term asks for the bound, which has that term.
    """
    if training.start != "linear" or training.kl_weight is not None or z_dim > 1:
        return False
    return generator.always_on_grid or (method == "tempor" and not learned_poses)


def plan_stages(
    method: VAEKind,
    training: TrainingSettings,
    learned_poses: bool = False,
    generator: type[VolumeModel] = VolumeModel,
    z_dim: int = 1,
) -> tuple[Stage, ...]:
    """Plan the stages of a training; their epochs add up to ``training.epochs``.

    Args:
        method: model that is wanted in the end.
        training: epochs and kind of start.
        learned_poses: poses are learned, too.
        generator: kind of generator.
        z_dim: latent dimension q.
    """
    total = training.epochs
    if finds_latents_on_grid(method, training, generator, z_dim, learned_poses):
        return _smoothed_stages(method, total)
    warm = max(1, int(total * generator.start_share)) if training.start == "linear" else 0
    if method == "static":
        static, warm_up = total - warm, 0
    elif training.start == "static":
        static, warm_up = total // 2, total // 8
    else:
        static = warm_up = 0
    parts: tuple[tuple[StageName, VAEKind, int], ...] = (
        ("start", method, warm),
        ("static", "static", static),
        ("warm-up", "tempor", warm_up),
        ("tempor", "tempor", total - warm - static - warm_up if method == "tempor" else 0),
    )
    stages: list[Stage] = []
    first = 0
    for name, kind, epochs in parts:
        if epochs > 0:
            stages.append(Stage(name, kind, first, epochs))
        first += epochs
    return tuple(stages)


def _smoothed_stages(method: VAEKind, total: int) -> tuple[Stage, ...]:
    """Plan a start, and a stage from each round to the next."""
    ends = sorted({min(max(1, round(total * part)), total) for part in (*ROUNDS, 1.0)})
    firsts = (0, *ends[:-1])
    return tuple(
        Stage("smooth" if first else "start", method, first, end - first)
        for first, end in zip(firsts, ends, strict=True)
    )
