"""The site builds without a warning, needs no network, and shows equations."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    words = ["-W", "--keep-going", "-q", "-d", str(out / "trees"), str(DOCS), str(out / "html")]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


@pytest.mark.integration
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"([^\"]*)\"", text)
        assert loaded
        assert not [name for name in loaded if re.match(r"(https?:)?//", name)], page.name
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?https?:", styles)


@pytest.mark.integration
def test_equations_are_drawn_by_the_browser(site: Path) -> None:
    for name, least in (("method", 10), ("equations", 25), ("evaluation", 3)):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert text.count("<math") >= least
        shown = re.sub(r"<(math|code|pre|script)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert "$" not in shown
        assert "\\hat" not in shown
    assert list((site / "_static" / "fonts").glob("*.woff2"))


@pytest.mark.integration
def test_results_of_the_repository_are_a_page(site: Path) -> None:
    text = (site / "results.html").read_text(encoding="utf-8")
    assert "Aims and measurements" in text
    assert re.search(r'href="_downloads/\w+/results.csv"', text)


def test_the_font_of_equations_is_the_one_that_was_vendored() -> None:
    font = (DOCS / "_static/fonts/STIXTwoMath.woff2").read_bytes()
    style = (DOCS / "_static/site.css").read_text(encoding="utf-8")
    assert hashlib.sha256(font).hexdigest() in style
    assert "SIL Open Font License" in (DOCS / "_static/fonts/OFL.txt").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation() -> None:
    def files(part: object) -> list[str]:
        match part:
            case dict():
                own = [str(part["file"])] if "file" in part else []
                return own + [name for value in part.values() for name in files(value)]
            case list():
                return [name for value in part for name in files(value)]
        return []

    contents = yaml.safe_load((DOCS / "_toc.yml").read_text(encoding="utf-8"))
    pages = [path.relative_to(DOCS) for path in [*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md")]]
    assert sorted([contents["root"], *files(contents)]) == sorted(
        str(page.with_suffix("")) for page in pages
    )


def test_every_equation_has_a_function_that_exists() -> None:
    text = (DOCS / "equations.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py):([\w.]+)`", text)
    assert len(named) > 40
    for file, name in named:
        code = (ROOT / "src/temporem" / file).read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"^ *(?:def|class) {part}\b", code, re.MULTILINE), f"{file}:{name}"
    for equation in re.split(r"^\$\$.*\$\$$", text, flags=re.MULTILINE)[1:]:
        assert re.match(r"\s*(?:`[\w/]+\.py:|Volumes)", equation), equation[:80]
