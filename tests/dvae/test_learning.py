"""A molecule that moves, learned in memory: latents follow the motion, volumes the truth."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.networks import encoded_of, train
from temporem.dvae.fit import NetworkFit, fit_static, fit_tempor
from temporem.dvae.infer import infer_latents
from temporem.dvae.settings import NetworkSettings, TrainingSettings
from temporem.dvae.warm_start import warm_start_from
from temporem.linear.fit import fit_linear
from temporem.linear.state import LinearFit

NETWORK = NetworkSettings(encoder_width=64, rnn_width=32, generator_width=64)
TRAINING = TrainingSettings(epochs=16, frames_per_step=8, learning_rate=2e-3)


@cache
def blobs() -> BlobMovies:
    return simulate_blobs([8] * 30, snr=1.0)


def spearman(fit: NetworkFit) -> float:
    """``|ρ|`` of latents and true angles, over all frames."""
    rank = spearmanr(fit.latents.mean[:, 0].numpy(), blobs().angles.numpy()).statistic
    return abs(float(rank))


def motion_correlation(fit: NetworkFit) -> float:
    """Correlation of ``V_t − V̄`` with the truth's, over all frames and coefficients."""
    found, true = (v - v.mean(0) for v in (fit.volumes(range(240)), blobs().volumes()))
    weights = fit.support.weights
    cross = ((found.conj() * true).real * weights).sum()
    power = (found.abs().square() * weights).sum() * (true.abs().square() * weights).sum()
    return float(cross / power.sqrt())


@cache
def linear(temporal: bool) -> LinearFit:
    return fit_linear(blobs().dataset, components=4, temporal=temporal, device="cpu")


@pytest.mark.integration
@pytest.mark.parametrize(("fit_network", "temporal"), [(fit_static, False), (fit_tempor, True)])
def test_motion_is_learned_from_a_linear_model(fit_network, temporal: bool) -> None:
    fit = fit_network(
        blobs().dataset,
        start=linear(temporal),
        network=NETWORK,
        training=TRAINING,
        device="cpu",
        precision="float32",
    )
    assert spearman(fit) > 0.93
    assert motion_correlation(fit) > 0.5
    assert len(fit.log) == 16


@pytest.mark.integration
def test_a_cloud_that_moves_learns_a_turn_better_than_volumes_that_change() -> None:
    def learned(generator: str) -> NetworkFit:
        return fit_tempor(
            blobs().dataset,
            start=linear(True),
            network=NETWORK.model_copy(update={"generator": generator}),
            training=TRAINING,
            device="cpu",
            precision="float32",
        )

    cloud = learned("cloud")
    assert spearman(cloud) > 0.93
    assert motion_correlation(cloud) > max(0.93, motion_correlation(learned("volumes")))


@pytest.mark.integration
@pytest.mark.parametrize("generator", ["volumes", "cloud"])
def test_latents_on_a_grid_are_better_than_those_of_the_start(generator: str) -> None:
    """Noise is strong here, and a frame alone tells little."""
    movies = simulate_blobs([10] * 30, snr=0.05)
    start = fit_linear(movies.dataset, components=2, device="cpu")
    fit = fit_tempor(
        movies.dataset,
        start=start,
        network=NETWORK.model_copy(update={"generator": generator}),
        training=TRAINING,
        device="cpu",
        precision="float32",
    )
    before, after = (
        abs(float(spearmanr(one.latents.mean[:, 0].numpy(), movies.angles.numpy()).statistic))
        for one in (start, fit)
    )
    assert after > before + 0.02
    assert {record["stage"] for record in fit.log} == {"start", "smooth"}


@pytest.mark.integration
def test_motion_is_learned_from_nothing() -> None:
    """The static model first, then TEMPOR, as in the paper."""
    fit = fit_tempor(
        blobs().dataset,
        network=NETWORK,
        training=TRAINING.model_copy(update={"start": "static", "epochs": 32}),
        device="cpu",
        precision="float32",
    )
    assert spearman(fit) > 0.85
    assert motion_correlation(fit) > 0.4
    stages = [record["stage"] for record in fit.log]
    assert stages == ["static"] * 16 + ["warm-up"] * 4 + ["tempor"] * 12


@pytest.mark.integration
def test_a_network_that_reads_clips_does_not_count_frames() -> None:
    """Without images, latents hardly move. Of a network that reads whole movies they still do.

    In these movies the frame number alone tells the angle.
    """
    movies = simulate_blobs([8] * 30, snr=0.3)
    fit = fit_linear(movies.dataset, components=2, device="cpu")
    start = warm_start_from(fit, encoded_of(movies).frames, z_dim=1)
    encoded = encoded_of(movies, base=start.volumes)
    counted = {}
    for random_clips in (True, False):
        training = TRAINING.model_copy(update={"random_clips": random_clips, "kl_weight": 1.0})
        model = train(encoded, "tempor", NETWORK, training, warm_start=start).model
        seen, blank = (
            infer_latents(model, frames).mean[:, 0].numpy()
            for frames in (encoded, encoded.without_images())
        )
        assert abs(spearmanr(seen, movies.angles.numpy()).statistic) > 0.9
        number = movies.dataset.frame_numbers
        follows = np.corrcoef(number, blank)[0, 1] * blank.std() / seen.std()
        counted[random_clips] = abs(float(follows))
    assert counted[True] < 0.25
    assert counted[False] > 0.5


def test_fit_has_a_volume_for_every_latent_in_image_units() -> None:
    data = simulate_blobs([4, 4, 3, 5], box=12).dataset
    fit = fit_static(
        data,
        z_dim=2,
        epochs=1,
        network=NetworkSettings(encoder_width=8, rnn_width=4, generator_width=8),
        training=TrainingSettings(start="none", frames_per_step=8),
        device="cpu",
    )
    assert fit.latents.mean.shape == fit.latents.sd.shape == (16, 2)
    volume = fit.volume(fit.latents.mean[3])
    assert volume.shape == (12, 12, 12)
    scaled = fit.grid.noise_scale * fit.support.ifft(
        fit.generator.volumes(fit.support, fit.latents.mean[3:4])
    )
    torch.testing.assert_close(volume, scaled[0])
    torch.testing.assert_close(fit.support.ifft(fit.volumes([3]))[0], volume)
    assert fit.poses is None
    assert fit.grid.pixel_size_angstrom == data.pixel_size_angstrom
