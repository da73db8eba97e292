"""Agreement of corrected backgrounds, intensities, defocus and junk with those of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.stats import rankdata

from temporem.evaluation.case import Case
from temporem.evaluation.evaluation import Arrays
from temporem.evaluation.metrics.metric import NO_PLACE, Metric, Ready, Score
from temporem.evaluation.sample import Sample, Statistic

JUNK = "junk"
"""Name of the probability that a frame does not show the molecule."""

_WORDS = {
    "background": "background",
    "gradient_x": "slope along x",
    "gradient_y": "slope along y",
    "scale": "intensity",
    "defocus_error_angstrom": "defocus error",
}


class NuisanceAgreement(Metric):
    """Correlation of what was corrected with the truth; a place is a nuisance."""

    name = "nuisances"
    title = "Corrections of frames"
    scores = (
        Score(
            "nuisance_correlation",
            "Correlation with the truth",
            "Pearson correlation over frames of what the run corrected with what the simulation "
            "drew. Junk is left out.",
        ),
    )
    arrays: ClassVar = {"found": ("f", "frames"), "true": ("f", "frames"), "use": ("f", "frames")}

    def begin(self, case: Case) -> Ready | None:
        """Take what both know; None where nothing was corrected or the truth has no defects."""
        pairs = case.known.nuisances
        junk = pairs.get(JUNK)
        use = np.ones(len(case.frames.rows)) if junk is None else (junk[:, 1] == 0).astype(float)
        found = {
            name: {"found": pair[:, 0], "true": pair[:, 1], "use": use}
            for name, pair in pairs.items()
            if name != JUNK and np.ptp(pair[:, 1]) > 0
        }
        return Ready(found) if found else None

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The correlation, from means of products."""
        use = arrays["use"].astype(float)
        x, y = arrays["found"].astype(float) * use, arrays["true"].astype(float) * use
        n, sx, sy, xx, yy, xy = (sample.mean(v).value for v in (use, x, y, x * x, y * y, x * y))
        covariance = n * xy - sx * sy
        scale = np.sqrt(np.maximum((n * xx - sx**2) * (n * yy - sy**2), 1e-30))
        return {"nuisance_correlation": Statistic(covariance / scale)}

    def words(self, place: str) -> str:
        """Name of the nuisance."""
        return _WORDS.get(place, place)


class JunkFound(Metric):
    """How well junk frames are told from others."""

    name = "junk"
    title = "Junk frames"
    scores = (
        Score(
            "junk_auc",
            "Area under the curve of junk",
            "Probability that a junk frame has a smaller probability of being good than another "
            "frame (area under the receiver operating characteristic; Hanley and McNeil 1982).",
        ),
    )
    arrays: ClassVar = {"found": ("f", "frames"), "true": ("f", "frames")}
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Take probabilities; None without junk, or where none was looked for."""
        pair = case.known.nuisances.get(JUNK)
        if pair is None or not 0 < pair[:, 1].sum() < len(pair):
            return None
        return Ready({NO_PLACE: {"found": pair[:, 0], "true": pair[:, 1]}})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The area, by ranks (Mann and Whitney 1947)."""
        junk = arrays["true"] > 0
        ranks = rankdata(-arrays["found"])
        n, m = int(junk.sum()), int((~junk).sum())
        area = (ranks[junk].sum() - n * (n + 1) / 2) / (n * m)
        return {"junk_auc": Statistic(float(area))}


class DefocusLeft(Metric):
    """Errors of defocus that are left where a run corrected them."""

    name = "defocus"
    title = "Defocus"
    scores = (
        Score(
            "left_angstrom",
            "Defocus error that is left",
            "Root mean square over frames of the error of the defocus that the run found, less "
            "that of the dataset. What all movies share is left out.",
            unit="Å",
            direction=-1,
            digits=0,
        ),
    )
    arrays: ClassVar = {"left_angstrom": ("f", "frames")}
    of_frames = False

    def begin(self, case: Case) -> Ready | None:
        """Take both; None where the dataset has no errors, or the run corrected none."""
        pair = case.known.nuisances.get("defocus_error_angstrom")
        if pair is None or np.ptp(pair[:, 1]) == 0:
            return None
        left = pair[:, 0] - pair[:, 1]
        return Ready({NO_PLACE: {"left_angstrom": left - left.mean()}})

    def statistics(self, arrays: Arrays, sample: Sample) -> Mapping[str, Statistic]:
        """The root of the mean square."""
        square = sample.mean(arrays["left_angstrom"].astype(float) ** 2)
        draws = None if square.draws is None else square.draws**0.5
        return {"left_angstrom": Statistic(square.value**0.5, draws)}


NUISANCES, JUNK_FOUND, DEFOCUS_LEFT = NuisanceAgreement(), JunkFound(), DefocusLeft()
