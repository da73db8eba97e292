"""Selections of frames, written as rows of the file that they came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import starfile
import torch

from helpers.bad_input import refuse
from helpers.commands import succeed
from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.io.cryosparc import read_cs, write_cs
from temporem.io.star import StarTable, read_star, write_star
from temporem.physics.rotations import euler_to_rotation, rotation_of_vector
from temporem.runs.latent_points import cluster_frames
from temporem.runs.run import Run, load_run
from temporem.runs.selection import Criteria, select_frames

PIXEL = 8.0  # Å, of the dataset
N = 20


@pytest.fixture(scope="module")
def run(tiny_runs) -> Run:
    return load_run(tiny_runs["tempor"])


def selected(run: Run, **criteria: object) -> list[int]:
    return select_frames(run, Criteria(**criteria)).tolist()  # type: ignore[arg-type]


def test_conditions_on_latents_and_frames(run: Run) -> None:
    assert run.latents is not None
    middle = float(np.median(run.latents[:, 0]))
    high = np.flatnonzero(run.latents[:, 0] > middle).tolist()
    assert selected(run, where=f"z1 > {middle!r}") == high
    assert selected(run, where="frame == 2") == [1, 5, 9, 13, 17]
    assert selected(run, where="movie == 'movie_0002'") == [4, 5, 6, 7]
    assert selected(run, where="row >= 18") == [18, 19]
    time = run.times_seconds
    assert selected(run, where="time < 0.15") == np.flatnonzero(time < 0.15).tolist()
    held = np.flatnonzero(run.held_out).tolist()
    assert selected(run, where="temporemHeldOut == 1") == held


def test_criteria_hold_together(run: Run) -> None:
    both = {"where": "frame > 2", "movies": ["movie_0003", "movie_0001"]}
    assert selected(run, **both) == [2, 3, 10, 11]
    label = cluster_frames(run.latents, 2, 0).label
    assert selected(run, cluster=(2, 2)) == np.flatnonzero(label == 2).tolist()


def test_lists_of_frames_in_csv(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "frames.csv"
    file.write_text("\ufeffMovie, frame,note\nmovie_0002,3,x\nmovie_0001, 1,y\n")
    assert selected(run, frames_csv=file) == [0, 6]
    file.write_text("row\n7\n2\n7\n")
    assert selected(run, frames_csv=file) == [2, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b; expected movie and frame, or row"),
        ("", "expected movie and frame, or row"),
        ("row\n20\n", "line 2: '20' is no whole number from 0 to 19"),
        ("row\n-1\n", "line 2: '-1'"),
        ("row\n1.5\n", "line 2: '1.5'"),
        ("movie,frame\nmovie_0001,1\nmovie_0009,1\n", "line 3: .* no frame 1 of movie"),
        ("movie,frame\nmovie_0001\n", "line 2: '' is no number"),
        ("row\n", "no frame fulfils all criteria"),
    ],
)
def test_bad_csv(text: str, message: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "frames.csv"
    file.write_text(text)
    with pytest.raises(TemporemError, match=message):
        selected(run, frames_csv=file)


def test_selection_of_nothing_is_said_with_the_range(run: Run) -> None:
    with pytest.raises(TemporemError, match=r"no frame fulfils 'frame > 9'.*frame from 1 to 4"):
        selected(run, where="frame > 9")
    with pytest.raises(TemporemError, match="leave one out"):
        selected(run, where="frame > 2", frames_csv=None, movies=["movie_0001"], cluster=(1, 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing says which frames"),
        (("--where", "z1"), "no comparison"),
        (("--where", "z9 > 0"), "no column z9"),
        (("--where", "frame > 9"), "no frame fulfils"),
        (("--movies", "movie_9"), "no movie 'movie_9'"),
        (("--cluster", "3"), "2/5 for the second of five"),
        (("--cluster", "3/2"), "no cluster 3 of 2"),
        (("--cluster", "1/21"), "21 clusters of"),
        (("--frames-csv", "absent.csv"), "absent.csv: no such file"),
        (("--poses", "--source", "other.star"), "came from no table, so its rows in other.star"),
        (("--poses", "--dataset", "nowhere"), "nowhere does not exist"),
    ],
)
def test_bad_selections(options, message, tiny_runs, tmp_path) -> None:
    arguments = ("select", tiny_runs["tempor"], "-o", tmp_path / "x.star", *options)
    assert message in refuse(tmp_path, *arguments)


def test_output_is_checked(tiny_dataset, tiny_runs, tmp_path) -> None:
    arguments = ("select", tiny_runs["tempor"], "--where", "frame < 3", "-o")
    assert "a name that ends in .star" in refuse(tmp_path, *arguments, tmp_path / "x.cs")
    assert "does not exist" in refuse(tmp_path, *arguments, tmp_path / "no/x.star")
    (tmp_path / "x.star").write_text("mine")
    assert "exists" in refuse(tmp_path, *arguments, tmp_path / "x.star")
    original = tiny_dataset / "particles.star"
    assert "is the original file" in refuse(tmp_path, *arguments, original, "--overwrite")
    succeed(*arguments, tmp_path / "x.star", "--overwrite")


def test_no_output_replaces_what_the_frames_came_from(tiny_dataset, tiny_runs, tmp_path) -> None:
    original = tmp_path / "original.star"
    shutil.copy(tiny_dataset / "particles.star", original)
    columns = {"temporemSourceFile": ["source/a.star"] * N, "temporemSourceRow": np.arange(N)}
    dataset = imported(tiny_dataset, tmp_path, columns)
    (dataset / "source").mkdir()
    shutil.copy(original, dataset / "source" / "a.star")
    (dataset / "source" / "import.json").write_text(json.dumps({"files": [str(original)]}))
    run = tmp_path / "run"
    shutil.copytree(tiny_runs["tempor"], run)
    link = tmp_path / "link.star"
    link.symlink_to(original)
    options = ("select", run, "--where", "frame < 3", "--dataset", dataset, "--overwrite", "-o")
    for path in (original, link, dataset / "particles.star", run / "frames.star"):
        before = path.read_bytes()
        assert "belongs to what the frames came from" in refuse(tmp_path, *options, path)
        assert path.read_bytes() == before
    mine = dataset / "open.star"
    succeed(*options, mine)
    succeed(*options, mine)


def test_run_of_another_dataset_is_refused(tiny_dataset, tiny_runs, tmp_path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_dataset, other)
    copy_without_rows(other)
    arguments = ("select", tiny_runs["tempor"], "--poses", "--dataset", other)
    assert "not a reconstruction of the frames" in refuse(
        tmp_path, *arguments, "-o", tmp_path / "x.star"
    )


def copy_without_rows(dataset: Path) -> None:
    tables = read_star(dataset / "particles.star")
    columns = {name: list(values)[:-1] for name, values in tables["particles"].items()}
    write_star(dataset / "particles.star", {**tables, "particles": StarTable(columns)})


def test_selection_is_a_dataset_with_those_frames(tiny_dataset, tiny_runs, run, tmp_path) -> None:
    """Read back, it equals the rows: images, poses, CTF, movies; with the run's poses if asked."""
    rows = select_frames(run, Criteria(where="frame != 3"))
    for poses in ((), ("--poses",)):
        folder = tmp_path / f"new{len(poses)}"
        folder.mkdir()
        shutil.copy(tiny_dataset / "particles.mrcs", folder)
        options = ("--where", "frame != 3", "-o", folder / "particles.star", *poses)
        succeed("select", tiny_runs["tempor"], *options)
        before, after = read_dataset(tiny_dataset), read_dataset(folder)
        every = np.arange(len(rows))
        np.testing.assert_array_equal(after.images[every], before.images[rows])
        np.testing.assert_array_equal(after.frame_numbers, before.frame_numbers[rows])
        np.testing.assert_array_equal(after.times_seconds, before.times_seconds[rows])
        assert after.particle_names == [before.particle_names[row] for row in rows]
        torch.testing.assert_close(after.poses.rotations, before.poses.rotations[rows])
        torch.testing.assert_close(
            after.poses.shifts_angstrom, before.poses.shifts_angstrom[rows], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            after.ctf.defocus_u_angstrom, before.ctf.defocus_u_angstrom[rows]
        )


