"""What is imported equals what was exported by independent formulas."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.foreign import (
    columns_of,
    cryosparc,
    relion_30,
    save_cs,
    star_text,
    write_mrcs,
)
from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.importing.importer import ImportSettings, plan_import, write_import
from temporem.importing.movies import MovieRule
from temporem.importing.stacks import read_stacks
from temporem.importing.table import Given
from temporem.physics.ctf import ctf_values
from temporem.physics.rotations import geodesic_degrees

SPECIMENS = SHARED / "specimens"
AS_THEY_ARE = {"invert": "no", "normalise": False}


def imported(output: Path, *files: Path, **settings: object) -> Dataset:
    plan = plan_import(files, ImportSettings(**{**AS_THEY_ARE, **settings}))  # type: ignore[arg-type]
    write_import(plan, output)
    return read_dataset(output)


def frequencies(data: Dataset) -> torch.Tensor:
    f = torch.fft.fftfreq(data.box, data.pixel_size_angstrom, dtype=torch.float64)[1:4]
    return torch.cartesian_prod(f, f)


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.pixel_size_angstrom == pytest.approx(other.pixel_size_angstrom, rel=1e-5)
    assert np.allclose(one.images[:], other.images[:], atol=1e-4)
    assert geodesic_degrees(one.poses.rotations, other.poses.rotations).max() < 1e-3
    assert torch.allclose(one.poses.shifts_angstrom, other.poses.shifts_angstrom, atol=1e-4)
    k = frequencies(one)
    assert torch.allclose(ctf_values(one.ctf, k), ctf_values(other.ctf, k), atol=1e-4)
    assert [m.tolist() for m in one.movies] == [m.tolist() for m in other.movies]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five movies of four frames with shifts, written by the simulator."""
    from helpers.commands import TINY_SIMULATION, settings, succeed

    path: Path = tmp_path_factory.mktemp("foreign") / "movies"
    succeed("simulate", "toy", "-o", path, *settings((*TINY_SIMULATION, "shift_sd_angstrom=5")))
    return path


@pytest.fixture(scope="module")
def images(dataset: Path) -> np.ndarray:
    return read_dataset(dataset).images[:]


def test_relion_31_in_a_project(dataset: Path, images: np.ndarray, tmp_path: Path) -> None:
    """The table lies deep in the project; stacks are named from its root; a text has CRLF."""
    particles, optics = columns_of(dataset)
    particles["rlnImageName"] = [f"{i + 1:06d}@Extract/a.mrcs" for i in range(20)]
    particles["rlnComment"] = ["'two words'"] * 20
    write_mrcs(tmp_path / "Extract" / "a.mrcs", images)
    star = tmp_path / "Refine3D" / "job007" / "run_data.star"
    star.parent.mkdir(parents=True)
    text = "# a comment\n" + star_text(general={"rlnX": [1]}, optics=optics, particles=particles)
    star.write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert_same(imported(tmp_path / "out", star), read_dataset(dataset))


