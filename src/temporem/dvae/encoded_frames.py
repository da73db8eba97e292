"""Frames with their encoder inputs."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.encoder_input import EncoderInput
from temporem.dvae.settings import EncoderInputKind
from temporem.errors import TemporemError
from temporem.frames.batch import Batch
from temporem.frames.frames import Frames, prepared_bytes
from temporem.frames.source import FrameSource, blocks_of, one_ahead

_BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class EncodedFrames:
    """N frames with their encoder inputs.

    Attributes:
        frames: images, CTF and poses.
        encoder_input: the inputs, float32 ``(N, E)``, or the function that computes them.
        moving_poses: the input depends on poses that are being learned. Batches then come without
            input, and :meth:`encode` adds it.
        n_fixed: how many of the E numbers, the last ones, do not depend on the image.
        blank: the others are 0.
    """

    frames: Frames
    encoder_input: Tensor | EncoderInput
    moving_poses: bool
    n_fixed: int = 0
    blank: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def device(self) -> torch.device:
        return self.frames.device

    @property
    def n_inputs(self) -> int:
        """Numbers E of a frame's input."""
        if isinstance(self.encoder_input, EncoderInput):
            return self.encoder_input.size
        return self.encoder_input.shape[1]

    def without_images(self) -> EncodedFrames:
        """The frames with inputs as if every image were the projection of the mean volume."""
        return replace(self, blank=True)

    def batch(self, movies: list[np.ndarray], n_pixels: int | None = None) -> Batch:
        """Prepare frames of some movies with their inputs; see :meth:`Frames.batch`."""
        function = self.encoder_input
        if not isinstance(function, EncoderInput):
            batch = self.frames.batch(movies, n_pixels)
            rows = batch.rows.to(self.device, non_blocking=True)
            return replace(batch, encoder_input=self._shown(function[rows]))
        most = None if n_pixels is None else max(n_pixels, function.n_pixels)
        batch = self.frames.batch(movies, most)
        if self.moving_poses:
            return replace(batch, encoder_input=batch.images.real[:, :0])
        inputs = self._shown(function(batch.images, batch.ctf, batch.rotations))
        return replace(_lowest(batch, n_pixels), encoder_input=inputs)

    def batches(
        self, groups: Iterable[list[np.ndarray]], n_pixels: int | None = None
    ) -> Generator[Batch, None, None]:
        """Prepare a batch of every group of movies while the one before it is in use."""
        yield from one_ahead(
            lambda movies: self.batch(movies, n_pixels),
            groups,
            in_thread=not self.frames.source.in_memory,
        )

    def encode(self, batch: Batch, rotations: Tensor, shifts_angstrom: Tensor) -> Batch:
        """Add the input of a batch in given poses; without learned poses, it has one already.

        Args:
            batch: batch of this class, with all the frequencies that it came with.
            rotations: molecule to camera, ``(F, 3, 3)``.
            shifts_angstrom: displacement of the particles in the images, ``(F, 2)``.
        """
        function = self.encoder_input
        if not (self.moving_poses and isinstance(function, EncoderInput)):
            return batch
        low = slice(0, function.n_pixels)
        centring = self.frames.forward_model.shift_phase(-shifts_angstrom, low)
        images = batch.images[:, low] * centring
        return replace(batch, encoder_input=self._shown(function(images, batch.ctf, rotations)))

    def _shown(self, inputs: Tensor) -> Tensor:
        """Inputs ``(F, E)``, or what is left of them without images."""
        if not self.blank:
            return inputs
        seen, fixed = inputs.tensor_split([inputs.shape[1] - self.n_fixed], dim=1)
        return torch.cat([torch.zeros_like(seen), fixed], dim=1)


def encode_frames(
    frames: Frames,
    kind: EncoderInputKind,
    *,
    base: Tensor | None = None,
    moving_poses: bool = False,
    memory_gb: float,
) -> EncodedFrames:
    """Prepare the inputs of frames, with unit variance.

    Inputs are kept in memory if the frames are too and both fit into ``memory_gb`` GiB. Otherwise,
    and if poses are being learned, they are computed whenever they are needed.

    Args:
        frames: the frames, in known poses unless the kind is ``image``.
        kind: see :class:`EncoderInput`.
        base: volumes of the linear model for the kind ``linear``, ``(q + 1, D, D, D)``.
        moving_poses: poses are learned, in a table.
        memory_gb: memory for frames and their inputs, GiB.

    Raises:
        TemporemError: the kind is ``linear``, and there is no linear model.
    """
    statistics, model = frames.statistics, frames.forward_model
    volumes = statistics.mean_volume.volume[None]
    if kind == "linear":
        if base is None:
            raise TemporemError(
                "encoder_input=linear needs a linear model to start from",
                expected="training.start=linear",
            )
        volumes = base
    function = EncoderInput.of_volumes(model, kind, volumes, statistics.signal_weight)
    function = function.to(frames.device)
    size = prepared_bytes(model, len(frames)) + _BYTES_PER_NUMBER * function.size * len(frames)
    keep = frames.source.in_memory and not moving_poses and size <= memory_gb * 2**30
    encoder_input = _scaled(function, frames.source, frames.rotations, keep=keep)
    return EncodedFrames(
        frames, encoder_input, moving_poses and kind != "image", n_fixed=function.n_fixed
    )


def _lowest(batch: Batch, n_pixels: int | None) -> Batch:
    """Keep only the lowest frequencies of a batch."""
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
    """Scale inputs to unit variance over all entries and frames; entries may be all zero.

    Returns:
        The inputs, or the scaled function where they are not kept.
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
