"""Comparison of latents of any programs on one dataset, without a truth.

Volumes follow from latents by kernel regression, the same for all programs, from each half of the
movies. So programs are compared by their latents alone, and not by their decoders.

Latents that follow the noise of images can make half maps agree: each half selects the same noise.
So the score of a movie uses no latent of its own. Volumes of one half are a hidden Markov model
(:mod:`temporem.validation.mixture`). The score is its likelihood of the movies of the other half,
beyond that of the mean of the same volumes. Averages of a few frames differ from one another even
if these are chosen at random. So the score with latents that are shuffled among the frames is
subtracted. Invented latents gain nothing then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.mrc import write_volume
from temporem.physics.fourier import FourierSupport
from temporem.physics.k_means import n_different
from temporem.physics.poses import Poses
from temporem.progress import Progress
from temporem.validation.half_sets import HalfSetAgreement, compare_half_sets
from temporem.validation.held_out import MovieScores, advantage, scores_of_distribution
from temporem.validation.kernel_volumes import KernelVolumes
from temporem.validation.latent_facts import (
    AdvantageFacts,
    LatentComparison,
    LatentFacts,
    RegionResolution,
)
from temporem.validation.mixture import mixture_of

LEAST_MOVIES = 6
"""Movies below which halves of them say nothing."""
RESULT = "latents.json"
"""File of the numbers of a comparison."""
STATES = 10
"""Volumes along the latents whose half maps are compared."""

_BOX = 24  # pixels, for likelihoods; motion shows at low resolution
_SHARES = (0.03, 0.1, 0.3)  # of the frames, that a volume may be worth
_LEAST_FRAMES = 8  # that a volume is worth
_SHUFFLES = 3  # of latents among frames
_VOLUMES = 12  # of a hidden Markov model
_SCORES = 0.6  # of the time


@dataclass(frozen=True, eq=False)
class _Half:
    """Frames with the statistics of half of the movies, at both resolutions."""

    fine: Frames
    low: Frames
    others: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class LatentScores:
    """Worth of the latents of one program.

    Attributes:
        facts: in numbers.
        scores: of every movie.
        agreement: of the half maps.
        noise_scale: factor that brings these maps into the units of the images.
    """

    facts: LatentFacts
    scores: MovieScores
    agreement: HalfSetAgreement
    noise_scale: float


def compare_latents(
    data: Dataset,
    latents: Mapping[str, np.ndarray],
    *,
    poses: Poses | None = None,
    settings: DataSettings | None = None,
    progress: Progress | None = None,
) -> tuple[LatentComparison, Mapping[str, LatentScores]]:
    """Compare latents of several programs, or test those of one, without a truth.

    Args:
        data: the movies.
        latents: by name, latents of all frames, ``(N, q)`` each.
        poses: poses of the frames; the dataset's when None.
        settings: preparation of the images; the defaults when None.
        progress: receives the progress.

    Returns:
        The comparison, and what it is made from, by name. Latents are compared with the first.

    Raises:
        TemporemError: no poses, too few movies, or latents of other frames.

    Example:
        >>> data, truth = tm.simulate_movies("toy-free", movies=20)
        >>> noise = np.random.default_rng(0).normal(size=(data.n_frames, 1))
        >>> angle = truth.parameters.numpy()
        >>> found, parts = tm.compare_latents(data, {"angle": angle, "noise": noise})
        >>> found.latents["angle"].gain > found.latents["noise"].gain
        True
    """
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    _require(data, latents)
    settings, progress = settings or DataSettings(), progress or Progress()
    halves = _halves(data, settings)
    parts = {}
    for index, (name, values) in enumerate(latents.items()):
        part = progress.part(index / len(latents), (index + 1) / len(latents), name)
        parts[name] = _assess(data, halves, torch.as_tensor(values), settings, part)
    first, *others = parts
    against = {
        name: AdvantageFacts.of(advantage(parts[first].scores, parts[name].scores))
        for name in others
    }
    facts = {name: part.facts for name, part in parts.items()}
    found = LatentComparison(
        pixel_size_angstrom=data.pixel_size_angstrom,
        baseline=first,
        latents=facts,
        advantages=against,
    )
    return found, parts


def _require(data: Dataset, latents: Mapping[str, np.ndarray]) -> None:
    if not latents:
        raise TemporemError("no latents were given", expected="those of one program or more")
    if data.n_movies < LEAST_MOVIES:
        raise TemporemError(
            f"{data.path} has {data.n_movies} movies",
            expected=f"at least {LEAST_MOVIES}, so that halves of them can be compared",
        )
    for name, values in latents.items():
        if values.ndim != 2 or len(values) != data.n_frames or not values.shape[1]:
            raise TemporemError(
                f"latents of {name} have shape {values.shape}",
                expected=f"({data.n_frames}, q), a row for each frame of {data.path}",
            )
        if not np.isfinite(values).all():
            raise TemporemError(f"latents of {name} are not finite", expected="finite numbers")


def _halves(data: Dataset, settings: DataSettings) -> tuple[_Half, _Half]:
    cpu = torch.device("cpu")
    sets = data.movies[0::2], data.movies[1::2]
    fine = [prepare_frames(data, settings, own, cpu) for own in sets]
    low = [frames.cropped(min(_BOX, data.box), memory_gb=float("inf")) for frames in fine]
    return _Half(fine[0], low[0], sets[1]), _Half(fine[1], low[1], sets[0])


def _assess(
    data: Dataset,
    halves: tuple[_Half, _Half],
    latents: Tensor,
    settings: DataSettings,
    progress: Progress,
) -> LatentScores:
    """Score latents, and compare the half maps that they give."""
    fewest = min(sum(map(len, half.fine.training)) for half in halves)
    shares = sorted({max(share, min(_LEAST_FRAMES / fewest, 1.0)) for share in _SHARES})
    rows = [np.concatenate(half.fine.training) for half in halves]
    random = np.random.default_rng(0)
    orders = [[random.permutation(own) for own in rows] for _ in range(_SHUFFLES)]
    scores: dict[tuple[int, float], MovieScores] = {}
    done, total = 0, 2 * len(shares) * (1 + _SHUFFLES)
    for share in shares:
        for index, half in enumerate(halves):
            found = []
            for order in [rows, *orders]:
                progress(_SCORES * done, total, "unseen movies")
                given = latents.clone()
                given[rows[index]] = latents[order[index]]
                found.append(_score(data, half, given, share, settings))
                done += 1
            scores[index, share] = _beyond(found[0], found[1:])
    # The width of one half is that which is best for the other: no movie chooses its own.
    best = [_best({share: scores[1 - i, share] for share in shares}) for i in (0, 1)]
    whole = scores[0, best[0]] + scores[1, best[1]]
    progress(_SCORES, 1, "half maps")
    agreement = _half_maps(halves, latents, best, settings, progress.part(_SCORES, 1))
    low, high = whole.motion_interval
    facts = LatentFacts(
        dimensions=latents.shape[1],
        movies=len(whole.movies),
        frames=int(whole.n_frames.sum()),
        share=float(np.mean(best)),
        gain=whole.motion_per_frame,
        gain_interval=(low, high),
        regions={region: RegionResolution.of(agreement, region) for region in agreement.volumes},
    )
    return LatentScores(facts, whole, agreement, halves[0].fine.statistics.noise_scale)


def _score(
    data: Dataset, half: _Half, latents: Tensor, share: float, settings: DataSettings
) -> MovieScores:
    """Score the movies of one half by volumes of the other."""
    volumes = KernelVolumes(
        half.low, latents, share, window_radius=settings.window_radius, towards_mean=True
    )
    distribution = mixture_of(volumes, latents, half.low, _VOLUMES)
    return scores_of_distribution(distribution, half.low, half.others, data.particle_names)


def _beyond(found: MovieScores, shuffled: Sequence[MovieScores]) -> MovieScores:
    """Scores beyond the mean of those with latents that belong to other frames."""

    def less(name: str) -> np.ndarray:
        return np.asarray(getattr(found, name) - np.mean([getattr(s, name) for s in shuffled], 0))

    return replace(found, scores=less("scores"), motion=less("motion"))


def _best(scores: Mapping[float, MovieScores]) -> float:
    """The share with the highest score of what changes."""
    return max(scores, key=lambda share: scores[share].motion_per_frame)


def _half_maps(
    halves: tuple[_Half, _Half],
    latents: Tensor,
    shares: list[float],
    settings: DataSettings,
    progress: Progress,
) -> HalfSetAgreement:
    """Compare volumes of both halves at latents that are spread over all frames."""
    z, place = states_of(latents.double().numpy())
    maps = []
    for index, (half, share) in enumerate(zip(halves, shares, strict=True)):
        progress(index, 2, "half maps")
        model = half.fine.forward_model
        support = FourierSupport(model.box, 3)
        volumes = KernelVolumes(
            half.fine, latents, share, window_radius=settings.window_radius, towards_mean=False
        )
        maps.append(support.ifft(volumes.volumes(support, torch.from_numpy(z))))
    progress(1, 1)
    return compare_half_sets(maps[0], maps[1], place, model.pixel_size_angstrom)


def states_of(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose latents of frames that stand for all, in order along the first principal axis.

    They are the frames nearest to the centres of k-means (Lloyd 1982).

    Args:
        latents: ``(N, q)``.

    Returns:
        Latents, up to ten ``(K, q)``, and their places along the axis ``(K,)``.
    """
    from temporem.runs.latent_points import cluster_frames, principal_axes

    k = min(STATES, n_different(latents))
    chosen = latents[cluster_frames(latents, k, seed=0).nearest]
    place = (chosen - latents.mean(0)) @ principal_axes(latents)[0]
    return chosen, place


def write_comparison(
    folder: Path,
    found: LatentComparison,
    parts: Mapping[str, LatentScores],
    pixel_size_angstrom: float,
) -> None:
    """Write the numbers, half maps of every state, and the masks, into an empty folder."""
    text = json.dumps(found.model_dump(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULT).write_text(text, encoding="utf-8")
    for number, part in enumerate(parts.values(), start=1):
        own = folder / f"latents{number}"
        own.mkdir()
        for half, maps in enumerate(part.agreement.maps, start=1):
            for state, volume in enumerate(maps, start=1):
                name = own / f"half{half}_state_{state:02d}.mrc"
                write_volume(name, part.noise_scale * volume.numpy(), pixel_size_angstrom)
        for region, mask in part.agreement.masks.items():
            write_volume(own / f"mask_{region}.mrc", mask.numpy(), pixel_size_angstrom)
