"""The page on evaluation has the tables that the metrics have."""

from __future__ import annotations

from pathlib import Path

from temporem.evaluation.documentation import with_current_tables
from temporem.evaluation.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_tables_of_the_page_are_up_to_date() -> None:
    """Else write ``with_current_tables`` of the page to the page."""
    assert with_current_tables(PAGE) == PAGE


def test_every_score_is_on_the_page() -> None:
    for metric in METRICS.values():
        for score in metric.scores:
            assert f"`{metric.name}.{score.name}`" in PAGE
            assert score.definition.replace("|", "\\|") in PAGE
