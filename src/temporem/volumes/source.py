"""Sources of volumes of frames: reconstructions and truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from temporem.physics.fourier import FourierSupport


class VolumeSource(Protocol):
    """A reconstruction, or the truth: one volume per row of ``particles.star``."""

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of some frames.

        Args:
            rows: integer rows of ``particles.star``, counted from 0, ``(B,)``.

        Returns:
            Complex64 ``(B, P)`` on ``FourierSupport(box, 3)``, on the CPU, in image units.
        """
        ...


class Decodes(Protocol):
    """A model of volumes, in units of the images' noise."""

    def volumes(self, support: FourierSupport, z: Tensor) -> Tensor:
        """Fourier coefficients of the volumes of latents ``(B, q)``: complex64 ``(B, P)``."""
        ...


@dataclass(frozen=True)
class VolumeGrid:
    """Grid and units of volumes.

    Attributes:
        box: edge length D, voxels.
        pixel_size_angstrom: edge of a voxel, Å.
        noise_scale: factor from the units of the images' noise, in which models work, to those of
            the images.
    """

    box: int
    pixel_size_angstrom: float
    noise_scale: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Reconstruction:
    """A volume for every frame of a dataset, and for any other latent.

    Attributes:
        grid: grid and units of the volumes.
        generator: model that makes volumes of latents.
        latent_means: posterior means of the N frames, float32 ``(N, q)``; q is 0 for one volume.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> between = (run.latent_means[0] + run.latent_means[1]) / 2
        >>> run.volume(between).shape
        torch.Size([64, 64, 64])
    """

    grid: VolumeGrid
    generator: Decodes
    latent_means: Tensor

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`."""
        return FourierSupport(self.grid.box, 3)

    def volume(self, z: Tensor) -> Tensor:
        """The volume of a latent ``(q,)`` on voxels, ``(D, D, D)`` (z, y, x), in image units."""
        z = torch.as_tensor(z, dtype=torch.float32)
        return self.support.ifft(self._coefficients(self.support, z[None]))[0]

    def volumes(self, rows: np.ndarray, support: FourierSupport | None = None) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``, on the CPU.

        In image units, on :attr:`support` or on a smaller one of the same box.
        """
        return self._coefficients(support or self.support, self.latents_of(rows))

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        """The volumes of frames ``(B,)`` on voxels, ``(B, D, D, D)`` (z, y, x)."""
        return self.support.ifft(self.volumes(rows)).numpy()

    def latents_of(self, rows: np.ndarray) -> Tensor:
        """Posterior means of frames ``(B,)``: ``(B, q)``."""
        return self.latent_means[torch.as_tensor(np.asarray(rows))]

    def _coefficients(self, support: FourierSupport, z: Tensor) -> Tensor:
        with torch.no_grad():
            return self.grid.noise_scale * self.generator.volumes(support, z).cpu()
