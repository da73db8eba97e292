"""The complete state of a training, to store and to resume from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from temporem.dvae.divergence import DivergenceCriterion
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.latents import PLACES
from temporem.dvae.learned_poses import LearnedPoses
from temporem.dvae.model import MovieVAE, VAEKind, build_generator, build_vae
from temporem.dvae.objectives import Targets
from temporem.dvae.schedule import Position, Schedule
from temporem.dvae.settings import NetworkSettings, TrainingSettings
from temporem.dvae.stages import Stage
from temporem.io.checkpoint import load_module, load_optimizer, module_tensors, optimizer_tensors
from temporem.io.state import Parts
from temporem.poses.table import PoseTable
from temporem.volumes.generators import generator_kind
from temporem.volumes.linear_started import LinearStarted
from temporem.volumes.model import VolumeModel

N_SUMS = 5  # of the epoch so far: fit, KL, KL of poses, frames, and steps with finite terms
_MODEL, _OPTIMIZER, _TARGET = "model.", "optimizer.", "target."
_BASE = f"{_MODEL}generator.base.maps"
POSES = f"{_MODEL}poses."
"""Prefix of the tensors of learned poses."""


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training after one of its steps.

    It is a view of live weights, valid until the next state is requested. :meth:`parts` copies
    them.

    Attributes:
        position: the steps that are done.
        model: the model of the current stage.
        optimizer: Adam, with its moments.
        targets: posteriors that the encoder learns in this stage, if any.
        sums: sums over the frames of the epoch so far, over all processes, float64.
        criterion: tells from the sums whether training diverges.
        finished: no step is left.
        record: numbers to log, after the last step of an epoch.
        means: means of the last whole epoch, to show.
    """

    kind: ClassVar[str] = "network"

    position: Position
    model: MovieVAE
    optimizer: torch.optim.Optimizer
    targets: Targets
    sums: Tensor
    criterion: DivergenceCriterion
    finished: bool = False
    record: Mapping[str, Any] | None = None
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """False if the epoch so far would end the training as diverged."""
        return not self.criterion.hopeless(
            self.sums.tolist(), self.position.epoch, with_targets=bool(self.targets)
        )

    def parts(self) -> Parts:
        """Copy the state to the CPU; a finished state leaves out what only training needs."""
        tensors = module_tensors(self.model, _MODEL)
        if not self.finished:
            tensors |= optimizer_tensors(self.optimizer, _OPTIMIZER)
            tensors |= {f"{_TARGET}{name}": value for name, value in self.targets.items()}
            tensors["sums"] = self.sums
        document = {
            **vars(self.position),
            "finished": self.finished,
            "model": self.model.kind,
            "bfloat16": self.model.dtype is not None,
            "base_components": base_components(self.model.generator),
        }
        copies = {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}
        return Parts(self.kind, copies, document)

    @classmethod
    def from_parts(
        cls,
        parts: Parts,
        encoded: EncodedFrames,
        network: NetworkSettings,
        training: TrainingSettings,
        *,
        method: VAEKind,
        learned: LearnedPoses | None = None,
    ) -> TrainingState:
        """Load a stored state, for a training with the same arguments.

        Raises:
            TemporemError: a part does not fit such a training.
        """
        parts.require_kind(cls.kind)
        schedule = plan(encoded, network, training, method=method, learned=learned)
        position = _position(parts, schedule)
        stage, finished = schedule.stages[position.stage], parts.flag("finished")
        model = load_model(parts, encoded, network, kind=stage.kind, learned=learned)
        optimizer = make_optimizer(model, stage, training)
        sums = torch.zeros(N_SUMS, dtype=torch.float64, device=encoded.device)
        targets: dict[str, Tensor] = {}
        if not finished:
            load_optimizer(optimizer, parts, _OPTIMIZER)
            sums += parts.tensor("sums", N_SUMS, dtype=torch.float64).to(encoded.device)
            for name, shape in _target_shapes(stage, model, len(encoded)).items():
                target = parts.tensor(f"{_TARGET}{name}", *shape, dtype=torch.float32)
                targets[name] = target.to(encoded.device)
        criterion = divergence_criterion(encoded, schedule)
        return cls(position, model, optimizer, targets, sums, criterion, finished)


def load_model(
    parts: Parts,
    encoded: EncodedFrames,
    network: NetworkSettings,
    *,
    kind: VAEKind,
    learned: LearnedPoses | None = None,
) -> MovieVAE:
    """Load the model of a stored state, for frames like those that it was trained on.

    Raises:
        TemporemError: the state belongs to a model of another kind or of other settings.
    """
    parts.require_kind(TrainingState.kind)
    parts.text("model", kind)
    model = build_model(
        kind,
        encoded,
        network,
        base_components=_base_components(parts),
        learned=learned,
        dtype=torch.bfloat16 if parts.flag("bfloat16") else None,
        seed=0,
    )
    load_module(model, parts, _MODEL)
    return model.to(encoded.device)


