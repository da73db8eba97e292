"""``temporem view`` from the command line."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from helpers.bad_input import refuse
from helpers.commands import settings, succeed


@pytest.mark.integration
def test_page_is_served_until_ctrl_c(linear_run: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "temporem", "view", str(linear_run), "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("Page: ").strip()
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address) as answer:
        assert b"temporem view" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address[: address.index("/", 8)])
    assert process.stdout.readline() == "Ctrl-C ends it.\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_browser_is_opened_at_the_address(linear_run: Path, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("temporem.viewing.server.ViewServer.run", lambda self: None)
    out = succeed("view", linear_run)
    assert opened == [out.splitlines()[0].removeprefix("Page: ")]
    succeed("view", linear_run, "--no-open")
    assert len(opened) == 1


def test_run_that_is_not_finished_is_said(linear_run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    shutil.copytree(linear_run, unfinished)
    (unfinished / "frames.star").unlink()
    said = refuse(tmp_path, "view", unfinished)
    assert "is still training, and has no checkpoint with volumes yet" in said
    assert "finish it with temporem reconstruct" in said


def test_dataset_without_truth_is_said(tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path / "movies")
    shutil.rmtree(tmp_path / "movies/truth")
    said = refuse(tmp_path, "view", tmp_path / "movies")
    assert "has no truth, so there is no volume to show" in said


def test_runs_of_other_frames_are_said(linear_run: Path, tmp_path: Path) -> None:
    options = settings(("movies=2", "frames_per_movie=3", "box=16", "pixel_size_angstrom=8"))
    succeed("simulate", "toy", "-o", tmp_path / "movies", *options)
    assert "not of the same frames" in refuse(tmp_path, "view", linear_run, tmp_path / "movies")


def test_half_sets_of_a_run_without_are_said(tiny_dataset: Path, linear_run: Path) -> None:
    assert "expected one run" in refuse(linear_run, "view", tiny_dataset, "--half-sets")


def test_run_that_is_named_twice_is_said(linear_run: Path) -> None:
    assert "named twice" in refuse(linear_run, "view", linear_run, linear_run)


def test_port_that_is_taken_is_said(linear_run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refuse(linear_run, "view", linear_run, "--port", port)
    assert f"cannot listen on port {port}" in said
    assert "expected a free port" in said
    assert "cannot listen" in refuse(linear_run, "view", linear_run, "--port", 99999)
