"""Null tests of motion: would a molecule that does not move look like this?

Two linear models, each of half of the movies, give two statistics. The *gain* of
:mod:`temporem.linear.half_scores` tells by how much they make the movies of the other half likelier
than their mean volumes do. The *agreement* tells how alike the changes of both are.

1. *Still*: both against those of a molecule that does not move (parametric bootstrap; Efron and
   Tibshirani 1993). Both must be larger, because noise that is not as it was modelled can raise the
   gain, but not make halves agree.
2. *Poses*: the same in poses that are off by as much as those of the dataset were measured to be.
3. *Order*: the gain against those with the frames of every movie in random order (permutation
   test).
4. *Direction*: do movies differ from the same movies played backwards? What is odd under reversal
   is a latent's drift with time, and the sense in which two latents circle. Movies that look alike
   in both directions have it with either sign (test of random signs).

A later question makes sense only after the earlier ones, and is tested only then, each at the level
0.05. In this fixed sequence the chance of any false claim stays below 0.05 (Westfall and Krishen
2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.resampling import interval_over_movies
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.movie_subset import some_movies
from temporem.frames.settings import DataSettings
from temporem.linear.half_scores import LEAST_MOVIES, HalfScores, UnseenMovies, score_halves
from temporem.physics.poses import Poses
from temporem.poses.errors import PoseErrors, measure_pose_errors
from temporem.progress import Progress
from temporem.validation.null_facts import (
    LEVEL,
    DirectionFacts,
    NullFacts,
    OrderFacts,
    SimulatedFacts,
)
from temporem.validation.still_molecule import StillMolecule, still_molecule

LEAST_SETS = 19
"""Simulated sets below which no p-value can be 0.05."""
SETS = 20
"""Simulated sets unless more are asked for."""

STILL, POSES = "still", "poses"
_BOX = 20  # pixels, over the same field of view; motion shows at low resolution
_COMPONENTS = 2  # the fewest that can circle
_FRAMES_PER_COMPONENT = 10
_ORDERS, _ORDERS_AT_A_TIME = 199, 20
_SIGNS = 1999
_ADJUSTING = 6  # sets that take as long as the adjustment of a still molecule

Pairs = list[tuple[float, float]]
"""Gain and agreement of simulated sets."""

Kept = Callable[[str, Pairs], None]


@dataclass(frozen=True, eq=False)
class _Real:
    """The frames that are tested, and what halves of them find."""

    frames: Frames
    scores: HalfScores
    components: int

    @property
    def gain(self) -> float:
        """Gain, nats per frame."""
        return _per_frame(self.scores.gains, self.frames)

    def against(self, pairs: Pairs) -> SimulatedFacts:
        """Compare with simulated sets."""
        gains, agreements = np.array(pairs).T
        return SimulatedFacts(
            gains=gains.tolist(),
            agreements=agreements.tolist(),
            p_gain=_rank(self.gain, gains),
            p_agreement=_rank(self.scores.agreement, agreements),
        )


def null_tests(
    data: Dataset,
    *,
    poses: Poses | None = None,
    sets: int = SETS,
    most_frames: int = 3000,
    settings: DataSettings | None = None,
    seed: int = 0,
    poses_from_images: bool = False,
    known: Callable[[float], Mapping[str, Pairs]] = lambda gain: {},
    keep: Kept = lambda name, pairs: None,
    progress: Progress | None = None,
) -> NullFacts:
    """Test if the molecule of some movies moves, in the poses of their frames.

    Args:
        data: the movies.
        poses: poses of the frames; the dataset's when None.
        sets: simulated datasets of a test, 19 or more; no p-value is below ``1 / (sets + 1)``.
        most_frames: of more frames, whole movies are taken that are spread over the dataset.
        settings: preparation of the images; the defaults when None.
        seed: of everything that is drawn.
        poses_from_images: the poses were found from these images; the result says what that means.
        known: gives what simulated sets had that were made before, by test, for the gain of the
            data.
        keep: called with the name of a test and what its sets have, after every simulated set.
        progress: receives the progress.

    Raises:
        TemporemError: no poses, too few movies, frames or sets.

    Example:
        >>> tests = tm.null_tests(tm.read_dataset("movies"))
        >>> tests.moves
        True
        >>> print(*tests.sentences(), sep="\\n")
    """
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    if sets < LEAST_SETS:
        raise TemporemError(
            f"null tests with {sets} simulated sets", expected=f"at least {LEAST_SETS}"
        )
    progress = progress or Progress()
    settings = settings or DataSettings()
    real = _real(_spread(data, most_frames), settings, seed)
    stored = known(real.gain)
    parts = progress.part(0.04, 0.5), progress.part(0.5, 0.97)

    def simulated(name: str, errors: PoseErrors | None, part: Progress) -> SimulatedFacts:
        pairs = list(stored.get(name, ()))[:sets]
        molecule: StillMolecule | None = None
        while len(pairs) < sets:
            done = _ADJUSTING * (molecule is not None) + len(pairs)
            part(done, _ADJUSTING + sets, f"simulated set {len(pairs) + 1}/{sets}")
            if molecule is None:
                molecule = still_molecule(
                    real.frames,
                    real.scores.noise,
                    window_radius=settings.window_radius,
                    errors=errors,
                    seed=seed,
                )
            pairs.append(_simulated(molecule, real.components, seed, len(pairs)))
            keep(name, pairs)
        part(1, 1)
        return real.against(pairs)

    still, of_poses, order, direction = simulated(STILL, None, parts[0]), None, None, None
    errors = measure_pose_errors(real.frames)
    moves = still.p <= LEVEL
    if moves and errors is not None:
        of_poses = simulated(POSES, errors, parts[1])
        moves = of_poses.p <= LEVEL
    progress(0.97, 1, "order of frames")
    if moves and any(len(movie) > 1 for movie in real.frames.training):
        order = _order(real, seed)
        if order.p <= LEVEL:
            direction = DirectionFacts(p=direction_of_time(real.scores.unseen, seed))
    progress(1, 1)
    gains, lengths = real.scores.gains.numpy(), _lengths(real.frames)
    model = real.frames.forward_model
    return NullFacts(
        n_movies=len(lengths),
        n_frames=int(lengths.sum()),
        components=real.components,
        angstrom=model.box * model.pixel_size_angstrom / real.scores.solver.grid.radius,
        sets=sets,
        poses_from_images=poses_from_images,
        gain=real.gain,
        gain_interval=interval_over_movies(gains, lengths),
        agreement=real.scores.agreement,
        angle_degrees=None if errors is None else errors.angle_degrees,
        shift_angstrom=None if errors is None else errors.shift_angstrom,
        still=still,
        poses=of_poses,
        order=order,
        direction=direction,
    )


def _real(data: Dataset, settings: DataSettings, seed: int) -> _Real:
    """Prepare frames at low resolution, and fit halves of them."""
    movies, n = data.movies, data.n_frames
    if len(movies) < LEAST_MOVIES or n < 2 * _FRAMES_PER_COMPONENT:
        raise TemporemError(
            f"{data.path} has {len(movies)} movies of {n} frames",
            expected=f"at least {LEAST_MOVIES} movies and {2 * _FRAMES_PER_COMPONENT} frames, so "
            "that halves of them can be compared",
        )
    # At low resolution, a GPU would wait for the processor most of the time.
    frames = prepare_frames(data, settings, movies, torch.device("cpu"))
    frames = frames.cropped(min(_BOX, data.box), memory_gb=float("inf"))
    few = n < 4 * _COMPONENTS * _FRAMES_PER_COMPONENT
    components = 1 if few else _COMPONENTS
    scores = score_halves(frames, components, window_radius=settings.window_radius, seed=seed)
    return _Real(frames, scores, components)


def _spread(data: Dataset, most_frames: int) -> Dataset:
    """Movies of up to so many frames, evenly spread over all."""
    movies = data.movies
    if data.n_frames <= most_frames:
        return data
    n = max(LEAST_MOVIES, len(movies) * most_frames // data.n_frames)
    chosen = np.unique(np.linspace(0, len(movies) - 1, n).round().astype(int))
    return some_movies(data, [movies[i] for i in chosen])


def _simulated(
    molecule: StillMolecule, components: int, seed: int, number: int
) -> tuple[float, float]:
    """Gain and agreement of one simulated set."""
    frames = molecule.draw(int(np.random.default_rng([seed, number]).integers(2**31)))
    scores = score_halves(frames, components, window_radius=molecule.window_radius, seed=seed)
    return _per_frame(scores.gains, frames), scores.agreement


def _order(real: _Real, seed: int) -> OrderFacts:
    """Compare the gain with those of frames in random order."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = []
    for start in range(0, _ORDERS, _ORDERS_AT_A_TIME):
        n = min(_ORDERS_AT_A_TIME, _ORDERS - start)
        gains = [half.shuffled_gains(n, generator).sum(1) for half in real.scores.unseen]
        shuffled.append(gains[0] + gains[1])
    values = torch.cat(shuffled).numpy() / _lengths(real.frames).sum()
    return OrderFacts(shuffled_gain=float(values.mean()), p=_rank(real.gain, values))


