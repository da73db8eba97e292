"""Files of RELION and cryoSPARC go in and come back as they were, with or without new poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile
from scipy.spatial.transform import Rotation

from helpers.bad_input import refuse
from helpers.commands import succeed
from helpers.foreign import columns_of, cryosparc, save_cs, star_text, write_mrcs
from helpers.short_search import shorten_searches
from temporem.frames.readers import read_dataset
from temporem.runs.run import load_run

ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]
AS_THEY_ARE = ("--invert", "no", "--no-normalise")
EVERY_ROW = ("--where", "row >= 0")


def reconstruct(folder: Path, *files: object, poses: str = "known") -> tuple[Path, Path]:
    """Import files and reconstruct one volume: the dataset and the run."""
    dataset, run = folder / "dataset", folder / "run"
    succeed("import", *files, "-o", dataset, *AS_THEY_ARE)
    method = ("--method", "homogeneous", "--poses", poses)
    succeed("reconstruct", dataset, "-o", run, *method, "--set", "data.checks=warn")
    return dataset, run


def camera_of_cs(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and displacements (Å) of a cryoSPARC table, as cryoDRGN's parse_pose_csparc.

    The transpose of the rotation vector's matrix maps the molecule to the camera. The shift centres
    the particle, so its displacement is the negative.
    """
    matrices = Rotation.from_rotvec(records["alignments3D/pose"].astype(float)).as_matrix()
    size = records["alignments3D/psize_A"].astype(float)[:, None]
    return matrices.transpose(0, 2, 1), -records["alignments3D/shift"] * size


def camera_of_star(table: object) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and displacements (Å) of a RELION table."""
    angles = table[ANGLES].to_numpy(copy=True)  # type: ignore[index]
    matrices = Rotation.from_euler("ZYZ", angles, degrees=True).inv().as_matrix()
    return matrices, -table[ORIGINS].to_numpy(copy=True)  # type: ignore[index]


@pytest.fixture(scope="module")
def job(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A cryoSPARC project with a particle file, its passthrough file, and a run of them.

    Rows are in a random order, the passthrough's in another, and its uids are more.
    """
    project = tmp_path_factory.mktemp("cryosparc")
    random = np.random.default_rng(0)
    records = cryosparc(tiny_dataset)
    records["alignments3D/shift"] = random.normal(0, 0.4, (20, 2))
    write_mrcs(project / "J1" / "stack.mrcs", read_dataset(tiny_dataset).images[:])
    names = records.dtype.names
    ctf = tuple(name for name in names if name.startswith("ctf/"))
    order = random.permutation(20)
    own = tuple(name for name in names if name not in ctf)
    particles = save_cs(project / "J2" / "particles.cs", records[order], own)
    more = np.concatenate([records[random.permutation(20)], records[:3]])
    more["uid"][20:] += 1
    passthrough = save_cs(project / "J2" / "passthrough.cs", more, ("uid", *ctf))
    reconstruct(project, particles, passthrough, "--frames-per-movie", 4)
    return project, particles, passthrough


def test_rows_of_cryosparc_come_back_with_their_uids(job, tmp_path: Path) -> None:
    project, particles, _ = job
    before = np.load(particles)
    succeed("select", project / "run", *EVERY_ROW, "-o", tmp_path / "all.cs")
    after = np.load(tmp_path / "all.cs")
    assert after.dtype == before.dtype
    assert after.tobytes() == before.tobytes()
    succeed("select", project / "run", "--where", "frame == 2", "-o", tmp_path / "some.cs")
    some = np.load(tmp_path / "some.cs")
    second = before[before["blob/idx"] % 4 == 1]
    assert some["uid"].tolist() == second["uid"].tolist()


