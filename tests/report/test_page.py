"""The page: one file, honest words, the right numbers in the right places."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.case import Known
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.metrics.pose_conformation_coupling import pose_conformation_coupling
from temporem.evaluation.one_pass import measure
from temporem.evaluation.values import value_of
from temporem.physics.fourier import FourierSupport
from temporem.physics.rotations import random_rotations
from temporem.report.content import ReportDataset, ReportRun, ReportTruth
from temporem.report.embed import figure_svg
from temporem.report.findings import find
from temporem.report.manifold import manifold_figure
from temporem.report.page import build_report, render_rows, write_report
from temporem.report.plots import fsc_figure
from temporem.report.tables import config_table, duration, metrics_table, runs_table

BOX, PIXEL, MOVIES, LENGTH = 16, 4.0, 6, 5
N = MOVIES * LENGTH
ANGLE = np.tile(np.linspace(0, 80, LENGTH), MOVIES) + np.repeat(np.arange(MOVIES), LENGTH)
SUPPORT = FourierSupport(BOX, 3)
SHOWN = np.arange(LENGTH)


def swing(angles_degrees: np.ndarray) -> np.ndarray:
    """A body with an arm that turns about z: ``(n, D, D, D)``."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    volumes = []
    for angle in np.deg2rad(angles_degrees):
        arm = 4.5 * np.cos(angle), 4.5 * np.sin(angle)
        body = np.exp(-(x**2 + y**2 + z**2) / 8)
        volumes.append(body + np.exp(-((x - arm[0]) ** 2 + (y - arm[1]) ** 2 + z**2) / 3))
    return np.array(volumes, dtype=np.float32)


class Volumes:
    """A reconstruction that exists already."""

    def __init__(self, volumes: np.ndarray) -> None:
        self.coefficients = SUPPORT.fft(torch.from_numpy(volumes)).to(torch.complex64)

    def volumes(self, rows: np.ndarray) -> Tensor:
        return self.coefficients[torch.from_numpy(rows)]


def frames(movies: int = MOVIES) -> EvaluatedFrames:
    movie = np.repeat(np.arange(movies), LENGTH)
    return EvaluatedFrames(
        rows=np.arange(movies * LENGTH),
        movie=movie,
        particle_names=movie.astype(str),
        frame_numbers=np.tile(np.arange(1, LENGTH + 1), movies),
        held_out=np.zeros(movies * LENGTH, dtype=bool),
    )


TRUE_VOLUMES = swing(ANGLE)


def reconstruction(name: str, noise: float, stillness: float, movies: int = MOVIES) -> ReportRun:
    """The truth, noisy and drawn towards its mean."""
    rng = np.random.default_rng(len(name))
    mean = TRUE_VOLUMES.mean(axis=0)
    volumes = (1 - stillness) * TRUE_VOLUMES + stillness * mean
    volumes = (volumes + rng.normal(0, noise, volumes.shape)).astype(np.float32)
    latents = (ANGLE + rng.normal(0, 1 + 60 * stillness, N))[:, None]
    chosen = frames(movies)
    return ReportRun(
        name=name,
        method=name,
        config={"method": name, "seed": 0, "model": {"z_dim": 1, "width": 8 + len(name)}},
        volumes=volumes[SHOWN],
        latents=latents,
        metrics=[
            {"stage": "static", "epoch": e, "step": 10 * e, "log_likelihood": -9.0 / e, "kl": 0.1}
            for e in (1, 2, 3)
        ],
        evaluation=measure(
            Volumes(volumes),
            Volumes(TRUE_VOLUMES),
            chosen,
            box=BOX,
            pixel_size_angstrom=PIXEL,
            known=Known(
                latents=latents[: len(chosen)],
                parameters=ANGLE[: len(chosen), None],
                parameter_names=["angle_degrees"],
                states=np.tile(np.arange(LENGTH), movies),
            ),
        ),
        seconds=75,
    )


@pytest.fixture(scope="module")
def runs() -> list[ReportRun]:
    return [reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)]


