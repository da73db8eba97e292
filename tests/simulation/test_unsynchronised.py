"""Movies that are not synchronised: presets, motions, lengths, gaps and settings."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest

import temporem as tm
from helpers.shared import SHARED
from temporem.errors import TemporemError
from temporem.simulation.config import SimulationConfig
from temporem.simulation.drawing import FrameTable, draw_frames
from temporem.simulation.in_memory import load_motion, moves_alike
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.schedules import SCHEDULES
from temporem.structures.motions import MOTIONS
from temporem.structures.motions.base import MotionKind

TOY_IMAGES = "09efe9b76cb8f9e1c08ccf309a7c57572a1ac7aff849858c3735c9405fcdeab9"
TOY_PIXELS = [0.41571754217147827, -0.2873004078865051, 0.3360462784767151]
FREE = ("toy-free", "7bcq-free", "adk-free", "cas9-free")


def movies_of(frames: FrameTable, values: np.ndarray) -> list[np.ndarray]:
    names = np.array(frames.particle_names)
    return np.split(values, np.flatnonzero(names[1:] != names[:-1]) + 1)


def explained(values: np.ndarray, numbers: np.ndarray) -> float:
    """R² of values on any function of the frame number: that of their mean at every number."""
    means = np.array([values[numbers == number].mean() for number in numbers])
    return 1 - ((values - means) ** 2).sum() / ((values - values.mean()) ** 2).sum()


def in_memory(schedule: object, **settings: object) -> SimulationConfig:
    return load_simulation_config("toy", changes={"schedule": schedule, **settings})


# Presets


@pytest.mark.parametrize("preset", FREE)
def test_the_frame_number_does_not_predict_the_state_of_a_free_preset(preset: str) -> None:
    for seed in range(4):
        frames = draw_frames(load_simulation_config(preset, [f"seed={seed}"]))
        where = frames.parameters[:, 0].numpy()
        assert explained(where, frames.frame_numbers) < 0.1
        assert explained(frames.states.astype(float), frames.frame_numbers) < 0.1
        moves = np.concatenate([np.diff(movie) for movie in movies_of(frames, where)])
        assert 0.3 < (moves > 1e-9).mean() < 0.7
        assert 0.3 < (moves < -1e-9).mean() < 0.7


@pytest.mark.parametrize("preset", ["toy", "7bcq", "adk", "cas9"])
def test_the_frame_number_predicts_the_state_of_a_synchronised_preset(preset: str) -> None:
    frames = draw_frames(load_simulation_config(preset))
    assert explained(frames.parameters[:, 0].numpy(), frames.frame_numbers) > 0.98


@pytest.mark.parametrize("preset", FREE)
def test_movies_of_a_free_preset_cover_a_good_part_of_the_path(preset: str) -> None:
    config = load_simulation_config(preset)
    frames = draw_frames(config)
    where = frames.parameters[:, 0].numpy() / (1 if "progress" in _parameter(config) else 90)
    assert where.min() >= 0
    assert where.max() <= 1
    span = [np.ptp(movie) for movie in movies_of(frames, where)]
    assert 1 / 3 < np.median(span) < 0.8
    assert (frames.states >= 0).all()
    assert set(frames.states) == set(range(19 if preset == "cas9-free" else 10))


def _parameter(config: SimulationConfig) -> str:
    return "angle" if config.motion.kind == "hinge" else "progress"


@pytest.mark.parametrize("preset", FREE)
def test_movies_of_a_free_preset_differ_in_length_and_have_gaps(preset: str) -> None:
    config = load_simulation_config(preset)
    frames = draw_frames(config)
    numbers = movies_of(frames, frames.frame_numbers)
    assert len(numbers) == config.movies
    low, high = config.frames_per_movie
    assert max(n[-1] for n in numbers) <= high
    present = sum(map(len, numbers)) / config.movies
    assert present == pytest.approx(0.9 * (low + high) / 2, rel=0.1)
    assert any((np.diff(n) > 1).any() for n in numbers)
    assert frames.times_seconds == pytest.approx(0.1 * (frames.frame_numbers - 1))


@pytest.mark.parametrize("preset", FREE)
def test_a_free_preset_has_the_molecule_and_images_of_its_synchronised_one(preset: str) -> None:
    free = load_simulation_config(preset).model_dump()
    plain = load_simulation_config(preset.removesuffix("-free")).model_dump()
    differ = {"motion", "schedule", "movies", "frames_per_movie", "missing_fraction"}
    assert {key for key in free if free[key] != plain[key]} <= differ


def test_the_toy_has_the_same_images_bit_by_bit_as_before_there_were_schedules() -> None:
    data, _ = tm.simulate_movies("toy", movies=3)
    digest = hashlib.sha256(data.images[:].tobytes()).hexdigest()
    if digest != TOY_IMAGES:  # another processor may round the last bit differently
        assert data.images[0, 16, 16:19] == pytest.approx(TOY_PIXELS, abs=1e-5)


def test_a_sweep_is_what_a_configuration_without_schedule_has() -> None:
    plain = load_simulation_config("toy")
    assert in_memory("sweep") == in_memory({"kind": "sweep"}) == plain
    assert plain.schedule.kind == "sweep"


# Motions


def test_two_states_at_the_ends_of_a_hinge() -> None:
    frames = draw_frames(load_simulation_config("toy-free", changes={"schedule": "jumps"}))
    assert set(frames.parameters[:, 0].tolist()) == {0.0, 90.0}
    assert set(frames.states) == {0, 10}


def test_a_hinge_moves_over_its_range_or_that_of_its_sweep() -> None:
    for changes, low, high in (
        ({}, 0, 90),
        ({"motion.start_degrees": [10, 20], "frames_per_movie": 3}, 10, 38),
        ({"motion.range_degrees": [-30, 30]}, -30, 30),
    ):
        config = in_memory("diffusion", movies=500, **changes)
        frames = draw_frames(config)
        angles = frames.parameters[:, 0]
        assert angles.min() == pytest.approx(low, abs=3)
        assert angles.max() == pytest.approx(high, abs=3)
        assert frames.states.min() == 0
        assert frames.states.max() == math.ceil((high - low) / 9) - 1


def test_a_pulled_molecule_is_at_snapshots_of_its_states() -> None:
    config = load_simulation_config("cas9-md", changes={"schedule": "wander"})
    frames = draw_frames(config)
    snapshots = frames.parameters[:, 0] * 189
    assert (snapshots - snapshots.round()).abs().max() < 1e-9
    assert (frames.states == snapshots.round().long().numpy() // 10).all()
    assert set(frames.states) == set(range(19))


def test_a_path_is_wandered_whatever_its_sweep_would_be() -> None:
    """The step of the sweep leads beyond the path for movies of 14 frames, which is no matter."""
    longer = {"frames_per_movie": [6, 14]}
    with pytest.raises(TemporemError, match=r"would be at progress 1\.4"):
        load_simulation_config("adk", changes=longer)
    config = load_simulation_config("adk", changes={**longer, "schedule": "wander"})
    assert draw_frames(config).parameters.max() <= 1


def test_a_motion_without_a_path_takes_only_its_own_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone: MotionKind = dataclasses.replace(MOTIONS["hinge"], along=None)
    monkeypatch.setitem(MOTIONS, "hinge", alone)
    with pytest.raises(TemporemError, match=r"'wander' is for motions along a path, .*'hinge'"):
        in_memory("wander")
    assert in_memory("sweep").schedule.kind == "sweep"


@pytest.mark.parametrize("kind", ["wander", "diffusion", "jumps"])
def test_a_schedule_repeats_and_changes_nothing_else(kind: str) -> None:
    plain, moved, again = (draw_frames(in_memory(k)) for k in ("sweep", kind, kind))
    other = draw_frames(in_memory(kind, seed=1))
    assert moved.parameters.equal(again.parameters)
    assert not moved.parameters.equal(other.parameters)
    assert moved.poses.rotations.equal(plain.poses.rotations)
    assert moved.poses.shifts_angstrom.equal(plain.poses.shifts_angstrom)
    assert moved.ctf.defocus_u_angstrom.equal(plain.ctf.defocus_u_angstrom)


def test_a_trajectory_needs_no_other_motion_for_another_schedule() -> None:
    config = load_simulation_config("adk-free")
    other = load_simulation_config("adk-free", changes={"schedule": "jumps"})
    assert moves_alike(config, other)
    motion = load_motion(config, SHARED / "structures")
    positions = motion.positions(draw_frames(other).parameters[:3])
    assert positions.shape == (3, 1656, 3)


# Lengths and gaps


def test_lengths_are_uniform_in_their_range_and_lost_frames_leave_gaps() -> None:
    settings = {"movies": 2000, "frames_per_movie": [3, 6]}
    frames = draw_frames(in_memory("jumps", **settings))
    lengths = np.array([len(n) for n in movies_of(frames, frames.frame_numbers)])
    counts = np.bincount(lengths, minlength=7)[3:]
    assert np.abs(counts - 500).max() < 5 * math.sqrt(500)
    full = {
        (name, int(number)): float(place)
        for name, number, place in zip(
            frames.particle_names, frames.frame_numbers, frames.parameters[:, 0], strict=True
        )
    }
    lossy = draw_frames(in_memory("jumps", **settings, missing_fraction=0.3))
    for name, number, place in zip(
        lossy.particle_names, lossy.frame_numbers, lossy.parameters[:, 0], strict=True
    ):
        assert full[name, int(number)] == float(place)
    # A movie of n frames loses 0.3 n of them, less where fewer than two would be left.
    assert len(lossy.frame_numbers) / len(full) == pytest.approx(0.7, abs=0.04)
    assert min(map(len, movies_of(lossy, lossy.frame_numbers))) == 2


def test_every_movie_keeps_two_frames_or_all() -> None:
    lossy = {"missing_fraction": 0.999, "movies": 50}
    frames = draw_frames(in_memory("sweep", **lossy))
    assert [len(n) for n in movies_of(frames, frames.frame_numbers)] == [2] * 50
    frames = draw_frames(in_memory("sweep", **lossy, frames_per_movie=1))
    assert [len(n) for n in movies_of(frames, frames.frame_numbers)] == [1] * 50


def test_what_is_lost_changes_no_frame_that_is_left() -> None:
    turning = {"kind": "diffusion", "diffusion_degrees2_per_second": 500.0}
    whole = draw_frames(in_memory("sweep", poses=turning))
    lossy = draw_frames(in_memory("sweep", poses=turning, missing_fraction=0.5))
    keys = list(zip(whole.particle_names, whole.frame_numbers.tolist(), strict=True))
    left = zip(lossy.particle_names, lossy.frame_numbers.tolist(), strict=True)
    rows = [keys.index(key) for key in left]
    assert len(rows) < len(keys)
    assert lossy.parameters.equal(whole.parameters[rows])
    assert lossy.poses.rotations.equal(whole.poses.rotations[rows])
    assert lossy.ctf.defocus_u_angstrom.equal(whole.ctf.defocus_u_angstrom[rows])
    assert (lossy.states == whole.states[rows]).all()
    assert (lossy.times_seconds == whole.times_seconds[rows]).all()


# Settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule=stroll", "schedule.kind: must be 'diffusion', 'jumps', 'sweep' or 'wander'"),
        ("schedule=3", r"schedule: must be a section of settings \(got 3\)"),
        ("schedule.spede_per_second=[1, 2]", r"did you mean schedule.speed_per_second\?"),
        ("schedule.speed_per_second=[2, 1]", r"must be \[lowest, highest\]"),
        ("schedule.speed_per_second=[-1, 1]", "schedule.speed_per_second"),
        ("schedule.rest_seconds=0", "schedule.rest_seconds: .*greater than 0"),
        ("schedule.reversals_per_second=1.0e+9", "reversals and rests a movie, at most 100000"),
        ("schedule={kind: diffusion, diffusion_per_second: 0}", "greater than 0"),
        ("schedule={kind: diffusion, potential_kt: []}", "schedule.potential_kt: "),
        ("schedule={kind: diffusion, potential_kt: [0, .nan]}", "schedule.potential_kt.1: "),
        (
            "schedule={kind: diffusion, potential_kt: [0, 900, 0, 900, 0], "
            "diffusion_per_second: 9000}",
            "sub-steps a movie, at most 1000000; lower diffusion_per_second",
        ),
        ("schedule={kind: jumps, between: [0, 2]}", r"schedule.between.1: must be within \[0, 1\]"),
        ("schedule={kind: jumps, rates_per_second: [0, 1]}", "schedule.rates_per_second.0: "),
        ("frames_per_movie=[5, 4]", r"frames_per_movie: must be .* \[lowest, highest\]"),
        ("frames_per_movie=[1, 2, 3]", "frames_per_movie: must be a number of frames"),
        ("frames_per_movie=0", r"frames_per_movie: must be a number of frames, .*\(got 0\)"),
        ("frames_per_movie=2.5", "frames_per_movie: must be a number of frames"),
        ("frames_per_movie=true", "frames_per_movie: must be a number of frames"),
        ("frames_per_movie=[2, .inf]", "frames_per_movie: must be a number of frames"),
        ("frames_per_movie=[2, 1000000000]", "at most 10000000 frames"),
        ("missing_fraction=1", "missing_fraction: .*less than 1"),
        ("motion.range_degrees=[9, 0]", r"motion.range_degrees: must be \[lowest, highest\]"),
    ],
)
def test_bad_value_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(TemporemError, match=message) as error:
        load_simulation_config("toy-free", [override])
    assert "\n" not in str(error.value)


def test_settings_survive_a_file() -> None:
    for kind in SCHEDULES:
        config = load_simulation_config("toy-free", changes={"schedule": kind})
        assert config.schedule.kind == kind
        assert SimulationConfig.model_validate(config.model_dump(mode="json")) == config


def test_simulated_in_memory_with_changes() -> None:
    small = {"movies": 4, "snr": 0.1}
    data, truth = tm.simulate_movies("toy-free", **small)
    assert data.n_movies == 4
    assert [rows.tolist() for rows in data.movies] == [rows.tolist() for rows in truth.movies]
    assert len({len(rows) for rows in data.movies}) > 1
    for schedule in ("diffusion", {"kind": "jumps", "rates_per_second": [2, 2]}):
        other, moved = tm.simulate_movies("toy-free", **small, schedule=schedule)
        assert moved.config.schedule.kind in ("diffusion", "jumps")
        assert (other.frame_numbers == data.frame_numbers).all()
        assert not moved.parameters.equal(truth.parameters)
