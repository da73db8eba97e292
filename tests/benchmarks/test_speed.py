"""The speed benchmark: its arithmetic and bookkeeping, and its cheapest case for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.peers.cryodrgn.environment import Environment, Usage
from benchmarks.speed import __main__ as program
from benchmarks.speed.bench import Bench, CaseResult, rates_by_difference, stack_header
from benchmarks.speed.cases import CASES, quality, training
from benchmarks.speed.cases.roofline import roofline_note
from benchmarks.speed.counting import StepSize, least_bytes, operations
from benchmarks.speed.machine import ROOT, child_variables, n_cores
from benchmarks.speed.probes import rates, steps
from benchmarks.speed.record import Record
from benchmarks.speed.report import markdown, number
from benchmarks.speed.scale import QUICK
from benchmarks.speed.series import Series, gains, interleave
from torch.utils.flop_counter import FlopCounterMode

from temporem.errors import TemporemError
from temporem.physics.forward import ForwardModel
from temporem.volumes.fourier_network import FourierNetwork

MACHINE = {"date": "2026-01-01", "commit": "abc", "load_at_start": 0.0}
USAGE = {"seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_bytes": 2**20}


class TestSeries:
    def test_median_and_spread_are_kept(self):
        document = Series("a", "frames/s", [3.0, 10.0, 4.0]).document(None)
        assert (document["median"], document["lowest"], document["highest"]) == (4, 3, 10)
        assert document["values"] == [3, 10, 4]

    def test_gains_are_of_medians_within_a_group(self):
        rows = [
            Series("ours", "frames/s", [30.0, 20.0, 100.0], group="rate"),
            Series("peer", "frames/s", [10.0, 12.0, 5.0], group="rate", peer=True),
            Series("ours", "s", [2.0], group="time", less_is_better=True),
            Series("peer", "s", [8.0], group="time", less_is_better=True, peer=True),
            Series("alone", "s", [1.0]),
            Series("lost in noise", "frames/s", [], group="rate"),
        ]
        assert gains(rows) == [3, 1, 4, 1, None, None]

    def test_interleaving(self):
        order = []
        programs = {name: lambda turn, name=name: order.append((name, turn)) for name in "abp"}
        found = interleave(programs, 3, once="b")
        assert order == [
            (name, turn) for turn in range(3) for name in "abp" if name != "b" or not turn
        ]
        assert {name: len(items) for name, items in found.items()} == {"a": 3, "b": 1, "p": 3}

    def test_rate_by_difference_leaves_the_start_out(self):
        start, per_item = 5.0, 0.25
        fewer, more = (
            [{"count": n, "seconds": start + per_item * n} for _ in range(2)] for n in (4, 24)
        )
        more[1]["seconds"] = fewer[1]["seconds"]  # noise
        assert rates_by_difference(fewer, more) == [pytest.approx(1 / per_item)]


class TestCounting:
    @pytest.mark.parametrize(("frames", "z_dim", "width", "depth"), [(2, 1, 16, 3), (3, 4, 24, 0)])
    def test_operations_are_those_of_the_generator(self, frames, z_dim, width, depth):
        box, features = 8, 6
        model = ForwardModel(box, 1.0)
        generator = FourierNetwork(box, z_dim, width, depth, features, 0.1, base_components=0)
        frequencies = model.slice_frequencies(torch.eye(3).expand(frames, 3, 3))
        z = torch.randn(frames, z_dim, requires_grad=True)
        with FlopCounterMode(display=False) as counter:
            generator(frequencies, z).abs().sum().backward()
        size = StepSize(frames, len(model.support), z_dim, width, depth, features)
        assert counter.get_total_flops() == operations(size)

    def test_least_bytes(self):
        size = StepSize(frames=2, pixels=5, z_dim=1, width=7, depth=1, features=3)
        features, hidden, outputs = 3 * 6 * 4, (3 + 2) * 2 * 7 * 4, 4 * 2 * 4
        assert least_bytes(size, 4) == 10 * (features + hidden + outputs)
        assert least_bytes(size, 2) == 10 * ((features + hidden) // 2 + outputs)

    def test_note_says_fractions_of_the_roof(self):
        size = StepSize(frames=10, pixels=1000, z_dim=1, width=256, depth=3, features=96)
        seconds = operations(size) / 25e9
        note = roofline_note(size, "float32", seconds, peak=100e9, shapes=50e9, copy=10e9)
        assert "is arithmetic, and the roof is 100 GFLOP/s" in note
        assert "**25% of the large products' rate**" in note
        assert "25% of the roof, 50% of the rate of its own products" in note
        slow = roofline_note(size, "float32", seconds, peak=100e9, shapes=50e9, copy=0.5e9)
        assert "is memory" in slow


class TestProbes:
    """In this process; the suite runs them as programs."""

    @pytest.mark.parametrize("method", ["static", "tempor"])
    def test_steps_of_the_real_loop(self, method, tiny_dataset, tmp_path):
        output = tmp_path / "steps.json"
        options = ("--method", method, "--set", "training.precision=float32", "--steps", "3")
        steps.main([str(tiny_dataset), *options, "-o", str(output)])
        found = json.loads(output.read_text(encoding="utf-8"))
        assert len(found["step_seconds"]) == 3
        assert min(found["step_seconds"]) > 0
        assert found["dtype"] == "float32"
        assert StepSize(**found["size"]).pixels == len(ForwardModel(16, 8.0).support)

    def test_rates_of_the_machine(self, tmp_path):
        output, size = tmp_path / "rates.json", StepSize(1, 20, 1, 16, 1, 4)
        options = ("--matrix", "32", "--copy-mebibytes", "1", "-o", str(output))
        rates.main(["--size", json.dumps(vars(size)), *options])
        found = json.loads(output.read_text(encoding="utf-8"))
        assert found["copy"] > 0
        assert all(found[kind][dtype] > 0 for kind in ("large", "step") for dtype in found["step"])


class TestReading:
    def test_epochs_of_a_run(self, tiny_runs):
        durations = training.epoch_durations(tiny_runs["static"] / "metrics.jsonl")
        last = (tiny_runs["static"] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]
        assert len(durations) == 4
        assert min(durations) >= 0
        assert sum(durations) == pytest.approx(json.loads(last)["seconds"])

    def test_header_of_a_stack(self, tiny_dataset, tmp_path):
        header = stack_header(tiny_dataset)
        assert (header.frames, header.box) == (20, 16)
        assert header.pixel_size_angstrom == pytest.approx(8)
        with pytest.raises(TemporemError, match=r"particles\.mrcs is not a readable image stack"):
            stack_header(tmp_path)

    def test_score(self, tiny_runs):
        score = quality.read_score(tiny_runs["static"])
        assert 0 < score.fsc_area < 1
        assert score.reaches(score)
        assert not score.reaches(score._replace(motion_correlation=score.motion_correlation + 0.1))


def made_up_bench(tmp_path):
    record = Record.open(tmp_path / "results.json", {}, MACHINE, resume=False)
    return Bench(record, tmp_path, QUICK, 2, {}, Environment(Path("drgn")))


class TestQuality:
    def case(self, tmp_path, monkeypatch, ours):
        peer = {**USAGE, "seconds": 100.0, "score": [0.7, 0.01]}
        monkeypatch.setattr(quality, "_ours", lambda bench, label, turn: ours[label])
        monkeypatch.setattr(quality, "_peer", lambda bench: peer)
        return quality.measure(made_up_bench(tmp_path))

    def test_the_shortest_that_reaches_both_measures(self, tmp_path, monkeypatch):
        ours = {
            "linear": {**USAGE, "seconds": 40.0, "score": [0.75, 0.7]},
            "linear, 2 components": {**USAGE, "seconds": 20.0, "score": [0.7, 0.01]},
            "tempor, 2 epochs": {**USAGE, "seconds": 1.0, "score": [0.8, 0.0]},
        }
        case = self.case(tmp_path, monkeypatch, ours)
        assert "**linear, 2 components, 20.0 s, 5.0 times sooner**" in case.notes[-1]
        assert gains(case.rows) == [2.5, 5, None, 1]
        assert "below the target" in case.rows[2].label
        assert [len(row.values) for row in case.rows] == [2, 2, 2, 1]  # the peer once

    def test_none_does(self, tmp_path, monkeypatch):
        worse = {**USAGE, "score": [0.1, 0.0]}
        labels = ("linear", "linear, 2 components", "tempor, 2 epochs")
        case = self.case(tmp_path, monkeypatch, dict.fromkeys(labels, worse))
        assert "Nothing of ours is as good" in case.notes[-1]


class TestRecord:
    def open(self, path, settings=None, resume=False):
        return Record.open(
            path / "results.json", settings or {"threads": 2}, MACHINE, resume=resume
        )

    def test_what_was_measured_is_not_measured_again(self, tmp_path):
        assert self.open(tmp_path).measure("a", lambda: {"seconds": 1}) == {
            "session": 0,
            "seconds": 1,
        }
        resumed = self.open(tmp_path, resume=True)
        assert resumed.measure("a", pytest.fail)["seconds"] == 1
        assert resumed.measure("b", lambda: {"seconds": 2})["session"] == 1

    def test_an_interrupted_measurement_leaves_the_others(self, tmp_path):
        def interrupted():
            raise KeyboardInterrupt

        record = self.open(tmp_path)
        record.measure("a", lambda: {"seconds": 1})
        with pytest.raises(KeyboardInterrupt):
            record.measure("b", interrupted)
        kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert list(kept["measurements"]) == ["a"]

    def test_other_settings_are_refused(self, tmp_path):
        self.open(tmp_path)
        with pytest.raises(TemporemError, match="measured with threads = 2, and now it is 1"):
            self.open(tmp_path, {"threads": 1}, resume=True)

    @pytest.mark.parametrize(
        ("text", "message"), [("{", "not readable"), ('{"a": 1}', "no record"), ("[]", "no record")]
    )
    def test_another_file_is_refused(self, text, message, tmp_path):
        (tmp_path / "results.json").write_text(text, encoding="utf-8")
        with pytest.raises(TemporemError, match=message):
            self.open(tmp_path, resume=True)


class TestPage:
    def page(self, tmp_path):
        usage = [Usage(2.5, 4.0, 300 * 2**20), Usage(3.5, 5.0, 310 * 2**20)]
        rows = [
            Series(
                "ours", "frames/s", [1200.0, 1000.0], usage, "epochs", columns={"FSC area": 0.7}
            ),
            Series("peer", "frames/s", [100.0], usage[:1], "epochs", peer=True),
        ]
        record = Record.open(tmp_path / "results.json", {"threads": 2}, MACHINE, resume=False)
        record.measure("a", lambda: {"command": ["temporem", "a b"], **USAGE})
        record.finish("training", CaseResult("Training", rows, ["A note."]).document())
        return markdown(record.document)

    def test_rows(self, tmp_path):
        lines = self.page(tmp_path).splitlines()
        assert "## Training" in lines
        assert "- A note." in lines
        assert "- commit: abc" in lines
        assert "temporem 'a b'" in lines
        (ours,) = (line for line in lines if line.startswith("| ours"))
        assert ours == (
            "| ours | frames/s | 1,100 | 1,000 … 1,200 | 2 | 0.700 | **11.0** | 3.00 | 4.50 | 310 |"
        )
        (peer,) = (line for line in lines if line.startswith("| peer"))
        assert peer == "| peer | frames/s | 100 | – | 1 | – | 1 | 2.50 | 4.00 | 300 |"

    def test_all_rows_of_a_table_are_as_long(self, tmp_path):
        lines = [line for line in self.page(tmp_path).splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1

    @pytest.mark.parametrize(
        ("value", "text"),
        [(1234567.0, "1,234,567"), (99.96, "100.0"), (1, "1.00"), (0.01234, "0.0123"), (0, "0")],
    )
    def test_numbers(self, value, text):
        assert number(value) == text

    def test_a_busy_machine_is_told(self, tmp_path):
        busy = {**MACHINE, "load_at_start": 3.0}
        record = Record.open(tmp_path / "results.json", {}, busy, resume=False)
        assert "was busy" in markdown(record.document)
        assert "was busy" not in self.page(tmp_path)


class TestProgram:
    def fail(self, capsys, *arguments):
        assert program.main([str(argument) for argument in arguments]) == 2
        message = capsys.readouterr().err.strip()
        assert message.startswith("error:")
        assert "\n" not in message
        return message

    def test_the_process_that_measures_stays_small(self):
        code = "import sys, benchmarks.speed.__main__; print({'torch', 'numpy'} & set(sys.modules))"
        command = [sys.executable, "-c", code]
        told = subprocess.run(
            command, env=child_variables(1), capture_output=True, check=True, text=True
        )
        assert told.stdout.strip() == "set()"

    def test_children_get_equal_threads_and_no_gpu(self):
        variables = child_variables(3)
        assert variables["OMP_NUM_THREADS"] == "3"
        assert variables["CUDA_VISIBLE_DEVICES"] == ""
        assert variables["PYTHONPATH"].startswith(str(ROOT))
        assert n_cores() >= 1

    def test_the_cheapest_case_and_resuming(self, tmp_path, capsys, monkeypatch):
        folder = tmp_path / "out"
        options = ["--quick", "--threads", "1", "--cases", "startup", "-o", str(folder)]
        assert program.main(options) == 0
        assert "| temporem --help | s |" in capsys.readouterr().out
        document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        (row,) = document["cases"]["startup"]["rows"]
        assert 0 < row["median"] < 60
        assert row["usage"][0]["peak_memory_bytes"] > 2**22
        (machine,) = document["sessions"]
        assert machine["threads"] == 1
        assert {"processor", "cores", "memory_gib", "torch", "commit", "date"} < set(machine)

        monkeypatch.setitem(CASES, "startup", lambda bench: pytest.fail("measured again"))
        monkeypatch.setattr(program, "describe", lambda variables: machine)
        assert program.main([*options, "--resume"]) == 0
        assert "finished before" in capsys.readouterr().err
        assert "exists; pass --resume" in self.fail(capsys, *options)

    def test_ctrl_c_keeps_what_is_finished(self, tmp_path, capsys, monkeypatch):
        def interrupted(bench):
            raise KeyboardInterrupt

        monkeypatch.setattr(program, "describe", lambda variables: MACHINE)
        row = Series("a", "s", [1.0])
        monkeypatch.setitem(CASES, "startup", lambda bench: CaseResult("Start-up", [row]))
        monkeypatch.setitem(CASES, "simulation", interrupted)
        folder = tmp_path / "out"
        assert program.main(["--quick", "-o", str(folder)]) == 130
        assert "--resume" in capsys.readouterr().err
        kept = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        assert list(kept["cases"]) == ["startup"]
        assert "## Start-up" in (folder / "results.md").read_text(encoding="utf-8")

    def test_bad_input(self, tmp_path, capsys):
        out = ("-o", tmp_path / "out")
        none = ("--environment", tmp_path / "none")
        assert "cryodrgn install" in self.fail(capsys, *out, *none)
        message = self.fail(capsys, "--quick", "--cases", "quality", *out)
        assert "--cases quality compares with cryodrgn" in message
        message = self.fail(capsys, "--no-peer", "--dataset", tmp_path, *out)
        assert "not a readable image stack" in message
        message = self.fail(capsys, "--no-peer", "--peer-training", tmp_path, *out)
        assert "add --dataset" in message
        assert not (tmp_path / "out").exists()

    def test_a_command_that_fails_is_named(self, tmp_path):
        bench = made_up_bench(tmp_path)
        command = [sys.executable, "-c", "raise ValueError('no such thing')"]
        with pytest.raises(TemporemError, match=r"no such thing; see .*a-b\.log"):
            bench.timed("a, b", command, output=tmp_path / "none")
        assert not bench.record.document["measurements"]
