"""Training on a device that is not the CPU: the same results, and no step waits for the device.

On a stand-in for a GPU, and on a GPU where there is one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.elsewhere import ELSEWHERE, WAITS, elsewhere
from helpers.networks import known_start, network_of, tiny_movies, training_of
from temporem.dvae.encoded_frames import EncodedFrames, encode_frames
from temporem.dvae.infer import infer_latents
from temporem.dvae.learned_poses import LearnedPoses, learned_poses
from temporem.dvae.settings import TrainingSettings
from temporem.dvae.state import TrainingState
from temporem.dvae.training import training_states
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings

CASES = {
    "static": {"method": "static", "start": "none"},
    "tempor-linear": {"method": "tempor", "start": "linear", "input": "linear"},
    "tempor-back-projection": {"method": "tempor", "start": "linear"},
    "tempor-static-table": {"method": "tempor", "start": "static", "learned": True},
    "tempor-streamed": {"method": "tempor", "start": "none", "memory_gb": 0.0},
}


def frames_on(device: torch.device, case: dict) -> EncodedFrames:
    data, memory_gb = tiny_movies().dataset, case.get("memory_gb", 1.0)
    settings = DataSettings(memory_gb=memory_gb)
    frames = prepare_frames(data, settings, data.movies, device)
    return encode_frames(
        frames,
        case.get("input", "back-projection"),
        base=known_start().volumes.to(device) if case["start"] == "linear" else None,
        moving_poses="learned" in case,
        memory_gb=memory_gb,
    )


def training_for(case: dict) -> TrainingSettings:
    return training_of(start=case["start"], epochs=8, frames_per_step=16)


def states_of(encoded: EncodedFrames, case: dict):
    return training_states(
        encoded,
        network_of(encoder_input=case.get("input", "back-projection")),
        training_for(case),
        method=case["method"],
        warm_start=known_start() if case["start"] == "linear" else None,
        learned=LearnedPoses() if "learned" in case else None,
    )


def outcome_of(encoded: EncodedFrames, state: TrainingState) -> dict[str, np.ndarray]:
    """Latents and poses, on the CPU."""
    latents = infer_latents(state.model, encoded)
    found = {"latents": latents.mean.cpu().numpy()}
    if state.model.poses is not None:
        poses = learned_poses(state.model, encoded, torch.zeros(32, 2))
        found |= {"rotations": poses.rotations.numpy(), "shifts": poses.shifts_angstrom.numpy()}
    return found


def last_of(states) -> TrainingState:
    *_, last = states
    return last


@pytest.mark.integration
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training_elsewhere_is_that_of_the_cpu_and_no_step_waits(case: dict, monkeypatch) -> None:
    here = frames_on(torch.device("cpu"), case)
    expected = outcome_of(here, last_of(states_of(here, case)))
    known_start()  # made here
    waited: list[str] = []
    with elsewhere(monkeypatch):
        away = frames_on(ELSEWHERE, case)
        stage = -1
        WAITS.clear()
        for state in states_of(away, case):
            if state.position.stage == stage and state.record is None:
                waited += WAITS
            stage = state.position.stage
            WAITS.clear()
        assert {t.device.type for t in state.model.state_dict().values()} == {"meta"}
        found = outcome_of(away, state)
        stored = TrainingState.from_parts(
            state.parts(),
            away,
            network_of(encoder_input=case.get("input", "back-projection")),
            training_for(case),
            method=case["method"],
            learned=LearnedPoses() if "learned" in case else None,
        )
        assert {t.device.type for t in stored.model.state_dict().values()} == {"meta"}
    assert waited == [] or "memory_gb" in case  # a thread copies what is not in memory
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_training_on_a_gpu_is_about_that_of_the_cpu(case: dict) -> None:
    """A GPU sums in another order, and steps of Adam have the sign of a gradient, however small."""
    outcomes = []
    for device in ("cpu", "cuda"):
        encoded = frames_on(torch.device(device), case)
        outcomes.append(outcome_of(encoded, last_of(states_of(encoded, case))))
    for name, values in outcomes[0].items():
        np.testing.assert_allclose(outcomes[1][name], values, atol=1e-2)
