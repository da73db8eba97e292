"""The interface of a reconstruction method: input and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from temporem.checks import Finding
from temporem.distributed import ProcessGroup
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.io.star import StarTable
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.poses import Poses
from temporem.poses.errors import PoseErrors
from temporem.progress import Progress
from temporem.runs.config import RunConfig
from temporem.runs.persistence import RunStore
from temporem.volumes.source import Decodes, VolumeGrid


@dataclass(frozen=True, eq=False)
class Task:
    """A requested reconstruction with checked input.

    Attributes:
        config: settings.
        dataset: the movies, in the poses to use.
        training: rows of the movies that the method may use.
        device: where frames are.
        processes: processes that share the work.
        poses: poses that the run found; None where they are the dataset's.
        doubts: what the checks of the dataset warn of.
        as_given: frames in the dataset's poses on the CPU, if checks have prepared them.
        pose_errors: errors of these poses, if they were measured.
    """

    config: RunConfig
    dataset: Dataset
    training: list[np.ndarray]
    device: torch.device
    processes: ProcessGroup
    poses: Poses | None = None
    doubts: list[Finding] = field(default_factory=list)
    as_given: Frames | None = None
    pose_errors: PoseErrors | None = None

    def prepare(self, device: torch.device, *, posed: bool) -> Frames:
        """Frames on a device; those of the checks where they are the same."""
        if posed and self.as_given is not None:
            return self.as_given.to(device)
        return prepare_frames(
            self.dataset,
            self.config.data,
            self.training,
            device,
            posed=posed,
            processes=self.processes,
        )

    @property
    def held_out(self) -> np.ndarray:
        """Frames of movies that are kept from training, bool ``(N,)``."""
        mask = np.ones(self.dataset.n_frames, dtype=bool)
        mask[np.concatenate(self.training)] = False
        return mask


@dataclass(frozen=True, eq=False)
class Job:
    """A task with prepared frames.

    Attributes:
        task: what was asked for.
        frames: prepared frames.
        store: keeps states of algorithms.
        progress: receives the progress of the method.
    """

    task: Task
    frames: Frames
    store: RunStore
    progress: Progress

    @property
    def config(self) -> RunConfig:
        return self.task.config


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a method, for the run folder.

    Attributes:
        model: the generator, for ``checkpoint/model.safetensors``.
        mean: posterior means of the latents, ``(N, q)``; None for a method without latents.
        covariance: ``(N, q, q)``, or variances ``(N, q)`` of a method without covariances.
        volumes: volumes to write by name, ``(D, D, D)``, in units of the images' noise.
        masks: masks to write by name, ``(D, D, D)``.
        poses: poses that the method learned; None where it learned none.
        predicted: latents at frame numbers that movies lack.
        facts: JSON values for ``run.json``.
    """

    model: Parts
    mean: Tensor | None = None
    covariance: Tensor | None = None
    volumes: Mapping[str, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    poses: Poses | None = None
    predicted: StarTable | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def require_no_options(config: RunConfig) -> None:
    """Raise a TemporemError if ``options`` are set for a method without options of its own."""
    if config.options:
        raise TemporemError(
            f"options.{next(iter(config.options))} is set, but the method {config.method} has no "
            "options of its own",
            hint="its settings are in docs/settings.md",
        )


class Method(Protocol):
    """A method of reconstruction: one file in this folder, and one line in the registry."""

    name: str
    summary: str
    """Short description for ``--help``."""

    def uses_dynamics(self, config: RunConfig) -> bool:
        """True if the method needs movies of two frames or more."""
        ...

    def check(self, config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
        """Raise a TemporemError if the data cannot support the settings."""
        ...

    def memory(
        self, config: RunConfig, model: ForwardModel, longest: int, *, in_memory: bool
    ) -> tuple[int, str]:
        """Estimate the bytes that the method needs besides the frames, with a hint to lower them.

        Args:
            config: settings.
            model: image formation.
            longest: frames of the longest movie.
            in_memory: frames are kept in memory.
        """
        ...

    def run(self, job: Job) -> Outcome:
        """Reconstruct. All processes call it; the first process's outcome is written."""
        ...

    def load(self, model: Parts, config: RunConfig, grid: VolumeGrid, z_dim: int) -> Decodes:
        """Rebuild the volume model that :class:`Outcome` stored.

        Raises:
            TemporemError: the stored model does not fit the configuration.
        """
        ...


@runtime_checkable
class Infers(Protocol):
    """A method that can be applied to movies that it has not seen."""

    def infer(
        self, model: Parts, config: RunConfig, dataset: Dataset, frames: Frames
    ) -> tuple[Tensor | None, Tensor | None]:
        """Infer the latents of N new frames.

        Args:
            model: what :class:`Outcome` stored.
            config: settings of the run.
            dataset: the movies.
            frames: the same, prepared, with CTF in units of the run's volumes.

        Returns:
            Posterior means ``(N, q)``, and covariances ``(N, q, q)`` or variances ``(N, q)``; None
            for a method without latents.
        """
        ...
