"""Parts of an experiment: nothing runs twice, and programs of others must leave an evaluation."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.commands import succeed
from helpers.experiments import SMALL, copying, write_experiment
from temporem.errors import TemporemError
from temporem.evaluation.storage import load_evaluation
from temporem.experiments import execute
from temporem.experiments.config import MethodEntry, load_experiment
from temporem.experiments.execute import make_result
from temporem.experiments.plan import ResultPart, make_plan
from temporem.progress import Progress
from temporem.simulation.simulate import simulate

PEER = Path(sys.prefix)


@pytest.fixture
def mean(finished) -> ResultPart:
    """The finished result of one method."""
    folder, file = finished
    return make_plan(load_experiment(file), folder).of("SNR 5", "mean")[0]


def of_program(part: ResultPart, folder: Path, *program: str) -> ResultPart:
    """A result of a program on the dataset of another result."""
    entry = MethodEntry(kind="program", program=list(program))
    return replace(part, method="peer", entry=entry, config=None, folder=folder / "result")


def refused(part: ResultPart) -> str:
    """What is said of a program that fails; nothing of it may stay."""
    with pytest.raises(TemporemError, match=r"^method peer: ") as error:
        make_result(part, PEER, Progress())
    assert not part.folder.exists()
    assert not part.finished
    return str(error.value)


def test_what_is_finished_is_not_run_again(finished) -> None:
    folder, file = finished
    parts = make_plan(load_experiment(file), folder).results

    def times() -> list[int]:
        return [(part.folder / "evaluation.npz").stat().st_mtime_ns for part in parts]

    before = times()
    (parts[0].folder / "evaluation.json").unlink()
    for part in parts:
        make_result(part, None, Progress())
    assert [old != new for old, new in zip(before, times(), strict=True)] == [
        part is parts[0] for part in parts
    ]


def test_a_result_fills_its_scale_and_never_goes_back(mean, tmp_path) -> None:
    told: list[float] = []
    part = replace(mean, folder=tmp_path / "again")
    make_result(part, None, Progress(lambda fraction, note: told.append(fraction)))
    assert told == sorted(told)
    assert told[-1] == 1
    assert part.finished


def test_a_program_is_told_what_it_needs_and_keeps_its_own_times(mean, tmp_path) -> None:
    words = ("{python}", "{dataset}", "{output}", "{seed}", "{every}", "{peer}")
    code = (
        "import json, shutil, sys\n"
        "run, python, dataset, output, seed, every, peer = sys.argv[1:]\n"
        "assert python == sys.executable and peer == sys.prefix\n"
        "json.dump({'seconds': 17.0}, open(output + '/time.json', 'w'))\n"
        "json.dump([dataset, seed, every], open(output + '/given.json', 'w'))\n"
        "for name in ('evaluation.npz', 'evaluation.json'):\n"
        "    shutil.copy(run + '/' + name, output)\n"
    )
    part = of_program(mean, tmp_path, "{python}", "-c", code, str(mean.folder), *words)
    make_result(part, PEER, Progress())
    assert part.finished
    given = json.loads((part.folder / "given.json").read_text())
    assert given == [str(mean.dataset.folder.resolve()), "0", "1"]
    assert json.loads((part.folder / "time.json").read_text()) == {"seconds": 17}


def test_a_failing_program_is_named_with_its_last_words(mean, tmp_path) -> None:
    program = ("{python}", "-c", "raise SystemExit('no GPU here')")
    said = refused(of_program(mean, tmp_path, *program))
    assert "exit code 1" in said
    assert "no GPU here" in said


def test_no_program_has_a_name_with_a_null_in_it(mean, tmp_path) -> None:
    assert "cannot run" in refused(of_program(mean, tmp_path, "a\0b"))
    assert "No such file" in refused(of_program(mean, tmp_path, str(tmp_path / "nothing")))


@pytest.mark.parametrize("leaves", [{}, {"motion": {"unmasked": {"correlation": "high"}}}])
def test_a_program_must_leave_an_evaluation(leaves, mean, tmp_path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "evaluation.json").write_text(json.dumps(leaves))
    (source / "evaluation.npz").touch()
    refused(of_program(mean, tmp_path, *copying(source)))
    refused(of_program(mean, tmp_path, "{python}", "-c", "pass"))


def test_a_program_must_evaluate_the_same_frames(mean, tmp_path) -> None:
    config = mean.dataset.config.model_copy(update={"movies": 5})
    simulate(config, tmp_path / "fewer")
    run = tmp_path / "run"
    succeed("reconstruct", tmp_path / "fewer", "--method", "homogeneous", "-o", run)
    succeed("evaluate", run)
    assert "covers other frames" in refused(of_program(mean, tmp_path, *copying(run)))


def test_a_program_must_align_as_the_others_do(mean, tmp_path) -> None:
    run = shutil.copytree(mean.folder, tmp_path / "run")
    settings = ("--truth", mean.dataset.folder, "--every", mean.every, "--align", "states")
    succeed("evaluate", run, *settings, "--overwrite")
    assert load_evaluation(run).settings.align == "states"
    said = refused(of_program(mean, tmp_path, *copying(run)))
    assert "aligns poses differently" in said


def test_a_motion_is_made_once_for_datasets_that_move_alike(tmp_path, monkeypatch) -> None:
    """The datasets are those of a simulation on its own, byte for byte."""
    longer = {**SMALL, "frames_per_movie": 5}
    wider = {**SMALL, "motion.step_degrees": 8}
    entries = [SMALL, {**SMALL, "snr": 5.0}, longer, wider]
    datasets = {
        str(i): {"preset": "toy", "settings": one, "value": i + 1} for i, one in enumerate(entries)
    }
    file = write_experiment(tmp_path / "e.yaml", datasets=datasets, quick={})
    plan = make_plan(load_experiment(file), tmp_path)
    made = []
    load = execute.load_motion
    monkeypatch.setattr(execute, "load_motion", lambda *a, **k: made.append(a) or load(*a, **k))
    kept = execute.Datasets(None)
    parts = [part for seed in (0, 1) for part in plan.datasets if part.seed == seed]
    for part in parts:
        kept.make(part, Progress())
    assert len(made) == 6  # 0 and 1 of each seed move alike
    for part in parts:
        simulate(part.config, tmp_path / "alone", overwrite=True)
        files = [file for file in (tmp_path / "alone").rglob("*") if file.is_file()]
        assert len(files) > 2
        for file in files:
            name = file.relative_to(tmp_path / "alone")
            assert (part.folder / name).read_bytes() == file.read_bytes(), name
