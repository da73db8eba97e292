"""Colours, masks, half sets and clusters of the page."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette

from helpers.asgi import ask, document
from helpers.commands import succeed
from temporem.errors import TemporemError
from temporem.io.mrc import read_mask
from temporem.runs.latent_points import cluster_frames
from temporem.runs.local_resolution import CHANGE, DENSITY, half_set_resolutions
from temporem.runs.run import load_run
from temporem.viewing.answers import make_app
from temporem.viewing.gallery import Gallery, Look
from temporem.viewing.meshes import Mesh
from temporem.viewing.sources import ShownRun, open_half_sets, open_sources

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def validated(validated_run: Path) -> Gallery:
    return Gallery(open_sources([validated_run]))


@pytest.fixture(scope="module")
def app(validated: Gallery) -> Starlette:
    return make_app(validated)


def test_run_offers_what_it_knows(app: Starlette) -> None:
    (panel,) = document(app, "/describe")["panels"]
    assert panel["colours"] == [
        "posterior spread",
        "half-set spread",
        "local resolution",
        "change resolution",
    ]
    assert panel["masks"] == ["molecule", "where it moves"]


def test_run_that_knows_nothing_offers_nothing(tiny_runs: dict[str, Path]) -> None:
    app = make_app(Gallery(open_sources([tiny_runs["static"]])))
    (panel,) = document(app, "/describe")["panels"]
    assert panel["colours"] == panel["masks"] == []


def test_half_set_spread_is_half_the_difference(validated: Gallery, validated_run: Path) -> None:
    """Of a frame: without the smoothing that colours have, it is |A − B| / 2."""
    halves = [one.voxels(np.array([4]))[0] for one in open_half_sets([validated_run])]
    shown = validated.panels[0].shown
    assert isinstance(shown, ShownRun)
    found = shown.uncertainties[1].of(np.array([4]))
    wanted = np.abs(halves[0] - halves[1]) / 2
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.8
    assert found.mean() == pytest.approx(wanted.mean(), rel=0.05)


@pytest.mark.parametrize(("number", "change"), [(2, False), (3, True)])
def test_local_resolution_lies_between_two_voxels_and_the_box(
    validated: Gallery, validated_run: Path, number: int, change: bool
) -> None:
    panel = validated.panels[0]
    found = panel.shown.uncertainties[number].of(np.array([0]))
    wanted = half_set_resolutions(load_run(validated_run))[CHANGE if change else DENSITY]
    np.testing.assert_array_equal(found, wanted)
    assert found.shape == (16, 16, 16)
    assert found.min() >= 2 * 8
    assert found.max() <= 16 * 8
    # Both halves show the molecule, and of so few movies not the same motion.
    molecule = panel.shown.masks["molecule"] > 0.5
    assert (np.median(found[molecule]) < 40) == (not change)


def test_posterior_spread_is_that_of_export(validated: Gallery, validated_run: Path) -> None:
    shown = validated.panels[0].shown
    rows = np.array([0, 7])
    wanted = np.sqrt((load_run(validated_run).voxel_deviations(rows) ** 2).mean(0))
    found = shown.uncertainties[0].of(rows)
    assert found.mean() == pytest.approx(wanted.mean(), rel=0.05)


@pytest.mark.parametrize("colour", [1, 2])
def test_colours_reach_the_mesh(validated: Gallery, app: Starlette, colour: int) -> None:
    panel = validated.panels[0]
    level = panel.levels.start
    plain = Mesh.from_bytes(panel.mesh(0, 0, level))
    coloured = Mesh.from_bytes(panel.mesh(0, 0, level, Look(colour=colour)))
    np.testing.assert_array_equal(plain.positions_angstrom, coloured.positions_angstrom)
    assert np.abs(plain.amplitude - coloured.amplitude).max() > 0.05
    assert 0.2 < coloured.amplitude.max() <= 1
    said = document(app, f"/colour?panel=0&colour={colour}")
    assert said["full"].endswith(" σ")
    assert said["words"].endswith(".")


def test_mask_leaves_what_is_inside(validated: Gallery, validated_run: Path) -> None:
    panel = validated.panels[0]
    level = panel.levels.start
    whole = Mesh.from_bytes(panel.mesh(0, 0, level))
    masked = Mesh.from_bytes(panel.mesh(0, 0, level, Look(mask=2)))
    assert 0 < len(masked.triangles) < len(whole.triangles)
    mask = read_mask(validated_run / "validation/mask_moving.mrc", 16)
    at = (masked.positions_angstrom / panel.shown.pixel_size_angstrom).round().astype(int) + 8
    near = [mask[tuple(slice(max(i - 1, 0), i + 2) for i in xyz[::-1])].max() for xyz in at]
    assert min(near) > 0


def test_looks_hold_for_a_latent_under_the_pointer(app: Starlette, validated_run: Path) -> None:
    z = load_run(validated_run).latents[0, 0]
    plain, looked = (
        Mesh.from_bytes(ask(app, f"/mesh?panel=0&z={z:.6g}&level=3{look}").body)
        for look in ("", "&colour=2&mask=2")
    )
    assert 0 < len(looked.triangles) < len(plain.triangles)
    assert looked.amplitude.max() > plain.amplitude.max()


@pytest.mark.parametrize("query", ["colour=9", "mask=9", "colour=-1", "mask=x"])
def test_unknown_looks_are_refused(app: Starlette, query: str) -> None:
    answer = ask(app, f"/mesh?panel=0&movie=0&frame=0&level=3&{query}")
    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error"}
    assert ask(app, "/colour?panel=0&colour=0").status == 400


def test_half_sets_stand_side_by_side(validated_run: Path) -> None:
    gallery = Gallery(open_half_sets([validated_run]))
    app = make_app(gallery)
    described = document(app, "/describe")
    assert [panel["name"] for panel in described["panels"]] == ["run, half 1", "run, half 2"]
    meshes = [Mesh.from_bytes(panel.mesh(0, 0, panel.levels.start)) for panel in gallery.panels]
    assert len(meshes[0].triangles) != len(meshes[1].triangles)
    assert document(app, "/latents?panel=1")["names"] == ["z1"]
    found = document(app, "/commands?panel=0&movie=0&frame=0&level=3")
    assert found == {"this page": f"temporem view {validated_run} --half-sets"}


def test_half_sets_of_something_else_are_refused(
    validated_run: Path, tiny_dataset: Path, tiny_runs: dict[str, Path]
) -> None:
    for paths in ([tiny_dataset], [validated_run, validated_run]):
        with pytest.raises(TemporemError, match="expected one run"):
            open_half_sets(paths)
    with pytest.raises(TemporemError, match="has no half sets"):
        open_half_sets([tiny_runs["static"]])


def test_scores_of_movies_are_those_of_validation(app: Starlette, validated_run: Path) -> None:
    scores = document(app, "/latents?panel=0")["scores"]
    stored = json.loads((validated_run / "validation/held_out.json").read_text())
    known = [score for score in scores if score is not None]
    assert len(scores) == 10
    assert len(known) == len(stored["movies"]) == 2
    assert sorted(known) == pytest.approx(sorted(np.divide(stored["scores"], stored["n_frames"])))


def test_clusters_are_those_of_export(app: Starlette, validated_run: Path, tmp_path) -> None:
    found = document(app, "/clusters?panel=0&k=3")
    run = load_run(validated_run)
    wanted = cluster_frames(run.latents.astype(float), 3, 0)
    label = np.frombuffer(base64.b64decode(found["label"]), "<u4")
    np.testing.assert_array_equal(label, wanted.label - 1)
    assert found["nearest"] == wanted.nearest.tolist()
    assert sum(found["sizes"]) == run.n_frames
    for picture in found["pictures"]:
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
        assert 0.01 < (image[..., 3] > 0).mean() < 0.9
    commands = document(app, f"/commands?panel=0&path={found['id']}&frame=0&level=3")
    assert "--clusters 3" in commands["this path"]
    level = 3
    mesh = ask(app, f"/mesh?panel=0&path={found['id']}&frame=2&level={level}")
    assert len(Mesh.from_bytes(mesh.body).triangles) > 10


def test_no_more_clusters_than_different_latents(
    app: Starlette, validated_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(validated_run)
    two = run.latents.astype(float)[np.arange(run.n_frames) % 2]
    monkeypatch.setattr("temporem.viewing.clusters.latents_of_run", lambda run: two)
    found = document(app, "/clusters?panel=0&k=6")
    assert sum(found["sizes"]) == run.n_frames
    assert len(found["sizes"]) == len(found["pictures"]) == 2


@pytest.mark.parametrize("k", [0, 13, 99999])
def test_wrong_numbers_of_clusters_are_refused(app: Starlette, k: int) -> None:
    assert ask(app, f"/clusters?panel=0&k={k}").status == 400


def test_homogeneous_run_shows_its_half_maps(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeed("reconstruct", tiny_dataset, "-o", run, "--method", "homogeneous")
    names = [shown.name for shown in open_half_sets([run])]
    assert names == ["run, half 1, mean of all frames", "run, half 2, mean of all frames"]
    (shown,) = open_sources([run])
    assert [one.name for one in shown.uncertainties] == ["half-set spread", "local resolution"]
