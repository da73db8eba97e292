"""Docstrings and documents keep to the rules of language, length and true paths."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from temporem.runs.config import RunConfig
from temporem.simulation.config import SimulationConfig
from temporem.simulation.schedules import schedule_sections
from temporem.structures.motions import motion_sections

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/temporem"
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
]
RESULTS = [ROOT / "benchmarks/README.md", ROOT / "benchmarks/RESULTS.md"]
GENERATED = {
    "docs/api.md",
    "docs/commands.md",
}  # by docs/generate.py, which another test holds against the code

WRITTEN = [page for page in PAGES + RESULTS if str(page.relative_to(ROOT)) not in GENERATED]

OPENINGS = ("Of ", "Whether", "The same", "As ", "What ")
MOST_WORDS = 35
BANNED = (
    "as if never",
    "be told apart",
    "believe none",
    "found alike",
    "goes on from",
    "go on from",
    "is not told",
    "is said",
    "known again",
    "knows it again",
    "manieth",
    "no part of",
    "of which the",
    "opens nothing",
    "otherwise than",
    "said in one line",
    "somebody else",
    "thereof",
    "to beware",
    "told how far",
    "told of",
    "what there is to",
    "whereof",
    "which is read",
    "written through",
)
"""Phrases that read as translated; say who does what instead."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string that stands alone, as docstrings do."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def sentences(text: str) -> Iterator[str]:
    """Sentences of a Markdown page, without headings, tables, code blocks and images.

    Code or mathematics within a sentence counts as one word.
    """
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^(#|\||\$\$|<!--).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"``.+?``|`[^`]+`|\$[^$]+\$", "CODE", text, flags=re.DOTALL)
    text = re.sub(r"^\s*([-*]|\d+\.)\s", "\n\n", text, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.!?])[*)]*\s+", " ".join(block.split()))


def phrases(text: str) -> list[str]:
    """Banned phrases in a text, also those that cross lines of code or comments."""
    words = " ".join(re.sub(r"[\"'#]+|\bf\"", " ", text).lower().split())
    return [phrase for phrase in BANNED if re.search(rf"\b{phrase}\b", words)]


def code_of(text: str) -> list[str]:
    """Spans of code in the running text of a Markdown page."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


def test_docstrings_open_with_a_verb_or_a_noun() -> None:
    bad = [
        f"{path.relative_to(SOURCE)}:{line}: {text.splitlines()[0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in docstrings(path)
        if text.startswith(OPENINGS)
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_sentences_are_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    long = [s for s in sentences(text) if len(s.split()) > MOST_WORDS]
    assert not long, "\n".join(long)


def test_nothing_reads_as_translated() -> None:
    files = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.jinja"), *SOURCE.rglob("*.yaml"), *WRITTEN]
    found = [
        f"{path.relative_to(ROOT)}: {phrase}"
        for path in sorted(files)
        for phrase in phrases(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_phrases_are_found_across_lines() -> None:
    assert phrases('"told how "\n    "far"') == ["told how far"]
    assert phrases("# a file, which is\n# read") == ["which is read"]
    assert phrases("no particle of it") == []


def test_sentences_are_counted() -> None:
    text = "# Head\n\n- Short one.\n\n" + "word " * 36 + "end.\nNext `a b c` here.\n\n| a | b |\n"
    assert [len(sentence.split()) for sentence in sentences(text) if sentence] == [2, 37, 3]


@pytest.mark.parametrize(
    ("page", "most"), [("README.md", 120), ("benchmarks/RESULTS.md", 250), ("docs/method.md", 300)]
)
def test_pages_are_short(page: str, most: int) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_code_exist(page: Path) -> None:
    """Such as ``physics/forward.py`` or ``structures/motions/``, in the package or the project."""
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    named = [
        code
        for code in code_of(page.read_text(encoding="utf-8"))
        if re.fullmatch(r"[\w/.-]+", code)
        and "/" in code
        and (code.endswith(".py") or (code.endswith("/") and code.split("/")[0] in rooms))
    ]
    missing = [code for code in named if not ((SOURCE / code).exists() or (ROOT / code).exists())]
    assert not missing


@pytest.mark.parametrize(
    "name", ["README.md", "docs/method.md", "docs/data.md", "docs/scaling.md", "docs/poses.md"]
)
def test_settings_that_pages_name_exist(name: str) -> None:
    """Such as ``training.start`` or ``poses.learned=table``, of a run or of a simulation."""
    known = {
        f"{section}.{key}"
        for fields in (RunConfig.model_fields, SimulationConfig.model_fields)
        for section, field in fields.items()
        for key in getattr(field.annotation, "model_fields", ())
    }
    kinds = {"motion": motion_sections(), "schedule": schedule_sections()}
    known |= {
        f"{section}.{key}"
        for section, models in kinds.items()
        for model in models.values()
        for key in model.model_fields
    }
    sections = "|".join({setting.split(".")[0] for setting in known})
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(rf"(?:`|--set )((?:{sections})\.[a-z_]+)\b", text))
    assert {s for s in named if not s.endswith((".md", ".safetensors"))} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        if ":" in name or (heading == "" and name == ""):
            continue
        file = (page.parent / name).resolve() if name else page
        if str(file.relative_to(ROOT)) in GENERATED:
            continue
        assert file.exists(), target
        if heading:
            assert heading in anchors(file.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """Anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
