"""Simulations of pulled molecules: ordered states, snapshots of their own, and what is kept."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import command, settings
from temporem.errors import TemporemError
from temporem.simulation.in_memory import load_motion
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth
from temporem.structures import pulling
from temporem.structures.motions.base import conformations
from temporem.structures.toy import toy_molecule

STATES, SNAPSHOTS, MOVIES = 4, 5, 12


def as_pdb(molecule, positions) -> str:
    """Atoms in the fixed columns of a PDB file."""
    element = {6: "C", 7: "N", 8: "O", 16: "S"}
    lines = [
        f"ATOM  {i + 1:5d}  {name:<3s} ALA {chain}{number:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element[z_number]:>2s}"
        for i, (name, chain, number, z_number, (x, y, z)) in enumerate(
            zip(
                molecule.atom_names,
                molecule.chains,
                molecule.residue_numbers,
                molecule.atomic_numbers.tolist(),
                positions.tolist(),
                strict=True,
            )
        )
    ]
    return "\n".join([*lines, "END", ""])


@pytest.fixture
def pulls(monkeypatch, tmp_path):
    """Straight lines with jitter in place of dynamics; counts how often they are asked for."""
    calls = []

    def fake(molecule, end, n_snapshots, *, steps, temperature_kelvin, seed, progress=None):
        calls.append(seed)
        along = torch.linspace(0, 1, n_snapshots, dtype=torch.float64)[:, None, None]
        noise = torch.randn(n_snapshots, len(molecule), 3, generator=torch.manual_seed(seed))
        return torch.lerp(molecule.positions_angstrom, end, along) + 0.1 * noise

    monkeypatch.setattr(pulling, "pull", fake)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return calls


@pytest.fixture
def config(tmp_path):
    toy = toy_molecule()
    toy = toy.select(toy.find("B/1-12"))
    moved = toy.positions_angstrom * torch.tensor([1.0, 1.0, 1.1])
    for name, positions in (("start", toy.positions_angstrom), ("end", moved)):
        (tmp_path / f"{name}.pdb").write_text(as_pdb(toy, positions))
    small = ["box=16", "pixel_size_angstrom=4", f"movies={MOVIES}", f"frames_per_movie={STATES}"]
    files = [f"structure={tmp_path / 'start.pdb'}", f"motion.end={tmp_path / 'end.pdb'}"]
    motion = [f"motion.snapshots={SNAPSHOTS}", "motion.steps=100"]
    return load_simulation_config("cas9-md", [*small, *files, *motion])


def test_movies_take_the_states_in_order_and_snapshots_of_their_own(config, pulls, tmp_path):
    summary = simulate(config, tmp_path / "d")
    truth = read_truth(tmp_path / "d")
    assert truth.states.tolist() == list(range(STATES)) * MOVIES
    number = truth.parameters[:, 0].numpy() * (STATES * SNAPSHOTS - 1)
    np.testing.assert_allclose(number, number.round(), atol=1e-9)
    taken = number.round().astype(int)
    assert (taken // SNAPSHOTS == truth.states).all()
    by_movie = (taken % SNAPSHOTS).reshape(MOVIES, STATES)
    assert len(np.unique(by_movie, axis=0)) > MOVIES / 2
    for state in range(STATES):
        assert len(np.unique(by_movie[:, state])) > 2
    assert 0.1 < summary["worst_bond_deviation_angstrom"] < 1.0
    assert summary["close_pairs"] >= 0


def test_frames_are_the_snapshots_and_not_between_them(config, pulls, tmp_path):
    motion = load_motion(config, None)
    simulate(config, tmp_path / "d")
    truth = read_truth(tmp_path / "d")
    taken = (truth.parameters[:, 0] * (STATES * SNAPSHOTS - 1)).round().long()
    shown = conformations(truth.motion, truth.parameters)
    torch.testing.assert_close(
        shown[:, truth.motion.moving], motion.snapshots_angstrom[taken].double(), rtol=0, atol=1e-6
    )


def test_the_dynamics_runs_once_for_all_seeds_of_the_movies(config, pulls, tmp_path):
    simulate(config, tmp_path / "a")
    simulate(config, tmp_path / "b")
    simulate(config.model_copy(update={"seed": 5}), tmp_path / "c")
    assert len(pulls) == 1
    a, b, c = (read_truth(tmp_path / name) for name in "abc")
    assert a.parameters.equal(b.parameters)
    assert a.volumes([0, 3]).equal(b.volumes([0, 3]))
    assert not a.parameters.equal(c.parameters)
    again = config.motion.model_copy(update={"seed": 7})
    simulate(config.model_copy(update={"motion": again}), tmp_path / "d")
    assert pulls == [0, 7]


def test_a_damaged_or_forbidden_cache_does_no_harm(config, pulls, tmp_path, monkeypatch):
    simulate(config, tmp_path / "a")
    (kept,) = Path(tmp_path / "cache").rglob("*.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    simulate(config, tmp_path / "b")
    assert len(pulls) == 2
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    simulate(config, tmp_path / "c")
    assert len(pulls) == 3
    a, c = (read_truth(tmp_path / name) for name in "ac")
    assert a.volumes([1]).equal(c.volumes([1]))


def test_without_a_home_directory_nothing_is_kept(config, pulls, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # of an unknown user
    for name in "ab":
        simulate(config, tmp_path / name)
    assert len(pulls) == 2


def test_without_openmm_the_extra_is_named_in_one_line(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = (f"structure={config.structure}", f"motion.end={config.motion.end}")
    result = command("simulate", "cas9-md", "-o", tmp_path / "d", *settings(files))
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "pip install 'temporem[md]'" in result.err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("frames", [2, 8])
def test_more_or_fewer_frames_than_states_are_spread_evenly(config, pulls, tmp_path, frames):
    motion = config.motion.model_copy(update={"states": STATES})
    changed = {"motion": motion, "frames_per_movie": frames}
    simulate(config.model_copy(update=changed), tmp_path / "d")
    states = read_truth(tmp_path / "d").states[:frames].tolist()
    assert states == [t * STATES // frames for t in range(frames)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("motion.steps=30", "30 steps for 19 states of 10 snapshots"),
        ("motion.step=0.1", "did you mean motion.steps"),
        ("motion.temperature_kelvin=-3", "motion.temperature_kelvin"),
        ("structure=toy", "a pulled molecule needs a structure file, not 'toy'"),
    ],
)
def test_bad_settings_are_one_clear_line(override, message):
    with pytest.raises(TemporemError, match=message) as error:
        load_simulation_config("cas9-md", [override])
    assert "\n" not in str(error.value)
