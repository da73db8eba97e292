"""Numbers as CSV: what programs read, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import numpy as np

from temporem.report.csv_text import csv_text
from temporem.report.drawing import script_json


def test_columns_come_back_as_they_were() -> None:
    text = csv_text({"name": ["a,b", 'c"d'], "x": np.array([0.5, np.nan]), "n": [1, 2, 3]})
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["name", "x", "n"], ["a,b", "0.5", "1"], ['c"d', "", "2"], ["", "", "3"]]


def test_formulas_from_names_of_others_are_made_text() -> None:
    names = ["=1+1", "@SUM(A1)", "+x", "-2", "-y"]
    rows = list(csv.reader(io.StringIO(csv_text({"=head": names}))))
    assert rows == [["'=head"], ["'=1+1"], ["'@SUM(A1)"], ["'+x"], ["-2"], ["'-y"]]


def test_no_text_can_end_its_script() -> None:
    assert "<" not in script_json("</script><!-- & -->")
    assert ">" not in script_json("</script><!-- & -->")
