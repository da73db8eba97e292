"""Back-projection of frames that are sorted by their true states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.experiments import SMALL
from temporem.errors import TemporemError
from temporem.experiments.true_states import TrueStateVolumes
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth


def test_with_little_noise_and_many_views_it_is_the_truth(tmp_path) -> None:
    settings = [f"{key}={value}" for key, value in SMALL.items() if key != "movies"]
    config = load_simulation_config("toy", [*settings, "movies=60", "snr=100"])
    simulate(config, tmp_path / "movies")
    dataset, truth = read_dataset(tmp_path / "movies"), read_truth(tmp_path / "movies")
    volumes = TrueStateVolumes(dataset, truth, DataSettings())
    rows = np.arange(8)
    found, true = volumes.volumes(rows), truth.volumes(rows)
    low = truth.support.shells <= 5
    overlap = (found.conj() * true)[:, low].real.sum(1)
    norms = (found[:, low].abs().square().sum(1) * true[:, low].abs().square().sum(1)).sqrt()
    assert (overlap / norms).min() > 0.9
    same = truth.states[rows] == truth.states[rows[0]]
    assert [bool((v == found[0]).all()) for v in found] == same.tolist()


def test_poses_are_those_of_the_truth(tmp_path) -> None:
    """The dataset may have others, or none; its images are the same."""
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    volumes = []
    for poses in ("poses.written=true", "poses.error_degrees=20", "poses.written=false"):
        config = load_simulation_config("toy", [*settings, "snr=100", poses])
        simulate(config, tmp_path / poses)
        dataset, truth = read_dataset(tmp_path / poses), read_truth(tmp_path / poses)
        known = TrueStateVolumes(dataset, truth, DataSettings())
        volumes.append(known.volumes(np.arange(8)))
    for other in volumes[1:]:
        assert (other - volumes[0]).abs().max() < 1e-4 * volumes[0].abs().max()


def test_a_state_of_one_movie_is_refused(tmp_path) -> None:
    settings = [f"{key}={value}" for key, value in SMALL.items() if key != "movies"]
    simulate(load_simulation_config("toy", [*settings, "movies=2"]), tmp_path / "movies")
    dataset, truth = read_dataset(tmp_path / "movies"), read_truth(tmp_path / "movies")
    states = np.zeros_like(truth.states)
    states[0] = 99
    alone = replace(truth, states=states)
    with pytest.raises(TemporemError, match="state 99 occurs in 1 movie"):
        TrueStateVolumes(dataset, alone, DataSettings())
