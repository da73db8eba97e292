"""Folders of volumes that can be stopped and continued."""

from __future__ import annotations

import json
import shlex
import shutil
from collections import namedtuple
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from helpers.bad_input import refuse
from helpers.commands import command, succeed
from helpers.runs import run_of_a_network, volume_of_row
from temporem.errors import TemporemError
from temporem.io.files import held
from temporem.progress import Progress
from temporem.runs import export as export_module
from temporem.runs.decoder import Decoder
from temporem.runs.export import ExportOptions, export_volumes
from temporem.runs.run import Run, load_run
from temporem.runs.series import frames_series

BOX = 16
ROWS = np.arange(20)


@pytest.fixture
def run(tiny_runs) -> Run:
    return load_run(tiny_runs["tempor"])


def folder(path: Path) -> dict[str, bytes]:
    """Contents, without the date in a volume's header."""
    return {
        file.name: file.read_bytes()[1024 if file.suffix == ".mrc" else 0 :]
        for file in path.iterdir()
    }


def test_crop_is_the_middle_and_stays_in_place(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", frames_series(run, ROWS[:2]), ExportOptions(crop=6))
    expected = run.voxels(ROWS[:2])[:, 5:11, 5:11, 5:11]
    for row in (0, 1):
        with mrcfile.open(volume_of_row(tmp_path / "v", row)) as file:
            np.testing.assert_array_equal(file.data, expected[row])
            assert file.voxel_size.x == pytest.approx(8)
            assert file.header.origin.item() == (40, 40, 40)


def test_downsampled_files(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", frames_series(run, ROWS[3:5]), ExportOptions(downsample=8))
    with mrcfile.open(volume_of_row(tmp_path / "v", 4)) as file:
        expected = Decoder(run, ROWS[3:5], box=8).voxels(ROWS[4:5])[0]
        np.testing.assert_allclose(file.data, expected, rtol=0, atol=1e-6 * expected.max())
        assert file.voxel_size.x == pytest.approx(16)
        assert file.header.origin.item() == (0, 0, 0)


class Stopped(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("options", [ExportOptions(), ExportOptions(downsample=8)])
@pytest.mark.parametrize("at", [1, 7, 20])
def test_stopped_and_continued_is_as_never_stopped(options, at, run, tmp_path, monkeypatch) -> None:
    """Also where volumes are combinations of a few, in batches of three."""
    run, batch = run_of_a_network(run, len(ROWS)), {"voxels_per_batch": 3 * 32**3}
    export_volumes(run, tmp_path / "whole", frames_series(run, ROWS), options, **batch)
    written = 0
    write = export_module.write_volume

    def stop(*arguments, **names) -> None:
        nonlocal written
        written += 1
        if written == at:
            raise Stopped
        write(*arguments, **names)

    with monkeypatch.context() as patch:
        patch.setattr(export_module, "write_volume", stop)
        with pytest.raises(Stopped):
            export_volumes(run, tmp_path / "v", frames_series(run, ROWS), options, **batch)
    before = folder(tmp_path / "v")
    assert len(before) == at  # and the record, less the one that was stopped
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "v").glob("*.mrc")}
    told: list[tuple[float, str]] = []
    progress = Progress(lambda fraction, note: told.append((fraction, note)))
    export_volumes(
        run,
        tmp_path / "v",
        frames_series(run, ROWS),
        options,
        resume=True,
        progress=progress,
        **batch,
    )
    assert folder(tmp_path / "v") == folder(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert told[-1] == (1, "20 of 20 volumes")


def test_half_a_file_is_written_again_and_what_a_kill_left_goes(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", frames_series(run, ROWS[:3]), ExportOptions())
    whole = folder(tmp_path / "v")
    with volume_of_row(tmp_path / "v", 1).open("r+b") as file:
        file.truncate(2000)
    (tmp_path / "v/.frame_000002.mrc.0a1b2c3d.partial.mrc").touch()
    export_volumes(run, tmp_path / "v", frames_series(run, ROWS[:3]), ExportOptions(), resume=True)
    assert folder(tmp_path / "v") == whole


def test_stopped_command_says_how_to_go_on(tiny_runs, tmp_path, monkeypatch) -> None:
    path, out = tiny_runs["static"], tmp_path / "some volumes"
    write = export_module.write_volume

    def stop(file, *arguments, **names) -> None:
        if file.name.startswith("frame_000006_"):
            raise KeyboardInterrupt
        write(file, *arguments, **names)

    with monkeypatch.context() as patch:
        patch.setattr(export_module, "write_volume", stop)
        result = command("export", path, "-o", out, "--movie", "movie_0002", "--crop", 8)
    assert result.code == 130
    start = "stopped; continue with: temporem "
    assert result.err.startswith(start)
    assert len(list(out.glob("*.mrc"))) == 2
    resume = shlex.split(result.err.removeprefix(start))
    succeed(*resume)
    assert len(list(out.glob("*.mrc"))) == 4
    assert not list(out.glob(".*"))


def test_folder_is_continued_only_as_it_was_started(tiny_runs, tmp_path) -> None:
    path = tmp_path / "run"
    shutil.copytree(tiny_runs["tempor"], path)
    arguments = ("export", path, "-o", tmp_path / "v")
    succeed(*arguments, "--frames", "0-3", "--downsample", "8")
    again = (*arguments, "--resume", "--frames", "0-3")
    assert "downsample = 8, not None" in refuse(tmp_path, *again)
    assert "downsample = 8, not 10" in refuse(tmp_path, *again, "--downsample", "10")
    other = (*arguments, "--resume", "--downsample", "8")
    assert "with other frames" in refuse(tmp_path, *other)
    frames = (path / "frames.star").read_text()
    (path / "frames.star").write_text(frames + "\n")
    assert "another run" in refuse(tmp_path, *again, "--downsample", "8")
    (path / "frames.star").write_text(frames)
    succeed(*again, "--downsample", "8")
    record = tmp_path / "v/export.json"
    record.write_text("[")
    assert "export.json: not readable" in refuse(tmp_path, *again, "--downsample", "8")
    record.unlink()
    assert "--resume cannot continue it" in refuse(tmp_path, *again, "--downsample", "8")
    assert "exclude each other" in refuse(tmp_path, *again, "--overwrite")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crop", "18"], "--crop 18: volumes of this run have 16 voxels"),
        (["--downsample", "18"], "an even number from 2 to 16"),
        (["--crop", "7"], "--crop 7"),
        (["--downsample", "7"], "--downsample 7"),
        (["--downsample", "0"], "--downsample 0"),
        (["--crop", "-4"], "--crop -4"),
        (["--crop", "8", "--downsample", "8"], "exclude each other"),
        (["--crop", "half"], "--crop"),
    ],
)
def test_sizes_that_do_not_fit(options, message, tiny_runs, tmp_path) -> None:
    arguments = ("export", tiny_runs["tempor"], "-o", tmp_path / "v", *options)
    assert message in refuse(tmp_path, *arguments)


def test_disk_that_is_too_full_is_known_beforehand(run, tiny_runs, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "free")
    arguments = ("export", tiny_runs["tempor"], "-o", tmp_path / "v")
    needed = 20 * (1024 + 4 * BOX**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed - 1))
    message = refuse(tmp_path, *arguments)
    assert "the volumes need 348 kB, but 348 kB are free" in message
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed))
    succeed(*arguments)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0))
    succeed(*arguments, "--resume")  # nothing is missing
    succeed(*arguments, "--overwrite")  # the old ones go
    with pytest.raises(TemporemError, match="are free"):
        export_volumes(run, tmp_path / "w", frames_series(run, ROWS), ExportOptions())


