"""The smoother against the joint Gaussian of all frames of a movie, written out."""

import pytest
import torch
from torch import Tensor

from helpers.matrices import covariance, randn
from temporem.linear.dynamics import Dynamics, Transitions
from temporem.linear.smoother import SmoothedMovies, predict_between, smooth

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def random_dynamics(q: int, generator: torch.Generator) -> Dynamics:
    square = torch.randn(q, q, generator=generator, dtype=torch.float64)
    decay = 0.4 * torch.randn(q, q, generator=generator, dtype=torch.float64).tril()
    return Dynamics(0.5 * (square - square.mT), decay, temporal=True)


def random_problem(m: int, t: int, q: int, seed: int) -> tuple[Tensor, Tensor, Transitions]:
    """Information, score and transitions of m movies; a third of the frames say nothing."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(m, t, q, q, generator=generator, dtype=torch.float64)
    score = 2 * torch.randn(m, t, q, generator=generator, dtype=torch.float64)
    silent = torch.rand(m, t, generator=generator) < 1 / 3
    information = (root @ root.mT).masked_fill(silent[..., None, None], 0)
    score = score.masked_fill(silent[..., None], 0)
    intervals = 0.1 + 4 * torch.rand(m, t - 1, generator=generator, dtype=torch.float64)
    return information, score, random_dynamics(q, generator).transitions(intervals)


def joint_prior(transitions: Transitions, q: int) -> Tensor:
    """Covariance of all frames of one movie, ``(Tq, Tq)``."""
    one = torch.eye(q, dtype=torch.float64)
    blocks = [[one]]
    for a, noise in zip(transitions.matrix, transitions.noise, strict=True):
        last = [a @ block for block in blocks[-1]]
        own = last[-1] @ a.mT + noise
        for row, block in zip(blocks, last, strict=True):
            row.append(block.mT)
        blocks.append([*last, own])
    return torch.cat([torch.cat(row, dim=1) for row in blocks])


def by_hand(information: Tensor, score: Tensor, transitions: Transitions) -> SmoothedMovies:
    """What :func:`smooth` returns, movie after movie from dense matrices."""
    m, t, q = score.shape
    found = []
    for movie in range(m):
        prior = joint_prior(transitions[torch.tensor(movie)], q)
        j, h = torch.block_diag(*information[movie]), score[movie].flatten()
        system = torch.eye(t * q, dtype=torch.float64) + prior @ j
        covariance = torch.linalg.solve(system, prior)
        blocks = covariance.unflatten(1, (t, q)).unflatten(0, (t, q)).transpose(1, 2)
        found.append(
            (
                (covariance @ h).view(t, q),
                blocks[range(t), range(t)],
                blocks[range(1, t), range(t - 1)],
                0.5 * (h @ covariance @ h - torch.linalg.slogdet(system).logabsdet),
            )
        )
    return SmoothedMovies(*(torch.stack(part) for part in zip(*found, strict=True)))


def assert_same(found: SmoothedMovies, expected: SmoothedMovies) -> None:
    torch.testing.assert_close(found.mean, expected.mean, **CLOSE)
    torch.testing.assert_close(found.covariance, expected.covariance, **CLOSE)
    torch.testing.assert_close(found.lag_covariance, expected.lag_covariance, **CLOSE)
    torch.testing.assert_close(found.log_evidence, expected.log_evidence, **CLOSE)


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("t", [1, 2, 3, 6])
@pytest.mark.parametrize("m", [1, 4])
def test_smoother_conditions_the_joint_gaussian(m: int, t: int, q: int) -> None:
    problem = random_problem(m, t, q, seed=100 * m + 10 * t + q)
    assert_same(smooth(*problem), by_hand(*problem))


def test_smoother_is_exact_when_frames_say_almost_all() -> None:
    information, score, transitions = random_problem(3, 5, 2, seed=1)
    problem = 1e4 * information, 1e4 * score, transitions
    found, expected = smooth(*problem), by_hand(*problem)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.log_evidence, expected.log_evidence, rtol=1e-8, atol=0)


def test_evidence_is_the_integral() -> None:
    j, h = torch.tensor(1.7, dtype=torch.float64), torch.tensor(-0.8, dtype=torch.float64)
    found = smooth(j.view(1, 1, 1, 1), h.view(1, 1, 1), _no_transitions(1))
    z = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    prior = torch.exp(-(z**2) / 2) / (2 * torch.pi) ** 0.5
    integral = torch.trapezoid(torch.exp(h * z - j * z**2 / 2) * prior, z)
    torch.testing.assert_close(found.log_evidence[0], integral.log(), **CLOSE)


def _no_transitions(q: int) -> Transitions:
    empty = torch.zeros(1, 0, q, q, dtype=torch.float64)
    return Transitions(empty, empty)


def test_movies_do_not_see_one_another() -> None:
    information, score, transitions = random_problem(4, 5, 2, seed=2)
    order = torch.tensor([2, 0, 3, 1])
    found = smooth(information, score, transitions)
    shuffled = smooth(information[order], score[order], transitions[order])
    torch.testing.assert_close(shuffled.mean, found.mean[order], **CLOSE)
    torch.testing.assert_close(shuffled.log_evidence, found.log_evidence[order], **CLOSE)


def test_silent_frames_at_the_end_change_nothing() -> None:
    information, score, transitions = random_problem(3, 6, 2, seed=3)
    information[:, 4:], score[:, 4:] = 0, 0
    long = smooth(information, score, transitions)
    keep = torch.arange(3)
    short_transitions = Transitions(transitions.matrix[:, keep], transitions.noise[:, keep])
    short = smooth(information[:, :4], score[:, :4], short_transitions)
    torch.testing.assert_close(long.mean[:, :4], short.mean, **CLOSE)
    torch.testing.assert_close(long.covariance[:, :4], short.covariance, **CLOSE)
    torch.testing.assert_close(long.lag_covariance[:, :3], short.lag_covariance, **CLOSE)
    torch.testing.assert_close(long.log_evidence, short.log_evidence, **CLOSE)


def test_a_silent_frame_is_an_interval_twice_as_long() -> None:
    information, score, _ = random_problem(3, 5, 2, seed=4)
    information[:, 2], score[:, 2] = 0, 0
    dynamics = random_dynamics(2, torch.Generator().manual_seed(5))
    with_it = smooth(information, score, dynamics.transitions(torch.ones(3, 4)))
    keep = [0, 1, 3, 4]
    without = dynamics.transitions(torch.tensor([1.0, 2.0, 1.0]).expand(3, 3))
    left_out = smooth(information[:, keep], score[:, keep], without)
    # Noise is at least 1e-6 in every interval, so that two short ones differ by so much.
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(with_it.mean[:, keep], left_out.mean, **close)
    torch.testing.assert_close(with_it.covariance[:, keep], left_out.covariance, **close)
    torch.testing.assert_close(with_it.log_evidence, left_out.log_evidence, **close)


def test_without_dynamics_every_frame_is_alone() -> None:
    information, score, _ = random_problem(3, 5, 2, seed=6)
    static = Dynamics.initial(2, temporal=False).transitions(torch.ones(3, 4))
    found = smooth(information, score, static)
    covariance = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + information)
    torch.testing.assert_close(found.covariance, covariance, **CLOSE)
    mean = (covariance @ score[..., None]).squeeze(-1)
    torch.testing.assert_close(found.mean, mean, **CLOSE)
    assert (found.lag_covariance == 0).all()
    evidence = 0.5 * ((score * mean).sum(-1) + torch.logdet(covariance))
    torch.testing.assert_close(found.log_evidence, evidence.sum(-1), **CLOSE)


# --- frames that are missing ---


def dense_prediction(
    mean: Tensor, spread: Tensor, dynamics: Dynamics, first: float, second: float
) -> tuple[Tensor, Tensor]:
    """By the joint prior of (z, z₀, z₁), conditioned on both neighbours."""
    q = dynamics.q
    one = torch.eye(q, dtype=torch.float64)
    near = dynamics.transitions(torch.tensor([first, second]).double())
    a, b = near.matrix
    to_last = b @ (a @ a.mT + near.noise[0]) @ b.mT + near.noise[1]
    middle = a @ a.mT + near.noise[0]
    across = b @ a
    ends = torch.cat([torch.cat([one, across.mT], 1), torch.cat([across, to_last], 1)])
    cross = torch.cat([a, middle @ b.mT], 1)  # Cov(z, (z₀, z₁))
    gain = torch.linalg.solve(ends, cross.mT).mT
    left = middle - gain @ cross.mT
    return gain @ mean, left + gain @ spread @ gain.mT


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("parts", [(1.0, 1.0), (0.3, 2.5), (4.0, 1.0)])
def test_prediction_conditions_the_joint_gaussian(q, parts) -> None:
    square = randn(q, q, seed=q)
    dynamics = Dynamics(0.3 * (square - square.mT), 0.4 * randn(q, q, seed=9).tril(), temporal=True)
    mean, spread = randn(2, 2 * q, seed=4), covariance(2, 2 * q, seed=5)
    before, after = (dynamics.transitions(torch.full((2,), part)) for part in parts)
    found, found_spread = predict_between(mean, spread, before, after)
    for i in range(2):
        expected, expected_spread = dense_prediction(mean[i], spread[i], dynamics, *parts)
        torch.testing.assert_close(found[i], expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found_spread[i], expected_spread, rtol=1e-6, atol=1e-8)


def test_prediction_far_from_all_frames_is_the_prior() -> None:
    dynamics = Dynamics.initial(2, temporal=True)
    mean, spread = randn(1, 4, seed=4), 0.01 * covariance(1, 4, seed=5)
    far = dynamics.transitions(torch.full((1,), 200.0))
    found, found_spread = predict_between(mean, spread, far, far)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-5)
    one = torch.eye(2, dtype=torch.float64)[None]
    torch.testing.assert_close(found_spread, one, rtol=0, atol=1e-5)
