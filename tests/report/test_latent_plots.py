"""Figures of latents: a curve in two components is no failure, and bands are those of the run."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from temporem.report import theme
from temporem.report.latent_plots import (
    chosen_movies,
    latent_figure,
    latent_path_figure,
    movie_of_frames,
    readout,
    shown_latents,
)

MOVIES = [np.arange(10 * i, 10 * i + 10) for i in range(12)]
MOVIE = movie_of_frames(MOVIES, 120)
ANGLE = np.random.default_rng(0).uniform(0, 90, 120)


def drawn(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def arch() -> np.ndarray:
    """Half a circle in two components: neither follows the angle all along."""
    turn = np.deg2rad(3 * ANGLE)
    noise = np.random.default_rng(1).normal(0, 0.02, (len(ANGLE), 2))
    return np.stack([np.cos(turn), np.sin(turn)], axis=1) + noise


def test_a_curve_in_two_components_is_read_as_well_as_it_tells() -> None:
    values, in_degrees, words = readout(arch(), ANGLE, MOVIE)
    assert in_degrees
    assert np.abs(values - ANGLE).max() < 15
    assert float(words.removeprefix("R² = ")) > 0.95


def test_one_latent_is_drawn_rising_whatever_its_sign() -> None:
    for sign in (1, -1):
        values, in_degrees, words = readout(sign * ANGLE[:, None] / 30, ANGLE, MOVIE)
        assert not in_degrees
        assert np.corrcoef(values, ANGLE)[0, 1] > 0.99
        assert words == "|ρ| = 1.00"


def test_latents_that_say_nothing_say_so() -> None:
    noise = np.random.default_rng(2).normal(size=(120, 2))
    assert float(readout(noise, ANGLE, MOVIE)[2].removeprefix("R² = ").replace("−", "-")) < 0.2
    assert readout(np.ones((120, 2)), ANGLE, MOVIE)[2] == "|ρ| = 0.00"


def test_panels_name_run_and_score() -> None:
    figure = drawn(latent_figure({"a": arch(), "b": ANGLE[:, None]}, ANGLE, MOVIE, "Angle (°)"))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[0] in ("a, R² = 0.99", "a, R² = 1.00")
    assert titles[1] == "b, |ρ| = 1.00"
    assert figure.axes[0].get_xlabel() == "True angle (°)"
    assert "state" not in " ".join(ax.get_ylabel() for ax in figure.axes)


def test_bands_hold_what_the_covariance_says() -> None:
    latents = np.random.default_rng(3).normal(size=(120, 2))
    covariance = np.tile(np.diag([0.04, 0.25]), (120, 1, 1))
    figure, data = latent_path_figure(
        latents, covariance, MOVIES, np.tile(np.arange(1, 11), 12), movie_names=list("abcdefghijkl")
    )
    drawn(figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["Latent 1", "Latent 2"]
    for ax, deviation in zip(figure.axes, (0.2, 0.5), strict=True):
        assert len(ax.collections) == 3
        band = ax.collections[0].get_paths()[0].vertices
        at_first = band[band[:, 0] == 1][:, 1]
        assert np.ptp(at_first) == pytest.approx(2 * 1.645 * deviation, rel=0.01)
    assert set(data["movie"]) == {"a", "g", "l"}
    assert data["Latent 1, sd"][0] == pytest.approx(0.2)


def test_more_than_three_latents_are_turned_with_their_covariance() -> None:
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    latents = rng.normal(size=(300, 5)) * [5, 3, 2, 0.1, 0.1] @ basis
    covariance = np.tile(basis.T @ np.diag([0.09, 0.04, 0.01, 1, 1]) @ basis, (300, 1, 1))
    values, deviation, words = shown_latents(latents, covariance)
    assert values.shape == (300, 3)
    assert deviation is not None
    np.testing.assert_allclose(deviation[0], [0.3, 0.2, 0.1], atol=0.06)
    assert words == ["Axis 1", "Axis 2", "Axis 3"]


def test_a_movie_of_one_frame_is_a_dot_and_the_longest_movie_is_shown() -> None:
    movies = [np.array([0]), np.arange(1, 9), np.array([9]), np.array([10])]
    assert chosen_movies(movies, 3)[0] == 1
    figure, _ = latent_path_figure(
        np.arange(11.0)[:, None], None, movies, np.arange(11), colour=theme.RUN_COLOURS[2]
    )
    assert any(line.get_marker() == "o" for line in drawn(figure).axes[0].lines)
    assert chosen_movies(movies[:1], 3) == [0]
