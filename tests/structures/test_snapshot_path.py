"""Paths of snapshots: progress, lines between neighbours, and what is refused."""

import pytest
import torch

from helpers.atoms import line_of_atoms
from temporem.errors import TemporemError
from temporem.structures.motions.base import conformations
from temporem.structures.snapshot_path import path_through


def snapshots(*z: float) -> torch.Tensor:
    """The line of atoms, of which the atom of chain B stands still and the rest rises to ``z``."""
    positions = line_of_atoms().positions_angstrom.expand(len(z), -1, -1).clone()
    positions[:, :5, 2] += torch.tensor(z, dtype=torch.float64)[:, None]
    return positions


def test_progress_is_length_of_path_and_positions_lie_on_lines_between_snapshots() -> None:
    motion = path_through(line_of_atoms(), snapshots(0, 1, 4, 4, 3))
    assert motion.parameter_names == ("progress",)
    assert motion.moving.tolist() == [True] * 5 + [False]
    assert motion.progress.tolist() == pytest.approx([0, 0.2, 0.8, 0.8, 1], abs=1e-7)
    progress = torch.tensor([[[0.0], [0.1], [0.5]], [[0.8], [0.9], [1.0]]], dtype=torch.float64)
    atoms = conformations(motion, progress)
    assert atoms.shape == (2, 3, 6, 3)
    assert atoms[..., 0, 2].flatten().tolist() == pytest.approx([0, 0.5, 2.5, 4, 3.5, 3], abs=1e-6)
    assert atoms[..., 5, 2].unique().tolist() == [5]
    assert atoms[0, 0].equal(motion.molecule.positions_angstrom)


def test_progress_can_count_snapshots_instead() -> None:
    motion = path_through(line_of_atoms(), snapshots(0, 1, 4, 4, 3), evenly=True)
    assert motion.progress.tolist() == [0, 0.25, 0.5, 0.75, 1]
    at = motion.positions(motion.progress[:, None])
    assert at.equal(snapshots(0, 1, 4, 4, 3)[:, motion.moving].float().double())


def test_beyond_the_ends_of_a_trajectory_the_molecule_stays() -> None:
    motion = path_through(line_of_atoms(), snapshots(0, 1, 1))
    beyond = motion.positions(torch.tensor([[-0.5], [1.5]]))
    assert beyond.equal(motion.positions(torch.tensor([[0.0], [1.0]])))
    assert beyond[:, 0, 2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ((0,), r"has 1 snapshot\(s\); expected two or more"),
        ((2, 2, 2), "are all the same"),
        ((0, 1, 9, 10), "snapshots 2 and 3 of line are 8.0 Å apart"),
    ],
)
def test_bad_trajectory(path: tuple[float, ...], message: str) -> None:
    with pytest.raises(TemporemError, match=message):
        path_through(line_of_atoms(), snapshots(*path))
