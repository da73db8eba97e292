"""The verdict: never a claim that is stronger than the tests of a run."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from helpers.null_facts import null_facts
from helpers.reports import TRUE_VOLUMES, reconstruction, swinging_dataset
from temporem.checks.contrast import DARK
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.verdict import Claim, judge_run, leading_run, percent
from temporem.validation.compare import Validation
from temporem.validation.facts import CurveFacts, HalfSetFacts, RegionFacts, ScoreFacts
from temporem.validation.null_facts import NullFacts, SimulatedFacts


@pytest.fixture(scope="module")
def dataset() -> ReportDataset:
    return replace(swinging_dataset(), truth=None)


@pytest.fixture(scope="module")
def run() -> ReportRun:
    """A run without a truth."""
    return replace(reconstruction("tempor", 0.02, 0.05), evaluation=None, path="runs/tempor")


def scores(motion: float) -> ScoreFacts:
    """Eight unseen movies of ten frames that the motion makes likelier by so many nats."""
    gains = motion + 0.1 * np.sin(np.arange(8))
    return ScoreFacts(
        movies=[str(i) for i in range(8)],
        n_frames=[10] * 8,
        scores=(10 * gains + 5).tolist(),
        motion=(10 * gains).tolist(),
        likelihoods=[-100.0] * 8,
    )


def half_sets(correlation: float) -> HalfSetFacts:
    curve = CurveFacts(
        fsc=[1, 0.9, 0.1], corrected=[1, 0.9, 0.1], angstrom=9.0, never_crossed=False
    )
    region = RegionFacts(
        volumes=curve,
        change=curve,
        correlation=correlation,
        states_angstrom=[9, 10],
        frames_angstrom=11,
    )
    return HalfSetFacts(
        n_movies=(3, 3),
        n_frames=30,
        pixel_size_angstrom=4,
        regions={"moving": region},
        states=[15, 15],
        other_half=scores(1.0),
    )


def text_of(run: ReportRun, dataset: ReportDataset) -> str:
    found = judge_run(run, dataset)
    parts = [found.headline, *found.moves, *found.sure, *found.limits, *found.right]
    return " ".join([*parts, *found.next])


def null_tests(p: float) -> NullFacts:
    """Null tests that a molecule which stands still passes with chance p."""
    simulated = SimulatedFacts(gains=[0.0], agreements=[0.1], p_gain=p, p_agreement=0.048)
    return null_facts(simulated)


CONFIRMED = Validation(held_out=scores(1.0), half_sets=half_sets(0.8))


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"latents": None}, Claim.NO_MODEL),
        ({}, Claim.UNTESTED),
        ({"components_found": 2, "components": 4}, Claim.REPEATED),
        ({"components_found": 0, "components": 4}, Claim.REFUTED),
        ({"validation": CONFIRMED}, Claim.CONFIRMED),
        ({"validation": Validation(null_tests=null_tests(0.048))}, Claim.REPEATED),
        ({"validation": Validation(null_tests=null_tests(0.3))}, Claim.REFUTED),
        ({"validation": replace(CONFIRMED, null_tests=null_tests(0.3))}, Claim.REFUTED),
        ({"validation": Validation(held_out=scores(1.0))}, Claim.CONFIRMED),
        ({"validation": Validation(held_out=scores(0.0))}, Claim.REFUTED),
        ({"validation": Validation(half_sets=half_sets(0.1))}, Claim.REFUTED),
        # One test that fails is not made good by another that passes.
        (
            {"validation": Validation(held_out=scores(1.0), half_sets=half_sets(0.1))},
            Claim.REFUTED,
        ),
        ({"validation": CONFIRMED, "starts_alike": 0.14}, Claim.NO_POSES),
        (
            {"components_found": 2, "components": 2, "data_warnings": [f"{DARK}: t = -64"]},
            Claim.NO_CONTRAST,
        ),
    ],
)
def test_claims_follow_from_tests(run, dataset, changes: dict[str, Any], claim: Claim) -> None:
    found = judge_run(replace(run, **changes), dataset)
    assert found.claim is claim
    moves = "moves;" in found.headline
    assert moves == (claim in (Claim.UNTESTED, Claim.REPEATED, Claim.CONFIRMED))
    assert ("confirmed this yet" in found.headline) == (claim is Claim.UNTESTED)
    if claim is Claim.REFUTED:
        assert "may be noise" in found.moves[0]
        assert found.moves[1].startswith("About")
    if claim in (Claim.NO_POSES, Claim.NO_MODEL, Claim.NO_CONTRAST):
        assert not found.moves
        assert not any("agree on 2" in text for text in found.sure)
    assert ("--invert" in found.next[0]) == (claim is Claim.NO_CONTRAST)


def test_independent_motions_are_counted_with_care(run, dataset) -> None:
    found = {"components_found": 3, "components": 4}
    assert "one motion along a path" in text_of(replace(run, **found), dataset)
    wide = np.random.default_rng(0).normal(size=(30, 4))
    text = text_of(replace(run, latents=wide, **found), dataset)
    assert "At most 3 independent motions" in text
    assert "agree on 3 of 4 components" in text


def test_numbers_of_the_tests_are_named(run, dataset) -> None:
    text = text_of(replace(run, validation=CONFIRMED), dataset)
    assert "where the molecule moves, their changes agree to" in text
    assert "with a correlation of 0.80" in text
    assert "8 held-out movies" in text
    assert "+1.0" in text
    assert "temporem validate" not in text  # it was done


def test_the_next_command_is_the_one_that_helps(run, dataset) -> None:
    assert judge_run(run, dataset).next[0] == "temporem validate runs/tempor --half-sets"
    known = swinging_dataset()
    found = judge_run(run, known)
    assert found.next[0] == "temporem evaluate runs/tempor"
    assert "was not compared" in found.right[0]
    few = replace(dataset, movies=dataset.movies[:2])
    assert judge_run(run, few).next == ("", "")
    assert "2 movies are too few" in text_of(run, few)


def test_a_truth_says_how_right_and_speaks_against_a_wrong_motion(dataset) -> None:
    known = swinging_dataset()
    good, still = reconstruction("good", 0.02, 0.05), reconstruction("noise", 1.0, 0.99)
    assert "It resolves the frames to" in judge_run(good, known).right[0]
    assert "is not the true one" in judge_run(still, known).right[0]
    assert not judge_run(replace(good, evaluation=None), dataset).right


def test_limits_tell_of_poses_views_contrast_and_data(run, dataset) -> None:
    assert "Poses were given" in text_of(run, dataset)
    uneven = cast(Any, SimpleNamespace(worth=0.3))
    changed = replace(
        run,
        starts_alike=0.9,
        found_poses=True,
        angle_sd_degrees=np.array([1.0, 2.0, 3.0]),
        coverage=uneven,
        data_warnings=["frames repeat; remove them"],
        half_fsc={"mean": np.array([1, 0.9, 0.8, 0.1, 0, 0, 0, 0])},
        doubtful_components="component 1 (a turn, 80%) may be no motion",
    )
    text = text_of(changed, dataset)
    for part in (
        "random starts agree on 90%",
        "known to 2.0° (median)",
        "worth 30% of as many even ones",
        "Frames repeat; remove them.",
        "Mean volumes of two halves of the movies agree to 21.",
        "Component 1 (a turn, 80%) may be no motion.",
    ):
        assert part in text, part
    assert "darker" not in text
    assert "darker than its surroundings" in text_of(
        replace(run, volumes=-run.volumes, path_volumes=-TRUE_VOLUMES[:5]), dataset
    )


def test_pixels_are_named_where_they_are_the_limit(run, dataset) -> None:
    limited = replace(run, half_fsc={"mean": np.full(8, 0.9)})
    assert "pixels of 4 Å limit the detail, not noise" in text_of(limited, dataset)


def test_a_cloud_says_degrees(run, dataset) -> None:
    body = {"share_of_density": 0.88, "travel_angstrom": 0.6}
    arm = {"share_of_density": 0.12, "travel_angstrom": 32.0}
    motion = {
        "moves": True,
        "misfit_angstrom": [3.4, 0.5],
        "bodies": [{"body": "A", **body}, {"body": "B", **arm}],
        "hinges": [{"body": "B", "against": "A", "turns": True, "range_degrees": 78.4}],
    }
    headline = judge_run(replace(run, cloud_motion=motion), dataset).headline
    assert "About 12% of the molecule turns by 78° against the rest and travels 32 Å." in headline
    still = {**motion, "moves": False}
    assert "Nothing moves" in judge_run(replace(run, cloud_motion=still), dataset).headline


def test_the_run_with_the_best_motion_leads() -> None:
    tempor, static = reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)
    assert leading_run([static, tempor]) is tempor
    bare = [replace(run, evaluation=None) for run in (static, tempor)]
    assert leading_run(bare).name == "static"  # nothing tells, so the first
    tested = [
        replace(run, validation=Validation(held_out=scores(gain)))
        for run, gain in zip(bare, (0.5, 1.0), strict=True)
    ]
    assert leading_run(tested).name == "tempor"
    assert leading_run([replace(bare[0], latents=None), bare[1]]).name == "tempor"


def test_small_percentages_keep_a_digit() -> None:
    assert [percent(x) for x in (0, 0.004, 0.12, 1)] == ["0%", "0.4%", "12%", "100%"]


def test_null_tests_that_find_no_motion_say_why(run: ReportRun, dataset: ReportDataset) -> None:
    text = text_of(replace(run, validation=Validation(null_tests=null_tests(0.3))), dataset)
    assert "No motion is confirmed. With this noise, a molecule that does not move" in text
    found = text_of(replace(run, validation=Validation(null_tests=null_tests(0.048))), dataset)
    assert "Null tests: Motion found" in found
