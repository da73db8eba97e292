"""What is trained when: a static model, then the temporal encoder, then all of TEMPOR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from temporem.dvae.model import VAEKind
from temporem.runs.config import RunConfig

StageName = Literal["start", "poses", "static", "warm-up", "tempor"]


@dataclass(frozen=True)
class Stage:
    """Some epochs of one model and one objective.

    Attributes:
        name: ``start`` fits a model to latents of a linear model, found in closed form;
            ``poses`` learns poses and one volume, latents being drawn at random;
            ``static`` and ``tempor`` maximise the evidence lower bound; ``warm-up`` fits the
            temporal encoder to the latent paths of the static model, generator at rest.
        kind: the model.
        first_epoch: counted over the whole run, from 0.
        epochs: how many.
    """

    name: StageName
    kind: VAEKind
    first_epoch: int
    epochs: int


def plan_stages(config: RunConfig) -> list[Stage]:
    """The stages of a run of ``static`` or ``tempor``, adding up to ``training.epochs``."""
    total = config.training.epochs
    if config.method == "tempor" and config.training.init == "linear":
        start = max(1, total // 8)
        stages = [Stage("start", "tempor", 0, start)]
        return stages + [Stage("tempor", "tempor", start, total - start)] * (total > start)
    if config.method == "static":
        pretrain = total
    elif config.training.pretrain_epochs is None:
        pretrain = total // 2
    else:
        pretrain = config.training.pretrain_epochs
    head = config.learned_poses == "head"
    start = min(total // 8, pretrain) if config.training.linear_start and not head else 0
    poses = min(total // 4, pretrain) if head else 0
    warmup = config.training.warmup_epochs
    warmup = total // 8 if warmup is None else warmup
    if pretrain == 0:  # nothing to learn the paths from
        warmup = 0
    warmup = min(warmup, total - pretrain)
    parts: list[tuple[StageName, VAEKind, int]] = [
        ("start", "static", start),
        ("poses", "static", poses),
        ("static", "static", pretrain - start - poses),
        ("warm-up", "tempor", warmup),
        ("tempor", "tempor", total - pretrain - warmup),
    ]
    stages, first = [], 0
    for name, kind, epochs in parts:
        if epochs:
            stages.append(Stage(name, kind, first, epochs))
        first += epochs
    return stages