def direction_of_time(halves: Sequence[UnseenMovies], seed: int) -> float:
    """Test if movies differ from the same movies played backwards; returns the p-value.

    The statistic is Hotelling's T² of what is odd under reversal, summed over the halves. Its null
    distribution is that of random signs of the movies.
    """
    odd = [odd_under_reversal(half.latents, half.valid, half.times) for half in halves]
    random = np.random.default_rng(seed)
    squares = np.zeros(1 + _SIGNS)
    for values in odd:
        signs = random.choice([-1.0, 1.0], size=(1 + _SIGNS, len(values)))
        signs[0] = 1  # as observed
        sums = signs @ values
        squares += np.einsum("si,ij,sj->s", sums, np.linalg.pinv(values.T @ values), sums)
    return _rank(float(squares[0]), squares[1:])


def odd_under_reversal(latents: Tensor, valid: Tensor, times: Tensor) -> np.ndarray:
    """Numbers of each movie whose sign changes if it is played backwards.

    They are the slope of each latent in time, times the variance of the times, and the area that
    each pair of latents sweeps, ``Σ_t (z_t × z_{t+1})``.

    Args:
        latents: ``(M, T, q)``.
        valid: true where a movie has a frame, ``(M, T)``.
        times: of the frames, ``(M, T)``.

    Returns:
        ``(M, q + q (q − 1) / 2)``.
    """
    here = valid.double()
    counts = here.sum(1, keepdim=True)
    centred = (times - (times * here).sum(1, keepdim=True) / counts) * here
    z = latents - (latents * here[..., None]).sum(1, keepdim=True) / counts[..., None]
    z = z * here[..., None]
    slope = (centred[..., None] * z).sum(1)
    i, j = torch.triu_indices(z.shape[-1], z.shape[-1], offset=1)
    before, after = z[:, :-1], z[:, 1:]
    area = (before[..., i] * after[..., j] - before[..., j] * after[..., i]).sum(1)
    return torch.cat([slope, area], dim=1).numpy()


def _rank(observed: float, drawn: np.ndarray) -> float:
    """The p-value of a statistic among those of the null (Phipson and Smyth 2010)."""
    return float((1 + (drawn >= observed).sum()) / (1 + len(drawn)))


def _lengths(frames: Frames) -> np.ndarray:
    """Frames of the movies of the first half, then of the second."""
    return np.array([len(m) for half in (0, 1) for m in frames.training[half::2]])


def _per_frame(gains: Tensor, frames: Frames) -> float:
    return float(gains.sum()) / sum(map(len, frames.training))
