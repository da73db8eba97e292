"""cryoDRGN as a peer: what needs no cryoDRGN, and one run of the real one, marked slow."""

import json
import os
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from benchmarks.peers.cryodrgn.__main__ import main
from benchmarks.peers.cryodrgn.ab_initio import convert_poses, epochs_of, pose_errors, read_poses
from benchmarks.peers.cryodrgn.check import compare
from benchmarks.peers.cryodrgn.commands import (
    AbInitioOptions,
    Inputs,
    TrainingOptions,
    ab_initio_command,
    backproject_command,
    decode_command,
    train_command,
)
from benchmarks.peers.cryodrgn.environment import (
    DEFAULT_PATH,
    VERSION,
    Environment,
    install_commands,
    run,
)
from benchmarks.peers.cryodrgn.training import (
    convert,
    epoch_seconds,
    parse_duration,
    require_stack_order,
)
from benchmarks.peers.cryodrgn.volumes import VolumeFiles, read_latents

from helpers.commands import succeed
from temporem.errors import TemporemError
from temporem.evaluation.run_evaluation import evaluate_source, frames_to_evaluate
from temporem.evaluation.storage import load_evaluation, save_evaluation
from temporem.frames.dataset import read_dataset
from temporem.io.volume import write_volume
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import geodesic_degrees, rotation_to_euler
from temporem.simulation.truth import read_truth, read_truth_of

REAL = Path(os.environ.get("TEMPOREM_CRYODRGN", DEFAULT_PATH))
ENVIRONMENT = Environment(Path("drgn"))
LOG = """\
Loading dataset from particles.mrcs
# [Train Epoch: 1/3] [1000/1000 particles] gen loss=0.68, kld=0.3, beta=1.000000, loss=0.68
# =====> Epoch: 1 Average gen loss = 0.69, KLD = 0.1, total loss = 0.69; Finished in 0:00:46.500000
Evaluating z
# =====> Epoch: 2 Average gen loss = 0.68, KLD = 0.2, total loss = 0.68; Finished in 0:01:01
Finished in 0:01:57.313190 (0:00:58 per epoch)
"""


AB_INITIO = AbInitioOptions(
    epochs=30, searches=3, shift_pixels=2.0, shift_points=7, batch=16, seed=5
)


def with_value(command, option):
    return command[command.index(option) + 1]


def fake_environment(path, version=VERSION):
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "cryodrgn").touch()
    (path / f"lib/python3.11/site-packages/cryodrgn-{version}.dist-info").mkdir(parents=True)
    return path


