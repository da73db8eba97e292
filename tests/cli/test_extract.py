"""From a simulated field to a dataset, and what ``extract`` refuses."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.bad_input import refuse
from helpers.commands import command, settings, succeed
from helpers.shared import SHARED
from helpers.short_search import shorten_searches
from temporem.extraction.boxes import background_disc
from temporem.frames.readers import read_dataset
from temporem.io.mrc import open_stack, read_volume, write_stack
from temporem.io.positions import read_positions
from temporem.io.star import read_star
from temporem.physics.poses import Poses
from temporem.simulation.drawing import FrameTable
from temporem.simulation.field_truth import read_field_truth
from temporem.simulation.images import clean_images
from temporem.simulation.nuisances import Nuisances
from temporem.simulation.truth import read_truth_of

SMALL = (
    *("movies=4", "frames_per_movie=[8, 10]", "box=16", "pixel_size_angstrom=8", "snr=2"),
    *("field.width=112", "field.particles=2", "ctf.defocus_angstrom=[14000, 14000]"),
    "field.diffusion_angstrom2_per_second=160",
)
OPTIONS = ("--diameter", 100, "--box", 16, "--frame-time", 0.1, "--dose", 2)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two fields of two particles each. Not to be changed."""
    folder = tmp_path_factory.mktemp("field") / "field"
    succeed("simulate", "toy-free", "-o", folder, "--field", *settings(SMALL))
    return folder


@pytest.fixture(scope="module")
def extracted(field, tmp_path_factory):
    """Their dataset, with truth. Not to be changed."""
    folder = tmp_path_factory.mktemp("extracted") / "movies"
    movies = sorted(field.glob("*.mrc"))
    optics = ("--voltage", 300, "--cs", 2.7, "--defocus", 14000)
    succeed("extract", *movies, "-o", folder, *OPTIONS, *optics, "--truth", field)
    return folder


def test_fields_are_counts_with_particles_as_strong_as_said(field):
    movies = sorted(field.glob("*.mrc"))
    known = read_field_truth(field)
    assert [path.name for path in movies] == ["field_01.mrc", "field_02.mrc"]
    pixels = open_stack(movies[0]).read()
    assert pixels.shape == (10, 112, 112)
    assert (pixels == np.rint(pixels)).all()
    assert pixels.mean() == pytest.approx(2 * 8**2, rel=0.05)
    still = np.concatenate([pixels[:, :20, :20], pixels[:, -20:, -20:]])
    assert np.diff(still, axis=0).var() / 2 == pytest.approx(pixels.mean(), rel=0.2)
    assert known.positions.min() > 8
    assert known.positions.max() < 104


def test_the_dataset_is_an_ordinary_one(extracted):
    data = read_dataset(extracted)
    assert data.n_movies == 4
    assert data.box == 16
    assert data.pixel_size_angstrom == 8
    assert not data.has_poses
    assert np.allclose(data.ctf.defocus_u_angstrom, 14000)
    assert np.allclose(data.times_seconds, 0.1 * (data.frame_numbers - 1))
    outside = data.images[:][:, background_disc(16, 100 / 8)]
    assert np.median(outside.std(axis=1)) == pytest.approx(1, abs=0.1)
    columns = read_star(extracted / "particles.star")["particles"]
    tracks = read_positions(extracted / "extraction/tracks.csv")
    assert np.allclose(columns.floats("rlnCoordinateX"), tracks.places[:, 0], atol=0.01)
    assert np.allclose(columns.floats("rlnMicrographPreExposure"), 2 * (data.frame_numbers - 1))


