"""The player inside a page from a disk."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.pages import complaints_of, inked, picture, until
from temporem.errors import TemporemError
from temporem.viewing.embed import NoRoom, player_html
from temporem.viewing.gallery import Gallery


def data_of(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'id="player-data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_frames_of_the_chosen_movies_are_in_the_page(gallery: Gallery) -> None:
    data = data_of(player_html(gallery, [3, 1]))
    names = [gallery.panels[0].shown.movie_name(movie) for movie in (3, 1)]
    assert [movie["name"] for movie in data["movies"]] == names
    first = {key for key in data["meshes"] if key.endswith("/0")}
    assert first == {f"{p}/{m}/{f}/0" for p in range(2) for m in range(2) for f in range(4)}
    assert len(data["meshes"]) > len(first)


def test_levels_are_left_out_where_there_is_no_room(gallery: Gallery) -> None:
    meshes = data_of(player_html(gallery, [0]))["meshes"]
    room = sum(len(text) for key, text in meshes.items() if key.endswith("/0"))
    data = data_of(player_html(gallery, [0], most_bytes=room))
    assert {key.split("/")[-1] for key in data["meshes"]} == {"0"}
    level = data["about"]["panels"][0]["level"]
    assert level["low"] == level["start"] == level["high"]
    with pytest.raises(NoRoom, match="smaller volumes"):
        player_html(gallery, [0], most_bytes=room - 1)


def test_movies_are_left_out_where_there_is_no_room(gallery: Gallery) -> None:
    meshes = data_of(player_html(gallery, [0, 1]))["meshes"]
    room = sum(len(text) for key, text in meshes.items() if key.endswith("/0"))
    data = data_of(player_html(gallery, [0, 1], most_bytes=room - 1))
    assert len(data["movies"]) == len(data["about"]["movies"]) == 1
    assert {key.split("/")[1] for key in data["meshes"]} == {"0"}


def test_same_input_gives_the_same_page(gallery: Gallery) -> None:
    assert player_html(gallery, [0]) == player_html(gallery, [0])


@pytest.mark.parametrize(("movies", "name"), [([], "player"), ([0], "a b"), ([99], "player")])
def test_what_cannot_be_shown_is_refused(gallery: Gallery, movies, name) -> None:
    with pytest.raises(TemporemError):
        player_html(gallery, movies, name=name)


@pytest.mark.browser
@pytest.mark.integration
def test_page_from_a_disk_plays(browser: Any, gallery: Gallery, tmp_path: Path) -> None:
    style = resources.files("temporem.report").joinpath("style.css").read_text(encoding="utf-8")
    body = f"<style>{style}</style><h1>Report</h1>{player_html(gallery, [0, 2])}"
    file = tmp_path / "report.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><body>{body}</body>", encoding="utf-8")
    page = browser.new_context(viewport={"width": 800, "height": 700}, offline=True).new_page()
    complaints = complaints_of(page)
    page.goto(file.as_uri())
    player = "document.querySelector('#player').player"
    until(page, f"{player}?.shown === 0")
    page.evaluate(f"{player}.stage.draw()")
    ink = inked(picture(page))
    assert all(0.02 < half.mean() < 0.6 for half in np.split(ink[:, : len(ink[0]) // 2 * 2], 2, 1))
    page.locator("#player").focus()
    page.keyboard.press(" ")
    until(page, f"{player}.frame === 2")
    page.keyboard.press(" ")
    page.locator("[aria-label=Movie]").select_option("1")
    until(page, f"{player}.clip.id === 1 && {player}.shown === 0")
    page.keyboard.press("+")
    page.locator(".level").evaluate(
        "(slider) => { slider.value = slider.max; slider.dispatchEvent(new Event('input')); }"
    )
    until(page, f"{player}.store.has({player}._wish(1, 0))")
    page.context.close()
    assert complaints == []