class TestFrames:
    @pytest.mark.parametrize("every", [1, 3])
    def test_are_those_that_temporem_evaluates(self, every, tiny_dataset, tmp_path):
        succeed("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "homogeneous")
        succeed("evaluate", tmp_path / "run", "--every", every)
        ours = load_evaluation(tmp_path / "run").frames
        assert frames_to_evaluate(read_dataset(tiny_dataset), every=every).same_as(ours)

    def test_movies_start_at_different_frames(self, tiny_dataset):
        frames = frames_to_evaluate(read_dataset(tiny_dataset), every=4)
        assert len(set(frames.frame_numbers.tolist())) == 4

    def test_held_out_movies_are_marked(self, tiny_dataset):
        movies = read_dataset(tiny_dataset)
        held_out = np.zeros(movies.n_frames, dtype=bool)
        held_out[movies.movies[2]] = True
        frames = frames_to_evaluate(movies, held_out=held_out)
        assert set(frames.movie[frames.held_out].tolist()) == {2}


class TestVolumeFiles:
    def write(self, folder, row, volume, pixel_size=2.5):
        files = VolumeFiles(folder, len(volume), 2.5)
        write_volume(files.path(row), volume, pixel_size)
        return files

    def test_axes_and_rows(self, tmp_path):
        # One voxel, off the diagonal, so that a transposed volume would be seen.
        volumes = np.zeros((2, 8, 8, 8), dtype=np.float32)
        volumes[0, 3, 4, 5] = volumes[1, 4, 6, 4] = 1
        for row, volume in zip((7, 1200000), volumes, strict=True):
            files = self.write(tmp_path, row, volume)
        found = files.volumes(np.array([1200000, 7]))
        expected = FourierSupport(8, 3).fft(torch.from_numpy(volumes[::-1].copy()))
        assert torch.equal(found, expected)

    def test_axes_of_the_file_are_those_of_a_header_written_by_others(self, tmp_path):
        volume = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
        files = VolumeFiles(tmp_path, 8, 2.5)
        with mrcfile.new(files.path(0)) as file:  # sections along z, x fastest: (z, y, x)
            file.set_data(volume)
            file.voxel_size = 2.5
        coefficient = files.volumes(np.array([0]))[0, 1]
        kx, ky, kz = files.support.frequencies[1].tolist()
        axis = np.arange(8) - 4
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        wave = np.exp(-2j * np.pi * (kx * x + ky * y + kz * z) / 8) / 8**1.5
        assert complex(coefficient) == pytest.approx((volume * wave).sum(), abs=1e-4)

    def test_scale_does_not_matter_to_the_evaluation(self, tiny_dataset, tmp_path):
        movies, truth = read_dataset(tiny_dataset), read_truth(tiny_dataset)
        frames = frames_to_evaluate(movies, every=2)
        for row, coefficients in zip(frames.rows, truth.volumes(frames.rows), strict=True):
            volume = 40 * truth.support.ifft(coefficients).numpy()
            write_volume(tmp_path / f"frame_{row:06d}.mrc", volume, movies.pixel_size_angstrom)
        source = VolumeFiles(tmp_path, movies.box, movies.pixel_size_angstrom)
        latents = truth.parameters.numpy()
        evaluation = evaluate_source(source, truth, frames, latents=latents)
        save_evaluation(evaluation, tmp_path)
        loaded = load_evaluation(tmp_path)
        assert loaded.auc("unmasked").min() > 0.999
        assert loaded.motion["moving"].correlation() > 0.999
        assert loaded.psnr_db.min() > 60
        assert next(iter(loaded.latents.parameters.values())).abs_spearman > 0.99

    @pytest.mark.parametrize(
        ("volume", "pixel_size", "message"),
        [
            (np.zeros((6, 6, 6)), 2.5, "has 6 x 6 x 6 voxels; expected 8 x 8 x 8"),
            (np.zeros((8, 8, 8)), 1.0, "has voxels of 1 Å; expected 2.5 Å"),
        ],
    )
    def test_another_box_or_voxel_size(self, volume, pixel_size, message, tmp_path):
        write_volume(tmp_path / "frame_000000.mrc", volume, pixel_size)
        with pytest.raises(TemporemError, match=message):
            VolumeFiles(tmp_path, 8, 2.5).volumes(np.array([0]))

    def test_missing_or_damaged(self, tmp_path):
        with pytest.raises(TemporemError, match=r"no volume .*frame_000000\.mrc"):
            VolumeFiles(tmp_path, 8, 2.5).volumes(np.array([0]))
        (tmp_path / "frame_000000.mrc").write_bytes(b"no volume")
        with pytest.raises(TemporemError, match=r"frame_000000\.mrc is not readable"):
            VolumeFiles(tmp_path, 8, 2.5).volumes(np.array([0]))


class TestCommandLines:
    inputs = Inputs(Path("/d/particles.mrcs"), Path("/o/poses.pkl"), Path("/o/ctf.pkl"))

    def test_training(self):
        options = TrainingOptions(z_dim=3, epochs=40, seed=5, checkpoint=20)
        command = train_command(ENVIRONMENT, self.inputs, Path("out"), options)
        assert command[0] == str(Path.cwd() / "drgn/bin/cryodrgn")
        assert command[1:3] == ["train_vae", "/d/particles.mrcs"]
        expected = {
            "--poses": "/o/poses.pkl",
            "--ctf": "/o/ctf.pkl",
            "--zdim": "3",
            "-n": "40",
            "-o": str(Path.cwd() / "out"),
            "--enc-dim": "256",
            "--dec-dim": "256",
            "--seed": "5",
            "--checkpoint": "20",
        }
        assert {option: with_value(command, option) for option in expected} == expected
        assert {"--no-amp", "--no-analysis"} < set(command)

    def test_the_contrast_is_inverted_as_by_default(self):
        options = TrainingOptions(z_dim=1, epochs=1, seed=0, checkpoint=1)
        for command in (
            train_command(ENVIRONMENT, self.inputs, Path("out"), options),
            backproject_command(ENVIRONMENT, self.inputs, Path("out")),
            ab_initio_command(ENVIRONMENT, self.inputs, Path("out"), AB_INITIO),
        ):
            assert "--uninvert-data" not in command

    def test_decoding(self):
        command = decode_command(ENVIRONMENT, Path("/o"), 20, Path("/v/z.txt"), Path("/v"), 2.2)
        assert command[1:3] == ["eval_vol", "/o/train/weights.20.pkl"]
        assert with_value(command, "-c") == "/o/train/config.yaml"
        assert with_value(command, "--zfile") == "/v/z.txt"
        assert with_value(command, "--Apix") == "2.2"
        assert with_value(command, "--vol-start-index") == "0"
        assert "--invert" not in command

    def test_reconstruction_from_images_alone(self):
        command = ab_initio_command(ENVIRONMENT, self.inputs, Path("out"), AB_INITIO)
        assert command[1:3] == ["abinit", "/d/particles.mrcs"]
        expected = {
            "--ctf": "/o/ctf.pkl",
            "--zdim": "0",
            "-n": "30",
            "-o": str(Path.cwd() / "out"),
            "--dim": "256",
            "--epochs-pose-search": "3",
            "--t-extent": "2.0",
            "--t-ngrid": "7",
            "--batch-size-hps": "16",
            "--seed": "5",
        }
        assert {option: with_value(command, option) for option in expected} == expected
        assert {"--no-amp", "--no-analysis"} < set(command)
        assert "/o/poses.pkl" not in command  # the true ones

    def test_installation_is_pinned(self):
        _, torch_alone, pip = install_commands(Path("drgn"))
        assert {"--no-deps", "torch==2.13.0"} < set(torch_alone)
        assert with_value(torch_alone, "--index-url").endswith("/cpu")
        assert {"cryodrgn==4.3.1", "torch==2.13.0"} < set(pip)
        constraints = Path(with_value(pip, "--constraint")).read_text(encoding="utf-8").split()
        assert {"cryodrgn==4.3.1", "torch==2.13.0"} < set(constraints)
        assert all("==" in line for line in constraints)


class TestLogs:
    def test_epochs(self, tmp_path):
        (tmp_path / "train").mkdir()
        (tmp_path / "train/run.log").write_text(LOG, encoding="utf-8")
        assert epoch_seconds(tmp_path) == [46.5, 61.0]

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0:00:46.197173", 46.197173), ("1 day, 2:00:03", 93603), ("12:01:00\n", 43260)],
    )
    def test_durations(self, text, seconds):
        assert parse_duration(text) == pytest.approx(seconds)

    def test_no_duration(self):
        with pytest.raises(TemporemError, match="no duration"):
            parse_duration("soon")


