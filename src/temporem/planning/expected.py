"""Expected result of a linear model, from the information of its images.

No image is made and nothing is trained. With N frames of noise variance σ², a Fourier coefficient
of the volume at radius r is sampled ``N / 2r`` times (a plane of every frame; Crowther 1970), so
that component j has an error of variance

``E |Û_j − U_j|² = 2 r σ² / (D N ⟨CTF²⟩ ⟨ẑ_j²⟩)``,

D the box, ``⟨ẑ²⟩`` the variance of the latents as they are inferred: noise in latents costs
information on volumes. Volumes are drawn with this error, filtered and masked as the linear model
does. Latents follow from the same information matrices and the same smoother as in a fit, with the
drawn volumes. Both are repeated until they agree. The volumes of frames are then compared with the
true ones as :func:`temporem.evaluate` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.masks import apply_mask
from temporem.evaluation.metrics.latents import parameter_agreement
from temporem.evaluation.principal_axes import principal_axes
from temporem.linear.dynamics import Dynamics, Moments
from temporem.linear.information import latent_information
from temporem.linear.smoother import smooth
from temporem.physics.fsc import (
    TRUTH_THRESHOLD,
    area_under_curve,
    fourier_shell_correlation,
    resolution,
)
from temporem.planning.scene import Scene
from temporem.volumes.linear_volumes import LinearVolumes

_ROUNDS = 3
_MOST_COMPONENTS = 4
_MOVIES = 100  # whose latents are drawn, at most
_FRAMES = 64  # whose volumes are compared
_BLOCK = 32
_SEEN = 0.02  # nats per frame by which components must predict movies better than the mean


@dataclass(frozen=True)
class Expected:
    """Expected result of a linear model.

    Attributes:
        movies: number of movies.
        snr: signal-to-noise ratio.
        components: number of components that predict unseen movies best.
        seen: the movies tell the motion from noise.
        moving_angstrom: resolution of single frames where they move, at FSC 0.5 with the truth.
        whole_angstrom: the same in the whole box.
        moving_area: mean FSC over all shells where they move, at most 1.
        latent_error: error of the true parameter as read from latents, in its unit.
        parameter: name of the parameter, with its unit last.
        parameter_sd: its standard deviation.
        gain: nats per frame that the motion adds to the likelihood of unseen movies.
    """

    movies: int
    snr: float
    components: int
    seen: bool
    moving_angstrom: float
    whole_angstrom: float
    moving_area: float
    latent_error: float
    parameter: str
    parameter_sd: float
    gain: float


@dataclass(frozen=True, eq=False)
class _Fit:
    """Drawn volumes and latents with some number of components."""

    volumes: Tensor  # complex (q + 1, P)
    latents: Tensor  # (n, q)
    gain: float


def expect(scene: Scene, *, movies: int, snr: float, seed: int = 0) -> Expected:
    """Predict what a fit of ``movies`` movies at a signal-to-noise ratio will find.

    Args:
        scene: molecule, motion and microscope.
        movies: number of movies.
        snr: variance of the signal divided by that of the noise.
        seed: of the errors that are drawn.
    """
    sample = _Sample.of(scene, snr, movies)
    n_frames = movies * len(scene.state) / len(scene.movies)
    fit = _fit(scene, sample, 1, n_frames, seed)
    for q in range(2, min(_MOST_COMPONENTS, len(scene.modes) - 1) + 1):
        more = _fit(scene, sample, q, n_frames, seed)
        if more.gain <= fit.gain:
            break
        fit = more
    curves = _curves(scene, sample, fit)
    pixel = scene.config.pixel_size_angstrom
    angstrom = {
        name: float(np.mean(resolution(curve, TRUTH_THRESHOLD, pixel).angstrom))
        for name, curve in curves.items()
    }
    name, parameter = _parameter(scene)
    chosen = parameter[sample.rows]
    found = parameter_agreement(principal_axes(fit.latents.numpy()), sample.movie, chosen)
    return Expected(
        movies=movies,
        snr=snr,
        components=fit.latents.shape[1],
        seen=fit.gain > _SEEN,
        moving_angstrom=angstrom["moving"],
        whole_angstrom=angstrom["whole"],
        moving_area=float(area_under_curve(curves["moving"]).mean()),
        latent_error=float(found["trajectory_rmse"]),
        parameter=name,
        parameter_sd=float(chosen.std()),
        gain=fit.gain,
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """Frames whose latents are drawn, with slices of the true volumes' components."""

    rows: np.ndarray
    movie: np.ndarray
    rotations: Tensor
    ctf: Tensor
    slices: Tensor  # of μ and all modes, complex (n, P, R + 1), CTF applied
    weights: Tensor  # of image frequencies, per variance of the noise
    noise_variance: float
    packing: tuple[Tensor, Tensor]
    steps: np.ndarray  # time before each frame in median intervals, (n,)

    @classmethod
    def of(cls, scene: Scene, snr: float, n_movies: int) -> _Sample:
        model, movies = scene.forward_model, scene.movies[: min(n_movies, _MOVIES)]
        rows = np.concatenate(movies)
        index = torch.from_numpy(rows)
        volumes = LinearVolumes(model.box, len(scene.modes) - 1)
        volumes.set_maps(scene.support.ifft(scene.modes))
        rotations = scene.frames.poses.rotations[index].float()
        ctf = model.ctf(scene.frames.ctf[index])
        movie = np.repeat(np.arange(len(movies)), [len(m) for m in movies])
        position = np.concatenate([np.arange(len(m)) for m in movies])
        times = scene.frames.times_seconds[rows] / scene.config.frame_interval_seconds
        steps = np.diff(times, prepend=times[0])
        variance = scene.signal_variance / snr
        return cls(
            rows=rows,
            movie=movie,
            rotations=rotations,
            ctf=ctf,
            slices=_observed(scene, volumes, rotations, ctf),
            weights=model.support.weights / variance,
            noise_variance=variance,
            packing=(torch.from_numpy(movie), torch.from_numpy(position)),
            steps=np.where(position == 0, 1.0, np.maximum(steps, 0.01)),
        )


