"""Child processes are measured; an environment is refused unless it holds the pinned program."""

import sys

import pytest
from benchmarks.common import CommandFailed, Environment, run

from temporem.errors import TemporemError


def test_usage_of_a_command_and_the_reason_of_a_failure(tmp_path):
    code = "x = bytearray(2**26); x[::512] = b'1' * 2**17; print(1)"
    usage = run([sys.executable, "-c", code], tmp_path / "log")
    assert (tmp_path / "log").read_text(encoding="utf-8") == "1\n"
    assert usage.peak_memory_bytes > 2**26
    assert 0 < usage.processor_seconds < 60
    with pytest.raises(CommandFailed, match=r"code 1: ValueError: no such pose; see .*/log"):
        run([sys.executable, "-c", "raise ValueError('no such pose')"], tmp_path / "log")


class TestEnvironment:
    def make(self, path, version="4.3.1", *, program=True):
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").symlink_to(sys.executable)
        (path / f"lib/python3.11/site-packages/cryodrgn-{version}.dist-info").mkdir(parents=True)
        if program:
            (path / "bin" / "cryodrgn").touch()
        return Environment(path, "cryodrgn", "4.3.1")

    def test_none_half_or_another_version_is_refused(self, tmp_path):
        self.make(tmp_path / "whole").require()
        message = r"no virtual environment with cryodrgn; .*install cryodrgn --environment"
        with pytest.raises(TemporemError, match=message):
            Environment(tmp_path / "none", "cryodrgn", "4.3.1").require()
        with pytest.raises(TemporemError, match=message):
            self.make(tmp_path / "half", program=False).require()
        with pytest.raises(TemporemError, match=r"has cryodrgn 3\.4\.0; expected 4\.3\.1"):
            self.make(tmp_path / "old", "3.4.0").require()

    def test_its_programs_do_not_see_our_packages(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "ours")
        code = "import os; print(os.environ.get('PYTHONPATH'))"
        self.make(tmp_path / "drgn").run("python", "-c", code, log=tmp_path / "log")
        assert (tmp_path / "log").read_text(encoding="utf-8") == "None\n"
