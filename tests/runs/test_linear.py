"""The command for the linear model: what it writes and says, and what other commands make of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
import yaml

from helpers.bad_input import keep_rows, one_frame_movie, refuse, rewrite
from helpers.commands import TINY_TRAINING, command, settings, succeed
from helpers.runs import volume_of_row
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_stack, write_volume
from temporem.io.star import StarTable, read_star
from temporem.physics.fourier import FourierSupport
from temporem.runs.decoder import Decoder
from temporem.runs.facts import read_facts
from temporem.runs.persistence import read_metrics
from temporem.runs.run import load_run

pytestmark = pytest.mark.integration

BOX, PIXEL, N = 16, 8.0, 20
HINGE_FRAMES = 240
ITERATIONS = 2
QUICK = (f"linear.iterations={ITERATIONS}",)


def fit(dataset: Path, out: Path, *options: object) -> Path:
    """A quick run of the command."""
    arguments = ("-o", out, "--method", "linear", *settings(QUICK), *options)
    succeed("reconstruct", dataset, *arguments)
    return out


def frames_of(run: Path) -> StarTable:
    return read_star(run / "frames.star")["frames"]


def volume(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        assert float(file.voxel_size.x) == pytest.approx(PIXEL)
        return np.array(file.data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("linear"))


@pytest.fixture(scope="module")
def run(tiny_dataset, folder) -> Path:
    """One component, one movie held out, evaluated. Not to be changed."""
    options = ("--components", 1, *settings(("data.held_out_fraction=0.2",)))
    path = fit(tiny_dataset, folder / "run", *options)
    succeed("evaluate", path)
    return path


@pytest.fixture(scope="module")
def run_of_two(tiny_dataset, folder) -> Path:
    """Two components, all movies. Not to be changed."""
    return fit(tiny_dataset, folder / "two", "--components", 2)


@pytest.fixture(scope="module")
def automatic(tiny_dataset, folder) -> Path:
    """As many components as held-out movies ask for. Not to be changed."""
    return fit(tiny_dataset, folder / "automatic")


@pytest.fixture(scope="module")
def hinge_dataset(folder) -> Path:
    """Thirty movies of eight frames in a lot of noise, enough to learn from. Not to be changed."""
    size = ("movies=30", "frames_per_movie=8", "box=24", "pixel_size_angstrom=5.3", "snr=0.3")
    succeed("simulate", "toy", "-o", folder / "hinge", *settings(size))
    return folder / "hinge"


@pytest.fixture
def dataset(tiny_dataset, tmp_path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "movies"))


# --- what a run is ---


def test_files_of_a_run(run_of_two) -> None:
    names = {path.name for path in run_of_two.iterdir()}
    components = {f"{of}component{j}.mrc" for of in ("", "half1_", "half2_") for j in (1, 2)}
    maps = {"mean.mrc", "half1.mrc", "half2.mrc", "mask.mrc", "focus_mask.mrc", *components}
    others = {"config.yaml", "dataset.sha256", "metrics.jsonl", "run.json"}
    others |= {"frames.star", "checkpoint"}
    assert names == maps | others
    for name in maps:
        found = volume(run_of_two / name)
        assert found.shape == (BOX,) * 3
        assert np.isfinite(found).all()
        assert found.any()
    for name in ("mask.mrc", "focus_mask.mrc"):
        found = volume(run_of_two / name)
        assert found.min() == 0
        assert 0.9 < found.max() <= 1
    halves = [volume(run_of_two / f"half{half}.mrc").ravel() for half in (1, 2)]
    assert np.corrcoef(halves)[0, 1] > 0.85  # ten frames each
    assert not np.allclose(*halves)


def test_the_volume_of_a_frame_is_the_mean_and_so_much_of_every_component(run_of_two, tmp_path):
    """At the frequencies inside the Nyquist ball, which a volume of a frame has."""
    succeed("export", run_of_two, "--frames", 3, "-o", tmp_path / "volumes")
    z = load_run(run_of_two).latents[3]
    parts = [volume(run_of_two / f"{name}.mrc") for name in ("mean", "component1", "component2")]
    expected = parts[0] + z[0] * parts[1] + z[1] * parts[2]
    found = volume(volume_of_row(tmp_path / "volumes", 3))
    support = FourierSupport(BOX, 3)
    found, expected = (support.fft(torch.from_numpy(v)) for v in (found, expected))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_frames_have_means_deviations_and_covariances(run_of_two, tiny_dataset) -> None:
    table = frames_of(run_of_two)
    assert [name for name in table if name.startswith("temporem")] == [
        "temporemTimeSeconds",
        "temporemLatentMean1",
        "temporemLatentMean2",
        "temporemLatentSd1",
        "temporemLatentSd2",
        "temporemLatentCovariance1_2",
        "temporemHeldOut",
    ]
    loaded, movies = load_run(run_of_two), read_dataset(tiny_dataset)
    loaded.require_frames_of(movies)
    assert loaded.latents.shape == (N, 2)
    assert loaded.latent_covariance.shape == (N, 2, 2)
    values = np.linalg.eigvalsh(loaded.latent_covariance)
    assert (values > 0).all()
    assert (values < 1.001).all()  # images only ever tell more than the prior
    np.testing.assert_allclose(
        loaded.latent_covariance[:, 0, 1], table.floats("temporemLatentCovariance1_2"), rtol=1e-5
    )


def test_metrics_tell_of_every_step(run_of_two, automatic) -> None:
    records = read_metrics(run_of_two)
    assert [record["stage"] for record in records] == ["start", "halves"] + ["joint"] * ITERATIONS
    assert records[0]["components"] == 2
    assert "held_out_log_likelihood" not in records[0]
    assert np.shape(records[1]["half_fsc"])[0] == 3
    agreement = records[0]["half_agreement"]
    assert [len(agreement[k]) for k in ("correlations", "chance", "chance_sd")] == [2, 2, 2]
    assert 0 <= agreement["components_found"] <= 2
    joint = records[2:]
    assert [record["iteration"] for record in joint] == [1, 2]
    assert joint[1]["objective"] >= joint[0]["objective"]
    scores = read_metrics(automatic)[0]["held_out_log_likelihood"]
    assert len(scores) == 2  # ten frames for each
    assert np.isfinite(scores).all()


def test_what_halves_find_is_said_and_noise_warned_of(
    hinge_dataset, tiny_dataset, tmp_path
) -> None:
    """The hinge is found again; of images that are noise alone nothing is."""
    command = ("--method", "linear", "--components", 1, *settings(QUICK))
    said = succeed("reconstruct", hinge_dataset, "-o", tmp_path / "hinge", *command)
    assert "Components: 1. Two halves of the movies, each fitted on its own, agree on 1" in said
    assert "Warning" not in said
    noise = Path(shutil.copytree(tiny_dataset, tmp_path / "noise"))
    pixels = np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float32)
    write_stack(noise / "particles.mrcs", [pixels], PIXEL)
    said = succeed("reconstruct", noise, "-o", tmp_path / "of_noise", *command)
    assert "each fitted on its own, agree on 0" in said
    assert "Warning: the motion in these volumes may be noise" in said
    # Networks begin with such a model, and say it too.
    network = ("--method", "static", *settings((*TINY_TRAINING, *QUICK, "training.epochs=1")))
    said = succeed("reconstruct", noise, "-o", tmp_path / "network", *network, "--components", 1)
    assert "Components of the warm start: 1. Two halves of the movies, each fitted" in said
    assert "Warning: the motion in these volumes may be noise" in said


def test_too_few_movies_for_halves_is_said(dataset, tmp_path) -> None:
    keep_rows(dataset, list(range(12)))
    command = ("--method", "linear", "--components", 1, *settings(QUICK))
    said = succeed("reconstruct", dataset, "-o", tmp_path / "run", *command)
    assert "Components: 1. There are too few movies" in said


def test_chosen_components_are_the_most_that_beat_one(automatic, run_of_two) -> None:
    scores = read_metrics(automatic)[0]["held_out_log_likelihood"]
    chosen = 1 + int(np.flatnonzero(np.array(scores) >= scores[0])[-1])
    assert read_facts(automatic).components == chosen == load_run(automatic).latents.shape[1]
    written = yaml.safe_load((automatic / "config.yaml").read_text())
    assert written["linear"]["components"] == "auto"
    assert read_facts(run_of_two).components == 2


def test_same_seed_same_run(tiny_dataset, run, tmp_path) -> None:
    options = ("--components", 1, *settings(("data.held_out_fraction=0.2",)))
    for seed in (0, 1):
        again = fit(tiny_dataset, tmp_path / str(seed), *options, "--seed", seed)
        for name in ("frames.star", "checkpoint/model.safetensors"):
            assert ((again / name).read_bytes() == (run / name).read_bytes()) == (seed == 0)


def test_finished_run_is_left_alone(tiny_dataset, automatic) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", automatic, "--resume")
    assert "nothing to resume" in succeed(*arguments)
    result = command(*arguments, "--components", "2")
    assert result.code == 2
    assert "linear.components = auto, but the value is now 2" in result.err


def test_without_dynamics_frames_are_alone(tiny_dataset, dataset, tmp_path) -> None:
    """The same frames with every one a movie of its own."""
    options = ("--no-temporal", "--components", 1, "--mask", "none", "--focus-mask", "none")
    whole = load_run(fit(tiny_dataset, tmp_path / "whole", *options))
    assert not whole.config.linear.temporal
    rewrite(dataset, "particles", lambda c: c.update(rlnParticleName=[f"m{i}" for i in range(N)]))
    alone = load_run(fit(dataset, tmp_path / "alone", *options))
    assert alone.latents.shape == whole.latents.shape
    assert np.isfinite(alone.latents).all()


def test_masks_of_our_own(tiny_dataset, tmp_path, monkeypatch) -> None:
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    ball = (x**2 + y**2 + z**2 <= 25).astype(np.float32)
    focus = ball * (x > 0)
    write_volume(tmp_path / "ball.mrc", 2 * ball, PIXEL)  # cut to 1
    write_volume(tmp_path / "focus.mrc", focus, PIXEL)
    monkeypatch.chdir(tmp_path)
    masks = ("--mask", "ball.mrc", "--focus-mask", tmp_path / "focus.mrc")
    out = fit(tiny_dataset, tmp_path / "run", "--components", 1, *masks)
    assert load_run(out).config.linear.mask == str(tmp_path / "ball.mrc")
    np.testing.assert_array_equal(volume(out / "mask.mrc"), ball)
    np.testing.assert_array_equal(volume(out / "focus_mask.mrc"), focus)
    mean, component = load_run(out).generator.maps.numpy()
    assert mean.any()
    assert not mean[ball == 0].any()
    assert component.any()
    assert not component[focus == 0].any()
    # Halves are not cut: their correlation is to tell of the data alone.
    assert volume(out / "half1.mrc")[ball == 0].any()


def test_held_out_movies_get_posteriors(run) -> None:
    loaded = load_run(run)
    assert loaded.held_out.sum() == 4
    spread = loaded.latent_covariance[loaded.held_out, 0, 0]
    assert (spread > 0).all()
    assert (spread < 1).all()
    assert loaded.latents[loaded.held_out].any()


def test_movies_of_one_frame_among_longer_ones(dataset, tmp_path) -> None:
    rewrite(dataset, "particles", one_frame_movie)
    loaded = load_run(fit(dataset, tmp_path / "run", "--components", 1))
    assert np.isfinite(loaded.latents).all()
    assert (loaded.latent_covariance > 0).all()


# --- frames that are missing ---


def test_frames_that_are_missing_are_predicted(hinge_dataset, tmp_path) -> None:
    """Frames 4 of ten movies, and 2 and 3 of another, from those around them."""
    path = Path(shutil.copytree(hinge_dataset, tmp_path / "movies"))
    missing = [8 * movie + 3 for movie in range(10)] + [81, 82]
    keep_rows(path, [row for row in range(HINGE_FRAMES) if row not in missing])
    out = fit(path, tmp_path / "run", "--components", 2)
    table = read_star(out / "predicted.star")["frames"]
    names, numbers = table.strings("rlnParticleName"), table.ints("rlnMovieFrameNumber")
    expected = [(f"movie_{movie:04d}", 4) for movie in range(1, 11)]
    assert list(zip(names, numbers, strict=True)) == [
        *expected,
        ("movie_0011", 2),
        ("movie_0011", 3),
    ]
    mean, sd = (
        np.stack([table.floats(f"temporemLatent{what}{j}") for j in (1, 2)], axis=1)
        for what in ("Mean", "Sd")
    )
    assert "temporemLatentCovariance1_2" in table
    found = load_run(out)
    around, certain = [], []
    for name, number in zip(names[:10], numbers[:10], strict=True):
        rows = found.rows_of_movie(name)
        near = rows[np.abs(found.frame_numbers[rows] - number) == 1]
        assert len(near) == 2
        variance = found.latent_covariance[near].diagonal(axis1=1, axis2=2)
        certain.append(np.sqrt(variance).mean(axis=0))
        around.append(found.latents[near].mean(axis=0))
    assert np.corrcoef(np.ravel(around), mean[:10].ravel())[0, 1] > 0.95
    # On average: two frames that say little in different ways say more of what is between them.
    assert sd[:10].mean() > np.mean(certain)
    assert (sd <= 1.001).all()


def test_nothing_is_predicted_without_gaps(run_of_two) -> None:
    assert not (run_of_two / "predicted.star").exists()


# --- the other commands ---


def test_exported_volumes_are_the_mean_and_what_moves(run_of_two, tmp_path) -> None:
    succeed("export", run_of_two, "-o", tmp_path / "v", "--frames", "0,7", "--deviation")
    names = {path.name for path in (tmp_path / "v").iterdir()}
    files = [volume_of_row(tmp_path / "v", row, end) for row in (0, 7) for end in ("", "_sd")]
    assert names == {"export.json", *(file.name for file in files)}
    loaded = load_run(run_of_two)
    mean, *components = loaded.grid.noise_scale * loaded.generator.maps.numpy()
    difference = volume(volume_of_row(tmp_path / "v", 7)) - volume(volume_of_row(tmp_path / "v", 0))
    steps = loaded.latents[7] - loaded.latents[0]
    expected = torch.from_numpy(np.einsum("j,jzyx->zyx", steps, components))
    expected = loaded.support.ifft(loaded.support.fft(expected)).numpy()
    np.testing.assert_allclose(difference, expected, rtol=0, atol=0.02 * np.abs(expected).max())
    spread = loaded.latent_covariance[7]
    variance = np.einsum("izyx,ij,jzyx->zyx", components, spread, components)
    sd = volume(volume_of_row(tmp_path / "v", 7, "_sd"))
    np.testing.assert_allclose(sd, np.sqrt(variance.clip(0)), rtol=0, atol=1e-4 * sd.max())
    assert np.abs(mean).max() > sd.max() > 0
    succeed("export", run_of_two, "-o", tmp_path / "plain", "--frames", "0")
    assert [*(tmp_path / "plain").glob("*.mrc")] == [volume_of_row(tmp_path / "plain", 0)]


def test_downsampled_deviation_is_that_of_the_downsampled_volumes(run_of_two, tmp_path) -> None:
    options = ("--frames", "7", "--deviation", "--downsample", "8")
    succeed("export", run_of_two, "-o", tmp_path / "v", *options)
    loaded = load_run(run_of_two)
    # Four latents that have exactly the posterior covariance.
    root = np.sqrt(2) * np.linalg.cholesky(loaded.latent_covariance[7]).T
    draws = loaded.latents.copy()
    draws[:4] = loaded.latents[7] + np.concatenate([root, -root])
    rows = np.arange(4)
    volumes = Decoder(replace(loaded, latent_means=torch.from_numpy(draws)), rows, box=8).voxels(
        rows
    )
    expected = np.sqrt(np.square(volumes - volumes.mean(0)).mean(0))
    with mrcfile.open(volume_of_row(tmp_path / "v", 7, "_sd")) as file:
        sd = np.array(file.data)
    assert sd.shape == (8, 8, 8)
    np.testing.assert_allclose(sd, expected, rtol=0, atol=1e-4 * sd.max())


def test_evaluation_and_report(run, tmp_path) -> None:
    document = json.loads((run / "evaluation.json").read_text())
    assert document["latents"]["angle_degrees"]["dimensions"] == 1
    assert document["held_out"] is not None
    succeed("report", run, "-o", tmp_path / "report.html")
    assert "linear" in (tmp_path / "report.html").read_text()


def test_frames_without_covariance_are_a_damaged_run(run_of_two, tmp_path) -> None:
    run = Path(shutil.copytree(run_of_two, tmp_path / "run"))
    text = (run / "frames.star").read_text()
    (run / "frames.star").write_text(text.replace("Covariance1_2", "Covariance1_3"))
    message = refuse(tmp_path, "export", run, "-o", tmp_path / "v")
    assert "lacks _temporemLatentCovariance1_2" in message


# --- learning ---


def test_hinge_is_learned_and_time_helps(hinge_dataset, tmp_path) -> None:
    latents, motion = {}, {}
    for option in ("--temporal", "--no-temporal"):
        out = tmp_path / option.strip("-")
        options = ("-o", out, "--method", "linear", "--components", 2, option)
        succeed("reconstruct", hinge_dataset, *options)
        succeed("evaluate", out)
        document = json.loads((out / "evaluation.json").read_text())
        latents[option] = document["latents"]["angle_degrees"]["r2"]["value"]
        motion[option] = document["motion"]["particle"]["correlation"]["value"]
    assert latents["--temporal"] > 0.8
    assert motion["--temporal"] > 0.6
    assert latents["--temporal"] > latents["--no-temporal"] + 0.05
    assert motion["--temporal"] > motion["--no-temporal"]