def test_relion_30_has_no_optics_table_and_origins_in_pixels(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    star = tmp_path / "run.star"
    particles = relion_30(dataset)
    star.write_text(star_text(**{"": particles}), encoding="utf-8")
    write_mrcs(tmp_path / "particles.mrcs", images)
    assert_same(imported(tmp_path / "out", star), read_dataset(dataset))


def test_cryosparc_with_passthrough(dataset: Path, images: np.ndarray, tmp_path: Path) -> None:
    """CTF comes from another file, in another order, joined by uid; dark images are inverted."""
    records = cryosparc(dataset, sign=-1)
    names = records.dtype.names
    mine = tuple(name for name in names if not name.startswith("ctf/"))
    theirs = ("uid", *(name for name in names if name.startswith("ctf/")))
    write_mrcs(tmp_path / "J1" / "stack.mrcs", -images)
    one = save_cs(tmp_path / "J2" / "particles.cs", records, mine)
    other = save_cs(tmp_path / "J2" / "passthrough.cs", records[::-1], theirs)
    rule = MovieRule(frames_per_movie=4)
    data = imported(tmp_path / "out", one, other, rule=rule, invert="auto")
    before = read_dataset(dataset)
    assert np.allclose(data.images[:], before.images[:], atol=1e-4)
    assert geodesic_degrees(data.poses.rotations, before.poses.rotations).max() < 1e-3
    assert torch.allclose(data.poses.shifts_angstrom, before.poses.shifts_angstrom, atol=1e-3)
    k = frequencies(data)
    assert torch.allclose(ctf_values(data.ctf, k), ctf_values(before.ctf, k), atol=1e-3)
    from temporem.io.star import read_star

    table = read_star(tmp_path / "out" / "particles.star")["particles"]
    assert table.strings("temporemSourceUid") == [str(uid) for uid in records["uid"]]
    assert table.strings("temporemSourceFile") == ["source/particles.cs"] * 20
    assert np.array_equal(np.load(tmp_path / "out/source/particles.cs"), np.load(one))


ABERRATIONS = {
    "ctf/tilt_A": (3000.0, -4000.0),
    "ctf/trefoil_A": (-6000.0, 2500.0),
    "ctf/tetra_A": (1e5, -2e5, 3e5, 1e5),
    "ctf/shift_A": (0.3, -0.4),
    "ctf/anisomag": (0.01, -0.004, 0.002, -0.007),
}


def phases_of_cryosparc(field: str, k: np.ndarray, radius: float) -> np.ndarray:
    """Phases by an aberration at frequencies (x, y), as Uhlemann and Haider (1998) count it."""
    a = ABERRATIONS[field]
    wavelength = 12.2643247 / np.sqrt(3e5 * (1 + 3e5 * 0.978466e-6))
    w = wavelength * (k[:, 0] + 1j * k[:, 1])
    if field == "ctf/tilt_A":
        waves = (w**2 * w.conj() * complex(*a)).real
    elif field == "ctf/trefoil_A":
        waves = (w**3 * complex(*a)).real / 3
    elif field == "ctf/tetra_A":
        waves = (w**3 * w.conj() * complex(*a[:2])).real + (w**4 * complex(*a[2:])).real / 4
    elif field == "ctf/shift_A":
        waves = (w * complex(*a)).real
    else:  # the edge of the image moves
        edge = radius * np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 181)), np.sin(t)])
        moved = np.array(a).reshape(2, 2) @ edge
        return 2 * np.pi * np.abs(k @ moved).max(axis=1)
    return 2 * np.pi / wavelength * waves


@pytest.mark.parametrize("field", ABERRATIONS)
def test_aberrations_of_cryosparc_are_judged_by_their_largest_phase(
    dataset: Path, images: np.ndarray, tmp_path: Path, field: str
) -> None:
    """The bound is never too small, and never more than 1.5 times too large."""
    records = cryosparc(dataset)
    values = np.array([ABERRATIONS[field]] * 20, dtype=np.float32)
    more = np.zeros(20, dtype=[*records.dtype.descr, (field, "f4", values.shape[1:])])
    for name in records.dtype.names:
        more[name] = records[name]
    write_mrcs(tmp_path / "J1" / "stack.mrcs", images)
    rule = MovieRule(frames_per_movie=4)
    options = {**AS_THEY_ARE, "rule": rule, "ignore": (field,)}
    more[field][3] = values[3]
    plan = plan_import([save_cs(tmp_path / "a.cs", more)], ImportSettings(**options))
    (item,) = plan.particles.unmodelled
    spacing = 16.0
    angles = np.linspace(0, 2 * np.pi, 721)
    k = np.stack([np.cos(angles), np.sin(angles)], axis=1) / spacing
    largest = np.abs(phases_of_cryosparc(field, k, radius=64.0)).max()
    assert largest <= item.effect(spacing) * (1 + 1e-4)
    assert item.effect(spacing) <= 1.5 * largest


