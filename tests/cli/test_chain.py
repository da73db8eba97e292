"""The commands one after another: what each writes is what the next one and its reader expect."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
import yaml

from helpers.commands import TINY_NETWORK, TINY_SIMULATION, command, settings, succeed
from helpers.runs import volume_of_row
from temporem.__main__ import run
from temporem.cli import demo
from temporem.cli.main import app
from temporem.io.checkpoint import load_checkpoint
from temporem.io.settings import apply_overrides
from temporem.io.star import read_star
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run
from temporem.simulation.truth import read_truth

COMMANDS = (
    *("demo", "simulate", "extract", "import", "check", "reconstruct", "validate"),
    *("evaluate", "compare", "motion", "select", "view", "export", "report", "experiment", "info"),
    *("plan", "latents", "kinetics"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_shows_an_example(name, capsys) -> None:
    assert f"Example:  temporem {name}" in succeed(name, "--help")


def test_every_command_is_tested_here() -> None:
    assert {name for name in app if not name.startswith("-")} == set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from temporem.cli.main import main\n"
        "assert main(['--help']) == main(['reconstruct', '--help']) == 0\n"
        "print([m for m in ('torch', 'numpy', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


def test_interrupt_while_the_program_starts_is_one_line(monkeypatch, capsys) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("temporem.cli.main.main", interrupted)
    assert run() == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.fixture
def _deaf_to_sigterm() -> Iterator[None]:
    """So that this process outlives a fault."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_deaf_to_sigterm")
def test_sigterm_counts_as_ctrl_c_and_may_come_twice(monkeypatch, capsys) -> None:
    def stopped() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setattr("temporem.cli.main.main", stopped)
    assert run() == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.integration
def test_sigterm_in_a_long_step_says_how_to_go_on(tiny_dataset, tmp_path) -> None:
    """A step of the linear model is not waited for."""
    out = tmp_path / "run"
    long = settings(("linear.components=1", "linear.iterations=1000"))
    arguments = ["reconstruct", str(tiny_dataset), "-o", str(out), "--method", "linear", *long]
    process = subprocess.Popen(
        [sys.executable, "-m", "temporem", *arguments], stderr=subprocess.PIPE, text=True
    )
    state = out / "checkpoint/linear.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    assert process.stderr is not None
    message = process.stderr.read()
    assert process.wait() == 130
    command_line = f"temporem reconstruct {tiny_dataset} -o {out} --resume"
    assert message == f"stopped; continue with: {command_line}\n"
    assert load_checkpoint(state).integer("done") >= 1


