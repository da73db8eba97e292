"""The linear model from dataset to finished run: outputs, resumption, gaps, bad input, learning."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from temporem.runs.linear import LinearRun
from temporem.runs.run_files import is_finished, load_run

from helpers.bad_input import (
    all_alone,
    change_pixels,
    one_frame_movie,
    refuse,
    rewrite,
    set_pixel,
)
from helpers.commands import TINY_TRAINING, command, settings, succeed
from temporem.errors import TemporemError
from temporem.frames.frames import prepare_frames
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_stack, write_volume
from temporem.io.settings import apply_overrides
from temporem.io.star import Table, read_star
from temporem.physics.fourier import FourierSupport
from temporem.report.collect import read_metrics
from temporem.runs import pipeline as run_module
from temporem.runs.config import RunConfig, build_config
from temporem.runs.decoder import Decoder
from temporem.runs.pipeline import reconstruct

BOX, PIXEL, N = 16, 8.0, 20
HINGE_FRAMES = 240
ITERATIONS = 2
QUICK = (f"linear.iterations={ITERATIONS}",)
STEPS = 2 + ITERATIONS


def fit(dataset: Path, out: Path, *options: object) -> Path:
    """A quick run of the command."""
    arguments = ("-o", out, "--method", "linear", *settings(QUICK), *options)
    succeed("reconstruct", dataset, *arguments)
    return out


def config(dataset: Path, *overrides: str) -> RunConfig:
    chosen = {"dataset": str(dataset), "method": "linear"}
    return build_config(apply_overrides(chosen, (*QUICK, *overrides)), source="test")


def frames_of(run: Path) -> Table:
    return read_star(run / "frames.star")["frames"]


def volume(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        assert float(file.voxel_size.x) == pytest.approx(PIXEL)
        return np.array(file.data)


def same_run(one: Path, other: Path) -> bool:
    names = ("frames.star", "checkpoint/model.safetensors")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("linear"))


@pytest.fixture(scope="module")
def run(tiny_dataset, folder) -> Path:
    """Two components, one movie held out, evaluated. Not to be changed."""
    options = ("--components", 2, *settings(("data.held_out_fraction=0.2",)))
    with pytest.raises(AssertionError, match="2 components asked for, and 16 frames"):
        fit(tiny_dataset, folder / "run", *options)
    path = fit(tiny_dataset, folder / "run", "--components", 1, *options[2:])
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


def keep_rows(dataset: Path, rows: list[int]) -> None:
    def change(columns: dict) -> None:
        columns |= {name: [list(column)[row] for row in rows] for name, column in columns.items()}

    rewrite(dataset, "particles", change)


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
    found = volume(tmp_path / "volumes" / "frame_000003.mrc")
    support = FourierSupport(BOX, 3)
    found, expected = (support.fft(torch.from_numpy(v)) for v in (found, expected))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_frames_have_means_deviations_and_covariances(run_of_two, tiny_dataset) -> None:
    table = frames_of(run_of_two)
    assert [name for name in table if name.startswith("temporem")] == [
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
    assert "Components: 1, of which halves of the movies, each on its own, find 1" in said
    assert "Warning" not in said
    noise = Path(shutil.copytree(tiny_dataset, tmp_path / "noise"))
    pixels = np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float32)
    write_stack(noise / "particles.mrcs", [pixels], PIXEL)
    said = succeed("reconstruct", noise, "-o", tmp_path / "of_noise", *command)
    assert "each on its own, find 0" in said
    assert "Warning: what moves in these volumes may be noise" in said
    # Networks begin with such a model, and say it too.
    more = ("training.epochs=8", "model.linear_components=1")
    network = ("--method", "static", *settings((*TINY_TRAINING, *more)))
    said = succeed("reconstruct", noise, "-o", tmp_path / "network", *network)
    assert (
        "Of 1 linear component at the start halves of the movies, each on its own, find 0" in said
    )
    assert "Warning: what moves in these volumes may be noise" in said


def test_too_few_movies_for_halves_is_said(dataset, tmp_path) -> None:
    keep_rows(dataset, list(range(12)))
    command = ("--method", "linear", "--components", 1, *settings(QUICK))
    said = succeed("reconstruct", dataset, "-o", tmp_path / "run", *command)
    assert "Components: 1; too few movies" in said


def test_chosen_components_are_in_the_configuration(automatic, run_of_two) -> None:
    scores = read_metrics(automatic)[0]["held_out_log_likelihood"]
    written = yaml.safe_load((automatic / "config.yaml").read_text())
    assert (
        written["model"]["z_dim"]
        == 1 + int(np.argmax(scores))
        == load_run(automatic).latents.shape[1]
    )
    assert written["linear"]["choose_components"]
    of_two = yaml.safe_load((run_of_two / "config.yaml").read_text())
    assert (of_two["model"]["z_dim"], of_two["linear"]["choose_components"]) == (2, False)


def test_same_seed_same_run(tiny_dataset, automatic, tmp_path) -> None:
    assert same_run(fit(tiny_dataset, tmp_path / "again"), automatic)
    assert not same_run(fit(tiny_dataset, tmp_path / "other", "--seed", 1), automatic)


def test_coordinates_are_uncorrelated_in_the_volumes(run_of_two) -> None:
    """Components are principal axes: orthogonal, the strongest first."""
    maps = load_file(run_of_two / "checkpoint" / "model.safetensors")["maps"][1:].flatten(1)
    gram = (maps @ maps.T).numpy()
    assert gram[0, 0] >= gram[1, 1] > 0
    assert abs(gram[0, 1]) < 0.05 * gram[0, 0]


def test_without_dynamics_frames_are_alone(tiny_dataset, dataset, tmp_path) -> None:
    """The same frames with every one a movie of its own."""
    options = ("--no-temporal", "--components", 1, "--mask", "none", "--focus-mask", "none")
    whole = load_run(fit(tiny_dataset, tmp_path / "whole", *options))
    assert not whole.config.linear.temporal
    rewrite(dataset, "particles", lambda c: c.update(rlnParticleName=[f"m{i}" for i in range(N)]))
    alone = load_run(fit(dataset, tmp_path / "alone", *options))
    assert alone.latents.shape == whole.latents.shape
    assert np.isfinite(alone.latents).all()


def test_order_of_rows_does_not_matter(tiny_dataset, dataset, run_of_two, tmp_path) -> None:
    order = np.random.default_rng(0).permutation(N)
    keep_rows(dataset, order.tolist())
    shuffled = load_run(fit(dataset, tmp_path / "shuffled", "--components", 2))
    expected = load_run(run_of_two)
    close = {"rtol": 0, "atol": 2e-2 * float(np.abs(expected.latents).max())}
    np.testing.assert_allclose(shuffled.latents, expected.latents[order], **close)


def test_masks_of_our_own(tiny_dataset, tmp_path) -> None:
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    ball = (x**2 + y**2 + z**2 <= 25).astype(np.float32)
    focus = ball * (x > 0)
    write_volume(tmp_path / "ball.mrc", 2 * ball, PIXEL)  # cut to 1
    write_volume(tmp_path / "focus.mrc", focus, PIXEL)
    masks = ("--mask", tmp_path / "ball.mrc", "--focus-mask", tmp_path / "focus.mrc")
    out = fit(tiny_dataset, tmp_path / "run", "--components", 1, *masks)
    np.testing.assert_array_equal(volume(out / "mask.mrc"), ball)
    np.testing.assert_array_equal(volume(out / "focus_mask.mrc"), focus)
    mean, component = load_file(out / "checkpoint" / "model.safetensors")["maps"].numpy()
    assert mean.any()
    assert not mean[ball == 0].any()
    assert component.any()
    assert not component[focus == 0].any()
    # Halves are not cut: their correlation is to tell of the data alone.
    assert volume(out / "half1.mrc")[ball == 0].any()


def test_path_of_a_mask_is_kept_whole(tiny_dataset, tmp_path, monkeypatch) -> None:
    write_volume(tmp_path / "ones.mrc", np.ones((BOX,) * 3), PIXEL)
    monkeypatch.chdir(tmp_path)
    out = fit(tiny_dataset, tmp_path / "run", "--components", 1, "--mask", "ones.mrc")
    assert load_run(out).config.linear.mask == str(tmp_path / "ones.mrc")


def test_held_out_movies_get_posteriors(run) -> None:
    loaded = load_run(run)
    assert loaded.held_out.sum() == 4
    spread = loaded.latent_covariance[loaded.held_out, 0, 0]
    assert (spread > 0).all()
    assert (spread < 1).all()
    assert loaded.latents[loaded.held_out].any()


def test_held_out_movies_teach_nothing(tiny_dataset, tmp_path) -> None:
    """Prepared images of another molecule in the movies that are held out: the same volumes."""
    movies = read_dataset(tiny_dataset)
    training, held_out = movies.movies[:4], movies.movies[4]
    settings_of_run = config(tiny_dataset, "linear.choose_components=false")
    frames = prepare_frames(movies, settings_of_run.data, None, training, torch.device("cpu"))
    images = frames.source.images.clone()
    images[held_out] = -images[held_out].roll(1, 0)
    results = []
    spoilt = replace(frames, source=replace(frames.source, images=images))
    for prepared in (frames, spoilt):
        folder = tmp_path / str(len(results))
        folder.mkdir()
        job = LinearRun(settings_of_run, prepared, training, [held_out], (None, None), folder)
        results.append(job.fit())
    one, other = results
    assert other.parameters.volumes.equal(one.parameters.volumes)
    assert other.masks.equal(one.masks)
    rows = np.concatenate(training)
    assert other.posterior.mean[rows].equal(one.posterior.mean[rows])
    assert not torch.allclose(other.posterior.mean[held_out], one.posterior.mean[held_out])


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


def test_nothing_is_predicted_without_gaps_or_without_dynamics(
    run_of_two, dataset, tmp_path
) -> None:
    assert not (run_of_two / "predicted.star").exists()
    keep_rows(dataset, [row for row in range(N) if row != 1])
    out = fit(dataset, tmp_path / "run", "--components", 1, "--no-temporal")
    assert not (out / "predicted.star").exists()


# --- a run that was stopped ---


class Killed(Exception):
    pass


def stop_after(step: int) -> Callable[[str, int, int, dict[str, float]], None]:
    def progress(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
        assert total == STEPS
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("step", range(STEPS + 1))
def test_stopped_run_ends_as_one_that_was_not(step, tiny_dataset, run_of_two, tmp_path) -> None:
    """Before the first step, after each, and after the last."""
    out = tmp_path / "run"
    two = config(tiny_dataset, "linear.choose_components=false", "model.z_dim=2")
    with pytest.raises(Killed):
        reconstruct(two, out, progress=stop_after(step))
    assert not is_finished(out)
    assert command("reconstruct", tiny_dataset, "-o", out, "--resume").code == 0
    assert same_run(out, run_of_two)
    told, expected = ([r["stage"] for r in read_metrics(path)] for path in (out, run_of_two))
    assert told == expected


def test_run_stopped_while_results_are_written_goes_on(
    tiny_dataset, automatic, tmp_path, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_frames", full)
        with pytest.raises(Killed):
            reconstruct(config(tiny_dataset), tmp_path / "run")
    assert "not finished" in refuse(tmp_path, "export", tmp_path / "run", "-o", tmp_path / "v")
    assert command("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--resume").code == 0
    assert same_run(tmp_path / "run", automatic)


def test_finished_run_is_left_alone(tiny_dataset, automatic) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", automatic, "--resume")
    assert "finished already" in command(*arguments).err + command(*arguments).out
    result = command(*arguments, "--components", "2")
    assert result.code == 2
    assert "linear.choose_components = True, and False is asked for now" in result.err


def test_checkpoint_of_networks_is_not_continued(tiny_dataset, tiny_runs, tmp_path) -> None:
    with pytest.raises(Killed):
        reconstruct(config(tiny_dataset), tmp_path / "run", progress=stop_after(1))
    shutil.rmtree(tmp_path / "run/checkpoint")
    shutil.copytree(tiny_runs["static"] / "checkpoint", tmp_path / "run/checkpoint")
    with pytest.raises(TemporemError, match="checkpoint of another kind of run"):
        reconstruct(config(tiny_dataset), tmp_path / "run", resume=True)


# --- the other commands ---


def test_exported_volumes_are_the_mean_and_what_moves(run_of_two, tmp_path) -> None:
    succeed("export", run_of_two, "-o", tmp_path / "v", "--frames", "0,7", "--deviation")
    names = {path.name for path in (tmp_path / "v").iterdir()}
    volumes = {f"frame_{row}{end}.mrc" for row in ("000000", "000007") for end in ("", "_sd")}
    assert names == {"export.json", *volumes}
    loaded = load_run(run_of_two)
    mean, *components = loaded.grid.noise_scale * loaded.generator.maps.numpy()
    difference = volume(tmp_path / "v/frame_000007.mrc") - volume(tmp_path / "v/frame_000000.mrc")
    steps = loaded.latents[7] - loaded.latents[0]
    expected = torch.from_numpy(np.einsum("j,jzyx->zyx", steps, components))
    expected = loaded.support.ifft(loaded.support.fft(expected)).numpy()
    np.testing.assert_allclose(difference, expected, rtol=0, atol=0.02 * np.abs(expected).max())
    spread = loaded.latent_covariance[7]
    variance = np.einsum("izyx,ij,jzyx->zyx", components, spread, components)
    sd = volume(tmp_path / "v/frame_000007_sd.mrc")
    np.testing.assert_allclose(sd, np.sqrt(variance.clip(0)), rtol=0, atol=1e-4 * sd.max())
    assert np.abs(mean).max() > sd.max() > 0
    succeed("export", run_of_two, "-o", tmp_path / "plain", "--frames", "0")
    assert [path.name for path in (tmp_path / "plain").glob("*.mrc")] == ["frame_000000.mrc"]


def test_downsampled_deviation_is_that_of_the_downsampled_volumes(run_of_two, tmp_path) -> None:
    options = ("--frames", "7", "--deviation", "--downsample", "8")
    succeed("export", run_of_two, "-o", tmp_path / "v", *options)
    loaded = load_run(run_of_two)
    # Four latents that have exactly the posterior covariance.
    root = np.sqrt(2) * np.linalg.cholesky(loaded.latent_covariance[7]).T
    draws = loaded.latents.copy()
    draws[:4] = loaded.latents[7] + np.concatenate([root, -root])
    rows = np.arange(4)
    volumes = Decoder(replace(loaded, latents=draws), rows, box=8).voxels(rows)
    expected = np.sqrt(np.square(volumes - volumes.mean(0)).mean(0))
    with mrcfile.open(tmp_path / "v/frame_000007_sd.mrc") as file:
        sd = np.array(file.data)
    assert sd.shape == (8, 8, 8)
    np.testing.assert_allclose(sd, expected, rtol=0, atol=1e-4 * sd.max())


def test_evaluation_and_report(run, tmp_path) -> None:
    document = json.loads((run / "evaluation.json").read_text())
    assert document["latents"]["angle_degrees"]["dimensions"] == 1
    assert document["held_out"] is not None
    succeed("report", run, "-o", tmp_path / "report.html")
    assert "linear" in (tmp_path / "report.html").read_text()


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--components", "3"], "3 components asked for, and 20 frames to train on"),
        (["--components", "0"], "model.z_dim: Input should be greater than or equal to 1"),
        (["--components", "x"], "model.z_dim: Input should be a valid integer"),
        (["--components", "1.5"], "model.z_dim"),
        (["--set", "linear.iterations=0"], "linear.iterations"),
        (["--set", "linear.iteration=1"], "did you mean linear.iterations?"),
        (["--mask", "absent.mrc"], "absent.mrc; expected an .mrc file"),
        (["--init", "linear"], "--init is an option of --method tempor"),
    ],
)
def test_bad_options(options, message, tiny_dataset, tmp_path) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "linear")
    assert message in refuse(tmp_path, *arguments, *options)


@pytest.mark.parametrize("method", ["tempor", "static", "homogeneous"])
@pytest.mark.parametrize(
    "option", ["--components 1", "--no-temporal", "--temporal", "--mask none", "--focus-mask none"]
)
def test_options_of_the_linear_model_with_another_method(
    option, method, tiny_dataset, tmp_path
) -> None:
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", method)
    message = refuse(tmp_path, *arguments, *option.split())
    name = option.split()[0]
    assert f"{name} is an option of --method linear, and the method is {method}" in message


def cut_short(path: Path) -> None:
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    path.write_bytes(path.read_bytes()[:5000])


def not_finite(path: Path) -> None:
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    path.write_bytes(path.read_bytes()[:-4] + np.float32(np.nan).tobytes())


def packed_and_cut_short(path: Path) -> None:
    values = np.random.default_rng(0).random((BOX,) * 3)
    write_volume(path, values, PIXEL)
    path.write_bytes(gzip.compress(path.read_bytes())[:9000])


def in_the_corner(path: Path) -> None:
    values = np.zeros((BOX,) * 3)
    values[0, 0, 0] = 1
    write_volume(path, values, PIXEL)


def complex_values(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(np.ones((BOX,) * 3, np.complex64))


def extended_header_of(n_bytes: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        write_volume(path, np.ones((BOX,) * 3), PIXEL)
        raw = bytearray(path.read_bytes())
        raw[92:96] = n_bytes.to_bytes(4, "little")
        path.write_bytes(gzip.compress(raw))

    return write


def with_bytes_behind(path: Path) -> None:
    write_volume(path, np.ones((BOX,) * 3), PIXEL)
    # Were all of it unpacked, this would not fit: read as far as is good, then damaged.
    packed = gzip.compress(path.read_bytes() + bytes(2**22))
    path.write_bytes(packed[: len(packed) // 2])


BAD_MASKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda p: p.mkdir(), "no mask"),
    "empty file": (lambda p: p.write_bytes(b""), "not readable"),
    "not MRC": (lambda p: p.write_text("mask" * 1000), "not readable"),
    "cut short": (cut_short, "not readable"),
    "packed and cut short": (packed_and_cut_short, "not readable"),
    "another box": (lambda p: write_volume(p, np.ones((8,) * 3), PIXEL), "8 x 8 x 8 voxels"),
    "a slice": (lambda p: write_volume(p, np.ones((1, BOX, BOX)), PIXEL), "1 x 16 x 16 voxels"),
    "NaN": (not_finite, "not finite"),
    "huge extended header": (extended_header_of(2**31 - 1), "extended header of 2147483647"),
    "extended header beyond": (extended_header_of(2**20), "fewer than the"),
    "bytes behind": (with_bytes_behind, "more than the"),
    "complex": (complex_values, "complex"),
    "empty": (lambda p: write_volume(p, np.zeros((BOX,) * 3), PIXEL), "is empty"),
    "in the corner": (in_the_corner, "is empty within the window"),
}


@pytest.mark.parametrize("option", ["--mask", "--focus-mask"])
@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_mask(case, option, tiny_dataset, tmp_path) -> None:
    write, message = BAD_MASKS[case]
    mask = tmp_path / "mask.mrc"
    write(mask)
    arguments = ("reconstruct", tiny_dataset, "-o", tmp_path / "run", "--method", "linear")
    refusal = refuse(tmp_path, *arguments, option, mask)
    assert message in refusal
    assert str(mask) in refusal


BAD_MOVIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one frame each": (lambda d: rewrite(d, "particles", all_alone), "every movie has one frame"),
    "few frames": (lambda d: keep_rows(d, [0, 1, 4, 5]), "1 component asked for, and 4 frames"),
    "one movie": (lambda d: keep_rows(d, [0, 1, 2, 3]), "movies would be left to train on"),
    "NaN": (lambda d: change_pixels(d, set_pixel(np.nan)), "row 3 (counted from 0)"),
    "infinite": (lambda d: change_pixels(d, set_pixel(np.inf)), "row 3 (counted from 0)"),
    "no poses": (
        lambda d: rewrite(d, "particles", lambda c: c.pop("rlnAngleRot")),
        "lacks _rlnAngleRot",
    ),
    "no origins": (
        lambda d: rewrite(d, "particles", lambda c: c.pop("rlnOriginXAngst")),
        "lacks _rlnOriginXAngst",
    ),
}


@pytest.mark.parametrize("case", BAD_MOVIES)
def test_bad_movies(case, dataset, tmp_path) -> None:
    spoil, message = BAD_MOVIES[case]
    spoil(dataset)
    arguments = ("reconstruct", dataset, "-o", tmp_path / "run", "--method", "linear")
    assert message in refuse(tmp_path, *arguments)


@pytest.mark.parametrize("method", ["tempor", "homogeneous"])
def test_deviation_of_a_run_without_covariance(method, tiny_runs, tmp_path) -> None:
    arguments = ("export", tiny_runs[method], "-o", tmp_path / "v", "--deviation")
    message = refuse(tmp_path, *arguments)
    assert f"--method {method}, which has no posterior covariance" in message
    assert "expected a run of --method linear" in message


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
