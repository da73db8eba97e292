"""One pass over frames: every metric sees every frame once, whatever the order and batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers.swing import ANGLES, MOVIES, PIXEL, SUPPORT, N, Swing, all_frames, evaluated
from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics.fsc import FSC
from temporem.evaluation.summary import summarise
from temporem.evaluation.values import value_of
from temporem.physics.fsc import fourier_shell_correlation


def area(evaluation: Evaluation, region: str) -> float:
    return value_of(evaluation, "fsc", "auc", region)


def motion(evaluation: Evaluation, region: str) -> float:
    return value_of(evaluation, "motion", "correlation", region)


def test_curves_are_those_of_each_frame_whatever_the_order_and_batches() -> None:
    source = Swing(noise=0.1, seed=3)
    rows = np.random.default_rng(0).permutation(N)[:13]
    frames = all_frames().at(rows)
    result, again = (evaluated(source, frames=frames, batch_size=size) for size in (4, 13))
    for i, row in enumerate(rows):
        expected = fourier_shell_correlation(source.volume(row), Swing().volume(row), SUPPORT)
        np.testing.assert_allclose(result["fsc"]["unmasked"]["curves"][i], expected, atol=1e-5)
    assert sorted(result["fsc"]) == ["moving", "particle", "unmasked"]
    for name, arrays in result["fsc"].items():
        np.testing.assert_allclose(again["fsc"][name]["curves"], arrays["curves"], atol=1e-5)
    quality = "image_quality", "psnr_db"
    assert value_of(again, *quality) == pytest.approx(value_of(result, *quality), rel=1e-5)
    assert motion(again, "moving") == pytest.approx(motion(result, "moving"), rel=1e-5)


def test_reconstruction_is_read_once_and_progress_reaches_the_end() -> None:
    source, told = Swing(noise=0.1), []
    evaluated(source, batch_size=7, progress=lambda done, total: told.append((done, total)))
    assert np.concatenate(source.asked).tolist() == list(range(N))
    assert told == [(7, N), (14, N), (21, N), (28, N), (N, N)]


def test_truth_against_itself_is_perfect() -> None:
    result = evaluated(Swing())
    for region, arrays in result["fsc"].items():
        frames = FSC.per_frame(arrays, result)
        assert frames["never_crossed"].all()
        assert (frames["resolution_angstrom"] == 2 * PIXEL).all()
        np.testing.assert_allclose(frames["auc"], 1, atol=1e-5)
        assert motion(result, region) == pytest.approx(1, abs=1e-5)
    assert result["image_quality"][""]["ssim"].min() > 0.9999
    json.dumps(summarise(result), allow_nan=False)


def test_plain_fsc_forgives_the_mean_volume_and_motion_measures_do_not() -> None:
    # Static parts dominate plain FSC. The arm at rest in every frame:
    still, moving = evaluated(Swing(swing=0.0, noise=0.05)), evaluated(Swing(noise=0.05))
    assert motion(still, "unmasked") < 0.1
    assert motion(moving, "unmasked") > 0.5
    assert motion(moving, "particle") > motion(moving, "unmasked")
    gain = {region: area(moving, region) - area(still, region) for region in moving["fsc"]}
    assert gain["moving"] > gain["unmasked"] > 0


def test_masked_measures_see_less_noise() -> None:
    poor = evaluated(Swing(noise=0.15, seed=2))
    assert area(poor, "particle") > area(poor, "unmasked") + 0.05
    assert 0 < poor.mask_fractions["moving"] < poor.mask_fractions["particle"] < 1


def test_still_truth_has_no_motion_to_measure() -> None:
    result = evaluated(Swing(noise=0.1), truth=Swing(swing=0.0))
    assert list(result["fsc"]) == ["unmasked", "particle"]
    assert not result["motion"]
    assert summarise(result)["motion"] is None


def test_the_spectrum_that_tells_datasets_apart_is_that_of_the_truth_as_it_is() -> None:
    class Turned(Swing):
        def volume(self, row: int) -> torch.Tensor:
            return 2 * super().volume(row)

    plain = evaluated(Swing())
    moved = evaluated(Swing(), truth=Turned(), unmoved_truth=Swing())
    np.testing.assert_allclose(moved.truth_power, plain.truth_power)


def test_wrong_size_and_nan_are_refused_with_the_row() -> None:
    class Broken(Swing):
        def volume(self, row: int) -> torch.Tensor:
            return super().volume(row) * (float("nan") if row == 17 else 1)

    with pytest.raises(TemporemError, match="reconstruction's volume of row 17 holds NaN"):
        evaluated(Broken())
    with pytest.raises(TemporemError, match="box 16"):
        evaluated(Swing(), box=16)
    with pytest.raises(TemporemError, match="3 latents for 30 frames"):
        evaluated(Swing(), latents=np.zeros((3, 1)))
    with pytest.raises(TemporemError, match="latents hold NaN"):
        evaluated(Swing(), latents=np.full((N, 1), np.nan))


def test_one_movie_has_no_latent_scores() -> None:
    one = all_frames().at(np.arange(N // MOVIES))
    known = {"latents": np.zeros((len(one), 1)), "parameters": ANGLES[: len(one), None]}
    result = evaluated(Swing(), frames=one, **known, parameter_names=["angle_degrees"])
    assert not result["latents"]
    assert summarise(result)["fsc"]["unmasked"]["auc"]["ci"] == [None, None]
