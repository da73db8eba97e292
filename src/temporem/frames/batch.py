"""Batches of frames, the input of every algorithm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from temporem.physics.pixel_sample import PixelSample


@dataclass(frozen=True)
class Batch:
    """F frames of M whole movies, one movie after the other, each in order of time.

    Attributes:
        rows: rows of the dataset, ``(F,)``, on the CPU, as are lengths and intervals.
        images: centred Fourier images with unit noise variance, complex64 ``(F, P)``.
        ctf: float32 ``(F, P)``.
        rotations: molecule to camera, ``(F, 3, 3)``.
        lengths: frames of each movie, ``(M,)``.
        times: time of each frame, ``(F,)``, on the CPU. Only differences within a movie have a
            meaning; the median interval is 1. Time may run backwards in a movie.
        interval_index: index into :attr:`Frames.intervals` of the time since the frame before,
            ``(F,)``; without meaning at the first frame of a movie.
        pixels: the P pixels that the images have.
        shifts_angstrom: displacement of the particles in the images, ``(F, 2)``; None where they
            are centred.
        encoder_input: numbers that a network's encoder sees of a frame, ``(F, E)``; None for
            methods without an encoder.
    """

    rows: Tensor
    images: Tensor
    ctf: Tensor
    rotations: Tensor
    lengths: Tensor
    times: Tensor
    interval_index: Tensor
    pixels: PixelSample
    shifts_angstrom: Tensor | None = None
    encoder_input: Tensor | None = None

    @property
    def used(self) -> Tensor:
        """Frames that tell something; in others CTF and image are 0, bool ``(F,)``."""
        return self.ctf.any(dim=1)

    def at(self, pixels: PixelSample) -> Batch:
        """Keep only some pixels of the images; the encoder input stays."""
        index = pixels.index.to(self.images.device, non_blocking=True)
        return replace(self, images=self.images[:, index], ctf=self.ctf[:, index], pixels=pixels)