def test_b_factor_of_cryosparc_becomes_a_part_of_the_ctf(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    records = cryosparc(dataset)
    more = np.zeros(20, dtype=[*records.dtype.descr, ("ctf/bfactor", "f4")])
    for name in records.dtype.names:
        more[name] = records[name]
    more["ctf/bfactor"] = np.linspace(0, 95, 20)
    write_mrcs(tmp_path / "J1" / "stack.mrcs", images)
    path = save_cs(tmp_path / "a.cs", more)
    data = imported(tmp_path / "out", path, rule=MovieRule(frames_per_movie=4))
    assert np.allclose(data.ctf.b_factor_angstrom2, np.linspace(0, 95, 20))


def test_stack_with_poses_and_ctf_of_cryodrgn(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    """As ``cryodrgn parse_pose_star`` and ``parse_ctf_star`` write them."""
    before = read_dataset(dataset)
    size, box = before.pixel_size_angstrom, before.box
    origins = -before.poses.shifts_angstrom.numpy() / (size * box)
    poses = (before.poses.rotations.numpy().astype("f4"), origins.astype("f4"))
    c = before.ctf
    ctf = np.stack(
        [
            np.full(20, box), np.full(20, size), c.defocus_u_angstrom, c.defocus_v_angstrom,
            torch.rad2deg(c.astigmatism_radians), c.voltage_kv, c.cs_mm, c.amplitude_contrast,
            torch.rad2deg(c.phase_shift_radians),
        ],
        axis=1,
    ).astype("f4")  # fmt: skip
    (tmp_path / "poses.pkl").write_bytes(pickle.dumps(poses))
    (tmp_path / "ctf.pkl").write_bytes(pickle.dumps(ctf))
    stack = write_mrcs(tmp_path / "a.mrcs", images)
    rule = MovieRule(frames_per_movie=4)
    files = (stack, tmp_path / "poses.pkl", tmp_path / "ctf.pkl")
    data = imported(tmp_path / "out", *files, rule=rule)
    assert torch.allclose(data.poses.rotations, before.poses.rotations, atol=1e-6)
    assert torch.allclose(data.poses.shifts_angstrom, before.poses.shifts_angstrom, atol=1e-3)
    k = frequencies(data)
    assert torch.allclose(ctf_values(data.ctf, k), ctf_values(before.ctf, k), atol=1e-3)
    np.savez(tmp_path / "poses.npz", rotations=poses[0], translations=poses[1])
    again = imported(tmp_path / "npz", stack, tmp_path / "poses.npz", files[2], rule=rule)
    assert torch.equal(again.poses.rotations, data.poses.rotations)


def test_folder_of_stacks_with_a_csv_of_poses_and_movies(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    particles, _ = columns_of(dataset)
    before = read_dataset(dataset)
    for i in range(2):
        write_mrcs(tmp_path / "stacks" / f"s{i}.mrcs", images[i * 10 : i * 10 + 10])
    rows = [
        f"{i % 10 + 1}@s{i // 10}.mrcs, {particles['rlnParticleName'][i]}, "
        f"{particles['rlnMovieFrameNumber'][i]}, {i * 0.5}, {i}, "
        + ", ".join(particles[c][i] for c in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"))
        + ", "
        + ", ".join(particles[c][i] for c in ("rlnOriginXAngst", "rlnOriginYAngst"))
        for i in range(20)
    ]
    head = "image, movie, frame, time, dose, rot, tilt, psi, origin_x, origin_y"
    (tmp_path / "a.csv").write_text("\n".join([head, *reversed(rows)]), encoding="utf-8")
    given = Given(pixel_size_angstrom=before.pixel_size_angstrom, no_ctf=True)
    data = imported(tmp_path / "out", tmp_path / "stacks", tmp_path / "a.csv", given=given)
    assert np.allclose(data.images[:], before.images[:], atol=1e-4)
    assert geodesic_degrees(data.poses.rotations, before.poses.rotations).max() < 1e-3
    assert torch.allclose(data.poses.shifts_angstrom, before.poses.shifts_angstrom, atol=1e-4)
    assert [m.tolist() for m in data.movies] == [m.tolist() for m in before.movies]
    assert np.allclose(data.times_seconds, np.arange(20) * 0.5)
    assert (ctf_values(data.ctf, frequencies(data)) == 1).all()


def test_source_rows_lead_back_to_the_original_file(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    particles, optics = columns_of(dataset)
    write_mrcs(tmp_path / "particles.mrcs", images)
    star = tmp_path / "my file.star"
    star.write_text(star_text(optics=optics, particles=particles), encoding="utf-8")
    imported(tmp_path / "out", star)
    from temporem.io.star import read_star

    table = read_star(tmp_path / "out" / "particles.star")["particles"]
    (name,) = set(table.strings("temporemSourceFile"))
    copy = tmp_path / "out" / name
    assert copy.read_bytes() == star.read_bytes()
    original = read_star(copy)["particles"]
    rows = table.ints("temporemSourceRow")
    assert original.texts("rlnParticleName")[rows].tolist() == table.strings("rlnParticleName")
    record = json.loads((copy.parent / "import.json").read_text())
    assert record["files"] == [str(star.resolve())]


def gemmi_columns(path: Path, block: str) -> dict[str, list[str]]:
    """A loop as gemmi reads it, which is a parser of its own."""
    for found in gemmi.cif.read(str(path)):
        for item in found:
            if item.loop is not None and any(t in ("_rlnImageName",) for t in item.loop.tags):
                loop = item.loop
                width = loop.width()
                return {t[1:]: list(loop.values[i::width]) for i, t in enumerate(loop.tags)}
    raise AssertionError(block)


SPECIMEN_CASES = {
    "relion/relion31.star": {},
    "relion/sample_particles_relion30.star": {},
    "relion/empiar_10076_7.star": {},
    "relion/toy_projections.star": {"given": Given(pixel_size_angstrom=2.0)},
    "relion/sta_testing_bin8.star": {},
}


@pytest.mark.parametrize("name", SPECIMEN_CASES)
def test_specimens_of_relion_have_the_numbers_that_gemmi_and_mrcfile_read(
    name: str, tmp_path: Path
) -> None:
    path = SPECIMENS / name
    options = {"rule": MovieRule(frames_per_movie=1), **SPECIMEN_CASES[name]}
    data = imported(tmp_path / "out", path, **options)
    table = gemmi_columns(path, "particles")
    number, stack = table["rlnImageName"][-1].split("@")
    with mrcfile.open(path.parent / stack, permissive=True) as file:
        assert np.allclose(data.images[-1], file.data[int(number) - 1], atol=1e-3)
    defocus = np.array(table["rlnDefocusU"], dtype=float)
    assert np.allclose(data.ctf.defocus_u_angstrom, defocus)
    if "rlnAngleRot" in table:
        from scipy.spatial.transform import Rotation

        angles = np.stack([np.array(table[c], dtype=float) for c in ANGLE_NAMES], axis=1)
        expected = Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()
        assert np.allclose(data.poses.rotations, expected, atol=1e-8)
    if "rlnMagnification" in table:
        size = 1e4 * float(table["rlnDetectorPixelSize"][0]) / float(table["rlnMagnification"][0])
        assert data.pixel_size_angstrom == pytest.approx(size)
    if "rlnOriginX" in table:
        shift = -float(table["rlnOriginX"][3]) * data.pixel_size_angstrom
        assert float(data.poses.shifts_angstrom[3, 0]) == pytest.approx(shift)


ANGLE_NAMES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def test_specimen_of_cryosparc_agrees_with_its_relion_file(tmp_path: Path) -> None:
    rule = MovieRule(frames_per_movie=7)
    given = Given(data_dir=SPECIMENS / "relion")
    cs = SPECIMENS / "cryosparc" / "empiar_10076_7.cs"
    one = imported(tmp_path / "a", cs, rule=rule, given=given, box=64)
    other = imported(tmp_path / "b", SPECIMENS / "relion/empiar_10076_7.star", rule=rule, box=64)
    assert np.allclose(one.images[:], other.images[:], atol=1e-3)
    k = frequencies(one)
    assert torch.allclose(ctf_values(one.ctf, k), ctf_values(other.ctf, k), atol=2e-3)
    assert one.pixel_size_angstrom == pytest.approx(other.pixel_size_angstrom, rel=1e-4)


def test_two_statements_of_one_fact_must_agree(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    particles, optics = columns_of(dataset)
    star = tmp_path / "a.star"

    def refused(message: str, given: Given | None = None) -> None:
        star.write_text(star_text(optics=optics, particles=particles), encoding="utf-8")
        with pytest.raises(TemporemError, match=message):
            plan_import([star], ImportSettings(given=given or Given()))

    write_mrcs(tmp_path / "particles.mrcs", images, 2.0)
    refused(r"pixel size is 8 Å, and the header of .* has 2 Å")
    write_mrcs(tmp_path / "particles.mrcs", images)
    optics["rlnPixelSize"] = ["4"]
    refused(r"_rlnImagePixelSize is 8 Å and _rlnPixelSize gives 4 Å")
    del optics["rlnPixelSize"]
    optics["rlnImageSize"] = ["20"]
    refused("images have 20 pixels, and .* has 16")
    optics["rlnImageSize"] = ["16"]
    particles["rlnVoltage"] = ["200"] * 20
    refused("_rlnVoltage is '200'; expected the value that .*data_optics has")
    del particles["rlnVoltage"], optics["rlnImagePixelSize"]
    write_mrcs(tmp_path / "particles.mrcs", images, 1.0)
    refused("header of .* has 1 Å, which stands for an unknown one.*--input-pixel-size")
    particles["rlnImageName"][7] = "21@particles.mrcs"
    write_mrcs(tmp_path / "particles.mrcs", images, 8.0)
    refused(r"row 7 \(counted from 0\): image 21 of .*from 1 to 20")


def test_a_table_points_to_nothing_outside_its_project(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    particles, optics = columns_of(dataset)
    outside = write_mrcs(tmp_path / "secret" / "a.mrcs", images)
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.mrcs").symlink_to(outside)
    star = project / "a.star"
    for name, message in (
        (str(outside), "leaves"),
        ("../secret/a.mrcs", "leaves"),
        ("link.mrcs", "is a link that leaves"),
        ("a\tb.mrcs", "TEXT|values"),
    ):
        particles["rlnImageName"] = [f"{i + 1}@{name}" for i in range(20)]
        star.write_text(star_text(optics=optics, particles=particles), encoding="utf-8")
        with pytest.raises(TemporemError, match=message):
            plan_import([star], ImportSettings())
    # Whoever names the folder of the data has looked at its links.
    particles["rlnImageName"] = [f"{i + 1}@link.mrcs" for i in range(20)]
    star.write_text(star_text(optics=optics, particles=particles), encoding="utf-8")
    plan = plan_import([star], ImportSettings(given=Given(data_dir=project)))
    assert len(plan.particles) == 20


def sparse_stack(path: Path, n: int, box: int) -> None:
    """A stack of zeros that takes no room on the disk."""
    write_mrcs(path, np.zeros((1, box, box)))
    with path.open("r+b") as file:
        file.seek(8)
        file.write(np.int32(n).tobytes())
        file.truncate(1024 + 4 * n * box**2)


def test_six_optics_groups_with_all_aberrations(tmp_path: Path) -> None:
    """A real file, in a project whose stacks are made up."""
    name = "relion31.6opticsgroups.star"
    star = tmp_path / "Refine3D" / name
    star.parent.mkdir()
    star.write_bytes((SPECIMENS / "relion" / name).read_bytes())
    table = gemmi_columns(star, "particles")
    for stack in {image.split("@")[1] for image in table["rlnImageName"]}:
        sparse_stack(tmp_path / stack, 999, 196)
    options = {**AS_THEY_ARE, "rule": MovieRule(frames_per_movie=1)}
    with pytest.raises(TemporemError, match="rlnEvenZernike is symmetric aberrations"):
        plan_import([star], ImportSettings(**options))
    plan = plan_import([star], ImportSettings(**options, box=64))
    assert plan.work.grid.pixel_size_angstrom == pytest.approx(1.24 * 196 / 64)
    assert set(np.unique(plan.work.pixel_sizes)) == {1.24, 1.25}
    group = int(table["rlnOpticsGroup"][0])
    optics = plan.particles.optics[plan.particles.optics_index[0]]
    assert group == 6
    assert optics.beam_tilt_mrad == (-1.28823, 2.446621)
    assert optics.odd_zernike[0] == 2.87241841102
    assert optics.magnification[0][0] == 1.006131
    assert float(plan.particles.ctf.voltage_kv[0]) == 200
    shift = np.array([-float(table[c][0]) for c in ("rlnOriginXAngst", "rlnOriginYAngst")])
    expected = np.linalg.inv(np.array(optics.magnification)).T @ shift
    assert np.allclose(plan.particles.poses.shifts_angstrom[0], expected)
    said = " ".join(plan.notes)
    assert "Beam tilt and other odd aberrations are corrected" in said
    assert "Anisotropic magnification is corrected" in said
    assert not plan.work.images(np.arange(3)).any()


def test_a_stack_of_a_billion_images_takes_no_memory(tmp_path: Path) -> None:
    sparse_stack(tmp_path / "a.mrcs", 10**9, 8)
    with pytest.raises(TemporemError, match=r"a\.mrcs has 1,000,000,000 images"):
        plan_import([tmp_path / "a.mrcs"], ImportSettings(given=Given(no_ctf=True)))
    with (tmp_path / "a.mrcs").open("r+b") as file:
        file.truncate(10**6)
    with pytest.raises(TemporemError, match="is cut short"):
        plan_import([tmp_path / "a.mrcs"], ImportSettings(given=Given(no_ctf=True)))


def test_a_stack_is_taken_once(tmp_path: Path) -> None:
    stack = write_mrcs(tmp_path / "stacks" / "a.mrcs", np.zeros((2, 16, 16)), 2.0)
    with pytest.raises(TemporemError, match=r"a\.mrcs is named twice"):
        read_stacks([stack.parent, stack], Given())


def test_a_particle_of_relion_30_may_move_by_less_than_half_its_box(tmp_path: Path) -> None:
    """No table has its box; the stack does."""
    n = 4
    write_mrcs(tmp_path / "a.mrcs", np.random.default_rng(0).normal(size=(n, 64, 64)), 2.0)
    columns = {
        "rlnImageName": [f"{i + 1}@a.mrcs" for i in range(n)],
        "rlnMicrographName": ["m", "m", "n", "n"],
        **{"rlnCoordinateX": [100, 128, 100, 131], "rlnCoordinateY": [50] * n},
    }
    star = tmp_path / "a.star"
    star.write_text(star_text(**{"": columns}), encoding="utf-8")
    settings = ImportSettings(Given(no_ctf=True), MovieRule("rlnMicrographName"))
    assert plan_import([star], settings).movies.numbers.tolist() == [1, 2, 1, 2]
    columns["rlnCoordinateX"][3] = 133
    star.write_text(star_text(**{"": columns}), encoding="utf-8")
    with pytest.raises(TemporemError, match=r"micrograph n, 33 pixels apart"):
        plan_import([star], settings)


def test_a_folder_with_a_table_is_no_folder_of_stacks(dataset: Path) -> None:
    with pytest.raises(TemporemError, match=r"has tables of images: particles\.star"):
        plan_import([dataset], ImportSettings(given=Given(no_ctf=True)))


def test_what_a_dataset_may_not_hold_is_not_written(
    dataset: Path, images: np.ndarray, tmp_path: Path
) -> None:
    """Here a CTF that is 0 everywhere."""
    particles, optics = columns_of(dataset)
    particles["rlnDefocusU"] = particles["rlnDefocusV"] = ["0"] * 20
    optics["rlnSphericalAberration"] = optics["rlnAmplitudeContrast"] = ["0"]
    write_mrcs(tmp_path / "particles.mrcs", images)
    star = tmp_path / "a.star"
    star.write_text(star_text(optics=optics, particles=particles), encoding="utf-8")
    with pytest.raises(TemporemError, match=r"out/particles\.star has no CTF.*--ctf none"):
        imported(tmp_path / "out", star)
    assert not list(tmp_path.glob("*out*"))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_cryosparc_files_are_a_plan_or_an_error(
    dataset: Path, images: np.ndarray, tmp_path: Path, data: st.DataObject
) -> None:
    write_mrcs(tmp_path / "J1" / "stack.mrcs", images)
    path = save_cs(tmp_path / "a.cs", cryosparc(dataset))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    path.write_bytes(content)
    rule = MovieRule(frames_per_movie=4)
    with contextlib.suppress(TemporemError):
        plan_import([path], ImportSettings(rule=rule))
