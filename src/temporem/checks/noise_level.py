"""Do all movies have the same noise level?"""

from __future__ import annotations

import numpy as np

from temporem.checks.base import Finding, Verdict
from temporem.checks.chance import furthest
from temporem.checks.evidence import Evidence

_TWICE = 2.0  # in variance: likelihoods of such a movie are wrong by a factor of two
_REMEDY = "leave data.corrections on, which brings movies to one noise level"


class NoiseLevel:
    """Compares the noise of movies, and of frames with their movie.

    All methods take one noise level for all movies. ``data.corrections`` brings movies to it. A
    movie is named if its variance differs by more than chance from the median and by more than a
    factor of two. The data are refused if such movies raise the common level above twice the
    median: the others then drown.
    """

    name = "noise level"

    def look(self, evidence: Evidence) -> list[Finding]:
        images, movies = evidence.images, evidence.dataset.movies
        variance = images.deviations**2
        of_movie = np.array([variance[movie].mean() for movie in movies])
        median = float(np.median(of_movie))
        ratio = of_movie / max(median, 1e-300)
        lengths = np.array([len(movie) for movie in movies])
        error = np.sqrt(2 / (images.n_corner * lengths))
        off = np.abs(np.log(np.maximum(ratio, 1e-300))) > np.maximum(
            furthest(len(movies)) * error, np.log(_TWICE)
        )
        low, high = np.sqrt([ratio.min(), ratio.max()])
        if not off.any():
            text = (
                f"standard deviations of the noise of movies are {low:.2f} to {high:.2f} times "
                "their median"
            )
            return [Finding(self.name, Verdict.GOOD, text), *self._frames(evidence)]
        worst = np.flatnonzero(off)[np.argsort(-np.abs(np.log(ratio[off])))]
        text = (
            f"the noise of {evidence.name_movies(worst)} has a standard deviation of "
            f"{ratio[worst[0]] ** 0.5:.3g} times the median of all movies"
        )
        if evidence.settings.corrections:
            text = f"{text}, and is brought to it"
            return [Finding(self.name, Verdict.GOOD, text), *self._frames(evidence)]
        drowned = variance.mean() > _TWICE * median
        if drowned:
            text += f". The common level is {(variance.mean() / median) ** 0.5:.3g} times as high, "
            text += "in which the other movies drown"
        verdict = Verdict.REFUSED if drowned else Verdict.WARNING
        return [Finding(self.name, verdict, text, _REMEDY), *self._frames(evidence)]

    def _frames(self, evidence: Evidence) -> list[Finding]:
        images = evidence.images
        variance = images.deviations**2
        movie_median = np.array([np.median(variance[m]) for m in evidence.dataset.movies])
        ratio = variance / np.maximum(movie_median[evidence.movie_of_row], 1e-300)
        error = np.sqrt(2 / images.n_corner)
        distance = np.abs(np.log(np.maximum(ratio, 1e-300)))
        rows = np.flatnonzero(distance > np.maximum(furthest(len(ratio)) * error, np.log(_TWICE)))
        if len(rows) == 0:
            return []
        rows = rows[np.argsort(-distance[rows])]
        text = (
            f"the noise of {evidence.name_rows(rows)} has a standard deviation of "
            f"{ratio[rows[0]] ** 0.5:.3g} times that of its movie"
        )
        return [Finding(self.name, Verdict.WARNING, text, "look at these images")]