def test_known_poses_of_cryosparc_come_back(job, tmp_path: Path) -> None:
    project, particles, passthrough = job
    succeed("select", project / "run", "--poses", "-o", tmp_path / "posed.cs")
    before, after = np.load(particles), np.load(tmp_path / "posed.cs")
    assert after["uid"].tolist() == before["uid"].tolist()
    for one, other in zip(camera_of_cs(before), camera_of_cs(after), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
    untouched = [n for n in before.dtype.names if not n.startswith("alignments3D/")]
    for name in untouched:
        assert (after[name] == before[name]).all()
    # The selection is a file that can be imported again, to the same dataset.
    options = ("--datadir", project, "--frames-per-movie", 4, *AS_THEY_ARE)
    succeed("import", tmp_path / "posed.cs", passthrough, "-o", tmp_path / "again", *options)
    one, other = read_dataset(project / "dataset"), read_dataset(tmp_path / "again")
    np.testing.assert_array_equal(one.images[:], other.images[:])
    np.testing.assert_allclose(one.poses.rotations, other.poses.rotations, atol=1e-6)
    np.testing.assert_allclose(one.poses.shifts_angstrom, other.poses.shifts_angstrom, atol=1e-5)
    np.testing.assert_array_equal(one.ctf.defocus_u_angstrom, other.ctf.defocus_u_angstrom)


def test_found_poses_are_written_for_cryosparc(job, tmp_path: Path, monkeypatch) -> None:
    project, particles, _ = job
    shorten_searches(monkeypatch)
    run = tmp_path / "found"
    options = ("--method", "homogeneous", "--poses", "estimate", "--set", "data.checks=warn")
    succeed("reconstruct", project / "dataset", "-o", run, *options)
    succeed("select", run, "--poses", "-o", tmp_path / "found.cs")
    rotations, shifts = camera_of_cs(np.load(tmp_path / "found.cs"))
    found = load_run(run).poses  # the dataset keeps the order of the file
    np.testing.assert_allclose(rotations, found.rotations, atol=1e-5)
    np.testing.assert_allclose(shifts, found.shifts_angstrom, atol=1e-4)
    known = camera_of_cs(np.load(particles))[0]
    assert np.abs(rotations - known).max() > 0.1


def project_of_relion(tiny_dataset: Path, folder: Path, **optics: list[str]) -> Path:
    """A RELION 3.1 file with columns, comments and texts that temporem does not know."""
    particles, groups = columns_of(tiny_dataset)
    random = np.random.default_rng(1)
    order = random.permutation(20)
    particles = {name: [values[i] for i in order] for name, values in particles.items()}
    particles["rlnImageName"] = [f"{i + 1:06d}@Extract/a.mrcs" for i in order]
    for name in ORIGINS:
        particles[name] = [f"{value:.3f}" for value in random.normal(0, 6, 20)]
    doses = [str(-4.0 * int(number)) for number in particles["rlnMovieFrameNumber"]]
    particles |= {"rlnCtfBfactor": doses, "rlnCtfScalefactor": ["0.8"] * 20}  # as Warp writes them
    unknown = {"rlnClassNumber": ["3"] * 20, "myComment": ["'two  words'"] * 20}
    write_mrcs(folder / "Extract" / "a.mrcs", read_dataset(tiny_dataset).images[:])
    star = folder / "run_data.star"
    text = star_text(optics={**groups, **optics}, particles={**unknown, **particles})
    star.write_text("# version 30001 of somebody\n" + text, encoding="utf-8")
    return star


def test_rows_of_relion_come_back_as_text(tiny_dataset: Path, tmp_path: Path) -> None:
    star = project_of_relion(tiny_dataset, tmp_path)
    _, run = reconstruct(tmp_path, star)
    succeed("select", run, *EVERY_ROW, "-o", tmp_path / "all.star")
    assert (tmp_path / "all.star").read_bytes() == star.read_bytes()

    succeed("select", run, "--where", "frame > 2", "-o", tmp_path / "some.star")
    lines, kept = star.read_text().splitlines(), (tmp_path / "some.star").read_text().splitlines()
    assert [line for line in lines if line in set(kept)] == kept
    before, after = starfile.read(star), starfile.read(tmp_path / "some.star")
    assert after["optics"].equals(before["optics"])
    late = before["particles"]["rlnMovieFrameNumber"] > 2
    assert after["particles"].equals(before["particles"][late].reset_index(drop=True))

    succeed("select", run, "--poses", "-o", tmp_path / "posed.star")
    posed = starfile.read(tmp_path / "posed.star")["particles"]
    assert list(posed.columns) == list(before["particles"].columns)
    for name in set(posed.columns) - {*ANGLES, *ORIGINS}:
        assert posed[name].equals(before["particles"][name])
    for one, other in zip(camera_of_star(before["particles"]), camera_of_star(posed), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)

    for name in ("some.star", "posed.star"):
        succeed("import", tmp_path / name, "-o", tmp_path / f"{name}.dataset", *AS_THEY_ARE)
    whole, part = (read_dataset(tmp_path / f) for f in ("dataset", "some.star.dataset"))
    np.testing.assert_array_equal(part.images[:], whole.images[np.flatnonzero(late)])
    again = read_dataset(tmp_path / "posed.star.dataset")
    np.testing.assert_allclose(again.poses.rotations, whole.poses.rotations, atol=1e-6)


def test_shifts_come_back_into_stretched_images(tiny_dataset: Path, tmp_path: Path) -> None:
    """Import undoes anisotropic magnification in images and shifts, select in neither."""
    matrix = ("1.04", "0.02", "-0.01", "0.97")
    names = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
    optics = {name: [value] for name, value in zip(names, matrix, strict=True)}
    star = project_of_relion(tiny_dataset, tmp_path, **optics)
    dataset, run = reconstruct(tmp_path, star)
    before = starfile.read(star)["particles"]
    shifts = read_dataset(dataset).poses.shifts_angstrom.numpy()
    assert np.abs(shifts + before[ORIGINS].to_numpy()).max() > 0.1
    succeed("select", run, "--poses", "-o", tmp_path / "posed.star")
    posed = starfile.read(tmp_path / "posed.star")["particles"]
    np.testing.assert_allclose(posed[ORIGINS], before[ORIGINS], atol=1e-4)


def test_a_selection_of_a_dataset_is_imported_with_its_times(tiny_dataset, tmp_path) -> None:
    """A dataset that was not imported is itself the original."""
    run, star = tmp_path / "run", tmp_path / "some.star"
    succeed("reconstruct", tiny_dataset, "-o", run, "--method", "homogeneous")
    succeed("select", run, "--where", "frame < 4", "-o", star)
    options = ("--datadir", tiny_dataset, *AS_THEY_ARE)
    succeed("import", star, "-o", tmp_path / "part", *options)
    whole, part = read_dataset(tiny_dataset), read_dataset(tmp_path / "part")
    rows = np.flatnonzero(whole.frame_numbers < 4)
    np.testing.assert_array_equal(part.images[:], whole.images[rows])
    np.testing.assert_array_equal(part.times_seconds, whole.times_seconds[rows])
    np.testing.assert_allclose(part.poses.rotations, whole.poses.rotations[rows], atol=1e-9)


def test_exported_volumes_are_no_images(tiny_runs, tmp_path: Path) -> None:
    succeed("export", tiny_runs["homogeneous"], "--frames", "0", "-o", tmp_path / "volumes")
    volume = next((tmp_path / "volumes").rglob("*.mrc"))
    options = ("--ctf", "none", "--stack-is-movie", "-o", tmp_path / "out")
    assert "is a volume of" in refuse(tmp_path, "import", volume, *options)
