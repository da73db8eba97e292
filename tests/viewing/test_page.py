"""Files of the page: those of others are what they were, and names lead to what is there."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path

import pytest

from temporem.viewing.page import MODULES, PLAYER_MODULES, content_policy, files, render_page

STATIC = Path(str(resources.files("temporem.viewing"))) / "static"


def test_vendored_files_are_unchanged_and_have_their_licence() -> None:
    lines = (STATIC / "vendor/VENDORED").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split()[:2]) for line in lines if not line.startswith("#"))
    present = {
        str(path.relative_to(STATIC / "vendor")) for path in (STATIC / "vendor").rglob("*.*")
    }
    assert set(listed) == present | {"three/LICENSE"}
    for name, digest in listed.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in (STATIC / "vendor/three/LICENSE").read_text(encoding="utf-8")


def own_modules() -> dict[str, str]:
    return {
        name: (STATIC / file).read_text(encoding="utf-8")
        for name, file in MODULES.items()
        if not file.startswith("vendor/")
    }


def imports(text: str) -> set[str]:
    return set(re.findall(r'^(?:import|\} from|import .* from) ?.*?"([^"]+)";', text, re.MULTILINE))


def test_modules_import_only_each_other() -> None:
    texts = own_modules()
    assert {path.name for path in STATIC.glob("*.js")} == {
        file for file in (*MODULES.values(), "embedded.js") if "/" not in file
    }
    for name, text in texts.items():
        assert imports(text) <= set(MODULES), name
        addresses = text.replace("http://www.w3.org/2000/svg", "")  # the name of a format
        assert re.search(r"https?://", addresses) is None, name
        assert "eval(" not in text
    assert imports(texts["temporem/player"]) == {
        "temporem/clock",
        "temporem/mesh",
        "temporem/stage",
        "temporem/store",
    }


def test_player_needs_nothing_but_its_modules() -> None:
    texts = own_modules()
    for name in PLAYER_MODULES:
        if name in texts:
            assert imports(texts[name]) <= set(PLAYER_MODULES)


def test_page_loads_only_files_that_are_served() -> None:
    page = render_page("run", "abc")
    named = set(re.findall(r'\./static/([^"]+)"', page))
    assert named <= set(files())
    assert page.count("<script") == 2
    assert 'nonce="abc"' in page
    assert "'nonce-abc'" in content_policy("abc")


@pytest.mark.parametrize("title", ["<script>alert(1)</script>", '"><img src=x>'])
def test_names_of_runs_are_text(title) -> None:
    assert title not in render_page(title, "abc")


def test_files_are_short() -> None:
    for name, text in own_modules().items():
        assert len(text.splitlines()) < 400, name
