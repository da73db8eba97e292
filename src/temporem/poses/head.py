"""A network that infers the poses of frames from their images (TEMPOR Eq. 14).

The network sees an image on rings of the Fourier plane. Its layers are circular convolutions along
the rings, so an image turned in its plane gives features turned alike (Cohen and Welling 2016).
The rotation's first two rows turn with them, and the third, the direction of view, stays. So turns
in the plane need no learning.

An image may look alike from several directions. So there are several answers, each with a
probability and a width: a mixture of exponential densities of the chord ``|R − M|``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from temporem.physics.forward import ForwardModel
from temporem.physics.polar_samples import polar_samples, ring_spectrum
from temporem.physics.poses import Poses
from temporem.physics.rotations import nearest_rotation

RADIUS = 10
"""Highest frequency that the network sees, cycles per box."""

_ANGLES = 32  # samples of a ring
_WIDTH = 64
_DEPTH = 3
_ANSWERS = 4
_LOG_SHARPNESS = (-3.0, 5.0)
_LOG_SHIFT_SD = (-4.0, 0.5)  # relative to the prior
_LEAST_CHORD = 1e-3


def head_model(model: ForwardModel) -> ForwardModel:
    """Image formation in the smaller box that holds the frequencies of a head."""
    box = min(model.box, 2 * (RADIUS + 2))
    return ForwardModel(box, model.pixel_size_angstrom * model.box / box)


@dataclass(frozen=True)
class PoseAnswers:
    """Posterior of the poses of F frames: K rotations with probabilities, and a shift.

    Attributes:
        matrices: M, near rotations, molecule to camera, ``(F, K, 3, 3)``.
        log_probability: of each answer, ``(F, K)``.
        log_sharpness: logarithm of κ; the density falls as ``exp(−κ |R − M|)``, ``(F, K)``.
        shifts_angstrom: mean displacements, ``(F, 2)``.
        shift_log_sd: logarithm of their standard deviation, Å, ``(F,)``.
    """

    matrices: Tensor
    log_probability: Tensor
    log_sharpness: Tensor
    shifts_angstrom: Tensor
    shift_log_sd: Tensor

    def log_density(self, rotations: Tensor, shifts_angstrom: Tensor) -> Tensor:
        """Log-density of poses ``(F, 3, 3)`` and ``(F, 2)`` up to a constant: ``(F,)``.

        Near M the chord is ``√2 θ``, so the density of rotations has the integral
        ``∝ κ⁻³``.
        """
        chord = (self.matrices - rotations[:, None]).flatten(2).square().sum(-1)
        chord = (chord + _LEAST_CHORD**2).sqrt()
        each = 3 * self.log_sharpness - self.log_sharpness.exp() * chord
        turn = (self.log_probability + each).logsumexp(1)
        residual = (shifts_angstrom - self.shifts_angstrom) / self.shift_log_sd[:, None].exp()
        return turn - 0.5 * residual.square().sum(-1) - 2 * self.shift_log_sd

    def poses(self) -> Poses:
        """The most probable answers, with standard deviations; shifts are from the centre.

        An exponential density of the angle θ with the rate a, in three dimensions, has the standard
        deviation ``2/a`` along each axis.
        """
        best = self.log_probability.argmax(1, keepdim=True)
        rate = math.sqrt(2) * self.log_sharpness.gather(1, best)[:, 0].double().exp()
        return Poses(
            rotations=nearest_rotation(self.matrices[torch.arange(len(best)), best[:, 0]].double()),
            shifts_angstrom=self.shifts_angstrom.double(),
            angle_sd_degrees=torch.rad2deg(2 / rate),
            shift_sd_angstrom=self.shift_log_sd.double().exp(),
        )


class PoseHead(nn.Module):
    """Network from images and their CTF to posteriors of poses.

    Args:
        model: image formation, as of :func:`head_model`.
        slice_power: power of slices at integer radii, noise being 1, ``(R,)``.
        prior_sd_angstrom: prior standard deviation of shifts.
    """

    power: Tensor
    prior_sd_angstrom: Tensor
    to_rings: Tensor

    def __init__(self, model: ForwardModel, slice_power: Tensor, prior_sd_angstrom: float) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("prior_sd_angstrom", torch.tensor(prior_sd_angstrom))
        shells = model.support.shells.clamp(max=len(slice_power) - 1)
        self.register_buffer("power", slice_power[shells].float())
        self.n_rings = min(RADIUS, model.box // 2 - 1)
        rings = polar_samples(model.support, self.n_rings, _ANGLES)
        self.register_buffer("to_rings", rings, persistent=False)
        self.first = RingConvolution(2 * self.n_rings, _WIDTH, _ANGLES)
        self.of_ctf = nn.Linear(self.n_rings, _WIDTH)
        self.norms = nn.ModuleList([nn.GroupNorm(1, _WIDTH) for _ in range(_DEPTH)])
        self.layers = nn.ModuleList(
            [RingConvolution(_WIDTH, _WIDTH, _ANGLES) for _ in range(_DEPTH)]
        )
        scale = _WIDTH**-0.5
        self.turning = nn.Parameter(scale * torch.randn(_WIDTH, 3 * _ANSWERS + 1, 2))
        self.staying = nn.Linear(_WIDTH, 5 * _ANSWERS + 1)

    def forward(self, images: Tensor, ctf: Tensor) -> PoseAnswers:
        """Infer poses from images with unit noise and their CTF, ``(F, P)`` each."""
        steady, turning = self._features(images, ctf)
        k = _ANSWERS
        vectors = (turning @ torch.view_as_complex(self.turning)).conj()  # x + i y in the camera
        rows, shift = vectors[:, : 3 * k].view(-1, k, 3), vectors[:, -1]
        numbers = self.staying(steady)
        view, chance, sharpness = numbers[:, :-1].split([3 * k, k, k], dim=1)
        low, high = _LOG_SHIFT_SD
        return PoseAnswers(
            matrices=torch.stack([rows.real, rows.imag, view.view(-1, k, 3)], dim=2),
            log_probability=chance.log_softmax(1),
            log_sharpness=sharpness.clamp(*_LOG_SHARPNESS),
            shifts_angstrom=self.prior_sd_angstrom * torch.stack([shift.real, shift.imag], dim=-1),
            shift_log_sd=self.prior_sd_angstrom.log() + numbers[:, -1].clamp(low, high),
        )

    @torch.no_grad()
    def begin_with(self, slices: Tensor, images: Tensor, ctf: Tensor) -> None:
        """Make the first layer's channels correlations of images with slices of the molecule.

        Args:
            slices: slices from different directions, ``(≥ W, P)``; W of them are used.
            images: images to scale the channels by: each gets the mean 0 and unit variance.
            ctf: their CTF.
        """
        square = ctf.square()
        expected = (square / (square * self.power + 1)).mean(0) * slices[: len(self.first.bias)]
        rings = self._rings(expected * self.power.sqrt())
        radius = torch.arange(1, self.n_rings + 1).to(rings).repeat(2)  # a ring's area
        kernels = ring_spectrum(radius[:, None] * rings).conj().permute(2, 1, 0)
        self.first.weights.copy_(torch.view_as_real(kernels.contiguous()))
        self.first.bias.zero_()
        found = self.first(self._rings(self._restored(images, ctf)))
        spread = found.std((0, 2)).clamp(min=1e-12)
        self.first.weights.div_(spread[:, None])
        self.first.bias.copy_(-(found.mean((0, 2)) / spread)[:, None])

    def _restored(self, images: Tensor, ctf: Tensor) -> Tensor:
        """Images after a Wiener filter that gives a clear signal unit power at all frequencies."""
        return images * (ctf * self.power.sqrt() / (ctf.square() * self.power + 1))

    def _rings(self, images: Tensor) -> Tensor:
        """Real and imaginary parts on whole rings, ``(F, 2 · rings, A)``."""
        seen = torch.cat([images.real, images.imag], dim=1) @ self.to_rings
        real, imaginary = seen.view(len(images), 2, self.n_rings, -1).unbind(1)
        return torch.cat(  # Friedel: the other half of a ring
            [torch.cat([real, real], dim=-1), torch.cat([imaginary, -imaginary], dim=-1)], dim=1
        )

    def _features(self, images: Tensor, ctf: Tensor) -> tuple[Tensor, Tensor]:
        """Features that stay when an image is turned ``(F, W)``, and complex ones that turn."""
        images, ctf = images[:, : len(self.power)], ctf[:, : len(self.power)]
        rings = self._rings(self._restored(images, ctf))
        signal = ctf.square() * self.power
        told = self.model.support.shell_means(signal / (signal + 1))[:, 1 : self.n_rings + 1]
        features = self.first(rings) + self.of_ctf(told)[..., None]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features = features + layer(torch.relu(norm(features)))
        steady, turning = ring_spectrum(torch.relu(features))[..., :2].unbind(-1)
        return steady.real, turning


class RingConvolution(nn.Module):
    """Circular convolution of channels ``(F, C, A)`` with a kernel as long as the ring.

    Args:
        inputs: channels before.
        outputs: channels after.
        angles: samples A of a ring, even.
    """

    forwards: Tensor
    backwards: Tensor

    def __init__(self, inputs: int, outputs: int, angles: int) -> None:
        super().__init__()
        self.n_orders = angles // 2 + 1
        weights = inputs**-0.5 * torch.randn(self.n_orders, inputs, outputs, 2)
        self.weights = nn.Parameter(weights)
        self.bias = nn.Parameter(torch.zeros(outputs, 1))
        spectrum = ring_spectrum(torch.eye(angles))
        count = torch.full((self.n_orders, 1), 2.0)
        count[[0, -1]] = 1.0
        forwards = torch.cat([spectrum.real, spectrum.imag], dim=1)
        backwards = torch.cat([count, count]) * forwards.T
        self.register_buffer("forwards", forwards, persistent=False)
        self.register_buffer("backwards", backwards, persistent=False)

    def forward(self, channels: Tensor) -> Tensor:
        """Convolve; products of spectra order by order."""
        real, imaginary = (channels @ self.forwards).split(self.n_orders, dim=-1)
        spectrum = torch.complex(real, imaginary).permute(2, 0, 1)
        product = (spectrum @ torch.view_as_complex(self.weights)).permute(1, 2, 0)
        return torch.cat([product.real, product.imag], dim=-1) @ self.backwards + self.bias
