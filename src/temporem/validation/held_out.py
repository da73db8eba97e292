"""How well a run predicts movies that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.evaluation.resampling import interval_over_movies
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.io.checkpoint import load_checkpoint
from temporem.progress import Progress
from temporem.runs import names as run_files
from temporem.runs.half_models import FittedModel
from temporem.runs.held_out import movies_of_run
from temporem.runs.run import Run
from temporem.validation.linear_chain import LinearChain
from temporem.validation.mixture import VolumeMixture, mixture_of, one_volume
from temporem.volumes.linear_volumes import LinearVolumes

LEAST_MOVIES = 3
"""Movies below which no interval over movies means anything."""


@dataclass(frozen=True, eq=False)
class MovieScores:
    """Scores of M movies that were not trained on.

    Attributes:
        movies: names.
        n_frames: frames of each movie, ``(M,)``.
        scores: log-likelihood beyond that of the mean volume of the training movies, nats
            ``(M,)``.
        motion: log-likelihood beyond that of the mean of the model's own volumes, nats ``(M,)``. It
            is what the motion explains.
        likelihoods: log-likelihood up to a constant of the images, nats ``(M,)``.
    """

    movies: list[str]
    n_frames: np.ndarray
    scores: np.ndarray
    motion: np.ndarray
    likelihoods: np.ndarray

    @property
    def per_frame(self) -> float:
        """Mean score, nats per frame."""
        return float(self.scores.sum() / self.n_frames.sum())

    @property
    def motion_per_frame(self) -> float:
        """Mean of what the motion explains, nats per frame."""
        return float(self.motion.sum() / self.n_frames.sum())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`per_frame` over movies."""
        return _interval(self.scores, self.n_frames)

    @property
    def motion_interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`motion_per_frame` over movies."""
        return _interval(self.motion, self.n_frames)

    def __add__(self, other: MovieScores) -> MovieScores:
        """The scores of both sets of movies."""
        return MovieScores(
            self.movies + other.movies,
            np.concatenate([self.n_frames, other.n_frames]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.motion, other.motion]),
            np.concatenate([self.likelihoods, other.likelihoods]),
        )


class Gain(NamedTuple):
    """A difference of two runs, nats per frame, with its 95 % interval over movies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Advantage:
    """How much better b predicts movies than a; positive favours b.

    Attributes:
        change: what comes from what the volumes show of the change between frames.
        mean: what comes from the mean of the volumes.
        whole: both.
        n_movies: movies that were compared.
    """

    change: Gain
    mean: Gain
    whole: Gain
    n_movies: int


def score_held_out_movies(
    run: Run, dataset: Dataset, progress: Progress | None = None
) -> MovieScores:
    """Score the movies that a run held out.

    Args:
        run: a finished run with ``data.held_out_fraction``.
        dataset: the movies that it was made from.
        progress: receives the progress.

    Raises:
        TemporemError: the run held out no movies, or found the poses of these itself.
    """
    if not run.held_out.any():
        raise TemporemError(
            f"{run.path} held out no movies",
            expected="movies that the run was not trained on",
            hint="pass --half-sets, or reconstruct with --set data.held_out_fraction=0.2",
        )
    if run.config.searches_poses or run.config.learned_poses != "none":
        raise TemporemError(
            f"{run.path} found the poses of its held-out movies from their own images, so that "
            "these are no test of its volumes",
            expected="a run with --poses known",
        )
    movies, training = movies_of_run(dataset, run.config)
    frames = prepare_frames(movies, run.config.data, training, choose_device("auto"))
    stored = load_checkpoint(run.path / run_files.MODEL)
    model = FittedModel(run.generator, run.latent_means, frames, stored)
    return scores_of(model, frames.held_out, run, dataset.particle_names, progress)


def score_other_halves(
    models: tuple[FittedModel, FittedModel],
    run: Run,
    names: list[str],
    progress: Progress | None = None,
) -> MovieScores:
    """Score the movies of each half with the model of the other."""
    progress = progress or Progress()
    first, second = models
    one = scores_of(first, second.frames.training, run, names, progress.part(0, 0.5))
    other = scores_of(second, first.frames.training, run, names, progress.part(0.5, 1))
    return one + other


def scores_of(
    model: FittedModel,
    movies: list[np.ndarray],
    run: Run,
    names: list[str],
    progress: Progress | None = None,
) -> MovieScores:
    """Score movies that a model of a run's method was not trained on.

    Args:
        model: the model.
        movies: rows of these movies.
        run: gives the method's settings.
        names: movie of every row.
        progress: receives the progress.
    """
    progress, frames = progress or Progress(), model.frames
    generator = model.generator
    distribution: LinearChain | VolumeMixture
    if isinstance(generator, LinearVolumes) and generator.z_dim:
        temporal = run.config.linear.temporal
        distribution = LinearChain.of_stored(generator, model.stored, temporal=temporal)
    else:
        distribution = mixture_of(generator, model.latents, frames)
    progress(1, 3, "unseen movies")
    scores = scores_of_distribution(distribution, frames, movies, names)
    progress(3, 3, "unseen movies")
    return scores


def scores_of_distribution(
    distribution: LinearChain | VolumeMixture,
    frames: Frames,
    movies: list[np.ndarray],
    names: list[str],
) -> MovieScores:
    """Score movies by a distribution that was made of ``frames.training`` alone.

    Args:
        distribution: gives the likelihood of a movie.
        frames: all frames, with the mean volume of those for training.
        movies: rows of the movies to score.
        names: movie of every row.
    """
    found = distribution.movie_log_likelihoods(frames, movies)
    mean = frames.statistics.mean_volume.volume
    reference, still = (
        one_volume(volume.cpu()).movie_log_likelihoods(frames, movies)
        for volume in (mean, distribution.mean)
    )
    return MovieScores(
        movies=[names[movie[0]] for movie in movies],
        n_frames=np.array([len(movie) for movie in movies]),
        scores=(found - reference).numpy(),
        motion=(found - still).numpy(),
        likelihoods=found.numpy(),
    )


def advantage(a: MovieScores, b: MovieScores) -> Advantage:
    """Compare two runs on the movies that neither was trained on.

    Raises:
        TemporemError: they were scored on different movies.
    """
    if a.movies != b.movies or not np.array_equal(a.n_frames, b.n_frames):
        raise TemporemError(
            "the runs were scored on different movies",
            expected="runs of one dataset that hold out the same movies",
            hint="use the same seed and data.held_out_fraction",
        )
    whole, change = b.likelihoods - a.likelihoods, b.motion - a.motion
    n = a.n_frames

    def gain(part: np.ndarray) -> Gain:
        return Gain(float(part.sum() / n.sum()), *_interval(part, n))

    return Advantage(gain(change), gain(whole - change), gain(whole), len(a.movies))


def _interval(sums: np.ndarray, n_frames: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval over movies of the mean over frames; NaN with too few movies."""
    if len(sums) < LEAST_MOVIES:
        return float("nan"), float("nan")
    return interval_over_movies(sums, n_frames)
