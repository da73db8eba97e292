"""Volumes of a run on other grids, in spans, and as folders that can be stopped and continued."""

from __future__ import annotations

import json
import shlex
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from temporem.runs.run_files import Run, VolumeGrid, load_run

from helpers.bad_input import refuse
from helpers.commands import command, succeed
from temporem.errors import TemporemError
from temporem.io.files import held
from temporem.physics.fourier import FourierSupport
from temporem.runs import decoder as decoder_module
from temporem.runs import export as export_module
from temporem.runs.decoder import Decoder
from temporem.runs.export import ExportOptions, export_volumes
from temporem.volumes import fourier_network as generator_module
from temporem.volumes.decoding import SPAN_TOLERANCE
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.linear_volumes import LinearVolumes

BOX = 16
ROWS = np.arange(20)


@pytest.fixture(params=["tempor", "homogeneous"])
def any_run(request, tiny_runs) -> Run:
    return load_run(tiny_runs[request.param])


@pytest.fixture
def run(tiny_runs) -> Run:
    return load_run(tiny_runs["tempor"])


@pytest.fixture
def spans(monkeypatch) -> None:
    """Spans of a few of so few frames of so small a box."""
    monkeypatch.setattr(generator_module, "_PROBES", 32)
    monkeypatch.setattr(generator_module, "_FEW", 4)


@pytest.fixture
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(export_module, "_VOXELS_PER_BATCH", 3 * BOX**3)


