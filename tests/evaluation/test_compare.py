"""The comparison of two runs: Eq. 16 and paired gains."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest

from helpers.swing import SETTINGS, frames_of
from temporem.errors import TemporemError
from temporem.evaluation.compare import compare
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics.fsc import improvement, resolution_gains
from temporem.evaluation.settings import EvaluationSettings


def hand_made(crossings: Sequence[int], psnr_db: Sequence[float] | None = None) -> Evaluation:
    """An evaluation whose frames' FSC falls from 1 to 0 between shells c − 1 and c, or never."""
    curves = np.array([[1.0] * c + [0.0] * (8 - c) for c in crossings])
    n = len(curves)
    psnr = np.zeros(n) if psnr_db is None else np.array(psnr_db)
    sums = dict.fromkeys(("cross", "power", "truth_power"), np.ones(n))
    results = {
        "fsc": {"unmasked": {"curves": curves}},
        "motion": {"unmasked": sums},
        "image_quality": {"": {"psnr_db": psnr, "ssim": np.zeros(n)}},
    }
    return Evaluation(SETTINGS, frames_of(range(n)), 16, 2.0, results, {}, np.ones(8))


def test_the_better_run_wins_everywhere_and_the_signs_flip(poor, good) -> None:
    forth, back = compare(poor, good), compare(good, poor)
    for region in good["fsc"]:
        assert forth.gain("fsc", "mean_gain", region).value > 0
        assert forth.gain("fsc", "auc", region).low > 0
        improved, tied = (
            forth.gain("fsc", f"fraction_{name}", region).value for name in ("improved", "tied")
        )
        assert improved + tied <= 1
        for name in (("fsc", "mean_fsc_resolution_angstrom"), ("motion", "correlation")):
            there, here = (item.gain(*name, region).value for item in (forth, back))
            assert there == pytest.approx(-here)
        assert forth.gain("motion", "correlation", region).low > 0
    assert forth.gain("fsc", "fraction_improved", "unmasked").value == 1
    assert back.gain("fsc", "fraction_improved", "unmasked").value == 0
    assert forth.gain("image_quality", "psnr_db").low > 0
    assert forth.gain("image_quality", "ssim").low > 0
    document = json.loads(json.dumps(forth.summary(), allow_nan=False))
    assert document["fsc"]["unmasked"]["fraction_improved"]["value"] == 1
    assert "latents" not in document  # one of the runs has none


def test_equation_16_on_curves_made_by_hand() -> None:
    # Crossings at shells 3.5, 3.5, 5.5, never, never | 4.5, 3.5, 4.5, never, 6.5; a box of 32 Å.
    static, tempor = hand_made([4, 4, 6, 8, 8]), hand_made([5, 4, 5, 8, 7])
    expected = [1 - 3.5 / 4.5, 0, 1 - 5.5 / 4.5, 0, 1 - 8 / 6.5]
    np.testing.assert_allclose(resolution_gains(static, tempor), expected, atol=1e-12)
    result = compare(static, tempor)

    def gain(name: str) -> float:
        return result.gain("fsc", name, "unmasked").value

    assert gain("fraction_improved") == pytest.approx(0.2)
    assert gain("fraction_tied") == pytest.approx(0.4)
    assert gain("mean_gain") == pytest.approx(np.mean(expected))
    # Mean curves from shell 4: .6 .6 .4 .4 | .8 .4 .4 .2, which cross 0.5 at 5.5 | 4.75.
    assert gain("mean_fsc_resolution_angstrom") == pytest.approx(32 / 5.5 - 32 / 4.75)
    assert gain("auc") == pytest.approx((4.8 - 5.0) / 7)
    assert improvement(np.array([8.0]), np.array([6.0])) == 0.25


def test_intervals_are_of_paired_differences() -> None:
    # b is better by the same amount everywhere: the spread between movies must cancel.
    one, same = hand_made([2, 3, 4, 5]), hand_made([2, 3, 4, 5])
    assert compare(one, same).gain("fsc", "auc", "unmasked") == (0, 0, 0)
    shifted = hand_made([2, 3, 4, 5], psnr_db=[1.0, 5.0, 9.0, 2.0])
    better = hand_made([2, 3, 4, 5], psnr_db=[3.0, 7.0, 11.0, 4.0])
    gain = compare(shifted, better).gain("image_quality", "psnr_db")
    assert gain == pytest.approx((2, 2, 2))


def test_a_gain_is_positive_where_less_is_better(poor, good) -> None:
    error = good["latents"]["angle_degrees"]["trajectory_rmse"]
    arrays = {**good["latents"]["angle_degrees"], "trajectory_rmse": error + 3}
    results = {**good.results, "latents": {"angle_degrees": arrays}}
    worse = dataclasses.replace(good, results=results)
    found = compare(worse, good)
    assert found.gain("latents", "trajectory_rmse", "angle_degrees").value == pytest.approx(3)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    a = hand_made([4, 4, 6, 8])
    with pytest.raises(TemporemError, match="pixel size"):
        compare(a, dataclasses.replace(a, pixel_size_angstrom=2.5))
    with pytest.raises(TemporemError, match="different frames"):
        compare(a, hand_made([4, 4, 6]))
    with pytest.raises(TemporemError, match="different settings"):
        compare(a, dataclasses.replace(a, settings=EvaluationSettings(fsc_threshold=0.3)))
    with pytest.raises(TemporemError, match="different true volumes"):
        compare(a, dataclasses.replace(a, truth_power=1.1 * a.truth_power))
    compare(a, dataclasses.replace(a, truth_power=1.00001 * a.truth_power))
