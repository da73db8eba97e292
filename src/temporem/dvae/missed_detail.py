"""Detail that the Gaussians of a trained cloud miss, found in what they leave of the images.

A cloud has too few Gaussians for all of a large molecule, and shapes that they cannot take. What it
misses is linear in the images: what is left of them is back-projected in the poses of every rigid
body, and a Wiener filter keeps what half sets of the movies agree on.

The cloud has fitted a part a of the noise n of all images, too. So what is left, R, is the missed
density S and the noise (1 − a) n, while the cloud lacks S − a n. The best linear estimate of that
is ``(1 − (1 − a) N / |R|²) R`` with N the power of n. Half sets of correlation F tell
``|R|² / N = (1 + F) / (1 − F)``. Where nothing is missed that is (1 − a)²: half sets seem to
contradict one another, which tells a. Where something is missed as well, a is estimated too low,
and too little is added rather than too much.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from temporem.dvae.model import MovieVAE
from temporem.frames.frames import Frames
from temporem.physics.fourier import FourierSupport
from temporem.physics.gaussian_sums import gaussian_sums
from temporem.physics.masks import soft_mask
from temporem.physics.padded_grid import full_grid
from temporem.volumes.back_projection import BackProjection, HalfSets
from temporem.volumes.body_maps import BodyMaps, in_body
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.cloud_motion import bodies_along
from temporem.volumes.moving_cloud import MovingCloud

LEAST_MOVIES = 4
"""Movies below which there are no half sets, and nothing is added."""

LEAST_AGREEMENT = 0.05
"""Correlation of half sets, in some shell of a body, below which nothing is added."""

_STATES = 20  # of the path along which bodies are found
_MASK_SD = 1.5  # voxels; Gaussians of a body are at least as wide in its mask
_DENSE = 0.1  # of the density that a tenth of the molecule exceeds: above is molecule
_MARGIN, _EDGE = 1.0, 2.0  # of the masks, voxels
_SHELLS = (1.0, 2.0, 3.0, 2.0, 1.0)  # weights of neighbouring shells in the correlation of one


@torch.no_grad()
def find_missed_detail(model: MovieVAE, frames: Frames, z: Tensor) -> bool:
    """Find what a cloud misses in the training movies, and keep it in the cloud's generator.

    Args:
        model: a trained model.
        frames: N frames.
        z: their latents, ``(N, q)``.

    Returns:
        True if something was added.
    """
    generator, movies = model.generator, frames.training
    if not isinstance(generator, CloudVolumes) or len(movies) < LEAST_MOVIES:
        return False
    cloud, missed = generator.cloud, generator.missed
    missed.set_maps(missed.maps[:0])
    rows = torch.from_numpy(np.concatenate(movies)).to(z.device)
    _, path, bodies = bodies_along(cloud, z[rows], _STATES)
    missed.set_bodies(bodies, path[bodies.reference])
    masks = _masks(cloud, missed)
    halves = [_back_projected(model, frames, movies[half::2], z, len(masks)) for half in (0, 1)]
    maps, agreement = [], 0.0
    for one, other, mask in zip(*halves, masks, strict=True):
        fsc = _smoothed(HalfSets.of(one, other, mask).fsc)
        agreement = max(agreement, float(fsc.max()))
        maps.append((one + other).solve(missed_to_noise(fsc)) * mask)
    if agreement <= LEAST_AGREEMENT:
        return False
    missed.set_maps(torch.stack(maps))
    return True


def missed_to_noise(fsc: Tensor) -> Tensor:
    """Ratio of signal to noise with which what is left is to be filtered, ``(D/2,)``.

    ``|R|² / N / (1 − a) − 1``, see above.

    Args:
        fsc: correlation of half sets of what a cloud leaves of the images, ``(D/2,)``.
    """
    power = (1 + fsc) / (1 - fsc.clamp(max=0.999))
    taken = 1 - power.sqrt()
    contradict, counts = taken > 0, _counts(fsc)
    part = (taken * counts)[contradict].sum() / counts[contradict].sum().clamp(min=1)
    return (power / (1 - part) - 1).clamp(min=0)


def _masks(cloud: MovingCloud, missed: BodyMaps) -> Tensor:
    """Make soft masks of the bodies in the reference state, at most 1 in sum: ``(K, D, D, D)``."""
    support, sd = FourierSupport(missed.box, 3), cloud.sd.clamp(min=_MASK_SD)
    bodies = [missed.labels == body for body in range(int(missed.labels.max()) + 1)]
    coefficients = torch.stack(
        [gaussian_sums(missed.reference[its], cloud.weights[its], sd, support) for its in bodies]
    )
    density = support.ifft(coefficients.cpu()).numpy()
    total = density.sum(0)
    dense = _DENSE * np.quantile(total[total > 1e-3 * total.max()], 0.9)
    regions = [own >= min(dense, own.max()) for own in density]
    masks = torch.stack([soft_mask(region, _MARGIN, _EDGE) for region in regions])
    return masks / masks.sum(0).clamp(min=1)


def _back_projected(
    model: MovieVAE, frames: Frames, movies: list[np.ndarray], z: Tensor, n_bodies: int
) -> list[BackProjection]:
    """Back-project what is left of some movies, in the poses of every body."""
    generator, formation = model.generator, frames.forward_model
    assert isinstance(generator, CloudVolumes)
    grid = full_grid(generator.box, torch.device("cpu"))
    sums = [BackProjection(grid) for _ in range(n_bodies)]
    for batch in frames.blocks(movies):
        latents, pixels = z[batch.rows.to(z.device)], batch.pixels.index
        rotations, shifts = model.mean_poses(batch)
        slices = generator.frame_slices(formation, rotations, pixels, latents)
        left = batch.images
        if shifts is not None:
            left = left * formation.shift_phase(shifts, pixels).conj()
        left = left - slices * batch.ctf
        frequencies = formation.slice_frequencies(rotations, pixels)
        motions = generator.missed.motions(generator.cloud.positions(latents))
        for body, its in enumerate(sums):
            phase, turned = in_body(generator.box, frequencies, motions[:, body])
            its.add((left * phase).cpu(), batch.ctf.cpu(), turned.cpu())
    frames.processes.add(*(its.sums for its in sums))
    return sums


def _smoothed(fsc: Tensor) -> Tensor:
    """Average a correlation ``(D/2,)`` over neighbouring shells, by their numbers of coefficients.

    Shell 0 tells nothing.
    """
    kernel, counts = torch.tensor(_SHELLS).to(fsc)[None, None], _counts(fsc)
    sums = torch.stack([fsc * counts, counts])[:, None]
    above, below = functional.conv1d(sums, kernel, padding=len(_SHELLS) // 2)[:, 0]
    return above / below.clamp(min=1)


def _counts(fsc: Tensor) -> Tensor:
    """Numbers of coefficients of shells, relative to that of shell 1."""
    return torch.arange(len(fsc)).to(fsc).square()
