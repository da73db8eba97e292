"""Curves of what runs logged: per pixel, with stages, from every part of a run."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.reports import N, reconstruction, swinging_dataset
from temporem.report.learning import (
    curves_figure,
    epoch_records,
    fit_per_pixel,
    learning_drawings,
)


def drawn(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def records(*stages: tuple[str, int], pixels: int = 100) -> list[dict[str, object]]:
    names = [name for name, epochs in stages for _ in range(epochs)]
    return [
        {
            "stage": name,
            "epoch": i + 1,
            "log_likelihood": -100.0 / (i + 1),
            "kl": 0.1 * i,
            "n_pixels": pixels,
        }
        for i, name in enumerate(names)
    ]


def test_more_pixels_are_no_fall_of_the_likelihood() -> None:
    """Noise costs a nat a pixel, whether there are 50 pixels or 400."""
    log = [
        {"stage": "start", "epoch": 1, "log_likelihood": -50.0, "n_pixels": 50},
        {"stage": "static", "epoch": 2, "log_likelihood": -400.0, "n_pixels": 400},
    ]
    assert [fit_per_pixel(record) for record in log] == [-1, -1]
    ax = drawn(curves_figure({"a": log}, fit_per_pixel, "x")).axes[0]
    values = np.concatenate([line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 1])
    np.testing.assert_allclose(values, -1)


def test_curves_break_between_stages_and_name_stages_and_runs_once() -> None:
    log = {"tempor": records(("start", 4), ("tempor", 3)), "static": records(("start", 7))}
    figure = drawn(curves_figure(log, fit_per_pixel, "Log-likelihood"))
    ax = figure.axes[0]
    curves = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in curves] == [4, 3, 7]
    first, second, other = curves
    assert first.get_color() == second.get_color() != other.get_color()
    np.testing.assert_allclose(second.get_xdata(), [5, 6, 7])
    assert [text.get_text() for text in ax.texts] == ["start", "tempor"]
    (mark,) = [line for line in ax.lines if line not in curves]
    np.testing.assert_allclose(mark.get_xdata(), 4.5)  # where the stage begins
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["tempor", "static"]


def test_names_of_stages_stand_within_the_axes() -> None:
    """After two epochs, half an epoch before the first is beyond the axis."""
    log = {"tempor": records(("start", 1), ("tempor", 1))}
    ax = drawn(curves_figure(log, fit_per_pixel, "x")).axes[0]
    assert min(text.xy[0] for text in ax.texts) >= ax.get_xlim()[0]


def test_axis_is_not_flattened_by_the_first_epochs() -> None:
    values = [-1e6, *np.linspace(-1010, -1000, 19)]
    log = [{"stage": "s", "epoch": i, "nll": v} for i, v in enumerate(values)]
    low, high = curves_figure({"a": log}, lambda r: float(r["nll"]), "x").axes[0].get_ylim()
    assert low > -1020
    assert high >= -1000


def test_stages_with_another_objective_are_left_out() -> None:
    run = replace(reconstruction("a", 0.1, 0.1), metrics=records(("warm-up", 2), ("static", 3)))
    assert [record["epoch"] for record in epoch_records(run)] == [3, 4, 5]


@pytest.mark.integration
def test_every_part_of_a_log_is_drawn() -> None:
    log = [
        {"part": "poses", "stage": "poses", "half_fsc": [1, 0.9, 0.1, 0.0]},
        {"part": "poses", "stage": "poses", "half_fsc": [1, 0.9, 0.8, 0.1]},
        {"part": "linear", "stage": "start", "held_out_log_likelihood": [-99.0, -97.5]},
        {"part": "linear", "stage": "joint", "objective": -30.0},
        {"part": "linear", "stage": "joint", "objective": -15.0},
    ]
    run = replace(reconstruction("a", 0.1, 0.1), log=log, metrics=records(("static", 3)))
    found = {item.file_name: item.csv for item in learning_drawings([run], swinging_dataset())}
    assert set(found) == {
        "log-likelihood-by-epoch",
        "kl-divergence-by-epoch",
        "left-out-movies-by-number-of-components",
        "objective-of-the-linear-model-by-iteration",
        "resolution-of-half-sets-by-iteration",
    }
    components = found["left-out-movies-by-number-of-components"].splitlines()
    assert components == ["components,a", "1,-99", "2,-97.5"]
    steps = found["objective-of-the-linear-model-by-iteration"].splitlines()
    assert steps[1:] == ["1,0", f"2,{15 / N:g}"]
    first, second = found["resolution-of-half-sets-by-iteration"].splitlines()[1:]
    assert float(first.split(",")[1]) > float(second.split(",")[1])  # finer
