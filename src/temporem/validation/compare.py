"""Which of several runs of one dataset predicts unseen movies best; no truth is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.evaluation.summary import finite
from temporem.progress import Progress
from temporem.runs.run import Run, load_run
from temporem.validation.checks import (
    HALF_SETS,
    HELD_OUT,
    LATENTS,
    NULL_TESTS,
    check_held_out,
    dataset_of,
)
from temporem.validation.facts import HalfSetFacts, ScoreFacts
from temporem.validation.held_out import Advantage, Gain, MovieScores, advantage
from temporem.validation.latent_facts import LatentComparison
from temporem.validation.null_facts import NullFacts
from temporem.validation.storage import load_result


@dataclass(frozen=True, eq=False)
class Prediction:
    """Scores of several runs on movies that none of them was trained on.

    Attributes:
        baseline: name of the run that others are compared with.
        scores: by name.
        advantages: of every other run over the baseline, by name.
        from_half_sets: the scores are those of half sets, each on the other's movies.
    """

    baseline: str
    scores: Mapping[str, MovieScores]
    advantages: Mapping[str, Advantage]
    from_half_sets: bool

    def sentences(self) -> list[str]:
        """Say which run is better on this data, in what, and by how much."""
        one = next(iter(self.scores.values()))
        n = len(one.movies)
        texts = [
            f"Scored on all {n} movies, each with the half set that did not see it."
            if self.from_half_sets
            else f"Scored on {n} movies that were not trained on."
        ]
        for name, found in self.advantages.items():
            texts += [
                self._verdict("What changes between frames", name, found.change),
                self._verdict("The mean of all frames", name, found.mean),
                self._verdict("In all", name, found.whole),
            ]
        return texts

    def _verdict(self, what: str, name: str, gain: Gain) -> str:
        numbers = f"{gain.value:+.2f} nats per frame"
        if gain.low != gain.low:
            return f"{what}: {numbers} for {name} over {self.baseline}; too few movies to say more."
        numbers += f", 95 % from {gain.low:+.2f} to {gain.high:+.2f}"
        if gain.low <= 0 <= gain.high:
            return f"{what}: {name} and {self.baseline} do not differ significantly ({numbers})."
        better = "better" if gain.value > 0 else "worse"
        return f"{what}: {name} is {better} than {self.baseline} ({numbers})."

    def rows(self) -> dict[str, str]:
        """Each run's score, in words, by name."""
        texts = {}
        for name, found in self.scores.items():
            low, high = found.interval
            interval = f" (95 % from {low:.2f} to {high:.2f})" if low == low else ""
            texts[name] = f"{found.per_frame:+.2f} nats per frame over one volume{interval}"
        return texts

    def summary(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "baseline": self.baseline,
            "from_half_sets": self.from_half_sets,
            "nats_per_frame": {name: found.per_frame for name, found in self.scores.items()},
            "advantages": {
                name: {
                    part: finite(getattr(found, part)._asdict())
                    for part in ("change", "mean", "whole")
                }
                for name, found in self.advantages.items()
            },
        }


def compare_predictions(
    runs: Mapping[str, Path], baseline: str | None = None, progress: Progress | None = None
) -> Prediction:
    """Compare runs on movies that none of them was trained on.

    Held-out movies are scored where that was not done before. Runs without held-out movies are
    compared by their half sets.

    Args:
        runs: folders of finished runs by name, two or more.
        baseline: name of the run that others are compared with; the first when None.
        progress: receives the progress.

    Raises:
        TemporemError: no such baseline; runs that held out no movies or different ones, and have no
            half sets; runs that took images differently.
    """
    if baseline is not None and baseline not in runs:
        raise TemporemError(
            f"no run is named '{baseline}'", expected=" or ".join(f"'{name}'" for name in runs)
        )
    reference = baseline or next(iter(runs))
    loaded = {name: load_run(path) for name, path in runs.items()}
    _require_same_images(loaded)
    halves = not all(run.held_out.any() for run in loaded.values())
    score: Callable[[Run, Progress], MovieScores] = _of_half_sets if halves else _of_held_out
    progress = progress or Progress()
    scores = {
        name: score(run, progress.part(index / len(loaded), (index + 1) / len(loaded), name))
        for index, (name, run) in enumerate(loaded.items())
    }
    return judge_scores(scores, reference, from_half_sets=halves)