# --- files that a dataset was imported from ---


def imported(tiny_dataset: Path, folder: Path, columns: dict[str, object]) -> Path:
    """The dataset as import leaves it, with columns that name its source."""
    dataset = folder / "imported"
    shutil.copytree(tiny_dataset, dataset)
    tables = read_star(dataset / "particles.star")
    particles = StarTable({**tables["particles"], **columns})  # type: ignore[dict-item]
    write_star(dataset / "particles.star", {**tables, "particles": particles})
    return dataset


@pytest.fixture
def relion_30(tiny_dataset: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A dataset that came from a RELION 3.0 file, in another order, and that file."""
    order = np.random.default_rng(0).permutation(N)  # row of the file → frame
    defocus = np.array(read_star(tiny_dataset / "particles.star")["particles"]["rlnDefocusU"])
    head = "# from RELION 3.0\n\ndata_\n\nloop_\n"
    names = ("rlnImageName", "rlnDefocusU", "rlnOriginX", "rlnOriginY", "rlnAngleRot")
    names += ("rlnDetectorPixelSize", "rlnMagnification", "rlnCoordinateX")
    head += "".join(f"_{name} #{i}\n" for i, name in enumerate(names, start=1))
    rows = [
        f"{i + 1:06d}@Extract/a.mrcs {defocus[frame]} 0 0 0 5.0 12500 {frame}.25"
        for i, frame in enumerate(order)
    ]
    source = tmp_path / "relion.star"
    source.write_text(head + "\n".join(rows) + "\n")
    columns = {"temporemSourceFile": ["../relion.star"] * N, "temporemSourceRow": np.argsort(order)}
    return imported(tiny_dataset, tmp_path, columns), source


def test_rows_of_the_relion_file(relion_30, tiny_runs, run: Run, tmp_path: Path) -> None:
    dataset, source = relion_30
    out = tmp_path / "out.star"
    options = ("--dataset", dataset, "-o", out)
    succeed("select", tiny_runs["tempor"], "--movies", "movie_0002, movie_0004", *options)
    found, whole = starfile.read(out), starfile.read(source)
    frames = whole["rlnCoordinateX"].astype(int)
    kept = whole[frames.isin([4, 5, 6, 7, 12, 13, 14, 15])].reset_index(drop=True)
    assert found.equals(kept)
    assert "# from RELION 3.0" in out.read_text()
    assert "30001" not in out.read_text()


def test_poses_in_a_file_of_relion_3_0(relion_30, tiny_runs, run: Run, tmp_path: Path) -> None:
    """Origins are in its pixels of 4 Å; angles that it lacks are added."""
    dataset, _ = relion_30
    out = tmp_path / "out.star"
    succeed("select", tiny_runs["tempor"], "--poses", "--dataset", dataset, "-o", out)
    found = starfile.read(out)
    frames = found["rlnCoordinateX"].astype(int).to_numpy(copy=True)
    origins = found[["rlnOriginX", "rlnOriginY"]].to_numpy()
    shifts = run.poses.shifts_angstrom[frames].numpy()
    np.testing.assert_allclose(origins, -shifts / 4, atol=1e-5)
    dataset_angles = read_star(dataset / "particles.star")["particles"].floats("rlnAngleTilt")
    np.testing.assert_allclose(found["rlnAngleTilt"], dataset_angles[frames], atol=1e-5)


def test_source_that_has_moved_or_changed(relion_30, tiny_runs, tmp_path: Path) -> None:
    dataset, source = relion_30
    options = ("select", tiny_runs["tempor"], "--poses", "--dataset", dataset)
    options += ("-o", tmp_path / "out.star")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    source.rename(moved / source.name)
    assert "is not there; name it with --source" in refuse(tmp_path, *options)
    succeed(*options, "--source", moved / source.name)
    (tmp_path / "out.star").unlink()
    other = ("--source", moved / "b.star")
    assert "no selected frame came from b.star" in refuse(tmp_path, *options, *other)
    lines = (moved / source.name).read_text().splitlines(keepends=True)
    (moved / source.name).write_text("".join([*lines[:-2], lines[-1], lines[-2]]))
    again = (*options, "--source", moved / source.name)
    assert "has changed since it was imported: row 18" in refuse(tmp_path, *again)
    (moved / source.name).write_text("".join(lines[:-3]))
    assert "has 17 particles, but the dataset names its row" in refuse(tmp_path, *again)


def test_a_dataset_of_bare_stacks_is_its_own_original(tiny_dataset, tiny_runs, tmp_path) -> None:
    stack = str(tmp_path / "stack.mrcs")
    columns = {"temporemSourceFile": [stack] * N, "temporemSourceRow": np.arange(N)}
    dataset, out = imported(tiny_dataset, tmp_path, columns), tmp_path / "out.star"
    options = ("--where", "row in (3, 9)", "--dataset", dataset, "-o", out)
    succeed("select", tiny_runs["tempor"], *options)
    found = starfile.read(out)["particles"]
    assert found["rlnImageName"].tolist() == ["000004@particles.mrcs", "000010@particles.mrcs"]
    assert found["temporemSourceRow"].tolist() == [3, 9]
    assert found["temporemSourceFile"].tolist() == [stack] * 2


def test_frames_of_several_files(tiny_dataset, tiny_runs, tmp_path: Path) -> None:
    text = (tiny_dataset / "particles.star").read_text()
    for name in ("a.star", "b.star"):
        (tmp_path / name).write_text(text)
    files = ["../a.star"] * 8 + ["../b.star"] * 12
    columns = {"temporemSourceFile": files, "temporemSourceRow": np.arange(N)}
    dataset = imported(tiny_dataset, tmp_path, columns)
    options = ("--where", "row > 5", "--dataset", dataset, "-o", tmp_path / "out.star")
    message = refuse(tmp_path, "select", tiny_runs["tempor"], *options)
    assert "came from 2 files: ../a.star, ../b.star" in message
    source = ("--source", tmp_path / "a.star")
    assert "2 of 20 frames" in succeed("select", tiny_runs["tempor"], *options, *source)
    assert starfile.read(tmp_path / "out.star")["particles"]["rlnMovieFrameNumber"].tolist() == [
        3,
        4,
    ]


@pytest.fixture
def cryosparc(tiny_dataset: Path, tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A dataset that came from a .cs file, that file, and the frame of each of its rows."""
    random = np.random.default_rng(1)
    order = random.permutation(N)
    kinds = [("uid", "<u8"), ("blob/path", "S20"), ("blob/idx", "<u4"), ("blob/psize_A", "<f4")]
    table = np.zeros(N, dtype=kinds)
    table["uid"] = random.integers(2**62, 2**64, N, dtype=np.uint64)  # beyond int64
    table["blob/path"], table["blob/idx"], table["blob/psize_A"] = b"J1/a.mrcs", order, PIXEL / 2
    source = tmp_path / "particles.cs"
    write_cs(source, table)
    row = np.argsort(order)
    columns = {
        "temporemSourceFile": [str(source)] * N,
        "temporemSourceRow": row,
        "temporemSourceUid": [str(uid) for uid in table["uid"][row]],
    }
    return imported(tiny_dataset, tmp_path, columns), source, order


def test_particles_of_cryosparc_by_uid(cryosparc, tiny_runs, tmp_path: Path) -> None:
    """Also where the file is in another order than at the time of import."""
    dataset, source, _ = cryosparc
    whole = read_cs(source).records
    write_cs(source, whole[::-1], overwrite=True)
    out = tmp_path / "out.cs"
    options = ("--where", "frame == 1", "--dataset", dataset, "-o", out)
    succeed("select", tiny_runs["tempor"], *options)
    found = np.load(out, allow_pickle=False)
    assert found.dtype == whole.dtype
    kept = np.isin(whole["blob/idx"], [0, 4, 8, 12, 16])
    assert found.tobytes() == whole[::-1][kept[::-1]].tobytes()
    write_cs(source, whole[:-3], overwrite=True)
    options = ("--poses", "--dataset", dataset, "-o", tmp_path / "b.cs")
    message = refuse(tmp_path, "select", tiny_runs["tempor"], *options)
    assert "lacks 3 of the 20 selected particles" in message


def test_poses_for_cryosparc(cryosparc, tiny_runs, run: Run, tmp_path: Path) -> None:
    """cryoSPARC's rotation vector turns the camera into the molecule; shifts are in its pixels."""
    dataset, _, order = cryosparc
    out = tmp_path / "out.cs"
    succeed("select", tiny_runs["tempor"], "--poses", "--dataset", dataset, "-o", out)
    found = read_cs(out).records
    np.testing.assert_array_equal(found["blob/idx"], order)
    turned = rotation_of_vector(torch.from_numpy(found["alignments3D/pose"].astype(float)))
    expected = run.poses[torch.from_numpy(order)]
    torch.testing.assert_close(turned.mT, expected.rotations, atol=1e-6, rtol=0)
    shifts = -found["alignments3D/shift"] * found["alignments3D/psize_A"][:, None]
    np.testing.assert_allclose(shifts, expected.shifts_angstrom, atol=1e-4)
    assert (found["alignments3D/psize_A"] == PIXEL / 2).all()


def test_selection_has_what_cryodrgn_reads(tiny_dataset, tiny_runs, run: Run, tmp_path) -> None:
    """The columns that its parse_pose_star and parse_ctf_star take, by an independent reader."""
    out = tmp_path / "out.star"
    succeed("select", tiny_runs["tempor"], "--where", "frame > 1", "--poses", "-o", out)
    tables = starfile.read(out)
    particles, optics = tables["particles"], tables["optics"]
    rows = select_frames(run, Criteria(where="frame > 1"))
    data = read_dataset(tiny_dataset)
    pixel_size = float(optics["rlnImagePixelSize"].iloc[0])
    assert (optics["rlnImageSize"] == data.box).all()
    origins = particles[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy() / pixel_size
    shifts = run.poses.shifts_angstrom[torch.from_numpy(rows)].numpy()
    np.testing.assert_allclose(origins, -shifts / PIXEL, atol=1e-6)
    angles = particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(copy=True)
    rotations = euler_to_rotation(torch.from_numpy(angles))
    torch.testing.assert_close(
        rotations, run.poses.rotations[torch.from_numpy(rows)], atol=1e-7, rtol=0
    )
    ctf = particles.merge(optics, on="rlnOpticsGroup")
    for column, values in (
        ("rlnDefocusU", data.ctf.defocus_u_angstrom),
        ("rlnDefocusV", data.ctf.defocus_v_angstrom),
        ("rlnDefocusAngle", torch.rad2deg(data.ctf.astigmatism_radians)),
        ("rlnVoltage", data.ctf.voltage_kv),
        ("rlnSphericalAberration", data.ctf.cs_mm),
        ("rlnAmplitudeContrast", data.ctf.amplitude_contrast),
        ("rlnPhaseShift", torch.rad2deg(data.ctf.phase_shift_radians)),
    ):
        np.testing.assert_allclose(ctf[column], values.numpy()[rows], atol=1e-9)
