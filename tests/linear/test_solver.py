"""The linear dynamical model against dense matrices, and fitted to what it generates itself.

The dense computations slice the whole padded grid in double and know nothing of blocks, halves and
information.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.noise import add_noise
from helpers.whole_grid import extract_slices, grid_radii, volume_to_grid
from temporem.frames.batch import Batch
from temporem.linear.dynamics import Dynamics
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.solver import LinearSolver
from temporem.linear.voxel_systems import solve_symmetric
from temporem.physics.forward import ForwardModel
from temporem.physics.masks import soft_ball
from temporem.physics.padded_grid import PADDING, PaddedGrid
from temporem.physics.pixel_sample import PixelSample
from temporem.physics.rotations import random_rotations

CPU = torch.device("cpu")
INTERVALS = torch.tensor([1.0, 2.5], dtype=torch.float64)


@dataclass(frozen=True)
class Problem:
    """Movies that the model generated, and what generated them.

    Attributes:
        solver: of the resolution at which they were made.
        movies: one block each, rows one after the other.
        truth: parameters; all but the volumes are what fits start with.
        latents: z, ``(N, q)``.
    """

    solver: LinearSolver
    movies: list[Batch]
    truth: LinearParameters
    latents: Tensor

    @property
    def block(self) -> Batch:
        return joined(self.movies)

    def start(self, spread: float, temporal: bool = True) -> LinearParameters:
        """Volumes from true latents with errors of a standard deviation."""
        generator = torch.Generator().manual_seed(99)
        q = self.truth.q
        error = torch.randn(self.latents.shape, generator=generator, dtype=torch.float64)
        rough = Posterior.of_points(self.latents + spread * error)
        empty = replace(
            self.truth,
            volumes=self.solver.empty_volumes(q),
            dynamics=Dynamics.initial(q, temporal=temporal),
        )
        sums = self.solver.gather(empty, rough, [self.block])
        return replace(empty, volumes=self.solver.step(empty, sums))


def joined(movies: Sequence[Batch]) -> Batch:
    names = ("rows", "images", "ctf", "rotations", "lengths", "interval_index")
    together = {name: torch.cat([getattr(m, name) for m in movies]) for name in names}
    return replace(movies[0], **together)


def blobs(box: int, q: int, generator: torch.Generator) -> Tensor:
    """A body without symmetry, and q differences of blobs: ``(q + 1, D, D, D)``."""
    axis = torch.arange(box) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")

    def blob() -> Tensor:
        a, b, c = (box / 9) * torch.randn(3, generator=generator)
        squares = (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2
        return torch.exp(-squares / (2 * (box / 10) ** 2))

    body = sum((blob() for _ in range(5)), torch.zeros(box, box, box))
    return torch.stack([body, *(blob() - blob() for _ in range(q))])


def smooth_paths(lengths: Sequence[int], q: int, generator: torch.Generator) -> Tensor:
    """Waves of unit variance with a random phase in each movie, ``(N, q)``."""
    paths = []
    for length in lengths:
        phase = 2 * torch.pi * torch.rand(1, q, generator=generator, dtype=torch.float64)
        angle = 0.25 * torch.arange(length)[:, None] * torch.arange(1, q + 1)
        paths.append(2**0.5 * torch.cos(angle + phase))
    return torch.cat(paths)


def simulate(
    lengths: Sequence[int],
    q: int,
    *,
    box: int = 12,
    radius: float = 4,
    noise: float = 0.1,
    precision: float = 1e-3,
    seed: int = 0,
    shuffled: bool = False,
) -> Problem:
    """Movies of the model itself: what it cannot explain is noise.

    Noise grows with the radius, from ``noise``; intervals are 1 and 2.5 in turn, and paths do not
    know of that.
    """
    generator = torch.Generator().manual_seed(seed)
    model, grid, n = ForwardModel(box, 3.0), PaddedGrid(box, radius, CPU), sum(lengths)
    mask = soft_ball(box, 3, box / 2 - 3, 2)
    solver = LinearSolver(model, grid, mask, INTERVALS, n)
    z = smooth_paths(lengths, q, generator)
    if shuffled:
        ends = np.cumsum(lengths)
        starts = ends - np.asarray(lengths)
        z = torch.cat(
            [
                z[a:b][torch.randperm(int(b - a), generator=generator)]
                for a, b in zip(starts, ends, strict=True)
            ]
        )
    truth = LinearParameters(
        volumes=mask * blobs(box, q, generator),
        dynamics=Dynamics.initial(q, temporal=True),
        noise=noise * (1 + 0.2 * torch.arange(grid.n_shells)),
        precision=torch.full((grid.n_shells, q + 1), precision),
    )
    rotations = random_rotations(n, generator).float()
    ctf = (0.3 * model.support.radii + torch.arange(n)[:, None]).cos()
    frames = torch.arange(n)
    block = Batch(
        rows=frames,
        images=torch.zeros(n, len(model.support), dtype=torch.complex64),
        ctf=ctf,
        rotations=rotations,
        lengths=torch.tensor(lengths),
        times=torch.zeros(n),
        interval_index=frames % len(INTERVALS),
        pixels=PixelSample.lowest(model.support, len(model.support)),
    )
    u = torch.cat([torch.ones(n, 1), z.float()], dim=1)
    slices = dense_slices(solver, truth.volumes, block).float_complex()
    clean = (slices @ u[..., None].to(torch.complex64)).squeeze(-1)
    noise_of_one = add_noise(torch.zeros_like(clean), generator)
    block.images[:, : solver.n_pixels] = clean + truth.noise[solver.shells].sqrt() * noise_of_one
    bounds = [0, *np.cumsum(lengths).tolist()]
    movies = [
        replace(
            block,
            rows=block.rows[a:b],
            images=block.images[a:b],
            ctf=block.ctf[a:b],
            rotations=block.rotations[a:b],
            lengths=torch.tensor([b - a]),
            times=block.times[a:b],
            interval_index=block.interval_index[a:b],
        )
        for a, b in pairwise(bounds)
    ]
    return Problem(solver, movies, truth, z)


@dataclass(frozen=True)
class Slices:
    """``CTF P U_j`` of frames, complex128 ``(F, P, K)``."""

    values: Tensor

    def float_complex(self) -> Tensor:
        return self.values.to(torch.complex64)

    def whitened(self, root: Tensor) -> Tensor:
        """Real rows of unit noise, ``(F, 2P, K)``."""
        return torch.view_as_real(self.values * root[:, None]).transpose(-1, -2).flatten(1, 2)


def dense_slices(solver: LinearSolver, volumes: Tensor, block: Batch) -> Slices:
    """By the whole grid, in double; differentiable by the volumes."""
    box, n = solver.grid.box, solver.n_pixels
    inside = grid_radii(box) <= solver.grid.radius
    points = solver.forward_model.slice_frequencies(block.rotations, slice(n)).double() * PADDING
    slices = [extract_slices(volume_to_grid(v.double()) * inside, points) for v in volumes]
    return Slices(torch.stack(slices, dim=-1) * block.ctf[:, :n, None])


def whitening(solver: LinearSolver, noise: Tensor) -> Tensor:
    return (solver.weights / noise[solver.shells]).double().sqrt()


def dense_design(
    solver: LinearSolver, parameters: LinearParameters, block: Batch, volumes: Tensor
) -> tuple[Tensor, Tensor]:
    """Whitened ``y − H_0`` and ``H`` of frames: ``(F, 2P)`` and ``(F, 2P, q)``."""
    root = whitening(solver, parameters.noise)
    design = dense_slices(solver, volumes, block).whitened(root)
    images = torch.view_as_real(block.images[:, : solver.n_pixels] * root).flatten(1)
    return images - design[..., 0], design[..., 1:]


def dense_prior(dynamics: Dynamics, block: Batch) -> Tensor:
    """Covariance of the latents of one movie from its transitions, ``(Tq, Tq)``."""
    q, t = dynamics.q, len(block.rows)
    steps = dynamics.transitions(INTERVALS).matrix[block.interval_index]
    prior = torch.eye(t * q, dtype=torch.float64).view(t, q, t, q)
    for later in range(t):
        product = torch.eye(q, dtype=torch.float64)
        for earlier in reversed(range(later)):
            product = product @ steps[earlier + 1]
            prior[later, :, earlier] = product
            prior[earlier, :, later] = product.mT
    return prior.reshape(t * q, t * q)


def dense_likelihood(
    problem: Problem, parameters: LinearParameters, volumes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood of all movies; means and covariances of the latents of all frames."""
    solver, q = problem.solver, parameters.q
    total = torch.zeros((), dtype=torch.float64)
    means, covariances = [], []
    for movie in problem.movies:
        residual, design = dense_design(solver, parameters, movie, volumes)
        h = torch.block_diag(*design)
        prior = dense_prior(parameters.dynamics, movie)
        covariance = h @ prior @ h.mT + torch.eye(len(h), dtype=torch.float64)
        gain = torch.linalg.solve(covariance, h @ prior).mT
        r = residual.flatten()
        total = total - 0.5 * (r @ torch.linalg.solve(covariance, r) + torch.logdet(covariance))
        weights = solver.weights.double()
        noise = parameters.noise[solver.shells].double()
        total = total - 0.5 * len(movie.rows) * (weights * noise.log()).sum()
        posterior = (prior - gain @ h @ prior).unflatten(1, (-1, q)).unflatten(0, (-1, q))
        frames = range(len(movie.rows))
        means.append((gain @ r).view(-1, q))
        covariances.append(posterior.transpose(1, 2)[frames, frames])
    return total, torch.cat(means), torch.cat(covariances)


