"""Encoder input: a function of a frame's image, CTF and pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from temporem.dvae.settings import EncoderInputKind
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.slicing import insert_slices_apart
from temporem.volumes.linear_volumes import LinearVolumes

_BACK_PROJECTION_RADIUS = 9  # cycles per box: a molecule that moves, moves at low resolution


@dataclass(frozen=True, eq=False)
class EncoderInput:
    """Function from frames to encoder inputs, real ``(F, E)``.

    Attributes:
        forward_model: image formation.
        kind: ``image`` for :func:`image_input`, ``back-projection`` for
            :func:`back_projection_input`.
        mean: mean volume μ, whose projection is subtracted for back-projection.
        weight: Wiener weight of every frequency, ``(P,)``.
        scale: divisor of the input.
    """

    forward_model: ForwardModel
    kind: EncoderInputKind
    mean: LinearVolumes
    weight: Tensor
    scale: float = 1.0

    @classmethod
    def of_mean(
        cls, forward_model: ForwardModel, kind: EncoderInputKind, volume: Tensor, weight: Tensor
    ) -> EncoderInput:
        """Make the function of a kind, for a mean volume ``(D, D, D)``."""
        mean = LinearVolumes(forward_model.box, 0)
        mean.set_mean(volume)
        return cls(forward_model, kind, mean, weight)

    @property
    def size(self) -> int:
        """Numbers E of a frame's input."""
        return encoder_input_size(self.forward_model, self.kind)

    @property
    def n_pixels(self) -> int:
        """Number of image frequencies that are used, the lowest ones."""
        if self.kind == "image":
            return len(self.forward_model.support)
        radius = _radius(self.forward_model)
        return int((self.forward_model.support.radii <= radius).sum())

    def __call__(self, images: Tensor, ctf: Tensor, rotations: Tensor) -> Tensor:
        """Compute the input ``(F, E)``.

        Args:
            images: centred Fourier images, ``(F, P)`` with :attr:`n_pixels` frequencies or more.
            ctf: CTF, ``(F, P)``.
            rotations: molecule to camera, ``(F, 3, 3)``.
        """
        model, n = self.forward_model, self.n_pixels
        images, ctf, weight = images[:, :n], ctf[:, :n], self.weight[:n]
        if self.kind == "image":
            return image_input(images, ctf, weight) / self.scale
        slices = self.mean(model.slice_frequencies(rotations, slice(n)), rotations.new_zeros(0))
        explained = model.observe(slices, ctf)
        residuals = images - explained
        encoder_input = back_projection_input(model, residuals, ctf, rotations, weight)
        return encoder_input / self.scale

    def to(self, device: torch.device) -> EncoderInput:
        """Copy to a device."""
        return replace(self, mean=self.mean.to(device), weight=self.weight.to(device))


def encoder_input_size(forward_model: ForwardModel, kind: EncoderInputKind) -> int:
    """Count the numbers E of a frame's input."""
    if kind == "image":
        return 2 * len(forward_model.support)
    return 2 * len(_half_ball(_radius(forward_model)))


def image_input(images: Tensor, ctf: Tensor, weight: Tensor) -> Tensor:
    """Flip phases and split real and imaginary parts: ``(F, P)`` → ``(F, 2P)``.

    This is the input of TEMPOR and CryoDRGN, with Wiener weights.

    Args:
        images: Fourier images with unit noise, ``(F, P)``.
        ctf: CTF, ``(F, P)``.
        weight: Wiener weight of every frequency, ``(P,)``.
    """
    return torch.view_as_real(images * (ctf.sign() * weight)).flatten(-2)


def back_projection_input(
    forward_model: ForwardModel,
    residuals: Tensor,
    ctf: Tensor,
    rotations: Tensor,
    weight: Tensor,
) -> Tensor:
    """Back-project single frames at low resolution, ``Pᵀ CTF (y − CTF P μ)``: real ``(F, E)``.

    The result is the sufficient statistic of a linear model of volumes. A conformational change has
    the same back-projection from all directions, up to the slice seen, so a linear layer can
    recognise it.

    Args:
        forward_model: image formation.
        residuals: images less the projection of the mean volume, ``(F, P)``, all frequencies or
            the lowest ones.
        ctf: CTF, ``(F, P)``.
        rotations: molecule to camera, ``(F, 3, 3)``.
        weight: Wiener weight of every frequency, ``(P,)``.
    """
    radius = _radius(forward_model)
    low = int((forward_model.support.radii <= radius).sum())
    points = forward_model.slice_frequencies(rotations, slice(low))
    values = (residuals * ctf * weight)[:, :low]
    edge = 2 * (radius + 2)
    mirrored = torch.cat([values, values.conj()], dim=1)
    grids = insert_slices_apart(mirrored, torch.cat([points, -points], dim=1), edge)
    wanted = _half_ball(radius).frequencies + edge // 2
    x, y, z = wanted.to(grids.device, non_blocking=True).unbind(-1)
    return torch.view_as_real(grids[:, z, y, x]).flatten(1)


def _radius(forward_model: ForwardModel) -> int:
    return min(_BACK_PROJECTION_RADIUS, forward_model.box // 2 - 1)


@lru_cache
def _half_ball(radius: int) -> FourierSupport:
    """Give the frequencies of back-projections that are kept; the other half mirrors them."""
    return FourierSupport(2 * (radius + 2), 3, radius + 1)
