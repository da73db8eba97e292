"""A report gathers from run folders what they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.report.collect import collect, run_names
from temporem.runs.run import load_run


def test_runs_are_shown_with_the_log_of_their_network_and_the_time_of_all_parts(tiny_runs) -> None:
    movies, (tempor, mean) = collect([tiny_runs["tempor"], tiny_runs["homogeneous"]])
    assert [record["epoch"] for record in tempor.metrics] == [1, 2, 3, 4]
    lines = (tiny_runs["tempor"] / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    last = {record["part"]: record["seconds"] for record in records}
    assert set(last) == {"linear", "network"}
    assert tempor.seconds == pytest.approx(sum(last.values()))
    assert tempor.evaluation is not None
    assert (mean.metrics, mean.seconds, mean.latents) == ([], None, None)
    assert tempor.volumes.shape == (len(movies.shown_rows), 16, 16, 16)
    assert movies.truth is not None
    assert movies.truth.volumes.shape == tempor.volumes.shape


def test_what_a_run_found_is_taken_from_its_facts(tiny_runs, tmp_path) -> None:
    path = shutil.copytree(tiny_runs["static"], tmp_path / "run")
    facts = json.loads((path / "run.json").read_text())
    halves = {"components_found": 1, "correlations": [0.9], "chance": [0.1], "chance_sd": [0.1]}
    facts |= {"half_agreement": halves, "starts_alike": 0.25}
    (path / "run.json").write_text(json.dumps(facts))
    assert load_run(path).facts.starts_alike == 0.25
    _, (run,) = collect([path])
    assert (run.components_found, run.starts_alike) == (1, 0.25)


def test_names_are_those_of_folders_or_paths_where_two_are_alike(tmp_path) -> None:
    folders = [tmp_path / name for name in ("a/run", "b/run", "c")]
    assert run_names(folders) == [str(folders[0]), str(folders[1]), "c"]
    with pytest.raises(TemporemError, match="named twice"):
        run_names([Path("c"), Path("x/../c")])
    with pytest.raises(TemporemError, match="no run to report on"):
        collect([])
