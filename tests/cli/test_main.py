"""The command line itself: what it prints when a command, the system or a terminal fails."""

from __future__ import annotations

import errno
import io
import subprocess
import sys

import pytest

from helpers.commands import command
from temporem.cli.failures import describe
from temporem.cli.main import main


@pytest.mark.parametrize(
    ("given", "hint"), [("evalute", "did you mean evaluate?"), ("xyz", "see --help")]
)
def test_unknown_command_names_all_that_there_are(given, hint) -> None:
    result = command(given, "x")
    assert result.code == 2
    assert result.err == (
        f"error: unknown command '{given}'; expected one of demo, simulate, plan, extract, import, "
        f"check, reconstruct, validate, evaluate, compare, latents, motion, kinetics, select, "
        f"view, export, report, experiment, info; {hint}\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "absent", "-o", "movies"],
        ["extract", "absent", "-o", "movies", "--diameter", "100"],
        ["check", "absent"],
        ["reconstruct", "absent", "-o", "run"],
        ["evaluate", "absent"],
        ["validate", "absent"],
        ["compare", "absent", "absent"],
        ["latents", "absent", "absent"],
        ["motion", "absent", "-o", "motion"],
        ["select", "absent", "--cluster", "1/2", "-o", "some.star"],
        ["export", "absent", "-o", "volumes"],
        ["report", "absent"],
        ["view", "absent"],
    ],
)
def test_missing_folder_is_said_before_anything_heavy_is_imported(arguments, tmp_path) -> None:
    program = (
        "import sys; from temporem.cli.main import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == "False\n"
    assert done.stderr.startswith("error: absent does not exist; expected a ")


def test_unknown_options_point_to_settings_where_there_are_some() -> None:
    told = "; a setting is written --set KEY=VALUE"
    assert told in command("simulate", "toy-free", "--movies", "20", "-o", "x").err
    assert told not in command("check", "toy", "--movies", "20").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulate", "toy"], "simulate needs --output"),
        (["motion", "run", "-o"], "-o needs a value"),
        (["evaluate"], "evaluate needs RECONSTRUCTION"),
    ],
)
def test_what_a_command_lacks_is_named(arguments, said) -> None:
    assert command(*arguments).err == f"error: {said}; see --help\n"


def test_folder_that_a_crash_has_moved_aside_is_put_back(tmp_path) -> None:
    (tmp_path / ".run.01234567.old").mkdir()
    result = command("export", tmp_path / "run", "-o", tmp_path / "volumes")
    assert f"{tmp_path / 'run'} is not a run" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't "
                "allocate memory: you tried to allocate 4398046511104 bytes. Error code 12"
            ),
            "out of memory: 4.4 TB more were needed; take fewer frames per step",
        ),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."),
            "out of memory: 99 bytes more were needed",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total …"),
            "out of GPU memory: 2.15 GB more were needed; .* or the CPU",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
            "out of GPU memory; take",
        ),
        (
            MemoryError("Unable to allocate 7.28 TiB for an array with shape (10, 10)"),
            "out of memory: 8 TB more were needed",
        ),
        (MemoryError(), "out of memory; take"),
        (OSError(errno.ENOSPC, "x", "/data/run/mean.mrc"), "cannot write /data/run/mean.mrc: No "),
        (OSError(errno.EROFS, "x"), "cannot write .*: Read-only file system"),
        (
            Exception("I/O error: No space (os error 28)"),
            "cannot write .*: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_errors_of_the_system_are_one_line(error, line, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("temporem.cli.main.app", fail)
    result = command("info")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert line.split(".*")[0] in result.err
    assert line.split(".*")[-1] in result.err


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x"), KeyError(1)])
def test_faults_of_the_program_keep_their_traceback(error, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    assert describe(error) is None
    monkeypatch.setattr("temporem.cli.main.app", fail)
    with pytest.raises(type(error)):
        main(["info"])


def test_real_allocation_failure_is_one_line(monkeypatch) -> None:
    import torch

    monkeypatch.setattr("temporem.cli.main.app", lambda *_, **__: torch.empty(2**60))
    assert "out of memory: 4.61e+06 TB more were needed" in command("info").err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_terminal_lacks_are_replaced(encoding, monkeypatch) -> None:
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding=encoding))
    assert main(["reconstruct", "--help"]) == 0
    sys.stdout.flush()
    assert "Reconstruct a volume" in screen.getvalue().decode(encoding)


def test_reader_of_a_pipe_that_leaves_is_no_error(monkeypatch, capsys) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("temporem.cli.main.app", fail)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["info"]) == 141
    assert capsys.readouterr().err == ""
