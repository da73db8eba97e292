"""Windowed images hold the information of their pixels: a share of what all coefficients claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import simulate_blobs
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.physics.masks import soft_ball
from temporem.physics.poses import Poses

BOX, N, SD = 32, 3000, 5.0


@pytest.fixture(scope="module")
def template() -> Tensor:
    """A disc of stripes around the centre, where the window is 1, ``(D, D)``."""
    stripes = torch.cos(2 * torch.pi * 5 * torch.arange(BOX) / BOX)
    return soft_ball(BOX, 2, BOX / 8, BOX / 8) * stripes


@pytest.fixture(scope="module")
def frames(template: Tensor) -> Frames:
    """The template, with amplitude 1, in white noise."""
    blobs = simulate_blobs([1], box=BOX).dataset
    noise = torch.randn(N, BOX, BOX, generator=torch.Generator().manual_seed(0))
    dataset = replace(
        blobs,
        images=(template + SD * noise).numpy(),
        poses=Poses.identity(N),
        ctf=blobs.ctf[torch.zeros(N, dtype=torch.long)],
        particle_names=["movie"] * N,
        frame_numbers=np.arange(1, N + 1),
        times_seconds=np.full(N, np.nan),
        movies=[np.arange(N)],
    )
    return prepare_frames(dataset, DataSettings(), dataset.movies, torch.device("cpu"))


def test_an_amplitude_varies_as_much_as_the_share_that_counts_says(
    frames: Frames, template: Tensor
) -> None:
    """The inverse variance of the likeliest amplitude is the share of the curvature that counts."""
    model = frames.forward_model
    images, _ = frames.source.take(np.arange(N))
    shape = (model.support.fft(template) / frames.statistics.noise_scale).expand_as(images)
    amplitudes = torch.tensor([-10.0, 0.0, 10.0])
    values = [model.log_likelihood(a * shape, images, 1.0).double() for a in amplitudes]
    curvature = -(values[0] - 2 * values[1] + values[2]) / 100
    likeliest = (values[2] - values[0]) / (20 * curvature)
    claimed = 1 / (frames.statistics.independent_share * float(curvature.mean()))
    assert float(likeliest.mean()) == pytest.approx(1.0, abs=3 * (claimed / N) ** 0.5)
    assert float(likeliest.var()) == pytest.approx(claimed, rel=0.1)
    # All of it is what the pixels of the template hold.
    assert claimed == pytest.approx(SD**2 / float(template.square().sum()), rel=0.03)
