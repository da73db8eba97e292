"""The page in a browser, as a user meets it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from temporem.viewing.server import ViewServer

pytestmark = [pytest.mark.browser, pytest.mark.integration]

DESKTOP, PHONE = {"width": 1000, "height": 700}, {"width": 400, "height": 800}


@pytest.fixture
def open_page(browser: Any, server: ViewServer) -> Iterator[Callable[..., Any]]:
    """Open the page; at the end it must not have complained."""
    contexts, complaints = [], []

    def open_page(size: dict[str, int] = DESKTOP, scheme: str = "light") -> Any:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.goto(server.address)
        until(page, "document.body.dataset.ready === 'true' && temporem.player.shown === 0")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def until(page: Any, condition: str, seconds: float = 20.0) -> None:
    """Wait for a condition; the page's policy forbids the waiting of Playwright itself."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not reached: {condition}"
        page.wait_for_timeout(20)


def picture(page: Any) -> np.ndarray:
    """Pixels of the surfaces."""
    page.evaluate("temporem.player.stage.draw()")
    shot = page.locator(".stage").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def inked(pixels: np.ndarray) -> np.ndarray:
    """Pixels that are not ground."""
    return np.abs(pixels - pixels[5, -5]).max(-1) > 40


def test_surfaces_of_both_panels_are_drawn(open_page) -> None:
    ink = inked(picture(open_page()))
    left, right = np.split(ink, [ink.shape[1] // 2], axis=1)
    assert 0.03 < left[60:-60].mean() < 0.6
    assert 0.03 < right[60:-60].mean() < 0.6


def test_playing_advances_time_in_step(open_page) -> None:
    page = open_page()
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


def test_keys_go_from_frame_to_frame(open_page) -> None:
    page = open_page()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        seen.append(page.evaluate("temporem.player.frame"))
    assert seen == [1, 2, 1, 3, 0]
    assert (
        page.locator(".when").inner_text() == "frame 1 of 4"
        or "s ·" in page.locator(".when").inner_text()
    )


def test_level_changes_the_surface(open_page) -> None:
    page = open_page()
    before = inked(picture(page)).mean()
    page.locator(".level").evaluate(
        "(slider) => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }"
    )
    until(page, "temporem.player.store.has(temporem.player._wish(0, 0))")
    page.wait_for_timeout(100)
    assert inked(picture(page)).mean() < 0.8 * before


def test_dragging_turns_both(open_page) -> None:
    page = open_page()
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


def test_cut_shows_the_inside(open_page) -> None:
    page = open_page()
    before = inked(picture(page)).mean()
    page.locator(".cut").fill("0.9")
    assert inked(picture(page)).mean() < 0.7 * before


def test_dark_and_light(open_page) -> None:
    light = picture(open_page(scheme="light"))[5, -5].mean()
    dark = picture(open_page(scheme="dark"))[5, -5].mean()
    assert light > 200
    assert dark < 60


def test_phone_needs_no_horizontal_scroll(open_page) -> None:
    page = open_page(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    ink = inked(picture(page))
    upper, lower = np.split(ink, [ink.shape[0] // 2])
    assert upper.mean() > 0.02
    assert lower.mean() > 0.02


def test_picture_is_saved(open_page) -> None:
    page = open_page()
    with page.expect_download() as download:
        page.locator(".png").click()
    assert download.value.suggested_filename.endswith(".png")
    saved = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    assert 0.02 < inked(saved).mean() < 0.6
