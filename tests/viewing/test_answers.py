"""What the server answers to its own page."""

from __future__ import annotations

import base64
import io
import json
import shlex
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from helpers.asgi import Answer, ask, document
from helpers.commands import command, succeed
from temporem.frames.dataset import group_movies
from temporem.frames.readers import read_dataset
from temporem.io.star import read_star
from temporem.runs.run import Run, load_run
from temporem.simulation.truth import read_truth
from temporem.viewing.answers import make_app
from temporem.viewing.gallery import Gallery
from temporem.viewing.meshes import Mesh
from temporem.viewing.pictures import FrameImages
from temporem.viewing.sources import open_sources


@pytest.fixture(scope="module")
def app(gallery: Gallery) -> Starlette:
    return make_app(gallery)


@pytest.fixture(scope="module")
def run(linear_run: Path) -> Run:
    return load_run(linear_run)


def mesh(app: Starlette, query: str) -> Mesh:
    answer = ask(app, f"/mesh?{query}")
    assert answer.status == 200, answer.body
    return Mesh.from_bytes(answer.body)


def test_movies_are_those_of_the_dataset(app, run, tiny_dataset) -> None:
    dataset = read_dataset(tiny_dataset)
    described = document(app, "/describe")
    assert [movie["frames"] for movie in described["movies"]] == [4] * 5
    assert [panel["kind"] for panel in described["panels"]] == ["linear", "truth"]
    for index, rows in enumerate(dataset.movies):
        found = document(app, f"/movie?movie={index}")
        assert found["rows"] == rows.tolist()
        assert found["name"] == dataset.particle_names[rows[0]]
        np.testing.assert_allclose(found["times"], dataset.times_seconds[rows])


def test_surface_lies_where_the_volume_has_the_level(app, gallery, run) -> None:
    """Of every frame: the volume of its row, at its level."""
    levels = gallery.panels[0].levels
    for frame in (0, 3):
        row = gallery.panels[0].row(2, frame)
        volume = run.voxels(np.array([row]))[0]
        found = mesh(app, f"panel=0&movie=2&frame={frame}&level={levels.start}")
        inside = volume > levels.value(levels.start)
        voxels = np.argwhere(inside)[:, ::-1] - run.grid.box // 2
        extent = np.abs(found.positions_angstrom.max(0) / run.grid.pixel_size_angstrom)
        np.testing.assert_allclose(extent, voxels.max(0), atol=1.0)


def test_motion_is_where_frames_differ(app, gallery) -> None:
    levels = gallery.panels[1].levels
    found = mesh(app, f"panel=1&movie=0&frame=0&level={levels.start}")
    assert found.amplitude.max() > 0.5
    assert found.amplitude.min() < 0.1


def test_levels_are_rounded_so_that_neighbours_are_kept(app) -> None:
    one = ask(app, "/mesh?panel=0&movie=0&frame=0&level=3").body
    assert ask(app, "/mesh?panel=0&movie=0&frame=0&level=3.01").body == one
    assert ask(app, "/mesh?panel=0&movie=0&frame=0&level=3.25").body != one


def test_latents_come_back_as_they_are(app, run) -> None:
    found = document(app, "/latents?panel=0")
    assert found["names"] == ["z1", "z2", "PC1", "PC2"]
    values = np.array([np.frombuffer(base64.b64decode(v), "<f4") for v in found["values"]])
    np.testing.assert_allclose(values[:2].T, run.latents)
    assert found["predicted"] is None  # no frame is missing
    deviations = np.array([np.frombuffer(base64.b64decode(v), "<f4") for v in found["deviations"]])
    covariance = run.latent_covariance
    np.testing.assert_allclose(deviations[0] ** 2, covariance[:, 0, 0], rtol=1e-5)
    assert np.var(values[2]) >= np.var(values[3])
    assert np.cov(values[2:])[0, 1] == pytest.approx(0, abs=1e-5)
    assert found["state"]["name"] == "angle degrees"


