"""The networks: TEMPOR and the static auto-encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.curved_start import CURVE_COMPONENTS
from temporem.dvae.encoded_frames import EncodedFrames, encode_frames
from temporem.dvae.infer import final_latents, latents_after_training
from temporem.dvae.learned_poses import LearnedPoses, learned_poses
from temporem.dvae.memory import network_memory
from temporem.dvae.model import MovieVAE, VAEKind
from temporem.dvae.network_start import (
    CURVE_FROM,
    LINEAR_SHARE,
    network_start,
    starts_from_curve,
)
from temporem.dvae.settings import TrainingSettings
from temporem.dvae.state import (
    POSES,
    TrainingState,
    base_volumes,
    load_generator,
    load_model,
)
from temporem.dvae.training import training_states
from temporem.dvae.warm_start import LINEAR_BOX, WarmStart, warm_start_settings
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.io.state import Parts
from temporem.linear.fit import linear_result
from temporem.physics.forward import ForwardModel
from temporem.physics.poses import Poses
from temporem.runs.config import RunConfig
from temporem.runs.methods.base import Job, Outcome, require_no_options
from temporem.runs.methods.linear import facts_of, follow_linear, linear_memory
from temporem.volumes.model import VolumeModel
from temporem.volumes.source import VolumeGrid

PART = TrainingState.kind


class Network:
    """A trained network, with or without a warm start from a linear model.

    Args:
        name: name of the method.
        kind: model that is trained.
        summary: short description for ``--help``.

    Attributes:
        sees_images: latents are inferred from images.
    """

    sees_images = True

    def __init__(self, name: str, kind: VAEKind, summary: str) -> None:
        self.name = name
        self.kind: VAEKind = kind
        self.summary = summary

    def uses_dynamics(self, config: RunConfig) -> bool:
        return self.kind == "tempor"

    def check(self, config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
        require_no_options(config)
        n = sum(map(len, training))
        for key, value in (
            ("model.z_dim", config.model.z_dim),
            ("training.frames_per_step", config.training.frames_per_step),
        ):
            if value > n:
                raise TemporemError(
                    f"{key} is {value}, but there are {n} frames to train on",
                    expected=f"at most {n}",
                )

    def memory(
        self, config: RunConfig, model: ForwardModel, longest: int, *, in_memory: bool
    ) -> tuple[int, str]:
        training = config.training
        frames = training.frames_per_step
        if self.kind == "tempor":
            frames = max(frames, longest)
        components = config.base_components if config.starts_linear else None
        size = network_memory(
            model,
            config.model,
            encoder_input=config.encoder_input,
            frames=frames,
            pixels=min(training.pixels_per_frame, len(model.support)),
            base_components=components,
            bfloat16=config.precision == "bfloat16",
            computes_inputs=config.moving_poses or not in_memory,
        )
        key, value = "training.frames_per_step", training.frames_per_step
        if frames > training.frames_per_step or frames == 1:
            key, value = "training.pixels_per_frame", training.pixels_per_frame
        small = ForwardModel(min(model.box, LINEAR_BOX), model.pixel_size_angstrom)
        start = 0 if components is None else linear_memory(small, components)
        if self._starts_from_curve(config):
            size = max(size, linear_memory(small, CURVE_COMPONENTS))
        if start > size:
            size, key, value = start, "linear.components", components or 0
        hint = f"lower {key}, which is {value}, the widths of the networks, or bin the images to a "
        return size, f"{hint}box below {model.box}"

    def run(self, job: Job) -> Outcome:
        config = job.config
        progress = job.progress
        warm_start: WarmStart | None = None
        facts: dict[str, Any] = {}
        if config.starts_linear:
            warm_start, facts = self._warm_start(job)
            progress = job.progress.part(LINEAR_SHARE, 1)
        base = None if warm_start is None else warm_start.volumes
        encoded = self.encode(config, job.task.dataset, job.frames, base)
        learned, settings = _learned(config, job.task.poses), self.training(config)

        def states(resume: TrainingState | None) -> Iterator[TrainingState]:
            return training_states(
                encoded,
                config.model,
                settings,
                method=self.kind,
                seed=config.seed,
                warm_start=warm_start,
                learned=learned,
                dtype=torch.bfloat16 if config.precision == "bfloat16" else None,
                resume=resume,
                progress=progress,
            )

        def load(stored: Parts) -> TrainingState:
            return TrainingState.from_parts(
                stored, encoded, config.model, settings, method=self.kind, learned=learned
            )

        state = job.store.follow(PART, states, load, short_steps=True)
        return self._outcome(job, encoded, state, facts)

    def load(self, model: Parts, config: RunConfig, grid: VolumeGrid, z_dim: int) -> VolumeModel:
        return load_generator(model, config.model, grid.box, torch.device("cpu"))

    def trained(
        self, model: Parts, config: RunConfig, dataset: Dataset, frames: Frames
    ) -> tuple[MovieVAE, EncodedFrames]:
        """Rebuild the whole network that :class:`Outcome` stored, with frames as it sees them.

        Raises:
            TemporemError: the stored network does not fit the configuration or the frames.
        """
        base = base_volumes(model, frames.forward_model.box)
        encoded = self.encode(config, dataset, frames, base)
        learned = _learned(config, None)
        return load_model(model, encoded, config.model, kind=self.kind, learned=learned), encoded

    def infer(
        self, model: Parts, config: RunConfig, dataset: Dataset, frames: Frames
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Infers`."""
        # Poses of the frames that it was trained on mean nothing for others.
        own = {n: t for n, t in model.tensors.items() if not n.startswith(POSES)}
        network, encoded = self.trained(replace(model, tensors=own), config, dataset, frames)
        latents = final_latents(network, encoded, self.training(config))
        return latents.mean, latents.log_variance.exp()

    def encode(
        self, config: RunConfig, dataset: Dataset, frames: Frames, base: Tensor | None
    ) -> EncodedFrames:
        """Prepare the encoder inputs of the frames of a dataset.

        Args:
            config: settings of the run.
            dataset: the movies.
            frames: the same, prepared.
            base: volumes of the linear model that training starts from, if it does.
        """
        return encode_frames(
            frames,
            config.encoder_input,
            base=base,
            moving_poses=config.moving_poses,
            memory_gb=config.data.memory_gb,
        )

    def training(self, config: RunConfig) -> TrainingSettings:
        """Settings of the training."""
        return config.training

    def _starts_from_curve(self, config: RunConfig) -> bool:
        kind: VAEKind = "tempor" if self.uses_dynamics(config) else "static"
        table, training = config.learned_poses == "table", self.training(config)
        return starts_from_curve(config.model, training, kind, learned_poses=table)

    def _warm_start(self, job: Job) -> tuple[WarmStart, dict[str, Any]]:
        """Fit the linear model that training starts from."""
        config, frames = job.config, job.frames
        cropped = frames.cropped(LINEAR_BOX, config.data.memory_gb)
        like: VAEKind = "tempor" if self.uses_dynamics(config) else "static"
        settings = warm_start_settings(config.linear, like)
        begins = CURVE_FROM if self._starts_from_curve(config) else LINEAR_SHARE
        state = follow_linear(
            job.store,
            cropped,
            settings,
            least=config.model.z_dim,
            masks=(None, None),
            window_radius=config.data.window_radius,
            seed=config.seed,
            progress=job.progress.part(0, begins),
        )
        fit = linear_result(cropped, state)
        start = network_start(
            fit,
            cropped,
            frames,
            config.model,
            self.training(config),
            like,
            learned_poses=config.learned_poses == "table",
            window_radius=config.data.window_radius,
            seed=config.seed,
            progress=job.progress.part(begins, LINEAR_SHARE),
        )
        return start, facts_of(fit)

    def _outcome(
        self, job: Job, encoded: EncodedFrames, state: TrainingState, facts: dict[str, Any]
    ) -> Outcome:
        latents = latents_after_training(state.model, encoded, self.training(job.config))
        poses = None
        if state.model.poses is not None:
            centres = job.task.dataset.poses.shifts_angstrom
            poses = learned_poses(state.model, encoded, centres)
        stored = state.parts()
        document = {k: v for k, v in stored.document.items() if k != "seconds"}
        return Outcome(
            model=replace(stored, document=document),  # the same for every run like this one
            mean=latents.mean,
            covariance=latents.log_variance.exp(),
            poses=poses,
            facts=facts,
        )


class Tempor(Network):
    """TEMPOR: latent paths inferred from whole movies."""

    def __init__(self) -> None:
        super().__init__("tempor", "tempor", "latent paths inferred from whole movies")


class Static(Network):
    """The static auto-encoder: every frame alone."""

    def __init__(self) -> None:
        super().__init__("static", "static", "every frame alone")


def _learned(config: RunConfig, given: Poses | None) -> LearnedPoses | None:
    """Settings of poses that are learned with the network; None if none are."""
    if config.learned_poses != "table":
        return None
    return LearnedPoses(given=given, shift_sd=config.poses.shift_sd)
