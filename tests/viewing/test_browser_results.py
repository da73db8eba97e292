"""Results, colours, masks, half sets, clusters and takeaways of the page in a browser."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from helpers.commands import TINY_TRAINING, settings, succeed
from helpers.killed import kill
from helpers.pages import complaints_of, inked, picture, until
from helpers.serving import serving
from temporem.runs.run import load_run
from temporem.viewing.gallery import Gallery
from temporem.viewing.sources import open_half_sets, open_sources

pytestmark = [pytest.mark.browser, pytest.mark.integration]

DESKTOP, PHONE = {"width": 1000, "height": 700}, {"width": 400, "height": 800}
HERE = "(panel) => temporem.player.store.has(temporem.player._wish(panel, temporem.player.frame))"


@contextmanager
def opened(browser: Any, gallery: Gallery) -> Iterator[Any]:
    """A page that is ready; at the end it must not have complained."""
    with serving(gallery) as server:
        page = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
        complaints = complaints_of(page)
        page.goto(server.address)
        until(page, "document.body.dataset.ready === 'true'", 60)
        until(page, "temporem.player.shown === 0", 60)
        yield page
        page.context.close()
        assert complaints == []


@pytest.fixture(scope="module")
def page(browser: Any, validated_run: Path) -> Iterator[Any]:
    with opened(browser, Gallery(open_sources([validated_run]))) as page:
        yield page


def saved(page: Any, selector: str, seconds: float = 60) -> tuple[str, bytes]:
    """Name and content of what a button saves."""
    with page.expect_download(timeout=1000 * seconds) as download:
        page.locator(selector).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_tabs_show_what_the_report_says(page) -> None:
    page.locator("[role=tab]", has_text="Verdict").click()
    until(page, "temporem.results.kept.has('verdict')", 60)
    text = page.locator(".results").inner_text()
    assert "How sure" in text
    assert "held-out movies" in text
    page.locator("[role=tab]", has_text="Half sets").click()
    until(page, "document.querySelectorAll('.results img').length >= 3", 60)
    loaded = page.evaluate(
        """async () => {
            const images = [...document.querySelectorAll(".results img")];
            await Promise.all(images.map((image) => image.decode()));
            return images.map((image) => image.clientHeight);
        }"""
    )
    assert min(loaded) > 100
    assert page.locator("#timeline").is_hidden()
    page.locator("[role=tab]", has_text="Kinetics").click()
    until(page, "temporem.results.kept.has('kinetics')", 60)
    assert "temporem kinetics" in page.locator(".results").inner_text()


def test_tabs_listen_to_the_keyboard(page) -> None:
    page.evaluate("temporem.results.choose('timeline')")
    frame = page.evaluate("temporem.player.frame")
    page.locator("[role=tab]", has_text="Timeline").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("temporem.results.chosen") == "verdict"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("temporem.results.chosen") == "timeline"
    assert page.locator("#timeline canvas").is_visible()
    assert page.evaluate("temporem.player.frame") == frame


def test_figures_and_numbers_are_saved(page) -> None:
    page.evaluate("temporem.results.choose('half sets')")
    until(page, "document.querySelectorAll('.results img').length >= 3", 60)
    name, svg = saved(page, ".results figure:first-of-type .take button:nth-of-type(1)")
    assert name.endswith(".svg")
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"currentColor" not in svg
    name, text = saved(page, ".results figure:first-of-type .take button:nth-of-type(2)")
    assert name.endswith(".csv")
    head = next(csv.reader(io.StringIO(text.decode())))
    assert head[0] == "frequency_per_angstrom"
    page.evaluate("temporem.results.choose('timeline')")


@pytest.mark.parametrize("place", ["#latents", "#timeline"])
def test_plots_are_saved_as_svg(page, place: str) -> None:
    _, svg = saved(page, f"{place} .svg")
    root = ElementTree.fromstring(svg)
    paths = root.findall("{http://www.w3.org/2000/svg}path")
    words = [one.text for one in root.findall("{http://www.w3.org/2000/svg}text")]
    assert len(paths) >= 3
    assert "z1" in words
    assert float(root.attrib["width"]) == page.locator(f"{place} canvas").evaluate(
        "c => c.clientWidth"
    )


def test_latents_are_saved_as_csv(page, validated_run: Path) -> None:
    _, text = saved(page, "#latents .csv")
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    run = load_run(validated_run)
    assert [row["movie"] for row in rows] == run.particle_names
    np.testing.assert_allclose([float(row["z1"]) for row in rows], run.latents[:, 0], rtol=1e-5)
    _, text = saved(page, "#movies .csv")
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert sum(row["likelihood"] != "" for row in rows) == 2


def test_colour_shows_uncertainty(page) -> None:
    until(page, f"({HERE})(0)")
    before = picture(page)
    page.locator(".of-colour").select_option("half-set spread")
    until(page, f"({HERE})(0)", 60)
    until(page, "document.querySelector('.names .note').textContent.includes('σ')", 60)
    page.evaluate("temporem.player.stage.draw()")
    assert (np.abs(picture(page) - before).max(-1) > 20).mean() > 0.002
    assert page.locator(".key").inner_text().split() == ["certain", "uncertain"]
    page.locator(".of-colour").select_option("nothing")
    until(page, f"({HERE})(0)", 60)
    page.evaluate("temporem.player.stage.draw()")
    plain = picture(page)
    orange = plain[..., 0] - plain[..., 2] > 40
    assert not orange[60:-60].any()
    page.locator(".of-colour").select_option("motion")
    until(page, f"({HERE})(0)", 60)


def test_mask_hides_what_is_outside(page) -> None:
    page.evaluate("temporem.player.stage.draw()")
    before = inked(picture(page)).mean()
    page.locator(".of-mask").select_option("where it moves")
    until(page, f"({HERE})(0)", 60)
    page.wait_for_timeout(200)
    page.evaluate("temporem.player.stage.draw()")
    assert 0 < inked(picture(page)).mean() < 0.95 * before
    page.locator(".of-mask").select_option("none")
    until(page, f"({HERE})(0)", 60)


def test_clusters_colour_frames_and_show_their_volumes(page) -> None:
    page.locator(".clusters select").select_option("3")
    until(page, "document.querySelectorAll('.strip button').length === 3", 60)
    assert page.locator("#latents .by").input_value() == "cluster"
    page.locator(".strip button").nth(2).click()
    until(page, "temporem.player.clip.name === 'clusters' && temporem.player.shown === 2", 60)
    assert page.locator(".strip .shown").inner_text().startswith("3:")
    assert "cluster 3 of 3" in page.locator(".when").inner_text()
    page.locator(".clusters select").select_option("no")
    until(page, "temporem.player.clip.kind === 'movie'")
    assert page.locator(".strip button").count() == 0


def test_frames_are_coloured_by_likelihood(page) -> None:
    page.locator("#latents .by").select_option("likelihood")
    colours = page.evaluate(
        "Array.from(temporem.scatter.latents.movie, (_, row) => temporem.scatter._colour(row))"
    )
    scored = page.evaluate("Array.from(temporem.scatter.latents.scored, (x) => Number.isNaN(x))")
    unknown = {c for c, missing in zip(colours, scored, strict=True) if missing}
    assert len(unknown) == 1
    assert unknown.isdisjoint(
        {c for c, missing in zip(colours, scored, strict=True) if not missing}
    )
    page.locator("#latents .by").select_option("time")


def test_colours_of_frames_have_a_key(page) -> None:
    def words(way: str) -> Counter[str | None]:
        page.locator("#latents .by").select_option(way)
        root = ElementTree.fromstring(page.evaluate("temporem.scatter.svg()"))
        return Counter(one.text for one in root.findall("{http://www.w3.org/2000/svg}text"))

    longest = page.evaluate("Math.max(...temporem.scatter.latents.time)")
    assert longest > 0
    key = Counter(["0", f"{longest:.3g} s"])
    assert words("time") - words("nothing") == key
    assert words("movie") == words("nothing")
    page.locator("#latents .by").select_option("time")


def test_movie_is_saved(page) -> None:
    name, data = saved(page, ".gif", 120)
    assert name.startswith("movie_")
    gif = Image.open(io.BytesIO(data))
    assert gif.n_frames == 3
    until(page, "!document.querySelector('.gif').disabled")


def test_page_with_results_fits_a_phone_in_the_dark(page) -> None:
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    for name in page.evaluate("Object.keys(temporem.results.titles)"):
        page.evaluate(f"temporem.results.choose('{name}')")
        until(page, f"temporem.results.kept.has('{name}')", 60)
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.evaluate("temporem.results.choose('timeline')")


def test_frames_that_a_movie_lacks_are_rings(browser, run_with_gaps: Path) -> None:
    with opened(browser, Gallery(open_sources([run_with_gaps]))) as page:
        until(page, "!!temporem.timeline.latents", 60)
        counts = []
        for movie in range(8):
            page.evaluate(f"temporem.player.openMovie({movie})")
            until(page, f"temporem.player.clip.id === {movie} && temporem.player.shown === 0", 60)
            lacking = page.evaluate(f"temporem.timeline.latents.predictedOf({movie}).length")
            ring = "a3.5 3.5 0 1 0 -7 0"  # its ground, and its line
            assert page.evaluate("temporem.timeline.svg()").count(ring) == 2 * lacking
            table = page.evaluate("temporem.timeline.table()")
            assert table.get("predicted", []).count("yes") == lacking
            assert len({len(column) for column in table.values()}) == 1
            counts.append(lacking)
        assert len(set(counts)) > 1
        assert "Rings: frames that the movie lacks" in page.locator("#timeline .hint").inner_text()


def test_half_sets_stay_in_step(browser, validated_run: Path) -> None:
    with opened(browser, Gallery(open_half_sets([validated_run]))) as page:
        until(page, f"({HERE})(0) && ({HERE})(1)", 60)
        page.evaluate("temporem.player.stage.draw()")
        ink = inked(picture(page))
        left, right = np.split(ink[:, : ink.shape[1] // 2 * 2], 2, axis=1)
        assert left[60:-60].mean() > 0.02
        assert right[60:-60].mean() > 0.02
        assert (left ^ right).any()
        page.keyboard.press("ArrowRight")
        until(page, "temporem.player.shown === 1", 60)
        assert page.locator(".names").inner_text().count("half") == 2


def test_dataset_alone_plays(browser, tiny_dataset: Path) -> None:
    with opened(browser, Gallery(open_sources([tiny_dataset]))) as page:
        for name in ("#latents", "#results", "#frame"):
            assert page.locator(name).is_hidden()
        assert inked(picture(page)).mean() > 0.02
        _, data = saved(page, ".gif", 120)
        assert Image.open(io.BytesIO(data)).n_frames == 4


@pytest.mark.parametrize("method", ["tempor", "static", "homogeneous"])
def test_runs_of_other_methods_play(browser, tiny_runs: dict[str, Path], method: str) -> None:
    with opened(browser, Gallery(open_sources([tiny_runs[method]]))) as page:
        assert page.locator("#latents").is_visible() == (method != "homogeneous")
        page.keyboard.press("ArrowRight")
        until(page, "temporem.player.shown === 1", 60)
        page.locator("[role=tab]", has_text="Verdict").click()
        until(page, "temporem.results.kept.has('verdict')", 60)
        assert page.locator(".verdict").inner_text()


def test_cloud_plays(browser, tiny_dataset: Path, tmp_path: Path) -> None:
    run, quick = tmp_path / "run", settings(TINY_TRAINING)
    succeed("reconstruct", tiny_dataset, "-o", run, "--generator", "cloud", *quick)
    with opened(browser, Gallery(open_sources([run]))) as page:
        page.evaluate("temporem.player.stage.draw()")
        assert inked(picture(page)).mean() > 0.01


def test_dark_molecules_are_told(browser, tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    quick = settings(("linear.components=1", "linear.iterations=1", "data.invert=true"))
    quick += settings(("data.checks=warn",))
    succeed("reconstruct", tiny_dataset, "-o", run, "--method", "linear", *quick)
    with opened(browser, Gallery(open_sources([run]))) as page:
        page.locator("[role=tab]", has_text="Verdict").click()
        until(page, "temporem.results.kept.has('verdict')", 60)
        assert "dark" in page.locator(".results").inner_text()
        assert "dark side" in page.locator(".names").inner_text()
        page.evaluate("temporem.player.stage.draw()")
        assert 0.01 < inked(picture(page)).mean() < 0.6


def test_one_movie_plays(browser, tmp_path: Path) -> None:
    one = settings(("movies=1", "frames_per_movie=6", "box=16", "pixel_size_angstrom=8", "snr=3"))
    succeed("simulate", "toy", "-o", tmp_path / "movies", *one)
    with opened(browser, Gallery(open_sources([tmp_path / "movies"]))) as page:
        assert page.locator("#movies tbody tr").count() == 1
        page.keyboard.press("End")
        until(page, "temporem.player.shown === 5", 60)


def test_many_movies_play(browser, tmp_path: Path) -> None:
    many = ("movies=500", "frames_per_movie=2", "box=16", "pixel_size_angstrom=8", "snr=3")
    succeed("simulate", "toy", "-o", tmp_path / "movies", *settings(many))
    quick = settings(("linear.components=1", "linear.iterations=1"))
    run = tmp_path / "run"
    succeed("reconstruct", tmp_path / "movies", "-o", run, "--method", "linear", *quick)
    with opened(browser, Gallery(open_sources([run]))) as page:
        assert page.locator("#movies tbody tr").count() == 500
        page.locator("#movies tbody tr[data-movie='499']").click()
        until(page, "temporem.player.clip.id === 499", 60)
        assert page.evaluate("document.querySelector('#movies .scroll').scrollTop") > 1000
        page.locator(".clusters select").select_option("4")
        until(page, "document.querySelectorAll('.strip button').length === 4", 60)


def test_run_that_trains_shows_its_last_checkpoint(browser, tiny_dataset, tmp_path) -> None:
    kill(tiny_dataset, tmp_path / "run", 5, "method=tempor", *TINY_TRAINING, "training.start=none")
    with opened(browser, Gallery(open_sources([tmp_path / "run"]))) as page:
        said = page.locator("#so-far").inner_text()
        assert "Still training: its last checkpoint, " in said
        assert page.locator("#latents").is_visible()
        until(page, "document.querySelector('.observed').src.startsWith('data:image/png')", 60)
