"""The picture of ``check`` is read on telephones too."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from temporem.checks import Evidence, examine
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.report.dataset_picture import dataset_figure

TELEPHONE, SMALLEST_LETTERS = 400, 7  # pixels


@pytest.mark.parametrize("posed", [True, False])
def test_letters_are_inside_and_large_enough_for_a_telephone(
    tiny_dataset: Path, posed: bool
) -> None:
    data = read_dataset(tiny_dataset)
    if not posed:
        data = data.without_poses()
    evidence = Evidence.of(data, DataSettings())
    figure = dataset_figure(evidence, examine(evidence))
    FigureCanvasAgg(figure).draw()
    pixels_per_point = TELEPHONE / (72 * figure.get_figwidth())
    whole = figure.bbox
    for axes in figure.axes:
        labels = [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for label in [*labels, *axes.get_xticklabels(), *axes.get_yticklabels()]:
            if not (label.get_text() and label.get_visible()):
                continue
            assert label.get_fontsize() * pixels_per_point >= SMALLEST_LETTERS, label.get_text()
            box = label.get_window_extent()
            if label in labels:  # matplotlib keeps labels of ticks beyond the ends, undrawn
                assert box.x0 >= whole.x0 - 1, label.get_text()
                assert box.x1 <= whole.x1 + 1, label.get_text()
