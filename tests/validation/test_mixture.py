"""The likelihood of unseen movies: right, and not to be had by overfitting."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.dynamics import Dynamics
from temporem.physics.fourier import FourierSupport
from temporem.validation.linear_chain import LinearChain
from temporem.validation.mixture import VolumeMixture, mixture_of, one_volume
from temporem.volumes.linear_volumes import LinearVolumes

CPU = torch.device("cpu")


def prepared(blobs: BlobMovies, n_training: int) -> Frames:
    movies = blobs.dataset.movies
    return prepare_frames(blobs.dataset, DataSettings(), movies[:n_training], CPU)


def true_maps(blobs: BlobMovies, frames: Frames, angles: Tensor) -> Tensor:
    """True volumes at some angles, in units of the noise."""
    nearest = [int((blobs.angles - angle).abs().argmin()) for angle in angles]
    volumes = FourierSupport(blobs.dataset.box, 3).ifft(blobs.volumes()[nearest])
    return volumes / frames.statistics.noise_scale


@pytest.fixture(scope="module")
def blobs() -> BlobMovies:
    return simulate_blobs([6] * 30, snr=0.3)


def test_the_likelihood_of_a_movie_is_the_sum_over_all_paths(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    maps = true_maps(blobs, frames, torch.tensor([0.2, 0.8, 1.4]))
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    steps = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]], dtype=torch.float64)
    mixture = VolumeMixture(maps, shares, steps)
    movie = frames.held_out[0][:4]
    found = mixture.movie_log_likelihoods(frames, [movie])[0]
    of_frames = mixture.frame_log_likelihoods(frames, [movie])
    paths = []
    for path in product(range(3), repeat=len(movie)):
        total = shares[path[0]].log() + sum(of_frames[t, k] for t, k in enumerate(path))
        paths.append(total + sum(steps[a, b].log() for a, b in pairwise(path)))
    assert found == pytest.approx(torch.stack(paths).logsumexp(0))


def test_a_frame_has_the_likelihood_of_the_forward_model(blobs: BlobMovies) -> None:
    """Subtracting the true volume leaves noise of unit variance."""
    frames = prepared(blobs, 20)
    rows = np.concatenate(frames.held_out)
    mixture = VolumeMixture(true_maps(blobs, frames, blobs.angles[rows]), *_uniform(60))
    found = mixture.frame_log_likelihoods(frames, frames.held_out).diagonal()
    pixels = float(frames.forward_model.support.weights.sum())
    expected = -0.5 * frames.statistics.independent_share * pixels
    assert found.mean() == pytest.approx(expected, rel=0.1)


def test_a_linear_model_without_motion_is_one_volume(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    maps = true_maps(blobs, frames, torch.tensor([0.5]))
    volumes = LinearVolumes(blobs.dataset.box, 2)
    volumes.set_mean(maps[0])
    chain = LinearChain(volumes, Dynamics.initial(2, temporal=True))
    found = chain.movie_log_likelihoods(frames, frames.held_out)
    alone = one_volume(maps[0]).movie_log_likelihoods(frames, frames.held_out)
    assert torch.allclose(found, alone, rtol=1e-6)


def test_many_volumes_of_a_linear_model_come_near_its_exact_likelihood(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    ends = true_maps(blobs, frames, torch.tensor([0.1, 1.9]))
    volumes = LinearVolumes(blobs.dataset.box, 1)
    volumes.set_maps(torch.stack([ends.mean(0), (ends[1] - ends[0]) / 2]))
    dynamics = Dynamics.initial(1, temporal=False)
    exact = LinearChain(volumes, dynamics).movie_log_likelihoods(frames, frames.held_out)
    z = torch.randn(len(frames), 1, generator=torch.Generator().manual_seed(0))
    found = mixture_of(volumes, z, frames).movie_log_likelihoods(frames, frames.held_out)
    assert found.sum() / 60 == pytest.approx(float(exact.sum() / 60), abs=0.2)


def test_the_true_volumes_are_likelier_than_their_mean_and_than_others(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    held_out = frames.held_out
    angles = torch.linspace(float(blobs.angles.min()), float(blobs.angles.max()), 8)
    maps = true_maps(blobs, frames, angles)
    right = VolumeMixture(maps, *_uniform(8))
    turned = VolumeMixture(maps.flip(1), *_uniform(8))
    found = [x.movie_log_likelihoods(frames, held_out).sum() for x in (right, turned)]
    mean = one_volume(right.mean).movie_log_likelihoods(frames, held_out).sum()
    assert found[0] > mean + 60
    assert found[1] < mean


def test_a_model_that_knows_its_training_frames_by_heart_gains_nothing(blobs: BlobMovies) -> None:
    """Back-projected noise of single frames fits these frames, and no movie that is not seen."""
    frames = prepared(blobs, 20)
    mean = true_maps(blobs, frames, blobs.angles[:1])[0]
    noise = torch.randn(32, *mean.shape, generator=torch.Generator().manual_seed(1))
    overfit = VolumeMixture(mean + 0.3 * mean.std() * noise, *_uniform(32))
    found = overfit.movie_log_likelihoods(frames, frames.held_out).sum()
    assert found < one_volume(mean).movie_log_likelihoods(frames, frames.held_out).sum()


def test_only_latents_of_training_frames_matter(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    volumes = LinearVolumes(blobs.dataset.box, 1)
    volumes.set_maps(true_maps(blobs, frames, torch.tensor([0.1, 1.9])))
    z = blobs.angles.float()[:, None].clone()
    before = mixture_of(volumes, z, frames)
    z[np.concatenate(frames.held_out)] = 1e3
    after = mixture_of(volumes, z, frames)
    assert before.maps.equal(after.maps)
    assert before.transitions.equal(after.transitions)


def test_transitions_keep_the_order_of_a_path_and_add_up_to_one(blobs: BlobMovies) -> None:
    frames = prepared(blobs, 20)
    volumes = LinearVolumes(blobs.dataset.box, 1)
    volumes.set_maps(true_maps(blobs, frames, torch.tensor([0.1, 1.9])))
    smooth = mixture_of(volumes, blobs.angles.float()[:, None], frames)
    assert smooth.transitions.sum(1) == pytest.approx(np.ones(len(smooth.shares)))
    assert smooth.transitions.diagonal().mean() > 2 / len(smooth.shares)
    random = torch.randn(len(frames), 1, generator=torch.Generator().manual_seed(2))
    memoryless = mixture_of(volumes, random, frames)
    off = (memoryless.transitions - memoryless.shares).abs().sum(1).mean()
    assert off < (smooth.transitions - smooth.shares).abs().sum(1).mean() / 2


def _uniform(k: int) -> tuple[Tensor, Tensor]:
    shares = torch.full((k,), 1 / k, dtype=torch.float64)
    return shares, shares.expand(k, k)
