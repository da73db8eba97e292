"""Movies: their pictures, speed and size, and what happens where one cannot be written."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from helpers.bad_input import refuse
from helpers.commands import command, succeed
from helpers.exports import make_job
from temporem.errors import TemporemError
from temporem.exporting.formats import FORMATS
from temporem.exporting.gif import Gif
from temporem.exporting.movie import Movie
from temporem.exporting.mp4 import Mp4
from temporem.exporting.png import Png, side_by_side
from temporem.runs.run import Run
from temporem.runs.series import Series


def gif_pictures(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        frames = []
        for i in range(file.n_frames):  # type: ignore[attr-defined]
            file.seek(i)
            frames.append(np.array(file.convert("RGB")))
        return np.stack(frames)


def mp4_pictures(path: Path) -> tuple[dict, np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    width, height = facts["size"]
    return facts, np.stack([np.frombuffer(p, np.uint8).reshape(height, width, 3) for p in reader])


def orange(pictures: np.ndarray) -> np.ndarray:
    """Pixels of each picture in the colour of what moves, without the key."""
    body = pictures[:, : int(0.85 * pictures.shape[1])].astype(int)
    return ((body[..., 0] - body[..., 2]) > 60).sum((1, 2))


def test_gif_shows_each_volume(run: Run, series: Series, tmp_path: Path) -> None:
    """The ball that moves is hidden, half there, and whole."""
    Gif().write(make_job(run, series, tmp_path / "a.gif", size=160, fps=4))
    pictures = gif_pictures(tmp_path / "a.gif")
    assert pictures.shape == (3, 160, 160, 3)
    assert orange(pictures)[0] < 30
    assert orange(pictures)[2] > 300
    with Image.open(tmp_path / "a.gif") as file:
        assert file.info["duration"] == 250
        assert file.info["loop"] == 0


def test_mp4_shows_the_same(run: Run, series: Series, tmp_path: Path) -> None:
    Mp4().write(make_job(run, series, tmp_path / "a.mp4", size=160, fps=5))
    Gif().write(make_job(run, series, tmp_path / "a.gif", size=160))
    facts, pictures = mp4_pictures(tmp_path / "a.mp4")
    assert facts["size"] == (160, 160)
    assert facts["fps"] == pytest.approx(5)
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    gif = gif_pictures(tmp_path / "a.gif").astype(float)
    assert pictures.shape == gif.shape
    assert np.abs(pictures - gif).mean() < 8  # of 255: compression


def test_png_shows_the_same_side_by_side(run: Run, series: Series, tmp_path: Path) -> None:
    """The pictures of the movie, one beside the other."""
    job = make_job(run, series, tmp_path / "a.png", size=160)
    assert "Surface at level" in Png().write(job)[0]
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (160, 480, 3)
    np.testing.assert_array_equal(np.split(picture, 3, axis=1), list(Movie(job).pictures()))


def test_many_pictures_go_into_even_rows() -> None:
    pictures = [np.full((4, 4, 3), i, np.uint8) for i in range(7)]
    sheet = side_by_side(pictures)
    assert sheet.shape == (8, 16, 3)  # four and three
    assert sheet[0, 12, 0] == 3
    assert sheet[4, 8, 0] == 6
    assert (sheet[4:, 12:] == 255).all()


def test_too_many_volumes_for_one_picture_are_refused(
    run: Run, series: Series, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temporem.exporting.png.MOST", 2)
    with pytest.raises(TemporemError, match="3 volumes do not fit into one picture"):
        Png().write(make_job(run, series, tmp_path / "a.png"))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "other"), [("gif", "a.mp4"), ("mp4", "a.gif"), ("png", "a")])
def test_ending_must_fit(format: str, other: str, tiny_runs, tmp_path: Path) -> None:
    arguments = ("export", tiny_runs["tempor"], "--format", format, "-o", tmp_path / other)
    assert f"expected a name that ends in .{format}" in refuse(tmp_path, *arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "99"), "--size 99; expected an even number from 100 to 4096"),
        (("--size", "301"), "--size 301"),
        (("--size", "100000"), "--size 100000"),
        (("--fps", "0"), "--fps 0"),
        (("--fps", "nan"), "--fps nan"),
        (("--crop", "7"), "--crop 7"),
        (("--level", "1e9"), "no voxel exceeds the level 1e+09"),
        (("--deviation",), "--deviation writes MRC files"),
        (("--resume",), "--resume continues folders of MRC files, not gif"),
        (("--latent", "0.5", "--path", "0:1:3"), "--latent and --path exclude each other"),
        (("--clusters", "2", "--movie", "movie_0001"), "--clusters and --movie exclude"),
        (("--latent", "1,2,3,4,5,6,7,8,9"), "no latent of"),
        (("--along", "PC99"), "expected PC1"),
    ],
)
def test_bad_options(options, message, tiny_runs, tmp_path: Path) -> None:
    arguments = ("export", tiny_runs["tempor"], "--format", "gif", "-o", tmp_path / "a.gif")
    assert message in refuse(tmp_path, *arguments, *options)


def test_method_without_latents_is_refused(tiny_runs, tmp_path: Path) -> None:
    arguments = ("export", tiny_runs["homogeneous"], "--latent", "1", "-o", tmp_path / "v")
    assert "which has no latents" in refuse(tmp_path, *arguments)


def test_existing_movie_is_kept(tiny_runs, tmp_path: Path) -> None:
    out = tmp_path / "a.gif"
    out.write_text("mine")
    arguments = ("export", tiny_runs["tempor"], "--frames", "0,1", "--format", "gif")
    arguments += ("--size", "100", "-o", out)
    assert "exists" in refuse(tmp_path, *arguments)
    succeed(*arguments, "--overwrite")
    assert len(gif_pictures(out)) == 2


def test_latents_far_from_the_data_are_warned_of(tiny_runs, tmp_path: Path) -> None:
    arguments = ("export", tiny_runs["tempor"], "--latent", "1e6", "-o", tmp_path / "v")
    result = command(*arguments)
    if result.code == 2:  # the run has more dimensions
        n = int(result.err.split("no latent of ")[1].split()[0])
        latent = ",".join(["1e6"] * n)
        result = command("export", tiny_runs["tempor"], "--latent", latent, "-o", tmp_path / "v")
    assert result.code == 0
    assert result.out.startswith("Caution: 1 of 1 latents lie where no frame is: 1e+06")


def test_missing_encoder_is_named_with_the_alternative(tiny_runs, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    arguments = ("export", tiny_runs["tempor"], "--format", "mp4", "-o", tmp_path / "a.mp4")
    message = refuse(tmp_path, *arguments)
    assert "pip install 'temporem[movie]', or pass --format gif" in message


@pytest.mark.parametrize("format", [Mp4(), Gif()], ids=lambda format: format.name)
def test_movie_that_does_not_fit_on_the_disk(format, run: Run, series: Series, tmp_path) -> None:
    """A limit on the size of files stands for the disk; nothing is left."""
    job = make_job(run, series, tmp_path / f"a.{format.name}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        with pytest.raises(TemporemError, match=f"cannot write .*a.{format.name}"):
            format.write(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_format() -> None:
    said = succeed("export", "--help")
    assert all(name in said for name in FORMATS)
    for name in FORMATS:
        result = command("export", "absent", "--format", name, "-o", "x")
        assert "absent does not exist" in result.err
