"""Figures and sentences of half sets."""

from __future__ import annotations

from dataclasses import replace

from helpers.reports import reconstruction
from temporem.report.content import ReportRun
from temporem.report.half_set_plot import half_set_drawings
from temporem.validation.compare import Validation
from temporem.validation.facts import CurveFacts, HalfSetFacts, RegionFacts, ScoreFacts


def facts(states: list[float], change: list[float]) -> HalfSetFacts:
    """Half sets whose volumes agree to the pixels, 8 Å; and their change as a curve says."""
    volumes = CurveFacts(fsc=[1, 1, 1], corrected=[1, 1, 1], angstrom=8, never_crossed=True)
    region = RegionFacts(
        volumes=volumes,
        change=CurveFacts(fsc=change, corrected=change, angstrom=12, never_crossed=False),
        correlation=0.5,
        states_angstrom=states,
        frames_angstrom=8,
    )
    scores = ScoreFacts(
        movies=["a", "b"], n_frames=[5, 5], scores=[1, 1], motion=[1, 1], likelihoods=[-9, -9]
    )
    return HalfSetFacts(
        n_movies=(4, 4),
        n_frames=10,
        pixel_size_angstrom=4,
        regions={"moving": region},
        states=[5, 5],
        other_half=scores,
    )


def of(found: HalfSetFacts) -> ReportRun:
    return replace(reconstruction("tempor", 0.02, 0.05), validation=Validation(half_sets=found))


def test_states_that_all_reach_the_pixels_have_no_figure() -> None:
    limited, varied = facts([8, 8], [1, 0.9, 0]), facts([8, 11], [1, 0.9, 0])
    names = [drawing.file_name for drawing in half_set_drawings([of(limited)])]
    assert names == ["fsc-of-half-sets-where-it-moves"]
    names = [drawing.file_name for drawing in half_set_drawings([of(limited), of(varied)])]
    assert "resolution-along-the-path" in names


def test_sentences_stand_alone() -> None:
    said = " ".join(facts([8, 11], [1, 0.9, 0]).sentences())
    assert "Where it moves, volumes agree to 8.0 Å (Nyquist)." in said
    assert "Changes between frames agree to 12.0 Å, with a correlation of 0.50." in said
    assert "between 8.0 and 11.0 Å" in said
    nowhere = " ".join(facts([8, 8], [1, 0.1, 0]).sentences())
    assert "Changes between frames agree at no resolution" in nowhere
    assert "agree to 8.0 Å, not corrected" in nowhere
