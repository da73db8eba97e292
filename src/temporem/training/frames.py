"""From the pixels of a dataset to what models are fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.data.dataset import MovieDataset
from temporem.errors import TemporemError
from temporem.models.config import EncoderInput
from temporem.models.evidence import back_projection_evidence, image_evidence
from temporem.models.homogeneous import HomogeneousVolume, reconstruct_homogeneous
from temporem.models.linear_start import SpectralPrior
from temporem.models.movie_blocks import MovieFrames
from temporem.models.vae import FrameBatch
from temporem.models.voxels import VoxelGenerator
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import soft_ball
from temporem.physics.pixel_sample import PixelSample
from temporem.training.config import DataConfig
from temporem.training.intervals import frame_intervals

_BLOCK = 512  # frames transformed at a time
_CHANGE_FRACTION = 0.05  # of the signal's power: what moves is a small part of a molecule
_WINDOW_EDGE = 0.1  # soft edge, in half boxes


@dataclass(frozen=True)
class PreparedFrames:
    """All frames of a dataset in Fourier space, centred, windowed and scaled to unit noise.

    Attributes:
        forward_model: image formation at this box and pixel size.
        images: complex64 ``(N, P)``.
        contrast: CTF, float32 ``(N, P)``.
        rotations: molecule to camera, float32 ``(N, 3, 3)``.
        movies: row indices of every movie, in order of time.
        noise_scale: what images were divided by; volumes are multiplied by it.
        signal_power: strength of signal at integer radii, noise being 1, ``(D/2 + 1,)``.
        contrast_power: mean CTF² at integer radii, ``(D/2 + 1,)``.
        mean_volume: back-projection of the training frames.
        evidence: what the feature extractor sees, float32 ``(N, E)``; E is 0 for methods without.
        intervals: all different times between neighbouring frames, median 1, float64 ``(G,)``.
        interval_index: which of them precedes a frame, ``(N,)``.
    """

    forward_model: ForwardModel
    images: Tensor
    contrast: Tensor
    rotations: Tensor
    movies: list[np.ndarray]
    noise_scale: float
    signal_power: Tensor
    contrast_power: Tensor
    mean_volume: HomogeneousVolume
    evidence: Tensor
    intervals: Tensor
    interval_index: Tensor

    @property
    def change_amplitude(self) -> Tensor:
        """How large a change of conformation is to be expected at integer radii, ``(D/2 + 1,)``.

        The amplitude of the signal, ``√(power / CTF²)``, times the Wiener factor ``s/(1 + s)`` of a
        change that carries a twentieth of the mean volume's signal-to-noise ratio
        ``2 FSC / (1 − FSC)``: at resolutions where the data do not tell changes from noise, the
        generator keeps to the mean.
        """
        fsc = self.mean_volume.half_fsc.clamp(0, 0.999)
        ratio = _CHANGE_FRACTION * 2 * fsc / (1 - fsc)
        wiener = ratio / (1 + ratio)
        amplitude = (self.signal_power / self.contrast_power).sqrt()
        return amplitude * torch.cat([wiener, wiener[-1:]]).clamp(min=1e-3)

    @cached_property
    def pixel_importance(self) -> Tensor:
        """How much a pixel may say about a change of conformation, ``(P,)``: its amplitude there.

        ``a(|k|) √(mean CTF²)``, a being :attr:`change_amplitude`: the gradient of the likelihood by
        what the generator puts out, root mean square over frames, where residuals are noise.
        """
        shells = self.forward_model.support.shells
        amplitude = self.change_amplitude * self.contrast_power.sqrt()
        return amplitude[shells].cpu()

    @property
    def change_power(self) -> Tensor:
        """Prior power of a change of conformation at integer radii, ``(D/2 + 1,)``."""
        return _CHANGE_FRACTION * self.signal_power / self.contrast_power

    @property
    def spectral_prior(self) -> SpectralPrior:
        """What the spectra of the images let expect of the volumes of a linear model."""
        return SpectralPrior(self.signal_power / self.contrast_power, self.change_power)

    @property
    def movie_frames(self) -> MovieFrames:
        """What the linear model is fitted to."""
        return MovieFrames(
            self.forward_model,
            self.images,
            self.contrast,
            self.rotations,
            self.intervals,
            self.interval_index,
        )

    def batch(self, movies: list[np.ndarray]) -> FrameBatch:
        """Frames of some movies (or of single rows given as movies of one frame)."""
        rows = torch.from_numpy(np.concatenate(movies)).to(self.images.device)
        return FrameBatch(
            evidence=self.evidence[rows],
            images=self.images[rows],
            contrast=self.contrast[rows],
            rotations=self.rotations[rows],
            lengths=torch.tensor([len(movie) for movie in movies]),
            pixels=PixelSample.lowest(self.forward_model.support, self.images.shape[1]),
        )


def prepare_frames(
    dataset: MovieDataset,
    config: DataConfig,
    encoder_input: EncoderInput | None,
    training_movies: list[np.ndarray],
    device: torch.device,
) -> PreparedFrames:
    """Centre, window, transform and scale all frames of a dataset; estimate their mean volume.

    The noise is measured in the corners of the images as they come, outside the circle that holds
    the particle; images are scaled so that it has unit variance in every Fourier coefficient.

    Raises:
        TemporemError: the images are constant outside the particle, so noise cannot be measured.
    """
    model = ForwardModel(dataset.box, dataset.pixel_size_angstrom)
    half = dataset.box / 2
    inner = (config.window_radius - _WINDOW_EDGE) * half
    window = soft_ball(dataset.box, 2, inner, _WINDOW_EDGE * half)
    corners = soft_ball(dataset.box, 2, half, 0.0) == 0
    n = dataset.n_frames
    images = torch.empty(n, len(model.support), dtype=torch.complex64)
    corner_moments = torch.zeros(2, dtype=torch.float64)
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        pixels = torch.from_numpy(np.array(dataset.images[rows], dtype=np.float32))
        pixels = -pixels if config.invert else pixels
        outside = pixels[:, corners].double()
        corner_moments += torch.stack([outside.sum(), outside.square().sum()])
        centring = model.shift_phase(-dataset.shifts_angstrom[rows])
        centred = model.support.synthesise(model.support.analyse(pixels) * centring)
        images[rows] = model.support.analyse(centred * window)
    mean, square = (corner_moments / (n * int(corners.sum()))).tolist()
    variance = square - mean**2
    if variance <= 1e-12 * max(square, 1e-30):
        raise TemporemError(
            f"{dataset.path}: images are constant in their corners, so the noise is unknown",
            expected="images that are not masked",
            hint="extract particles without a mask",
        )
    noise_scale = float((variance * window.square().mean().item()) ** 0.5)
    images /= noise_scale
    contrast = model.contrast(dataset.ctf)
    rotations = dataset.rotations.float()
    mean = mean_of_movies(model, images, contrast, rotations, training_movies, config.window_radius)
    return assemble_frames(
        model,
        images,
        contrast,
        rotations,
        dataset.movies,
        frame_intervals(dataset),
        noise_scale,
        mean,
        encoder_input,
        device,
    )


def mean_of_movies(
    model: ForwardModel,
    images: Tensor,
    contrast: Tensor,
    rotations: Tensor,
    movies: list[np.ndarray],
    window_radius: float,
) -> HomogeneousVolume:
    """Back-projection of some movies, every other one in each half set."""
    rows = torch.from_numpy(np.concatenate(movies))
    half = torch.from_numpy(np.repeat(np.arange(len(movies)) % 2, [len(m) for m in movies]))
    blocks = zip(rows.split(_BLOCK), half.split(_BLOCK), strict=True)
    return reconstruct_homogeneous(
        model, ((images[r], contrast[r], rotations[r], h) for r, h in blocks), window_radius
    )


def mean_residuals(
    model: ForwardModel, mean: VoxelGenerator, images: Tensor, contrast: Tensor, rotations: Tensor
) -> Tensor:
    """What the mean volume does not explain of frames, ``y − CTF P μ``: ``(F, P)``."""
    return images - model.observe(mean(model.slice_frequencies(rotations)), contrast)


def assemble_frames(
    model: ForwardModel,
    images: Tensor,
    contrast: Tensor,
    rotations: Tensor,
    movies: list[np.ndarray],
    intervals: tuple[Tensor, Tensor],
    noise_scale: float,
    mean: HomogeneousVolume,
    encoder_input: EncoderInput | None,
    device: torch.device,
) -> PreparedFrames:
    """Complete prepared images with spectra and with what the extractor is to see of them."""
    power, contrast_power = _spectra(model, images, contrast)
    weight = (power / (power + 1))[model.support.shells]
    evidence = images.real.new_zeros(len(images), 0)
    if encoder_input is not None:
        evidence = _evidence(model, images, contrast, rotations, mean, weight, encoder_input)
    return PreparedFrames(
        forward_model=model,
        images=images.to(device),
        contrast=contrast.to(device),
        rotations=rotations.to(device),
        movies=movies,
        noise_scale=noise_scale,
        signal_power=power,
        contrast_power=contrast_power,
        mean_volume=mean,
        evidence=evidence.to(device),
        intervals=intervals[0].to(device),
        interval_index=intervals[1].to(device),
    )


def _evidence(
    model: ForwardModel,
    images: Tensor,
    contrast: Tensor,
    rotations: Tensor,
    mean: HomogeneousVolume,
    weight: Tensor,
    encoder_input: EncoderInput,
) -> Tensor:
    """What the extractor is to see of every frame, of unit variance over all entries: ``(N, E)``.

    Entries that no frame reaches stay zero.
    """
    voxels = VoxelGenerator(model.box)
    voxels.set_volume(mean.volume)
    parts = []
    for rows in torch.arange(len(images)).split(_BLOCK):
        if encoder_input == "image":
            parts.append(image_evidence(images[rows], contrast[rows], weight))
            continue
        residuals = mean_residuals(model, voxels, images[rows], contrast[rows], rotations[rows])
        parts.append(
            back_projection_evidence(model, residuals, contrast[rows], rotations[rows], weight)
        )
    evidence = torch.cat(parts)
    return evidence / evidence.square().mean().sqrt().clamp(min=1e-12)


def _spectra(model: ForwardModel, images: Tensor, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """Signal power above the unit noise, and CTF², at radii 0 … D/2.

    Shells where signal drowns keep a hundredth of the noise, so that nothing is ruled out.
    """
    support = model.support
    power = support.shell_means(images.abs().square().mean(0)) - 1
    # Neighbouring shells are averaged where there is little above the noise to measure.
    smooth = torch.nn.functional.avg_pool1d(power[None], 3, 1, 1, count_include_pad=False)[0]
    power = torch.where(power > 1, power, smooth).clamp(min=0.01)
    squares = support.shell_means(contrast.square().mean(0)).clamp(min=1e-3)
    return tuple(torch.cat([values, values[-1:]]) for values in (power, squares))  # type: ignore[return-value]
