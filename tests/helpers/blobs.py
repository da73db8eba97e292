"""Movies of a few Gaussian blobs, made in memory: what tests of models and training are fed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import Dataset
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations
from temporem.physics.structure_factors import FormFactor, structure_factors

# A body without symmetry, Å, in a box of 64 Å; and the arc that one more blob moves on.
_BODY = torch.tensor(
    [[0, 0, 0], [8, 3, -2], [-7, 8, 3], [-3, -9, 6], [2, 5, 10], [4, -5, -10]], dtype=torch.float64
)
_ARC_RADIUS, _ARC_DEGREES = 16.0, 100.0
_BLOB = FormFactor(torch.tensor([100.0]), torch.tensor([900.0]))  # σ = 3.4 Å
_MOVING_BLOBS = 2  # of the moving blob's weight

# Blobs whose density changes in movies of the linear model.
_MORE = torch.tensor([[14, 0, 0], [10, 8, 0]], dtype=torch.float64)
_LESS = torch.tensor([[-12, 6, 0], [-12, -6, 3]], dtype=torch.float64)


@dataclass(frozen=True)
class BlobMovies:
    """Movies and what is true of them.

    Attributes:
        dataset: the movies, as if read from a file.
        angles: of the moving blob on its arc, radians ``(N,)``.
        noise_variance: per pixel.
    """

    dataset: Dataset
    angles: Tensor
    noise_variance: float

    def volumes(self) -> Tensor:
        """True volume of every frame on ``FourierSupport(box, 3)``: complex64 ``(N, P)``."""
        support = FourierSupport(self.dataset.box, 3)
        return _coefficients(_positions(self.angles), support, self.dataset.pixel_size_angstrom)

    def take(self, rows: Sequence[int] | np.ndarray) -> "BlobMovies":
        """The same movies with their rows in another order."""
        order = np.asarray(rows)
        place = np.argsort(order)
        data = self.dataset
        return BlobMovies(
            replace(
                data,
                images=data.images[order],
                poses=data.poses[order],
                ctf=data.ctf[torch.from_numpy(order)],
                particle_names=[data.particle_names[row] for row in order],
                frame_numbers=data.frame_numbers[order],
                times_seconds=data.times_seconds[order],
                movies=[place[movie] for movie in data.movies],
            ),
            self.angles[order],
            self.noise_variance,
        )


def simulate_blobs(
    lengths: Sequence[int],
    *,
    box: int = 16,
    snr: float = 1.0,
    shift_sd_angstrom: float = 0.0,
    arc_degrees: float = _ARC_DEGREES,
    seed: int = 0,
) -> BlobMovies:
    """Movies of given lengths; in each the blob crosses the arc once, from a random start."""
    generator = torch.Generator().manual_seed(seed)
    pixel = 64 / box
    n, longest = sum(lengths), max(lengths)
    starts = torch.rand(len(lengths), generator=generator, dtype=torch.float64)
    time = torch.cat([torch.arange(m) + s for m, s in zip(lengths, starts, strict=True)])
    angles = np.deg2rad(arc_degrees) * time / longest
    rotations = random_rotations(n, generator)
    shifts = shift_sd_angstrom * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    defocus = 10000 + 5000 * torch.rand(len(lengths), generator=generator, dtype=torch.float64)
    ctf = _ctf(defocus.repeat_interleave(torch.tensor(lengths)))
    model = ForwardModel(box, pixel)
    slices = _coefficients(_positions(angles) @ rotations.mT, model.support, pixel)
    clean = model.support.ifft(model.observe(slices, model.ctf(ctf), model.shift_phase(shifts)))
    variance = float(clean.var()) / snr
    noise = torch.randn(clean.shape, generator=generator)
    ends = np.cumsum(lengths)
    dataset = Dataset(
        path=Path("blobs"),
        images=(clean + variance**0.5 * noise).numpy(),
        pixel_size_angstrom=pixel,
        poses=Poses(rotations, shifts),
        ctf=ctf,
        particle_names=[f"movie{i}" for i, length in enumerate(lengths) for _ in range(length)],
        frame_numbers=np.concatenate([np.arange(length) + 1 for length in lengths]),
        times_seconds=np.full(n, np.nan),
        movies=[np.arange(e - m, e) for e, m in zip(ends, lengths, strict=True)],
    )
    return BlobMovies(dataset, angles, variance)


def amplitude_movies(
    *, movies: int, length: int, memory: float, snr: float, box: int = 16, seed: int = 0
) -> tuple[Dataset, Tensor]:
    """Movies of volumes ``μ + z U``, as the linear model has them, and the true z ``(N,)``.

    U takes density from two blobs and adds it to two others. z is N(0, 1), and its correlation with
    that of the frame before is ``memory``.
    """
    blobs = simulate_blobs([length] * movies, box=box, seed=seed)
    dataset, n = blobs.dataset, movies * length
    generator = torch.Generator().manual_seed(seed + 1)
    z = torch.randn(movies, length, generator=generator, dtype=torch.float64)
    for t in range(1, length):
        z[:, t] = memory * z[:, t - 1] + (1 - memory**2) ** 0.5 * z[:, t]
    z = z.flatten()
    model = ForwardModel(box, dataset.pixel_size_angstrom)

    def slices(positions: Tensor) -> Tensor:
        turned = positions.expand(n, -1, -1) @ dataset.poses.rotations.mT
        return _coefficients(turned, model.support, model.pixel_size_angstrom)

    more, less = slices(_MORE), slices(_LESS)
    mean = slices(_BODY) + more + less
    change = 0.5 * z[:, None] * (more - less)
    clean = model.support.ifft(model.observe(mean + change, model.ctf(dataset.ctf)).cfloat())
    noise = (float(clean.var()) / snr) ** 0.5 * torch.randn(clean.shape, generator=generator)
    return replace(dataset, images=(clean + noise).numpy()), z


def _positions(angles: Tensor) -> Tensor:
    """Blobs ``(N, A, 3)`` Å: the body, then the moving ones."""
    arc = torch.stack([angles.cos(), angles.sin(), 0.3 * angles.sin()], dim=-1)
    moving = (_ARC_RADIUS * arc)[:, None].expand(-1, _MOVING_BLOBS, -1)
    return torch.cat([_BODY.expand(len(angles), -1, -1), moving], dim=1)


def _coefficients(positions: Tensor, support: FourierSupport, pixel: float) -> Tensor:
    element = torch.zeros(positions.shape[-2], dtype=torch.long)
    return structure_factors(positions, element, [_BLOB], support, pixel)


def _ctf(defocus: Tensor) -> CTFParameters:
    one = torch.ones_like(defocus)
    return CTFParameters(defocus, defocus, 0 * one, 300 * one, 2.7 * one, 0.1 * one, 0 * one)
