"""The dataset contract: exact round trip, any row order, and bad input refused in one line."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset, write_dataset
from temporem.frames.particle_images import ParticleImages
from temporem.frames.readers import read_dataset
from temporem.io.files import fresh_directory
from temporem.io.mrc import write_stack
from temporem.io.star import StarTable, read_star, write_star
from temporem.physics.ctf import CTFParameters
from temporem.physics.forward import ForwardModel
from temporem.physics.poses import Poses
from temporem.physics.rotations import random_rotations, rotation_about_axis

# Movies of different length, with gaps, and names whose alphabetical order is not theirs.
NAMES = ["m10", "m2", "m2", "m10", "m2", "m2", "alone"]
NUMBERS = [2, 9, 1, 1, 3, 4, 5]
TIMES = np.array(NUMBERS) * 0.1
N, BOX, PIXEL_SIZE = len(NAMES), 8, 1.37


def frames(n: int = N) -> dict:
    """What write_dataset takes, drawn at random, with two optics groups."""
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)

    ctf = CTFParameters(
        defocus_u_angstrom=uniform(5000, 20000),
        defocus_v_angstrom=uniform(5000, 20000),
        astigmatism_radians=uniform(-1.5, 1.5),
        voltage_kv=torch.tensor([300.0, 200.0], dtype=torch.float64).repeat(n)[:n],
        cs_mm=torch.full((n,), 2.7, dtype=torch.float64),
        amplitude_contrast=torch.full((n,), 0.1, dtype=torch.float64),
        phase_shift_radians=uniform(0, 1.5),
    )
    return {
        "images": np.random.default_rng(0).normal(size=(n, BOX, BOX)).astype(np.float32),
        "pixel_size_angstrom": PIXEL_SIZE,
        "poses": Poses(
            random_rotations(n, generator), torch.stack([uniform(-5, 5), uniform(-5, 5)], dim=1)
        ),
        "ctf": ctf,
        "particle_names": (NAMES * n)[:n],
        "frame_numbers": (NUMBERS * n)[:n],
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    write_dataset(path, **frames(), times_seconds=TIMES)
    return path


def edit(folder: Path, change: Callable[[dict, dict], None]) -> None:
    """Rewrite ``particles.star`` after ``change(particles, optics)`` of its columns."""
    blocks = read_star(folder / "particles.star")
    particles, optics = dict(blocks["particles"]), dict(blocks["optics"])
    change(particles, optics)
    write_star(
        folder / "particles.star", {"optics": StarTable(optics), "particles": StarTable(particles)}
    )


def reorder(folder: Path, order: np.ndarray) -> None:
    def change(particles: dict, _: dict) -> None:
        particles.update({name: np.array(column)[order] for name, column in particles.items()})

    edit(folder, change)


def assert_same_frames(a: Dataset, b: Dataset, rows: np.ndarray) -> None:
    """Row i of ``a`` is row ``rows[i]`` of ``b``."""
    index = torch.from_numpy(rows)
    np.testing.assert_array_equal(a.images, b.images[rows])
    assert torch.equal(a.poses.rotations, b.poses.rotations[index])
    assert torch.equal(a.poses.shifts_angstrom, b.poses.shifts_angstrom[index])
    for field, values in a.ctf.columns().items():
        assert torch.equal(values, getattr(b.ctf, field)[index])
    assert a.particle_names == [b.particle_names[row] for row in rows]
    np.testing.assert_array_equal(a.frame_numbers, b.frame_numbers[rows])
    np.testing.assert_array_equal(a.times_seconds, b.times_seconds[rows])


def test_no_poses_at_all_is_no_fault_before_they_are_needed(tmp_path) -> None:
    write_dataset(tmp_path, **frames() | {"poses": None})
    assert not {"rlnAngleRot", "rlnOriginXAngst"} & set(
        read_star(tmp_path / "particles.star")["particles"]
    )
    read = read_dataset(tmp_path)
    assert not read.has_poses
    assert not read.poses.shifts_angstrom.any()
    with pytest.raises(TemporemError, match=r"has no poses; expected .*--poses estimate"):
        read.require_poses()


def test_poses_of_other_frames_are_refused(folder):
    dataset = read_dataset(folder)
    with pytest.raises(TemporemError, match="poses of 3 frames"):
        dataset.with_poses(dataset.poses[:3])
    assert not dataset.without_poses().has_poses
    assert dataset.without_poses().with_poses(dataset.poses).has_poses


def test_round_trip(folder):
    written, read = frames(), read_dataset(folder)
    np.testing.assert_array_equal(read.images, written["images"])
    assert read.images.dtype == np.float32
    assert isinstance(read.images, ParticleImages)  # and not an array that holds them all
    assert read.pixel_size_angstrom == PIXEL_SIZE
    poses = written["poses"]
    torch.testing.assert_close(read.poses.rotations, poses.rotations, rtol=0, atol=1e-13)
    assert read.poses.shifts_angstrom.equal(poses.shifts_angstrom)
    for field, expected in written["ctf"].columns().items():
        torch.testing.assert_close(getattr(read.ctf, field), expected, rtol=1e-15, atol=0)
    assert read.particle_names == NAMES
    np.testing.assert_array_equal(read.frame_numbers, NUMBERS)
    np.testing.assert_array_equal(read.times_seconds, TIMES)
    assert (read.box, read.n_frames, read.n_movies) == (BOX, N, 3)


def test_movies_follow_frame_numbers_and_natural_order(folder):
    movies = read_dataset(folder).movies
    assert [movie.tolist() for movie in movies] == [[6], [2, 4, 5, 1], [3, 0]]


def test_rotations_at_the_poles_survive(tmp_path):
    written = frames(4)
    z, x = torch.eye(3, dtype=torch.float64)[[2, 0]]
    about_z = rotation_about_axis(z, torch.tensor([0.0, 0.4, 2.0, -3.0], dtype=torch.float64))
    turned = rotation_about_axis(x, torch.tensor([0.0, 0.0, np.pi, np.pi], dtype=torch.float64))
    written["poses"] = Poses(about_z @ turned, torch.zeros(4, 2))
    write_dataset(tmp_path, **written)
    read = read_dataset(tmp_path)
    torch.testing.assert_close(read.poses.rotations, about_z @ turned, rtol=0, atol=1e-6)


def test_a_displaced_particle_has_the_opposite_origin(folder):
    origins = read_star(folder / "particles.star")["particles"].floats("rlnOriginXAngst")
    np.testing.assert_array_equal(origins, -frames()["poses"].shifts_angstrom[:, 0].numpy())


def test_images_may_come_in_blocks(folder, tmp_path):
    written = frames()
    images = written.pop("images")
    (tmp_path / "blocks").mkdir()
    write_dataset(
        tmp_path / "blocks",
        images=(images[i : i + 2] for i in range(0, N, 2)),
        **written,
        times_seconds=TIMES,
    )
    for name in ("particles.star", "particles.mrcs"):
        assert (tmp_path / "blocks" / name).read_bytes() == (folder / name).read_bytes()


def test_every_row_is_as_many_words_as_columns(folder):
    """cryoDRGN splits rows at white space; RELION wants the version and these optics columns."""
    text = (folder / "particles.star").read_text()
    assert text.count("# version 30001") == 2
    optics, particles = (block.splitlines() for block in text.split("data_")[1:])
    for lines, n_rows in ((optics, 2), (particles, N)):
        tags = [line for line in lines if line.startswith("_")]
        rows = [line.split() for line in lines[lines.index(tags[-1]) + 1 :] if "#" not in line]
        assert [len(row) for row in rows if row] == [len(tags)] * n_rows
    for column in ("ImagePixelSize", "ImageSize", "ImageDimensionality", "OpticsGroupName"):
        assert f"_rln{column} #" in "\n".join(optics)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_rows_are_the_same_movies(folder, seed):
    before = read_dataset(folder)
    order = np.random.default_rng(seed).permutation(N)
    reorder(folder, order)
    after = read_dataset(folder)
    assert_same_frames(after, before, order)
    for a, b in zip(after.movies, before.movies, strict=True):
        np.testing.assert_array_equal(order[a], b)


def test_rows_may_be_left_out_and_spread_over_stacks(folder):
    before = read_dataset(folder)
    (folder / "more").mkdir()
    with mrcfile.new(folder / "more" / "half.mrc") as file:  # float16, and says it is a volume
        file.set_data(before.images[4:].astype(np.float16))

    def change(particles: dict, _: dict) -> None:
        particles["rlnImageName"][4:] = [f"{i}@more/half.mrc" for i in (1, 2, 3)]
        for name, column in particles.items():
            particles[name] = [column[row] for row in (5, 0, 3)]

    edit(folder, change)
    after = read_dataset(folder)
    assert after.images.dtype == np.float32
    np.testing.assert_array_equal(after.images[1:], before.images[[0, 3]])
    np.testing.assert_array_equal(after.images[0], before.images[5].astype(np.float16))
    assert [movie.tolist() for movie in after.movies] == [[0], [2, 1]]


def test_a_stack_of_another_pixel_type_becomes_float32(folder):
    pixels = (frames()["images"] * 100).astype(np.int16)
    with mrcfile.new(folder / "particles.mrcs", overwrite=True) as file:
        file.set_data(pixels)
    images = read_dataset(folder).images
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, pixels)


def test_optional_columns_have_defaults(folder):
    def change(particles: dict, optics: dict) -> None:
        for column in ("rlnPhaseShift", "rlnDefocusAngle", "temporemTimeSeconds"):
            del particles[column]
        del optics["rlnImagePixelSize"], optics["rlnImageSize"]

    edit(folder, change)
    dataset = read_dataset(folder)
    assert dataset.pixel_size_angstrom == pytest.approx(PIXEL_SIZE, rel=1e-6)  # from the header
    assert not dataset.ctf.phase_shift_radians.any()
    assert not dataset.ctf.astigmatism_radians.any()
    assert np.isnan(dataset.times_seconds).all()


def test_a_dataset_without_times_is_copied_without_them(tmp_path):
    write_dataset(tmp_path, **frames(), times_seconds=np.full(N, np.nan))
    assert "temporemTimeSeconds" not in read_star(tmp_path / "particles.star")["particles"]
    read_dataset(tmp_path)


def test_optics_groups_need_no_order(folder):
    before = read_dataset(folder)

    def change(particles: dict, optics: dict) -> None:
        for name, column in optics.items():
            optics[name] = column[::-1]
        optics["rlnOpticsGroup"] = ["7", "3"]
        particles["rlnOpticsGroup"] = [{"2": "7", "1": "3"}[g] for g in particles["rlnOpticsGroup"]]

    edit(folder, change)
    assert_same_frames(read_dataset(folder), before, np.arange(N))


def test_twenty_thousand_rows_are_read_at_once(tmp_path):
    n = 20000
    written = frames(n)
    written["particle_names"] = [f"movie{i // 10}" for i in range(n)]
    written["frame_numbers"] = np.arange(n) % 10 + 1
    write_dataset(tmp_path, **written)
    reorder(tmp_path, np.random.default_rng(0).permutation(n))
    start = time.process_time()
    assert read_dataset(tmp_path).n_movies == 2000
    assert time.process_time() - start < 3  # 0.4 s on one core; a loop per row takes far longer


def set_value(column: str, row: int, value: str, *, optics: bool = False) -> Callable:
    def change(particles: dict, optics_columns: dict) -> None:
        (optics_columns if optics else particles)[column][row] = value

    return change


def drop(column: str, *, optics: bool = False) -> Callable:
    def change(particles: dict, optics_columns: dict) -> None:
        del (optics_columns if optics else particles)[column]

    return change


def empty(particles: dict, _: dict) -> None:
    particles.update({column: [] for column in particles})


NOT_WRITABLE = {
    "mov@NBSP@ie": "'mov\u00a0ie'",
    "@BIDI@": "'\u202e'",
    "1@a@NUL@b": "'1@a\0b'",
    "@LINES@": '\n;it\'s\n"so"\n;\n',
}

NEEDED = [
    *("rlnImageName", "rlnParticleName", "rlnMovieFrameNumber", "rlnOpticsGroup"),
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
    *("rlnDefocusU", "rlnDefocusV"),
]
NEEDED_OPTICS = ["rlnOpticsGroup", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"]
ROW_3 = r"data_particles row 3 \(counted from 0\): "


def set_no_ctf(particles: dict, optics: dict) -> None:
    """A description by which no signal passes."""
    for column in ("rlnDefocusU", "rlnDefocusV", "rlnPhaseShift"):
        particles[column] = ["0"] * N
    for column in ("rlnSphericalAberration", "rlnAmplitudeContrast"):
        optics[column] = ["0", "0"]


def some_no_ctf(particles: dict, optics: dict) -> None:
    """The same of all frames but one."""
    set_no_ctf(particles, optics)
    particles["rlnDefocusU"][3] = "5000"


def drop_ctf(particles: dict, optics: dict) -> None:
    """What RELION writes where no CTF was estimated: a microscope, but no defocus."""
    for column in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"):
        del particles[column]
    del optics["rlnAmplitudeContrast"]


@pytest.mark.parametrize("change", [drop_ctf, set_no_ctf], ids=["no columns", "0 everywhere"])
def test_a_file_without_ctf_says_nothing_of_how_images_are_formed(folder, change):
    edit(folder, change)
    read = read_dataset(folder)
    assert not read.has_ctf
    with pytest.raises(TemporemError, match=r"has no CTF; expected .*_rlnVoltage.*--ctf none"):
        read.formed("file")


def test_images_formed_without_ctf_have_one_at_all_frequencies(folder):
    """Whatever CTF the file has."""
    known = read_dataset(folder)
    assert known.formed("file") is known
    edit(folder, drop_ctf)
    model = ForwardModel(BOX, PIXEL_SIZE)
    for read in (known, read_dataset(folder)):
        assert (model.ctf(read.formed("none").ctf) == 1).all()


def neutral(column: str) -> str:
    """The value of a column of image formation that changes nothing."""
    return "[0,0]" if "Zernike" in column else "1" if column.endswith(("00", "11")) else "0"


BAD_TABLES = {
    "CTF of 0": (some_no_ctf, r"_rlnDefocusU is '0'; expected a CTF that is not 0 everywhere"),
    **{f"no {c}": (drop(c), f"data_particles lacks _{c}; expected") for c in NEEDED},
    **{f"no optics {c}": (drop(c, optics=True), f"optics lacks _{c};") for c in NEEDED_OPTICS},
    "no rows": (empty, "data_particles has no rows"),
    "row past the stack": (
        set_value("rlnImageName", 3, "000008@particles.mrcs"),
        ROW_3 + "_rlnImageName is '000008@particles.mrcs'; expected an image from 1 to 7",
    ),
    "row before the stack": (
        set_value("rlnImageName", 3, "0@particles.mrcs"),
        "expected an image from 1",
    ),
    "no image number": (set_value("rlnImageName", 3, "particles.mrcs"), ROW_3 + ".*NUMBER@STACK"),
    "no stack name": (set_value("rlnImageName", 3, "3@"), ROW_3 + ".*NUMBER@STACK"),
    "negative number": (set_value("rlnImageName", 3, "-3@particles.mrcs"), "NUMBER@STACK"),
    "huge number": (set_value("rlnImageName", 3, "9" * 20 + "@particles.mrcs"), "NUMBER@STACK"),
    "missing stack": (set_value("rlnImageName", 3, "1@gone.mrcs"), r"gone\.mrcs is not a file"),
    "not a stack": (set_value("rlnImageName", 3, "1@particles.star"), r"particles\.star"),
    "stack in the parent": (
        set_value("rlnImageName", 3, "1@../elsewhere/particles.mrcs"),
        ROW_3 + ".*expected a stack inside",
    ),
    "absolute stack": (set_value("rlnImageName", 3, "1@/dev/zero"), "expected a stack inside"),
    "linked stack": (set_value("rlnImageName", 3, "1@link.mrcs"), "expected a stack inside"),
    "odd images": (set_value("rlnImageName", 3, "1@odd.mrcs"), "7 x 7 pixels; expected .*even"),
    "oblong images": (set_value("rlnImageName", 3, "1@oblong.mrcs"), "8 x 6 .*expected square"),
    "mixed sizes": (set_value("rlnImageName", 3, "1@large.mrcs"), "expected one image size"),
    "NaN pixel": (
        set_value("rlnImageName", 3, "2@nan.mrcs"),
        ROW_3 + "the image 2@nan.mrcs has a NaN",
    ),
    "infinite pixel": (set_value("rlnImageName", 3, "3@nan.mrcs"), "3@nan.mrcs has a NaN or inf"),
    "truncated stack": (set_value("rlnImageName", 3, "1@short.mrcs"), "cut short"),
    "zero pixel size": (
        set_value("rlnImagePixelSize", 1, "0.0", optics=True),
        r"row 1 .*_rlnImagePixelSize is '0\.0'; expected a pixel size of 0.001 to",
    ),
    "mixed pixel sizes": (
        set_value("rlnImagePixelSize", 1, "1.5", optics=True),
        r"pixel sizes of 1\.37 and 1\.5 Å; expected one",
    ),
    "wrong box": (set_value("rlnImageSize", 1, "10", optics=True), "'10'; expected 8, the size"),
    "zero voltage": (
        set_value("rlnVoltage", 0, "0", optics=True),
        "expected a number from 1 to 10000 kV",
    ),
    "amplitude contrast in per cent": (
        set_value("rlnAmplitudeContrast", 0, "10", optics=True),
        "expected a fraction",
    ),
    "unknown optics group": (
        set_value("rlnOpticsGroup", 3, "3"),
        ROW_3 + "_rlnOpticsGroup is '3'; expected a group of .*data_optics",
    ),
    "low unknown optics group": (set_value("rlnOpticsGroup", 3, "-1"), "expected a group of"),
    "repeated optics group": (
        set_value("rlnOpticsGroup", 1, "1", optics=True),
        "_rlnOpticsGroup is '1'; expected each group once",
    ),
    "repeated frame": (
        set_value("rlnMovieFrameNumber", 3, "2"),
        ROW_3 + "_rlnMovieFrameNumber is '2'; expected each number once in a movie",
    ),
    "name with a no-break space": (
        set_value("rlnParticleName", 3, "mov@NBSP@ie"),
        ROW_3 + r"_rlnParticleName is 'mov.xa0ie'; expected a name without spaces",
    ),
    "name with a space": (set_value("rlnParticleName", 3, "mov ie"), "expected a name without"),
    "name on several lines": (
        set_value("rlnParticleName", 3, "@LINES@"),
        "row 3 .* has 1 value; expected 14, one for each column",
    ),
    "name that turns the text": (
        set_value("rlnParticleName", 3, "@BIDI@"),
        "u202e.*without",
    ),
    "number with an underscore": (set_value("rlnDefocusU", 3, "1_0"), "'1_0'; expected a number"),
    "whole number with an underscore": (
        set_value("rlnMovieFrameNumber", 3, "1_0"),
        "'1_0'; expected a whole number",
    ),
    "frames at the same time": (
        set_value("temporemTimeSeconds", 0, "0.1"),
        r"row 0 \(.*_temporemTimeSeconds is '0\.1'; expected a later time",
    ),
    "time that runs backwards": (
        set_value("temporemTimeSeconds", 1, "0.2"),
        r"row 1 \(.*_temporemTimeSeconds is '0\.2'; expected a later time",
    ),
    "NUL in a stack's name": (set_value("rlnImageName", 3, "1@a@NUL@b"), "a.x00b'; .*NUMBER@STACK"),
    "huge pixel": (set_value("rlnImageName", 3, "4@nan.mrcs"), "4@nan.mrcs has a -3e.38 pixel"),
    "huge pixel size": (
        set_value("rlnImagePixelSize", 1, "1e300", optics=True),
        r"'1e300'; expected a pixel size of 0\.001 to 10000 Å",
    ),
    "tiny voltage": (set_value("rlnVoltage", 0, "1e-300", optics=True), "from 1 to 10000 kV"),
    "huge voltage": (set_value("rlnVoltage", 0, "1e300", optics=True), "from 1 to 10000 kV"),
    "huge aberration": (
        set_value("rlnSphericalAberration", 0, "1e300", optics=True),
        "from -1000 to 1000 mm",
    ),
    "huge angle": (set_value("rlnAngleRot", 3, "1e300"), ROW_3 + ".*from -1000000 to 1000000 °"),
    "huge phase": (set_value("rlnPhaseShift", 3, "-1e300"), "from -1000000 to 1000000 °"),
    "huge defocus": (set_value("rlnDefocusV", 3, "1e300"), "from -10000000 to 10000000 Å"),
    "frame 0": (set_value("rlnMovieFrameNumber", 3, "0"), "expected a frame number from 1"),
    "fractional frame": (set_value("rlnMovieFrameNumber", 3, "1.5"), "expected a whole number"),
    "no movie name": (set_value("rlnParticleName", 3, ""), "expected a name without spaces"),
    "angle that is no number": (
        set_value("rlnAngleTilt", 3, "north"),
        ROW_3 + "_rlnAngleTilt is 'north'; expected a number",
    ),
    "particle outside the image": (
        set_value("rlnOriginYAngst", 3, "-7.5"),
        ROW_3 + "_rlnOriginYAngst is '-7.5'; expected a particle inside the image",
    ),
    "NaN defocus": (set_value("rlnDefocusU", 3, "nan"), ROW_3 + ".*expected a finite number"),
    "CTF-premultiplied images": (
        lambda _, optics: optics.update(rlnCtfDataAreCtfPremultiplied=["0", "1"]),
        "row 1 .*images multiplied by their CTF",
    ),
    **{
        f"{column} {value}": (
            lambda _, optics, c=column, v=value: optics.update({c: [neutral(c), v]}),
            f"row 1 .*_{column} is .*not modelled; temporem import",
        )
        for column, value in (
            *(("rlnCtfDataArePhaseFlipped", "1"), ("rlnMagMat01", "0.01"), ("rlnMagMat11", "1.01")),
            *(("rlnBeamTiltX", "0.3"), ("rlnOddZernike", "[0,0,1.5]"), ("rlnEvenZernike", "[x]")),
        )
    },
    "a CTF that rises": (
        lambda particles, _: particles.update(rlnCtfBfactor=["0"] * (N - 1) + ["-50"]),
        "row 6 .*_rlnCtfBfactor is '-50'.*0 to 100000 Å²",
    ),
    "a CTF of scale 0": (
        lambda particles, _: particles.update(rlnCtfScalefactor=["1"] * (N - 1) + ["0"]),
        "row 6 .*_rlnCtfScalefactor is '0'; expected a number from",
    ),
}


def test_columns_that_change_nothing_and_groups_not_in_use_are_taken(folder):
    """A group that no particle names may say anything, also something that is no number."""

    def change(particles, optics):
        particles.update(rlnCtfBfactor=["0.0"] * N, rlnCtfScalefactor=["1.0"] * N)
        for column in optics:
            optics[column] = [*optics[column], "broken"]
        optics.update(rlnMagMat00=["1.0", "1", "7"], rlnOddZernike=["[0,0.0,-0]", "[]", "[5]"])

    before = read_dataset(folder)
    edit(folder, change)
    after = read_dataset(folder)
    assert torch.equal(after.ctf.voltage_kv, before.ctf.voltage_kv)
    assert torch.equal(after.poses.rotations, before.poses.rotations)


def test_fall_off_and_scale_of_the_ctf_are_kept(tmp_path):
    """And only where there are any, so that other datasets keep their fingerprint."""
    given = frames()
    more = {
        "b_factor_angstrom2": torch.linspace(0, 300, N, dtype=torch.float64),
        "scale": torch.linspace(0.5, 1, N, dtype=torch.float64),
    }
    for name, ctf in (("with", replace(given["ctf"], **more)), ("without", given["ctf"])):
        (tmp_path / name).mkdir()
        write_dataset(tmp_path / name, **{**given, "ctf": ctf})
        found = read_dataset(tmp_path / name).ctf.columns()
        assert found.keys() == ctf.columns().keys()
        for field, values in ctf.columns().items():
            torch.testing.assert_close(found[field], values, rtol=1e-12, atol=0)


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_input_is_one_clear_line(case, folder):
    change, message = BAD_TABLES[case]
    spoiled = np.zeros((4, BOX, BOX))
    spoiled[1, 2, 3], spoiled[2, 3, 2] = np.nan, -np.inf
    spoiled[3, 0, 0] = -3e38
    for name, images in {
        "nan.mrcs": spoiled,
        "odd.mrcs": np.zeros((1, 7, 7)),
        "oblong.mrcs": np.zeros((1, 6, 8)),
        "large.mrcs": np.zeros((1, 10, 10)),
    }.items():
        write_stack(folder / name, [images], PIXEL_SIZE)
    (folder / "short.mrcs").write_bytes((folder / "particles.mrcs").read_bytes()[:-1])
    (folder.parent / "elsewhere").mkdir()
    write_stack(folder.parent / "elsewhere" / "particles.mrcs", [spoiled[:1]], PIXEL_SIZE)
    (folder / "link.mrcs").symlink_to(folder.parent / "elsewhere" / "particles.mrcs")

    edit(folder, change)
    path = folder / "particles.star"
    text = path.read_text(encoding="utf-8")
    for placeholder, raw in NOT_WRITABLE.items():  # what write_star would refuse
        text = text.replace(placeholder, raw)
    path.write_text(text, encoding="utf-8")
    before = sorted(folder.rglob("*"))
    with pytest.raises(TemporemError, match=message) as caught:
        read_dataset(folder)
    assert "\n" not in str(caught.value)
    assert "; expected " in str(caught.value)
    assert sorted(folder.rglob("*")) == before


def test_pixel_size_of_a_header_is_bounded(folder):
    write_stack(folder / "particles.mrcs", [frames()["images"]], 1e30)
    edit(folder, drop("rlnImagePixelSize", optics=True))
    with pytest.raises(TemporemError, match=r"has pixels of 1e\+30 Å; expected .*10000 Å"):
        read_dataset(folder)


def test_no_pixel_size_anywhere(folder):
    write_stack(folder / "particles.mrcs", [frames()["images"]], 0.0)
    edit(folder, drop("rlnImagePixelSize", optics=True))
    with pytest.raises(
        TemporemError, match=r"lacks _rlnImagePixelSize and the header of .* has no"
    ):
        read_dataset(folder)


def test_placeholder_in_a_header_is_no_pixel_size(folder):
    write_stack(folder / "particles.mrcs", [frames()["images"]], 1.0)
    assert read_dataset(folder).pixel_size_angstrom == PIXEL_SIZE
    edit(folder, drop("rlnImagePixelSize", optics=True))
    with pytest.raises(TemporemError, match="1 Å, which stands for an unknown one"):
        read_dataset(folder)


def test_column_of_older_files_is_preferred_to_a_header(folder):
    write_stack(folder / "particles.mrcs", [frames()["images"]], 1.0)

    def rename(_, optics):
        optics["rlnPixelSize"] = optics.pop("rlnImagePixelSize")

    edit(folder, rename)
    assert read_dataset(folder).pixel_size_angstrom == PIXEL_SIZE


@pytest.mark.parametrize(("factor", "agrees"), [(1.1, True), (0.9, True), (2, False), (0.5, False)])
def test_table_and_header_may_differ_by_a_calibration(factor, agrees, folder):
    """A stack that was binned beside a table that was not is a common mistake."""
    write_stack(folder / "particles.mrcs", [frames()["images"]], factor * PIXEL_SIZE)
    if agrees:
        assert read_dataset(folder).pixel_size_angstrom == PIXEL_SIZE
    else:
        with pytest.raises(
            TemporemError, match=r"and the header of .*particles\.mrcs has .*binned"
        ):
            read_dataset(folder)


def test_what_is_not_a_dataset_is_one_clear_line(folder, tmp_path):
    with pytest.raises(TemporemError, match=r"does not exist.*particles\.star.*simulate"):
        read_dataset(tmp_path / "missing")
    with pytest.raises(TemporemError, match=r"is one file of a folder; expected .*name the folder"):
        read_dataset(folder / "particles.mrcs")
    with pytest.raises(TemporemError, match="is not a dataset"):
        read_dataset(tmp_path)
    write_star(folder / "particles.star", {"": StarTable({"rlnImageName": ["1@particles.mrcs"]})})
    with pytest.raises(TemporemError, match=r"data_optics and data_particles.*temporem import"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"particle_names": ["a b", *NAMES[1:]]}, TemporemError, "'a b'; expected .*without sp"),
        ({"movie_names": ["x y.tif"] * N}, TemporemError, "_rlnMicrographMovieName is 'x y.tif'"),
        ({"frame_numbers": NUMBERS[1:]}, ValueError, "differ in length"),
        ({"images": frames()["images"][1:]}, ValueError, "differ in length"),
    ],
)
def test_a_write_that_fails_leaves_nothing(change, error, message, tmp_path):
    with (
        pytest.raises(error, match=message),
        fresh_directory(tmp_path / "dataset") as directory,
    ):
        write_dataset(directory, **{**frames(), **change})
    assert list(tmp_path.iterdir()) == []


def test_movie_names_are_kept(tmp_path):
    write_dataset(tmp_path, **frames(), movie_names=["a.tif"] * N)
    particles = read_star(tmp_path / "particles.star")["particles"]
    assert particles.strings("rlnMicrographMovieName") == ["a.tif"] * N


def test_names_may_hold_numbers_of_any_length(folder):
    long = "9" * 4000
    names = {"a": f"m{long}", "b": f"m1{long}"}

    def change(particles: dict, optics: dict) -> None:
        column = list(particles["rlnParticleName"])
        known = sorted(set(column))
        short = {known[0]: names["b"], known[1]: names["a"]}
        particles["rlnParticleName"] = [short.get(name, name) for name in column]

    edit(folder, change)
    dataset = read_dataset(folder)
    order = [dataset.particle_names[rows[0]] for rows in dataset.movies]
    assert order.index(names["a"]) < order.index(names["b"])


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("rlnParticleName", "m" * 5000, "at most 4096 printable characters"),
        ("rlnAngleRot", "1." + "0" * 5000, "a number"),
        ("rlnImageName", "1@" + "s" * 5000, "NUMBER@STACK"),
    ],
)
def test_texts_without_end_are_refused(column, value, words, folder):
    """An array of texts takes the longest one's room in every row."""
    edit(folder, set_value(column, 1, value))
    with pytest.raises(TemporemError, match=words) as error:
        read_dataset(folder)
    assert "row 1 (counted from 0)" in str(error.value)
