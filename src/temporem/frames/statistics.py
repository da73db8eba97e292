"""Statistics of prepared frames: spectra, mean volume, and priors of volumes that follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.frames.source import FrameSource, blocks_of, one_ahead
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.padded_grid import PADDING, PaddedGrid
from temporem.volumes.back_projection import HomogeneousVolume, back_project

CHANGE_FRACTION = 0.05
"""Assumed share of the signal's power in a conformational change."""


@dataclass(frozen=True)
class SpectralPrior:
    """Expected power of slices at integer radii, in units of the noise.

    Attributes:
        mean: power of the mean volume, ``(R,)``.
        change: power of one component, ``(R,)``.
    """

    mean: Tensor
    change: Tensor

    def precision(self, grid: PaddedGrid, q: int) -> Tensor:
        """``1 / (8 τ²)`` per shell of the grid, ``(n_shells, q + 1)``.

        The padded grid holds every independent coefficient eight times over.
        """
        power = torch.stack([self.mean] + [self.change] * q, dim=1).to(grid.device)
        shells = torch.arange(grid.n_shells, device=grid.device).clamp(max=len(power) - 1)
        return 1 / (PADDING**3 * power[shells])


@dataclass(frozen=True)
class FrameStatistics:
    """Noise, spectra and mean volume of prepared frames.

    Attributes:
        forward_model: image formation at the frames' box and pixel size.
        independent_share: share of an image's Fourier coefficients that counts as independent, see
            :mod:`temporem.frames.streaming`.
        noise_scale: divisor of the images; volumes are multiplied by it to be in image units.
        signal_power: power of the signal at integer radii, noise being 1, ``(D/2 + 1,)``.
        ctf_power: mean CTF² at integer radii, ``(D/2 + 1,)``.
        mean_volume: back-projection of the training frames; zero where poses are not known.
    """

    forward_model: ForwardModel
    independent_share: float
    noise_scale: float
    signal_power: Tensor
    ctf_power: Tensor
    mean_volume: HomogeneousVolume

    @property
    def change_amplitude(self) -> Tensor:
        """Expected amplitude of a change of conformation at integer radii, ``(D/2 + 1,)``.

        It is the amplitude of the signal, ``√(power / CTF²)``, times the Wiener factor
        ``s/(1 + s)`` of a change that carries a twentieth of the mean volume's signal-to-noise
        ratio ``2 FSC / (1 − FSC)`` (Scheres 2012). Where the data cannot tell a change from noise,
        a generator stays close to the mean.
        """
        fsc = self.mean_volume.half_fsc.clamp(0, 0.999)
        ratio = CHANGE_FRACTION * 2 * fsc / (1 - fsc)
        wiener = ratio / (1 + ratio)
        amplitude = (self.signal_power / self.ctf_power).sqrt()
        return amplitude * torch.cat([wiener, wiener[-1:]]).clamp(min=1e-3)

    @cached_property
    def pixel_importance(self) -> Tensor:
        """Root mean square gradient of the likelihood by the generator's output, per pixel.

        ``a(|k|) √(mean CTF²)`` with a the :attr:`change_amplitude`, where residuals are noise:
        ``(P,)``.
        """
        shells = self.forward_model.support.shells
        amplitude = self.change_amplitude * self.ctf_power.sqrt()
        return amplitude[shells].cpu()

    @property
    def spectral_prior(self) -> SpectralPrior:
        """Expected power of the volumes of a linear model."""
        change = CHANGE_FRACTION * self.signal_power / self.ctf_power
        return SpectralPrior(self.signal_power / self.ctf_power, change)

    @property
    def signal_weight(self) -> Tensor:
        """Wiener weight ``s/(1 + s)`` of every image frequency, ``(P,)``."""
        ratio = self.signal_power / (self.signal_power + 1)
        return ratio[self.forward_model.support.shells]

    def cropped(self, model: ForwardModel) -> FrameStatistics:
        """The statistics in a smaller box over the same field of view."""
        box, mean = model.box, self.mean_volume
        return replace(
            self,
            forward_model=model,
            signal_power=self.signal_power[: box // 2 + 1],
            ctf_power=self.ctf_power[: box // 2 + 1],
            mean_volume=HomogeneousVolume(
                resized(mean.volume, box),
                resized(mean.half_volumes, box),
                mean.half_fsc[: box // 2],
            ),
        )


def measure_frames(
    model: ForwardModel,
    source: FrameSource,
    rotations: Tensor | None,
    training: list[np.ndarray],
    *,
    independent_share: float,
    noise_scale: float,
    window_radius: float,
    block_samples: int | None = None,
) -> FrameStatistics:
    """Mean volume of the training movies and spectra of all frames, in one pass.

    Every other training movie goes into each half set of the mean volume.

    Args:
        model: image formation.
        source: the frames, on the CPU.
        rotations: molecule to camera, ``(N, 3, 3)``; None where poses are not known.
        training: rows of the movies that may enter volumes.
        independent_share: share of the coefficients that counts as independent.
        noise_scale: divisor of the images.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        block_samples: Fourier pixels taken at a time; None for a number that bounds memory.
    """
    rows = np.concatenate(training)
    half = np.repeat(np.arange(len(training)) % 2, [len(m) for m in training])
    others = np.setdiff1d(np.arange(len(source)), rows)
    parts = blocks_of(np.concatenate([rows, others]), source.n_pixels, block_samples)
    halves = torch.from_numpy(np.concatenate([half, np.full(len(others), -1)]))
    sums, used = torch.zeros(2, len(model.support), dtype=torch.float64), 0

    def seen() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        nonlocal used
        frames = one_ahead(source.take, parts, in_thread=not source.in_memory)
        own = halves.split([len(part) for part in parts])
        for part, index, (images, ctf) in zip(parts, own, frames, strict=True):
            power = images.real.double().square() + images.imag.double().square()
            sums.add_(torch.stack([power.sum(0), ctf.double().square().sum(0)]))
            used += int(ctf.any(1).sum())
            yield images, ctf, torch.from_numpy(part), index

    if rotations is None:
        deque(seen(), maxlen=0)
        mean = _no_volume(model.box)
    else:
        blocks = ((images, ctf, rotations[rows], index) for images, ctf, rows, index in seen())
        mean = back_project(model, blocks, window_radius)
    power, squares = spectra(model, sums / max(used, 1))
    return FrameStatistics(model, independent_share, noise_scale, power, squares, mean)


def spectra(model: ForwardModel, means: Tensor) -> tuple[Tensor, Tensor]:
    """Signal power above the unit noise, and CTF², at radii 0 … D/2: each ``(D/2 + 1,)``.

    Shells with a drowned signal keep a hundredth of the noise, so that no frequency is excluded.

    Args:
        model: image formation.
        means: means over frames of the images' power and of CTF², ``(2, P)``.
    """
    power, squares = model.support.shell_means(means.float())
    power = power - 1
    # Neighbouring shells are averaged where there is little above the noise to measure.
    smooth = torch.nn.functional.avg_pool1d(power[None], 3, 1, 1, count_include_pad=False)[0]
    power = torch.where(power > 1, power, smooth).clamp(min=0.01)
    squares = squares.clamp(min=1e-3)
    return torch.cat([power, power[-1:]]), torch.cat([squares, squares[-1:]])


def power_of_slices(model: ForwardModel, source: FrameSource, rows: np.ndarray) -> Tensor:
    """Power of slices at integer radii, as what exceeds the noise in some frames tells it."""
    sums, used = torch.zeros(2, len(model.support), dtype=torch.float64), 0
    for part in blocks_of(rows, source.n_pixels):
        images, ctf = source.take(part)
        sums[0] += images.abs().square().sum(0, dtype=torch.float64)
        sums[1] += ctf.square().sum(0, dtype=torch.float64)
        used += int(ctf.any(1).sum())
    power, squares = spectra(model, sums / max(used, 1))
    return power / squares


def _no_volume(box: int) -> HomogeneousVolume:
    return HomogeneousVolume(
        torch.zeros((box,) * 3), torch.zeros(2, box, box, box), torch.ones(box // 2)
    )
