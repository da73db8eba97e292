"""A metric from outside the package: one class, and a line to register it."""
# ruff: noqa: E402

# [docs:begin]
import numpy as np

from temporem.evaluation.case import Pair
from temporem.evaluation.metrics import register_metric
from temporem.evaluation.metrics.metric import FrameMetric, Score


class DensityError(FrameMetric):
    """Mean absolute difference of density from the truth."""

    name = "density_error"
    title = "Density error"
    scores = (
        Score(
            "density_error",
            "Density error",
            "Mean over frames of the mean over voxels of |V − T|.",
            direction=-1,  # less is better
            digits=4,
        ),
    )

    def measure(self, pair: Pair) -> dict[str, np.ndarray]:
        """One number for each of the B volumes of a batch."""
        volumes, truth = pair.in_space  # (B, D, D, D) each
        return {"density_error": (volumes - truth).abs().mean(dim=(1, 2, 3)).numpy()}


register_metric(DensityError())
# [docs:end]

import json

import pytest

from helpers.swing import SUPPORT, N, Swing, evaluated
from temporem.errors import TemporemError
from temporem.evaluation.compare import compare
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.report.tables import comparison_table, metrics_table

_METRIC = METRICS.pop("density_error")  # other tests do without it


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    monkeypatch.setitem(METRICS, _METRIC.name, _METRIC)


def test_it_is_measured_stored_shown_and_compared(tmp_path) -> None:
    source, truth = Swing(noise=0.1, seed=1), Swing()
    better, worse = evaluated(source), evaluated(Swing(noise=0.2, seed=2))
    path = save_evaluation(better, tmp_path)
    document = json.loads(path.read_text())
    volumes, true = (SUPPORT.ifft(item.volumes(np.arange(N))) for item in (source, truth))
    expected = float((volumes - true).abs().mean())
    assert document["density_error"]["value"] == pytest.approx(expected, rel=1e-4)
    low, high = document["density_error"]["ci"]
    assert low < expected < high
    assert "|V − T|" in document["definitions"]["density_error"]["density_error"]
    loaded = load_evaluation(tmp_path)
    table = {row.label: row for row in metrics_table({"a": loaded, "b": worse}).rows}
    assert table["Density error"].cells[0].text == f"{expected:.4f}"
    assert table["Density error"].marked == {0}
    gain = compare(worse, loaded).gain("density_error", "density_error")
    assert gain.low > 0
    gains = comparison_table({"a": compare(worse, loaded)})
    assert "Density error" in [row.label for row in gains.rows]


def test_names_that_are_taken_are_refused() -> None:
    for name in ("density_error", "settings", "two words"):
        metric = DensityError()
        metric.name = name
        with pytest.raises(TemporemError, match="cannot be named"):
            register_metric(metric)