@pytest.fixture(scope="module")
def dataset() -> ReportDataset:
    truth = ReportTruth(
        TRUE_VOLUMES[SHOWN], "angle_degrees", ANGLE, np.tile(np.arange(LENGTH), MOVIES)
    )
    return ReportDataset(
        name="toy",
        facts={"Signal-to-noise ratio": "0.1"},
        movies=list(np.arange(N).reshape(MOVIES, LENGTH)),
        frame_numbers=np.tile(np.arange(1, LENGTH + 1), MOVIES),
        shown_rows=SHOWN,
        images=np.random.default_rng(0).normal(size=(4, BOX, BOX)),
        image_labels=["1", "2", "3", "4"],
        truth=truth,
    )


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


class Reader(HTMLParser):
    """Tags, attributes and visible text of a page; fails where tags do not match."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


@pytest.mark.integration
def test_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    assert "http" not in page
    assert "@import" not in page
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in reader.tags}
    addresses = [a for key in ("src", "href", "xlink:href") for a in reader.attributes(key)]
    assert any(a.startswith("data:image/png;base64,") for a in addresses)
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in addresses)
    assert all(a.startswith("#") for a in re.findall(r"url\(([^)]*)\)", page))
    assert len(page) < 4e6


@pytest.mark.integration
def test_ids_are_unique_and_references_resolve(page: str) -> None:
    reader = Reader(page)
    ids = reader.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {a[1:] for k in ("href", "xlink:href") for a in reader.attributes(k) if a[0] == "#"}
    targets |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert targets <= set(ids)


@pytest.mark.integration
def test_page_has_every_part(page: str, runs: list[ReportRun]) -> None:
    text = Reader(page).text
    for part in ("in motion", "Resolution", "Latent path", "All measures", "What was run"):
        assert part in text
    for label in ("frame 1 · 0°", "frame 5 · 80°", "Angle (°)", "Log-likelihood", "1 min 15 s"):
        assert label in text
    assert "Signal-to-noise ratio" in text
    assert "with 95% confidence intervals" in text
    evaluation = runs[0].evaluation
    assert evaluation is not None
    assert f"{value_of(evaluation, 'fsc', 'resolution_angstrom', 'unmasked'):.2f}" in text
    assert f"{value_of(evaluation, 'motion', 'correlation', 'unmasked'):.3f}" in text


@pytest.mark.integration
def test_names_cannot_inject_markup(dataset: ReportDataset, runs: list[ReportRun]) -> None:
    evil = '<script>alert("1")</script>&\'"><img src=x>$_'
    renamed = [replace(runs[0], name=evil, method=evil, config={evil: evil}), runs[1]]
    hostile = replace(dataset, name=evil, facts={evil: evil}, image_labels=[evil] * 4)
    findings = find(renamed)
    page = build_report(hostile, renamed, findings, title=evil, footer=evil, picture_size=40)
    reader = Reader(page)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert evil in reader.text
    assert all(a.startswith(("data:", "#")) for a in reader.attributes("href"))


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


def test_headline_says_who_wins_and_holds_the_numbers(runs: list[ReportRun]) -> None:
    findings = find(runs, "static")
    better = next(text for text in findings.headline if "better" in text)
    assert better.startswith("tempor is better than static in ")
    there, here = (
        f"{value_of(_evaluation(run), 'motion', 'correlation', 'unmasked'):.3f}" for run in runs
    )
    assert f"motion correlation ({there} against {here})" in better
    assert re.search(r"resolution \([\d.]+% of frames finer, mean gain \+[\d.]+%\)", better)
    assert any("latent R² of the angle" in text for text in findings.headline)


def test_the_first_run_is_the_baseline_unless_another_is_named(runs: list[ReportRun]) -> None:
    assert find(runs).baseline == "tempor"
    assert find(runs[::-1]).baseline == "static"
    assert list(find(runs, baseline="static").comparisons) == ["tempor"]
    with pytest.raises(TemporemError, match=r"named 'mean'; expected 'tempor' or 'static'"):
        find(runs, baseline="mean")


def test_headline_is_as_plain_about_defeat(runs: list[ReportRun]) -> None:
    tempor, static = runs
    swapped = [
        replace(tempor, evaluation=static.evaluation),
        replace(static, evaluation=tempor.evaluation),
    ]
    headline = find(swapped, "static").headline
    assert any(t.startswith("tempor is worse than static in ") and "motion" in t for t in headline)
    assert not any("better" in text for text in headline)


def changed(evaluation: Evaluation, metric: str, **arrays: np.ndarray) -> Evaluation:
    """An evaluation with some arrays of a metric without places replaced, or the metric added."""
    place = {**evaluation[metric].get("", {}), **arrays}
    return replace(evaluation, results={**evaluation.results, metric: {"": place}})


@pytest.mark.parametrize("sign", [1, -1])
def test_headline_does_not_decide_what_the_interval_leaves_open(
    runs: list[ReportRun], sign: int
) -> None:
    item = _evaluation(runs[1])
    psnr = item["image_quality"][""]["psnr_db"]
    better_in_half_the_movies = sign * np.where(item.frames.movie % 2, 1.0, -0.9)
    sibling = replace(
        runs[1],
        name="sibling",
        evaluation=changed(item, "image_quality", psnr_db=psnr + better_in_half_the_movies),
    )
    findings = find([runs[1], sibling])
    gain = findings.comparisons["sibling"].gain("image_quality", "psnr_db")
    assert gain.value == pytest.approx(0.05 * sign)
    assert gain.low < 0 < gain.high
    (sentence,) = (text for text in findings.headline if "PSNR" in text)
    assert sentence.startswith("sibling and static do not differ significantly in ")


@pytest.mark.integration
def test_single_run_is_described_without_a_verdict(runs: list[ReportRun], single_page: str) -> None:
    findings = find(runs[:1])
    assert not findings.comparisons
    (sentence,) = findings.headline
    assert "Å on average" in sentence
    text = Reader(single_page).text
    assert sentence in text
    assert "Gain over" not in text
    assert "Gain:" not in text


def test_warnings_name_what_weakens_the_numbers(runs: list[ReportRun]) -> None:
    perfect = replace(reconstruction("perfect", 0.0, 0.0), metrics=[{"epoch": 9, "step": 1}])
    warnings = " ".join(find([perfect, *runs]).warnings)
    once = f"perfect: the FSC of {N} of {N} frames (100.0%) never falls below 0.5 in the whole box"
    assert once in warnings
    assert warnings.count("perfect: the FSC") == 1  # one sentence for all regions
    assert "The runs differ in epochs: perfect 9, tempor 3, static 3." in warnings
    assert "optimiser updates: perfect 1, tempor 30" in warnings


def test_runs_on_different_frames_are_not_compared(runs: list[ReportRun]) -> None:
    short = reconstruction("tempor", 0.05, 0.05, movies=3)
    findings = find([runs[1], short])
    assert not findings.comparisons
    assert findings.headline == ["The evaluations of these runs are not comparable."]
    assert any("tempor is not compared with static" in text for text in findings.warnings)


def test_single_movie_gives_no_intervals() -> None:
    alone = reconstruction("tempor", 0.05, 0.05, movies=1)
    assert any("a single movie gives no confidence intervals" in t for t in find([alone]).warnings)
    rows = metrics_table({"tempor": _evaluation(alone)}).rows
    assert {cell.interval for row in rows for cell in row.cells} == {""}


def test_page_without_truth(dataset: ReportDataset, runs: list[ReportRun]) -> None:
    real = replace(dataset, truth=None)
    untested = [replace(run, evaluation=None) for run in runs]
    page = built(real, untested)
    text = Reader(page).text
    assert "No run has been compared with true volumes" in text
    assert "frame 1" in text
    assert "·" not in text
    assert "FSC" not in text.split("What was run")[0]
    assert "All measures" not in text
    assert page.count('id="strip-') == 2


def test_page_for_a_method_without_latents_or_training(
    dataset: ReportDataset, runs: list[ReportRun]
) -> None:
    bare = replace(
        runs[1], name="mean", method="homogeneous", latents=None, metrics=(), seconds=None
    )
    text = Reader(built(dataset, [bare])).text
    assert "Latent path" not in text
    assert "Log-likelihood" not in text


def test_best_of_a_row_is_marked_in_the_right_sense(runs: list[ReportRun]) -> None:
    table = metrics_table({run.name: _evaluation(run) for run in runs})
    marked = {row.label: row.marked for row in table.rows}
    assert marked["Motion correlation, whole box"] == {0}
    assert marked["Trajectory error, angle (°)"] == {0}  # less is better
    assert marked["FSC area, whole box"] == {0}
    same = metrics_table({"a": _evaluation(runs[0]), "b": _evaluation(runs[0])})
    assert not any(row.marked for row in same.rows)


def test_config_table_flattens_and_marks_differences(runs: list[ReportRun]) -> None:
    rows = {row.label: row for row in config_table(runs).rows}
    assert [cell.text for cell in rows["model.width"].cells] == ["14", "14"]
    assert rows["method"].marked == {0, 1}
    assert not rows["model.z_dim"].marked


def test_runs_table_reads_the_last_record(runs: list[ReportRun]) -> None:
    rows = {row.label: [cell.text for cell in row.cells] for row in runs_table(runs).rows}
    assert rows["Epochs"] == ["3", "3"]
    assert rows["Optimiser updates"] == ["30", "30"]
    again = "Components that two halves of the movies agree on"
    assert again not in rows
    checked = replace(runs[1], components_found=2)
    rows = {row.label: [c.text for c in row.cells] for row in runs_table([runs[0], checked]).rows}
    assert rows[again] == ["–", "2"]
    alike = "Frames whose poses two random starts agree on"
    assert alike not in rows
    checked = replace(runs[1], starts_alike=0.634)
    rows = {row.label: [c.text for c in row.cells] for row in runs_table([runs[0], checked]).rows}
    assert rows[alike] == ["–", "63%"]


def test_a_run_that_says_it_may_be_noise_is_warned_of_with_and_without_truth(
    runs: list[ReportRun],
) -> None:
    for run in (runs[0], replace(runs[0], evaluation=None)):
        assert not any("may be" in text for text in find([run]).warnings)
        still = find([replace(run, components_found=0)]).warnings
        assert any("the motion may be noise" in text for text in still)
        lost = find([replace(run, components_found=2, starts_alike=0.3)]).warnings
        assert any("only 30% of the frames" in text for text in lost)
        assert not any("may be" in t for t in find([replace(run, starts_alike=0.9)]).warnings)


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.2, "8 s"), (750, "12 min 30 s"), (3900.4, "1 h 05 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_parameter_values_carry_their_unit(dataset: ReportDataset) -> None:
    truth = dataset.truth
    assert truth is not None
    assert truth.label == "Angle (°)"
    assert truth.value(4) == "80°"
    for still, text in ((45.0, "45°"), (0.0, "0°"), (0.25, "0.25°")):
        assert replace(truth, parameter=np.full(5, still)).value(4) == text
    small = replace(truth, parameter_name="opening_angstrom", parameter=np.array([0.0, 0.834]))
    assert (small.label, small.value(1)) == ("Opening (Å)", "0.83 Å")
    assert replace(small, parameter_name="progress").value(0) == "0.00"


def test_figures_take_the_colour_of_the_page() -> None:
    svg = figure_svg(fsc_figure({"a": np.ones((2, 8))}, 16, 2.0), "FSC")
    assert "currentColor" in svg
    assert "#ffffff" not in svg
    assert svg.startswith("<svg viewBox=")


@pytest.mark.integration
def test_written_page_is_the_built_one_and_never_half_written(
    tmp_path: Path,
    dataset: ReportDataset,
    runs: list[ReportRun],
    single_page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "report.html"
    findings = write_report(path, dataset, runs[:1], title="Single")
    assert findings == find(runs[:1])
    assert path.read_text(encoding="utf-8") == single_page  # the same input gives the same page
    with pytest.raises(TemporemError, match="exists"):
        write_report(path, dataset, runs[:1])
    monkeypatch.setattr("temporem.report.page.find", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(path, dataset, runs[:1], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8") == single_page


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


def _evaluation(run: ReportRun) -> Evaluation:
    assert run.evaluation is not None
    return run.evaluation


@pytest.mark.integration
def test_no_placeholder_is_left_on_the_page(page: str) -> None:
    assert "{{" not in page
    assert "{%" not in page


@pytest.mark.integration
def test_the_manifold_is_of_runs_with_several_dimensions_and_not_blown_up(
    dataset: ReportDataset, runs: list[ReportRun], page: str
) -> None:
    assert "first two principal components, with" not in page  # of one dimension each
    wide = np.concatenate([runs[0].latents, runs[0].latents ** 2], axis=1)
    several = replace(runs[0], latents=wide)
    label = "Latents in the plane of their first two principal components"
    states = np.tile(np.arange(LENGTH), MOVIES)
    figures = (
        figure_svg(manifold_figure({"a": wide}, states), label),
        built(dataset, [several, replace(several, name="again")]),
    )
    widths = [
        int(found)
        for figure in figures
        for found in re.findall(
            rf'style="max-width: (\d+)px" role="img" aria-label="{label}', figure
        )
    ]
    assert len(widths) == 2
    assert widths[0] < 520  # as other figures of one column
    assert widths[0] < widths[1] < 1080


def test_text_is_as_large_in_all_figures() -> None:
    scales = []
    for inches in (2.3, 4.6, 9.0):
        svg = figure_svg(Figure(figsize=(inches, 2)), "a figure")
        (size,) = re.findall(r'<svg viewBox="0 0 ([\d.]+) [\d.]+" style="max-width: (\d+)px"', svg)
        scales.append(int(size[1]) / float(size[0]))
    assert max(scales) - min(scales) < 0.01


@pytest.mark.parametrize(
    ("align", "turn", "words"),
    [
        ("all", 5.0, "turned by 5.0° in common (by chance 1.0°)"),
        ("all", 2.0, None),
        ("states", 5.0, "each true state is aligned on its own"),
    ],
)
def test_what_an_alignment_forgives_or_does_not_is_said(runs, align, turn, words) -> None:
    item = _evaluation(runs[0])
    one, angle = np.ones(1), np.full(len(item.frames), 6.0)
    coupling = {
        **dict.fromkeys(("error_r2", "pose_r2", "view_r2"), np.zeros(())),
        "n_close": np.array(4),
        **dict.fromkeys(("state", "state_n_frames", "state_n_close"), one.astype(int)),
        **dict.fromkeys(("state_low", "state_median", "state_high", "state_chance"), one),
        "state_turn": np.array([[0.0, turn, 0.0]]),
    }
    found = changed(item, "pose_conformation_coupling", **coupling)
    found = changed(found, "poses", angle_degrees=angle, shift_angstrom=0 * angle)
    found = replace(found, settings=replace(item.settings, align=align))
    assert not any("in common" in text for text in find(runs).warnings)
    said = [t for t in find([replace(runs[0], evaluation=found)]).warnings if "in common" in t]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


@pytest.mark.integration
def test_poses_that_were_found_are_shown_against_the_state(
    dataset: ReportDataset, runs: list[ReportRun], page: str
) -> None:
    assert "Pose errors" not in page
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
    assert "Pose errors" in text
    assert "Pose error (°)" in text
    rows = metrics_table({"a": evaluation, "b": found.evaluation}).rows
    (row,) = (row for row in rows if row.label == "Turn common to a state (°)")
    assert [cell.text for cell in row.cells] == ["–", "0.00"]
