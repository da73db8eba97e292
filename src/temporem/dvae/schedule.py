"""Schedules of training: stages, learning rates, KL weight and resolution, as functions of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.learned_poses import pose_rate
from temporem.dvae.model import VAEKind
from temporem.dvae.settings import TrainingSettings
from temporem.dvae.stages import Stage, plan_stages
from temporem.physics.fourier import FourierSupport
from temporem.volumes.model import VolumeModel

DECAY_FRACTION = 0.5
"""Last fraction of all epochs, in which the learning rate falls to 0."""

START_RESOLUTION = 0.35
"""Highest frequency before high ones are added, as a fraction of Nyquist."""

KL_RISE_EPOCHS = 2
"""Epochs in which the KL weight rises to its value, counted from the first that uses the term."""

_RATE_WARMUP_STEPS = 50
_WARMUP_RATE = 1e-3  # of the stage warm-up, whatever the learning rate
_WARMUP_COST = 0.3  # of a step of it, which has no images


@dataclass(frozen=True)
class Position:
    """Position in a training: the steps that are done.

    Attributes:
        stage: index of the stage.
        epoch: whole epochs.
        step_in_epoch: steps of the epoch that has begun.
        step: all steps.
        seconds: time that the steps took.
    """

    stage: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Schedule of a training.

    Attributes:
        training: the settings.
        z_dim: latent dimension q.
        stages: the stages.
        marching: parts of the epochs between which high frequencies are added.
        learned_poses: poses are learned, too.
        step_degrees: approximate turn that a pose of a table may make in an epoch.
        support: image frequencies.
        n_frames, n_movies: size of an epoch.
        independent_share: share of an image's coefficients that counts as independent.
    """

    training: TrainingSettings
    z_dim: int
    stages: tuple[Stage, ...]
    marching: tuple[float, float]
    learned_poses: bool
    step_degrees: float
    support: FourierSupport
    n_frames: int
    n_movies: int
    independent_share: float

    @classmethod
    def plan(
        cls,
        method: VAEKind,
        training: TrainingSettings,
        encoded: EncodedFrames,
        *,
        z_dim: int,
        learned_poses: bool = False,
        step_degrees: float = 0.5,
        generator: type[VolumeModel] = VolumeModel,
    ) -> Schedule:
        """Plan the training of a model with a kind of generator on frames."""
        movies = encoded.frames.training
        return cls(
            training=training,
            z_dim=z_dim,
            stages=plan_stages(method, training, learned_poses, generator, z_dim),
            marching=generator.marching,
            learned_poses=learned_poses,
            step_degrees=step_degrees,
            support=encoded.frames.forward_model.support,
            n_frames=sum(map(len, movies)),
            n_movies=len(movies),
            independent_share=encoded.frames.statistics.independent_share,
        )

    @property
    def movies_per_step(self) -> int:
        """Number of whole movies in a step, for about the wanted number of frames."""
        return max(1, round(self.training.frames_per_step * self.n_movies / self.n_frames))

    def steps_per_epoch(self, stage: Stage) -> int:
        """Optimiser steps of an epoch of a stage."""
        if stage.kind == "static":
            return math.ceil(self.n_frames / self.training.frames_per_step)
        return math.ceil(self.n_movies / self.movies_per_step)

    def learning_rate(self, position: Position) -> float:
        """Adam's step size of the next step: constant, then linear to 0.

        Every stage starts with a short rise, but ``smooth`` goes on. The stage ``warm-up`` has a
        rate of its own.
        """
        training, stage = self.training, self.stages[position.stage]
        per_epoch = self.steps_per_epoch(stage)
        epoch = position.epoch + position.step_in_epoch / per_epoch
        steps_of_stage = (epoch - stage.first_epoch) * per_epoch
        rate = training.learning_rate
        if stage.name == "warm-up":
            rate = _WARMUP_RATE * (1 - (epoch - stage.first_epoch) / stage.epochs)
        else:
            rate *= min(1.0, (1 - epoch / training.epochs) / DECAY_FRACTION)
        if stage.name == "smooth":
            return rate
        return rate * min(1.0, (steps_of_stage + 1) / _RATE_WARMUP_STEPS)

    def pose_rate(self, position: Position) -> float:
        """Adam's step size of a table of poses, in proportion to that of the networks."""
        relative = self.learning_rate(position) / self.training.learning_rate
        per_epoch = self.steps_per_epoch(self.stages[position.stage])
        return relative * pose_rate(self.step_degrees, per_epoch)

    def kl_weight(self, epoch: int) -> float:
        """Weight of the KL term in an epoch: it rises in the first ones that use the term.

        At last it is ``β / ⟨w²⟩``, because the likelihood counts every pixel ``1/⟨w²⟩`` times
        (:mod:`temporem.frames.streaming`).
        """
        weight = self.training.kl_weight
        weight = (1 / self.z_dim if weight is None else weight) / self.independent_share
        bounds = [stage.first_epoch for stage in self.stages if stage.name in ("static", "tempor")]
        used = max(0, epoch + 1 - min(bounds, default=0))
        return weight * min(1.0, used / (KL_RISE_EPOCHS + 1))

    def n_pixels(self, epoch: int) -> int:
        """Number of image frequencies that an epoch fits, the lowest ones; in the end all.

        This is frequency marching, as in single-particle refinement: conformations differ at low
        resolution, where noise is weak. A table of poses starts close to the right poses and uses
        all frequencies from the beginning.
        """
        training = self.training
        low = training.frequency_marching and not self.learned_poses
        start = START_RESOLUTION if low else 1.0
        begin, end = self.marching
        done = (epoch / training.epochs - begin) / max(end - begin, 1e-9)
        done = min(max(done, 0.0), 1.0)
        fraction = start + (1 - start) * done
        return int((self.support.radii <= fraction * self.support.box / 2).sum())

    def progress(self, position: Position) -> tuple[float, float]:
        """Cost of the steps done, and of all steps."""
        costs = [self._cost(stage) for stage in self.stages]
        done = sum(cost * stage.epochs for cost, stage in zip(costs, self.stages, strict=True))
        total = done
        for index in range(position.stage, len(self.stages)):
            stage = self.stages[index]
            left = float(stage.epochs)
            if index == position.stage:
                steps = position.step_in_epoch / self.steps_per_epoch(stage)
                left = stage.end - position.epoch - steps
            done -= costs[index] * left
        return done, total

    def _cost(self, stage: Stage) -> float:
        """Cost of an epoch, in steps of a model with images."""
        steps = self.steps_per_epoch(stage)
        return steps * (_WARMUP_COST if stage.name == "warm-up" else 1.0)
