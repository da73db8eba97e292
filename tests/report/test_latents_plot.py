"""Latents that were compared without a truth, on the page."""

from __future__ import annotations

from dataclasses import replace

from helpers.compared_latents import latent_comparison
from helpers.reports import reconstruction
from temporem.report import theme
from temporem.report.latents_plot import compared_latents
from temporem.validation.compare import Validation

FOUND = latent_comparison({"one": 3.0, "z.49": -0.5})


def test_nothing_is_shown_where_nothing_was_compared() -> None:
    section = compared_latents([reconstruction("one", 0.1, 0.1)])
    assert not section.words
    assert not section.drawings
    assert not section.note


def test_a_comparison_that_two_runs_hold_is_shown_once() -> None:
    runs = [
        replace(reconstruction(name, 0.1, 0.1), validation=Validation(latents=FOUND))
        for name in ("other", "one")
    ]
    section = compared_latents(runs)
    gains, change = section.drawings
    assert "Gain on unseen movies of one and z.49" in gains.svg
    assert gains.csv.splitlines()[1:] == ["one,3,2,4", "z.49,-0.5,-1.5,0.5"]
    assert "9.0 Å" not in change.caption
    assert "one: the latents explain a change that unseen movies show, too" in section.words[0]
    assert "z.49: the latents explain nothing that unseen movies show" in section.words[1]
    assert "z.49 explains less than one" in section.words[2]
    # A run has its colour of the other figures, and a file the next one.
    assert theme.run_colour(1).lower() in gains.svg
    assert theme.run_colour(2).lower() in gains.svg
    assert theme.run_colour(0).lower() not in gains.svg


def test_latents_whose_half_maps_show_no_change_have_a_gain_alone() -> None:
    facts = {name: one.model_copy(update={"regions": {}}) for name, one in FOUND.latents.items()}
    still = FOUND.model_copy(update={"latents": facts})
    run = replace(reconstruction("one", 0.1, 0.1), validation=Validation(latents=still))
    (gains,) = compared_latents([run]).drawings
    assert "Gain" in gains.svg
