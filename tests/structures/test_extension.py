"""A motion from outside the package: settings, a motion, four functions, a line to register it."""
# ruff: noqa: E402

# [docs:begin]
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor

from temporem.simulation.presets import load_simulation_config
from temporem.structures.molecule import Molecule
from temporem.structures.motions import register_motion
from temporem.structures.motions.base import MotionKind, MotionSettings
from temporem.structures.schedules import constant_speed, whole_steps


class BreathingSettings(MotionSettings):
    """The molecule grows and shrinks about its centre, once in a period."""

    kind: Literal["breathing"] = "breathing"
    growth: float = Field(default=0.05, gt=0, lt=1, description="Largest change of size.")
    period_frames: int = Field(default=8, ge=2, description="Frames of one breath.")


@dataclass(frozen=True)
class Breathing:
    """All atoms move on rays from the centre: ``x ↦ (1 + growth · sin 2π phase) x``."""

    parameter_names: ClassVar[tuple[str, ...]] = ("phase",)

    molecule: Molecule
    growth: float

    @property
    def moving(self) -> Tensor:
        return torch.ones(len(self.molecule), dtype=torch.bool)

    def positions(self, parameters: Tensor) -> Tensor:
        size = 1 + self.growth * torch.sin(2 * torch.pi * parameters)
        return size[..., None] * self.molecule.positions_angstrom

    def arrays(self) -> dict[str, np.ndarray]:
        return {"growth": np.array(self.growth)}


def load(settings: BreathingSettings, source, frames_per_movie, progress) -> Breathing:
    """Make the motion of a molecule from a file, or of the built-in protein."""
    return Breathing(source.molecule(), settings.growth)


def draw(settings: BreathingSettings, movies: int, frames: int, generator: Generator) -> Tensor:
    """Draw the parameters of all frames: a movie begins anywhere in a breath."""
    phase = constant_speed((0, 1), 1 / settings.period_frames, movies, frames, generator)
    return phase[..., None]


def along(settings: BreathingSettings, frames: int, progress: Tensor) -> Tensor:
    """Turn progress from 0 to 1, as other schedules draw it, into phases of one breath."""
    return progress[..., None]


def states(settings: BreathingSettings, parameters: Tensor) -> Tensor:
    """Number the states: frames in the same eighth of a breath, say, are alike."""
    return whole_steps(parameters[..., 0] * settings.period_frames) % settings.period_frames


def read(molecule: Molecule, arrays) -> Breathing:
    """Make the motion from what it wrote to a dataset's ``truth/``."""
    return Breathing(molecule, float(arrays.numbers("growth", "f8")))


BREATHING = MotionKind(
    BreathingSettings, load=load, draw=draw, states=states, read=read, along=along
)
register_motion(BREATHING)

config = load_simulation_config("toy", changes={"motion": {"kind": "breathing", "growth": 0.1}})
# [docs:end]

from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import draw_frames
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth
from temporem.structures.motions import MOTIONS
from temporem.structures.motions.base import conformations

SMALL = {"movies": 3, "frames_per_movie": 4, "box": 32}


del MOTIONS["breathing"]  # other tests are collected in this process


@pytest.fixture(autouse=True)
def _known_here_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOTIONS, "breathing", BREATHING)


def breathing(**motion: object) -> SimulationConfig:
    changes = {**SMALL, "motion": {"kind": "breathing", **motion}}
    return load_simulation_config("toy", changes=changes)


def test_it_is_simulated_and_its_truth_is_read_back(tmp_path: Path) -> None:
    summary = simulate(breathing(growth=0.1), tmp_path / "movies")
    assert summary["moving_atoms"] == summary["atoms"] == 3067
    truth = read_truth(tmp_path / "movies")
    assert truth.config == breathing(growth=0.1)
    assert truth.parameter_names == ("phase",)
    assert isinstance(truth.motion, Breathing)
    steps = truth.parameters.reshape(3, 4).diff(dim=1)
    assert steps.sub(1 / 8).abs().max() < 1e-12
    assert (np.diff(truth.states.reshape(3, 4)) % 8 == 1).all()
    largest = conformations(truth.motion, torch.tensor([[0.25]]))[0]
    assert largest.allclose(1.1 * truth.motion.molecule.positions_angstrom)
    assert read_dataset(tmp_path / "movies").n_frames == 12
    volumes = truth.volumes([0, 2])
    assert (volumes[0] - volumes[1]).norm() > 0.01 * volumes[0].norm()


def test_it_takes_other_schedules() -> None:
    config = load_simulation_config("toy-free", changes={"motion": {"kind": "breathing"}})
    frames = draw_frames(config)
    assert 0 <= frames.parameters.min() < 0.1
    assert 0.9 < frames.parameters.max() <= 1
    assert set(frames.states) == set(range(8))


def test_its_settings_are_written_and_checked_like_those_of_any_motion() -> None:
    config = breathing(growth=0.1)
    assert config.model_dump(mode="json")["motion"] == {
        "kind": "breathing",
        "growth": 0.1,
        "period_frames": 8,
    }
    given = SimulationConfig.model_validate({**dict(config), "motion": BreathingSettings()})
    assert given.motion == BreathingSettings()
    with pytest.raises(TemporemError, match=r"did you mean motion\.growth"):
        breathing(growht=0.1)
    with pytest.raises(TemporemError, match=r"motion\.growth: .*less than 1"):
        breathing(growth=2)


def test_a_kind_that_is_not_registered_is_named_with_those_that_are() -> None:
    with pytest.raises(TemporemError, match=r"motion\.kind: must be 'breathing', 'hinge', .* or"):
        breathing(kind="teleport")


def test_a_name_belongs_to_one_kind() -> None:
    register_motion(BREATHING)
    other = MotionKind(BreathingSettings, load=load, draw=draw, states=states, read=read)
    with pytest.raises(TemporemError, match="motion of kind 'breathing' already"):
        register_motion(other)
