"""The interface of volume generators: a volume for every latent, in Fourier space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.volumes.decoding import Span

TRAINING_RESOLUTION = 0.35
"""Highest frequency that tells latents apart while volumes are learned, as a part of Nyquist."""


class VolumeModel(nn.Module, ABC):
    """A model of volumes ``V(z)`` that can be sliced, decoded and trained.

    A new generator is a subclass with :meth:`forward`, and one line in
    :data:`temporem.volumes.generators.GENERATORS`. Every other method has a default.

    Args:
        box: edge length D of the volumes, voxels.
        z_dim: latent dimension q.

    Attributes:
        start_share: part of the epochs in which latents are those of a linear model, if training
            starts from one, and an encoder finds them later.
        always_on_grid: one latent is found on a grid by ``static``, too, and while poses are
            learned.
        from_curve: one latent starts from a curve through all movies, instead of the linear model.
        marching: parts of the epochs between which training adds high frequencies.
        samples_pixels: slices at a few pixels cost less than at all of them.
        latent_resolution: highest frequency that tells latents apart on a grid when training is
            over, as a part of Nyquist. Volumes that fit noise there tell too little.
    """

    start_share: ClassVar[float] = 1 / 8
    always_on_grid: ClassVar[bool] = False
    from_curve: ClassVar[bool] = False
    marching: ClassVar[tuple[float, float]] = (0.6, 0.8)
    samples_pixels: ClassVar[bool] = True
    latent_resolution: ClassVar[float] = TRAINING_RESOLUTION

    def __init__(self, box: int, z_dim: int) -> None:
        super().__init__()
        self.box = box
        self.z_dim = z_dim

    @abstractmethod
    def forward(self, frequencies: Tensor, z: Tensor) -> Tensor:
        """Compute Fourier coefficients of volumes, with gradients.

        Volumes are real, so that the values must obey ``V̂(−k; z) = conj V̂(k; z)``.

        Args:
            frequencies: cycles per box, ``(..., P, 3)`` ordered (x, y, z), ``|k| < D/2``.
            z: latents ``(..., q)``; the leading dimensions broadcast.

        Returns:
            Complex64 ``(..., P)`` in units of a slice, ``√D V̂`` with V̂ the orthonormal transform.
        """

    def frame_slices(
        self, model: ForwardModel, rotations: Tensor, pixels: Tensor, z: Tensor
    ) -> Tensor:
        """Slice the volumes of frames in their orientations, with gradients.

        Args:
            model: image formation at the box of the volumes.
            rotations: molecule to camera, ``(F, 3, 3)``.
            pixels: index of the image frequencies, ``(P,)``.
            z: latents ``(F, q)``, or ``(1, q)`` of all frames.

        Returns:
            Complex64 ``(F, P)``, as :meth:`forward` gives them.
        """
        return self(model.slice_frequencies(rotations, pixels), z)

    def penalty(self, z: Tensor) -> Tensor:
        """Cost of what is unlikely whatever the images say, nats: ``(F, q)`` → ``(F,)``."""
        return z.new_zeros(len(z))

    @torch.no_grad()
    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Decode volumes, without gradients.

        Args:
            support: frequencies of the volumes, ``(P, 3)``.
            z: latents ``(B, q)``.

        Returns:
            Coefficients of the orthonormal transform, complex64 ``(B, P)``.
        """
        z = z.to(self.device)
        frequencies = support.frequencies.to(z)
        return torch.stack([self(frequencies, one) for one in z]) / self.box**0.5

    def span(self, support: FourierSupport, z: Tensor) -> Span | None:
        """Find a few volumes of which those of many latents ``(N, q)`` are combinations.

        Returns:
            The few and the weights; None where decoding each volume is as good.
        """
        return None

    def set_amplitude(self, amplitudes: Tensor) -> None:
        """Take the expected amplitude of slices at integer radii 0 … D/2, ``(D/2 + 1,)``.

        It is called once, before training. A generator may scale its values by it.
        """

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """Choose the arithmetic of large matrix products; None for float32."""

    @property
    def dtype(self) -> torch.dtype:
        """Arithmetic of large matrix products."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the parameters and buffers."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return torch.device("cpu")

    @property
    def activations_per_point(self) -> int:
        """Numbers that training keeps for every frequency of every frame; to estimate memory."""
        return 16
