"""Fits of the static model and of TEMPOR in memory: from a dataset to a trained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from temporem.device import choose_device, network_dtype
from temporem.dvae.clock import clock_training, encode_clock
from temporem.dvae.encoded_frames import encode_frames
from temporem.dvae.infer import latents_after_training
from temporem.dvae.latents import Latents
from temporem.dvae.learned_poses import LearnedPoses, learned_poses
from temporem.dvae.model import VAEKind
from temporem.dvae.network_start import (
    CURVE_FROM,
    LINEAR_SHARE,
    network_start,
    starts_from_curve,
)
from temporem.dvae.settings import NetworkSettings, TrainingSettings, resolved_input
from temporem.dvae.training import training_states
from temporem.dvae.warm_start import LINEAR_BOX, warm_start_settings
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.fit import linear_result, linear_states
from temporem.linear.settings import LinearSettings
from temporem.linear.state import LinearFit
from temporem.physics.poses import Poses
from temporem.progress import Progress
from temporem.volumes.source import Reconstruction, VolumeGrid

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkFit(Reconstruction):
    """A trained network with the latents and poses that it inferred.

    Attributes:
        latents: latents of all N frames; ``latents.mean[0]`` is the first frame's.
        poses: poses learned with the network; None if they were given.
        log: records of the epochs.

    Example:
        >>> data = tm.read_dataset("movies")
        >>> fit = tm.fit_tempor(data)
        >>> fit.voxels(data.movies[0]).shape  # a volume for every frame of a movie
        (10, 64, 64, 64)
        >>> fit.log[-1]["epoch"]
        32
    """

    latents: Latents
    poses: Poses | None = None
    log: tuple[Mapping[str, Any], ...] = ()

    @property
    def latent_covariance(self) -> np.ndarray:
        """Posterior covariance of the latents, diagonal, ``(N, q, q)``."""
        return self.latents.variance.diag_embed().numpy()


def fit_tempor(
    data: Dataset,
    *,
    poses: Poses | None = None,
    start: LinearFit | None = None,
    z_dim: int | None = None,
    epochs: int | None = None,
    network: NetworkSettings | None = None,
    training: TrainingSettings | None = None,
    learned: LearnedPoses | None = None,
    invert: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> NetworkFit:
    """Train TEMPOR on all movies, in memory: latents are inferred from whole movies.

    Args:
        data: the movies.
        poses: poses of the frames; the dataset's when None.
        start: linear model to start from. If None and ``training.start`` is ``linear``, one is
            fitted here.
        z_dim: latent dimension; that of ``network`` when None.
        epochs: epochs in all; those of ``training`` when None.
        network: sizes and structure of the network.
        training: settings of the training.
        learned: settings of learned poses; None keeps the given poses.
        invert: flip the sign of the images, for dark molecules.
        seed: of initial weights and of all random numbers.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: arithmetic of large products.
        progress: receives the progress of the fit.

    Raises:
        TemporemError: no poses, images without noise, a start of other frames, or training that
            diverges.

    Example:
        >>> fit = tm.fit_tempor(tm.read_dataset("movies"), z_dim=1, epochs=32)
        >>> fit.volume(fit.latents.mean[0]).shape
        torch.Size([64, 64, 64])
    """
    return _fit("tempor", **locals())  # all arguments, by name


def fit_static(
    data: Dataset,
    *,
    poses: Poses | None = None,
    start: LinearFit | None = None,
    z_dim: int | None = None,
    epochs: int | None = None,
    network: NetworkSettings | None = None,
    training: TrainingSettings | None = None,
    learned: LearnedPoses | None = None,
    invert: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> NetworkFit:
    """Train the static model on all frames, in memory: latents are inferred frame by frame.

    It is the model of CryoDRGN (Zhong et al. 2021) with TEMPOR's extractor and generator. Arguments
    are those of :func:`fit_tempor`.

    Example:
        >>> fit = tm.fit_static(tm.read_dataset("movies"), z_dim=1, epochs=32)
        >>> fit.latents.sd.shape
        torch.Size([1000, 1])
    """
    return _fit("static", **locals())  # all arguments, by name


def fit_clock(
    data: Dataset,
    *,
    poses: Poses | None = None,
    start: LinearFit | None = None,
    z_dim: int | None = None,
    epochs: int | None = None,
    network: NetworkSettings | None = None,
    training: TrainingSettings | None = None,
    invert: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    progress: Progress | None = None,
) -> NetworkFit:
    """Train a network that counts frames, in memory: a baseline for what dynamics are worth.

    Its latents are a function of the frame number alone; all else is as in :func:`fit_static`,
    which has the same arguments.

    Example:
        >>> fit = tm.fit_clock(tm.read_dataset("movies"), epochs=32)
        >>> fit.latents.mean.shape
        torch.Size([1000, 1])
    """
    return _fit("clock", **locals(), learned=None)  # all arguments, by name


def _fit(
    method: Literal["static", "tempor", "clock"],
    data: Dataset,
    *,
    poses: Poses | None,
    start: LinearFit | None,
    z_dim: int | None,
    epochs: int | None,
    network: NetworkSettings | None,
    training: TrainingSettings | None,
    learned: LearnedPoses | None,
    invert: bool,
    seed: int,
    device: str,
    precision: Precision,
    progress: Progress | None,
) -> NetworkFit:
    kind: VAEKind = "tempor" if method == "tempor" else "static"
    network = network or NetworkSettings()
    if z_dim is not None:
        network = NetworkSettings(**{**network.model_dump(), "z_dim": z_dim})
    training = training or TrainingSettings()
    if epochs is not None:
        training = TrainingSettings(**{**training.model_dump(), "epochs": epochs})
    progress = progress or Progress()
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    settings, where = DataSettings(invert=invert), choose_device(device)
    frames = prepare_frames(data, settings, data.movies, where)
    if method == "clock":
        training = clock_training(training)
    warm_start = None
    if training.start == "linear":
        like: VAEKind = "static" if method == "static" else "tempor"
        box = LINEAR_BOX if start is None else start.grid.box
        cropped = frames.cropped(box, settings.memory_gb)
        table = learned is not None
        bends = starts_from_curve(network, training, kind, learned_poses=table)
        begins, ends = 0.0, LINEAR_SHARE if bends else 0.0
        if start is None:
            begins, ends = CURVE_FROM if bends else LINEAR_SHARE, LINEAR_SHARE
            part = progress.part(0, begins)
            start = _linear_fit(like, cropped, network.z_dim, seed, part)
        warm_start = network_start(
            start,
            cropped,
            frames,
            network,
            training,
            kind,
            learned_poses=table,
            seed=seed,
            progress=progress.part(begins, ends),
        )
        progress = progress.part(ends, 1)
    elif start is not None:
        raise TemporemError(
            f"a linear fit was passed as start, but training.start is {training.start}",
            expected="training.start=linear",
        )
    if method == "clock":
        encoded = encode_clock(frames, data.frame_numbers)
    else:
        encoded = encode_frames(
            frames,
            resolved_input(network, training),
            base=None if warm_start is None else warm_start.volumes,
            moving_poses=learned is not None,
            memory_gb=settings.memory_gb,
        )
    log: list[Mapping[str, Any]] = []
    state = None
    for state in training_states(
        encoded,
        network,
        training,
        method=kind,
        seed=seed,
        warm_start=warm_start,
        learned=learned,
        dtype=network_dtype(precision, where),
        progress=progress,
    ):
        log += [] if state.record is None else [state.record]
    assert state is not None
    latents = latents_after_training(state.model, encoded, training)
    found = None
    if state.model.poses is not None:
        found = learned_poses(state.model, encoded, data.poses.shifts_angstrom)
    latents, model = latents.cpu(), frames.forward_model
    return NetworkFit(
        grid=VolumeGrid(model.box, model.pixel_size_angstrom, frames.statistics.noise_scale),
        generator=state.model.generator,
        latent_means=latents.mean,
        latents=latents,
        poses=found,
        log=tuple(log),
    )


def _linear_fit(
    method: VAEKind, cropped: Frames, z_dim: int, seed: int, progress: Progress
) -> LinearFit:
    """Fit the linear model for a warm start."""
    settings = warm_start_settings(LinearSettings(), method)
    *_, last = linear_states(cropped, settings, least=z_dim, seed=seed, progress=progress)
    return linear_result(cropped, last)