def base_volumes(parts: Parts, box: int) -> Tensor | None:
    """Volumes of the linear model that a stored network started from, ``(q + 1, D, D, D)``.

    None if it started from nothing.
    """
    components = _base_components(parts)
    if components is None:
        return None
    return parts.tensor(_BASE, components + 1, box, box, box, dtype=torch.float32)


def load_generator(
    parts: Parts, network: NetworkSettings, box: int, device: torch.device
) -> VolumeModel:
    """Load the generator of a stored state; frames are not needed.

    Raises:
        TemporemError: the state belongs to a network of other settings.
    """
    parts.require_kind(TrainingState.kind)
    generator = build_generator(network, box, _base_components(parts))
    prefix = f"{_MODEL}generator."
    load_module(generator, parts, prefix)
    generator.set_dtype(torch.bfloat16 if parts.flag("bfloat16") else None)
    return generator.to(device)


def plan(
    encoded: EncodedFrames,
    network: NetworkSettings,
    training: TrainingSettings,
    *,
    method: VAEKind,
    learned: LearnedPoses | None,
) -> Schedule:
    """Plan a training."""
    return Schedule.plan(
        method,
        training,
        encoded,
        z_dim=network.z_dim,
        learned_poses=learned is not None,
        step_degrees=0.5 if learned is None else learned.step_degrees,
        generator=generator_kind(network.generator),
    )


def divergence_criterion(encoded: EncodedFrames, schedule: Schedule) -> DivergenceCriterion:
    """Make the criterion by which a training on frames has diverged."""
    return DivergenceCriterion(schedule, encoded.frames.statistics.signal_power)


def build_model(
    kind: VAEKind,
    encoded: EncodedFrames,
    network: NetworkSettings,
    *,
    base_components: int | None,
    learned: LearnedPoses | None,
    dtype: torch.dtype | None,
    seed: int,
) -> MovieVAE:
    """Build a new model for frames, on the CPU, with weights that depend on the seed alone."""
    frames = encoded.frames
    model = build_vae(
        kind,
        network,
        frames.forward_model,
        encoded.n_inputs,
        base_components=base_components,
        seed=seed,
    )
    model.generator.set_amplitude(frames.statistics.change_amplitude)
    model.set_dtype(dtype)
    if learned is not None:
        model.poses = learned.build(encoded)
    return model


def make_optimizer(
    model: MovieVAE, stage: Stage, training: TrainingSettings
) -> torch.optim.Optimizer:
    """Make Adam for the parameters that a stage learns; a table of poses has its own step size."""
    learned = model.poses
    if stage.name == "warm-up":
        groups = [[*model.inference.parameters()]]
    elif isinstance(learned, PoseTable):
        table = [*learned.parameters()]
        groups = [[p for p in model.parameters() if p not in set(table)], table]
    else:
        groups = [[*model.parameters()]]
    parameters = [{"params": group} for group in groups]
    return torch.optim.Adam(parameters, training.learning_rate, fused=True)


def base_components(generator: VolumeModel) -> int | None:
    """Number of components of the linear model that a generator starts from; None without one."""
    return generator.base.z_dim if isinstance(generator, LinearStarted) else None


def _base_components(parts: Parts) -> int | None:
    if parts.document.get("base_components", 0) is None:
        return None
    return parts.integer("base_components", least=1, most=1024)


def _target_shapes(stage: Stage, model: MovieVAE, n: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the targets of a stage for n frames, by name."""
    q = model.generator.z_dim
    latents: dict[str, tuple[int, ...]] = {"mean": (n, q), "variance": (n, q)}
    if stage.name == "start":
        return latents
    if stage.name == "smooth":
        return {**latents, "probability": (n, PLACES)}
    if stage.name == "warm-up":
        return {**latents, "features": (n, model.inference.n_features)}
    return {}


def _position(parts: Parts, schedule: Schedule) -> Position:
    index = parts.integer("stage", most=len(schedule.stages) - 1)
    stage = schedule.stages[index]
    return Position(
        stage=index,
        epoch=parts.integer("epoch", least=stage.first_epoch, most=stage.end),
        step_in_epoch=parts.integer("step_in_epoch", most=schedule.steps_per_epoch(stage) - 1),
        step=parts.integer("step"),
        seconds=parts.number("seconds", least=0),
    )
