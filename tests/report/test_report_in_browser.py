"""The report in a browser, from ``file://``: layout on a phone, colours, downloads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from helpers.report_page import FilePage
from helpers.reports import N, reconstruction, swinging_dataset
from temporem.report.page import write_report

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[FilePage]:
    found = FilePage(browser)
    yield found
    found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    tempor, static = reconstruction("tempor", 0.05, 0.05), reconstruction("static", 0.08, 0.6)
    latents = np.random.default_rng(0).normal(size=(N, 2))
    write_report(path, swinging_dataset(), [tempor, replace(static, latents=latents)])
    return path


@pytest.mark.parametrize("width", [400, 1280, 1400])
def test_nothing_is_wider_than_the_window_or_unreadable(
    page: FilePage, report: Path, width: int
) -> None:
    page.open(report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Letters of figures as they are on the screen, pixels; those of the stills may be scrolled to.
    letters = """[...document.querySelectorAll('figure:not(.stills) svg text')].map(t =>
        parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.clientWidth
        / t.ownerSVGElement.viewBox.baseVal.width)"""
    assert min(page.evaluate(letters)) >= 8.5
    stills = "document.querySelector('.stills svg')"
    scale = page.evaluate(f"{stills}.clientWidth / {stills}.viewBox.baseVal.width")
    assert page.evaluate(f"parseFloat(getComputedStyle({stills}).fontSize)") * scale >= 8.5
    assert page.messages == []


def test_a_phone_shows_the_molecule_at_once(page: FilePage, report: Path) -> None:
    page.open(report, width=400, height=800)
    place = page.evaluate(
        "(() => { const r = document.querySelector('.players svg').getBoundingClientRect();"
        "return [r.top, r.bottom]; })()"
    )
    assert place[0] < 400
    assert place[1] < 800
    pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    seen = pixels[round(place[0]) : round(place[1])]
    assert ((seen[..., 0] - seen[..., 2]) > 60).sum() > 200  # orange: the arm that moves


def test_dark_and_light_follow_the_reader(page: FilePage, report: Path) -> None:
    means = []
    for dark in (False, True):
        page.open(report, dark=dark)
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
        means.append(float(np.median(pixels)))
    assert means[0] > 200
    assert means[1] < 60


def test_the_molecule_plays(page: FilePage, report: Path) -> None:
    page.open(report)
    moved = "getComputedStyle(document.querySelector('.players use')).transform"
    first = page.evaluate(moved)
    page.wait_for(f"{moved} !== {first!r}")


def test_figures_and_numbers_can_be_saved_from_a_file(page: FilePage, report: Path) -> None:
    page.open(report)
    block = "document.querySelector(\"[data-file='fsc-with-the-truth-whole-box']\")"
    for index in (0, 1):
        page.evaluate(f"{block}.querySelectorAll('.take button')[{index}].click()")
    svg = ElementTree.fromstring(page.downloaded("fsc-with-the-truth-whole-box.svg"))
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert "currentColor" not in page.downloaded("fsc-with-the-truth-whole-box.svg") or (
        "color:" in svg.attrib["style"]
    )
    rows = list(csv.reader(io.StringIO(page.downloaded("fsc-with-the-truth-whole-box.csv"))))
    assert rows[0][:2] == ["frequency_per_angstrom", "tempor"]
    assert len(rows) == 9
    page.evaluate("document.querySelector(\"[data-file='measures'] .take button\").click()")
    assert "tempor, low" in page.downloaded("measures.csv")
    counted = (
        "(() => { const all = [...document.querySelectorAll('[data-file]')];"
        "return [all.length, all.filter(b => b.querySelector('button')).length]; })()"
    )
    blocks, with_buttons = page.evaluate(counted)
    assert blocks == with_buttons > 10
    assert page.messages == []


def test_print_has_no_buttons_and_a_picture(page: FilePage, report: Path) -> None:
    page.open(report)
    page.print_style()
    shown = "document.querySelector('{}').getBoundingClientRect().height"
    assert page.evaluate(shown.format(".take")) == 0
    assert page.evaluate(shown.format(".stills svg")) > 100
