"""From the pixels of a dataset to what models are fitted to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from temporem.dvae.config import EncoderInputKind
from temporem.dvae.encoder_input import EncoderInput, encoder_input_size
from temporem.dvae.model import FrameBatch
from temporem.frames.dataset import Dataset
from temporem.frames.frame_stack import open_frames
from temporem.frames.intervals import frame_intervals
from temporem.frames.movie_blocks import MovieFrames
from temporem.frames.source import (
    FrameSource,
    LowestFrequencies,
    blocks_of,
    loaded,
    one_ahead,
)
from temporem.linear.cross_fit import SpectralPrior
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import resized
from temporem.physics.pixel_sample import PixelSample
from temporem.runs.config import DataConfig
from temporem.volumes.back_projection import HomogeneousVolume, reconstruct_homogeneous

CHANGE_FRACTION = 0.05
"""Of the signal's power: what moves is a small part of a molecule."""


@dataclass(frozen=True)
class PreparedFrames:
    """Frames of a dataset in Fourier space, centred, windowed and scaled to unit noise.

    Attributes:
        forward_model: image formation at this box and pixel size.
        source: images and CTF of the N frames, in memory or prepared when they are asked for.
        rotations: molecule to camera, float32 ``(N, 3, 3)``.
        movies: row indices of every movie, in order of time.
        noise_scale: what images were divided by; volumes are multiplied by it.
        signal_power: strength of signal at integer radii, noise being 1, ``(D/2 + 1,)``.
        contrast_power: mean CTF² at integer radii, ``(D/2 + 1,)``.
        mean_volume: back-projection of the training frames.
        evidence: what the feature extractor sees, float32 ``(N, E)``, or the function of frames
            that gives it; E is 0 for methods without.
        moving_poses: poses are learned and evidence depends on them: batches come without it, and
            :meth:`seen` gives it.
        intervals: all different times between neighbouring frames, median 1, float64 ``(G,)``.
        interval_index: which of them precedes a frame, ``(N,)``.
    """

    forward_model: ForwardModel
    source: FrameSource
    rotations: Tensor
    movies: list[np.ndarray]
    noise_scale: float
    signal_power: Tensor
    ctf_power: Tensor
    mean_volume: HomogeneousVolume
    encoder_input: Tensor | EncoderInput
    moving_poses: bool
    intervals: Tensor
    interval_index: Tensor

    def __len__(self) -> int:
        return len(self.source)

    @property
    def device(self) -> torch.device:
        return self.source.device

    @property
    def n_inputs(self) -> int:
        """Numbers E that the feature extractor sees of a frame."""
        return (
            self.encoder_input.size
            if isinstance(self.encoder_input, EncoderInput)
            else self.encoder_input.shape[1]
        )

    @property
    def change_amplitude(self) -> Tensor:
        """How large a change of conformation is to be expected at integer radii, ``(D/2 + 1,)``.

        The amplitude of the signal, ``√(power / CTF²)``, times the Wiener factor ``s/(1 + s)`` of a
        change that carries a twentieth of the mean volume's signal-to-noise ratio
        ``2 FSC / (1 − FSC)``: at resolutions where the data do not tell changes from noise, the
        generator keeps to the mean.
        """
        fsc = self.mean_volume.half_fsc.clamp(0, 0.999)
        ratio = CHANGE_FRACTION * 2 * fsc / (1 - fsc)
        wiener = ratio / (1 + ratio)
        amplitude = (self.signal_power / self.ctf_power).sqrt()
        return amplitude * torch.cat([wiener, wiener[-1:]]).clamp(min=1e-3)

    @cached_property
    def pixel_importance(self) -> Tensor:
        """How much a pixel may say about a change of conformation, ``(P,)``: its amplitude there.

        ``a(|k|) √(mean CTF²)``, a being :attr:`change_amplitude`: the gradient of the likelihood by
        what the generator puts out, root mean square over frames, where residuals are noise.
        """
        shells = self.forward_model.support.shells
        amplitude = self.change_amplitude * self.ctf_power.sqrt()
        return amplitude[shells].cpu()

    @property
    def change_power(self) -> Tensor:
        """Prior power of a change of conformation at integer radii, ``(D/2 + 1,)``."""
        return CHANGE_FRACTION * self.signal_power / self.ctf_power

    @property
    def spectral_prior(self) -> SpectralPrior:
        """What the spectra of the images let expect of the volumes of a linear model."""
        return SpectralPrior(self.signal_power / self.ctf_power, self.change_power)

    @property
    def movie_frames(self) -> MovieFrames:
        """What the linear model is fitted to."""
        return MovieFrames(
            self.forward_model,
            self.source,
            self.rotations,
            self.intervals,
            self.interval_index,
        )

    def cropped(self, box: int, memory_gb: float) -> PreparedFrames:
        """The same in a box of fewer pixels over the same field of view, for linear models.

        Images keep the frequencies below its Nyquist, with the noise that they have. Those that
        fit into ``memory_gb`` GiB are kept there; boxes that are not larger are left alone.
        """
        before = self.forward_model
        if box >= before.box:
            return self
        model = ForwardModel(box, before.pixel_size_angstrom * before.box / box)
        mean = self.mean_volume
        low = LowestFrequencies(self.source, len(model.support))
        fits = prepared_bytes(model, len(self), None) <= memory_gb * 2**30
        return replace(
            self,
            forward_model=model,
            source=loaded(low) if fits and not low.in_memory else low,
            signal_power=self.signal_power[: box // 2 + 1],
            ctf_power=self.ctf_power[: box // 2 + 1],
            mean_volume=HomogeneousVolume(
                resized(mean.volume, box),
                resized(mean.half_volumes, box),
                mean.half_fsc[: box // 2],
            ),
        )

    def batch(self, movies: list[np.ndarray], n_pixels: int | None = None) -> FrameBatch:
        """Frames of some movies (or of single rows given as movies of one frame).

        Args:
            movies: rows in order of time.
            n_pixels: only so many image frequencies, the lowest ones.
        """
        rows = np.concatenate(movies)
        index = torch.from_numpy(rows).to(self.device, non_blocking=True)
        rotations = self.rotations[index]
        if isinstance(self.encoder_input, EncoderInput):
            most = None if n_pixels is None else max(n_pixels, self.encoder_input.n_pixels)
            images, ctf = self.source.take(rows, most)
            encoder_input = images.real[:, :0]
            if self.moving_poses:
                n_pixels = most
            else:
                encoder_input = self.encoder_input(images, ctf, rotations)
        else:
            images, ctf = self.source.take(rows, n_pixels)
            encoder_input = self.encoder_input[index]
        images, ctf = images[:, :n_pixels], ctf[:, :n_pixels]
        return FrameBatch(
            encoder_input=encoder_input,
            images=images,
            ctf=ctf,
            rotations=rotations,
            lengths=torch.tensor([len(movie) for movie in movies]),
            pixels=PixelSample.lowest(self.forward_model.support, images.shape[1]),
            rows=index,
        )

    def seen(self, batch: FrameBatch, rotations: Tensor, shifts_angstrom: Tensor) -> FrameBatch:
        """A batch, as it came, with the evidence that there is in some poses of its frames.

        Args:
            batch: with the lowest frequencies, as many as evidence needs or more.
            rotations: molecule to camera, ``(F, 3, 3)``.
            shifts_angstrom: where the particles are in the images, ``(F, 2)``.
        """
        if not (self.moving_poses and isinstance(self.encoder_input, EncoderInput)):
            return batch
        low = slice(0, self.encoder_input.n_pixels)
        centring = self.forward_model.shift_phase(-shifts_angstrom, low)
        images = batch.images[:, low] * centring
        return replace(batch, encoder_input=self.encoder_input(images, batch.ctf, rotations))

    def batches(
        self, groups: Iterable[list[np.ndarray]], n_pixels: int | None = None
    ) -> Iterator[FrameBatch]:
        """A batch of every group of movies, prepared while the one before it is used."""
        return one_ahead(
            lambda movies: self.batch(movies, n_pixels),
            groups,
            in_thread=not self.source.in_memory,
        )


def prepare_frames(
    dataset: Dataset,
    config: DataConfig,
    encoder_input_kind: EncoderInputKind | None,
    training_movies: list[np.ndarray],
    device: torch.device,
    *,
    posed: bool = True,
    moving_poses: bool = False,
) -> PreparedFrames:
    """Centre, window, transform and scale frames of a dataset; estimate their mean volume.

    Frames of up to ``config.memory_gb`` are prepared once and kept on the device. More are
    prepared from the dataset's pixels whenever they are asked for; nothing else depends on this.
    Without poses (``posed``) the mean volume is empty, and changes are as large as the signal.
    With ``moving_poses`` evidence is not prepared, as poses will change.

    Raises:
        TemporemError: the images are constant outside the particle, so noise cannot be measured.
    """
    stack = open_frames(dataset, config)
    model = stack.forward_model
    in_memory = prepared_bytes(model, len(stack), encoder_input_kind) <= config.memory_gb * 2**30
    source = loaded(stack) if in_memory else stack
    rotations = dataset.rotations.float()
    mean, power, ctf_power = _statistics(
        model, source, rotations if posed else None, training_movies, config.window_radius
    )
    encoder_input: Tensor | EncoderInput = torch.zeros(len(stack), 0)
    if encoder_input_kind is not None:
        weight = (power / (power + 1))[model.support.shells]
        function = EncoderInput.of_mean(model, encoder_input_kind, mean.volume, weight)
        encoder_input = _scaled(
            function, source, rotations, keep=source.in_memory and not moving_poses
        )
    intervals, interval_index = frame_intervals(dataset)
    return PreparedFrames(
        forward_model=model,
        source=source.to(device),
        rotations=rotations.to(device),
        movies=dataset.movies,
        noise_scale=stack.noise_scale,
        signal_power=power,
        ctf_power=ctf_power,
        mean_volume=mean,
        encoder_input=encoder_input.to(device),
        moving_poses=moving_poses,
        intervals=intervals,
        interval_index=interval_index,
    )


def prepared_bytes(
    model: ForwardModel, n_frames: int, encoder_input: EncoderInputKind | None
) -> int:
    """Memory of images, CTF and evidence of frames."""
    n_inputs = 0 if encoder_input is None else encoder_input_size(model, encoder_input)
    return n_frames * (12 * len(model.support) + 4 * n_inputs)


def _statistics(
    model: ForwardModel,
    source: FrameSource,
    rotations: Tensor | None,
    training_movies: list[np.ndarray],
    window_radius: float,
) -> tuple[HomogeneousVolume, Tensor, Tensor]:
    """Mean volume of the training movies and spectra of all frames, in one pass.

    Every other training movie is in each half set of the mean, which is empty where there are no
    rotations. Spectra are as of :func:`spectra`.
    """
    rows = np.concatenate(training_movies)
    half = np.repeat(np.arange(len(training_movies)) % 2, [len(m) for m in training_movies])
    others = np.setdiff1d(np.arange(len(source)), rows)
    parts = blocks_of(np.concatenate([rows, others]), source.n_pixels)
    halves = torch.from_numpy(np.concatenate([half, np.full(len(others), -1)]))
    sums = torch.zeros(2, len(model.support), dtype=torch.float64)

    def seen() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        frames = one_ahead(source.take, parts, in_thread=not source.in_memory)
        own = halves.split([len(part) for part in parts])
        for part, index, (images, ctf) in zip(parts, own, frames, strict=True):
            power = images.real.double().square() + images.imag.double().square()
            sums.add_(torch.stack([power.sum(0), ctf.double().square().sum(0)]))
            yield images, ctf, torch.from_numpy(part), index

    if rotations is None:
        deque(seen(), maxlen=0)
        mean = _no_volume(model.box)
    else:
        blocks = ((images, ctf, rotations[rows], index) for images, ctf, rows, index in seen())
        mean = reconstruct_homogeneous(model, blocks, window_radius)
    return mean, *spectra(model, sums / len(source))


def _no_volume(box: int) -> HomogeneousVolume:
    return HomogeneousVolume(
        torch.zeros((box,) * 3), torch.zeros(2, box, box, box), torch.ones(box // 2)
    )


def spectra(model: ForwardModel, means: Tensor) -> tuple[Tensor, Tensor]:
    """Signal power above the unit noise, and CTF², at radii 0 … D/2: each ``(D/2 + 1,)``.

    Shells where signal drowns keep a hundredth of the noise, so that nothing is ruled out.

    Args:
        model: image formation.
        means: over frames, of the images' power and of CTF², ``(2, P)``.
    """
    power, squares = model.support.shell_means(means.float())
    power = power - 1
    # Neighbouring shells are averaged where there is little above the noise to measure.
    smooth = torch.nn.functional.avg_pool1d(power[None], 3, 1, 1, count_include_pad=False)[0]
    power = torch.where(power > 1, power, smooth).clamp(min=0.01)
    squares = squares.clamp(min=1e-3)
    return torch.cat([power, power[-1:]]), torch.cat([squares, squares[-1:]])


def _scaled(
    encoder_input: EncoderInput, source: FrameSource, rotations: Tensor, *, keep: bool
) -> Tensor | EncoderInput:
    """Evidence of unit variance over all entries and frames: as numbers to ``keep``, or a function.

    Entries that no frame reaches stay zero.
    """
    parts = blocks_of(np.arange(len(source)), source.n_pixels)
    kept = torch.empty(len(source) * keep, encoder_input.size)
    total = 0.0

    def of_rows(rows: np.ndarray) -> Tensor:
        return encoder_input(
            *source.take(rows, encoder_input.n_pixels), rotations[torch.from_numpy(rows)]
        )

    for rows, values in zip(
        parts, one_ahead(of_rows, parts, in_thread=not source.in_memory), strict=True
    ):
        total += values.double().square().sum().item()
        if keep:
            kept[rows] = values
    scale = max((total / (len(source) * encoder_input.size)) ** 0.5, 1e-12)
    return kept.div_(scale) if keep else replace(encoder_input, scale=scale)
