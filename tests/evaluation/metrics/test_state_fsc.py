"""FSC of states: mean volumes of true states against the same means of the truth."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.swing import LENGTH, MOVIES, SUPPORT, N, Swing, all_frames, evaluated
from temporem.evaluation.compare import compare
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.summary import summarise
from temporem.evaluation.values import value_of
from temporem.physics.fsc import area_under_curve, fourier_shell_correlation

STATES = np.tile([7, 7, 2, 2, 5], MOVIES)


def test_state_curves_are_those_of_mean_volumes_in_every_region() -> None:
    source, truth = Swing(noise=0.1, seed=3), Swing()
    result = evaluated(source, states=STATES, batch_size=4)["states"]
    whole = result["unmasked"]
    assert whole["labels"].tolist() == [2, 5, 7]
    assert whole["n_frames"].tolist() == [12, 6, 12]
    for label, curve in zip([2, 5, 7], whole["curves"], strict=True):
        rows = np.flatnonzero(label == STATES)
        means = source.volumes(rows).mean(0), truth.volumes(rows).mean(0)
        expected = fourier_shell_correlation(*means, SUPPORT).numpy()
        np.testing.assert_allclose(curve, expected, atol=1e-5)
    perfect = evaluated(Swing(), states=STATES)["states"]
    assert list(perfect) == list(result)
    for arrays in perfect.values():
        np.testing.assert_allclose(arrays["curves"], 1, atol=1e-4)


def test_noise_averages_out_of_states_and_not_of_frames() -> None:
    result = evaluated(Swing(noise=0.3, seed=1), states=STATES)
    frames = value_of(result, "fsc", "auc", "moving")
    assert value_of(result, "states", "auc", "moving") > frames + 0.1


def test_states_of_a_mean_volume_are_worst_where_it_is_far_from_them() -> None:
    """A method that gives every frame one volume blurs the arm, most at the ends of the swing."""

    class Mean(Swing):
        def volumes(self, rows):
            return super().volumes(np.arange(LENGTH)).mean(0).expand(len(rows), -1)

    states = np.tile(np.arange(LENGTH), MOVIES)
    mean, truth = evaluated(Mean(), states=states), evaluated(Swing(), states=states)
    area = area_under_curve(mean["states"]["moving"]["curves"])
    assert area.argmax() == LENGTH // 2
    comparison = compare(mean, truth)
    assert comparison.gain("states", "fraction_improved", "moving").value == 1
    gain = comparison.gain("states", "auc", "moving")
    assert gain.value == pytest.approx((1 - area).mean(), abs=1e-4)
    assert np.isnan(gain.low)  # the states are not a sample


@pytest.mark.parametrize("states", [None, np.zeros(N, int), np.arange(N)])
def test_labels_that_part_nothing_are_not_states(states, good: Evaluation) -> None:
    source, frames = Swing(noise=0.05, seed=1), all_frames(held_out=(1, 4))
    result = evaluated(source, states=states, frames=frames)
    assert not result["states"]
    assert summarise(result)["states"] is None
    assert "states" not in compare(result, good).summary()
