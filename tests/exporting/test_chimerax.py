"""Folders for ChimeraX: every line is a documented command, and does what it should."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from helpers.bad_input import refuse
from helpers.commands import succeed
from helpers.exports import BOX, make_job
from temporem.exporting.chimerax import ChimeraX
from temporem.runs.run import Run
from temporem.runs.series import Series, frames_series

NUMBER = r"-?\d+(\.\d+)?(e-?\d+)?"
INTEGER, BOOLEAN, TEXT = r"\d+", "true|false", r".+"
PAIR = rf"{NUMBER},{NUMBER}"
COLOUR = r"#[0-9a-f]{6}|black|white|gray"
MODEL = r"#\d+(\.\d+)?"
STOPS = rf"{NUMBER},({COLOUR})(:{NUMBER},({COLOUR}))+"

# Command: patterns of what follows it, then its keywords, as the user documentation has them.
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "open": ((r"[\w?*.-]+",), {"vseries": BOOLEAN}),
    "volume": (
        (MODEL,),
        {
            "style": "surface|mesh|image",
            "step": INTEGER,
            "level": NUMBER,
            "color": COLOUR,
            "hide": "",
            "show": "",
        },
    ),
    "set": ((), {"bgColor": COLOUR}),
    "lighting": (("simple|full|soft|gentle|flat",), {}),
    "graphics silhouettes": ((BOOLEAN,), {"width": NUMBER, "color": COLOUR}),
    "windowsize": ((INTEGER, INTEGER), {}),
    "view": ((MODEL,), {}),
    "key": ((rf"({COLOUR}):\w*",) * 2, {"pos": PAIR, "size": PAIR}),
    "2dlabels create": (
        (r"\w+",),
        {"text": TEXT, "xpos": NUMBER, "ypos": NUMBER, "size": INTEGER, "color": COLOUR},
    ),
    "2dlabels change": ((r"\w+",), {"text": TEXT}),
    "vseries play": ((MODEL,), {"jumpTo": INTEGER, "loop": BOOLEAN}),
    "vseries slider": ((MODEL,), {}),
    "color sample": ((MODEL,), {"map": MODEL, "palette": STOPS}),
    "wait": ((INTEGER,), {}),
    "movie record": ((), {"size": rf"{INTEGER},{INTEGER}", "supersample": INTEGER}),
    "movie encode": ((r"[\w.]+",), {"quality": "low|medium|high", "framerate": NUMBER}),
}


def parse(line: str) -> tuple[str, list[str], dict[str, str]]:
    """Command, what follows, and keywords; fails where the line is not as documented."""
    words = shlex.split(line)
    command = words[0] if words[0] in COMMANDS else " ".join(words[:2])
    assert command in COMMANDS, line
    rest = words[len(command.split()) :]
    follows, keywords = COMMANDS[command]
    given, rest = rest[: len(follows)], rest[len(follows) :]
    assert len(given) == len(follows), line
    assert all(re.fullmatch(p, word) for p, word in zip(follows, given, strict=True)), line
    options: dict[str, str] = {}
    while rest:
        name = rest.pop(0)
        assert name in keywords, line
        assert name not in options, line
        options[name] = rest.pop(0) if keywords[name] else ""
        assert re.fullmatch(keywords[name], options[name]), line
    return command, given, options


def commands(path: Path) -> list[tuple[str, list[str], dict[str, str]]]:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert all(lines)
    return [parse(line) for line in lines if not line.startswith("#")]


@pytest.fixture
def folder(run: Run, series: Series, tmp_path: Path) -> Path:
    ChimeraX().write(make_job(run, series, tmp_path / "v"))
    return tmp_path / "v"


@pytest.mark.parametrize("script", ["view.cxc", "movie.cxc"])
def test_every_line_is_a_documented_command(script: str, folder: Path) -> None:
    assert len(commands(folder / script)) > 10


def test_pattern_opens_the_volumes_in_their_order(folder: Path, run: Run) -> None:
    (_, (pattern,), options), (_, (motion,), _) = commands(folder / "view.cxc")[:2]
    assert options == {"vseries": "true"}
    files = sorted(path.name for path in folder.glob(pattern))
    assert [name.split("_")[2] for name in files] == ["000000", "000010", "000019"]
    assert files[1] == "0001_frame_000010_movie_0003_0003_3s.mrc"
    assert motion == "motion.mrc"
    for name, row in zip(files, (0, 10, 19), strict=True):
        with mrcfile.open(folder / name) as file:
            np.testing.assert_allclose(file.data, run.voxels(np.array([row]))[0], atol=1e-5)


def test_order_is_that_asked_for(run: Run, tmp_path: Path) -> None:
    """Frames of a movie need not be in the order of their rows."""
    ChimeraX().write(make_job(run, frames_series(run, np.array([9, 2, 14])), tmp_path / "v"))
    files = sorted(path.name for path in (tmp_path / "v").glob("????_*.mrc"))
    assert [int(name.split("_")[2]) for name in files] == [9, 2, 14]


@pytest.mark.parametrize("script", ["view.cxc", "movie.cxc"])
def test_each_volume_is_shown_and_coloured_after_it_is_drawn(script: str, folder: Path) -> None:
    steps = commands(folder / script)
    shown = [int(o["jumpTo"]) for name, _, o in steps if name == "vseries play"]
    if script == "view.cxc":
        assert shown == [0, 1, 2, 0]
        assert steps[-1][0] == "vseries slider"
    else:
        start = [name for name, _, _ in steps].index("movie record")
        shown = [int(o["jumpTo"]) for name, _, o in steps[start:] if name == "vseries play"]
        assert shown == [0, 1, 2]
        assert steps[-1][:2] == ("movie encode", ["movie.mp4"])
    for i, (name, _, options) in enumerate(steps):
        if name == "vseries play":
            kinds = [step[0] for step in steps[i + 1 : i + 5]]
            assert kinds == ["2dlabels change", "wait", "color sample", "wait"]
            assert steps[i + 3][1] == [f"#1.{int(options['jumpTo']) + 1}"]


def test_level_lies_between_background_and_molecule(folder: Path, run: Run) -> None:
    (level,) = [float(o["level"]) for name, _, o in commands(folder / "view.cxc") if "level" in o]
    assert 0.2 < level < 0.8
    ChimeraX().write(
        make_job(run, frames_series(run, np.arange(3)), folder.parent / "other", level=0.125)
    )
    assert "level 0.125 color" in (folder.parent / "other/view.cxc").read_text()


def test_colours_follow_what_moves(folder: Path) -> None:
    with mrcfile.open(folder / "motion.mrc") as file:
        motion = np.array(file.data)
        assert file.voxel_size.x == pytest.approx(8.0)
    middle = BOX // 2
    assert motion[middle, middle, middle + 4] == 1
    assert motion[middle, middle, middle - 4] == 0


def test_cropped_volumes_and_their_colours_lie_in_one_place(run: Run, series, tmp_path) -> None:
    ChimeraX().write(make_job(run, series, tmp_path / "v", crop=12))
    for path in (tmp_path / "v").glob("*.mrc"):
        with mrcfile.open(path) as file:
            assert file.data.shape == (12, 12, 12)
            assert file.header.origin.item() == (16, 16, 16)


def test_names_of_movies_cannot_break_out_of_a_command(run: Run, tmp_path: Path) -> None:
    evil = 'a"; exit; open "http://x'
    odd = replace(run, particle_names=[evil] * run.n_frames)
    ChimeraX().write(make_job(odd, frames_series(odd, np.array([0, 5])), tmp_path / "v"))
    for name, _, options in commands(tmp_path / "v/view.cxc"):
        if name.startswith("2dlabels") and "movie" not in options.get("text", ""):
            assert not set(options["text"]) & set('";\\\\')
    assert len(list((tmp_path / "v").glob("*.mrc"))) == 3


def test_one_volume_is_no_series(run: Run, tmp_path: Path) -> None:
    ChimeraX().write(make_job(run, frames_series(run, np.array([4])), tmp_path / "v"))
    steps = commands(tmp_path / "v/view.cxc")
    assert not [name for name, _, _ in steps if name.startswith("vseries")]
    assert steps[0][2] == {}


def test_command_writes_a_folder_and_names_the_next_step(tiny_runs, tmp_path: Path) -> None:
    out = tmp_path / "my volumes"
    arguments = ("export", tiny_runs["tempor"], "--along", "PC1:3", "--format", "chimerax")
    said = succeed(*arguments, "-o", out)
    assert said.splitlines()[0] == f"3 volumes: {out}"
    assert said.splitlines()[-1] == f'Next, in ChimeraX:  open "{out / "view.cxc"}"'
    assert len(list(out.glob("000?_pc1_00?_z_*.mrc"))) == 3
    assert "exists" in refuse(tmp_path, *arguments, "-o", out)
    level = (*arguments, "-o", tmp_path / "w", "--level", "1e9")
    assert "no voxel exceeds the level 1e+09" in refuse(tmp_path, *level)
    next(out.glob("0001_*.mrc")).unlink()
    succeed(*arguments, "-o", out, "--resume")
    assert len(list(out.glob("000?_*.mrc"))) == 3
    succeed(*arguments, "-o", out, "--overwrite")
    assert "--deviation writes MRC files" in refuse(
        tmp_path, *arguments, "-o", tmp_path / "w", "--deviation"
    )
