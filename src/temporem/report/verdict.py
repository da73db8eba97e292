"""The verdict on a run in plain words: what moves, how sure that is, what limits it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from temporem.checks.contrast import DARK
from temporem.errors import TemporemError
from temporem.evaluation.masks import MOVING
from temporem.evaluation.values import value_of
from temporem.physics.fsc import HALF_MAP_THRESHOLD, resolution
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.findings import describe
from temporem.report.level import brighter_side, find_level, in_sphere
from temporem.report.moving_parts import MovingPart, find_moving_parts

LEAST_CORRELATION = 0.3
"""Correlation of the changes of half sets, or with the truth, below which they show no motion."""
_POOR_VIEWS = 0.5
_TWO_HALVES = "Two halves of the movies, fitted separately"
_FEW_MOVIES = 4


class Claim(Enum):
    """Strength of what a report may say about motion."""

    NO_MODEL = "the method has one volume for all frames"
    NO_CONTRAST = "molecules are dark where the method takes them to be bright"
    NO_POSES = "poses were not found"
    REFUTED = "a test speaks against it"
    UNTESTED = "nothing was tested"
    REPEATED = "halves of the movies agree at low resolution"
    CONFIRMED = "half sets or unseen movies confirm it"

    @property
    def on_motion(self) -> bool:
        """False where a report may say nothing on what moves."""
        return self not in (Claim.NO_MODEL, Claim.NO_CONTRAST, Claim.NO_POSES)


@dataclass(frozen=True)
class Verdict:
    """Statements on a run, in sentences.

    Attributes:
        claim: how strong a statement on motion the tests allow.
        headline: the most important sentence or two.
        moves: what moves, and how far.
        sure: what the tests say.
        limits: what limits the result.
        right: how right it is; only with a truth.
        next: a command that would make it surer, and what it does; empty for none.
    """

    claim: Claim
    headline: str
    moves: Sequence[str]
    sure: Sequence[str]
    limits: Sequence[str]
    right: Sequence[str]
    next: tuple[str, str] = ("", "")


def judge_run(run: ReportRun, dataset: ReportDataset) -> Verdict:
    """Judge one run. Its claims are never stronger than its tests."""
    claim = _claim(run)
    moves = _moves(run, dataset) if claim.on_motion else []
    refuted = claim is Claim.REFUTED  # its headline names no motion
    return Verdict(
        claim=claim,
        headline=_headline(run, claim, moves),
        moves=["What the volumes show may be noise:", *moves] if refuted else moves[1:],
        sure=_sure(run, claim),
        limits=_limits(run, dataset),
        right=_right(run, dataset),
        next=_next(run, dataset, claim),
    )


def leading_run(runs: Sequence[ReportRun]) -> ReportRun:
    """Choose the run that the verdict is about.

    With a truth, it is the run whose motion is nearest to the true one; without, the run that
    predicts unseen movies best; else the first run that has motion at all.
    """
    right = {run.name: _motion_correlation(run) for run in runs if run.evaluation is not None}
    known: Mapping[str, float] = {n: value for n, value in right.items() if np.isfinite(value)}
    if len(known) < 2:
        scores = {run.name: run.validation.scores for run in runs}
        known = {n: item.per_frame for n, item in scores.items() if item is not None}
    if len(known) >= 2:
        best = max(known, key=lambda name: known[name])
        return next(run for run in runs if run.name == best)
    return next((run for run in runs if run.latents is not None), runs[0])


def _claim(run: ReportRun) -> Claim:
    if run.latents is None:
        return Claim.NO_MODEL
    if _wrong_contrast(run):
        return Claim.NO_CONTRAST
    if run.poses_lost:
        return Claim.NO_POSES
    tests = [*_half_sets_agree(run), *_predicts_unseen(run)]
    null = run.validation.null_tests
    if null is not None and not null.moves:
        return Claim.REFUTED
    if tests:
        return Claim.CONFIRMED if all(tests) else Claim.REFUTED
    if null is not None:
        return Claim.REPEATED
    if run.components_found is not None:
        return Claim.REPEATED if run.components_found else Claim.REFUTED
    return Claim.UNTESTED


def _half_sets_agree(run: ReportRun) -> list[bool]:
    found = run.validation.half_sets
    if found is None:
        return []
    moving = found.regions.get("moving")
    return [moving is not None and moving.correlation >= LEAST_CORRELATION]


def _predicts_unseen(run: ReportRun) -> list[bool]:
    found = run.validation.held_out
    if found is None:
        return []
    scores = found.measured
    low = scores.motion_interval[0]
    return [bool(scores.motion_per_frame > 0) if low != low else bool(low > 0)]


def _headline(run: ReportRun, claim: Claim, moves: Sequence[str]) -> str:
    seen = moves[0] if moves else ""
    match claim:
        case Claim.NO_MODEL:
            doubt = f" It may be wrong: {_lost(run)}" if run.poses_lost else ""
            return f"One volume for all frames: this run cannot show motion.{doubt}"
        case Claim.NO_CONTRAST:
            return (
                "No motion can be claimed: the molecules are dark in these images, and the method "
                "takes them to be bright."
            )
        case Claim.NO_POSES:
            return f"No motion can be claimed: {_lost(run)}"
        case Claim.REFUTED:
            return f"No motion is confirmed. {_refutation(run)}"
        case Claim.UNTESTED:
            return f"{seen} No test has confirmed this yet."
        case Claim.REPEATED:
            return f"{seen} {_TWO_HALVES}, show the same motion, at low resolution."
        case Claim.CONFIRMED:
            tests = []
            if run.validation.half_sets is not None:
                tests.append(f"{_TWO_HALVES}, find the same motion")
            if run.validation.held_out is not None:
                start = "it predicts" if tests else "It predicts"
                tests.append(f"{start} movies that were not trained on")
            return f"{seen} {', and '.join(tests)}."


def _lost(run: ReportRun) -> str:
    return (
        "the poses were not found. Two random starts agree on only "
        f"{percent(run.starts_alike or 0)} of the frames."
    )


def _refutation(run: ReportRun) -> str:
    if False not in _half_sets_agree(run):
        if False in _predicts_unseen(run):
            return "What the volumes show of it does not help to predict unseen movies."
        if run.validation.null_tests is not None and run.validation.null_tests.doubt:
            return run.validation.null_tests.doubt
    return f"{_TWO_HALVES}, do not find the same change."


def _moves(run: ReportRun, dataset: ReportDataset) -> list[str]:
    """Say what moves and how far, the main sentence first."""
    found = _cloud_moves(run) if run.cloud_motion is not None else _parts_move(run, dataset)
    return [*found, *_independent(run)]


def _cloud_moves(run: ReportRun) -> list[str]:
    record = run.cloud_motion
    assert record is not None
    if not record["moves"]:
        return ["Nothing moves by more than a tenth of a voxel."]
    bodies = record["bodies"]
    turning = [hinge for hinge in record["hinges"] if hinge["turns"]]
    if not turning:
        if len(bodies) == 1:
            return [f"The molecule bends by {record['misfit_angstrom'][0]:.1f} Å (rms)."]
        most = max(bodies[1:], key=lambda body: float(body["travel_angstrom"]))
        return [f"{_share(most['share_of_density'])} moves by {most['travel_angstrom']:.0f} Å."]
    sentences = []
    for hinge in sorted(turning, key=lambda item: -float(item["range_degrees"])):
        body = next(item for item in bodies if item["body"] == hinge["body"])
        sentences.append(
            f"{_share(body['share_of_density'])} turns by {hinge['range_degrees']:.0f}° against "
            f"the rest and travels {body['travel_angstrom']:.0f} Å."
        )
    return sentences


def _parts_move(run: ReportRun, dataset: ReportDataset) -> list[str]:
    volumes = run.volumes if run.path_volumes is None else run.path_volumes
    try:
        level = find_level(volumes)
    except TemporemError:
        return ["The volumes are empty."]
    parts = find_moving_parts(volumes, level, dataset.pixel_size_angstrom)
    if not parts:
        return ["Nothing moves that a surface would show."]
    return [_part(part, first=index == 0) for index, part in enumerate(parts)]


def _part(part: MovingPart, *, first: bool) -> str:
    subject = _share(part.share) if first else f"Another {percent(part.share)}"
    if part.fades:
        return f"{subject} comes and goes."
    return f"{subject} moves; the centre of mass of this part travels {part.travel_angstrom:.0f} Å."


def _share(fraction: float) -> str:
    return f"About {percent(fraction)} of the molecule"


def _independent(run: ReportRun) -> list[str]:
    """Say how many independent motions there may be."""
    if run.latents is not None and run.latents.shape[1] == 1:
        return ["The run has one latent: one motion along a path."]
    if not run.components_found:
        return []
    found = run.components_found
    motions = "one independent motion" if found == 1 else f"{found} independent motions"
    return [f"At most {motions}; a large motion along one path takes several components."]


def _sure(run: ReportRun, claim: Claim) -> list[str]:
    texts = []
    halves, held_out = run.validation.half_sets, run.validation.held_out
    if halves is not None and claim.on_motion:
        moving = halves.regions.get("moving")
        if moving is None:
            texts.append("Volumes fitted to the two halves of the movies hold no change.")
        else:
            texts.append(
                f"Two halves of {halves.n_movies[0]} and {halves.n_movies[1]} movies: where the "
                f"molecule moves, their changes {moving.change.agreement}, with a correlation of "
                f"{moving.correlation:.2f}."
            )
    if held_out is not None and claim.on_motion:
        found = held_out.measured
        low, high = found.motion_interval
        interval = f" (95% from {_signed(low)} to {_signed(high)})" if low == low else ""
        texts.append(
            f"{len(found.movies)} held-out movies: the motion changes their log-likelihood by "
            f"{_signed(found.motion_per_frame)} nats per frame{interval}."
        )
    if run.validation.null_tests is not None and claim.on_motion:
        texts.append(f"Null tests: {run.validation.null_tests.verdict}")
    if run.components_found is not None and run.components:
        if claim is Claim.NO_POSES:
            texts.append(
                "Halves of the movies may agree on what wrong poses make, so that proves nothing."
            )
        elif not texts and claim.on_motion:
            texts.append(
                f"{_TWO_HALVES} at low resolution, agree on {run.components_found} of "
                f"{run.components} components of the linear model."
            )
    if not texts and claim.on_motion:
        texts.append("No test was run: no half sets, and no held-out movies were scored.")
    return texts


def _limits(run: ReportRun, dataset: ReportDataset) -> list[str]:
    texts = []
    if dark_molecule(run.volumes):
        texts.append(
            "The molecule is darker than its surroundings. Pictures show its dark side; check the "
            "contrast (--invert of temporem reconstruct)."
        )
    if run.starts_alike is not None:
        texts.append(
            f"Poses are from images alone; random starts agree on {percent(run.starts_alike)} of "
            "the frames."
        )
    elif run.found_poses:
        texts.append("Poses were refined or learned by the run.")
    else:
        texts.append("Poses were given, and taken as right.")
    if run.angle_sd_degrees is not None:
        texts.append(f"An angle is known to {np.median(run.angle_sd_degrees):.1f}° (median).")
    if run.doubtful_components:
        texts.append(_sentence(run.doubtful_components))
    texts += _noise(run, dataset)
    if run.coverage is not None and run.coverage.worth < _POOR_VIEWS:
        texts.append(
            f"Views are uneven: they are worth {percent(run.coverage.worth)} of as many even ones."
        )
    if len(dataset.movies) < _FEW_MOVIES:
        n = len(dataset.movies)
        texts.append(
            f"{n} {'movie is' if n == 1 else 'movies are'} too few to compare halves of them."
        )
    if run.shuffled:
        texts.append("Frames were taken in random order, to show what is left without time.")
    return [*texts, *map(_sentence, run.data_warnings)]


def _noise(run: ReportRun, dataset: ReportDataset) -> list[str]:
    """Say to which resolution the mean volume repeats, and if pixels are the limit."""
    curve = run.half_fsc.get("mean")
    if curve is None:
        return []
    found = resolution(curve, HALF_MAP_THRESHOLD, dataset.pixel_size_angstrom)
    if found.never_crossed:
        return [
            "Mean volumes of two halves of the movies agree to Nyquist: pixels of "
            f"{dataset.pixel_size_angstrom:g} Å limit the detail, not noise."
        ]
    return [f"Mean volumes of two halves of the movies agree to {float(found.angstrom):.1f} Å."]


def _right(run: ReportRun, dataset: ReportDataset) -> list[str]:
    if run.evaluation is not None:
        texts = [describe("It", run.evaluation)]
        correlation = _motion_correlation(run)
        if correlation < LEAST_CORRELATION:
            texts.insert(0, "The motion in these volumes is not the true one.")
        return texts
    if dataset.truth is not None:
        return ["The truth of this dataset is known, but the run was not compared with it."]
    return []


def _next(run: ReportRun, dataset: ReportDataset, claim: Claim) -> tuple[str, str]:
    folder = shlex.quote(run.path or run.name)
    if run.evaluation is None and dataset.truth is not None:
        return f"temporem evaluate {folder}", "compares the run with the truth of the dataset"
    if claim is Claim.NO_CONTRAST:
        data = shlex.quote(dataset.path or dataset.name)
        inverted = run.config.get("data", {}).get("invert", False)
        option = "" if inverted else " --invert"
        return f"temporem reconstruct {data} -o NEW{option}", "takes the images the other way"
    if claim is Claim.NO_POSES:
        told = "says what in the images may keep poses from being found"
        return f"temporem check {shlex.quote(dataset.path or dataset.name)}", told
    if claim in (Claim.REPEATED, Claim.UNTESTED) and len(dataset.movies) >= _FEW_MOVIES:
        return (
            f"temporem validate {folder} --half-sets",
            "fits each half of the movies on its own and compares them",
        )
    return "", ""


def _wrong_contrast(run: ReportRun) -> bool:
    return dark_molecule(run.volumes) or any(text.startswith(DARK) for text in run.data_warnings)


def dark_molecule(volumes: np.ndarray) -> bool:
    """True if volumes ``(S, D, D, D)`` show something darker than its surroundings."""
    return brighter_side(volumes[:, in_sphere(volumes.shape[-1])]) < 0


def _motion_correlation(run: ReportRun) -> float:
    evaluation = run.evaluation
    if evaluation is None:
        return float("nan")
    places = evaluation["motion"]
    place = MOVING if MOVING in places else next(iter(places), None)
    if place is None:
        return float("nan")
    return value_of(evaluation, "motion", "correlation", place)


def percent(fraction: float) -> str:
    """A fraction as a whole percentage; small ones keep a digit."""
    return f"{fraction:.0%}" if fraction >= 0.0095 or fraction == 0 else f"{fraction:.1%}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _sentence(text: str) -> str:
    """A finding as a sentence of its own."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
