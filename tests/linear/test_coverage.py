"""Posteriors of the linear model are as wide as their errors, where the model is exactly right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import amplitude_movies
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.linear.fit import linear_result, linear_states
from temporem.linear.settings import LinearSettings

TOLERANCE = 0.05
QUANTILES = {0.5: 0.6745, 0.9: 1.6449}


def covered(truth: Tensor, mean: Tensor, deviation: Tensor) -> list[float]:
    """Fractions of true latents in their 50 % and 90 % intervals, the latent's scale being free.

    Truth is regressed on posterior means: ``E[z | m]`` is m where posteriors are right.
    """
    x = torch.stack([torch.ones_like(mean), mean], dim=1)
    weights = torch.linalg.lstsq(x, truth[:, None]).solution[:, 0]
    error = (truth - x @ weights).abs() / (weights[1].abs() * deviation)
    return [float((error < quantile).double().mean()) for quantile in QUANTILES.values()]


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_intervals_cover_the_true_latents(memory: float) -> None:
    """Movies of volumes ``μ + z U``, noise and window included; z remembers its last value."""
    data, truth = amplitude_movies(movies=60, length=10, memory=memory, snr=0.3)
    frames = prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))
    *_, last = linear_states(frames, LinearSettings(components=1, temporal=memory > 0))
    latents = linear_result(frames, last).latents
    mean, deviation = latents.mean[:, 0], latents.covariance[:, 0, 0].sqrt()
    assert np.corrcoef(mean, truth)[0, 1] ** 2 > 0.7
    found = covered(truth, mean, deviation)
    assert found == pytest.approx(list(QUANTILES), abs=TOLERANCE)
    # As if all coefficients of a windowed image were independent.
    overstated = covered(truth, mean, frames.statistics.independent_share**0.5 * deviation)
    assert overstated != pytest.approx(list(QUANTILES), abs=TOLERANCE)
