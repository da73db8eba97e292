"""The clock: latents that follow the frame number and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from helpers.blobs import simulate_blobs
from helpers.networks import tiny_frames, training_of
from temporem.dvae.clock import clock_training, encode_clock
from temporem.dvae.fit import fit_clock
from temporem.dvae.settings import NetworkSettings, TrainingSettings

NETWORK = NetworkSettings(encoder_width=64, generator_width=64)
TRAINING = TrainingSettings(epochs=8, frames_per_step=8, learning_rate=2e-3)


def test_the_input_is_the_frame_number_of_unit_spread() -> None:
    frames = tiny_frames().frames
    numbers = np.arange(32) % 5 * 3 + 1
    encoded = encode_clock(frames, numbers)
    inputs = encoded.encoder_input
    assert isinstance(inputs, torch.Tensor)
    assert (encoded.n_inputs, encoded.moving_poses) == (1, False)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-6)
    assert float(inputs.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert np.corrcoef(inputs[:, 0], numbers)[0, 1] == pytest.approx(1)
    assert not encode_clock(frames, np.ones(32, dtype=int)).encoder_input.any()


def test_the_latent_of_a_known_number_costs_nothing() -> None:
    training = training_of(kl_weight=2.0)
    assert clock_training(training) == training_of(kl_weight=0.0)


@pytest.mark.integration
def test_latents_are_a_function_of_the_number_and_find_what_counting_can_find() -> None:
    blobs = simulate_blobs([8] * 16, snr=1.0)
    data = blobs.dataset
    last = data.movies[-1][-1]
    numbers = data.frame_numbers.copy()
    numbers[last] = 12  # a gap
    data = replace(data, frame_numbers=numbers)
    fit = fit_clock(data, network=NETWORK, training=TRAINING, device="cpu", precision="float32")
    latents = fit.latents.mean[:, 0].numpy()
    for number in np.unique(numbers):
        assert np.ptp(latents[numbers == number]) < 1e-4
    assert len(np.unique(latents.round(3))) == 9
    assert abs(spearmanr(latents, blobs.angles.numpy()).statistic) > 0.9
    assert float(fit.latents.sd.mean()) < 0.2
