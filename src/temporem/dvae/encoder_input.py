"""Encoder input: a function of a frame's image, CTF and pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from temporem.dvae.settings import EncoderInputKind
from temporem.linear.information import latent_information
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.slicing import insert_slices_apart
from temporem.volumes.linear_volumes import LinearVolumes

_BACK_PROJECTION_RADIUS = 9  # cycles per box: a molecule that moves, moves at low resolution
_LINEAR_RADIUS = 32  # cycles per box: that of a warm start's components, at most


@dataclass(frozen=True, eq=False)
class EncoderInput:
    """Function from frames to encoder inputs, real ``(F, E)``.

    Attributes:
        forward_model: image formation.
        kind: ``linear`` for :func:`linear_input`, ``image`` for :func:`image_input`,
            ``back-projection`` for :func:`back_projection_input`.
        base: mean volume μ, whose projection is subtracted, and the components for ``linear``.
        weight: Wiener weight of every frequency, ``(P,)``.
        scale: divisor of the input.
    """

    forward_model: ForwardModel
    kind: EncoderInputKind
    base: LinearVolumes
    weight: Tensor
    scale: float = 1.0

    @classmethod
    def of_volumes(
        cls, forward_model: ForwardModel, kind: EncoderInputKind, volumes: Tensor, weight: Tensor
    ) -> EncoderInput:
        """Make the function of a kind, for volumes ``(q + 1, D, D, D)``, the mean volume first."""
        base = LinearVolumes(forward_model.box, len(volumes) - 1)
        base.set_maps(volumes)
        return cls(forward_model, kind, base, weight)

    @property
    def size(self) -> int:
        """Numbers E of a frame's input."""
        return encoder_input_size(self.forward_model, self.kind, self.base.z_dim)

    @property
    def n_fixed(self) -> int:
        """How many of them, the last ones, depend on pose and CTF alone and not on the image."""
        q = self.base.z_dim
        return q * (q + 1) // 2 if self.kind == "linear" else 0

    @property
    def n_pixels(self) -> int:
        """Number of image frequencies that are used, the lowest ones."""
        if self.kind == "image":
            return len(self.forward_model.support)
        radius = _LINEAR_RADIUS if self.kind == "linear" else _radius(self.forward_model)
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
        slices = self.base.slices(model.slice_frequencies(rotations, slice(n)))
        design = model.observe(slices, ctf[..., None])
        residuals = images - design[..., 0]
        if self.kind == "linear":
            return linear_input(model, residuals, design[..., 1:]) / self.scale
        encoder_input = back_projection_input(model, residuals, ctf, rotations, weight)
        return encoder_input / self.scale

    def to(self, device: torch.device) -> EncoderInput:
        """Copy to a device."""
        return replace(self, base=self.base.to(device), weight=self.weight.to(device))


def encoder_input_size(
    forward_model: ForwardModel, kind: EncoderInputKind, components: int = 0
) -> int:
    """Count the numbers E of a frame's input; the linear one depends on the components."""
    if kind == "linear":
        return components + components * (components + 1) // 2
    if kind == "image":
        return 2 * len(forward_model.support)
    return 2 * len(_half_ball(_radius(forward_model)))


def linear_input(forward_model: ForwardModel, residuals: Tensor, design: Tensor) -> Tensor:
    """Infer the latents of a linear model from single frames: means and spreads, ``(F, E)``.

    With the prior N(0, 1) a posterior has the covariance ``S = (J + 1)⁻¹`` and the mean ``S h``; J
    and h are those of :func:`latent_information`. The input is the mean, and the Cholesky factor of
    S row by row. It holds all that the frame tells of the latents, and few numbers: an encoder
    cannot learn a frame's noise from it by heart.

    Args:
        forward_model: image formation.
        residuals: images with unit noise less the projection of the mean volume, ``(F, P)``.
        design: projections H of the components, ``(F, P, q)``.
    """
    n, q = residuals.shape[1], design.shape[-1]
    weights = forward_model.support.weights[:n].to(residuals.device)
    information, score, _ = latent_information(residuals, design, weights)
    covariance = torch.linalg.inv(information + torch.eye(q).to(information))
    mean = (covariance @ score[..., None]).squeeze(-1)
    row, column = torch.tril_indices(q, q)
    spread = torch.linalg.cholesky(covariance)[:, row, column]
    return torch.cat([mean, spread], dim=1).float()


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
