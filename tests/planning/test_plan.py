"""Plans: expectations without images, held against a fit of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import temporem as tm
from helpers.commands import command, succeed
from temporem.errors import TemporemError
from temporem.evaluation.metrics.latents import parameter_agreement
from temporem.evaluation.principal_axes import principal_axes
from temporem.planning.expected import expect
from temporem.planning.scene import make_scene
from temporem.simulation.in_memory import make_movies
from temporem.simulation.presets import load_simulation_config

SMALL = {"box": 16, "pixel_size_angstrom": 8, "movies": 40}


@pytest.fixture(scope="module")
def scene():
    return make_scene(load_simulation_config("toy-free", changes=SMALL | {"snr": 0.3}))


def test_modes_hold_the_volumes(scene) -> None:
    """Latents have variance 1 over the frames, and the modes leave little of the motion."""
    z = scene.latents[torch.from_numpy(scene.state)]
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(z.shape[1]), atol=1e-6)
    with_one = torch.cat([torch.ones(len(scene.latents), 1), scene.latents.float()], dim=1)
    rest = scene.volumes - with_one.to(scene.modes.dtype) @ scene.modes
    moved = scene.volumes - scene.modes[0]
    assert rest.abs().square().sum() < 0.1 * moved.abs().square().sum()


def test_the_signal_is_that_of_a_simulation(scene) -> None:
    """The noise of a plan is the noise that simulated movies would have."""
    made = make_movies(scene.config)
    assert scene.signal_variance == pytest.approx(made.summary["signal_variance"], rel=0.1)


def test_more_movies_and_less_noise_help(scene) -> None:
    base = expect(scene, movies=40, snr=0.1)
    more, brighter = expect(scene, movies=160, snr=0.1), expect(scene, movies=40, snr=0.4)
    assert base.seen
    assert more.moving_area > base.moving_area
    assert brighter.moving_area > base.moving_area
    assert brighter.latent_error < 0.9 * base.latent_error < base.parameter_sd


def test_noise_hides_a_motion(scene) -> None:
    assert not expect(scene, movies=10, snr=0.001).seen


@pytest.mark.integration
def test_a_fit_finds_what_was_expected(scene) -> None:
    """The error of the angle as read from latents, within a fifth."""
    made = make_movies(scene.config)
    fit = tm.fit_linear(made.dataset, iterations=2)
    movie = np.zeros(made.dataset.n_frames, dtype=int)
    for number, rows in enumerate(made.dataset.movies):
        movie[rows] = number
    angle = made.truth.parameters[:, 0].numpy()
    axes = principal_axes(fit.latents.mean.numpy())
    found = parameter_agreement(axes, movie, angle)["trajectory_rmse"]
    expected = expect(scene, movies=40, snr=0.3)
    assert expected.parameter == "angle_degrees"
    assert expected.latent_error == pytest.approx(float(found), rel=0.2)


@pytest.mark.integration
def test_a_table_around_the_point_that_was_asked() -> None:
    sets = [f"{key}={value}" for key, value in (SMALL | {"snr": 0.2}).items()]
    said = succeed("plan", "toy-free", *(part for one in sets for part in ("--set", one)))
    for text in ("40 movies", "20 movies", "80 movies", "SNR 0.1", "SNR 0.4", "angle of a frame"):
        assert text in said


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(TemporemError, match="movies"):
        tm.plan("toy-free", movies=3)
    with pytest.raises(TemporemError, match="poses"):
        tm.plan("realistic")
    result = command("plan", "no-such-preset")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
