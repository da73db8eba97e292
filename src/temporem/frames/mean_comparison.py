"""One pass that compares every frame with the projection of the mean volume, shell by shell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.source import FrameSource, blocks_of, one_ahead
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.volumes.back_projection import HomogeneousVolume
from temporem.volumes.linear_volumes import LinearVolumes

_LEAST_FSC = 0.3  # of the half sets; frequencies beyond tell nothing of a single frame


@dataclass(frozen=True, eq=False)
class MeanComparison:
    """Sums over the full plane of N frames, R shells of each, float64 ``(N, R)``.

    Attributes:
        image: ``|y|²``.
        cross: ``Re m* y`` with the projection m of the mean volume.
        model: ``|m|²``.
        ctf: ``CTF²``.
        counts: number of coefficients of a shell, ``(R,)``.
        n_telling: number of lowest shells in which half sets of the mean volume agree.
    """

    image: Tensor
    cross: Tensor
    model: Tensor
    ctf: Tensor
    counts: Tensor
    n_telling: int

    @property
    def signal_to_noise(self) -> float:
        """Power of the signal over that of the noise, which is 1 on average, white or not."""
        used = int((self.image.sum(1) > 0).sum())
        return float(self.image.sum() / (max(used, 1) * self.counts.sum())) - 1


def compare_with_mean(
    model: ForwardModel,
    source: FrameSource,
    rotations: Tensor | None,
    training: list[np.ndarray],
    mean: HomogeneousVolume,
    block_samples: int | None = None,
) -> MeanComparison:
    """Compare each half set of movies with the mean volume of the other.

    So no frame is compared with its own noise. Volumes are filtered by the FSC of the half sets.

    Args:
        model: image formation.
        source: the frames, on the CPU.
        rotations: molecule to camera, ``(N, 3, 3)``; None where they are not known, and m is 0.
        training: rows of the movies that are in the mean; every other one is in each half set.
        mean: mean volume with its half sets.
        block_samples: Fourier pixels taken at a time; None for a number that bounds memory.
    """
    n_shells, n_pixels = model.support.n_shells, source.n_pixels
    shells = model.support.shells.clamp(max=n_shells)
    weights = model.support.weights
    half = other_halves(training, len(source))
    volumes = filtered_halves(model, mean)
    found = torch.zeros(4, len(source), n_shells + 1)
    parts = blocks_of(np.arange(len(source)), n_pixels, block_samples)
    frames = one_ahead(source.take, parts, in_thread=not source.in_memory)
    for rows, (images, ctf) in zip(parts, frames, strict=True):
        own = slice(int(rows[0]), int(rows[-1]) + 1)
        terms = {0: images.abs().square(), 3: ctf.square()}
        if rotations is not None:
            both = volumes.slices(model.slice_frequencies(rotations[own]))
            slices = both.gather(2, half[own, None, None].expand(-1, n_pixels, 1))[..., 0]
            expected = model.observe(slices, ctf)
            terms |= {1: (expected.conj() * images).real, 2: expected.abs().square()}
        for k, values in terms.items():
            found[k, own].index_add_(1, shells, values * weights)
    image, cross, power, squares = found[..., :n_shells].double()
    counts = model.support.shell_sums(torch.ones(n_pixels)).double()
    n_telling = telling_shells(mean) if rotations is not None else 0
    return MeanComparison(image, cross, power, squares, counts, n_telling)


def other_halves(training: list[np.ndarray], n_frames: int) -> Tensor:
    """Half set of the mean volume that a frame is not in, int64 ``(N,)``."""
    half = torch.ones(n_frames, dtype=torch.long)
    for i, movie in enumerate(training):
        half[torch.from_numpy(movie)] = 1 - i % 2
    return half


def filtered_halves(model: ForwardModel, mean: HomogeneousVolume) -> LinearVolumes:
    """Half sets of the mean volume, filtered by their FSC."""
    solid = FourierSupport(model.box, 3)
    wiener = mean.half_fsc.clamp(min=0)[solid.shells.clamp(max=len(mean.half_fsc) - 1)]
    volumes = LinearVolumes(model.box, 1)
    volumes.set_maps(solid.ifft(solid.fft(mean.half_volumes) * wiener))
    return volumes


def telling_shells(mean: HomogeneousVolume) -> int:
    """Number of lowest shells in which half sets agree."""
    poor = (mean.half_fsc < _LEAST_FSC).nonzero()
    return int(poor[0]) if len(poor) else len(mean.half_fsc)
