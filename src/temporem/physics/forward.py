"""The forward model: from a slice of the molecule's Fourier transform to an image.

``X̂(k) = CTF(k) · S(k) · √D · V̂(Rᵀ (kx, ky, 0)ᵀ) + noise``   (paper Eq. 1–2)

``V̂`` comes from atoms in simulation, from a network or a voxel grid in reconstruction. All of them
use :meth:`ForwardModel.observe` and :meth:`ForwardModel.log_likelihood`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from temporem.physics.ctf import CTFParameters, ctf_values
from temporem.physics.fourier import FourierSupport


@dataclass(frozen=True)
class ForwardModel:
    """Image formation for frames of one box and pixel size.

    Args:
        box: image edge D in pixels, even.
        pixel_size_angstrom: pixel size, Å.

    Example:
        >>> model = tm.ForwardModel(box=64, pixel_size_angstrom=2.0)
        >>> model.slice_frequencies(torch.eye(3).repeat(10, 1, 1)).shape
        torch.Size([10, 1603, 3])
    """

    box: int
    pixel_size_angstrom: float

    @cached_property
    def support(self) -> FourierSupport:
        """The half disc of image frequencies, P of them."""
        return FourierSupport(self.box, 2)

    def frequencies_per_angstrom(self) -> Tensor:
        """Image frequencies ``(P, 2)`` in 1/Å, float64."""
        return self.support.frequencies.double() / (self.box * self.pixel_size_angstrom)

    def slice_frequencies(self, rotations: Tensor, pixels: Tensor | slice = slice(None)) -> Tensor:
        """Frequencies at which frames sample the molecule, ``Rᵀ(kx, ky, 0)ᵀ`` in cycles per box.

        Args:
            rotations: molecule to camera, ``(..., 3, 3)``.
            pixels: index of the image frequencies; all by default.

        Returns:
            ``(..., P, 3)``, ordered (x, y, z).
        """
        k = self.support.frequencies[pixels].to(rotations, non_blocking=True)
        return k @ rotations[..., :2, :]  # rows of R are the columns of Rᵀ

    def ctf(self, parameters: CTFParameters, n_pixels: int | None = None) -> Tensor:
        """CTF at the image frequencies, or only the ``n_pixels`` lowest: float32 ``(N, P)``."""
        k = self.frequencies_per_angstrom()[:n_pixels].to(parameters.voltage_kv.device)
        return ctf_values(parameters, k).float()

    def shift_phase(self, shifts_angstrom: Tensor, pixels: Tensor | slice = slice(None)) -> Tensor:
        """``S(k) = exp(−2πi k·d)`` of displacements d ``(..., 2)``, Å: complex64 ``(..., P)``.

        Args:
            shifts_angstrom: d.
            pixels: index of the image frequencies; all by default.
        """
        k = self.frequencies_per_angstrom()[pixels].to(shifts_angstrom.device, non_blocking=True)
        phase = (-2 * torch.pi) * (shifts_angstrom.double() @ k.T)
        return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)

    def observe(self, slices: Tensor, ctf: Tensor, shift_phase: Tensor | None = None) -> Tensor:
        """Form noise-free images ``CTF · S · slice``, all ``(..., P)``.

        Args:
            slices: 2D coefficients, ``√D V̂(Rᵀk)``.
            ctf: real.
            shift_phase: S; None for frames that are centred.
        """
        observed = slices * ctf
        return observed if shift_phase is None else observed * shift_phase

    def log_likelihood(
        self,
        observed: Tensor,
        data: Tensor,
        variance: Tensor | float,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Gaussian log-likelihood of frames, up to a constant: ``(..., P)`` → ``(...)``.

        ``−½ Σ_k |X(k) − X̂(k)|² / σ²`` over the full plane; the half plane counts twice. Frames may
        be cut to their P lowest frequencies, or to a sample of pixels with its ``weights (P,)``.
        """
        residual = torch.view_as_real(data - observed).square().sum(-1) / variance
        if weights is None:
            weights = self.support.weights[: residual.shape[-1]]
        return -0.5 * (residual * weights.to(residual, non_blocking=True)).sum(-1)
