"""Tables of a report: the right numbers, the best of a row, no interval of no width."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from helpers.reports import evaluation_of, reconstruction, swinging_dataset
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.findings import find
from temporem.report.tables import (
    Cell,
    Row,
    Table,
    config_table,
    duration,
    metrics_table,
    runs_table,
)


@pytest.fixture(scope="module")
def runs() -> list[ReportRun]:
    return [reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)]


@pytest.fixture(scope="module")
def dataset() -> ReportDataset:
    return swinging_dataset()


def test_single_movie_gives_no_intervals() -> None:
    alone = reconstruction("tempor", 0.05, 0.05, movies=1)
    assert any("a single movie gives no confidence intervals" in t for t in find([alone]).warnings)
    rows = metrics_table({"tempor": evaluation_of(alone)}).rows
    assert {cell.interval for row in rows for cell in row.cells} == {""}


def test_best_of_a_row_is_marked_in_the_right_sense(runs: list[ReportRun]) -> None:
    table = metrics_table({run.name: evaluation_of(run) for run in runs})
    marked = {row.label: row.marked for row in table.rows}
    assert marked["Motion correlation, whole box"] == {0}
    assert marked["Trajectory error, angle (°)"] == {0}  # less is better
    assert marked["FSC area, whole box"] == {0}
    same = metrics_table({"a": evaluation_of(runs[0]), "b": evaluation_of(runs[0])})
    assert not any(row.marked for row in same.rows)


def test_config_table_flattens_and_marks_differences(runs: list[ReportRun]) -> None:
    rows = {row.label: row for row in config_table(runs).rows}
    assert [cell.text for cell in rows["model.width"].cells] == ["14", "14"]
    assert rows["method"].marked == {0, 1}
    assert not rows["model.z_dim"].marked


def test_runs_table_reads_the_last_record(runs: list[ReportRun]) -> None:
    rows = {row.label: [cell.text for cell in row.cells] for row in runs_table(runs).rows}
    assert rows["Epochs"] == ["3", "3"]
    assert rows["Optimiser updates"] == ["30", "30"]
    again = "Components that two halves of the movies agree on"
    assert again not in rows
    checked = replace(runs[1], components_found=2)
    rows = {row.label: [c.text for c in row.cells] for row in runs_table([runs[0], checked]).rows}
    assert rows[again] == ["–", "2"]
    alike = "Frames whose poses two random starts agree on"
    assert alike not in rows
    checked = replace(runs[1], starts_alike=0.634)
    rows = {row.label: [c.text for c in row.cells] for row in runs_table([runs[0], checked]).rows}
    assert rows[alike] == ["–", "63%"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.2, "8 s"), (750, "12 min 30 s"), (3900.4, "1 h 05 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_parameter_values_carry_their_unit(dataset: ReportDataset) -> None:
    truth = dataset.truth
    assert truth is not None
    assert truth.label == "Angle (°)"
    assert truth.value(4) == "80°"
    for still, text in ((45.0, "45°"), (0.0, "0°"), (0.25, "0.25°")):
        assert replace(truth, parameter=np.full(5, still)).value(4) == text
    small = replace(truth, parameter_name="opening_angstrom", parameter=np.array([0.0, 0.834]))
    assert (small.label, small.value(1)) == ("Opening (Å)", "0.83 Å")
    assert replace(small, parameter_name="progress").value(0) == "0.00"


def test_an_interval_of_no_width_is_not_printed() -> None:
    perfect = reconstruction("perfect", 0.0, 0.0)
    noisy = reconstruction("noisy", 0.08, 0.6)
    rows = {row.label: row for row in metrics_table({"a": evaluation_of(perfect)}).rows}
    (cell,) = rows["Resolution, whole box (Å)"].cells
    assert cell == Cell("8.00")  # Nyquist in all frames
    (row,) = (r for r in metrics_table({"a": evaluation_of(noisy)}).rows if "PSNR" in r.label)
    assert " to " in row.cells[0].interval


def test_tables_are_csv_with_intervals_of_their_own() -> None:
    rows = [
        Row("=gain", [Cell("−0.5", "−0.7 to −0.3"), Cell("–")]),
        Row('a "name", long', [Cell("2"), Cell("@x")]),
    ]
    head, first, second = csv.reader(io.StringIO(Table(["run", "other"], rows).csv))
    assert head == ["", "run", "run, low", "run, high", "other"]
    assert first == ["'=gain", "-0.5", "-0.7", "-0.3", ""]
    assert second == ['a "name", long', "2", "", "", "'@x"]