def test_frames_that_a_movie_lacks_lie_between_those_around_them(run_with_gaps: Path) -> None:
    gaps = make_app(Gallery(open_sources([run_with_gaps])))
    found = document(gaps, "/latents?panel=0")["predicted"]
    movie = np.frombuffer(base64.b64decode(found["movie"]), "<u4")
    place, seconds, z1, sd = (
        np.frombuffer(base64.b64decode(text), "<f4")
        for text in (found["place"], found["seconds"], found["values"][0], found["deviations"][0])
    )
    table = read_star(run_with_gaps / "predicted.star")["frames"]
    np.testing.assert_array_equal(z1, table.floats("temporemLatentMean1").astype("f4"))
    np.testing.assert_allclose(sd, table.floats("temporemLatentSd1"), rtol=1e-5)
    run = load_run(run_with_gaps)
    names = table.strings("rlnParticleName")
    assert len(names) > 3
    for i, number in enumerate(table.ints("rlnMovieFrameNumber")):
        rows = run.rows_of_movie(names[i])
        before = int((run.frame_numbers[rows] < number).sum()) - 1
        assert before < place[i] < before + 1
        times = run.times_seconds[rows] - run.times_seconds[rows[0]]
        assert times[before] < seconds[i] < times[before + 1]
        own = group_movies(run.particle_names, run.frame_numbers)[movie[i]]
        assert run.particle_names[own[0]] == names[i]


def test_path_through_the_latents_of_frames_shows_their_volumes(app, gallery, run) -> None:
    rows = [gallery.panels[0].row(0, frame) for frame in (0, 3)]
    text = ";".join(",".join(f"{v:.9g}" for v in run.latents[row]) for row in rows)
    path = document(app, f"/path?panel=0&points={text}")
    assert len(path["labels"]) == 2
    assert path["caution"] is None
    level = gallery.panels[0].levels.start
    for step, frame in enumerate((0, 3)):
        along = mesh(app, f"panel=0&path={path['id']}&frame={step}&level={level}")
        of_frame = mesh(app, f"panel=0&movie=0&frame={frame}&level={level}")
        np.testing.assert_allclose(along.positions_angstrom, of_frame.positions_angstrom, atol=0.01)
    single = mesh(app, f"panel=0&z={text.split(';')[0]}&level={level}")
    of_frame = mesh(app, f"panel=0&movie=0&frame=0&level={level}")
    np.testing.assert_allclose(single.positions_angstrom, of_frame.positions_angstrom, atol=0.01)


def test_path_far_from_the_data_has_a_caution(app) -> None:
    assert "where no frame is" in document(app, "/path?panel=0&points=0,0;900,0")["caution"]


@pytest.mark.parametrize(
    "points", ["", "0", "0,0,0", "0,x", "nan,0", "1e40,0", ";", "0,0;" * 300 + "0,0"]
)
def test_paths_that_are_none_are_refused(app, points) -> None:
    for address in (f"/path?panel=0&points={points}", f"/mesh?panel=0&level=3&z={points}"):
        answer = ask(app, address)
        assert answer.status == 400
        assert json.loads(answer.body)["error"]


def test_run_without_latents_says_so(app) -> None:
    assert ask(app, "/latents?panel=1").status == 400
    assert ask(app, "/pictures?panel=1&movie=0&frame=0").status == 400


