"""Frames together with what a network's encoder is shown of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoder_input import EncoderInput, EncoderInputKind
from temporem.frames.batch import Batch
from temporem.frames.frames import Frames, prepared_bytes
from temporem.frames.source import FrameSource, blocks_of, one_ahead

_BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class EncodedFrames:
    """N frames with their encoder inputs.

    Attributes:
        frames: images, CTF and poses.
        encoder_input: the inputs, float32 ``(N, E)``, or the function of frames that gives them.
        moving_poses: poses are learned and the input depends on them: batches come without input,
            and :meth:`encode` gives it.
    """

    frames: Frames
    encoder_input: Tensor | EncoderInput
    moving_poses: bool

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def device(self) -> torch.device:
        return self.frames.device

    @property
    def n_inputs(self) -> int:
        """Numbers E that the encoder is shown of a frame."""
        if isinstance(self.encoder_input, EncoderInput):
            return self.encoder_input.size
        return self.encoder_input.shape[1]

    def batch(self, movies: list[np.ndarray], n_pixels: int | None = None) -> Batch:
        """Frames of some movies with their encoder inputs; see :meth:`Frames.batch`."""
        function = self.encoder_input
        if not isinstance(function, EncoderInput):
            batch = self.frames.batch(movies, n_pixels)
            rows = batch.rows.to(self.device, non_blocking=True)
            return replace(batch, encoder_input=function[rows])
        most = None if n_pixels is None else max(n_pixels, function.n_pixels)
        batch = self.frames.batch(movies, most)
        if self.moving_poses:
            return replace(batch, encoder_input=batch.images.real[:, :0])
        inputs = function(batch.images, batch.ctf, batch.rotations)
        return replace(_lowest(batch, n_pixels), encoder_input=inputs)

    def batches(
        self, groups: Iterable[list[np.ndarray]], n_pixels: int | None = None
    ) -> Iterator[Batch]:
        """A batch of every group of movies, prepared while the one before it is used."""
        return one_ahead(
            lambda movies: self.batch(movies, n_pixels),
            groups,
            in_thread=not self.frames.source.in_memory,
        )

    def encode(self, batch: Batch, rotations: Tensor, shifts_angstrom: Tensor) -> Batch:
        """A batch, as it came, with the encoder input in some poses of its frames.

        Args:
            batch: the lowest frequencies, as many as the input needs or more.
            rotations: molecule to camera, ``(F, 3, 3)``.
            shifts_angstrom: displacement of the particles in the images, ``(F, 2)``.
        """
        function = self.encoder_input
        if not (self.moving_poses and isinstance(function, EncoderInput)):
            return batch
        low = slice(0, function.n_pixels)
        centring = self.frames.forward_model.shift_phase(-shifts_angstrom, low)
        images = batch.images[:, low] * centring
        return replace(batch, encoder_input=function(images, batch.ctf, rotations))


def encode_frames(
    frames: Frames, kind: EncoderInputKind, *, moving_poses: bool = False, memory_gb: float
) -> EncodedFrames:
    """Prepare the encoder input of frames.

    Inputs of unit variance are kept in memory where frames are and both fit into ``memory_gb``
    GiB; otherwise, and where poses move, they are computed whenever they are asked for.

    Args:
        frames: the frames, in poses that are known unless the kind is ``image``.
        kind: see :class:`EncoderInput`.
        moving_poses: poses are learned.
        memory_gb: memory for frames and their inputs, GiB.
    """
    statistics, model = frames.statistics, frames.forward_model
    function = EncoderInput.of_mean(
        model, kind, statistics.mean_volume.volume, statistics.signal_weight
    ).to(frames.device)
    size = prepared_bytes(model, len(frames)) + _BYTES_PER_NUMBER * function.size * len(frames)
    keep = frames.source.in_memory and not moving_poses and size <= memory_gb * 2**30
    encoder_input = _scaled(function, frames.source, frames.rotations, keep=keep)
    return EncodedFrames(frames, encoder_input, moving_poses and kind == "back-projection")


def _lowest(batch: Batch, n_pixels: int | None) -> Batch:
    """The batch with only its lowest frequencies."""
    if n_pixels is None or n_pixels >= batch.images.shape[1]:
        return batch
    pixels = replace(
        batch.pixels, index=batch.pixels.index[:n_pixels], weights=batch.pixels.weights[:n_pixels]
    )
    images, ctf = batch.images[:, :n_pixels], batch.ctf[:, :n_pixels]
    return replace(batch, images=images, ctf=ctf, pixels=pixels)


def _scaled(
    function: EncoderInput, source: FrameSource, rotations: Tensor, *, keep: bool
) -> Tensor | EncoderInput:
    """Inputs of unit variance over all entries and frames: as numbers to keep, or a function.

    Entries that no frame reaches stay zero.
    """
    parts = blocks_of(np.arange(len(source)), source.n_pixels)
    kept = torch.empty(len(source) * keep, function.size, device=source.device)
    total = 0.0

    def inputs_of(rows: np.ndarray) -> Tensor:
        index = torch.from_numpy(rows).to(source.device)
        return function(*source.take(rows, function.n_pixels), rotations[index])

    for rows, values in zip(
        parts, one_ahead(inputs_of, parts, in_thread=not source.in_memory), strict=True
    ):
        total += values.double().square().sum().item()
        if keep:
            kept[torch.from_numpy(rows).to(kept.device)] = values
    scale = max((total / (len(source) * function.size)) ** 0.5, 1e-12)
    return kept.div_(scale) if keep else replace(function, scale=scale)
