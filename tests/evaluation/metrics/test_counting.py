"""What counting frames gives, and the warning where a network does no more."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.swing import ANGLES, LENGTH, MOVIES, N, Swing, evaluated
from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics.counting import counting_in_words
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.evaluation.summary import summarise
from temporem.evaluation.values import value_of
from temporem.report.findings import judge

NUMBERS = np.tile(np.arange(LENGTH), MOVIES).astype(float)[:, None]
NOISE = np.random.default_rng(0).normal(size=(N, 1))
STATES = np.tile(np.arange(LENGTH), MOVIES)


def probed(real: np.ndarray, angles: np.ndarray = ANGLES, **probes: np.ndarray) -> Evaluation:
    return evaluated(
        Swing(noise=0.05, seed=1),
        latents=real,
        parameters=angles[:, None],
        parameter_names=["angle_degrees"],
        states=STATES,
        probes=probes,
    )


@pytest.fixture(scope="module")
def counter() -> Evaluation:
    """A network whose latents need no image."""
    return probed(NUMBERS + 0.01 * NOISE, blank=NUMBERS, shuffled=NOISE)


@pytest.fixture(scope="module")
def observer() -> Evaluation:
    """A network whose latents come from the images."""
    return probed(NUMBERS, blank=np.zeros((N, 1)), shuffled=NUMBERS)


def r2(evaluation: Evaluation, name: str) -> float:
    return value_of(evaluation, "counting", f"{name}_r2", "angle_degrees")


def test_numbers_are_those_of_the_latent_r2(counter: Evaluation, observer: Evaluation) -> None:
    real = value_of(counter, "latents", "r2", "angle_degrees")
    assert float(counter["counting"]["angle_degrees"]["r2"]) == real
    assert r2(counter, "blank") > 0.99
    assert r2(counter, "shuffled") < 0.2
    assert r2(observer, "blank") == 0
    assert r2(observer, "shuffled") == value_of(observer, "latents", "r2", "angle_degrees")


def test_a_warning_names_the_counter_and_what_helps(
    counter: Evaluation, observer: Evaluation
) -> None:
    (warning,) = [text for text in judge({"a": counter}).warnings if "without a look" in text]
    for words in (
        "a: the latents",
        "angle",
        "training.random_clips=true",
        "training.random_clips=true",
        "--method clock",
    ):
        assert words in warning
    assert not [text for text in judge({"a": observer}).warnings if "without a look" in text]
    poor = probed(NOISE, blank=NOISE, shuffled=NOISE)  # as good as blank, and of no use
    assert not [text for text in judge({"a": poor}).warnings if "without a look" in text]


def test_one_sentence_has_all_four_numbers(counter: Evaluation, observer: Evaluation) -> None:
    (text,) = counting_in_words(observer)
    assert text.startswith("Latent R² of the angle: ")
    assert "0.000 from blank ones" in text
    assert f"the frame number alone: {r2(observer, 'clock'):.3f}" in text
    assert counting_in_words(probed(NUMBERS)) == []


def test_the_clock_is_known_without_a_network_or_latents() -> None:
    plain = evaluated(
        Swing(), parameters=ANGLES[:, None], parameter_names=["angle_degrees"], states=STATES
    )
    assert r2(plain, "clock") > 0.99
    assert np.isnan(r2(plain, "blank"))
    assert value_of(plain, "clock_states", "silhouette") == 1
    assert value_of(plain, "clock_states", "knn_accuracy") == 1


def test_the_clock_tells_nothing_where_movies_start_anywhere() -> None:
    starts = np.random.default_rng(2).uniform(0, 360, MOVIES).repeat(LENGTH)
    anywhere = np.cos(np.deg2rad(starts + 9 * NUMBERS[:, 0]))
    plain = evaluated(Swing(), parameters=anywhere[:, None], parameter_names=["cosine"])
    assert value_of(plain, "counting", "clock_r2", "cosine") < 0.2


def test_numbers_are_stored_and_read_back(counter: Evaluation, tmp_path) -> None:
    save_evaluation(counter, tmp_path)
    read = load_evaluation(tmp_path)
    for name in ("blank", "shuffled", "clock"):
        assert r2(read, name) == r2(counter, name)
    section = json.loads((tmp_path / "evaluation.json").read_text())["counting"]["angle_degrees"]
    assert section["blank_r2"]["value"] == r2(counter, "blank")
    assert section["r2"] == value_of(counter, "latents", "r2", "angle_degrees")
    unprobed = summarise(probed(NUMBERS))["counting"]["angle_degrees"]
    assert unprobed["blank_r2"] == {"value": None}


def test_probes_must_be_finite_and_of_all_frames() -> None:
    with pytest.raises(TemporemError, match=r"the latents \(blank\) hold NaN"):
        probed(NUMBERS, blank=np.full((N, 1), np.nan))
    with pytest.raises(TemporemError, match=r"3 latents \(shuffled\) for"):
        probed(NUMBERS, shuffled=NUMBERS[:3])