class TestPoses:
    def table(self, movies):
        """RELION's angles and origins in pixels."""
        angles = rotation_to_euler(movies.rotations)
        origins = -movies.shifts_angstrom / movies.pixel_size_angstrom
        return torch.cat([angles, origins], dim=1).numpy()

    def test_the_true_ones_have_no_error(self, tiny_dataset, tmp_path):
        movies = read_dataset(tiny_dataset)
        np.save(tmp_path / "poses.npy", self.table(movies))
        errors = pose_errors(
            read_poses(tmp_path / "poses.npy", movies), movies, read_truth_of(movies)
        )
        assert errors["median_degrees"] < 1e-3
        assert errors["median_shift_angstrom"] < 1e-3
        assert errors["within_10_degrees"] == 1
        assert errors["mirrored"] is False

    def test_origins_are_the_other_way(self, tiny_dataset, tmp_path):
        movies = read_dataset(tiny_dataset)
        table = self.table(movies)
        table[:, 3:] *= -1
        np.save(tmp_path / "poses.npy", table)
        errors = pose_errors(
            read_poses(tmp_path / "poses.npy", movies), movies, read_truth_of(movies)
        )
        assert errors["median_shift_angstrom"] > 0.5

    @pytest.mark.parametrize("change", [lambda t: t[1:], lambda t: t[:, :3], lambda t: t * np.nan])
    def test_not_a_pose_for_every_frame(self, change, tiny_dataset, tmp_path):
        movies = read_dataset(tiny_dataset)
        np.save(tmp_path / "poses.npy", change(self.table(movies)))
        with pytest.raises(TemporemError, match="not a pose for every frame"):
            read_poses(tmp_path / "poses.npy", movies)

    def test_epochs(self):
        log = (
            "(abinit.py) # =====> Pretrain Epoch: 0 finished in 0:00:20.5; total loss = 1.0\n"
            "(abinit.py) # [Train Epoch: 1/30] [20/200 particles]\n"
            "(abinit.py) # =====> HPS Epoch: 1 finished in 0:02:00; total loss = 0.9\n"
        )
        assert epochs_of(log) == [
            {"kind": "Pretrain", "epoch": 0, "seconds": 20.5},
            {"kind": "HPS", "epoch": 1, "seconds": 120.0},
        ]


