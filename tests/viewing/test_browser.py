"""The page in a browser, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers import pages
from helpers.pages import complaints_of, inked, until
from temporem.io.star import read_star
from temporem.viewing.server import ViewServer

pytestmark = [pytest.mark.browser, pytest.mark.integration]

DESKTOP, PHONE = {"width": 1000, "height": 700}, {"width": 400, "height": 800}


RESET = """async () => {
    const {player, scatter, table} = temporem;
    player.pause();
    scatter.root.querySelector("[value=pick]").click();
    [scatter.selected, scatter.path, player.stage.cut] = [null, null, 0];
    player.get(".cut").value = 0;
    player.stage.reset();
    player.setLevel(player.about.panels[0].level.start);
    await player.openMovie(0);
    document.activeElement.blur();
}"""


@pytest.fixture(scope="module")
def opened(browser: Any, server: ViewServer) -> Iterator[tuple[Any, list[str]]]:
    """The page, opened once, and what it complained about."""
    page = browser.new_context(viewport=DESKTOP, color_scheme="light").new_page()
    complaints = complaints_of(page)
    page.goto(server.address)
    until(page, "document.body.dataset.ready === 'true'")
    yield page, complaints
    page.context.close()


@pytest.fixture
def page(opened: tuple[Any, list[str]]) -> Iterator[Any]:
    """The page as it is at first; at the end it must not have complained."""
    page, complaints = opened
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.evaluate(RESET)
    until(page, "temporem.player.shown === 0")
    yield page
    assert complaints == []


def picture(page: Any) -> np.ndarray:
    page.evaluate("temporem.player.stage.draw()")
    return pages.picture(page)


def test_surfaces_of_both_panels_are_drawn(page) -> None:
    ink = inked(picture(page))
    left, right = np.split(ink, [ink.shape[1] // 2], axis=1)
    assert 0.03 < left[60:-60].mean() < 0.6
    assert 0.03 < right[60:-60].mean() < 0.6


def test_playing_advances_time_in_step(page) -> None:
    page.keyboard.press(" ")
    until(page, "temporem.player.frame >= 2")
    page.keyboard.press(" ")
    assert page.evaluate("temporem.player.playing") is False
    frame = page.evaluate("temporem.player.frame")
    assert frame >= 2
    until(page, f"temporem.player.shown === {frame}")
    same = page.evaluate(
        """() => {
            const {player} = temporem;
            const wanted = (panel) => player.store.take(player._wish(panel, player.frame));
            return player.stage.surfaces.map(
              (one, panel) => one.surface.geometry === wanted(panel).geometry);
        }"""
    )
    assert same == [True, True]


def test_keys_go_from_frame_to_frame(page) -> None:
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate("temporem.player.frame"))
    assert seen == [1, 2, 1, 3, 0]
    assert (
        page.locator(".when").inner_text() == "frame 1 of 4"
        or "s ·" in page.locator(".when").inner_text()
    )


def test_level_changes_the_surface(page) -> None:
    before = inked(picture(page)).mean()
    page.locator(".level").evaluate(
        "(slider) => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }"
    )
    until(page, "temporem.player.store.has(temporem.player._wish(0, 0))")
    page.wait_for_timeout(100)
    assert inked(picture(page)).mean() < 0.8 * before


def test_dragging_turns_both(page) -> None:
    before = picture(page)
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 260, steps=3)
    page.mouse.up()
    changed = np.abs(picture(page) - before).max(-1) > 40
    left, right = np.split(changed, [changed.shape[1] // 2], axis=1)
    assert left.mean() > 0.01
    assert right.mean() > 0.01


def test_cut_shows_the_inside(page) -> None:
    before = inked(picture(page)).mean()
    page.locator(".cut").fill("0.9")
    assert inked(picture(page)).mean() < 0.7 * before


def drag(page: Any, corners: list[tuple[float, float]], *, slowly: bool = False) -> None:
    """Drag over the plot of the latents; corners are shares of its width and height."""
    page.locator("#latents canvas").scroll_into_view_if_needed()
    box = page.locator("#latents canvas").bounding_box()
    at = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for place in at[1:]:
        page.mouse.move(*place, steps=4)
        if slowly:
            page.wait_for_timeout(150)
    page.mouse.up()


def test_lasso_selects_and_saves_what_is_inside(page, tiny_dataset: Path) -> None:
    page.locator("[value=lasso]").check()
    drag(page, [(0, 0), (0.55, 0), (0.55, 1), (0, 1)])
    selected = page.evaluate("temporem.scatter.selected")
    places = page.evaluate(
        """() => {
            const {scatter} = temporem, middle = 0.55 * scatter.canvas.clientWidth;
            return Array.from(scatter.plane[0].values, (value) => scatter.x(value) < middle);
        }"""
    )
    assert 0 < len(selected) < 20
    assert selected == np.flatnonzero(places).tolist()
    with page.expect_download() as download:
        page.locator(".star").click()
    assert download.value.suggested_filename == "selection.star"
    table = read_star(Path(download.value.path()))["particles"]
    names = read_star(tiny_dataset / "particles.star")["particles"].strings("rlnImageName")
    assert table.strings("rlnImageName") == [names[row] for row in selected]


def test_path_is_decoded_while_it_is_drawn_and_then_plays(page) -> None:
    page.locator("[value=path]").check()
    drag(page, [(0.2, 0.8), (0.5, 0.5), (0.8, 0.2)], slowly=True)
    assert page.evaluate("temporem.scatter.decoded") >= 2
    until(page, "temporem.player.clip.kind === 'path'")
    until(page, "temporem.player.frame >= 3")
    page.keyboard.press(" ")
    until(page, "!document.querySelector('.observed').hasAttribute('src')")
    assert not page.locator(".observed").is_visible()  # a path has no observed frames
    shown = page.evaluate(
        "temporem.player.stage.surfaces.map((one) => one.surface.geometry.index?.count ?? 0)"
    )
    assert shown[0] > 100
    assert shown[1] == 0  # the truth has no latents
    page.locator("#movies tbody tr[data-movie='2']").click()
    until(page, "temporem.player.clip.kind === 'movie' && temporem.player.clip.id === 2")


def test_click_on_a_point_opens_its_movie(page) -> None:
    movie, place, x, y = page.evaluate(
        """() => {
            const {scatter} = temporem, [u, v] = scatter.plane.map((one) => one.values);
            const box = scatter.canvas.getBoundingClientRect();
            const row = u.indexOf(Math.max(...u));
            return [scatter.latents.movie[row], scatter.latents.place[row],
                    box.x + scatter.x(u[row]), box.y + scatter.y(v[row])];
        }"""
    )
    page.mouse.click(x, y)
    until(page, f"temporem.player.clip.id === {movie} && temporem.player.frame === {place}")


def test_commands_are_of_the_volume_at_which_playing_stopped(page) -> None:
    page.locator("#commands summary").click()
    first = "document.querySelector('#commands dd:last-child').textContent"
    until(page, f"document.querySelectorAll('#commands dd').length === 3 && {first}")
    before = page.evaluate(first)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    until(page, "temporem.player.frame >= 1")
    page.keyboard.press(" ")
    until(page, f"{first} !== {json.dumps(before)}")
    number = page.evaluate("temporem.player.frame") + 1  # this movie lacks no frame
    assert f"--frames {number} -o" in page.evaluate(first)
    page.locator("#commands summary").click()


def test_pictures_follow_the_frame(page) -> None:
    until(page, "document.querySelector('.observed').src.startsWith('data:image/png')")
    first = page.locator(".observed").get_attribute("src")
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('.observed').src !== {json.dumps(first)}")
    assert "Correlation" in page.locator("#frame .hint").inner_text()


def test_table_sorts(page) -> None:
    head = page.locator("#movies thead button").first
    names = page.locator("#movies tbody td:first-child").all_inner_texts()
    head.click()
    head.click()
    assert page.locator("#movies tbody td:first-child").all_inner_texts() == names[::-1]
    assert len(set(names)) == 5


def test_timeline_goes_to_a_frame(page) -> None:
    x, y = page.evaluate(
        """() => {
            const {timeline, player} = temporem, box = timeline.canvas.getBoundingClientRect();
            const row = player.clip.rows[2];
            return [box.x + timeline.x(timeline.latents.time[row]), box.y + 60];
        }"""
    )
    page.mouse.click(x, y)
    assert page.evaluate("temporem.player.frame") == 2


def test_dark_and_light(page) -> None:
    light = picture(page)[5, -5].mean()
    plot = page.evaluate("temporem.scatter.canvas.toDataURL()")
    page.emulate_media(color_scheme="dark")
    assert light > 200
    assert picture(page)[5, -5].mean() < 60
    assert page.evaluate("temporem.scatter.canvas.toDataURL()") != plot


def test_phone_needs_no_horizontal_scroll(page) -> None:
    page.set_viewport_size(PHONE)
    until(page, "temporem.player.stage.columns === 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    upper, lower = np.split(
        inked(picture(page)), [int(page.evaluate("temporem.player.stage.height")) // 2]
    )
    assert upper.mean() > 0.02
    assert lower.mean() > 0.02


def test_picture_is_saved(page) -> None:
    with page.expect_download() as download:
        page.locator(".png").click()
    assert download.value.suggested_filename.endswith(".png")
    saved = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    assert 0.02 < inked(saved).mean() < 0.6
