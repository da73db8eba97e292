"""Figures hold the data they were given, on axes that say what they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from temporem.evaluation.metrics.pose_conformation_coupling import pose_conformation_coupling
from temporem.report import plots, theme
from temporem.report.latent_plots import latent_figure
from temporem.report.learning import curves_figure
from temporem.report.pose_plot import pose_error_figure

BOX, PIXEL = 32, 2.0


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def kl(record) -> float:
    return float(record["kl"])


def drawn(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def test_fsc_shows_mean_and_spread_of_every_run_against_frequency(rng: np.random.Generator) -> None:
    curves = {name: rng.uniform(0, 1, (50, BOX // 2)) for name in ("a", "b")}
    ax = drawn(plots.fsc_figure(curves, BOX, PIXEL, title="Whole box")).axes[0]
    lines = {line.get_label(): line for line in ax.lines if line.get_label() in curves}
    for name, values in curves.items():
        np.testing.assert_allclose(lines[name].get_ydata(), values.mean(axis=0))
        np.testing.assert_allclose(lines[name].get_xdata(), np.arange(BOX // 2) / (BOX * PIXEL))
        band = ax.collections[list(curves).index(name)].get_paths()[0].vertices
        assert band[:, 1].max() == pytest.approx(np.quantile(values, 0.9, axis=0).max())
        assert band[:, 1].min() == pytest.approx(np.quantile(values, 0.1, axis=0).min())
    assert lines["a"].get_color() != lines["b"].get_color()
    assert ax.get_xlim() == pytest.approx((0, 1 / (2 * PIXEL)))
    assert ax.get_title(loc="left") == "Whole box"


def test_fsc_axis_is_labelled_in_angstrom() -> None:
    figure = plots.fsc_figure({"a": np.ones((2, BOX // 2))}, BOX, PIXEL)
    ax = drawn(figure).axes[0]
    assert "Å" in ax.get_xlabel()
    for position, text in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
        assert 1 / position == pytest.approx(float(text.get_text()))
    assert ax.get_xticklabels()[-1].get_text() == "4"  # Nyquist


def test_fsc_threshold_is_marked() -> None:
    ax = plots.fsc_figure({"a": np.ones((2, 8))}, 16, PIXEL, threshold=0.143).axes[0]
    assert any(np.allclose(line.get_ydata(), 0.143) for line in ax.lines)


def test_gain_histogram_parts_winners_from_losers(rng: np.random.Generator) -> None:
    gains = np.concatenate([rng.uniform(0.001, 0.04, 75), rng.uniform(-0.04, -0.001, 25)])
    ax = drawn(plots.gain_figure(gains, "tempor", "static")).axes[0]
    (text,) = (t.get_text() for t in ax.texts)
    assert "75.0% of frames" in text
    assert f"{100 * gains.mean():+.2f}%" in text
    for patch, side in zip(ax.patches, (1, -1), strict=True):
        corners = patch.get_xy()
        assert (side * corners[corners[:, 1] > 0, 0] >= -1e-9).all()
    low, high = ax.get_xlim()
    assert low == pytest.approx(-high)
    assert "static" in ax.get_xlabel()
    assert "%" in ax.get_xlabel()


def test_gain_histogram_counts_every_frame_outliers_too() -> None:
    gains = np.concatenate([np.linspace(0.001, 0.01, 999), [5.0]])
    ax = plots.gain_figure(gains, "b", "a").axes[0]
    corners = ax.patches[0].get_xy()
    step = np.diff(np.unique(corners[:, 0])).min()
    area = 0.5 * abs(
        np.dot(corners[:-1, 0], corners[1:, 1]) - np.dot(corners[1:, 0], corners[:-1, 1])
    )
    assert area / step == pytest.approx(1000, rel=1e-6)


def test_image_montage_shows_each_image_with_y_upwards(rng: np.random.Generator) -> None:
    images = rng.normal(size=(7, 8, 8))
    figure = drawn(plots.image_figure(images, [f"frame {i}" for i in range(7)], columns=4))
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == 7
    for ax, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.images[0].origin == "lower"


def test_hostile_names_neither_break_nor_crowd_a_figure() -> None:
    name = "_$\\frac{1$ " + 40 * "x"
    curves = {name: np.ones((2, 8)), "b": np.ones((2, 8))}
    figure = drawn(plots.fsc_figure(curves, 16, PIXEL, title=name))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == 2
    assert all(len(text) <= 24 for text in texts)
    drawn(plots.gain_figure(np.array([0.1, -0.1]), name, name))
    drawn(curves_figure({name: [{"epoch": 1, "stage": name, "kl": 2.0}]}, kl, name))


def test_long_names_that_differ_at_their_end_stay_different() -> None:
    names = [theme.shorten(f"20211019_grid3_position6_ribosome_{i:07d}") for i in range(3)]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {24}


def test_run_colours_differ_in_lightness_or_hue_for_dichromats() -> None:
    """Machado et al. 2009: deuteranopia and protanopia, severity 1, on linear RGB."""
    deutan = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    protan = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    hexes = theme.RUN_COLOURS[:4]
    rgb = np.array([[int(h[i : i + 2], 16) / 255 for i in (1, 3, 5)] for h in hexes]) ** 2.2
    for matrix in (np.eye(3), deutan, protan):
        seen = (rgb @ np.array(matrix).T).clip(0, 1) ** (1 / 2.2)
        distance = np.linalg.norm(seen[:, None] - seen, axis=-1) + 9 * np.eye(4)
        assert distance.min() > 0.15


def test_a_run_has_one_colour_in_all_figures() -> None:
    """Also where a figure does not show the runs before it."""
    runs = ["linear", "static", "tempor"]
    rotations, states = torch.eye(3).double().repeat(4, 1, 1), np.array([0, 0, 1, 1])
    coupling = pose_conformation_coupling(rotations, rotations, np.arange(4), None, states)
    record = {"epoch": 1, "stage": "tempor", "kl": 2.0}
    movie = np.array([0, 0, 1, 1])
    figures = [
        plots.fsc_figure({"tempor": np.full((3, 8), 0.7)}, 16, 2.0, runs=runs),
        curves_figure({"tempor": [record]}, kl, "KL", runs=runs),
        pose_error_figure({"tempor": coupling}, runs),
    ]
    for figure in figures:
        lines = figure.axes[0].get_lines()
        assert theme.run_colour(2) in {line.get_color() for line in lines}
    dots = (
        latent_figure(
            {"tempor": np.arange(4.0)[:, None]}, np.arange(4.0), movie, "Angle (°)", runs=runs
        )
        .axes[0]
        .collections[0]
    )
    assert to_hex(dots.get_facecolor()[0]).lower() == theme.run_colour(2).lower()


@pytest.mark.parametrize(("lowest", "side"), [(0.0, "bottom"), (0.3, "top")])
def test_name_of_the_threshold_keeps_clear_of_curves(lowest: float, side: str) -> None:
    curves = {"a": np.linspace(1, lowest, 8)[None]}
    ax = plots.fsc_figure(curves, 16, PIXEL, threshold=0.143).axes[0]
    (name,) = (text for text in ax.texts if text.get_text() == "0.143")
    assert name.get_va() == side