def _observed(scene: Scene, volumes: LinearVolumes, rotations: Tensor, ctf: Tensor) -> Tensor:
    model = scene.forward_model
    blocks = [
        model.observe(volumes.slices(model.slice_frequencies(turns)), own[..., None])
        for turns, own in zip(rotations.split(_BLOCK), ctf.split(_BLOCK), strict=True)
    ]
    return torch.cat(blocks)


def _fit(scene: Scene, sample: _Sample, q: int, n_frames: float, seed: int) -> _Fit:
    """Draw volumes and latents until they agree on how well latents are known."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(q + 1, *(scene.config.box,) * 3, generator=generator)
    kicks = torch.randn(len(sample.rows), q, generator=generator, dtype=torch.float64)
    errors = scene.support.fft(noise)
    dynamics = _dynamics(scene, q)
    known = torch.ones(q)
    state = torch.from_numpy(scene.state[sample.rows])
    true = scene.latents[state]
    model = LinearVolumes(scene.config.box, q)
    weights = torch.cat([torch.ones(len(true), 1, dtype=torch.float64), true], dim=1)
    images = (sample.slices * weights[:, None].to(sample.slices.dtype)).sum(-1)
    volumes, latents, gain = scene.modes[: q + 1], true[:, :q], 0.0
    for _ in range(_ROUNDS):
        volumes = _drawn(scene, sample, errors, torch.cat([torch.ones(1), known]), n_frames)
        model.set_maps(scene.support.ifft(volumes))
        design = _observed(scene, model, sample.rotations, sample.ctf)
        information, score, _ = latent_information(
            images - design[..., 0], design[..., 1:], sample.weights
        )
        values, vectors = torch.linalg.eigh(information)
        root = vectors * values.clamp(min=0).sqrt()[:, None]
        score = score + (root @ kicks[..., None]).squeeze(-1)
        latents, gain = _smoothed(sample, dynamics, information, score)
        known = latents.square().mean(0).clamp(1e-3, 1).float()
    return _Fit(volumes, latents, gain / len(sample.rows))


def _drawn(scene: Scene, sample: _Sample, errors: Tensor, known: Tensor, n_frames: float) -> Tensor:
    """Volumes with errors, filtered by Wiener's filter and masked, complex ``(q + 1, P)``."""
    support, model = scene.support, scene.forward_model
    shells = support.shells.clamp(max=support.n_shells - 1)
    power_of_ctf = model.support.shell_means(sample.ctf.square().mean(0))[shells]
    radius = support.radii.clamp(min=0.5)
    variance = 2 * radius * sample.noise_variance / (scene.config.box * n_frames * power_of_ctf)
    variance = variance / known[:, None]
    true = scene.modes[: len(known)]
    signal = support.shell_means(true.abs().square())
    noise = support.shell_means(variance)
    wiener = (signal / (signal + noise).clamp(min=1e-30))[:, shells]
    found = wiener * (true + variance.sqrt() * errors)
    masks = torch.stack([scene.model_masks[0]] + [scene.model_masks[1]] * (len(known) - 1))
    return support.fft(masks * support.ifft(found))


