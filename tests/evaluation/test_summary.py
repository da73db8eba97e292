"""The summary: plain numbers under plain names."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.swing import LENGTH, MOVIES, PIXEL, N
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.fsc import FSC
from temporem.evaluation.metrics.motion import MotionSums
from temporem.evaluation.summary import summarise
from temporem.physics.fsc import area_under_curve, resolution


def test_summary_states_the_numbers_and_how_they_were_made(good: Evaluation) -> None:
    summary = summarise(good)
    unmasked, arrays = summary["fsc"]["unmasked"], good["fsc"]["unmasked"]
    frames = FSC.per_frame(arrays, good)
    expected = frames["resolution_angstrom"].mean()
    assert unmasked["resolution_angstrom"]["value"] == pytest.approx(expected)
    mean_curve = arrays["curves"].mean(0)
    np.testing.assert_allclose(unmasked["mean_curve"], mean_curve, atol=1e-6)
    assert unmasked["mean_fsc_resolution_angstrom"]["value"] == pytest.approx(
        resolution(mean_curve, 0.5, PIXEL).angstrom, rel=1e-5
    )
    motion = summary["motion"]["unmasked"]["correlation"]
    assert motion["ci"][0] < motion["value"] < motion["ci"][1]
    assert summary["latents"]["angle_degrees"]["r2"]["value"] > 0.999
    assert summary["latent_states"]["knn_accuracy"]["value"] == 1
    assert summary["image_quality"]["low_pass_angstrom"] == pytest.approx(60 / 8)
    assert summary["n_frames"] == N
    states = summary["states"]["moving"]
    assert states["n_states"] == LENGTH
    area = area_under_curve(good["states"]["moving"]["curves"])
    assert states["auc"]["value"] == pytest.approx(area.mean())
    assert states["auc"]["worst"] == pytest.approx(area.min())


def test_every_number_has_a_definition(good: Evaluation) -> None:
    definitions = summarise(good)["definitions"]
    for name, metric in METRICS.items():
        assert list(definitions[name]) == [score.name for score in metric.scores]
        for score in [*metric.scores, *metric.gains]:
            assert score.definition.endswith(".")


def test_held_out_section_covers_held_out_movies_alone(good: Evaluation) -> None:
    section = summarise(good)["held_out"]
    chosen = np.isin(np.arange(MOVIES), [4, 5])  # groups put held-out movies last
    assert section["n_frames"] == 2 * LENGTH
    assert section["n_movies"] == 2
    ssim = good["image_quality"][""]["ssim"][good.frames.held_out]
    assert section["image_quality"]["ssim"]["value"] == pytest.approx(ssim.mean())
    expected = MotionSums(**good["motion"]["unmasked"]).correlation(chosen)
    found = section["motion"]["unmasked"]["correlation"]["value"]
    assert found == pytest.approx(float(expected))
    assert "states" not in section
