"""The folder of a motion: files that programs read back, in the reference frame of the volumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
import torch

from helpers.bad_input import refuse
from helpers.commands import TINY_TRAINING, command, settings, succeed
from temporem.io.star import read_star
from temporem.runs.motion import write_motion_folder
from temporem.runs.run import Run, load_run
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.cloud_motion import CloudMotion, find_motion
from temporem.volumes.source import VolumeGrid

BOX, PIXEL = 16, 3.0


@pytest.fixture
def run(tiny_runs: dict[str, Path]) -> Run:
    """A run whose cloud is a body, and a smaller part that a network of random numbers moves."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = CloudVolumes(BOX, 1, 100, 1)
        points = torch.cat([1.5 * torch.randn(140, 3), torch.randn(60, 3) * 0.8 + 5])
        generator.cloud.place(points, torch.full((len(points),), 0.5), 1.1)
        generator.cloud.gate.copy_((generator.cloud.skeleton.nodes.sum(1) > 8).float())
        torch.nn.init.normal_(generator.cloud.last.weight, std=0.05)
        run = load_run(tiny_runs["tempor"])
        means = torch.randn(run.n_frames, 1)
    return replace(
        run,
        grid=VolumeGrid(BOX, PIXEL, 1.0),
        generator=generator,
        latent_means=means,
        latent_covariance=np.full((run.n_frames, 1, 1), 1e-3, dtype=np.float32),
    )


@pytest.fixture
def motion(run: Run) -> CloudMotion:
    return find_motion(run, states=6, samples=10)


def test_files_say_alike_what_moves(run: Run, motion: CloudMotion, tmp_path: Path) -> None:
    out = tmp_path / "motion"
    movie = run.particle_names[0]
    write_motion_folder(run, motion, out, movie=movie)
    arrays = np.load(out / "motion.npz")
    record = json.loads((out / "motion.json").read_text())
    assert motion.moves
    assert record["moves"] is True
    np.testing.assert_allclose(arrays["path_positions"], motion.path, rtol=1e-5)
    placed = arrays["path_positions"] + record["centre_angstrom"]
    assert record["centre_angstrom"] == BOX / 2 * PIXEL == arrays["centre"]
    for name in ("states.cif", "states.pdb"):
        structure = gemmi.read_structure(str(out / name))
        assert len(structure) == 6
        for model, state in zip(structure, placed, strict=True):
            for body, chain in enumerate(model):
                found = np.array([residue[0].pos.tolist() for residue in chain])
                np.testing.assert_allclose(found, state[arrays["body"] == body], atol=1e-3)
    rows = run.rows_of_movie(movie)
    assert arrays["movie_rows"].tolist() == rows.tolist()
    frames = gemmi.read_structure(str(out / "movie.cif"))
    assert len(frames) == len(rows)
    table = read_star(out / "frames.star")["frames"]
    assert table.strings("rlnParticleName") == run.particle_names
    for number, name in enumerate(("", "Low", "High")):
        ending = ("", "_low", "_high")[number]
        found = table.floats(f"temporemHinge1Angle{name}")
        np.testing.assert_allclose(found, arrays[f"hinge_angle{ending}"][0], rtol=1e-4, atol=1e-4)
        found = table.floats(f"temporemBodyBDisplacement{name}")
        expected = arrays[f"body_displacement{ending}"][:, 1]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_models_lie_in_the_volume(run: Run, motion: CloudMotion, tmp_path: Path) -> None:
    """The density at the beads, in the coordinates of the MRC file, is high."""
    write_motion_folder(run, motion, tmp_path / "motion")
    with mrcfile.open(tmp_path / "motion/reference.mrc") as file:
        volume, pixel = file.data, float(file.voxel_size.x)
        assert file.header.origin.item() == (0, 0, 0)
    state = gemmi.read_structure(str(tmp_path / "motion/states.cif"))[motion.bodies.reference]
    places = np.array([r[0].pos.tolist() for chain in state for r in chain])
    x, y, z = np.rint(places / pixel).astype(int).T
    assert volume[z, y, x].mean() > 5 * volume.mean()
    shifted = np.clip(np.array([z + 2, y, x]), 0, BOX - 1)
    assert volume[z, y, x].mean() > 1.2 * volume[tuple(shifted)].mean()


def test_commands_open_files_that_are_there(run: Run, motion: CloudMotion, tmp_path: Path) -> None:
    out = tmp_path / "motion"
    write_motion_folder(run, motion, out)
    lines = (out / "motion.cxc").read_text().splitlines()
    opened = [line.split()[1] for line in lines if line.startswith("open ")]
    assert opened == ["states.pdb", "reference.mrc", "arrows.bild", "hinges.bild"]
    assert all((out / name).is_file() for name in opened)
    arrows = [s for s in (out / "arrows.bild").read_text().splitlines() if s.startswith(".arrow")]
    assert 0 < len(arrows) <= 150
    placed = (motion.path[-1] + BOX / 2 * PIXEL).numpy()
    tips = np.array([line.split()[4:7] for line in arrows], dtype=float)
    nearest = np.linalg.norm(tips[:, None] - placed, axis=-1).min(1)
    assert nearest.max() < 2e-3  # arrows end where Gaussians are in the last state


def test_still_run_has_no_arrows(run: Run, tmp_path: Path) -> None:
    assert isinstance(run.generator, CloudVolumes)
    run.generator.cloud.gate.zero_()
    write_motion_folder(run, find_motion(run, states=6, samples=5), tmp_path / "motion")
    assert ".arrow" not in (tmp_path / "motion/arrows.bild").read_text()
    assert json.loads((tmp_path / "motion/motion.json").read_text())["moves"] is False


def test_folder_replaces_only_its_own_kind(run: Run, motion: CloudMotion, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(Exception, match="is not a folder of motion"):
        write_motion_folder(run, motion, tmp_path / "other", overwrite=True)
    assert (tmp_path / "other/notes.txt").read_text() == "mine"
    write_motion_folder(run, motion, tmp_path / "motion")
    write_motion_folder(run, motion, tmp_path / "motion", overwrite=True)


def test_run_without_a_cloud_is_refused(tiny_runs: dict[str, Path], tmp_path: Path) -> None:
    for method in ("tempor", "homogeneous"):
        message = refuse(tmp_path, "motion", tiny_runs[method], "-o", tmp_path / "motion")
        assert "--generator cloud" in message
        assert f"--method {method}" in message


@pytest.mark.integration
def test_command_says_what_moves(tiny_dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny = settings(TINY_TRAINING)
    succeed("reconstruct", tiny_dataset, "-o", run, "--generator", "cloud", *tiny)
    out = tmp_path / "motion"
    told = succeed("motion", run, "-o", out, "--states", "5", "--truth", tiny_dataset)
    assert "the cloud itself is uncertain is not in them" in told
    assert "Truth: " in told
    assert str(out / "motion.cxc") in told
    record = json.loads(succeed("motion", run, "-o", out, "--json", "--overwrite"))
    assert record == record | {
        key: json.loads((out / "motion.json").read_text())[key] for key in record
    }
    again = command("motion", run, "-o", out)
    assert again.code == 2
    assert "exists" in again.err
    missing = command("motion", run, "-o", tmp_path / "m", "--movie", "none")
    assert missing.code == 2
    assert "has no movie 'none'" in missing.err
    assert not (tmp_path / "m").exists()
