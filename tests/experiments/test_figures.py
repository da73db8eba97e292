"""Figures of experiments can be read."""

import io
from itertools import pairwise

import numpy as np
import pytest

from temporem.experiments.figures import axis_figure, measures_figure
from temporem.experiments.measures import Interval, Measure

MEASURES = [Measure(label) for label in ("Resolution (Å)", "FSC area")]


@pytest.mark.parametrize("centre", [6.8975, 0.657, 12.0])
@pytest.mark.parametrize("spread", [1e-3, 3e-3, 0.06, 0.3])
def test_labels_of_ticks_do_not_run_into_one_another(centre: float, spread: float) -> None:
    """However little methods differ."""
    values = {
        f"a method of long name {i}": {
            m.label: Interval(centre + i * spread / 5, float("nan"), float("nan"), 1)
            for m in MEASURES
        }
        for i in range(6)
    }
    figure = measures_figure(values, MEASURES)
    figure.savefig(io.BytesIO(), format="png")
    renderer = figure.canvas.get_renderer()
    for ax in figure.axes:
        low, high = ax.get_xlim()
        shown = [
            label.get_window_extent(renderer)
            for label, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
            if low <= place <= high
        ]
        assert len(shown) >= 2
        assert all(one.x1 + 4 < other.x0 for one, other in pairwise(shown))


@pytest.mark.parametrize(
    ("logarithmic", "places"),
    [(True, (0.03, 0.1, 1.0, 10.0)), (False, (0.0, 1.0, 2.0, 4.0)), (True, (5.0,))],
)
def test_lines_that_are_alike_do_not_hide_one_another(logarithmic: bool, places) -> None:
    """Their points stand side by side, in order, nearest to the place that they are of."""
    alike = {place: {m.label: Interval(0.9, 0.8, 1.0, 3) for m in MEASURES} for place in places}
    values = {f"method {i}": alike for i in range(5)}
    figure = axis_figure(values, MEASURES, "SNR", logarithmic=logarithmic)
    figure.savefig(io.BytesIO(), format="png")
    for ax in figure.axes:
        lines = [line for line in ax.lines if not line.get_label().startswith("_")]
        assert len(lines) == 5
        shown = np.array([ax.transData.transform(line.get_xydata())[:, 0] for line in lines])
        if len(places) > 1:
            assert (np.diff(shown, axis=0) > 1).all()
        ticks = ax.transData.transform([(place, 0.9) for place in places])[:, 0]
        np.testing.assert_allclose(shown.mean(0), ticks, atol=0.5)
        assert (np.abs(shown[..., None] - ticks).argmin(-1) == np.arange(len(places))).all()