def test_interrupt_before_the_first_step_says_how_to_go_on(
    tiny_dataset, tmp_path, monkeypatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("temporem.runs.methods.base.prepare_frames", interrupted)
    result = command("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--poses", "known")
    assert result.code == 130
    assert f"continue with: temporem reconstruct {tiny_dataset}" in result.err
    monkeypatch.setattr("temporem.runs.pipeline.read_dataset", interrupted)
    result = command("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--overwrite")
    assert "stopped before anything was written" in result.err


def test_module_runs_as_the_command_does() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "temporem", "evaluate", "nowhere"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: nowhere does not exist")
    assert len(result.stderr.splitlines()) == 1


def test_simulate_prints_json_for_programs(tmp_path) -> None:
    options = [*settings(TINY_SIMULATION), "--seed", 3, "--json"]
    summary = json.loads(succeed("simulate", "toy", "-o", tmp_path / "d", *options))
    assert (summary["movies"], summary["frames"], summary["box"]) == (5, 20, 16)
    ratio = summary["signal_variance"] / summary["noise_variance"]
    assert ratio == pytest.approx(3)
    assert read_truth(tmp_path / "d").config.seed == 3


def test_frames_star_keeps_the_order_and_poses_of_the_dataset(tiny_dataset, tiny_runs) -> None:
    particles = read_star(tiny_dataset / "particles.star")["particles"]
    frames = read_star(tiny_runs["tempor"] / "frames.star")["frames"]
    for column in ("rlnParticleName", "rlnMovieFrameNumber"):
        assert frames.strings(column) == particles.strings(column)
    for column in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst"):
        np.testing.assert_allclose(frames.floats(column), particles.floats(column), atol=1e-9)
    deviations = frames.floats("temporemLatentSd1")
    assert (deviations > 0).all()
    assert (deviations < 3).all()


def test_whole_movies_are_held_out(tiny_runs) -> None:
    frames = read_star(tiny_runs["static"] / "frames.star")["frames"]
    held_out = frames.ints("temporemHeldOut") == 1
    names = np.array(frames.strings("rlnParticleName"))
    assert held_out.sum() == 4
    assert len(set(names[held_out])) == 1
    assert not set(names[held_out]) & set(names[~held_out])
    summary = json.loads((tiny_runs["static"] / "evaluation.json").read_text())
    assert summary["held_out"]["n_frames"] == 4


def test_config_is_complete_and_makes_the_same_run_again(tiny_dataset, tiny_runs, tmp_path) -> None:
    file = tiny_runs["tempor"] / "config.yaml"
    config = yaml.safe_load(file.read_text())
    assert config["model"]["z_dim"] == 1
    assert Path(config["dataset"]) == tiny_dataset.resolve()
    succeed("reconstruct", tiny_dataset, "-o", tmp_path / "again", "--config", file)
    for name in ("frames.star", "config.yaml"):
        assert (tmp_path / "again" / name).read_bytes() == (file.parent / name).read_bytes()


def test_homogeneous_volume_is_the_molecule_in_units_of_the_images(tiny_dataset, tiny_runs) -> None:
    run, truth = load_run(tiny_runs["homogeneous"]), read_truth(tiny_dataset)
    rows = np.arange(run.n_frames)
    mean = truth.support.ifft(truth.volumes(rows)).mean(0).numpy().ravel()
    with mrcfile.open(tiny_runs["homogeneous"] / "mean.mrc") as file:
        inside_nyquist = run.support.fft(torch.tensor(file.data))
        volume = file.data.ravel()
    for decoded in run.volumes(rows[:2]):  # what every frame is evaluated by
        torch.testing.assert_close(decoded, inside_nyquist, rtol=1e-4, atol=1e-5)
    assert np.corrcoef(volume, mean)[0, 1] > 0.8
    assert 0.5 < (volume @ mean) / (mean @ mean) < 1.5  # a Wiener filter loses some of it
    assert run.facts.half_fsc is not None
    assert run.facts.half_fsc[1] > 0.9
    assert "temporemLatentMean1" not in read_star(run.path / "frames.star")["frames"]


def test_volumes_follow_the_latent(tiny_runs) -> None:
    run = load_run(tiny_runs["static"])
    rows = np.array([7, 2, 7])
    volumes = run.volumes(rows)
    z = run.latents_of(rows)
    with torch.no_grad():
        expected = run.grid.noise_scale * run.generator.volumes(run.support, z)
    torch.testing.assert_close(volumes, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(volumes[0], volumes[2])
    assert not torch.equal(volumes[0], volumes[1])


def test_export_names_files_by_row_and_needs_no_dataset(tiny_dataset, tiny_runs, tmp_path) -> None:
    run = tmp_path / "elsewhere"
    shutil.copytree(tiny_runs["tempor"], run)
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"dataset": "/nowhere"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    succeed("export", run, "--movie", "movie_0002", "--frames", "4,1-2", "-o", tmp_path / "volumes")
    record, *files = sorted((tmp_path / "volumes").iterdir())
    assert record.name == "export.json"
    tails = {4: "0001", 5: "0002", 7: "0004"}
    names = [f"frame_{row:06d}_movie_0002_{number}_" for row, number in tails.items()]
    assert [file.name.rpartition("_")[0] + "_" for file in files] == names
    assert all(file.name.endswith("s.mrc") for file in files)  # with the time
    expected = load_run(run).voxels(np.array([4, 5, 7]))
    for file, volume in zip(files, expected, strict=True):
        with mrcfile.open(file) as opened:
            np.testing.assert_array_equal(opened.data, volume)
            assert opened.voxel_size.x == pytest.approx(8.0)
            assert opened.is_volume()
    succeed("export", run, "--frames", "0", "-o", tmp_path / "volumes", "--overwrite")
    names = sorted(file.name for file in (tmp_path / "volumes").iterdir())
    assert names == ["export.json", volume_of_row(tmp_path / "volumes", 0).name]


def test_evaluate_every_nth_frame(tiny_runs, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_runs["homogeneous"], run)
    summary = json.loads(succeed("evaluate", run, "--every", 3, "--overwrite", "--json"))
    assert summary["n_frames"] == 7  # of 5 movies of 4 frames, from another frame on in each
    with np.load(run / "evaluation.npz") as arrays:
        assert sorted(set(arrays["frame_numbers"].tolist())) == [1, 2, 3, 4]


def test_compare_takes_the_first_run_as_the_baseline(tiny_runs) -> None:
    runs = [tiny_runs[name] for name in ("static", "tempor", "homogeneous")]
    result = json.loads(succeed("compare", *runs, "--json"))
    assert result["baseline"] == "static"
    assert list(result["comparisons"]) == ["tempor", "homogeneous"]
    back = json.loads(succeed("compare", *runs[::-1], "--json"))
    gain = result["comparisons"]["homogeneous"]["fsc"]["unmasked"]["auc"]["value"]
    loss = back["comparisons"]["static"]["fsc"]["unmasked"]["auc"]["value"]
    assert gain == pytest.approx(-loss)
    named = json.loads(succeed("compare", *runs[::-1], "--baseline", "static", "--json"))
    assert named["baseline"] == "static"
    assert named["comparisons"]["homogeneous"] == result["comparisons"]["homogeneous"]
    assert "expected 'static' or" in command("compare", *runs, "--baseline", "x").err
    table = succeed("compare", *runs)
    assert table.startswith("tempor ")
    assert "Next: temporem report" in table
    assert "Frames improved" not in table
    everything = succeed("compare", *runs, "--all")
    assert "Gain over static" in everything
    assert "Frames improved, whole box (%)" in everything


def test_report_shows_all_runs(tiny_runs, tmp_path) -> None:
    succeed("report", *tiny_runs.values(), "-o", tmp_path / "r.html", "--title", "Five movies")
    page = (tmp_path / "r.html").read_text()
    assert "Five movies" in page
    for part in ("homogeneous", "Signal-to-noise ratio", "16 × 16 pixels of 8 Å", "frame 4 · "):
        assert part in page


def test_resuming_a_finished_run_changes_nothing(tiny_dataset, tiny_runs) -> None:
    run = tiny_runs["tempor"]
    before = {path.name: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert "nothing to resume" in succeed("reconstruct", tiny_dataset, "-o", run, "--resume")
    assert {path.name: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.integration
def test_interrupted_run_says_how_to_go_on_and_ends_as_if_never_stopped(
    tiny_dataset, tmp_path
) -> None:
    options = settings((*TINY_NETWORK, "training.epochs=50"))
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    succeed("reconstruct", tiny_dataset, "-o", whole, *options)
    arguments = ["reconstruct", str(tiny_dataset), "-o", str(stopped), *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "temporem", *arguments], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (stopped / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    message = process.stderr.read()
    assert process.wait() == 130
    assert message.splitlines() == [message.strip()]
    assert message.startswith("stopped; continue with: temporem reconstruct ")
    assert not (stopped / "frames.star").exists()
    assert command("export", stopped, "-o", tmp_path / "v").code == 2

    resume = message.strip().removeprefix("stopped; continue with: temporem ").split()
    succeed(*resume)
    for name in ("frames.star", "config.yaml", "run.json", "checkpoint/model.safetensors"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    assert [record["epoch"] for record in read_metrics(stopped)] == list(range(1, 51))


def test_info_names_versions() -> None:
    facts = json.loads(succeed("info", "--json"))
    assert facts["torch"].startswith(torch.__version__.split("+")[0])
    assert facts["networks multiply in"] in ("float32", "bfloat16")


@pytest.mark.integration
def test_demo_runs_the_whole_chain_and_names_its_report(tmp_path, monkeypatch) -> None:
    preset = tmp_path / "small.yaml"
    toy = Path(demo.__file__).parents[1] / "simulation/presets/toy-free.yaml"
    smaller = dict(yaml.safe_load(text.replace("=", ": ")).popitem() for text in TINY_SIMULATION)
    del smaller["frames_per_movie"]  # unequal movies with gaps, for every method
    preset.write_text(yaml.safe_dump(yaml.safe_load(toy.read_text()) | smaller))
    monkeypatch.setattr(demo, "PRESET", str(preset))
    monkeypatch.setattr(demo, "SETTINGS", apply_overrides({}, TINY_NETWORK))
    with monkeypatch.context() as patch:
        patch.setattr(demo, "METHODS", ("static",))
        succeed("demo", "-o", tmp_path / "demo")
    text = succeed("demo", "-o", tmp_path / "demo", "--overwrite")
    assert f"Report: {tmp_path / 'demo' / 'report.html'}" in text
    assert "tempor" in text
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
    assert command("demo", "-o", tmp_path / "demo").err.startswith("error: ")
    assert command("demo", "-o", tmp_path, "--overwrite").code == 2
    assert preset.exists()
