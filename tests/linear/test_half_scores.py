"""What models of half of the movies predict of the other half."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.blobs import amplitude_movies
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.dynamics import Dynamics
from temporem.linear.half_scores import HalfScores, UnseenMovies, score_halves


def frames_of(memory: float) -> Frames:
    data, _ = amplitude_movies(movies=16, length=6, memory=memory, snr=1.0)
    return prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))


@pytest.fixture(scope="module")
def scores() -> HalfScores:
    return score_halves(frames_of(0.9), 1, window_radius=0.9)


def unseen(information: torch.Tensor, score: torch.Tensor, *, temporal: bool) -> UnseenMovies:
    m, t = score.shape[:2]
    times = torch.arange(t).double().expand(m, t)
    dynamics = Dynamics.initial(score.shape[-1], temporal=temporal)
    return UnseenMovies(information, score, torch.ones(m, t).bool(), times, dynamics)


def test_gain_of_a_frame_alone_is_the_integral_over_its_latent() -> None:
    """``log ∫ exp(h z − J z²/2) N(z; 0, 1) dz = h² / 2(1 + J) − ½ log(1 + J)``."""
    j, h = torch.tensor([0.5, 2.0, 7.0]).double(), torch.tensor([-1.0, 0.3, 4.0]).double()
    found = unseen(j[:, None, None, None], h[:, None, None], temporal=True).gains
    torch.testing.assert_close(found, h**2 / (2 * (1 + j)) - 0.5 * (1 + j).log())


def test_order_means_nothing_to_frames_that_are_independent() -> None:
    generator = torch.Generator().manual_seed(0)
    j = torch.rand(4, 5, 1, 1, generator=generator).double()
    h = torch.randn(4, 5, 1, generator=generator).double()
    movies = unseen(j, h, temporal=False)
    shuffled = movies.shuffled_gains(3, generator)
    torch.testing.assert_close(shuffled, movies.gains.expand(3, -1))


def test_shuffling_leaves_frames_that_a_movie_does_not_have_at_its_end() -> None:
    generator = torch.Generator().manual_seed(0)
    j, h = torch.ones(2, 6, 1, 1).double(), torch.randn(2, 6, 1, generator=generator).double()
    valid = torch.ones(2, 6).bool()
    j[1, 1:], h[1, 1:], valid[1, 1:] = 0, 0, False  # one frame: its order cannot change
    full = unseen(j, h, temporal=True)
    movies = UnseenMovies(j, h, valid, full.times, full.dynamics)
    shuffled = movies.shuffled_gains(8, generator)
    torch.testing.assert_close(shuffled[:, 1], movies.gains[1].expand(8))
    assert shuffled[:, 0].std() > 0


def test_motion_makes_unseen_movies_likelier_and_halves_agree(scores: HalfScores) -> None:
    assert float(scores.gains.sum()) > 0
    assert 0.6 < scores.agreement <= 1


def test_a_motion_with_memory_is_worth_less_in_another_order(scores: HalfScores) -> None:
    generator = torch.Generator().manual_seed(0)
    shuffled = [half.shuffled_gains(20, generator).sum(1) for half in scores.unseen]
    assert float((shuffled[0] + shuffled[1]).max()) < float(scores.gains.sum())


def test_every_movie_is_scored_once_by_the_half_without_it(scores: HalfScores) -> None:
    assert [int(half.valid.sum()) for half in scores.unseen] == [48, 48]
    assert len(scores.gains) == 16


def test_latents_of_frames_alone_follow_the_truth() -> None:
    data, z = amplitude_movies(movies=16, length=6, memory=0.9, snr=1.0)
    frames = prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))
    first = score_halves(frames, 1, window_radius=0.9).unseen[0].latents.flatten().numpy()
    rows = np.concatenate(data.movies[0::2])
    assert abs(np.corrcoef(first, z.numpy()[rows])[0, 1]) > 0.7