def test_prediction_of_the_truth_is_the_noise_free_image(tiny_dataset, run) -> None:
    """The forward model of the page is that of the simulation: what is left is noise alone."""
    from dataclasses import replace

    from temporem.volumes.linear_volumes import LinearVolumes

    truth, dataset = read_truth(tiny_dataset), read_dataset(tiny_dataset)
    for row in (0, 7):
        generator = LinearVolumes(truth.config.box, 0)
        volume = truth.support.ifft(truth.volumes([row]))[0] / run.grid.noise_scale
        generator.set_mean(volume)
        true_run = replace(
            run,
            generator=generator,
            latent_means=run.latent_means[:, :0],
            poses=truth.poses,
        )
        found = FrameImages(true_run).of(row)
        np.testing.assert_allclose(found.observed, dataset.images[row : row + 1][0])
        assert found.residual.var() == pytest.approx(truth.noise_variance, rel=0.25)
        assert found.observed.var() > 1.5 * truth.noise_variance
        assert found.correlation > 0.6


def test_pictures_are_drawn(app) -> None:
    found = document(app, "/pictures?panel=0&movie=0&frame=1")
    for name in ("observed", "predicted", "residual"):
        image = Image.open(io.BytesIO(base64.b64decode(found[name])))
        assert image.size == (16, 16)
        assert np.asarray(image).std() > 5
    assert found["correlation"] > 0.3


def test_volume_is_that_of_export(app, run, linear_run, tmp_path) -> None:
    answer = ask(app, "/volume.mrc?panel=0&movie=1&frame=2")
    name = answer.headers["content-disposition"].split('"')[1]
    (tmp_path / name).write_bytes(answer.body)
    movie = document(app, "/movie?movie=1")
    succeed("export", linear_run, "--movie", movie["name"], "-o", tmp_path / "volumes")
    with (
        mrcfile.open(tmp_path / name) as found,
        mrcfile.open(tmp_path / "volumes" / name) as wanted,
    ):
        np.testing.assert_allclose(found.data, wanted.data, atol=1e-4 * np.abs(wanted.data).max())
        assert found.voxel_size.x == wanted.voxel_size.x


def test_volume_of_a_path_and_of_a_truth(app, run) -> None:
    path = document(app, "/path?panel=0&points=0,0;1,0")
    assert ask(app, f"/volume.mrc?panel=0&path={path['id']}&frame=1").status == 200
    assert ask(app, f"/volume.mrc?panel=0&path={path['id']}&frame=2").status == 400
    assert ask(app, "/volume.mrc?panel=1&movie=0&frame=0").status == 200


def post(app: Starlette, body: bytes, panel: int = 0) -> Answer:
    return ask(app, f"/selection.star?panel={panel}", method="POST", body=body)


def test_selection_has_the_rows_that_were_chosen(app, tiny_dataset, tmp_path) -> None:
    rows = [3, 11, 4]
    answer = post(app, json.dumps(rows).encode())
    assert answer.status == 200
    (tmp_path / "some.star").write_bytes(answer.body)
    found = read_star(tmp_path / "some.star")["particles"].strings("rlnImageName")
    names = read_star(tiny_dataset / "particles.star")["particles"].strings("rlnImageName")
    assert found == [names[row] for row in sorted(rows)]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"[99]", b"[-1]", b'["0"]', b"[true]", b"[0.5]", b"{}", b"[" * 5000]
)
def test_selection_that_is_none_is_refused(app, body) -> None:
    answer = post(app, body)
    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error"}


def test_truth_has_no_selection(app) -> None:
    assert post(app, b"[0]", panel=1).status == 400


def test_commands_run_and_make_what_is_seen(app, linear_run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = document(app, "/commands?panel=0&movie=1&frame=2&level=3")
    assert found["this page"].startswith("temporem view ")
    succeed(*shlex.split(found["this volume"])[1:])
    assert [path.name[:18] for path in Path("volume").glob("*.mrc")] == ["frame_000006_movie"]
    path = document(app, "/path?panel=0&points=-0.5,0;1,0.25")
    found = document(app, f"/commands?panel=0&path={path['id']}&frame=1&level=3")
    words = shlex.split(found["this path"])
    words[-1:], words[words.index("mp4")] = ["path.gif"], "gif"
    assert command(*words[1:], "--size", 100).code == 0
    assert Image.open("path.gif").n_frames == 2