def judge_scores(
    scores: Mapping[str, MovieScores], baseline: str, *, from_half_sets: bool
) -> Prediction:
    """Compare scores of runs by name with those of a baseline.

    Raises:
        TemporemError: the runs were scored on different movies.
    """
    others = {
        name: advantage(scores[baseline], found)
        for name, found in scores.items()
        if name != baseline
    }
    return Prediction(baseline, scores, others, from_half_sets)


@dataclass(frozen=True, eq=False)
class Validation:
    """Results of the tests of a run so far.

    Attributes:
        held_out: scores of its held-out movies; None if they were not scored.
        half_sets: what its half sets agree on; None without half sets.
        null_tests: what null tests of its frames found; None without them.
        latents: comparison of its latents with others; None if they were not compared.
    """

    held_out: ScoreFacts | None = None
    half_sets: HalfSetFacts | None = None
    null_tests: NullFacts | None = None
    latents: LatentComparison | None = None

    @property
    def scores(self) -> MovieScores | None:
        """Scores of unseen movies, held-out ones if there are any."""
        if self.held_out is not None:
            return self.held_out.measured
        return None if self.half_sets is None else self.half_sets.other_half.measured

    def sentences(self) -> list[str]:
        """Say what the tests have found."""
        texts = [] if self.held_out is None else [self.held_out.sentence("Held-out movies")]
        texts += [] if self.half_sets is None else self.half_sets.sentences()
        return texts if self.null_tests is None else [*texts, *self.null_tests.sentences()]


def stored_validation(run: Path) -> Validation:
    """Read the results of the tests of a run.

    Raises:
        TemporemError: a damaged result, or one of another version.
    """
    return Validation(
        load_result(run, HELD_OUT, ScoreFacts),
        load_result(run, HALF_SETS, HalfSetFacts),
        load_result(run, NULL_TESTS, NullFacts),
        load_result(run, LATENTS, LatentComparison),
    )


def _of_held_out(run: Run, progress: Progress) -> MovieScores:
    stored = stored_validation(run.path).held_out
    if stored is None:
        stored = check_held_out(run, dataset_of(run), progress)
    return stored.measured


def _of_half_sets(run: Run, progress: Progress) -> MovieScores:
    stored = stored_validation(run.path).half_sets
    if stored is None:
        raise TemporemError(
            f"{run.path} held out no movies, and has no half sets",
            expected="movies that it was not trained on",
            hint=f"run temporem validate {run.path} --half-sets, or reconstruct with "
            "--set data.held_out_fraction=0.2",
        )
    return stored.other_half.measured


def _require_same_images(runs: Mapping[str, Run]) -> None:
    """Likelihoods of images can be compared only if the images are the same."""
    (first, one), *others = runs.items()
    for name, run in others:
        for key in ("invert", "ctf", "window_radius"):
            a, b = getattr(one.config.data, key), getattr(run.config.data, key)
            if a != b:
                raise TemporemError(
                    f"{first} has data.{key} = {a}, and {name} has {b}",
                    expected="runs that take the images alike",
                )
        if not _same_frames(one, run):
            raise TemporemError(
                f"{name} is not of the same frames as {first}", expected="runs of one dataset"
            )


def _same_frames(a: Run, b: Run) -> bool:
    names: Sequence[bool] = [
        a.particle_names == b.particle_names,
        a.frame_numbers.tolist() == b.frame_numbers.tolist(),
        a.facts.noise_scale == b.facts.noise_scale,
    ]
    return all(names)
