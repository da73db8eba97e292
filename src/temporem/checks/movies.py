"""Are there enough movies and frames, without gaps and in known time?"""

from __future__ import annotations

import numpy as np

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence

_HALVES = 2  # movies that two halves need


class Movies:
    """Counts movies, their frames and their gaps.

    Noise, components and resolution are judged by comparing two halves of the movies, so a dataset
    needs two movies of two frames or more.
    """

    name = "movies"

    def look(self, evidence: Evidence) -> list[Finding]:
        dataset = evidence.dataset
        lengths = np.array([len(movie) for movie in dataset.movies])
        numbers = dataset.frame_numbers
        gaps = sum(int((np.diff(numbers[movie]) > 1).sum()) for movie in dataset.movies)
        times = "with times" if np.isfinite(dataset.times_seconds).all() else "without times"
        low, high = lengths.min(), lengths.max()
        each = (
            f"{low} to {high} frames" if low < high else "1 frame" if low == 1 else f"{low} frames"
        )
        text = (
            f"{len(lengths)} movies of {each}, "
            f"{dataset.n_frames} frames in all, {gaps} gaps, {times}"
        )
        longer = int((lengths > 1).sum())
        if evidence.halves and longer < _HALVES:
            few = f"{text}: {('none', 'one')[longer]} of them has more than one frame"
            return [
                Finding(
                    self.name,
                    Verdict.REFUSED if len(lengths) < _HALVES or longer == 1 else Verdict.WARNING,
                    f"{few}, but motion is learned from frames that follow each other, and tested "
                    "on two halves of the movies",
                    "check _rlnParticleName and _rlnMovieFrameNumber, or add movies",
                )
            ]
        single = np.flatnonzero(lengths == 1)
        if len(single) > len(lengths) / 2:
            few = f"{text}: {len(single)} movies have one frame, so time tells nothing of them"
            remedy = "check _rlnParticleName and _rlnMovieFrameNumber"
            return [Finding(self.name, Verdict.WARNING, few, remedy)]
        return [Finding(self.name, Verdict.GOOD, text)]
