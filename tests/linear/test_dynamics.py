"""Dynamics in continuous time: a stationary semigroup, and what is learned from moments."""

import pytest
import torch
from torch import Tensor

from temporem.linear.dynamics import Dynamics, Moments


def dynamics(q: int, seed: int, speed: float = 1.0) -> Dynamics:
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(q, q, generator=generator, dtype=torch.float64)
    decay = torch.randn(q, q, generator=generator, dtype=torch.float64).tril()
    return Dynamics(0.3 * speed * (square - square.mT), 0.4 * speed * decay, temporal=True)


def random_moments(q: int, seed: int, groups: int = 3) -> Moments:
    """Moments of frames that no dynamics made."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(groups, 50, 2 * q, generator=generator, dtype=torch.float64)
    mix = torch.randn(2 * q, 2 * q, generator=generator, dtype=torch.float64)
    u = frames @ mix / (2 * q) ** 0.5
    intervals = 0.5 + 3 * torch.rand(groups, generator=generator, dtype=torch.float64)
    return Moments(intervals, u.mT @ u, torch.full((groups,), 50.0, dtype=torch.float64))


def simulated_moments(true: Dynamics, intervals: Tensor, chains: int, steps: int) -> Moments:
    """Moments of many chains whose intervals alternate."""
    generator = torch.Generator().manual_seed(11)
    t = true.transitions(intervals)
    roots = torch.linalg.cholesky(t.noise)
    z = torch.randn(chains, true.q, generator=generator, dtype=torch.float64)
    pairs = torch.zeros(len(intervals), 2 * true.q, 2 * true.q, dtype=torch.float64)
    counts = torch.zeros(len(intervals), dtype=torch.float64)
    for step in range(steps):
        g = step % len(intervals)
        noise = torch.randn(chains, true.q, generator=generator, dtype=torch.float64)
        new = z @ t.matrix[g].mT + noise @ roots[g].mT
        u = torch.cat([new, z], dim=1)
        pairs[g] += u.mT @ u
        counts[g] += chains
        z = new
    return Moments(intervals, pairs, counts)


def expected_moments(true: Dynamics, intervals: Tensor) -> Moments:
    """Moments of infinitely many frames, a thousand of them."""
    a = true.transitions(intervals).matrix
    one = torch.eye(true.q, dtype=torch.float64).expand_as(a)
    pairs = torch.cat([torch.cat([one, a], -1), torch.cat([a.mT, one], -1)], -2)
    return Moments(intervals, 1000 * pairs, 1000 * torch.ones_like(intervals))


@pytest.mark.parametrize("q", [1, 2, 4])
def test_two_intervals_in_a_row_are_one(q: int) -> None:
    first, second = torch.tensor([0.7]), torch.tensor([2.9])
    own = dynamics(q, seed=q)
    a, b, both = (own.transitions(time).matrix for time in (first, second, first + second))
    torch.testing.assert_close(both, b @ a, rtol=0, atol=1e-6)  # intervals are float32 here


@pytest.mark.parametrize("q", [1, 2, 4])
def test_latents_stay_standard_normal(q: int) -> None:
    t = dynamics(q, seed=q).transitions(torch.tensor([1e-3, 0.1, 1.0, 30.0]).double())
    one = torch.eye(q, dtype=torch.float64).expand(4, q, q)
    after = t.matrix @ t.matrix.mT + t.noise
    torch.testing.assert_close(after, one, rtol=0, atol=1.001e-6)
    assert (torch.linalg.eigvalsh(t.noise) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_latents_never_grow(seed: int) -> None:
    t = dynamics(3, seed, speed=5.0).transitions(torch.tensor([0.01, 1.0, 100.0]).double())
    assert (torch.linalg.eigvals(t.matrix).abs() <= 1).all()
    assert (torch.linalg.matrix_norm(t.matrix, ord=2) <= 1 + 1e-12).all()


def test_no_time_changes_nothing_and_much_time_forgets() -> None:
    t = dynamics(2, seed=0).transitions(torch.tensor([0.0, 1e5]).double())
    torch.testing.assert_close(t.matrix[0], torch.eye(2).double())
    assert t.matrix[1].abs().max() < 1e-6


def test_rotation_alone_turns_latents() -> None:
    turn = torch.tensor([[0.0, -0.3], [0.3, 0.0]], dtype=torch.float64)
    matrix = Dynamics(turn, 0 * turn, temporal=True).transitions(torch.tensor(2.0)).matrix
    angle = torch.tensor(0.6, dtype=torch.float64)
    expected = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=3e-3)


def test_initial_dynamics_forget_in_ten_units_of_time() -> None:
    matrix = Dynamics.initial(2, temporal=True).transitions(torch.tensor(10.0)).matrix
    torch.testing.assert_close(matrix, torch.eye(2).double() * 0.3679, rtol=0.02, atol=1e-9)


def test_expected_log_likelihood_is_that_of_the_pairs() -> None:
    own, generator = dynamics(2, seed=1), torch.Generator().manual_seed(2)
    u = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64)
    intervals = torch.tensor([1.0, 2.5], dtype=torch.float64)
    moments = Moments(intervals, u.mT @ u, torch.tensor([30.0, 30.0], dtype=torch.float64))
    t = own.transitions(intervals)
    total = torch.tensor(0.0, dtype=torch.float64)
    for a, noise, pair in zip(t.matrix, t.noise, u, strict=True):
        conditional = torch.distributions.MultivariateNormal(pair[:, 2:] @ a.mT, noise)
        total += conditional.log_prob(pair[:, :2]).sum() + 30 * torch.log(
            torch.tensor(2 * torch.pi)
        )
    torch.testing.assert_close(own.expected_log_likelihood(moments), total, rtol=1e-6, atol=0)


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_maximise_never_loses(q: int, seed: int) -> None:
    moments, start = random_moments(q, seed), dynamics(q, seed + 10)
    found = start.maximise(moments)
    before = start.expected_log_likelihood(moments)
    assert found.expected_log_likelihood(moments) >= before
    again = found.maximise(moments)
    assert again.expected_log_likelihood(moments) >= found.expected_log_likelihood(moments)


def test_maximise_finds_a_stationary_point() -> None:
    moments = random_moments(2, seed=7)
    found = Dynamics.initial(2, temporal=True).maximise(moments)
    rotation = found.rotation.clone().requires_grad_()
    decay = found.decay.clone().requires_grad_()
    skew = rotation.triu(1)
    own = Dynamics(skew - skew.mT, decay.tril(), temporal=True)
    (own.expected_log_likelihood(moments) / moments.counts.sum()).backward()
    assert rotation.grad is not None
    assert decay.grad is not None
    assert max(rotation.grad.abs().max(), decay.grad.abs().max()) < 1e-3


@pytest.mark.parametrize("q", [1, 2, 3])
def test_true_dynamics_are_found_in_their_moments(q: int) -> None:
    intervals = torch.tensor([1.0, 2.0, 3.5], dtype=torch.float64)
    true = dynamics(q, seed=20 + q)
    found = Dynamics.initial(q, temporal=True).maximise(expected_moments(true, intervals))
    torch.testing.assert_close(
        found.transitions(intervals).matrix,
        true.transitions(intervals).matrix,
        rtol=0,
        atol=5e-3,
    )


@pytest.mark.parametrize("intervals", [[1.0], [1.0, 2.5, 0.4]])
def test_true_dynamics_are_found_in_long_chains(intervals: list[float]) -> None:
    times = torch.tensor(intervals, dtype=torch.float64)
    true = dynamics(2, seed=30)
    moments = simulated_moments(true, times, chains=100, steps=300)
    found = Dynamics.initial(2, temporal=True).maximise(moments)
    expected = true.transitions(times).matrix
    torch.testing.assert_close(found.transitions(times).matrix, expected, rtol=0, atol=0.03)


def test_slow_latents_are_found_slow() -> None:
    slow = Dynamics.initial(1, temporal=True)
    true = Dynamics(slow.rotation, 0.05 * torch.ones(1, 1).double(), temporal=True)
    found = slow.maximise(expected_moments(true, torch.ones(1).double()))
    assert found.transitions(torch.tensor(1.0)).matrix.item() == pytest.approx(0.9965, abs=2e-4)


def test_transformed_moments_are_those_of_transformed_frames() -> None:
    generator = torch.Generator().manual_seed(3)
    u = torch.randn(1, 40, 4, generator=generator, dtype=torch.float64)
    matrix = torch.randn(2, 2, generator=generator, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    turned = torch.cat([u[..., :2] @ matrix.mT, u[..., 2:] @ matrix.mT], dim=-1)
    found = Moments(one, u.mT @ u, 40 * one).transformed(matrix)
    torch.testing.assert_close(found.pairs, turned.mT @ turned)


def test_turned_latents_are_as_likely_under_turned_dynamics() -> None:
    own, moments = dynamics(3, seed=4), random_moments(3, seed=5)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(6)).double()).Q
    decay = torch.linalg.cholesky(turn @ own.decay @ own.decay.mT @ turn.mT)
    turned = Dynamics(turn @ own.rotation @ turn.mT, decay, temporal=True)
    torch.testing.assert_close(
        turned.expected_log_likelihood(moments.transformed(turn)),
        own.expected_log_likelihood(moments),
    )


def test_without_dynamics_frames_are_independent_and_stay_so() -> None:
    static = Dynamics.initial(2, temporal=False)
    t = static.transitions(torch.ones(3, 2))
    assert t.matrix.shape == t.noise.shape == (3, 2, 2, 2)
    assert (t.matrix == 0).all()
    assert (t.noise == torch.eye(2)).all()
    assert static.maximise(random_moments(2, seed=8)) is static


def test_dynamics_that_saw_no_neighbours_stay() -> None:
    own = dynamics(2, seed=9)
    none = torch.zeros(1, dtype=torch.float64)
    moments = Moments(none + 1, torch.zeros(1, 4, 4, dtype=torch.float64), none)
    assert own.maximise(moments) is own
