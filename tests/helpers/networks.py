"""Tiny networks, frames for them, and trainings of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.dvae.encoded_frames import EncodedFrames, encode_frames
from temporem.dvae.learned_poses import LearnedPoses
from temporem.dvae.model import MovieVAE, VAEKind
from temporem.dvae.settings import NetworkSettings, TrainingSettings, resolved_input
from temporem.dvae.state import TrainingState
from temporem.dvae.training import training_states
from temporem.dvae.warm_start import WarmStart
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.state import Parts
from temporem.physics.fourier import FourierSupport
from temporem.volumes.latent_curve import LatentCurve

LENGTHS = (4, 4, 3, 5, 4, 4, 2, 6)  # 32 frames
STEPS_PER_EPOCH = 4

TINY = NetworkSettings(z_dim=2, encoder_width=8, rnn_width=6, generator_width=8)
SHORT = TrainingSettings(start="static", epochs=8, frames_per_step=8, pixels_per_frame=24)  # of 55


def network_of(**changes: object) -> NetworkSettings:
    """A tiny network with some settings changed."""
    return NetworkSettings(**{**TINY.model_dump(), **changes})


def training_of(**changes: object) -> TrainingSettings:
    """A short training with some settings changed."""
    return TrainingSettings(**{**SHORT.model_dump(), **changes})


def encoded_of(
    blobs: BlobMovies,
    network: NetworkSettings = TINY,
    *,
    base: torch.Tensor | None = None,
    training_movies: list[np.ndarray] | None = None,
    posed: bool = True,
    moving_poses: bool = False,
    memory_gb: float = 1.0,
) -> EncodedFrames:
    """Frames with the encoder input of a network, on the CPU.

    Without ``base``, volumes of a linear model, the automatic input is the back-projection.
    """
    data = blobs.dataset if posed else blobs.dataset.without_poses()
    movies = data.movies if training_movies is None else training_movies
    settings = DataSettings(memory_gb=memory_gb)
    frames = prepare_frames(data, settings, movies, torch.device("cpu"), posed=posed)
    start = SHORT if base is None else training_of(start="linear")
    kind = resolved_input(network, start)
    return encode_frames(frames, kind, base=base, moving_poses=moving_poses, memory_gb=memory_gb)


@cache
def tiny_movies(snr: float = 1.0) -> BlobMovies:
    """Thirty-two frames of eight movies, box 12. Not to be changed."""
    return simulate_blobs(LENGTHS, box=12, snr=snr)


@cache
def tiny_frames(snr: float = 1.0) -> EncodedFrames:
    """The frames of :func:`tiny_movies`. Not to be changed."""
    return encoded_of(tiny_movies(snr))


def known_start(snr: float = 1.0) -> WarmStart:
    """Start of a network on :func:`tiny_frames`, such as a linear model of the truth would give.

    The first latent is the angle of the moving blob, scaled; the second is its square.
    """
    blobs, frames = tiny_movies(snr), tiny_frames(snr).frames
    angle = (blobs.angles - blobs.angles.mean()) / blobs.angles.std()
    latents = torch.stack([angle, angle.square()], dim=-1).float()
    latents = (latents - latents.mean(0)) / latents.std(0)
    support = FourierSupport(12, 3)
    volumes = support.ifft(blobs.volumes()) / frames.statistics.noise_scale
    design = torch.cat([torch.ones(32, 1), latents], dim=1)
    maps = torch.linalg.lstsq(design, volumes.flatten(1)).solution.unflatten(1, (12, 12, 12))
    moving = maps[1:].abs().amax(0) / maps[1:].abs().max()
    variance = torch.full_like(latents, 0.1)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the same curve whenever it is made
        curve = LatentCurve(2, 2)
    return WarmStart(latents, variance, curve, maps.contiguous(), moving)


class Trained:
    """A training, kept as it goes on.

    Attributes:
        records: records of the epochs.
        parts: states that were kept, by number of steps.
        model: the model at the end.
    """

    def __init__(self, states: Iterator[TrainingState], keep: tuple[int, ...] = ()) -> None:
        self.records: list[dict[str, Any]] = []
        self.parts: dict[int, Parts] = {}
        for state in states:
            if state.record is not None:
                self.records.append({k: v for k, v in state.record.items() if k != "seconds"})
            if state.position.step in keep or state.finished:
                self.parts[state.position.step] = state.parts()
        self.state = state
        self.model: MovieVAE = state.model

    @property
    def last(self) -> Parts:
        """The state at the end."""
        return self.parts[self.state.position.step]


def train(
    encoded: EncodedFrames,
    method: VAEKind = "tempor",
    network: NetworkSettings = TINY,
    training: TrainingSettings = SHORT,
    *,
    keep: tuple[int, ...] = (),
    stored: Parts | None = None,
    learned: LearnedPoses | None = None,
    **arguments: Any,
) -> Trained:
    """Train to the end; keep states after some numbers of steps, or go on from a stored one."""
    resume = None
    if stored is not None:
        resume = TrainingState.from_parts(
            stored, encoded, network, training, method=method, learned=learned
        )
    states = training_states(
        encoded, network, training, method=method, learned=learned, resume=resume, **arguments
    )
    return Trained(states, keep)


def assert_same_parts(found: Parts, expected: Parts) -> None:
    """Equal to the last bit, but for the clock."""
    assert found.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert found.tensors[name].equal(value), name
    documents = [{**parts.document, "seconds": 0} for parts in (found, expected)]
    assert documents[0] == documents[1]
