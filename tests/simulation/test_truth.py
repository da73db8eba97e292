"""The truth of a dataset: the same after a trip over the disk, and row for row its own."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.io.star import StarTable, read_star, write_star
from temporem.physics.structure_factors import structure_factors
from temporem.simulation import truth as truth_module
from temporem.simulation.drawing import draw_frames
from temporem.simulation.in_memory import load_motion
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import Truth, read_truth, read_truth_of
from temporem.structures.motions.base import conformations
from temporem.structures.scattering import element_index, form_factors

# A part of the body moves along, so that moving and still atoms alternate.
CONFIG = load_simulation_config(
    "toy", ["movies=3", "frames_per_movie=4", "motion.moving=[A/5-6, B/1-48]"]
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    simulate(CONFIG, tmp_path / "dataset")
    return tmp_path / "dataset"


def rewrite(path: Path, block: str, rows: list[int]) -> None:
    """Keep some rows of a table, in a new order."""
    tables = read_star(path)
    table = tables[block]
    tables[block] = StarTable({name: [table[name][row] for row in rows] for name in table})
    write_star(path, tables)


def test_volumes_are_those_of_all_atoms_where_they_are(dataset: Path) -> None:
    truth = read_truth(dataset)
    rows = np.array([2, 9, 2])
    volumes = truth.volumes(rows)
    assert volumes.dtype == torch.complex64
    assert volumes.shape == (3, len(truth.support))
    assert volumes[0].equal(volumes[2])
    index, numbers = element_index(truth.motion.molecule)
    expected = structure_factors(
        conformations(truth.motion, truth.parameters[rows]),
        index,
        form_factors(numbers, CONFIG.b_factor_angstrom2),
        truth.support,
        CONFIG.pixel_size_angstrom,
    )
    assert (volumes - expected).norm() / expected.norm() < 1e-6
    # The motion is in it: the arm's 12 % of the atoms are elsewhere.
    assert 0.05 < (volumes[0] - volumes[1]).norm() / volumes[0].norm() < 1


@pytest.mark.parametrize("kept_bytes", [0, 2**28])
def test_volumes_of_shared_conformations_are_computed_once(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    truth = read_truth(dataset)
    parameters = truth.parameters.clone()
    parameters[4:8] = parameters[:4]
    shared = dataclasses.replace(truth, parameters=parameters)
    computed = []

    def counting(positions: torch.Tensor, *rest: object) -> torch.Tensor:
        computed.append(len(positions) if positions.ndim == 3 else 0)
        return structure_factors(positions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(truth_module, "structure_factors", counting)
    monkeypatch.setattr(truth_module, "_KEPT_BYTES", kept_bytes)
    rows = [7, 3, 5, 1, 11, 0]
    volumes = shared.volumes(rows)
    assert sum(computed) == 4
    assert volumes[0].equal(volumes[1])
    assert volumes[2].equal(volumes[3])
    # A truth that was moved has volumes of its own.
    moved = shared.placed(torch.diag(torch.tensor([-1.0, -1.0, 1.0])).double(), torch.zeros(3))
    assert not moved.volumes(rows).equal(volumes)
    computed.clear()
    assert shared.volumes(rows).equal(volumes)
    assert sum(computed) == (0 if kept_bytes else 4)
    assert volumes.equal(truth.volumes([3, 3, 1, 1, 11, 0]))


def test_truth_on_disk_is_what_was_simulated_exactly(dataset: Path) -> None:
    truth, frames = read_truth(dataset), draw_frames(CONFIG)
    assert truth.config == CONFIG
    assert truth.parameter_names == ("angle_degrees",)
    assert truth.parameters.equal(frames.parameters)
    assert (truth.states == frames.states).all()
    assert truth.poses.shifts_angstrom.equal(frames.poses.shifts_angstrom)
    assert (truth.times_seconds == frames.times_seconds).all()
    rotations = truth.poses.rotations
    torch.testing.assert_close(rotations, frames.poses.rotations, rtol=0, atol=1e-12)
    in_memory = Truth(
        config=CONFIG,
        motion=load_motion(CONFIG, None),
        noise_variance=truth.noise_variance,
        states=frames.states,
        parameters=frames.parameters,
        poses=frames.poses,
        times_seconds=frames.times_seconds,
        particle_names=frames.particle_names,
        frame_numbers=frames.frame_numbers,
    )
    rows = [0, 5, 11]
    assert truth.volumes(rows).equal(in_memory.volumes(rows))


def test_truth_agrees_with_the_dataset_row_by_row(dataset: Path) -> None:
    truth, data = read_truth(dataset), read_dataset(dataset)
    assert truth.n_frames == data.n_frames == 12
    assert truth.poses.rotations.equal(data.poses.rotations)
    assert truth.poses.shifts_angstrom.equal(data.poses.shifts_angstrom)
    assert (truth.times_seconds == data.times_seconds).all()
    assert truth.particle_names == data.particle_names
    assert [rows.tolist() for rows in truth.movies] == [rows.tolist() for rows in data.movies]


def test_truth_follows_the_order_of_the_rows_of_the_dataset(dataset: Path) -> None:
    before = read_truth(dataset)
    order = np.random.default_rng(0).permutation(12)[:10].tolist()
    rewrite(dataset / "particles.star", "particles", order)
    after, data = read_truth(dataset), read_dataset(dataset)
    for field in dataclasses.fields(Truth):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name in ("linear", "offset_angstrom"):  # of volumes, not of frames
            continue
        if isinstance(old, np.ndarray | torch.Tensor):
            np.testing.assert_array_equal(np.asarray(new), np.asarray(old)[order])
    assert after.poses.rotations.equal(data.poses.rotations)
    assert after.volumes([3]).equal(before.volumes([order[3]]))


@pytest.mark.parametrize(
    ("old", "new"), [("box: 32", "box: 1024"), ("pixel_size_angstrom: 4", "pixel_size_angstrom: 5")]
)
def test_truth_of_images_of_another_size(dataset: Path, old: str, new: str) -> None:
    movies, path = read_dataset(dataset), dataset / "truth" / "simulation.yaml"
    assert read_truth_of(movies).config == CONFIG
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TemporemError, match=r"simulation\.yaml is of images .*expected 32 pixels"):
        read_truth_of(movies)


def test_frame_without_truth_is_named(dataset: Path) -> None:
    rewrite(dataset / "truth" / "truth.star", "truth", [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    with pytest.raises(TemporemError, match="lacks frame 2 of movie 'movie_0002'"):
        read_truth(dataset)


def test_dataset_without_truth(tmp_path: Path) -> None:
    with pytest.raises(TemporemError, match="has no folder truth"):
        read_truth(tmp_path)


@pytest.mark.parametrize("name", ["truth.star", "simulation.yaml", "molecule.npz", "motion.npz"])
def test_missing_file_is_named(dataset: Path, name: str) -> None:
    (dataset / "truth" / name).unlink()
    with pytest.raises(TemporemError, match=name):
        read_truth(dataset)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("noise_variance:", "nose_variance:", "has no noise_variance"),
        ("noise_variance: ", "noise_variance: -", "noise_variance is -.*finite number from 0"),
        ("noise_variance: ", "noise_variance: .nan #", "noise_variance is nan"),
        ("  box: 32", "  box: 31", r"simulation\.yaml: box: must be even"),
        ("simulation:", "simulated:", "is missing"),
    ],
)
def test_settings_that_cannot_be_used(dataset: Path, old: str, new: str, message: str) -> None:
    path = dataset / "truth" / "simulation.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TemporemError, match=message):
        read_truth(dataset)
