"""``temporem import``: two commands to a result, and bad input that leaves nothing behind."""

from __future__ import annotations

import json
import resource
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.bad_input import contents, refuse
from helpers.commands import command, succeed
from helpers.foreign import columns_of, cryosparc, save_cs, star_text, write_mrcs
from temporem.frames.readers import read_dataset


@pytest.fixture
def project(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A RELION 3.1 project of dark images, without columns for movies but a group's name."""
    root = tmp_path / "project"
    particles, optics = columns_of(tiny_dataset)
    particles["rlnGroupName"] = particles.pop("rlnParticleName")
    particles["rlnMicrographPreExposure"] = [
        str(1.5 * int(n)) for n in particles.pop("rlnMovieFrameNumber")
    ]
    particles["rlnImageName"] = [f"{i + 1}@Extract/a.mrcs" for i in range(20)]
    write_mrcs(root / "Extract" / "a.mrcs", -100 * read_dataset(tiny_dataset).images[:] + 500)
    (root / "Refine3D").mkdir()
    text = star_text(optics=optics, particles=particles)
    (root / "Refine3D" / "run_data.star").write_text(text, encoding="utf-8")
    return root


RULE = ("--movie-from", "rlnGroupName", "--frame-from", "rlnMicrographPreExposure")


@pytest.mark.integration
def test_from_relion_31_to_a_result_in_two_commands(
    project: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "movies"
    said = succeed("import", project / "Refine3D" / "run_data.star", "-o", out, *RULE)
    assert "5 of 4 frames (images with the same rlnGroupName are a movie" in said
    assert "20 frames are darker in the middle than around it" in said
    assert f"temporem check {out}" in said
    data, before = read_dataset(out), read_dataset(tiny_dataset)
    assert [m.tolist() for m in data.movies] == [m.tolist() for m in before.movies]
    # Inverted, background taken away, scaled: as it was, up to a factor and an offset.
    for one, other in zip(data.images[:], before.images[:], strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98
    with Image.open(out / "montage.png") as picture:
        assert picture.width > 300
        assert len(np.unique(np.asarray(picture))) > 50
    said = succeed("reconstruct", out, "-o", tmp_path / "my run", "--method", "homogeneous")
    assert (tmp_path / "my run" / "mean.mrc").is_file()
    (next_step,) = [line for line in said.splitlines() if line.startswith("Next: ")]
    assert shlex.split(next_step)[3] == f"{tmp_path / 'my run'},"


@pytest.mark.integration
def test_from_cryosparc_to_a_result_in_two_commands(tiny_dataset: Path, tmp_path: Path) -> None:
    write_mrcs(tmp_path / "J1" / "stack.mrcs", -read_dataset(tiny_dataset).images[:])
    cs = save_cs(tmp_path / "J3" / "particles.cs", cryosparc(tiny_dataset, sign=-1))
    out = tmp_path / "movies"
    said = succeed("import", cs, "-o", out, "--frames-per-movie", "4")
    assert "blob/sign says that 20 of 20 images are dark" in said
    succeed("reconstruct", out, "-o", tmp_path / "run", "--method", "homogeneous")
    assert (tmp_path / "run" / "mean.mrc").is_file()


@pytest.mark.integration
def test_check_looks_at_what_import_would_make(project: Path, tmp_path: Path) -> None:
    """It writes nothing, and its last line makes the dataset that it looked at."""
    star, before = project / "Refine3D" / "run_data.star", contents(tmp_path)
    said = succeed("check", star, *RULE, "--size", "8")
    assert "5 movies, 20 frames of 8 x 8 pixels" in said
    assert "20 frames are darker in the middle" in said  # import inverts them, and finds
    assert "ok       contrast" in said
    assert contents(tmp_path) == before
    next_step = shlex.split(said.splitlines()[-1].removeprefix("Next: temporem "))
    succeed(*(str(tmp_path / "movies") if word == "movies" else word for word in next_step))
    assert read_dataset(tmp_path / "movies").box == 8


def test_check_refuses_files_as_import_does(
    project: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    star = project / "Refine3D" / "run_data.star"
    error = refuse(tmp_path, "check", star)
    assert "does not say which images are frames of one molecule" in error
    error = refuse(tmp_path, "check", tiny_dataset, "--no-normalise")
    assert "--no-normalise is for files of other programs" in error
    (tmp_path / "one.txt").write_text("words")
    assert "one.txt" in refuse(tmp_path, "check", star, tmp_path / "one.txt")


def test_json_dry_run_and_overwrite(project: Path, tmp_path: Path) -> None:
    star, out = project / "Refine3D" / "run_data.star", tmp_path / "movies"
    dry = json.loads(succeed("import", star, "-o", out, *RULE, "--dry-run", "--json"))
    assert dry["dataset"] is None
    assert not out.exists()
    wet = json.loads(succeed("import", star, "-o", out, *RULE, "--json"))
    assert (wet["dataset"], wet["facts"]) == (str(out), dry["facts"])
    assert json.loads((out / "source" / "import.json").read_text())["facts"] == wet["facts"]
    assert "exists" in refuse(tmp_path, "import", star, "-o", out, *RULE)
    succeed("import", star, "-o", out, *RULE, "--overwrite", "--size", "8")
    assert read_dataset(out).box == 8


def test_overwrite_replaces_only_what_import_wrote(
    project: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    star = project / "Refine3D" / "run_data.star"
    error = refuse(tmp_path, "import", star, "-o", project, *RULE, "--overwrite")
    assert "not replaced" in error
    other = tmp_path / "other"
    other.mkdir()
    (other / "particles.star").write_text("mine")
    error = refuse(tmp_path, "import", star, "-o", other, *RULE, "--overwrite")
    assert "is not an imported dataset" in error


def test_without_a_rule_nothing_is_guessed(project: Path, tmp_path: Path) -> None:
    star = project / "Refine3D" / "run_data.star"
    error = refuse(tmp_path, "import", star, "-o", tmp_path / "movies")
    assert "does not say which images are frames of one molecule" in error
    assert "rlnGroupName (5 movies of 4 frames)" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--frames-per-movie", "3"), "no multiple of 3"),
        (("--movie-from", "rlnGroupname"), "no column rlnGroupname; expected rlnGroupName"),
        ((*RULE, "--size", "15"), "an even number"),
        ((*RULE, "--size", "16.4"), "--size 16.4; expected a whole number"),
        (("--frames-per-movie", "2.5"), "--frames-per-movie 2.5; expected a whole number"),
        ((*RULE, "--size", "18"), "no more pixels"),
        ((*RULE, "--pixel-size", "1"), "no finer"),
        ((*RULE, "--pixel-size", "nan"), "--pixel-size nan"),
        ((*RULE, "--input-pixel-size", "-4"), "--input-pixel-size -4"),
        ((*RULE, "--voltage", "inf"), "--voltage inf"),
        ((*RULE, "--datadir", "nowhere"), "is not a folder"),
        ((*RULE, "--ignore", "rlnCtfBfactor"), "there is nothing to ignore"),
        ((*RULE, "--invert", "perhaps"), "--invert"),
    ],
)
def test_bad_options_are_one_clear_line(
    project: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    star = project / "Refine3D" / "run_data.star"
    error = refuse(tmp_path, "import", star, "-o", tmp_path / "movies", *options)
    assert message in error


def test_files_that_are_no_images(tmp_path: Path) -> None:
    out = tmp_path / "movies"
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.star").write_text("data_\n\nloop_\n_rlnImageName\n")
    (tmp_path / "a.csv").write_text("image\n1\n")
    for name, message in (
        ("a.txt", "its name does not tell what it is"),
        ("none.star", "does not exist"),
        ("none.mrcs", "does not exist"),
        ("empty", "has no stacks"),
        ("a.star", "has no rows"),
        ("a.csv", "no images to import"),
    ):
        assert message in refuse(tmp_path, "import", tmp_path / name, "-o", out)


def test_a_name_with_a_line_break_stays_in_one_line(project: Path, tmp_path: Path) -> None:
    path = project / "two\nlines.star"
    path.write_text("data_\n")
    assert "two lines.star" in refuse(tmp_path, "import", path, "-o", tmp_path / "movies")


def test_a_large_stack_is_read_in_parts(tmp_path: Path) -> None:
    """500 MB of images take no such memory."""
    n, box = 2000, 256
    header = write_mrcs(tmp_path / "one.mrcs", np.zeros((1, box, box)), 2.0).read_bytes()[:1024]
    stack = tmp_path / "a.mrcs"
    with stack.open("wb") as file:
        file.write(header[:8] + np.int32(n).tobytes() + header[12:])
        row = np.random.default_rng(0).normal(size=(8, box, box)).astype("<f4").tobytes()
        for _ in range(n // 8):
            file.write(row)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    options = ("--ctf", "none", "--frames-per-movie", "10", "--size", "16", "--invert", "no")
    succeed("import", stack, "-o", tmp_path / "movies", *options)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 400  # MB
    assert read_dataset(tmp_path / "movies").n_frames == n


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_star_files_leave_a_dataset_or_one_line(
    project: Path, tmp_path: Path, data: st.DataObject
) -> None:
    star = project / "Refine3D" / "fuzzed.star"
    content = bytearray((project / "Refine3D" / "run_data.star").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=3))
    star.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    result = command("import", star, "-o", tmp_path / "out", *RULE, "--dry-run")
    assert result.code in (0, 2)
    assert not (tmp_path / "out").exists()
    if result.code == 2:
        assert result.err.startswith("error: ")
        assert result.err.count("\n") == 1
