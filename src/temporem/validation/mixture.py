"""A run as a distribution of movies: some of its volumes, and how often one follows another.

The latent of a frame that is inferred from the frame itself follows its noise, the more so the more
flexible the model is. So no latent of a scored frame is inferred here. A run stands for K volumes
``V_k`` at latents that its training frames have, with their shares π and transitions T: a hidden
Markov model (Rabiner 1989). Its likelihood of a movie is a sum over all paths,

``p(X_1 … X_T) = Σ_{k_1 … k_T} π(k_1) p(X_1 | V_k1) Π_t T(k_t | k_{t−1}) p(X_t | V_kt)``,

which no movie can raise by latents of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.physics.fourier import FourierSupport
from temporem.physics.k_means import k_means
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Decodes

_LINE, _SPACE = 32, 128  # anchors of one latent, and of several
_AT_A_TIME = 8  # volumes that are sliced together
_LONGEST_STEP = 16  # median intervals; after more, nothing is left of a state
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class VolumeMixture:
    """K volumes with their shares and transitions.

    Attributes:
        maps: volumes in units of the images' noise, ``(K, D, D, D)``.
        shares: share of the frames, ``(K,)``, sum 1.
        transitions: probability of column l one median interval after row k, ``(K, K)``.
    """

    maps: Tensor
    shares: Tensor
    transitions: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean volume, ``(D, D, D)``."""
        return torch.einsum("k,kzyx->zyx", self.shares.float(), self.maps)

    def movie_log_likelihoods(self, frames: Frames, movies: list[np.ndarray]) -> Tensor:
        """Score movies: their log-likelihoods up to a constant, nats, float64 ``(M,)``.

        The constant is that of the images. Images count as in posteriors of latents: neighbouring
        Fourier coefficients are correlated, and only ``frames.statistics.independent_share`` of
        them counts.
        """
        emissions = self.frame_log_likelihoods(frames, movies)
        powers = _powers(self.transitions)
        found = []
        for movie, own in zip(movies, emissions.split([len(m) for m in movies]), strict=True):
            steps = frames.times[torch.from_numpy(movie)].diff().abs().round().long()
            found.append(_forward(self.shares, powers, own, steps.clamp(1, _LONGEST_STEP)))
        return torch.stack(found)

    def frame_log_likelihoods(self, frames: Frames, movies: list[np.ndarray]) -> Tensor:
        """Score every frame, movie after movie, with each volume: float64 ``(F, K)``."""
        model, share = frames.forward_model, frames.statistics.independent_share
        columns = []
        for maps in self.maps.split(_AT_A_TIME):
            volumes = LinearVolumes(model.box, len(maps) - 1)
            volumes.set_maps(maps)
            volumes.to(frames.device)
            parts = []
            for block in frames.blocks(movies):
                slices = volumes.slices(model.slice_frequencies(block.rotations)).movedim(-1, 0)
                observed = model.observe(slices, block.ctf)
                parts.append(model.log_likelihood(observed, block.images, 1.0).T.double().cpu())
            columns.append(torch.cat(parts))
        return share * torch.cat(columns, dim=1)


def mixture_of(
    generator: Decodes, latents: Tensor, frames: Frames, most: int | None = None
) -> VolumeMixture:
    """Make the mixture of a run from the latents of its training frames.

    Args:
        generator: the run's model of volumes.
        latents: posterior means of all N frames, ``(N, q)``; those of other frames are not read.
        frames: the frames, of which ``frames.training`` were trained on.
        most: largest number of volumes; 32 of one latent and 128 of several when None.
    """
    rows = torch.from_numpy(np.concatenate(frames.training))
    latents = latents.cpu().double()
    seen = latents[rows]
    anchors, label = _anchors(seen, most)
    support = FourierSupport(frames.forward_model.box, 3)
    maps = torch.cat(
        [
            support.ifft(generator.volumes(support, some).cpu())
            for some in anchors.float().split(_AT_A_TIME)
        ]
    )
    shares = torch.bincount(label, minlength=len(anchors)).double() / len(label)
    return VolumeMixture(maps, shares, _transitions(latents, anchors, shares, frames))


def one_volume(volume: Tensor) -> VolumeMixture:
    """Make the mixture of a single volume ``(D, D, D)``."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return VolumeMixture(volume[None], one[0], one)


def _forward(shares: Tensor, powers: Tensor, own: Tensor, steps: Tensor) -> Tensor:
    """The forward algorithm: log-likelihood of a movie from those of its frames ``(T, K)``."""
    state, total = shares, own.new_zeros(())
    for t, emission in enumerate(own):
        if t > 0:
            state = state @ powers[steps[t - 1]]
        most = emission.max()
        state = state * (emission - most).exp()
        sum_ = state.sum()
        total = total + most + sum_.log()
        state = state / sum_
    return total


def _anchors(latents: Tensor, most: int | None) -> tuple[Tensor, Tensor]:
    """Choose latents that stand for all ``(n, q)``, and the anchor of each."""
    n, q = latents.shape
    if q == 0 or latents.std(0).max() < _LEAST_SPREAD:
        return latents[:1], torch.zeros(n, dtype=torch.long)
    most = most or (_LINE if q == 1 else _SPACE)
    found = k_means(latents.numpy(), min(most, max(1, n // 4)), starts=2)
    return torch.from_numpy(found.centres), torch.from_numpy(found.label)


def _transitions(latents: Tensor, anchors: Tensor, shares: Tensor, frames: Frames) -> Tensor:
    """Probabilities of anchors one median interval after others, by a Gaussian process.

    A frame's latents are ``z' = m + A (z − m) + w``, and the ratio ``p(z' | z) / p(z')`` tells how
    much likelier z' is after z. It multiplies the shares, so that a process without memory has the
    shares alone.
    """
    k, q = anchors.shape
    if k == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    pairs = [(movie[:-1], movie[1:]) for movie in frames.training if len(movie) > 1]
    if not pairs:
        return shares.expand(k, k)
    first, second = (torch.from_numpy(np.concatenate(rows)) for rows in zip(*pairs, strict=True))
    near = (frames.times[second] - frames.times[first]).abs() < 1.5
    rows = torch.from_numpy(np.concatenate(frames.training))
    mean = latents[rows].mean(0)
    before, after = latents[first[near]] - mean, latents[second[near]] - mean
    if len(before) <= q:
        return shares.expand(k, k)
    floor = _LEAST_SPREAD * torch.eye(q, dtype=torch.float64)
    marginal = (latents[rows] - mean).T.cov().reshape(q, q) + floor
    matrix = torch.linalg.solve(before.T @ before + floor, before.T @ after).T
    rest = after - before @ matrix.T
    noise = rest.T @ rest / len(rest) + floor
    centred = anchors - mean
    conditional = torch.distributions.MultivariateNormal(
        (centred @ matrix.T)[:, None], noise, validate_args=False
    ).log_prob(centred)
    alone = torch.distributions.MultivariateNormal(
        torch.zeros(q, dtype=torch.float64), marginal, validate_args=False
    ).log_prob(centred)
    return (conditional - alone + shares.log()).softmax(1)


def _powers(transitions: Tensor) -> Tensor:
    """Transitions after 0, 1, … intervals, ``(n, K, K)``."""
    powers = [torch.eye(len(transitions), dtype=transitions.dtype)]
    for _ in range(_LONGEST_STEP):
        powers.append(powers[-1] @ transitions)
    return torch.stack(powers)
