"""Findings in words: which run is better, in which measure, by how much, and with what doubts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.compare import Comparison, Gain, compare
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.fsc import FSC, read_resolution
from temporem.evaluation.values import phrases, values
from temporem.evaluation.words import join
from temporem.report.content import ReportRun
from temporem.validation.compare import judge_scores


@dataclass(frozen=True)
class Findings:
    """Comparisons of all evaluated runs with one of them.

    Attributes:
        baseline: name of the run that others are compared with; None with fewer than two runs.
        comparisons: by name, of each other run that can be compared.
        headline: sentences.
        warnings: sentences.
    """

    baseline: str | None
    comparisons: Mapping[str, Comparison]
    headline: Sequence[str]
    warnings: Sequence[str]


def find(runs: Sequence[ReportRun], baseline: str | None = None) -> Findings:
    """Compare runs and put the result into words.

    Args:
        runs: of one dataset; those without an evaluation are not compared.
        baseline: name of the run that others are compared with; the first when None.

    Raises:
        TemporemError: no evaluated run has the name of the baseline.
    """
    evaluated = {run.name: run.evaluation for run in runs if run.evaluation is not None}
    known = not evaluated and baseline in {run.name for run in runs}
    found = judge(evaluated, None if known else baseline)
    unseen = _of_unseen_movies(runs, baseline)
    return Findings(
        found.baseline,
        found.comparisons,
        [*found.headline, *unseen],
        [*found.warnings, *_unequal_training(runs)],
    )


def judge(evaluations: Mapping[str, Evaluation], baseline: str | None = None) -> Findings:
    """Compare evaluations by name, and put the result into words.

    Raises:
        TemporemError: none has the name of the baseline.
    """
    warnings = [text for name, item in evaluations.items() for text in _cautions(name, item)]
    warnings += _saturated(evaluations)
    if baseline is not None and baseline not in evaluations:
        raise TemporemError(
            f"no evaluated run is named '{baseline}'",
            expected=" or ".join(f"'{name}'" for name in evaluations) or "runs with an evaluation",
        )
    if not evaluations:
        return Findings(None, {}, [], warnings)
    if len(evaluations) == 1:
        ((name, item),) = evaluations.items()
        return Findings(None, {}, [describe(name, item)], warnings)
    baseline = baseline or next(iter(evaluations))
    comparisons: dict[str, Comparison] = {}
    headline: list[str] = []
    for name, item in evaluations.items():
        if name == baseline:
            continue
        try:
            comparisons[name] = compare(evaluations[baseline], item)
        except TemporemError as error:
            warnings.append(f"{name} is not compared with {baseline}: {error}.")
        else:
            headline += _verdict(name, baseline, comparisons[name])
    if not comparisons:
        headline.append("The evaluations of these runs are not comparable.")
    return Findings(baseline, comparisons, headline, warnings)


def _of_unseen_movies(runs: Sequence[ReportRun], baseline: str | None) -> list[str]:
    """Say which run predicts unseen movies best, where all were scored on the same ones."""
    scores = {run.name: run.validation.scores for run in runs if run.validation.scores is not None}
    if len(scores) < max(len(runs), 2):
        return []
    halves = any(run.validation.held_out is None for run in runs)
    reference = baseline if baseline in scores else next(iter(scores))
    try:
        return judge_scores(scores, reference, from_half_sets=halves).sentences()
    except TemporemError:
        return []  # other movies were held out


def describe(name: str, evaluation: Evaluation) -> str:
    """One sentence on a run by itself."""
    return f"{name} {join(phrases(values(evaluation)) or ['was evaluated'])}."


def _verdict(name: str, baseline: str, comparison: Comparison) -> list[str]:
    """Sentences on a comparison.

    A gain counts only when its confidence interval leaves zero on one side. Numbers without an
    interval are only stated.
    """
    gains = [
        gain
        for gain in comparison.gains
        if gain.noun and gain.rank is not None and np.isfinite(gain.estimate.value)
    ]
    judged = [gain for gain in gains if np.isfinite(gain.estimate.low)]
    better = [gain for gain in judged if gain.estimate.low > 0]
    worse = [gain for gain in judged if gain.estimate.high < 0]
    undecided = [gain for gain in judged if gain not in better and gain not in worse]
    stated = [gain for gain in gains if gain not in judged]
    sentences = []
    if better:
        sentences.append(f"{name} is better than {baseline} in {_list(better)}.")
    if worse:
        sentences.append(f"{name} is worse than {baseline} in {_list(worse)}.")
    if undecided:
        sentences.append(
            f"{name} and {baseline} do not differ significantly in {_list(undecided)}."
        )
    if stated:
        numbers = _list(stated)
        sentences.append(f"{name} and {baseline}, without confidence intervals: {numbers}.")
    return sentences


def _list(gains: Sequence[Gain]) -> str:
    return join([f"{gain.noun} ({gain.detail})" for gain in gains])


def _cautions(name: str, item: Evaluation) -> list[str]:
    """Caveats on the numbers of a run."""
    texts = [text for metric in METRICS.values() for text in metric.cautions(item)]
    if item.n_left_out:
        wanted = len(item.frames) + item.n_left_out
        texts.insert(0, f"{item.n_left_out} of {wanted} frames lack a volume; they are left out.")
    if len(np.unique(item.frames.movie)) < 2:
        texts.append("a single movie gives no confidence intervals and no latent scores.")
    return [f"{name}: {text}" for text in texts]


def _saturated(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """One sentence for all runs and regions whose FSC stays above the threshold up to Nyquist."""
    shares, nyquist, threshold = {}, 0.0, 0.0
    for name, item in evaluations.items():
        counts = [
            read_resolution(arrays["curves"], item).never_crossed.mean()
            for arrays in item[FSC.name].values()
        ]
        if max(counts, default=0) > 0:
            shares[name] = float(max(counts))
            nyquist, threshold = 2 * item.pixel_size_angstrom, item.settings.fsc_threshold
    if not shares:
        return []
    listed = join([f"{100 * share:.3g}% of the frames of {name}" for name, share in shares.items()])
    return [
        f"The FSC of up to {listed} never falls below {threshold:g}. There the pixels limit the "
        f"resolution (Nyquist {nyquist:.3g} Å) and not the method; compare FSC areas instead."
    ]


def _unequal_training(runs: Sequence[ReportRun]) -> list[str]:
    """Warn if runs were trained for different times: a comparison would not be fair."""
    texts = []
    for key, what in (("epoch", "epochs"), ("step", "optimiser updates")):
        counts = {r.name: r.metrics[-1][key] for r in runs if r.metrics and key in r.metrics[-1]}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            texts.append(f"The runs differ in {what}: {listed}.")
    return texts
