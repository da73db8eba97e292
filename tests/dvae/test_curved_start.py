"""The start from a curve: latents of frames from all frames of their movies."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from helpers.blobs import BlobMovies, simulate_blobs
from helpers.networks import encoded_of
from temporem.dvae.curved_start import curved_start
from temporem.dvae.fit import fit_tempor
from temporem.dvae.model import VAEKind
from temporem.dvae.network_start import network_start
from temporem.dvae.settings import NetworkSettings, TrainingSettings
from temporem.dvae.warm_start import WarmStart, warm_start_from
from temporem.linear.fit import fit_linear
from temporem.linear.state import LinearFit
from temporem.physics.fourier import FourierSupport


@cache
def swinging(seed: int = 1, snr: float = 0.05) -> BlobMovies:
    return simulate_blobs([8] * 40, snr=snr, arc_degrees=180, seed=seed)


@cache
def linear_fit(*, temporal: bool = True) -> LinearFit:
    return fit_linear(swinging().dataset, components=3, temporal=temporal, device="cpu")


@cache
def flat_start(*, temporal: bool = True) -> WarmStart:
    return warm_start_from(linear_fit(temporal=temporal), encoded_of(swinging()).frames, 1)


@cache
def curved(kind: VAEKind = "tempor") -> WarmStart:
    frames, temporal = encoded_of(swinging()).frames, kind == "tempor"
    flat, fit = flat_start(temporal=temporal), linear_fit(temporal=temporal)
    return curved_start(flat, fit, frames, frames, kind)


def explained(start: WarmStart) -> float:
    """Part of the variance of the true angle that a cubic of the latents explains."""
    z, angles = start.mean[:, 0].double().numpy(), swinging().angles.numpy()
    fitted = np.polyval(np.polyfit(z, angles, 3), z)
    return float(1 - (angles - fitted).var() / angles.var())


def change_correlation(start: WarmStart) -> float:
    """Correlation of the changes of all frames' volumes with the true ones."""
    movies = swinging()
    with torch.no_grad():
        found = torch.einsum("nj,jzyx->nzyx", start.curve(start.mean), start.volumes[1:])
    true = FourierSupport(movies.dataset.box, 3).ifft(movies.volumes())
    change, expected = found - found.mean(0), true - true.mean(0)
    return float((change * expected).sum() / (change.norm() * expected.norm()))


@pytest.mark.integration
def test_latents_follow_a_large_swing_better_than_those_of_the_linear_model() -> None:
    assert explained(curved()) > explained(flat_start()) + 0.05
    assert explained(curved()) > 0.9


@pytest.mark.integration
def test_without_time_frames_alone_gain_too_and_all_of_a_movie_tell_more() -> None:
    assert explained(curved("static")) > explained(flat_start(temporal=False))
    assert explained(curved()) > explained(curved("static")) + 0.1


@pytest.mark.integration
def test_volumes_along_the_curve_change_more_truly_than_those_of_the_linear_model() -> None:
    assert change_correlation(curved()) > change_correlation(flat_start()) + 0.2


@pytest.mark.integration
def test_latents_have_unit_spread_and_held_out_frames_none() -> None:
    movies = swinging()
    frames = encoded_of(movies).frames
    frames = replace(frames, training=frames.movies[:30])
    flat = warm_start_from(linear_fit(), frames, 1)
    start = curved_start(flat, linear_fit(), frames, frames, "tempor")
    rows = np.concatenate(frames.training)
    held_out = np.concatenate(frames.movies[30:])
    assert start.mean[rows].std() == pytest.approx(1, abs=0.25)
    assert start.mean[rows].mean() == pytest.approx(0, abs=0.25)
    assert (start.mean[held_out] == 0).all()
    assert (start.variance[held_out] == 1).all()
    assert (start.variance[rows] > 0).all()


@pytest.mark.integration
def test_latents_that_do_not_vary_stay_as_they_are() -> None:
    frames = encoded_of(swinging()).frames
    still = replace(flat_start(), mean=torch.zeros_like(flat_start().mean))
    assert curved_start(still, linear_fit(), frames, frames, "tempor") is still


@pytest.mark.integration
@pytest.mark.parametrize(
    ("network", "training", "movies", "bent"),
    [
        (NetworkSettings(generator="cloud"), TrainingSettings(), 40, True),
        (NetworkSettings(generator="volumes"), TrainingSettings(), 40, False),
        (NetworkSettings(generator="cloud", z_dim=2), TrainingSettings(), 40, False),
        (NetworkSettings(generator="cloud"), TrainingSettings(kl_weight=1.0), 40, False),
        (NetworkSettings(generator="cloud"), TrainingSettings(), 3, False),
    ],
)
def test_only_a_cloud_with_a_latent_on_a_grid_starts_from_a_curve(
    network: NetworkSettings, training: TrainingSettings, movies: int, *, bent: bool
) -> None:
    frames = encoded_of(swinging()).frames
    frames = replace(frames, training=frames.movies[:movies])
    start = network_start(linear_fit(), frames, frames, network, training, "tempor")
    flat = warm_start_from(linear_fit(), frames, network.z_dim)
    assert start.mean.equal(flat.mean) is not bent


@pytest.mark.integration
def test_a_start_that_was_fitted_in_the_box_of_the_frames_is_bent_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Starts made for a network are fitted in a smaller box, but a given one need not be."""
    monkeypatch.setattr("temporem.dvae.fit.LINEAR_BOX", 12)
    fit = fit_tempor(
        swinging().dataset,
        start=linear_fit(),
        epochs=1,
        network=NetworkSettings(generator="cloud"),
        device="cpu",
        precision="float32",
    )
    assert fit.volume(fit.latents.mean[0]).shape == (16, 16, 16)