def data(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def folder(path: Path) -> dict[str, bytes]:
    """Contents, without the date in a volume's header."""
    return {
        file.name: file.read_bytes()[1024 if file.suffix == ".mrc" else 0 :]
        for file in path.iterdir()
    }


# --- Decoder ---


def test_downsampled_volumes_are_masked(run) -> None:
    run.generator.base.set_mean(torch.zeros(BOX, BOX, BOX))  # it is masked when it is set
    moving, full = run.generator.moving.clone(), FourierSupport(BOX, 3, radius=4)
    masked = Decoder(run, ROWS, box=8).volumes(ROWS[:3])
    run.generator.moving.fill_(1)
    unmasked = Decoder(run, ROWS, box=8).volumes(ROWS[:3])
    expected = full.fft(moving * full.ifft(unmasked))
    tolerance = 1e-4 * masked.abs().max().item()
    torch.testing.assert_close(masked, expected, rtol=0, atol=tolerance)
    assert (masked - unmasked).abs().max() > 100 * tolerance


def test_without_a_span_volumes_are_those_of_the_run(any_run) -> None:
    rows = np.array([5, 2, 19])
    assert Decoder(any_run, ROWS).volumes(rows).equal(any_run.volumes(rows))
    np.testing.assert_array_equal(Decoder(any_run, ROWS).voxels(rows), any_run.voxels(rows))


def test_spans_of_blocks_of_frames_hold_their_volumes(run, spans, monkeypatch) -> None:
    monkeypatch.setattr(decoder_module, "_BLOCK", 8)
    rows = np.random.default_rng(0).permutation(ROWS)
    exact = run.volumes(rows)
    motion = (exact - exact.mean(0)).abs().square().mean().sqrt()
    decoder = Decoder(run, rows)
    found = torch.cat([decoder.volumes(rows[:3]), decoder.volumes(rows[3:])])
    assert not found.equal(exact)
    assert (found - exact).abs().square().mean(1).sqrt().max() < 5 * SPAN_TOLERANCE * motion
    torch.testing.assert_close(decoder.volumes(rows[[4, 17, 4]]), found[[4, 17, 4]])


def test_downsampling_keeps_the_low_frequencies(any_run) -> None:
    if isinstance(any_run.generator, FourierNetwork):
        # The mask is multiplied after high frequencies were left out, not before.
        assert not (any_run.generator.moving == 1).all()
        any_run.generator.moving.fill_(1)
    full, half = any_run.voxels(ROWS[:3]), Decoder(any_run, ROWS, box=8)
    assert half.pixel_size_angstrom == 2 * any_run.grid.pixel_size_angstrom
    spectrum = np.fft.fftshift(np.fft.fftn(full, axes=(1, 2, 3)), axes=(1, 2, 3))
    # Of the frequencies from −8 to 7 those from −4 to 3, inside the ball of the smaller Nyquist.
    k = np.stack(np.meshgrid(*[np.arange(-4, 4)] * 3, indexing="ij"))
    low = spectrum[:, 4:12, 4:12, 4:12] * (np.square(k).sum(0) < 16)
    expected = np.fft.ifftn(np.fft.ifftshift(low, axes=(1, 2, 3)), axes=(1, 2, 3)) / 8
    # The centre voxel stays in the centre: 8 of 16, 4 of 8.
    np.testing.assert_allclose(half.voxels(ROWS[:3]), expected.real, atol=1e-5 * full.max())
    coefficients = half.support.fft(torch.from_numpy(half.voxels(ROWS[:3])))
    decoded = half.volumes(ROWS[:3])
    torch.testing.assert_close(coefficients[:, 1:], decoded[:, 1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(coefficients[:, 0].real, decoded[:, 0].real, rtol=1e-4, atol=1e-4)


def test_downsampling_keeps_values_and_places(run) -> None:
    """A wide blob off the centre."""
    axis = torch.arange(BOX) - BOX // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = 3 * torch.exp(-((x - 1).square() + y.square() + (z + 1).square()) / (2 * 2.3**2))
    generator = LinearVolumes(BOX, 0)
    generator.set_mean(volume)
    blob = replace(run, generator=generator, grid=VolumeGrid(BOX, 2.0, 1.0))
    coarse = Decoder(blob, ROWS[:1], box=8).voxels(ROWS[:1])[0]
    np.testing.assert_allclose(coarse, volume[::2, ::2, ::2].numpy(), atol=0.02 * 3)


# --- folders ---


def test_crop_is_the_middle_and_stays_in_place(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", ROWS[:2], ExportOptions(crop=6))
    expected = run.voxels(ROWS[:2])[:, 5:11, 5:11, 5:11]
    for row in (0, 1):
        with mrcfile.open(tmp_path / f"v/frame_{row:06d}.mrc") as file:
            np.testing.assert_array_equal(file.data, expected[row])
            assert file.voxel_size.x == pytest.approx(8)
            assert file.header.origin.item() == (40, 40, 40)


def test_downsampled_files(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", ROWS[3:5], ExportOptions(downsample=8))
    with mrcfile.open(tmp_path / "v/frame_000004.mrc") as file:
        expected = Decoder(run, ROWS[3:5], box=8).voxels(ROWS[4:5])[0]
        np.testing.assert_allclose(file.data, expected, rtol=0, atol=1e-6 * expected.max())
        assert file.voxel_size.x == pytest.approx(16)
        assert file.header.origin.item() == (0, 0, 0)


class Stopped(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("options", [ExportOptions(), ExportOptions(downsample=8)])
@pytest.mark.parametrize("at", [1, 7, 20])
def test_stopped_and_continued_is_as_never_stopped(
    options, at, run, spans, small_batches, tmp_path, monkeypatch
) -> None:
    export_volumes(run, tmp_path / "whole", ROWS, options)
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
            export_volumes(run, tmp_path / "v", ROWS, options)
    before = folder(tmp_path / "v")
    assert len(before) == at  # and the record, less the one that was stopped
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "v").glob("*.mrc")}
    done = []
    export_volumes(
        run, tmp_path / "v", ROWS, options, resume=True, progress=lambda *now: done.append(now)
    )
    assert folder(tmp_path / "v") == folder(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert done[-1] == (20, 20)


def test_half_a_file_is_written_again_and_what_a_kill_left_goes(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", ROWS[:3], ExportOptions())
    whole = folder(tmp_path / "v")
    with (tmp_path / "v/frame_000001.mrc").open("r+b") as file:
        file.truncate(2000)
    (tmp_path / "v/.frame_000002.mrc.0a1b2c3d.partial.mrc").touch()
    export_volumes(run, tmp_path / "v", ROWS[:3], ExportOptions(), resume=True)
    assert folder(tmp_path / "v") == whole


def test_stopped_command_says_how_to_go_on(tiny_runs, tmp_path, monkeypatch) -> None:
    path, out = tiny_runs["static"], tmp_path / "some volumes"
    write = export_module.write_volume

    def stop(file, *arguments, **names) -> None:
        if file.name == "frame_000006.mrc":
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
    assert "downsample = 8, and None is asked" in refuse(tmp_path, *again)
    assert "downsample = 8, and 10 is asked" in refuse(tmp_path, *again, "--downsample", "10")
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
    assert "nothing to continue" in refuse(tmp_path, *again, "--downsample", "8")
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


def test_disk_that_is_too_full_is_known_beforehand(tiny_runs, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "free")
    arguments = ("export", tiny_runs["tempor"], "-o", tmp_path / "v")
    needed = 20 * (1024 + 4 * BOX**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed - 1))
    message = refuse(tmp_path, *arguments)
    assert "the volumes need 0.00 GB, and 0.00 GB are free" in message
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(needed))
    succeed(*arguments)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0))
    succeed(*arguments, "--resume")  # nothing is missing
    succeed(*arguments, "--overwrite")  # the old ones go
    with pytest.raises(TemporemError, match="are free"):
        export_volumes(load_run(tiny_runs["tempor"]), tmp_path / "w", ROWS, ExportOptions())


def test_record_says_what_the_folder_holds(tiny_runs, tmp_path) -> None:
    out = tmp_path / "v"
    succeed("export", tiny_runs["static"], "-o", out, "--frames", "3,1", "--crop", "8")
    record = json.loads((out / "export.json").read_text())
    assert record["rows"] == [3, 1]
    assert (record["crop"], record["downsample"], record["deviation"]) == (8, None, False)
    assert (record["method"], record["arithmetic"]) == ("static", "float32 on cpu")


def test_folder_is_written_by_one_process_at_a_time(run, tmp_path) -> None:
    export_volumes(run, tmp_path / "v", ROWS[:1], ExportOptions())
    with held(tmp_path / "v"):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(TemporemError, match="is being written by another process"):
                export_volumes(run, tmp_path / "v", ROWS[:1], ExportOptions(), **options)