class TestChildren:
    def test_output_and_usage(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "elsewhere")
        code = "import os; print(os.environ.get('PYTHONPATH')); x = b'1' * 2**26; print('done')"
        lines = []
        usage = run([sys.executable, "-c", code], tmp_path / "log", on_line=lines.append)
        assert lines == ["None\n", "done\n"]
        assert (tmp_path / "log").read_text(encoding="utf-8") == "None\ndone\n"
        assert usage.peak_memory_bytes > 2**26
        assert usage.cpu_seconds > 0
        assert 0 < usage.seconds < 60

    def test_stopped_with_what_it_started(self, tmp_path):
        """The child gets a Ctrl-C of its own, and the time to pass it on."""
        ended = tmp_path / "ended"
        code = (
            "import pathlib, signal, time\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may ignore it
            "try:\n    print('begun'); time.sleep(60)\n"
            f"except KeyboardInterrupt: pathlib.Path({str(ended)!r}).touch()\n"
        )

        def interrupt(line):
            raise KeyboardInterrupt

        command = [sys.executable, "-c", code]
        with pytest.raises(KeyboardInterrupt):
            run(command, tmp_path / "log", on_line=interrupt, patience_seconds=60)
        assert ended.exists()

    def test_failure_names_the_last_line_and_the_log(self, tmp_path):
        code = "raise ValueError('no such pose')"
        with pytest.raises(TemporemError, match=r"code 1: ValueError: no such pose; see .*log"):
            run([sys.executable, "-c", code], tmp_path / "log")


class TestCheck:
    half_fsc = np.array([1, 0.9, 0.8, 0.5, 0.3, 0.1, 0.05, 0.0])

    def volume(self):
        support = FourierSupport(16, 3)
        axis = torch.arange(16) - 8
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        body = (-(((x - 1) / 2) ** 2) - (y / 1.5) ** 2 - ((z + 1) / 3) ** 2).exp()
        noise = torch.randn(16, 16, 16, generator=torch.Generator().manual_seed(0))
        return support.ifft(support.fft(body + 0.05 * noise))

    def compare(self, theirs):
        return compare(self.volume(), theirs, self.half_fsc, 4.0, 0.9)

    def test_the_same_on_another_scale(self):
        agreement = self.compare(7 * self.volume())
        assert agreement.holds
        assert agreement.correlation == pytest.approx(1, abs=1e-5)
        assert agreement.n_significant == 5
        assert agreement.describe().splitlines()[-1].startswith("agree")

    @pytest.mark.parametrize(
        "change",
        [
            lambda v: -v,
            lambda v: v.flip(0).roll(1, 0),  # the other hand
            lambda v: v.transpose(0, 2),
            lambda v: v.roll(2, 1),
        ],
        ids=["contrast", "hand", "axes", "shift"],
    )
    def test_a_mistake_in_a_convention_fails(self, change):
        agreement = self.compare(change(self.volume()))
        assert not agreement.holds
        assert "DISAGREE" in agreement.describe()


