"""Commands that pages show run, in small, and fail with the errors that the pages quote."""

from __future__ import annotations

import glob
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import UnknownCommandError, UnknownOptionError

from helpers.commands import TINY_TRAINING, command, settings
from helpers.short_search import shorten_searches
from temporem.cli.main import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

spec = importlib.util.spec_from_file_location("shell_pages", DOCS / "shell_pages.py")
assert spec is not None
assert spec.loader is not None
shell_pages = importlib.util.module_from_spec(spec)
sys.modules["shell_pages"] = shell_pages  # where dataclasses look for their module
spec.loader.exec_module(shell_pages)

RUN = ["README.md", "docs/start.md", "docs/faq.md", "docs/poses.md"]
RUN += [str(page.relative_to(ROOT)) for page in sorted((DOCS / "tutorials").glob("*.md"))]
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "tutorials").glob("*.md"))]

SMALL = ("movies=8", "box=16", "pixel_size_angstrom=8", "snr=3")
SMALL_FIT = ("linear.components=1", "linear.iterations=1", "poses.effort=1")
SMALL_FIELD = ("movies=6", "frames_per_movie=8", "field.width=160", "field.particles=3")


def in_small(words: list[str]) -> list[str]:
    """Words of a command of which a page shows the full size."""
    match words[0]:
        case "simulate":
            small = SMALL_FIELD if "--field" in words else SMALL
            return ["simulate", "toy-free", *words[2:], *settings(small)]
        case "reconstruct":
            return [*words, *settings((*TINY_TRAINING, *SMALL_FIT))]
        case "export" if "gif" in words:
            return [*words, "--size", "100"]
    return words


def masked(text: str) -> str:
    """A message without its numbers, which depend on size and noise."""
    return re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", text.strip())


def run(line: str) -> str:
    """Run a line of a page in small, in the working folder; returns the error that it prints."""
    words = [name for word in shlex.split(line) for name in glob.glob(word) or [word]]
    if words[0] == "source":  # the environment is that of the tests
        return ""
    if words[:2] == ["temporem", "view"]:  # serves until it is stopped; tests/viewing runs it
        return ""
    if words[0] != "temporem":
        done = subprocess.run(["bash", "-ec", line], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return ""
    result = command(*in_small(words[1:]))
    assert result.code in (0, 2), f"{line}\n{result.err}"
    return result.err if result.code else ""


@pytest.mark.integration
@pytest.mark.parametrize("page", RUN)
def test_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_searches(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for name, value in shell_pages.environment().items():
        monkeypatch.setenv(name, value)
    n_run = 0
    for block in shell_pages.blocks(ROOT / page):
        if block.skipped:
            continue
        for line in block.first:
            assert run(line) == "", line
        errors = [run(line) for line in block.commands]
        if block.fails:
            assert [masked(error.replace(f"{tmp_path}/", "")) for error in errors] == [
                masked(block.output)
            ]
        else:
            assert errors == [""] * len(errors), block.commands
        n_run += len(errors)
    assert n_run, "nothing ran"


def test_few_blocks_are_left_out() -> None:
    """Only those that need files of the reader's, a network, or minutes."""
    blocks = [block for page in RUN for block in shell_pages.blocks(ROOT / page)]
    assert sum(block.skipped for block in blocks) <= 5
    assert len(blocks) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    """On every page, also in blocks that do not run."""
    for block in shell_pages.blocks(page):
        for line in "\n".join(block.commands).splitlines():
            found = re.match(r"\s*temporem (.*)", line)
            if found is None or "$(" in line:
                continue
            try:
                app.parse_args(shlex.split(found[1]), exit_on_error=False, print_error=False)
            except (UnknownCommandError, UnknownOptionError) as error:
                pytest.fail(f"{line}: {error}")
            except Exception:  # files that are not there
                continue


def test_a_note_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- run: maybe -->\n```sh\ntrue\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match="maybe"):
        list(shell_pages.blocks(page))


def test_blocks_are_read_with_their_notes_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shown = "```sh\nls \\\n    x  # a file\n```\n\n```text\nerror: no\n```\n"
    page.write_text(f"<!-- run: first touch x -->\n{shown}", encoding="utf-8")
    (block,) = shell_pages.blocks(page)
    assert (block.first, block.commands) == (["touch x"], ["ls x"])
    assert block.fails
    assert not block.skipped


def test_output_is_renewed_where_it_stands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A\n```sh\necho new\n```\n\n```text\nold\n```\nB\n", encoding="utf-8")
    shell_pages.refresh(page, tmp_path / "folder")
    assert page.read_text(encoding="utf-8").splitlines()[6] == "new"
