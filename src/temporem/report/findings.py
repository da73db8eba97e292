"""What the numbers say, in words: who is better at what, by how much, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporem.errors import TemporemError
from temporem.evaluation.compare import Comparison, Estimate, compare
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.masks import WHOLE_BOX
from temporem.poses.ab_initio import LEAST_ALIKE
from temporem.report.content import ReportRun, parameter_words

REGIONS = {WHOLE_BOX: "whole box", "particle": "particle mask", "moving": "moving region"}
_BEYOND_CHANCE = 3  # times the length of a common turn by chance


@dataclass(frozen=True)
class Findings:
    """Comparisons of all evaluated runs with one of them.

    Attributes:
        baseline: name of the run that others are held to; None with fewer than two runs.
        comparisons: of every other run that can be compared, by name.
        headline: sentences.
        warnings: sentences.
    """

    baseline: str | None
    comparisons: Mapping[str, Comparison]
    headline: Sequence[str]
    warnings: Sequence[str]


def find(runs: Sequence[ReportRun], baseline: str | None = None) -> Findings:
    """Compare evaluated runs with a baseline, by default the first, and put it into words.

    Raises:
        TemporemError: no evaluated run has the name of the baseline.
    """
    evaluated = {run.name: run.evaluation for run in runs if run.evaluation is not None}
    warnings = [text for name, item in evaluated.items() for text in _shortcomings(name, item)]
    warnings += [text for run in runs for text in _doubts(run)]
    warnings += _unequal_training(runs)
    if baseline is not None and baseline not in evaluated:
        raise TemporemError(
            f"--baseline {baseline}: no evaluated run has this name",
            expected=f"one of {', '.join(evaluated)}" if evaluated else "a run that was evaluated",
        )
    if not evaluated:
        text = "No run was held against a truth, so nothing here says how right they are."
        return Findings(None, {}, [text], warnings)
    if len(evaluated) == 1:
        ((name, item),) = evaluated.items()
        return Findings(None, {}, [_alone(name, item)], warnings)
    baseline = baseline or next(iter(evaluated))
    comparisons: dict[str, Comparison] = {}
    headline: list[str] = []
    for name, item in evaluated.items():
        if name == baseline:
            continue
        try:
            comparisons[name] = compare(evaluated[baseline], item)
        except TemporemError as error:
            warnings.append(f"{name} is not compared with {baseline}: {error}.")
        else:
            headline += _verdict(name, baseline, comparisons[name])
            headline += _latent_statement(name, item, baseline, evaluated[baseline])
    if not comparisons:
        headline.append("The runs are not comparable with one another.")
    return Findings(baseline, comparisons, headline, warnings)


@dataclass(frozen=True)
class _Measure:
    """One thing that a run can be better at."""

    name: str
    gain: Estimate
    detail: str


def _measures(comparison: Comparison) -> list[_Measure]:
    whole = comparison.regions[WHOLE_BOX]
    measures = [
        _Measure(
            "resolution",
            whole.mean_gain,
            f"{100 * whole.fraction_improved.value:.1f}% of frames finer, mean gain "
            f"{100 * whole.mean_gain.value:+.2f}%",
        )
    ]
    if "moving" in comparison.regions:
        gain = comparison.regions["moving"].auc_gain
        measures.append(_Measure("the moving region", gain, f"FSC area {gain.value:+.3f}"))
    if WHOLE_BOX in comparison.motion:
        motion = comparison.motion[WHOLE_BOX]
        detail = f"correlation {motion.correlation_b:.2f} against {motion.correlation_a:.2f}"
        measures.append(_Measure("motion", motion.gain, detail))
    psnr, ssim = comparison.psnr_gain_db, comparison.ssim_gain
    measures.append(_Measure("PSNR", psnr, f"{psnr.value:+.2f} dB"))
    measures.append(_Measure("SSIM", ssim, f"{ssim.value:+.4f}"))
    return measures


def _verdict(name: str, baseline: str, comparison: Comparison) -> list[str]:
    """A gain counts only when its confidence interval leaves zero on one side."""
    measures = _measures(comparison)
    better = [m for m in measures if m.gain.low > 0]
    worse = [m for m in measures if m.gain.high < 0]
    undecided = [m for m in measures if m not in better and m not in worse]
    sentences = []
    if better:
        sentences.append(f"{name} is better than {baseline} in {_list(better)}.")
    if worse:
        sentences.append(f"{name} is worse than {baseline} in {_list(worse)}.")
    if undecided:
        sentences.append(f"{name} and {baseline} are not told apart in {_list(undecided)}.")
    return sentences


def _list(measures: Sequence[_Measure]) -> str:
    return _join([f"{m.name} ({m.detail})" for m in measures])


def _join(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _latent_statement(
    name: str, item: Evaluation, baseline: str, reference: Evaluation
) -> list[str]:
    if item.latents is None or reference.latents is None:
        return []
    return [
        f"The latent of {name} predicts the true {parameter_words(parameter)} with "
        f"R² {agreement.r2:.2f}, that of {baseline} with {other.r2:.2f}."
        for parameter, agreement in item.latents.parameters.items()
        if (other := reference.latents.parameters.get(parameter)) is not None
    ]


def _alone(name: str, item: Evaluation) -> str:
    angstrom = float(item.resolution(WHOLE_BOX).angstrom.mean())
    parts = [f"{name} resolves the frames to {angstrom:.2f} Å on average"]
    if WHOLE_BOX in item.motion:
        parts.append(f"its motion correlation is {item.motion[WHOLE_BOX].correlation():.2f}")
    return " and ".join(parts) + "; no other run is here to hold it to."


def _shortcomings(name: str, item: Evaluation) -> list[str]:
    """What makes the numbers of a run say less than they seem to."""
    texts, n = [], len(item.frames)
    counts = {region: int(item.resolution(region).never_crossed.sum()) for region in item.fsc}
    for count in sorted(set(counts.values()) - {0}, reverse=True):
        regions = [f"the {REGIONS[region]}" for region in counts if counts[region] == count]
        texts.append(
            f"{name}: the FSC of {count} of {n} frames ({100 * count / n:.1f}%) never falls "
            f"below {item.settings.fsc_threshold:g} in {_join(regions)}; they count as "
            f"Nyquist ({2 * item.pixel_size_angstrom:.3g} Å)."
        )
    if len(set(item.frames.movie.tolist())) < 2:
        texts.append(f"{name}: a single movie gives no confidence intervals and no latent scores.")
    if not item.motion:
        texts.append(f"{name}: the truth does not move, so there is no motion to measure.")
    return texts + _turned_states(name, item)


def _turned_states(name: str, item: Evaluation) -> list[str]:
    """Which part of a molecule stays where it is no image tells, but one alignment judges."""
    if item.poses is None or item.coupling is None:
        return []
    if item.settings.align == "states":
        return [
            f"{name}: every true state is aligned by itself, which forgives what turn its frames "
            "have in common."
        ]
    turn, chance = item.coupling.systematic_degrees, item.coupling.chance_degrees
    if not turn > _BEYOND_CHANCE * chance:  # NaN without states
        return []
    return [
        f"{name}: frames of a state are turned by {turn:.1f}° in common (by chance {chance:.1f}°), "
        "a motion taken for poses or another choice of what stays; what is left without it is told "
        "by `temporem evaluate --align states`."
    ]


def _doubts(run: ReportRun) -> list[str]:
    """What a run says of itself that makes it doubtful, truth or not."""
    texts = []
    if run.components_found == 0:
        texts.append(
            f"{run.name}: what moves may be noise: of the linear components that it is made of, or "
            "began with, half of the movies find none on their own."
        )
    if run.starts_alike is not None and run.starts_alike < LEAST_ALIKE:
        texts.append(
            f"{run.name}: poses may be wrong for the most part: no two random starts have found "
            f"more than {run.starts_alike:.0%} of the frames in like poses."
        )
    return texts


def _unequal_training(runs: Sequence[ReportRun]) -> list[str]:
    """Runs trained for different times are not a fair comparison of methods."""
    texts = []
    for key, what in (("epoch", "epochs"), ("step", "optimiser updates")):
        counts = {r.name: r.metrics[-1][key] for r in runs if r.metrics and key in r.metrics[-1]}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            texts.append(f"The runs differ in {what}: {listed}.")
    return texts