def test_what_lies_beside_it(extracted):
    folder = extracted / "extraction"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["scores"]["recall"] > 0.9
    assert summary["scores"]["precision"] > 0.8
    assert summary["scores"]["rms_error_pixels"] < 1.5
    tracks = read_positions(folder / "tracks.csv")
    assert len(tracks.frames) == summary["images"]
    noise = read_star(extracted / "noise.star")["noise"]
    assert noise.floats("temporemNoisePower")[4:8] == pytest.approx([1] * 4, abs=0.15)
    # Electrons are counted: the noise is the root of their mean, 2 a square Å.
    for movie in summary["movies"]:
        assert movie["noise_deviation"] == pytest.approx((2 * 8**2) ** 0.5, rel=0.1)
    for name in ("best.png", "worst.png", "field_01.gif", "field_02.gif"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 50


def test_truth_of_the_images_is_that_of_the_nearest_particle(extracted, field):
    data = read_dataset(extracted)
    truth = read_truth_of(data)
    assert truth.known is not None
    assert truth.known.mean() > 0.8
    shifts = truth.poses.shifts_angstrom[truth.known]
    assert shifts.norm(dim=1).median() < 12  # within about a pixel of 8 Å
    known = read_field_truth(field)
    assert set(truth.states) <= set(known.truth.states)


def test_known_places_are_cut_out_exactly(field, tmp_path):
    table = field / "truth/positions.csv"
    movies = sorted(field.glob("*.mrc"))
    succeed(
        *("extract", *movies, "-o", tmp_path / "d", *OPTIONS),
        *("--positions", table, "--truth", field),
    )
    summary = json.loads((tmp_path / "d/extraction/summary.json").read_text())
    assert summary["scores"]["error_pixels"] == 0
    assert summary["scores"]["purity"] == 1
    truth = read_truth_of(read_dataset(tmp_path / "d"))
    assert truth.poses.shifts_angstrom.abs().max() < 0.01


def flawless(n: int) -> Nuisances:
    zero = torch.zeros(n)
    return Nuisances(
        background=zero,
        gradient=torch.zeros(n, 2),
        scale=torch.ones(n),
        junk=zero.bool(),
        defocus_error_angstrom=zero,
        transmission=torch.ones(n),
        b_factor_angstrom2=zero,
        turn_degrees=torch.zeros(n, 3),
        move_angstrom=torch.zeros(n, 2),
    )


def test_images_show_the_particles_where_the_truth_says(extracted):
    """The true molecule in its true pose and shift matches the images best where it is."""
    data = read_dataset(extracted)
    truth = read_truth_of(data)
    rows = truth.known_rows
    index = torch.from_numpy(rows)

    def match(x: float, y: float) -> float:
        moved = truth.poses.shifts_angstrom + 8 * torch.tensor([x, y]).double()
        frames = FrameTable(
            states=truth.states[rows],
            parameters=truth.parameters[index],
            poses=Poses(truth.poses.rotations, moved)[index],
            ctf=data.ctf[index],
            times_seconds=truth.times_seconds[rows],
            particle_names=[data.particle_names[row] for row in rows],
            frame_numbers=truth.frame_numbers[rows],
            nuisances=flawless(len(rows)),
        )
        return float((clean_images(truth.config, truth.motion, frames, None) * images).sum())

    images = data.images[rows]
    here = match(0, 0)
    for step in ((0.5, 0), (0, 0.5)):
        before, after = match(-step[0], -step[1]), match(*step)
        peak = 0.25 * (before - after) / (before - 2 * here + after)
        assert before < here > after
        assert abs(peak) < 0.15  # pixels; the images' places are off by more


def test_without_defocus_images_have_no_ctf(field, tmp_path):
    out = succeed("extract", field / "field_01.mrc", "-o", tmp_path / "d", *OPTIONS)
    assert "no --defocus" in out
    assert (read_dataset(tmp_path / "d").ctf.amplitude_contrast == 1).all()


def test_binning(field, tmp_path):
    succeed(
        *("extract", field / "field_01.mrc", "-o", tmp_path / "d", "--diameter", 100),
        *("--box", 8, "--bin", 2),
    )
    data = read_dataset(tmp_path / "d")
    assert (data.box, data.pixel_size_angstrom) == (8, 16)


def test_an_existing_dataset_is_kept(extracted, field):
    message = refuse(extracted, "extract", field / "field_01.mrc", "-o", extracted, *OPTIONS)
    assert "exists" in message


def test_only_what_extract_wrote_is_replaced(field, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    message = refuse(
        *(tmp_path, "extract", field / "field_01.mrc", "-o", tmp_path / "mine", "--overwrite"),
        *OPTIONS,
    )
    assert "is not an extracted dataset" in message


@pytest.mark.integration
def test_a_movie_of_a_microscope_is_taken_to_its_end(tmp_path, monkeypatch):
    """An SER file of TIA: two commands from the microscope to a volume. What it shows is noise."""
    shorten_searches(monkeypatch)
    movie = SHARED / "specimens/vendor/64x64x5_TEM_preview_1.ser"
    out = succeed("extract", movie, "-o", tmp_path / "movies", "--diameter", 400)
    assert "tracks are weak" in out
    data = read_dataset(tmp_path / "movies")
    assert data.pixel_size_angstrom == pytest.approx(62.818, abs=0.001)
    options = ("--method", "homogeneous", "--poses", "estimate", "--set", "data.checks=warn")
    succeed("reconstruct", tmp_path / "movies", "-o", tmp_path / "run", *options)
    mean = read_volume(tmp_path / "run/mean.mrc", data.box, pixel_size_angstrom=62.818)
    assert mean.std() > 0


@pytest.mark.integration
def test_one_particle_is_said_to_be_too_few(tmp_path):
    movie = SHARED / "specimens/liquid/nanorods_movie_jpeg"
    options = ("--diameter", 50, "--pixel-size", 1, "--box", 76)
    out = succeed("extract", movie, "-o", tmp_path / "d", *options)
    assert "the movie of one particle, and every method needs two" in out
    message = refuse(
        *(tmp_path, "reconstruct", tmp_path / "d", "-o", tmp_path / "run"),
        *("--method", "homogeneous", "--poses", "estimate"),
    )
    assert "expected at least 2" in message


def test_pixels_that_are_not_square_need_a_pixel_size(tmp_path):
    movie = SHARED / "specimens/vendor/20241021_00405_movie.mrc"
    message = refuse(tmp_path, "extract", movie, "-o", tmp_path / "d", "--diameter", 5)
    assert "_info.txt has pixels of 1 x 2 Å, which are not square" in message
    assert "--pixel-size" in message
    given = ("--diameter", 5, "--pixel-size", 1, "--box", 8)
    message = refuse(tmp_path, "extract", movie, "-o", tmp_path / "d", *given)
    assert "frames of 8 x 4 pixels of 1 Å, smaller than the box of 8" in message


def test_a_missing_pixel_size_names_the_flag(tmp_path):
    movie = SHARED / "specimens/liquid/nanorods_movie_jpeg"
    message = refuse(tmp_path, "extract", movie, "-o", tmp_path / "d", "--diameter", 50)
    assert "--pixel-size" in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--defocus", 14000), "without --cs"),
        (("--defocus", 14000, "--cs", 2.7), "without --voltage"),
        (("--defocus", 1, "--defocus", 2, "--cs", 2, "--voltage", 300), "2 values for 1 movies"),
        (("--pixel-size", 0), "--pixel-size is 0"),
        (("--diameter", 1000), "3 pixels to the box"),
        (("--box", 7), "box"),
        (("--threshold", -1), "--threshold: "),
        (("--max-step", -1), "--max-step: "),
        (("--diameter", "nan"), "--diameter: "),
        (("--threshold", 1000), "no particle could be followed"),
        (("--gain", "GAIN"), "4 x 4 pixels"),
        (("--positions", "EMPTY"), "lacks the column"),
    ],
)
def test_options_that_cannot_be_used(field, tmp_path, options, expected):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    write_stack(inputs / "gain.mrc", [np.ones((1, 4, 4))], 8.0)
    (inputs / "empty.csv").write_text("a,b\n")
    named = {"GAIN": inputs / "gain.mrc", "EMPTY": inputs / "empty.csv"}
    given = [named.get(option, option) for option in options]
    some = () if "--diameter" in options else ("--diameter", 100)
    boxed = () if "--box" in options else ("--box", 16)
    message = refuse(
        tmp_path, "extract", field / "field_01.mrc", "-o", tmp_path / "d", *some, *boxed, *given
    )
    assert expected in message


