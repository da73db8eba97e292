"""Bad input: exit code 2, one line that says what is wrong, and nothing written or changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.bad_input import (
    all_alone,
    change_pixels,
    one_frame_movie,
    refuse,
    rewrite,
    set_pixel,
)
from helpers.commands import TINY_NETWORK, TINY_TRAINING, command, settings, succeed
from temporem.errors import TemporemError
from temporem.io.mrc import write_stack
from temporem.io.star import StarTable, read_star, write_star
from temporem.runs import writing
from temporem.runs.frames_table import read_frame_table


@pytest.fixture
def dataset(tiny_dataset, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "movies"))


@pytest.fixture
def run(tiny_runs, tmp_path) -> Path:
    """A copy of a tempor run that may be spoilt."""
    return Path(shutil.copytree(tiny_runs["tempor"], tmp_path / "run"))


def in_the_middle(images: np.ndarray) -> np.ndarray:
    images[3, 7:10, 7:10] = 1e11  # a corner would count as noise, a single pixel is repaired
    return images


def past_the_stack(columns: dict) -> None:
    columns["rlnImageName"] = [*columns["rlnImageName"][:-1], "000999@particles.mrcs"]


def mixed_sizes(dataset: Path) -> None:
    write_stack(dataset / "other.mrcs", [np.zeros((1, 8, 8), np.float32)], 8.0)

    def change(columns: dict) -> None:
        columns["rlnImageName"] = [*columns["rlnImageName"][:-1], "1@other.mrcs"]

    rewrite(dataset, "particles", change)


def without_poses(columns: dict) -> None:
    for name in [name for name in columns if name.startswith(("rlnAngle", "rlnOrigin"))]:
        del columns[name]


def far_out(columns: dict) -> None:
    columns["rlnOriginXAngst"] = ["70", *columns["rlnOriginXAngst"][1:]]


def zero_pixel(columns: dict) -> None:
    columns["rlnImagePixelSize"] = ["0"] * len(columns["rlnImagePixelSize"])


SPOILT = {
    "missing folder": (shutil.rmtree, "does not exist"),
    "missing file": (lambda d: (d / "particles.star").unlink(), "is not a dataset"),
    "not a STAR file": (lambda d: (d / "particles.star").write_bytes(b"\x00\xff"), "not text"),
    "missing stack": (lambda d: (d / "particles.mrcs").unlink(), "particles.mrcs is not a file"),
    "missing column": (
        lambda d: rewrite(d, "particles", lambda c: c.pop("rlnAngleTilt")),
        "lacks _rlnAngleTilt",
    ),
    "no poses": (
        lambda d: rewrite(d, "particles", without_poses),
        "has no poses",
    ),
    "particle outside the image": (
        lambda d: rewrite(d, "particles", far_out),
        "a particle inside the image",
    ),
    "past the stack": (lambda d: rewrite(d, "particles", past_the_stack), "000999@particles.mrcs"),
    "not square": (lambda d: change_pixels(d, lambda i: i[:, :, :14]), "square"),
    "odd": (lambda d: change_pixels(d, lambda i: i[:, :15, :15]), "15"),
    "mixed sizes": (mixed_sizes, "one image size in a dataset"),
    "NaN": (lambda d: change_pixels(d, set_pixel(np.nan)), "NaN"),
    "infinite": (lambda d: change_pixels(d, set_pixel(np.inf)), "infinite"),
    "huge": (lambda d: change_pixels(d, set_pixel(3e38)), "at most 1e+12"),
    "far above the noise": (lambda d: change_pixels(d, in_the_middle), "times the noise"),
    "zero voxel size": (lambda d: rewrite(d, "optics", zero_pixel), "a pixel size of 0.001 to"),
    "one frame each": (lambda d: rewrite(d, "particles", all_alone), "every movie has one frame"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_bad_dataset(case, dataset, tmp_path) -> None:
    spoil, message = SPOILT[case]
    spoil(dataset)
    assert message in refuse(tmp_path, "reconstruct", dataset, "-o", tmp_path / "run")


@pytest.mark.integration
@pytest.mark.parametrize("start", ["linear", "static"])
def test_a_movie_of_one_frame_among_others_is_no_trouble(start, dataset, tmp_path) -> None:
    rewrite(dataset, "particles", one_frame_movie)
    options = ["--start", start, *settings(TINY_TRAINING)]
    succeed("reconstruct", dataset, "-o", tmp_path / "run", *options)


def test_movies_of_one_frame_are_no_trouble_without_time(dataset, tmp_path) -> None:
    rewrite(dataset, "particles", all_alone)
    options = ["-o", tmp_path / "run", "--method", "static", *settings(TINY_NETWORK)]
    succeed("reconstruct", dataset, *options)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.z_dims=2", "did you mean model.z_dim?"),
        ("trainig.epochs=2", "unknown key trainig"),
        ("model.z_dim=0", "model.z_dim"),
        ("model.z_dim=1000", "model.z_dim"),
        ("model.z_dim=21", "at most 20"),
        ("model.z_dim=two", "model.z_dim"),
        ("training.frames_per_step=0", "training.frames_per_step"),
        ("training.frames_per_step=21", "at most 20"),
        ("training.epochs=-1", "training.epochs"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.init=static", "unknown key training.init"),
        ("training.start=late", "training.start"),
        ("linear.components=none", "linear.components"),
        ("linear.components=0", "linear.components"),
        ("linear.components=65", "linear.components"),
        ("linear.mask=mask.mrc", "linear.mask needs --method linear"),
        ("model.generator=spheres", "no generator named 'spheres'"),
        ("poses.diffusion=.nan", "poses.diffusion"),
        ("poses.diffusion=1", "poses.diffusion needs a search for poses"),
        ("poses.learned=table", "needs --poses refine or estimate"),
        ("poses.learned=head", "it needs --poses estimate, not auto"),
        ("options.epochs=2", "tempor has no options of its own"),
        ("device=tpu", "unknown device tpu"),
        ("device=cuda:99", "device cuda:99 not found"),
        ("data.held_out_fraction=0.8", "left to train on"),
        ("epochs", "key=value"),
        ("seed=2001-99-99", "seed: "),
        ("seed=!!int foo", "not valid YAML"),
        ("seed=!!bool foo", "not valid YAML"),
        ("seed=!!float foo", "not valid YAML"),
        ("seed=" + "9" * 5000, "more than 100 digits"),
        ("seed=" + "9" * 30, "more than 64 bits"),
        ("seed=" + "[" * 50_000, "nested too deeply"),
        ("seed.a" + ".a" * 5000 + "=1", "seed: "),
        ("seed=true", "seed is true or false"),
        ("data.window_radius=true", "data.window_radius is true or false"),
    ],
)
def test_bad_setting(setting, message, tiny_dataset, tmp_path) -> None:
    options = ("-o", tmp_path / "run", "--set", setting)
    assert message in refuse(tmp_path, "reconstruct", tiny_dataset, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--poses", "guess"], "--poses"),
        (["--method", "magic"], "no method 'magic'"),
        (["--method", "static", "--start", "static"], "needs --method tempor"),
        (["--z-dim", "3", "--components", "2"], "a component for every latent dimension"),
        (["--z-dim", "0"], "--z-dim"),
        (["--epochs", "2", "--method", "linear"], "--epochs is an option of --method"),
        (["--mask", "none"], "--mask is an option of --method linear"),
        (["--no-temporal"], "--no-temporal is an option of --method linear"),
        (["--components", "many"], "components"),
        (["--metod", "static"], "Did you mean --method"),
        (["--seed", "-1"], "seed"),
        (["--seed", "x"], "--seed"),
        (["--config", "absent.yaml"], "absent.yaml: no such file"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--resume"], "is not a run"),
    ],
)
def test_bad_option(options, message, tiny_dataset, tmp_path) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", *options)
    assert message in refuse(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "'seed' occurs 2 times"),
        ("a: &a [1]\nb: [*a, *a]\n", "aliases"),
        ("# " + "long" * 300_000, "too large"),
    ],
)
def test_bad_config_file(text, message, tiny_dataset, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    options = ("-o", tmp_path / "run", "--config", tmp_path / "c.yaml")
    assert message in refuse(tmp_path, "reconstruct", tiny_dataset, *options)


def test_config_that_is_no_file(tiny_dataset, tmp_path) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    options = ("-o", tmp_path / "run", "--config", tmp_path / "c.yaml")
    assert command("reconstruct", tiny_dataset, *options).err == (
        f"error: {tmp_path / 'c.yaml'}: is not a file; expected a text file\n"
    )


@pytest.mark.parametrize("arguments", [["reconstruct"], ["reconstruct", "x"], ["evalute", "x"]])
def test_bad_command_line(arguments, tmp_path) -> None:
    refuse(tmp_path, *arguments)


def test_outputs_that_exist_are_kept(run, tiny_dataset, tiny_runs, tmp_path) -> None:
    (tmp_path / "report.html").write_text("mine")
    kept = "pass --overwrite"
    assert kept in refuse(tmp_path, "reconstruct", tiny_dataset, "-o", run)
    assert kept in refuse(tmp_path, "simulate", "toy", "-o", run)
    assert kept in refuse(tmp_path, "export", run, "-o", run)
    assert kept in refuse(tmp_path, "evaluate", run)
    assert kept in refuse(tmp_path, "report", run, "-o", tmp_path / "report.html")
    assert kept in refuse(tmp_path, "demo", "-o", run)


def test_overwrite_replaces_nothing_of_another_kind(dataset, run, tmp_path) -> None:
    other = "not replace"
    assert other in refuse(tmp_path, "reconstruct", dataset, "-o", dataset, "--overwrite")
    assert other in refuse(tmp_path, "simulate", "toy", "-o", run, "--overwrite")
    assert other in refuse(tmp_path, "export", run, "-o", dataset, "--overwrite")
    assert other in refuse(tmp_path, "demo", "-o", dataset, "--overwrite")


def test_overwrite_keeps_the_old_run_when_the_input_is_bad(dataset, run, tmp_path) -> None:
    change_pixels(dataset, set_pixel(np.nan))
    assert "NaN" in refuse(tmp_path, "reconstruct", dataset, "-o", run, "--overwrite")


def test_overwrite_replaces_a_run(tiny_dataset, run) -> None:
    options = ("-o", run, "--method", "homogeneous", "--overwrite")
    assert command("reconstruct", tiny_dataset, *options).code == 0
    assert (run / "mean.mrc").exists()
    assert not (run / "evaluation.json").exists()


def test_paths_that_cannot_be_written(tiny_dataset, tiny_runs, tmp_path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        run = tiny_runs["static"]
        assert "does not exist" in refuse(tmp_path, "reconstruct", tiny_dataset, "-o", folder / "r")
        assert "does not exist" in refuse(tmp_path, "simulate", "toy", "-o", folder / "r")
        assert "does not exist" in refuse(tmp_path, "export", run, "-o", folder / "r")
        assert "does not exist" in refuse(tmp_path, "report", run, "-o", folder / "r.html")
        assert "does not exist" in refuse(tmp_path, "demo", "-o", folder / "r")


def test_a_page_is_tried_before_runs_are_read(tmp_path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("no settings")
    page = tmp_path / "missing" / "report.html"
    assert "cannot write" in command("report", run, "-o", page).err


def test_full_disk_is_one_line_and_the_run_can_go_on(tiny_dataset, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "run/frames.star"))

    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_frame_table", full)
        result = command(*arguments, *settings(TINY_NETWORK))
    assert result.code == 2
    assert result.err.startswith(
        f"error: cannot write {tmp_path / 'run/frames.star'}: No space left on device; expected"
    )
    assert "is not finished" in refuse(tmp_path, "evaluate", tmp_path / "run")
    assert command(*arguments, "--resume").code == 0


def test_resume_with_other_settings_names_the_first_that_differs(
    tiny_dataset, run, tmp_path
) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", run, "--resume")
    message = refuse(tmp_path, *arguments, "--set", "training.epochs=9")
    assert "training.epochs = 4, but the value is now 9" in message
    assert "method = tempor, but the value is now static" in refuse(
        tmp_path, *arguments, "--method", "static"
    )


def test_checkpoint_of_another_model(run, tmp_path) -> None:
    config = (run / "config.yaml").read_text()
    for before, after, message in (
        ("generator_width: 16", "generator_width: 32", "checkpoint of another model"),
        ("method: tempor", "method: linear", "model.safetensors"),
    ):
        (run / "config.yaml").write_text(config.replace(before, after))
        assert message in refuse(tmp_path, "export", run, "-o", tmp_path / "volumes")


@pytest.mark.parametrize(
    "name", ["config.yaml", "run.json", "frames.star", "checkpoint/model.safetensors"]
)
def test_damaged_run(name, run, tmp_path) -> None:
    (run / name).write_bytes(b"{")
    assert name in refuse(tmp_path, "export", run, "-o", tmp_path / "volumes")
    (run / name).unlink()
    refuse(tmp_path, "export", run, "-o", tmp_path / "volumes")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("box", value) for value in (-16, 15, 100_000, "x", True)],
        *[("noise_scale", value) for value in (float("nan"), float("inf"), "x", 10**400)],
        *[("pixel_size_angstrom", value) for value in (None, 0, -1)],
        *[("z_dim", value) for value in (-1, 2, 100)],  # the run has 1
        *[("half_agreement", value) for value in (3, {"components_found": 1})],
        *[("latent_covariance", value) for value in (None, 1, "yes")],
        ("symmetry", {"order": -1}),
        ("half_fsc", [float("nan")]),
        ("format", "temporem run 0"),
    ],
)
def test_facts_of_a_run_that_cannot_be(name, value, run, tmp_path) -> None:
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**document, name: value}))
    message = refuse(tmp_path, "export", run, "-o", tmp_path / "volumes")
    assert f"run.json: {name}" in message or f"run.json has the {name}" in message or value == 2


@pytest.mark.parametrize("name", ["run.json", "evaluation.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[" * 100_000, "too deep"), (b"[]", "not a JSON object"), (b"\xff", "not text")],
)
def test_json_that_is_no_object(name, content, message, run, tiny_runs, tmp_path) -> None:
    (run / name).write_bytes(content)
    export = ("export", run, "-o", tmp_path / "volumes")
    compare = ("compare", tiny_runs["static"], run)
    assert message in refuse(tmp_path, *(export if name == "run.json" else compare))


def test_facts_of_a_run_that_are_a_pipe(run, tmp_path) -> None:
    (run / "run.json").unlink()
    os.mkfifo(run / "run.json")
    assert "is not a file" in command("export", run, "-o", tmp_path / "volumes").err


@pytest.mark.parametrize(
    ("column", "value"), [("temporemLatentMean1", "1e300"), ("temporemLatentSd1", "-1")]
)
def test_latents_of_a_run_that_cannot_be(column, value, run) -> None:
    columns = dict(read_star(run / "frames.star")["frames"])
    columns[column] = [columns[column][0], value, *columns[column][2:]]
    write_star(run / "frames.star", {"frames": StarTable(columns)})
    with pytest.raises(TemporemError, match=f"row 1 .*_{column} is '{value}'"):
        read_frame_table(run, 1, covariance=True)


def test_run_without_frames(run, tmp_path) -> None:
    columns = {name: [] for name in read_star(run / "frames.star")["frames"]}
    write_star(run / "frames.star", {"frames": StarTable(columns)})
    assert "has no rows" in refuse(tmp_path, "export", run, "-o", tmp_path / "volumes")


def test_export_to_resume_whose_record_is_damaged(tiny_runs, tmp_path) -> None:
    arguments = ("export", tiny_runs["static"], "-o", tmp_path / "v", "--frames", "0")
    assert command(*arguments).code == 0
    for content in ("[" * 100_000, "[]"):
        (tmp_path / "v/export.json").write_text(content)
        assert "pass --overwrite" in refuse(tmp_path, *arguments, "--resume")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1: not readable as JSON"),
        (b"\xff", "not text"),
        (b"[]", "line 1: not a JSON object"),
        (b'{"epoch": "1"}', "record 1: epoch: "),
        (b'{"epoch": 1}\n{"seconds": NaN}', "record 2: seconds: "),
        (b'{"kl": []}', "record 1: kl: "),
        (b'{"kl": NaN}', "record 1: kl: "),
    ],
)
def test_damaged_metrics(content, message, run, tmp_path) -> None:
    (run / "metrics.jsonl").write_bytes(content)
    found = refuse(tmp_path, "report", run, "-o", tmp_path / "report.html")
    assert "metrics.jsonl" in found
    assert message in found


def test_truth_that_is_not_there_or_of_other_movies(dataset, run, tmp_path) -> None:
    arguments = ("evaluate", run, "--overwrite", "--truth")
    assert "does not exist" in refuse(tmp_path, *arguments, tmp_path / "nowhere")
    shutil.rmtree(dataset / "truth")
    assert "has no folder truth" in refuse(tmp_path, *arguments, dataset)
    rewrite(dataset, "particles", lambda c: c.update(rlnMovieFrameNumber=[7, 8, 9, 10] * 5))
    assert "not a reconstruction of the frames" in refuse(
        tmp_path, "report", run, "--dataset", dataset
    )


def turned(columns: dict) -> None:
    columns["rlnAngleRot"] = [float(angle) + 90 for angle in columns["rlnAngleRot"]]


def larger_pixels(columns: dict) -> None:
    columns["rlnImagePixelSize"] = ["9"] * len(columns["rlnImagePixelSize"])


@pytest.mark.parametrize(
    ("block", "change", "message"),
    [
        ("particles", turned, "poses that differ"),  # as in a simulation of another seed
        ("optics", larger_pixels, "not a reconstruction of the frames"),
    ],
)
def test_truth_of_another_simulation(block, change, message, dataset, run, tmp_path) -> None:
    rewrite(dataset, block, change)
    assert message in refuse(tmp_path, "evaluate", run, "--overwrite", "--truth", dataset)


def test_comparisons_that_cannot_be_made(run, tiny_runs, tmp_path) -> None:
    static = tiny_runs["static"]
    assert "two or more" in refuse(tmp_path, "compare", run)
    assert "named twice" in refuse(tmp_path, "compare", run, run)
    assert "named twice" in refuse(tmp_path, "compare", run, run / "../run")
    twice = (run, run / "../run", "-o", tmp_path / "report.html")
    assert "named twice" in refuse(tmp_path, "report", *twice)
    assert "--every" in refuse(tmp_path, "evaluate", run, "--overwrite", "--every", 10**30)
    (run / "evaluation.json").unlink()
    assert "temporem evaluate" in refuse(tmp_path, "compare", static, run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--movie", "movie_9"], "no movie 'movie_9'"),
        (["--frames", "20"], "there is no row 20"),
        (["--frames", "1-x"], "not understood"),
        (["--frames", "3-1"], "not understood"),
        (["--frames", "5-3,0"], "not understood"),
        (["--frames", "1" * 5000], "not understood"),
        (["--frames", "0-99999999999"], "there is no row 20"),
        (["--movie", "movie_0002", "--frames", "5"], "from 1 to 4"),
    ],
)
def test_bad_choice_of_frames(options, message, tiny_runs, tmp_path) -> None:
    arguments = ("export", tiny_runs["static"], "-o", tmp_path / "v", *options)
    assert message in refuse(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toi"], "no preset or file 'toi'"),
        (["toy", "--set", "snrr=1"], "did you mean snr?"),
        (["toy", "--set", "box=15"], "must be even"),
        (["toy", "--set", "structure=absent.pdb"], "absent.pdb"),
        (["toy", "--set", "box=8"], "set box to"),
        (["toy", "--set", "shift_sd_angstrom=30"], "lower shift_sd_angstrom"),
        (["toy", "--set", "poses.shift_error_angstrom=1e6"], "lower poses.shift_error_angstrom"),
    ],
)
def test_bad_simulation(arguments, message, tmp_path) -> None:
    assert message in refuse(tmp_path, "simulate", *arguments, "-o", tmp_path / "d")


@pytest.mark.parametrize("given", ["model:", "model: 3", "linear:", "linear: 3"])
def test_a_section_that_is_none_is_said(given, dataset, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(f"{given}\n")
    options = ("--method", "linear", "--components", 2, "--config", tmp_path / "c.yaml")
    said = refuse(tmp_path, "reconstruct", dataset, "-o", tmp_path / "run", *options)
    assert f"{given.partition(':')[0]} is a value, not a section" in said
