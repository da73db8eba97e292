"""Findings on several runs: who is better, in what, and what weakens the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from helpers.reports import changed, evaluation_of, reconstruction
from temporem.errors import TemporemError
from temporem.evaluation.values import value_of
from temporem.report.content import ReportRun
from temporem.report.findings import find


@pytest.fixture(scope="module")
def runs() -> list[ReportRun]:
    return [reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)]


def test_headline_says_who_wins_and_holds_the_numbers(runs: list[ReportRun]) -> None:
    findings = find(runs, "static")
    better = next(text for text in findings.headline if "better" in text)
    assert better.startswith("tempor is better than static in ")
    there, here = (
        f"{value_of(evaluation_of(run), 'motion', 'correlation', 'unmasked'):.3f}" for run in runs
    )
    assert f"motion correlation ({there} against {here})" in better
    assert re.search(r"resolution \([\d.]+% of frames finer, mean gain \+[\d.]+%\)", better)
    assert any("latent R² of the angle" in text for text in findings.headline)


def test_the_first_run_is_the_baseline_unless_another_is_named(runs: list[ReportRun]) -> None:
    assert find(runs).baseline == "tempor"
    assert find(runs[::-1]).baseline == "static"
    assert list(find(runs, baseline="static").comparisons) == ["tempor"]
    with pytest.raises(TemporemError, match=r"named 'mean'; expected 'tempor' or 'static'"):
        find(runs, baseline="mean")


def test_headline_is_as_plain_about_defeat(runs: list[ReportRun]) -> None:
    tempor, static = runs
    swapped = [
        replace(tempor, evaluation=static.evaluation),
        replace(static, evaluation=tempor.evaluation),
    ]
    headline = find(swapped, "static").headline
    assert any(t.startswith("tempor is worse than static in ") and "motion" in t for t in headline)
    assert not any("better" in text for text in headline)


@pytest.mark.parametrize("sign", [1, -1])
def test_headline_does_not_decide_what_the_interval_leaves_open(
    runs: list[ReportRun], sign: int
) -> None:
    item = evaluation_of(runs[1])
    psnr = item["image_quality"][""]["psnr_db"]
    better_in_half_the_movies = sign * np.where(item.frames.movie % 2, 1.0, -0.9)
    sibling = replace(
        runs[1],
        name="sibling",
        evaluation=changed(item, "image_quality", psnr_db=psnr + better_in_half_the_movies),
    )
    findings = find([runs[1], sibling])
    gain = findings.comparisons["sibling"].gain("image_quality", "psnr_db")
    assert gain.value == pytest.approx(0.05 * sign)
    assert gain.low < 0 < gain.high
    (sentence,) = (text for text in findings.headline if "PSNR" in text)
    assert sentence.startswith("sibling and static do not differ significantly in ")


def test_warnings_name_what_weakens_the_numbers(runs: list[ReportRun]) -> None:
    perfect = replace(reconstruction("perfect", 0.0, 0.0), metrics=[{"epoch": 9, "step": 1}])
    warnings = " ".join(find([perfect, *runs]).warnings)
    assert "of the frames of perfect never falls below 0.5" in warnings
    assert "(Nyquist 8 Å)" in warnings
    assert warnings.count("never falls below") == 1  # one sentence for all runs and regions
    assert "The runs differ in epochs: perfect 9, tempor 3, static 3." in warnings
    assert "optimiser updates: perfect 1, tempor 30" in warnings


def test_runs_on_different_frames_are_not_compared(runs: list[ReportRun]) -> None:
    short = reconstruction("tempor", 0.05, 0.05, movies=3)
    findings = find([runs[1], short])
    assert not findings.comparisons
    assert findings.headline == ["The evaluations of these runs are not comparable."]
    assert any("tempor is not compared with static" in text for text in findings.warnings)


@pytest.mark.parametrize(
    ("align", "turn", "words"),
    [
        ("all", 5.0, "turned by 5.0° in common (by chance 1.0°)"),
        ("all", 2.0, None),
        ("states", 5.0, "each true state is aligned on its own"),
    ],
)
def test_what_an_alignment_forgives_or_does_not_is_said(runs, align, turn, words) -> None:
    item = evaluation_of(runs[0])
    one, angle = np.ones(1), np.full(len(item.frames), 6.0)
    coupling = {
        **dict.fromkeys(("error_r2", "pose_r2", "view_r2"), np.zeros(())),
        "n_close": np.array(4),
        **dict.fromkeys(("state", "state_n_frames", "state_n_close"), one.astype(int)),
        **dict.fromkeys(("state_low", "state_median", "state_high", "state_chance"), one),
        "state_turn": np.array([[0.0, turn, 0.0]]),
    }
    found = changed(item, "pose_conformation_coupling", **coupling)
    found = changed(found, "poses", angle_degrees=angle, shift_angstrom=0 * angle)
    found = replace(found, settings=replace(item.settings, align=align))
    assert not any("in common" in text for text in find(runs).warnings)
    said = [t for t in find([replace(runs[0], evaluation=found)]).warnings if "in common" in t]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]
