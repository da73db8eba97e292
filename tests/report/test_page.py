"""The page: one file, needs nothing else, holds the right numbers in the right places."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from helpers.reports import (
    LENGTH,
    MOVIES,
    TRUE_VOLUMES,
    N,
    Reader,
    changed,
    evaluation_of,
    reconstruction,
    swinging_dataset,
)
from temporem.errors import TemporemError
from temporem.evaluation.metrics.pose_conformation_coupling import pose_conformation_coupling
from temporem.evaluation.values import value_of
from temporem.physics.rotations import random_rotations
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.drawing import draw
from temporem.report.findings import find
from temporem.report.page import build_report, write_report
from temporem.report.plots import fsc_figure
from temporem.report.stills import render_rows
from temporem.report.tables import metrics_table


@pytest.fixture(scope="module")
def runs() -> list[ReportRun]:
    return [reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)]


@pytest.fixture(scope="module")
def dataset() -> ReportDataset:
    return swinging_dataset()


@pytest.fixture(scope="module")
def page(dataset: ReportDataset, runs: list[ReportRun]) -> str:
    findings = find(runs, "static")
    return build_report(dataset, runs, findings, title="Demo", footer="temporem 0")


@pytest.fixture(scope="module")
def single_page(dataset: ReportDataset, runs: list[ReportRun]) -> str:
    return build_report(dataset, runs[:1], find(runs[:1]), title="Single")


def built(dataset: ReportDataset, runs: list[ReportRun]) -> str:
    """A page with small pictures."""
    return build_report(dataset, runs, find(runs), picture_size=40)


@pytest.mark.integration
def test_ids_are_unique_and_references_resolve(page: str) -> None:
    reader = Reader(page)
    ids = reader.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {a[1:] for k in ("href", "xlink:href") for a in reader.attributes(k) if a[0] == "#"}
    targets |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert targets <= set(ids)


@pytest.mark.integration
def test_names_cannot_inject_markup(dataset: ReportDataset, runs: list[ReportRun]) -> None:
    evil = '<script>alert("1")</script>&\'"><img src=x>$_'
    renamed = [replace(runs[0], name=evil, method=evil, config={evil: evil}), runs[1]]
    hostile = replace(dataset, name=evil, facts={evil: evil}, image_labels=[evil] * 4)
    findings = find(renamed)
    page = build_report(hostile, renamed, findings, title=evil, footer=evil, picture_size=40)
    reader = Reader(page)
    assert "img" not in {tag for tag, _ in reader.tags}
    assert page.count("<script>") == 1
    assert "alert(" not in re.sub(r"&#34;|&quot;", "", page.split("<script>")[1])
    assert evil in reader.text
    assert all(a.startswith(("data:", "#")) for a in reader.attributes("href"))


def test_rendered_rows_show_the_motion_and_its_absence(
    dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    still = replace(runs[1], volumes=np.repeat(TRUE_VOLUMES.mean(axis=0)[None], LENGTH, axis=0))
    rows = render_rows(dataset, [runs[0], still], size=60)
    assert list(rows) == ["truth", "tempor", "static"]
    changed = {
        name: np.std([p[..., 3] / 255 for p in row], axis=0).mean() for name, row in rows.items()
    }
    assert changed["static"] == 0
    assert changed["tempor"] > 0.5 * changed["truth"] > 0.01
    # Where the truth moves is tinted in all rows, its body in none.
    for row in rows.values():
        red, _, blue, alpha = np.moveaxis(np.stack(row).astype(int), -1, 0)
        tinted = (red > 1.5 * blue)[alpha == 255].mean()
        assert 0.3 < tinted < 0.9


@pytest.mark.integration
def test_single_run_is_described_without_a_comparison(
    runs: list[ReportRun], single_page: str
) -> None:
    findings = find(runs[:1])
    assert not findings.comparisons
    text = Reader(single_page).text
    assert "It resolves the frames to" in text
    assert "Å on average" in text
    assert "Gain over" not in text
    assert "Gain:" not in text
    assert "A difference counts" not in text


def test_page_for_a_method_without_latents_or_training(
    dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    bare = replace(
        runs[1], name="mean", method="homogeneous", latents=None, metrics=(), seconds=None
    )
    text = Reader(built(dataset, [bare])).text
    assert "this run cannot show motion" in text
    assert "Latent paths" not in text
    assert "Log-likelihood" not in text


def test_figures_take_the_colour_of_the_page() -> None:
    svg = draw(fsc_figure({"a": np.ones((2, 8))}, 16, 2.0), "FSC").svg
    assert "currentColor" in svg
    assert "#ffffff" not in svg
    assert svg.startswith("<svg viewBox=")


def test_no_run_and_equal_names_are_refused(
    tmp_path: Path, dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(TemporemError, match="no run"):
        write_report(path, dataset, [])
    for names in (("a", "a"), ("truth", "b")):
        named = [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
        with pytest.raises(
            TemporemError, match=f"named {', '.join(names)}; expected different names"
        ):
            write_report(path, dataset, named)
    assert not path.exists()


@pytest.mark.integration
def test_no_placeholder_is_left_on_the_page(page: str) -> None:
    assert "{{" not in page
    assert "{%" not in page


def test_text_is_as_large_in_all_figures() -> None:
    scales = []
    for inches in (2.3, 4.6, 9.0):
        svg = draw(Figure(figsize=(inches, 2)), "a figure").svg
        (size,) = re.findall(r'<svg viewBox="0 0 ([\d.]+) [\d.]+" style="max-width: (\d+)px"', svg)
        scales.append(int(size[1]) / float(size[0]))
    assert max(scales) - min(scales) < 0.01


@pytest.mark.integration
def test_poses_that_were_found_are_shown_against_the_state(
    dataset: ReportDataset, runs: list[ReportRun], page: str
) -> None:
    assert "Angle between estimated and true pose" not in page
    rotations = random_rotations(N, torch.Generator().manual_seed(0))
    evaluation = runs[0].evaluation
    assert evaluation is not None
    states = np.tile(np.arange(LENGTH), MOVIES)
    coupling = pose_conformation_coupling(
        rotations, rotations, evaluation.frames.movie, None, states
    )
    with_poses = changed(evaluation, "pose_conformation_coupling", **asdict(coupling))
    found = replace(runs[0], evaluation=with_poses)
    text = Reader(built(dataset, [found, runs[1]])).text
    assert "Angle between estimated and true pose" in text
    assert "Pose error (°)" in text
    rows = metrics_table({"a": evaluation, "b": found.evaluation}).rows
    (row,) = (row for row in rows if row.label == "Turn common to a state (°)")
    assert [cell.text for cell in row.cells] == ["–", "0.00"]


@pytest.mark.integration
def test_written_page_is_the_built_one_and_never_half_written(
    tmp_path: Path,
    dataset: ReportDataset,
    runs: list[ReportRun],
    single_page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "report.html"
    verdict, described = write_report(path, dataset, runs[:1], title="Single")
    assert "of the molecule moves" in verdict
    assert described == find(runs[:1]).headline[0]
    assert path.read_text(encoding="utf-8") == single_page  # the same input gives the same page
    with pytest.raises(TemporemError, match="exists"):
        write_report(path, dataset, runs[:1])
    monkeypatch.setattr("temporem.report.page.find", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(path, dataset, runs[:1], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == single_page


@pytest.mark.integration
def test_page_has_every_part(page: str, runs: list[ReportRun]) -> None:
    text = Reader(page).text
    for part in ("in motion", "Resolution", "Latent paths", "All measures", "What was run"):
        assert part in text
    for label in ("frame 1 · 0°", "frame 5 · 80°", "True angle (°)", "1 min 15 s"):
        assert label in text
    assert "Signal-to-noise ratio" in text
    assert "with 95% confidence intervals" in text
    evaluation = evaluation_of(runs[0])
    assert f"{value_of(evaluation, 'fsc', 'resolution_angstrom', 'unmasked'):.2f}" in text
    assert f"{value_of(evaluation, 'motion', 'correlation', 'unmasked'):.3f}" in text


@pytest.mark.integration
def test_the_molecule_comes_before_all_but_a_sentence(page: str) -> None:
    """On a phone, the picture must be there at once."""
    before = re.sub(r"<style>.*?</style>", "", page[: page.index('class="players"')], flags=re.S)
    text = " ".join(Reader(before + "></div></section></body></html>").text.split())
    assert 20 < len(text.split("Demo", 1)[1]) < 300
    assert "tempor. About" in text
    assert page.index('class="players"') < page.index("How sure") < page.index("What limits")


@pytest.mark.integration
def test_panel_shows_one_strip_per_source_and_plays_it(page: str) -> None:
    images = [attrs for tag, attrs in Reader(page).tags if tag == "image" and "id" in attrs]
    strips = [attrs for attrs in images if str(attrs["id"]).startswith("strip-")]
    assert [attrs["id"] for attrs in strips] == ["strip-0", "strip-1", "strip-2"]
    for attrs in strips:
        png = base64.b64decode(str(attrs["href"]).split(",", 1)[1])
        picture = Image.open(io.BytesIO(png))
        assert picture.size == (int(str(attrs["width"])), int(str(attrs["height"])))
        assert picture.width % LENGTH == 0
    assert f"translateX(-{int(str(strips[0]['width'])) * (LENGTH - 1) // LENGTH}px)" in page
    used = re.findall(r'<use href="(#strip-\d)"', page)
    assert used == ["#strip-0", "#strip-1", "#strip-2"]


def test_page_without_truth(dataset: ReportDataset, runs: list[ReportRun]) -> None:
    real = replace(dataset, truth=None)
    untested = [replace(run, evaluation=None) for run in runs]
    page = built(real, untested)
    text = Reader(page).text
    assert "How right" not in text
    assert "No test has confirmed this yet." in text
    assert "temporem validate tempor --half-sets" in text
    assert "frame 1" in text
    assert "·" not in text.split("What was run")[0]
    assert "truth" not in text.split("What was run")[0]
    assert "All measures" not in text
    assert page.count('id="strip-') == 2


def test_a_truth_that_was_not_used_is_named(dataset: ReportDataset, runs: list[ReportRun]) -> None:
    text = Reader(built(dataset, [replace(runs[0], evaluation=None, path="runs/a b")])).text
    assert "temporem evaluate 'runs/a b'" in text
    assert "unknown" not in text


def test_poses_that_were_not_found_allow_no_word_on_motion(
    dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    lost = replace(runs[0], evaluation=None, starts_alike=0.14, components_found=4, components=4)
    text = Reader(built(replace(dataset, truth=None), [lost])).text
    assert "No motion can be claimed" in text
    assert "only 14% of the frames" in text
    for claim in ("moves;", "in motion", "4 of 4", "4 components", "show the same motion"):
        assert claim not in text


def test_what_a_test_refutes_is_not_called_motion(
    dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    still = replace(runs[0], evaluation=None, components_found=0, components=4)
    text = Reader(built(replace(dataset, truth=None), [still])).text
    assert "No motion is confirmed" in text
    assert "in motion" not in text
    repeated = replace(still, components_found=2)
    assert "in motion" in Reader(built(replace(dataset, truth=None), [repeated])).text


@pytest.mark.integration
def test_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    # Names of namespaces are no addresses.
    assert "http" not in page.replace("http://www.w3.org/", "").replace("http-equiv", "")
    assert "@import" not in page
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in reader.tags}
    addresses = [a for key in ("src", "href", "xlink:href") for a in reader.attributes(key)]
    assert any(a.startswith("data:image/png;base64,") for a in addresses)
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in addresses)
    assert all(a.startswith("#") for a in re.findall(r"url\(([^)]*)\)", page))
    assert len(page) < 4e6


@pytest.mark.integration
def test_only_the_script_of_downloads_may_run(page: str) -> None:
    """The page's policy names its hash, so that no other script can start."""
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    others = [attrs for tag, attrs in Reader(page).tags if tag == "script" and attrs]
    assert len(scripts) == 1
    assert {attrs["type"] for attrs in others} == {"application/json"}
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert "default-src 'none'" in page
    assert f"script-src 'sha256-{digest}'" in page