def test_two_movies_of_one_name_are_refused(field, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(field / "field_01.mrc", tmp_path / "other")
    movies = (field / "field_01.mrc", tmp_path / "other/field_01.mrc")
    message = refuse(tmp_path, "extract", *movies, "-o", tmp_path / "d", *OPTIONS)
    assert "two movies are named field_01" in message


def test_names_with_line_breaks_and_spaces(field, tmp_path):
    shutil.copy(field / "field_01.mrc", tmp_path / "my\nfield 1.mrc")
    succeed("extract", tmp_path / "my\nfield 1.mrc", "-o", tmp_path / "d", *OPTIONS)
    names = read_dataset(tmp_path / "d").particle_names
    assert names[0].startswith("my_field_1-")


def test_a_packed_movie_is_refused_unread(tmp_path):
    (tmp_path / "bomb.mrc.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    message = refuse(tmp_path, "extract", tmp_path / "bomb.mrc.gz", "-o", tmp_path / "d", *OPTIONS)
    assert "packed by gzip" in message


def test_places_in_frames_that_the_movie_has_not(field, tmp_path):
    (tmp_path / "t.csv").write_text("track,frame,x,y\na,1,50,50\na,999,50,50\n")
    message = refuse(
        *(tmp_path, "extract", field / "field_01.mrc", "-o", tmp_path / "d", *OPTIONS),
        *("--positions", tmp_path / "t.csv"),
    )
    assert "t.csv has frame 999 of field_01.mrc; expected frames 1 to 10" in message


def test_a_damaged_table_of_places(field, tmp_path):
    (tmp_path / "t.csv").write_text("track,frame,x,y\na,1,nan,3\n")
    message = refuse(
        *(tmp_path, "extract", field / "field_01.mrc", "-o", tmp_path / "d", *OPTIONS),
        *("--positions", tmp_path / "t.csv"),
    )
    assert "row 0 (counted from 0)" in message


def test_field_settings_need_the_flag(tmp_path):
    found = command("simulate", "toy-free", "-o", tmp_path / "x", "--set", "field.width=128")
    assert found.code == 2
    assert "--field" in found.err


def test_a_field_too_small_for_its_box(tmp_path):
    few = (
        "movies=2",
        "frames_per_movie=4",
        "field.width=64",
        "field.drift_angstrom_per_second=500",
    )
    message = refuse(
        tmp_path, "simulate", "toy-free", "-o", tmp_path / "x", "--field", *settings(few)
    )
    assert "field.width" in message