def _smoothed(
    sample: _Sample, dynamics: Dynamics, information: Tensor, score: Tensor
) -> tuple[Tensor, float]:
    """Posterior means of the latents, and the log-likelihood that they add to that of the mean."""
    movie, position = sample.packing
    m, t, q = int(movie.max()) + 1, int(position.max()) + 1, score.shape[1]
    packed, packed_score = score.new_zeros(m, t, q, q), score.new_zeros(m, t, q)
    packed[sample.packing], packed_score[sample.packing] = information, score
    steps = torch.ones(m, t, dtype=torch.float64)
    steps[sample.packing] = torch.from_numpy(sample.steps)
    found = smooth(packed, packed_score, dynamics.transitions(steps[:, 1:]))
    return found.mean[sample.packing], float(found.log_evidence.sum())


def _dynamics(scene: Scene, q: int) -> Dynamics:
    """Dynamics of the true latents, as the linear model would find them with all movies."""
    z = scene.latents[torch.from_numpy(scene.state)][:, :q]
    pairs = [(movie[:-1], movie[1:]) for movie in scene.movies if len(movie) > 1]
    dynamics = Dynamics.initial(q, temporal=bool(pairs))
    if not pairs:
        return dynamics
    first, second = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    times = scene.frames.times_seconds / scene.config.frame_interval_seconds
    steps = np.maximum(np.round(times[second] - times[first], 2), 0.01)
    intervals, index = np.unique(steps, return_inverse=True)
    both = torch.cat([z[torch.from_numpy(second)], z[torch.from_numpy(first)]], dim=1)
    sums = torch.zeros(len(intervals), 2 * q, 2 * q, dtype=torch.float64)
    sums.index_add_(0, torch.from_numpy(index), both[:, :, None] * both[:, None])
    counts = torch.from_numpy(np.bincount(index)).double()
    moments = Moments(torch.from_numpy(intervals), sums, counts)
    for _ in range(2):
        dynamics = dynamics.maximise(moments)
    return dynamics


def _curves(scene: Scene, sample: _Sample, fit: _Fit) -> dict[str, np.ndarray]:
    """FSC of the volumes of some frames with the true ones, ``(n, n_shells)``, by region."""
    support = scene.support
    some = np.linspace(0, len(sample.rows) - 1, min(_FRAMES, len(sample.rows))).round()
    chosen = torch.from_numpy(np.unique(some.astype(np.int64)))
    curves: dict[str, list[Tensor]] = {"moving": [], "whole": []}
    for part in chosen.split(_BLOCK // 2):
        weights = torch.cat([torch.ones(len(part), 1), fit.latents[part].float()], dim=1)
        found = weights.to(fit.volumes.dtype) @ fit.volumes
        true = scene.volumes[torch.from_numpy(scene.state[sample.rows[part.numpy()]])]
        curves["whole"].append(fourier_shell_correlation(found, true, support))
        if scene.moving is not None:
            inside = apply_mask(support.ifft(torch.stack([found, true])), scene.moving, support)
            curves["moving"].append(fourier_shell_correlation(inside[0], inside[1], support))
    if scene.moving is None:
        curves["moving"] = curves["whole"]
    return {name: torch.cat(parts).numpy() for name, parts in curves.items()}


def _parameter(scene: Scene) -> tuple[str, np.ndarray]:
    """Name and values of the parameter of the motion that varies most, ``(N,)``."""
    values = scene.frames.parameters.numpy()
    chosen = int(np.argmax(values.std(0)))
    return scene.parameter_names[chosen], values[:, chosen]