def volume_gradient(grid: PaddedGrid, gradient: Tensor) -> Tensor:
    """Gradient by volumes of a gradient by rows: the adjoint of ``from_volumes``."""
    return grid.to_volumes(gradient) * PADDING**3 * grid.box


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def explained(truth: Tensor, found: Tensor) -> float:
    """R² of the best linear map from found to true latents."""
    design = torch.cat([found, torch.ones_like(found[:, :1])], dim=1)
    residual = truth - design @ torch.linalg.lstsq(design, truth).solution
    return float(1 - residual.var(0).sum() / truth.var(0).sum())


def iterate(
    problem: Problem, parameters: LinearParameters, n: int, *, noise: bool = False
) -> tuple[LinearParameters, list[Sums]]:
    """EM; noise is held unless asked for."""
    history = [problem.solver.expect(parameters, [problem.block])]
    for _ in range(n):
        new = problem.solver.update(parameters, history[-1])
        parameters = new if noise else replace(new, noise=parameters.noise)
        history.append(problem.solver.expect(parameters, [problem.block]))
    return parameters, history


# --- solving for volumes voxel by voxel ---


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_elimination_is_a_linear_solve(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    root = torch.randn(40, size, size, generator=generator, dtype=torch.float64)
    matrix, precision = root @ root.mT, 0.1 + torch.rand(40, size, generator=generator).double()
    right = torch.randn(40, size, generator=generator, dtype=torch.complex128)
    i, j = torch.triu_indices(size, size)
    found = solve_symmetric(matrix[:, i, j], precision, right)
    system = (matrix + torch.diag_embed(precision)).to(right.dtype)
    torch.testing.assert_close(found, torch.linalg.solve(system, right))


def test_elimination_in_single_precision_of_voxels_seen_once() -> None:
    # One frame sees a voxel: N has rank one, and only the prior tells channels apart.
    u = torch.tensor([1.0, 1.4, -0.6])
    i, j = torch.triu_indices(3, 3)
    right = (100 * u).to(torch.complex64)[None]
    found = solve_symmetric((100 * u[i] * u[j])[None], torch.full((1, 3), 0.1), right)
    expected = 100 * u / (0.1 + 100 * u.square().sum())
    torch.testing.assert_close(found[0].real, expected, rtol=1e-3, atol=1e-4)


# --- one pass against dense matrices ---


@pytest.fixture(scope="module")
def tiny() -> Problem:
    """Two movies of irregular intervals, in which the latents are seen poorly."""
    return simulate([4, 1, 3], 2, box=8, radius=3, noise=0.5, precision=0.1)


@pytest.fixture(scope="module", params=[True, False], ids=["temporal", "static"])
def dynamics(request: pytest.FixtureRequest) -> Dynamics:
    turn = torch.tensor([[0.0, -0.2], [0.2, 0.0]], dtype=torch.float64)
    decay = torch.tensor([[0.3, 0.0], [0.1, 0.2]], dtype=torch.float64)
    return Dynamics(turn, decay, temporal=request.param)


def test_posterior_is_that_of_the_dense_gaussian(tiny: Problem, dynamics: Dynamics) -> None:
    parameters = replace(tiny.truth, dynamics=dynamics)
    sums = tiny.solver.expect(parameters, [tiny.block])
    _, mean, covariance = dense_likelihood(tiny, parameters, parameters.volumes)
    close = {"rtol": 1e-3, "atol": 1e-4}
    torch.testing.assert_close(sums.posterior.mean, mean, **close)
    torch.testing.assert_close(sums.posterior.covariance, covariance, **close)
    assert (covariance.diagonal(dim1=1, dim2=2).mean() > 0.02).all()  # it is a posterior


def test_log_likelihood_is_that_of_the_dense_gaussian(tiny: Problem, dynamics: Dynamics) -> None:
    parameters = replace(tiny.truth, dynamics=dynamics)
    sums = tiny.solver.expect(parameters, [tiny.block])
    expected, _, _ = dense_likelihood(tiny, parameters, parameters.volumes)
    assert sums.log_likelihood == pytest.approx(float(expected), abs=0.02)


def test_penalty_is_that_of_the_whole_grid(tiny: Problem) -> None:
    precision = 0.1 + torch.rand(tiny.truth.precision.shape, generator=torch.manual_seed(1))
    sums = tiny.solver.expect(replace(tiny.truth, precision=precision), [tiny.block])
    radii = grid_radii(8)
    inside = radii <= 3
    shells = radii[inside].round().long()
    expected = sum(
        float(0.5 * (own[shells] * volume_to_grid(volume)[inside].abs().square()).sum())
        for volume, own in zip(tiny.truth.volumes, precision.T, strict=True)
    )
    assert sums.penalty == pytest.approx(expected, rel=1e-4)


def test_gradient_is_that_of_the_marginal_likelihood(tiny: Problem, dynamics: Dynamics) -> None:
    # Fisher's identity: E of the complete gradient, covariances of latents included.
    parameters = replace(tiny.truth, dynamics=dynamics)
    sums = tiny.solver.expect(parameters, [tiny.block])
    volumes = parameters.volumes.double().requires_grad_()
    likelihood, _, _ = dense_likelihood(tiny, parameters, volumes)
    likelihood.backward()
    assert volumes.grad is not None
    inside = tiny.solver.grid.inside[:, None]
    found = volume_gradient(tiny.solver.grid, sums.gradient * inside)
    for channel, expected in zip(found, volumes.grad, strict=True):
        assert relative_error(channel, expected) < 1e-3


def test_normal_sums_are_at_least_the_curvature(tiny: Problem) -> None:
    # N bounds what one and all samples of a voxel say, so that a step on the grid cannot overshoot.
    sums = tiny.solver.expect(tiny.truth, [tiny.block])
    grid, k = tiny.solver.grid, tiny.truth.q + 1
    i, j = torch.triu_indices(k, k)
    volumes = torch.randn(k, 8, 8, 8, generator=torch.manual_seed(2))
    rows = grid.from_volumes(volumes)
    both = (rows[:, i] * rows[:, j].conj()).real * torch.where(i == j, 1.0, 2.0)
    bound = (grid.multiplicity[:, None] * sums.normal * both).sum()
    root = whitening(tiny.solver, tiny.truth.noise)
    design = dense_slices(tiny.solver, volumes, tiny.block).whitened(root)
    u = torch.nn.functional.pad(sums.posterior.mean, (1, 0), value=1.0)
    second = u[:, :, None] * u[:, None] + torch.nn.functional.pad(
        sums.posterior.covariance, (1, 0, 1, 0)
    )
    curvature = torch.einsum("fpi,fij,fpj->", design, second, design)
    assert 0.1 * bound < curvature < bound


def test_moments_are_those_of_neighbours(tiny: Problem, dynamics: Dynamics) -> None:
    parameters = replace(tiny.truth, dynamics=dynamics)
    sums = tiny.solver.expect(parameters, [tiny.block])
    pairs, counts = torch.zeros(2, 4, 4, dtype=torch.float64), torch.zeros(2).double()
    posterior = sums.posterior
    for movie in tiny.movies:
        for before, row in pairwise(movie.rows):
            u = torch.cat([posterior.mean[row], posterior.mean[before]])
            own, last = posterior.covariance[row], posterior.covariance[before]
            lag = posterior.lag[row]
            spread = torch.cat([torch.cat([own, lag], 1), torch.cat([lag.mT, last], 1)])
            pairs[int(row) % 2] += torch.outer(u, u) + spread
            counts[int(row) % 2] += 1
    torch.testing.assert_close(sums.moments.pairs, pairs)
    assert sums.moments.counts.equal(counts)
    # Smoothing couples neighbours.
    assert (posterior.lag.abs().max() > 0.01) == dynamics.temporal


def test_known_latents_give_the_same_sums_as_an_exact_posterior(tiny: Problem) -> None:
    # Where volumes are 0, a posterior that is a point leaves y u / σ² and u uᵀ / σ².
    empty = replace(tiny.truth, volumes=tiny.solver.empty_volumes(2))
    points = Posterior.of_points(torch.zeros_like(tiny.latents))
    known = tiny.solver.gather(empty, points, [tiny.block])
    expected = tiny.solver.expect(empty, [tiny.block])  # says nothing of z: mean 0, covariance 1
    torch.testing.assert_close(known.gradient, expected.gradient)
    torch.testing.assert_close(known.normal[:, 0], expected.normal[:, 0])
    assert not known.residual_power.any()  # the noise is not estimated from what has signal
    assert (expected.normal[:, 3] - expected.normal[:, 0]).abs().max() < 1e-4  # E z² = 1


def test_a_posterior_that_is_given_keeps_its_moments(tiny: Problem, dynamics: Dynamics) -> None:
    """Covariances between neighbours too, or dynamics made from them would forget too soon."""
    parameters = replace(tiny.truth, dynamics=dynamics)
    found = tiny.solver.expect(parameters, [tiny.block])
    given = tiny.solver.gather(parameters, found.posterior, [tiny.block])
    torch.testing.assert_close(given.moments.pairs, found.moments.pairs)
    assert given.moments.counts.equal(found.moments.counts)
    torch.testing.assert_close(vars(given.posterior), vars(found.posterior))


# --- volumes as least squares ---


def least_squares(problem: Problem, precision: float) -> tuple[Tensor, Tensor, Tensor]:
    """Whitened design of all voxels, data and root of the penalty, for true latents."""
    solver, box = problem.solver, problem.solver.grid.box
    k = problem.truth.q + 1
    unit = torch.eye(box**3).view(-1, box, box, box)
    root = whitening(solver, problem.truth.noise)
    slices = dense_slices(solver, unit, problem.block).whitened(root)  # (F, 2P, D³)
    u = torch.nn.functional.pad(problem.latents, (1, 0), value=1.0)
    design = torch.einsum("fpv,fk->fpkv", slices, u).flatten(0, 1).flatten(1)
    data = torch.view_as_real(problem.block.images[:, : solver.n_pixels] * root).flatten()
    rows = torch.stack([volume_to_grid(v)[grid_radii(box) <= solver.grid.radius] for v in unit], 1)
    penalty = torch.view_as_real(rows).movedim(-1, 1).flatten(0, 1).double() * precision**0.5
    return design, data, torch.block_diag(*[penalty] * k)


@pytest.mark.integration
def test_steps_with_known_latents_converge_to_least_squares() -> None:
    problem = simulate([6, 6], 1, box=8, radius=3, noise=0.05, precision=0.1)
    ones = torch.ones(8, 8, 8)
    solver = LinearSolver(
        problem.solver.forward_model, problem.solver.grid, ones, INTERVALS, len(problem.block.rows)
    )
    design, data, penalty = least_squares(problem, 0.1)

    def loss(volumes: Tensor) -> float:
        v = volumes.double().flatten()
        return float((data - design @ v).square().sum() + (penalty @ v).square().sum())

    solution = torch.linalg.lstsq(
        torch.cat([design, penalty]),
        torch.cat([data, data.new_zeros(len(penalty))]),
        driver="gelsd",
    ).solution
    best, worst = loss(solution), loss(torch.zeros_like(solution))
    points, block = Posterior.of_points(problem.latents), problem.block
    parameters = replace(problem.truth, volumes=solver.empty_volumes(1))
    u = torch.nn.functional.pad(problem.latents, (1, 0), value=1.0)
    losses = [worst]
    for _ in range(80):
        # With latents that are given, the gradient is that of the residual images.
        slices = dense_slices(solver, parameters.volumes, block).values
        explained_part = (slices * u[:, None]).sum(-1).to(torch.complex64)
        residual = torch.nn.functional.pad(
            block.images[:, : solver.n_pixels] - explained_part,
            (0, block.images.shape[1] - solver.n_pixels),
        )
        sums = solver.gather(parameters, points, [replace(block, images=residual)])
        step = solver.step(parameters, sums)
        parameters = replace(parameters, volumes=parameters.volumes + step)
        losses.append(loss(parameters.volumes))
    excess = (torch.tensor(losses).double() - best) / (worst - best)
    assert (excess[1:].diff() < 1e-5).all()  # after the first, which is gridding, never a rise
    assert excess[1] < 0.1
    assert excess[-1] < 0.02
    assert excess[-1] < excess[40]


def test_update_is_the_step_and_the_sums(tiny: Problem) -> None:
    sums = tiny.solver.expect(tiny.truth, [tiny.block])
    new = tiny.solver.update(tiny.truth, sums)
    torch.testing.assert_close(new.volumes, tiny.truth.volumes + tiny.solver.step(tiny.truth, sums))
    before = tiny.truth.dynamics.expected_log_likelihood(sums.moments)
    assert new.dynamics.expected_log_likelihood(sums.moments) >= before
    power, count = sums.residual_power
    seen = count > 0
    torch.testing.assert_close(new.noise[seen], (power / count)[seen].float())
    assert new.noise[~seen].equal(tiny.truth.noise[~seen])
    assert new.precision is tiny.truth.precision


def test_volumes_stay_within_the_mask(tiny: Problem) -> None:
    parameters = tiny.start(0.5)
    for _ in range(3):
        sums = tiny.solver.expect(parameters, [tiny.block])
        parameters = tiny.solver.update(parameters, sums)
    assert (parameters.volumes[:, tiny.solver.mask == 0] == 0).all()


# --- fits ---


@pytest.mark.parametrize("noise", [0.02, 0.3, 5.0])
def test_objective_never_falls(noise: float) -> None:
    problem = simulate([10] * 10, 2, noise=noise)
    _, history = iterate(problem, problem.start(1.0), 10, noise=True)
    objective = torch.tensor([sums.objective for sums in history])
    assert (objective.diff() > -1e-5 * objective.abs().max()).all()


def test_improve_never_falls_even_where_steps_are_too_long() -> None:
    problem = simulate([6, 6], 1, box=8, radius=3, precision=100.0)
    ones = torch.ones(8, 8, 8)  # corners of the box, where the correction is largest
    solver = LinearSolver(
        problem.solver.forward_model, problem.solver.grid, ones, INTERVALS, len(problem.block.rows)
    )
    parameters, block = problem.start(0.5), problem.block
    sums = solver.expect(parameters, [block])
    for _ in range(30):
        before = sums.objective
        parameters, sums = solver.improve(parameters, sums, lambda: [block])
        assert sums.objective >= before


def test_noise_of_every_shell_is_found_where_volumes_are_true() -> None:
    problem = simulate([10] * 20, 2, noise=0.3)
    solver, truth = problem.solver, problem.truth
    parameters = replace(truth, noise=torch.ones_like(truth.noise))
    for _ in range(8):
        sums = solver.expect(parameters, [problem.block])
        parameters = replace(parameters, noise=solver.update(parameters, sums).noise)
    count = sums.residual_power[1]
    seen = count > 0
    error = parameters.noise[seen] / truth.noise[seen] - 1
    # That of an estimate from so many values, which the latents take a little from.
    assert (error.abs() < 4 * (2 / count[seen]).sqrt() + 0.01).all()


def test_noise_is_found_together_with_all_else() -> None:
    problem = simulate([10] * 40, 1, noise=0.3)
    found, _ = iterate(problem, problem.start(1.0), 10, noise=True)
    error = found.noise[1:5] / problem.truth.noise[1:5] - 1
    assert (error.abs() < 0.1).all()


@pytest.fixture(scope="module")
def clear() -> tuple[Problem, LinearParameters, Sums]:
    """A fit to movies with little noise."""
    problem = simulate([10] * 30, 2, noise=0.003)
    parameters, history = iterate(problem, problem.start(1.0), 40)
    return problem, parameters, history[-1]


def test_latents_are_recovered(clear: tuple[Problem, LinearParameters, Sums]) -> None:
    problem, _, sums = clear
    assert explained(problem.latents, sums.posterior.mean) > 0.99


def test_volumes_are_recovered(clear: tuple[Problem, LinearParameters, Sums]) -> None:
    # Up to the gauge: those of a frame are compared, not U.
    problem, parameters, sums = clear
    grid, chosen = problem.solver.grid, torch.arange(0, 300, 30)
    weight = grid.multiplicity[:, None]

    def at_frames(volumes: Tensor, z: Tensor) -> Tensor:
        u = torch.nn.functional.pad(z[chosen], (1, 0), value=1.0).to(torch.complex64)
        return grid.from_volumes(volumes) @ u.mT

    found = at_frames(parameters.volumes, sums.posterior.mean)
    true = at_frames(problem.truth.volumes, problem.latents)
    for rest in (torch.zeros(()), true.mean(1, keepdim=True)):  # whole, and what moves
        a, b = found - rest, true - rest
        product = (weight * (a.conj() * b).real).sum()
        norms = (weight * a.abs().square()).sum() * (weight * b.abs().square()).sum()
        assert product / norms.sqrt() > 0.99


def test_order_of_movies_and_of_rows_changes_nothing() -> None:
    problem = simulate([5, 3, 8, 1, 4], 2, noise=0.3)
    parameters, n = problem.start(0.5), len(problem.latents)
    expected = problem.solver.expect(parameters, [problem.block])
    place = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    order = [3, 0, 4, 2, 1]
    moved = [replace(problem.movies[i], rows=place[problem.movies[i].rows]) for i in order]
    found = problem.solver.expect(parameters, [joined(moved[:2]), moved[2], joined(moved[3:])])
    assert found.objective == pytest.approx(expected.objective, rel=1e-6)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(found.posterior.mean[place], expected.posterior.mean, **close)
    torch.testing.assert_close(found.posterior.lag[place], expected.posterior.lag, **close)
    torch.testing.assert_close(found.moments.pairs, expected.moments.pairs, **close)
    scale = float(expected.voxels.abs().max())
    torch.testing.assert_close(found.voxels, expected.voxels, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(found.residual_power, expected.residual_power)


def latent_explained(problem: Problem, temporal: bool) -> float:
    _, history = iterate(problem, problem.start(1.0, temporal), 12)
    return explained(problem.latents, history[-1].posterior.mean)


def test_dynamics_help_where_paths_are_smooth() -> None:
    problem = simulate([20] * 15, 1, noise=4.0)
    static, temporal = latent_explained(problem, False), latent_explained(problem, True)
    assert temporal > static + 0.1


def test_dynamics_do_no_harm_where_frames_are_shuffled() -> None:
    problem = simulate([20] * 15, 1, noise=4.0, shuffled=True)
    static, temporal = latent_explained(problem, False), latent_explained(problem, True)
    assert temporal > static - 0.03
