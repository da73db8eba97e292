"""Figures of experiments can be read."""

import io
from itertools import pairwise

import pytest

from temporem.experiments.figures import measures_figure
from temporem.experiments.measures import Interval, Measure

MEASURES = [Measure(label, lambda document: None) for label in ("Resolution (Å)", "FSC area")]


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