def test_the_next_step_is_named(tiny_runs, tmp_path) -> None:
    arguments = ("export", tiny_runs["static"], "-o", tmp_path / "v")
    several = succeed(*arguments, "--movie", "movie_0002").splitlines()[-1]
    assert several == f'Next, in ChimeraX:  open "{tmp_path}/v/frame_*.mrc" vseries true'
    assert len(list((tmp_path / "v").glob("frame_*.mrc"))) == 4
    single = succeed(*arguments, "--frames", "3", "--overwrite").splitlines()[-1]
    assert single == f'Next, in ChimeraX:  open "{tmp_path}/v/frame_*.mrc"'


def test_record_says_what_the_folder_holds(tiny_runs, tmp_path) -> None:
    out = tmp_path / "v"
    succeed("export", tiny_runs["static"], "-o", out, "--frames", "3,1", "--crop", "8")
    record = json.loads((out / "export.json").read_text())
    assert record["rows"] == [3, 1]
    assert (record["crop"], record["downsample"], record["deviation"]) == (8, None, False)
    assert (record["method"], record["arithmetic"]) == ("static", "float32 on cpu")


def test_folder_is_written_by_one_process_at_a_time(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", frames_series(run, ROWS[:1]), ExportOptions())
    with held(tmp_path / "v"):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(TemporemError, match="is being written by another process"):
                export_volumes(
                    run, tmp_path / "v", frames_series(run, ROWS[:1]), ExportOptions(), **options
                )
