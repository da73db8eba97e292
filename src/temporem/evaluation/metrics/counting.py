"""Baselines of counting frames: the frame number as a latent, and an encoder without images.

Where movies begin in nearly the same state, the number of a frame alone tells its conformation. A
network with dynamics can then count frames, and its latents say nothing about the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.metrics.latent_states import neighbour_accuracy, state_silhouette
from temporem.evaluation.metrics.latents import parameter_agreement
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Ready, Score
from temporem.evaluation.principal_axes import principal_axes
from temporem.evaluation.sample import Sample, Statistic
from temporem.evaluation.states import are_states
from temporem.evaluation.words import parameter_words

ALIKE, NOTABLE = 0.1, 0.3
"""Blank images are as good as images if R² is this close to theirs, and greater than this."""

_REAL, _BLANK, _SHUFFLED, _CLOCK = "r2", "blank_r2", "shuffled_r2", "clock_r2"


class Counting(Metric):
    """Latent R² that needs no image, for each true parameter that varies."""

    name = "counting"
    title = "Counting of frames"
    scores = (
        Score(
            _BLANK,
            "Latent R², blank images",
            "Latent R² of the latents that the run finds without images: as if each "
            "were the projection of the mean volume. Known where an encoder finds latents.",
            direction=0,
        ),
        Score(
            _SHUFFLED,
            "Latent R², frames shuffled",
            "Latent R² of the latents that the run finds when the frames of every movie "
            "come in random order; each latent counts for its own frame. Known where an "
            "encoder finds latents.",
            direction=0,
        ),
        Score(
            _CLOCK,
            "R² of the frame number",
            "Latent R² of the frame number as a latent, a property of the data alone.",
            direction=0,
        ),
    )
    arrays: ClassVar = dict.fromkeys((_REAL, _BLANK, _SHUFFLED, _CLOCK), ("f",))
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Fit the regressions; None without parameters or with one movie."""
        known, frames = case.known, case.frames
        if known.parameters is None or case.n_movies < 2:
            return None
        latents = {
            _REAL: known.latents,
            _BLANK: known.probes.get("blank"),
            _SHUFFLED: known.probes.get("shuffled"),
            _CLOCK: frames.frame_numbers[:, None].astype(np.float64),
        }
        axes = {k: None if v is None else principal_axes(v) for k, v in latents.items()}
        columns = zip(known.parameter_names, np.asarray(known.parameters).T, strict=True)
        return Ready(
            {
                name: {
                    key: math.nan
                    if found is None
                    else parameter_agreement(found, frames.movie, column.astype(np.float64))["r2"]
                    for key, found in axes.items()
                }
                for name, column in columns
                if np.ptp(column) > 0
            }
        )

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers as they are: their spread over movies is not known."""
        return {score.name: Statistic(float(arrays[score.name])) for score in self.scores}

    def details(self, arrays: Arrays, sample: Sample) -> dict[str, Any]:
        """Latent R² from the images, to compare with."""
        return {_REAL: float(arrays[_REAL])}

    def words(self, place: str) -> str:
        """Name of the parameter."""
        return parameter_words(place)

    def cautions(self, evaluation: Evaluation) -> list[str]:
        """Say where blank images give latents that are about as good."""
        texts = []
        for place, arrays in evaluation[self.name].items():
            real, blank, clock = (float(arrays[name]) for name in (_REAL, _BLANK, _CLOCK))
            if blank > NOTABLE and blank > real - ALIKE:
                texts.append(
                    f"the latents can be had without a look at the images: blank ones predict the "
                    f"{self.words(place)} with R² {blank:.3f}, the images with {real:.3f}, because "
                    f"the network counts frames (the frame number alone: {clock:.3f}); movies that "
                    "begin in different states help, and so does training.random_clips=true; "
                    "--method clock shows what counting alone reaches."
                )
        return texts


COUNTING = Counting()


class ClockAndStates(Metric):
    """Agreement of the frame number with discrete true states, to compare latents with."""

    name = "clock_states"
    title = "Frame number and states"
    scores = (
        Score(
            "silhouette",
            "State silhouette of the frame number",
            "State silhouette of the frame number as a latent, a property of the data alone.",
            direction=0,
        ),
        Score(
            "knn_accuracy",
            "State accuracy of the frame number",
            "State accuracy, nearest neighbours, of the frame number as a latent, a property of "
            "the data alone.",
            direction=0,
        ),
    )
    arrays: ClassVar = {score.name: ("f",) for score in scores}
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Look at neighbours; None without states, or with a single movie."""
        states, frames = case.known.states, case.frames
        if states is None or not are_states(states) or case.n_movies < 2:
            return None
        clock = frames.frame_numbers[:, None].astype(np.float64)
        states = np.unique(states, return_inverse=True)[1]
        found = {
            "silhouette": state_silhouette(clock, states),
            "knn_accuracy": neighbour_accuracy(clock, frames.movie, states),
        }
        return Ready({NO_PLACE: found})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The numbers as they are."""
        return {score.name: Statistic(float(arrays[score.name])) for score in self.scores}


CLOCK_STATES = ClockAndStates()


def counting_in_words(evaluation: Evaluation) -> list[str]:
    """One sentence for each parameter that the latents of a run were probed for."""
    texts = []
    for place, arrays in evaluation[COUNTING.name].items():
        real, blank, shuffled, clock = (
            COUNTING.scores[0].print(float(arrays[name]))
            for name in (_REAL, _BLANK, _SHUFFLED, _CLOCK)
        )
        if np.isfinite(arrays[_BLANK]):
            texts.append(
                f"Latent R² of the {COUNTING.words(place)}: {real} from the images, {blank} from "
                f"blank ones, {shuffled} with frames shuffled in time; the frame number alone: "
                f"{clock}."
            )
    return texts