class TestBadInput:
    def fail(self, capsys, *arguments):
        assert main([str(argument) for argument in arguments]) == 2
        message = capsys.readouterr().err.strip()
        assert message.startswith("error:")
        assert "\n" not in message
        return message

    @pytest.mark.parametrize(
        "command",
        [
            ("train", "d", "-o", "o", "--z-dim", 1, "--epochs", 20),
            ("evaluate", "o", "d", "--epoch", 20),
            ("check", "d"),
            ("abinit", "d", "-o", "o"),
        ],
        ids=lambda command: command[0],
    )
    def test_no_environment(self, command, capsys, tmp_path):
        message = self.fail(capsys, *command, "--environment", tmp_path / "none")
        assert f"cryodrgn install --environment {tmp_path}/none" in message

    def test_another_version(self, capsys, tmp_path):
        environment = fake_environment(tmp_path / "old", "3.4.0")
        message = self.fail(capsys, "check", "d", "--environment", environment)
        assert "has cryodrgn 3.4.0; expected 4.3.1" in message

    def test_last_epoch_not_kept(self, capsys, tmp_path):
        environment = fake_environment(tmp_path / "drgn")
        options = ("--z-dim", 1, "--epochs", 30, "--environment", environment)
        message = self.fail(capsys, "train", "d", "-o", tmp_path / "o", *options)
        assert "multiple of --checkpoint" in message

    def test_output_exists(self, capsys, tiny_dataset, tmp_path):
        environment = fake_environment(tmp_path / "drgn")
        options = ("--z-dim", 1, "--epochs", 20, "--environment", environment)
        message = self.fail(capsys, "train", tiny_dataset, "-o", tmp_path, *options)
        assert "exists" in message

    def test_no_training(self, capsys, tiny_dataset, tmp_path):
        environment = fake_environment(tmp_path / "drgn")
        options = ("--epoch", 20, "--environment", environment)
        message = self.fail(capsys, "evaluate", tmp_path, tiny_dataset, *options)
        assert "train first" in message

    def test_epoch_that_was_not_kept(self, tmp_path):
        (tmp_path / "train").mkdir()
        for epoch in (20, 40):
            (tmp_path / f"train/z.{epoch}.pkl").touch()
        with pytest.raises(TemporemError, match="no epoch 30; expected one of 20, 40"):
            read_latents(ENVIRONMENT, tmp_path, 30, tmp_path)

    def test_rows_in_another_order_than_the_stack(self, tiny_dataset, tmp_path):
        require_stack_order(tiny_dataset)
        for name in ("particles.star", "particles.mrcs"):
            (tmp_path / name).write_bytes((tiny_dataset / name).read_bytes())
        star = tmp_path / "particles.star"
        text = star.read_text(encoding="utf-8").replace("000001@", "x@")
        text = text.replace("000002@", "000001@").replace("x@", "000002@")
        star.write_text(text, encoding="utf-8")
        with pytest.raises(TemporemError, match=r"in the order of particles\.mrcs"):
            require_stack_order(tmp_path)


@pytest.mark.slow
def test_the_real_cryodrgn(tmp_path, capsys):
    """The volumes agree, and a training is scored on the frames that ours would be."""
    installed = (REAL / "bin" / "cryodrgn").is_file()
    assert installed, f"{REAL} has no cryodrgn: python -m benchmarks.peers.cryodrgn install"
    movies, out = tmp_path / "movies", tmp_path / "out"
    small = ("movies=40", "box=24", "pixel_size_angstrom=5.4", "snr=1")
    options = [part for value in small for part in ("--set", value)]
    succeed("simulate", "toy", "-o", movies, *options)

    def peer(*arguments):
        code = main([*map(str, arguments), "--environment", str(REAL)])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    assert "DISAGREE" not in peer("check", movies)
    training = ("--z-dim", 1, "--epochs", 2, "--checkpoint", 1)
    peer("train", movies, "-o", out, *training)
    record = json.loads((out / "peer.json").read_text(encoding="utf-8"))
    assert list(record["checkpoint_seconds"]) == ["1", "2"]
    assert record["seconds"] > record["checkpoint_seconds"]["2"] > 0
    assert record["peak_memory_bytes"] > 2**27

    (out / "peer.json").unlink()  # a training made by hand is scored too
    assert "Motion correlation" in peer("evaluate", out, movies, "--epoch", 2, "--every", 5)
    evaluation = load_evaluation(out / "cryodrgn-epoch-2")
    assert evaluation.frames.same_as(frames_to_evaluate(read_dataset(movies), every=5))
    assert evaluation.fsc["unmasked"][:, 1:4].mean() > 0.5  # bright, in place, of our hand
    assert evaluation.latents is not None
    assert not (out / "cryodrgn-epoch-2" / "volumes").exists()

    # Poses come back from cryoDRGN's rotations as they were.
    (tmp_path / "poses").mkdir()
    pickled = convert(Environment(REAL), movies, tmp_path / "poses").poses
    convert_poses(Environment(REAL), pickled, tmp_path / "poses" / "poses.npy")
    dataset = read_dataset(movies)
    rotations, shifts = read_poses(tmp_path / "poses" / "poses.npy", dataset)
    assert geodesic_degrees(rotations, dataset.rotations).max() < 1e-3
    expected = dataset.shifts_angstrom / dataset.box  # the file has fractions of the box
    assert torch.allclose(shifts, expected, atol=1e-4)

    few = tmp_path / "few"
    succeed("simulate", "toy", "-o", few, *options, "--set", "movies=2", "--overwrite")
    quick = ("--epochs", 2, "--searches", 1, "--shift-pixels", 2, "--shift-points", 2)
    peer("abinit", few, "-o", tmp_path / "found", *quick)
    found = json.loads((tmp_path / "found" / "poses.json").read_text(encoding="utf-8"))
    assert [epoch["kind"] for epoch in found["epochs"]] == ["Pretrain", "HPS", "SGD"]
    assert 0 < found["poses"]["median_degrees"] < 180
