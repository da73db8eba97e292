"""Latents of any program, compared without a truth."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.blobs import amplitude_movies
from helpers.commands import command, settings, succeed
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.io.latent_files import read_latent_file
from temporem.physics.fourier import FourierSupport
from temporem.validation.compare import stored_validation
from temporem.validation.foreign_latents import latents_of_frames
from temporem.validation.kernel_volumes import KernelVolumes, kernel_weights
from temporem.validation.latents import compare_latents, states_of

MOVIES, LENGTH = 20, 5


@pytest.fixture(scope="module")
def moving() -> tuple[Dataset, np.ndarray]:
    data, z = amplitude_movies(movies=MOVIES, length=LENGTH, memory=0.8, snr=1.0)
    return data, z.numpy()[:, None]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_weights_are_worth_the_share_of_the_frames(share: float) -> None:
    places = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
    weights = kernel_weights(torch.cdist(places[:4], places).square(), share)
    worth = weights.sum(1).square() / weights.square().sum(1)
    torch.testing.assert_close(worth, torch.full((4,), 200 * share).double(), rtol=0.02, atol=0)
    assert (weights.argmax(1) == torch.arange(4)).all()


def test_weights_do_not_depend_on_the_scale_of_latents() -> None:
    places = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).double()
    squares = torch.cdist(places[:3], places).square()
    torch.testing.assert_close(kernel_weights(squares, 0.2), kernel_weights(1e8 * squares, 0.2))


def test_frames_of_one_latent_count_alike() -> None:
    assert (kernel_weights(torch.zeros(2, 9).double(), 0.1) == 1).all()


def test_volumes_follow_the_latents(moving) -> None:
    """The change between volumes at both ends is that which the amplitude makes."""
    data, z = moving
    frames = prepare_frames(data, DataSettings(), data.movies, torch.device("cpu"))
    support = FourierSupport(data.box, 3)

    def change(latents: np.ndarray) -> torch.Tensor:
        model = KernelVolumes(
            frames, torch.from_numpy(latents), 0.3, window_radius=0.9, towards_mean=True
        )
        low, high = support.ifft(model.volumes(support, torch.tensor([[-1.0], [1.0]])))
        return (high - low).flatten()

    true, noise = change(z), change(np.random.default_rng(0).permutation(z))
    opposite = change(-z)
    assert torch.corrcoef(torch.stack([true, opposite]))[0, 1] < -0.9
    assert true.norm() > 2 * noise.norm()


def test_true_latents_explain_unseen_movies_and_invented_ones_do_not(moving) -> None:
    data, z = moving
    random = np.random.default_rng(0)
    found, parts = compare_latents(
        data, {"true": z, "bent": np.tanh(z) ** 3, "invented": random.normal(size=(len(z), 2))}
    )
    assert found.latents["true"].explains
    assert not found.latents["invented"].explains
    assert found.advantages["invented"].high < 0
    assert abs(found.advantages["bent"].value) < 0.3 * found.latents["true"].gain
    correlation = {n: f.regions["moving"].correlation for n, f in found.latents.items()}
    assert correlation["true"] > 0.5 > correlation["invented"]
    assert "explain nothing" in " ".join(found.sentences())
    assert "invented explains less than true" in found.sentences()[-1]
    assert {len(row) for row in found.rows().values()} == {3}
    assert parts["true"].agreement.maps.shape == (2, 10, 16, 16, 16)


def test_states_are_in_order_and_no_more_than_there_are() -> None:
    z = np.repeat([[3.0], [1.0], [2.0]], 5, axis=0)
    chosen, place = states_of(z)
    assert len(chosen) == 3
    assert (np.diff(place) > 0).all()


def test_latents_of_other_frames_are_refused(moving) -> None:
    data, z = moving
    with pytest.raises(TemporemError, match="a row for each frame"):
        compare_latents(data, {"few": z[:-1]})
    with pytest.raises(TemporemError, match="not finite"):
        compare_latents(data, {"nan": np.full_like(z, np.nan)})
    with pytest.raises(TemporemError, match="at least 6"):
        compare_latents(replace(data, movies=data.movies[:4]), {"true": z})


# --- files ---


def in_formats(folder: Path, z: np.ndarray) -> dict[str, Path]:
    """The same latents as each program writes them."""
    files = {name: folder / f"z.{name}" for name in ("pkl", "npy", "npz", "cs", "csv")}
    with files["pkl"].open("wb") as file:  # cryoDRGN: means, then log-variances
        pickle.dump(z.astype(np.float32), file)
        pickle.dump(np.zeros_like(z), file)
    np.save(files["npy"], z)
    np.savez(files["npz"], z=z, other=np.zeros(3))
    columns = [
        ("uid", "<u8"),
        ("components_mode_1/value", "<f4"),
        ("components_mode_0/value", "<f4"),
    ]
    table = np.zeros(len(z), dtype=columns)
    table["uid"] = np.arange(len(z))
    table["components_mode_0/value"], table["components_mode_1/value"] = z.T
    with files["cs"].open("wb") as file:
        np.save(file, table)
    lines = ["z2,note,z1", *(f"{b},x,{a}" for a, b in z.tolist())]
    files["csv"].write_text("\n".join(lines))
    return files


def test_every_format_gives_the_same_latents(tmp_path) -> None:
    z = np.random.default_rng(0).normal(size=(7, 2)).round(3)
    for path in in_formats(tmp_path, z).values():
        np.testing.assert_allclose(read_latent_file(path).values, z, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("z.txt", b"1 2", "unknown ending"),
        ("z.pkl", b"junk", "no pickle"),
        ("z.npy", b"junk", "cannot read"),
        ("z.csv", b"a,b\n1,2\n", "no latents"),
        ("z.csv", b"z1\nnan\n", "z1"),
        ("z.star", b"data_frames\nloop_\n_rlnX\n1\n", "no latents"),
    ],
)
def test_files_that_hold_no_latents_are_refused(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TemporemError, match=message):
        read_latent_file(path)


def test_a_pickle_that_runs_code_is_refused(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    path = tmp_path / "z.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(TemporemError, match="may run any code"):
        read_latent_file(path)


@pytest.fixture(scope="module")
def movies(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("latents") / "movies"
    tiny = ("movies=8", "frames_per_movie=4", "box=16", "pixel_size_angstrom=8", "snr=1")
    succeed("simulate", "toy-free", "-o", path, *settings(tiny))
    return path


def imported(movies: Path, tmp_path: Path, source: np.ndarray) -> Dataset:
    """The dataset as if its rows came from rows of another file."""
    path = tmp_path / "movies"
    path.mkdir()
    lines = (movies / "particles.star").read_text().splitlines()
    start = lines.index("data_particles")
    names = [i for i, line in enumerate(lines) if i > start and line.startswith("_")]
    rows = [i for i, line in enumerate(lines) if i > names[-1] and line.strip()]
    for row, number in zip(rows, source.tolist(), strict=True):
        lines[row] += f" {number}"
    lines.insert(names[-1] + 1, f"_temporemSourceRow #{len(names) + 1}")
    (path / "particles.star").write_text("\n".join(lines) + "\n")
    (path / "particles.mrcs").write_bytes((movies / "particles.mrcs").read_bytes())
    return read_dataset(path)


def test_rows_in_either_order_must_be_told(movies, tmp_path) -> None:
    data = read_dataset(movies)
    n = data.n_frames
    z = np.arange(n, dtype=float)[:, None]
    np.save(tmp_path / "z.npy", z)
    np.testing.assert_array_equal(latents_of_frames(data, tmp_path / "z.npy"), z)
    source = np.arange(n)[::-1].copy()
    other = imported(movies, tmp_path, source)
    with pytest.raises(TemporemError, match="--rows dataset or --rows source"):
        latents_of_frames(other, tmp_path / "z.npy")
    np.testing.assert_array_equal(latents_of_frames(other, tmp_path / "z.npy", "dataset"), z)
    found = latents_of_frames(other, tmp_path / "z.npy", "source")
    np.testing.assert_array_equal(found, z[source])
    np.save(tmp_path / "more.npy", np.arange(n + 5.0)[:, None])
    np.testing.assert_array_equal(latents_of_frames(other, tmp_path / "more.npy"), z[source])
    with pytest.raises(TemporemError, match="a row for every frame"):
        latents_of_frames(data, tmp_path / "more.npy")


def turn_frames(path: Path) -> None:
    """Write other poses into a STAR file."""
    lines = path.read_text().splitlines()
    place = int(next(line.split("#")[1] for line in lines if line.startswith("_rlnAngleRot"))) - 1
    for i, line in enumerate(lines):
        values = line.split()
        if len(values) > place and "@" in line:
            values[place] = str(float(values[place]) + 40)
            lines[i] = " ".join(values)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.integration
def test_the_command_compares_files_and_runs(movies, tmp_path) -> None:
    run = tmp_path / "run"
    linear = settings(("linear.components=1", "linear.iterations=1"))
    succeed("reconstruct", movies, "-o", run, "--method", "linear", *linear)
    noise = tmp_path / "noise.npy"
    np.save(noise, np.random.default_rng(0).normal(size=(read_dataset(movies).n_frames, 2)))
    out = tmp_path / "out"
    said = succeed("latents", movies, run, noise, "-o", out)
    assert "Gain on unseen movies" in said
    assert "run: the latents explain" in said
    found = json.loads((out / "latents.json").read_text())
    assert list(found["latents"]) == ["run", "noise"]
    assert (out / "latents2/half1_state_01.mrc").is_file()
    assert "Next: temporem report" in said
    # What was found of a run lies in its folder, where the report looks for it.
    kept = stored_validation(run).latents
    assert kept is not None
    assert kept.model_dump(mode="json") == found
    again = command("latents", movies, run, noise)
    assert again.code == 2
    assert "validation/latents.json exists" in again.err
    other = Path(shutil.copytree(movies, tmp_path / "other"))
    turn_frames(other / "particles.star")
    said = succeed("latents", other, run, "--overwrite")
    assert f"Not kept in {run}" in said
    assert stored_validation(run).latents == kept
    again = command("latents", movies, noise, "-o", out)
    assert again.code == 2
    assert "exists" in again.err
    numbers = json.loads(succeed("latents", movies, noise, "--json"))
    assert numbers["baseline"] == "noise"
    short = tmp_path / "short.npy"
    np.save(short, np.zeros((3, 1)))
    failed = command("latents", movies, short)
    assert failed.code == 2
    assert "latents of 3 particles" in failed.err
    assert failed.err.count("\n") == 1