@pytest.mark.integration
def test_every_figure_and_table_can_be_taken_away(page: str) -> None:
    blocks = re.findall(r'data-file="([^"]+)"(.*?)(?=data-file=|</body>)', page, flags=re.DOTALL)
    names = [name for name, _ in blocks]
    assert len(names) == len(set(names)) > 10  # else one download would replace another
    for name, block in blocks:
        assert 'class="take"' in block, name
        assert "<svg" in block or "<table" in block, name
    numbers = {
        name: json.loads(found[1])
        for name, block in blocks
        if (found := re.search(r'<script type="application/json">(.*?)</script>', block))
    }
    assert {"measures", "runs", "fsc-with-the-truth-whole-box"} <= set(numbers)
    first, *rows = numbers["fsc-with-the-truth-whole-box"].splitlines()
    assert first.startswith("frequency_per_angstrom,tempor,")
    assert len(rows) == 8  # shells of a box of 16
    assert rows[0].startswith("0,1,")


@pytest.mark.integration
def test_the_manifold_is_of_runs_with_several_dimensions(
    dataset: ReportDataset, runs: list[ReportRun], page: str
) -> None:
    assert "first two principal components, with" not in page  # of one dimension each
    wide = np.concatenate([evaluation_latents(runs[0]), evaluation_latents(runs[0]) ** 2], axis=1)
    several = replace(runs[0], latents=wide)
    text = Reader(built(dataset, [several, runs[1]])).text
    assert "first two principal components, with" in text
    assert "True angle (°)" in text
    assert "True state" not in text  # of colours beside an axis in degrees
    assert "R² = " in text


def evaluation_latents(run: ReportRun) -> np.ndarray:
    assert run.latents is not None
    return run.latents
