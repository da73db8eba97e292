"""The linear dynamical model of volumes, fitted by expectation–maximisation.

``V_t = μ + Σ_j z_tj U_j``, ``y_t = CTF_t P_t V_t + noise``, ``z`` as in
:mod:`temporem.linear.dynamics`, noise of variance σ²(|k|). The posterior of z is Gaussian (E-step).
The volumes solve regularised least squares, voxel by voxel of the padded Fourier grid (M-step).
Both are closed form; only the dynamics need a few steps of L-BFGS.

Frames and volumes are on the device. Latents and their dynamics are on the CPU: a GPU takes tens of
times as long for small float64 matrices, one frame after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.batch import Batch
from temporem.frames.frames import Frames
from temporem.linear.dynamics import Moments, Transitions
from temporem.linear.information import latent_information
from temporem.linear.model import LinearParameters, Posterior, Sums
from temporem.linear.smoother import SmoothedMovies, joint_covariance, smooth
from temporem.linear.voxel_systems import multiply_symmetric, solve_symmetric
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import Corners, PaddedGrid, gridding_correction


class LinearSolver:
    """Passes (E-step and sums) and updates (M-step) at a resolution.

    Args:
        forward_model: image formation.
        grid: grid of the volumes; its radius is the resolution.
        mask: real-space mask of the volumes, ``(D', D', D')``, or one for each, ``(q + 1, …)``.
        intervals: all different times between neighbouring frames, ``(G,)``.
        n_frames: number N of frames.
        processes: processes that share a pass; each goes through blocks of its own, and all get
            the sums of all.
        independent_share: share of the Fourier coefficients that counts as independent, see
            :mod:`temporem.frames.streaming`.
    """

    def __init__(
        self,
        forward_model: ForwardModel,
        grid: PaddedGrid,
        mask: Tensor,
        intervals: Tensor,
        n_frames: int,
        processes: ProcessGroup = SINGLE_PROCESS,
        independent_share: float = 1.0,
    ) -> None:
        self.forward_model = forward_model
        self.grid = grid
        self.mask = mask
        self.intervals = intervals
        self.n_frames = n_frames
        self.processes = processes
        self.independent_share = independent_share
        support = forward_model.support
        self.n_pixels = int((support.radii <= grid.radius).sum())
        self.weights = support.weights[: self.n_pixels].to(grid.device)
        self.shells = support.shells[: self.n_pixels].to(grid.device)

    @classmethod
    def of_frames(cls, frames: Frames, grid: PaddedGrid, mask: Tensor) -> LinearSolver:
        """Make the solver of frames on a grid."""
        return cls(
            frames.forward_model,
            grid,
            mask,
            frames.intervals,
            len(frames),
            frames.processes,
            frames.statistics.independent_share,
        )

    # --- one pass over the frames ---

    def infer(self, parameters: LinearParameters, blocks: Iterable[Batch]) -> Sums:
        """Infer posteriors, and their likelihood, that count what is independent.

        They are for use after a fit. In the fit, all coefficients count.
        """
        return self.expect(parameters, blocks, gradient=False, share=self.independent_share)

    def expect(
        self,
        parameters: LinearParameters,
        blocks: Iterable[Batch],
        *,
        gradient: bool = True,
        share: float = 1.0,
    ) -> Sums:
        """Infer posteriors under the parameters, and sum what an update needs (E-step).

        Args:
            parameters: the model.
            blocks: the frames.
            gradient: false leaves out the sums over voxels, which take most of the time.
            share: share of the coefficients that counts in posteriors and likelihood.
        """
        parameters = self._common(parameters)
        rows = self.grid.from_volumes(parameters.volumes)
        sums = self._empty_sums(parameters.q)
        precision = self.grid.multiplicity[:, None] * parameters.precision[self.grid.shells]
        sums.penalty = float(0.5 * (precision * rows.abs().square()).double().sum())
        transitions = parameters.dynamics.transitions(self.intervals)
        for block in blocks:
            corners = self.grid.corners(self._frequencies(block))
            design = self._observed(rows, block, corners)
            weights = share * self.weights
            movies, packing = self._smooth(
                parameters.noise, weights, transitions, block, design, sums
            )
            self._add_moments(sums, block, movies, packing)
            latents = self._with_constant(sums.posterior[block.rows])
            values = self._explain(sums, block, design, *latents)
            if gradient:
                self._insert(sums, parameters.noise, block, corners, values, *latents)
        return self._total(sums, gradient=gradient)

    def design(self, rows: Tensor, block: Batch) -> Tensor:
        """Compute images of volumes, given by their grid's rows ``(V, K)``: ``(F, P, K)``."""
        return self._observed(rows, block, self.grid.corners(self._frequencies(block)))

    def gather(
        self, parameters: LinearParameters, posterior: Posterior, blocks: Iterable[Batch]
    ) -> Sums:
        """Sum what an update needs for given latents and volumes of 0, at the start of a fit."""
        sums = self._empty_sums(parameters.q)
        for block in blocks:
            corners = self.grid.corners(self._frequencies(block))
            packing = _packing(block.lengths)
            own = posterior[block.rows]
            self._add_moments(sums, block, _as_movies(own, block.lengths, packing), packing)
            mean, covariance = self._with_constant(own)
            values = block.images[:, : self.n_pixels, None] * mean[:, None]
            self._insert(sums, parameters.noise, block, corners, values, mean, covariance)
        return self._total(sums, gradient=True)

    def update(self, parameters: LinearParameters, sums: Sums) -> LinearParameters:
        """Update volumes, dynamics and noise (M-step).

        The volumes take a :meth:`step`, whose only fixed point is the solution of masked,
        regularised least squares.
        """
        step = self.step(parameters, sums)
        return replace(
            parameters,
            volumes=parameters.volumes + step,
            dynamics=parameters.dynamics.maximise(sums.moments),
            noise=sums.noise_or(parameters.noise),
        )

    def improve(
        self,
        parameters: LinearParameters,
        sums: Sums,
        blocks: Callable[[], Iterable[Batch]],
    ) -> tuple[LinearParameters, Sums]:
        """Iterate once: M-step, then E-step. A step that lowers the objective is refused.

        Neither a step of the volumes nor one of the noise can lower it. Both at once might, where
        shells of very different noise share voxels.

        Returns:
            New parameters and their sums; those that were given where the step is refused.
        """
        new = self.update(parameters, sums)
        found = self.expect(new, blocks())
        return (new, found) if found.objective >= sums.objective else (parameters, sums)

    def step(self, parameters: LinearParameters, sums: Sums) -> Tensor:
        """Compute the change of the volumes, ``(q + 1, D', D', D')``.

        With G the gradient g less Λ times the grid of the volumes, and m the mask,

        ``x = α d``,  ``d = m c F* (N + Λ)⁻¹ F c m F* G``,  ``α = ⟨F* G, d⟩ / ⟨F d, (N + Λ) F d⟩``,

        where F is :meth:`PaddedGrid.from_volumes`, F* its adjoint and c the gridding correction
        squared. The direction d solves every voxel on its own, which is almost the whole solution.
        Trilinear weights are positive and sum to 1, so that N, taken voxel by voxel, bounds the
        curvature of the log-likelihood (Jensen); a step of length α cannot lower the objective.
        From volumes of 0 the step is plain gridding, ``x = m F* (N + Λ)⁻¹ g``.
        """
        grid, inside = self.grid, self.grid.inside
        precision = parameters.precision[grid.shells[inside]]
        normal, gradient = sums.normal[inside], sums.gradient[inside]
        if not parameters.volumes.any():
            return self.mask * self._volumes(solve_symmetric(normal, precision, gradient))
        gradient = gradient - precision * grid.from_volumes(parameters.volumes)[inside]
        slope = self._volumes(gradient)
        window = self.mask * gridding_correction(grid.box).to(slope).square()
        apart = solve_symmetric(normal, precision, grid.from_volumes(window * slope)[inside])
        direction = window * self._volumes(apart)
        bent = grid.from_volumes(direction)[inside]
        bent = self._volumes(multiply_symmetric(normal, precision, bent))
        rise = (slope * direction).double().sum()
        length = rise / (direction * bent).double().sum().clamp(min=1e-30)
        return length.float() * direction

    def _volumes(self, rows: Tensor) -> Tensor:
        """Volumes of rows that are given inside the radius only."""
        full = rows.new_zeros(len(self.grid.inside), rows.shape[1])
        full[self.grid.inside] = rows
        return self.grid.to_volumes(full)

    def empty_volumes(self, q: int) -> Tensor:
        """Volumes of 0, from which a fit starts, ``(q + 1, D', D', D')``."""
        box = self.grid.box
        return torch.zeros(q + 1, box, box, box, device=self.grid.device)

    # --- parts of a pass ---

    def _empty_sums(self, q: int) -> Sums:
        device, n, g = self.grid.device, self.n_frames, len(self.intervals)
        channels = 2 * (q + 1) + (q + 1) * (q + 2) // 2

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64)

        return Sums(
            posterior=Posterior(zeros(n, q), zeros(n, q, q), zeros(n, q, q)),
            moments=Moments(self.intervals, zeros(g, 2 * q, 2 * q), zeros(g)),
            voxels=torch.zeros(len(self.grid.radii), channels, device=device),
            residual_power=zeros(2, self.grid.n_shells).to(device),
        )

    def _observed(self, rows: Tensor, block: Batch, corners: Corners) -> Tensor:
        slices = self.grid.extract(rows, corners).view(len(block.rows), self.n_pixels, -1)
        return self.forward_model.observe(slices, self._ctf(block)[..., None])

    def _frequencies(self, block: Batch) -> Tensor:
        return self.forward_model.slice_frequencies(block.rotations, slice(self.n_pixels))

    def _ctf(self, block: Batch) -> Tensor:
        return block.ctf[:, : self.n_pixels]

    def _smooth(
        self,
        noise: Tensor,
        weights: Tensor,
        transitions: Transitions,
        block: Batch,
        design: Tensor,
        sums: Sums,
    ) -> tuple[SmoothedMovies, tuple[Tensor, Tensor]]:
        """Infer the posterior of the movies of a block; add to the log-likelihood.

        ``J = Re HᴴH / σ²``, ``h = Re Hᴴ(y − H_0) / σ²`` over the full plane.
        """
        noise = noise[self.shells]
        unexplained_images = block.images[:, : self.n_pixels] - design[..., 0]
        information, score, residual = latent_information(
            unexplained_images, design[..., 1:], weights / noise
        )
        information, score = information.cpu(), score.cpu()
        packing = _packing(block.lengths)
        m, t = len(block.lengths), int(block.lengths.max())
        packed_information = information.new_zeros(m, t, *information.shape[1:])
        packed_score = score.new_zeros(m, t, score.shape[1])
        packed_information[packing], packed_score[packing] = information, score
        interval = torch.zeros(m, t, dtype=torch.long)
        interval[packing] = block.interval_index
        movies = smooth(packed_information, packed_score, transitions[interval[:, 1:]])
        log_det = (weights * noise.log()).double().sum() * int(block.used.sum())
        unexplained = residual.square().double().sum() + log_det
        sums.log_likelihood += float(movies.log_evidence.sum()) - 0.5 * float(unexplained)
        return movies, packing

    def _add_moments(
        self, sums: Sums, block: Batch, movies: SmoothedMovies, packing: tuple[Tensor, Tensor]
    ) -> None:
        """Add the posterior of a block of movies, and its moments, to the sums."""
        mean, covariance = movies.mean, movies.covariance
        sums.posterior.mean[block.rows] = mean[packing]
        sums.posterior.covariance[block.rows] = covariance[packing]
        valid = packing[1] > 0
        movie, frame = packing[0][valid], packing[1][valid]
        u = torch.cat([mean[movie, frame], mean[movie, frame - 1]], dim=-1)
        lag = movies.lag_covariance[movie, frame - 1]
        sums.posterior.lag[block.rows[valid]] = lag
        spread = joint_covariance(covariance[movie, frame], lag, covariance[movie, frame - 1])
        pairs = u[..., :, None] * u[..., None, :] + spread
        index = block.interval_index[valid]
        sums.moments.pairs.index_add_(0, index, pairs)
        sums.moments.counts.index_add_(0, index, torch.ones_like(pairs[:, 0, 0]))

    def _explain(
        self, sums: Sums, block: Batch, design: Tensor, mean: Tensor, covariance: Tensor
    ) -> Tensor:
        """Compute the residual of a block by channel, ``(F, P, K)``; add its power to the sums.

        With u = (1, z), ``r̄ = y − Σ_j E[u_j] H_j`` and C the covariance of u, channel j has
        ``E[u_j] r̄ − Σ_i C_ji H_i``, and the power is ``|r̄|² + Σ_ij C_ij H_i* H_j``.
        """
        images = block.images[:, : self.n_pixels]
        residual = images - (design @ mean[..., None].to(design.dtype)).squeeze(-1)
        spread = design @ covariance.to(design.dtype)
        power = residual.abs().square() + (spread * design.conj()).real.sum(-1)
        counts = self.weights.double() * int(block.used.sum())
        both = torch.stack([(power * self.weights).double().sum(0), counts])
        sums.residual_power.index_add_(1, self.shells.clamp(max=self.grid.n_shells - 1), both)
        return residual[..., None] * mean[:, None] - spread

    def _insert(
        self,
        sums: Sums,
        noise: Tensor,
        block: Batch,
        corners: Corners,
        values: Tensor,
        mean: Tensor,
        covariance: Tensor,
    ) -> None:
        """Add the gradient ``Pᵀ CTF values / σ²`` and the normal matrix of a block to voxels."""
        ctf = self._ctf(block)
        # One half at the origin, which is its own Friedel mirror and is added twice.
        precision = (self.weights / 2) / noise[self.shells]
        values = values * (ctf * precision)[..., None]
        i, j = torch.triu_indices(mean.shape[1], mean.shape[1])
        second = (mean[:, i] * mean[:, j] + covariance[:, i, j])[:, None]
        normal = (ctf.square() * precision)[..., None] * second
        inserted = torch.cat(
            [
                torch.view_as_real(corners.restore(values.flatten(0, 1))).flatten(1),
                normal.flatten(0, 1),
            ],
            dim=1,
        )
        self.grid.insert(sums.voxels, corners, inserted)

    def _with_constant(self, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """Mean ``(F, K)`` and covariance ``(F, K, K)`` of u = (1, z), on the device."""
        mean = nn.functional.pad(posterior.mean.float(), (1, 0), value=1.0)
        covariance = nn.functional.pad(posterior.covariance.float(), (1, 0, 1, 0))
        return mean.to(self.grid.device), covariance.to(self.grid.device)

    def _common(self, parameters: LinearParameters) -> LinearParameters:
        """The parameters of the first process; machines may differ in the last bits."""
        if self.processes.size == 1:
            return parameters
        dynamics = parameters.dynamics
        volumes, noise, rotation, decay = (
            t.clone(memory_format=torch.contiguous_format)
            for t in (parameters.volumes, parameters.noise, dynamics.rotation, dynamics.decay)
        )
        self.processes.same(volumes, noise, rotation, decay)
        dynamics = replace(dynamics, rotation=rotation, decay=decay)
        return replace(parameters, volumes=volumes, noise=noise, dynamics=dynamics)

    def _total(self, sums: Sums, *, gradient: bool) -> Sums:
        """Add up the sums of all processes, and complete those over voxels."""
        if gradient:
            self.processes.add(sums.voxels)
            self._closed(sums)
        posterior, moments = sums.posterior, sums.moments
        self.processes.add(posterior.mean, posterior.covariance, posterior.lag)
        self.processes.add(moments.pairs, moments.counts, sums.residual_power)
        penalty = sums.penalty if self.processes.is_main else 0.0  # it is not a sum over frames
        numbers = torch.tensor([sums.log_likelihood, penalty], dtype=torch.float64)
        self.processes.add(numbers)
        sums.log_likelihood, sums.penalty = numbers.tolist()
        return sums

    def _closed(self, sums: Sums) -> Sums:
        """Add the Friedel mirrors to voxels at kx = 0, conjugate in complex channels."""
        channels = sums.posterior.mean.shape[1] + 1
        sign = torch.ones(sums.voxels.shape[1], device=self.grid.device)
        sign[1 : 2 * channels : 2] = -1  # imaginary parts
        self.grid.close(sums.voxels, sign)
        return sums


def _packing(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Movie and position in it of every frame of a block, each ``(F,)``."""
    movie = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    first = lengths.cumsum(0) - lengths
    return movie, torch.arange(len(movie)) - first[movie]


def _as_movies(
    posterior: Posterior, lengths: Tensor, packing: tuple[Tensor, Tensor]
) -> SmoothedMovies:
    """Given latents of the frames of a block, by movie."""
    m, t, q = len(lengths), int(lengths.max()), posterior.mean.shape[1]
    mean = posterior.mean.new_zeros(m, t, q)
    covariance, lag = mean.new_zeros(m, t, q, q), mean.new_zeros(m, t, q, q)
    mean[packing], covariance[packing], lag[packing] = vars(posterior).values()
    return SmoothedMovies(mean, covariance, lag[:, 1:], mean.new_zeros(m))
