"""The fit of the linear model in memory: what it learns, its states, its progress, bad input."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.blobs import BlobMovies, simulate_blobs
from temporem.errors import TemporemError
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.settings import DataSettings
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.state import Parts
from temporem.linear.fit import fit_linear, linear_result, linear_states
from temporem.linear.settings import LinearSettings
from temporem.linear.state import LinearFit, LinearState
from temporem.physics.masks import soft_ball
from temporem.progress import Progress

CPU = torch.device("cpu")
BOX = 16
ITERATIONS = 3
QUICK = LinearSettings(components=2, iterations=ITERATIONS)
STEPS = 2 + ITERATIONS


def explained(latents: Tensor, target: Tensor) -> float:
    """R² of a linear regression."""
    x = torch.nn.functional.pad(latents, (1, 0), value=1.0)
    left = target - x @ torch.linalg.lstsq(x, target[:, None]).solution[:, 0]
    return float(1 - left.square().sum() / (target - target.mean()).square().sum())


def log_of(states: list[LinearState]) -> list[dict[str, Any]]:
    """The records without the time that steps took."""
    records = [dict(state.record or {}) for state in states]
    for record in records:
        record.pop("seconds")
    return records


def assert_same_state(one: LinearState, other: LinearState) -> None:
    a, b = one.parts(), other.parts()
    assert a.tensors.keys() == b.tensors.keys()
    for name, tensor in a.tensors.items():
        assert b.tensors[name].equal(tensor), name
    timeless = [{k: v for k, v in p.document.items() if k != "seconds"} for p in (a, b)]
    assert timeless[0] == timeless[1]


# --- states ---


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Six movies, the last held out."""
    dataset = simulate_blobs([6, 5, 7, 6, 1, 6], snr=1.0).dataset
    return prepare_frames(dataset, DataSettings(), dataset.movies[:-1], CPU)


@pytest.fixture(scope="module")
def states(frames: Frames) -> list[LinearState]:
    """All states of a fit."""
    return list(linear_states(frames, QUICK))


@pytest.mark.integration
def test_a_fit_yields_a_state_after_every_step(frames: Frames, states: list[LinearState]) -> None:
    assert [state.done for state in states] == [1, 2, 3, 4, 5]
    assert [state.finished for state in states] == [False] * 4 + [True]
    records = log_of(states)
    assert [record["stage"] for record in records] == ["start", "halves"] + ["joint"] * ITERATIONS
    assert records[0]["components"] == 2
    assert np.shape(records[1]["half_fsc"])[0] == 3
    assert [record["iteration"] for record in records[2:]] == [1, 2, 3]
    objectives = [record["objective"] for record in records[2:]]
    assert objectives == sorted(objectives)
    seconds = [state.seconds for state in states]
    assert seconds == sorted(seconds)
    held_out = states[-1].posterior[torch.from_numpy(frames.held_out[0])]
    assert not held_out.mean.any()


@pytest.mark.integration
def test_a_fit_in_memory_is_its_last_state(frames: Frames, states: list[LinearState]) -> None:
    """Poses may be given apart."""
    dataset = simulate_blobs([6, 5, 7, 6, 1, 6], snr=1.0).dataset
    fit = fit_linear(
        dataset.without_poses(),
        poses=dataset.poses,
        training=dataset.movies[:-1],
        components=2,
        iterations=ITERATIONS,
    )
    expected = linear_result(frames, states[-1])
    assert fit.parameters.volumes.equal(expected.parameters.volumes)
    assert fit.parameters.noise.equal(expected.parameters.noise)
    for name, value in vars(expected.latents).items():
        assert getattr(fit.latents, name).equal(value), name
    assert fit.halves.equal(expected.halves)
    assert fit.masks.equal(expected.masks)
    assert fit.agreement == states[0].agreement
    assert [record["stage"] for record in fit.log] == [r["stage"] for r in log_of(states)]
    assert fit.agreement is not None
    assert 0 <= fit.agreement["components_found"] <= 2


@pytest.mark.integration
@pytest.mark.parametrize("step", range(STEPS))
def test_a_fit_goes_on_from_any_stored_state_to_the_same_end(
    step: int, frames: Frames, states: list[LinearState], tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "linear.safetensors", states[step].parts())
    parts = load_checkpoint(tmp_path / "linear.safetensors")
    stored = LinearState.from_parts(parts, n_frames=len(frames), box=BOX)
    assert_same_state(stored, states[step])
    assert (stored.record, stored.finished) == (None, step == STEPS - 1)
    following = list(linear_states(frames, QUICK, resume=stored))
    if stored.finished:
        assert following == [stored]
        return
    assert log_of(following) == log_of(states[step + 1 :])
    for found, expected in zip(following, states[step + 1 :], strict=True):
        assert_same_state(found, expected)


@pytest.mark.integration
def test_what_is_stored_must_fit(frames: Frames, states: list[LinearState]) -> None:
    parts = states[-1].parts()

    def read(tensors: dict[str, Tensor], **document: Any) -> LinearState:
        changed = Parts(parts.kind, {**parts.tensors, **tensors}, {**parts.document, **document})
        return LinearState.from_parts(changed, n_frames=len(frames), box=BOX)

    with pytest.raises(TemporemError, match="volumes is 2x16x16x16"):
        read({"volumes": parts.tensors["volumes"][1:]})
    with pytest.raises(TemporemError, match=r"mean is torch\.float32"):
        read({"mean": parts.tensors["mean"].float()})
    with pytest.raises(TemporemError, match="q is 0"):
        read({}, q=0)
    with pytest.raises(TemporemError, match="done is None"):
        read({}, done=None)
    with pytest.raises(TemporemError, match="it holds tempor, not linear"):
        LinearState.from_parts(replace(parts, kind="tempor"), n_frames=len(frames), box=BOX)


@pytest.mark.integration
def test_a_step_that_would_lower_the_objective_ends_the_fit() -> None:
    """Within a mask of a few voxels there is soon nothing left to improve."""
    dataset = simulate_blobs([5] * 4, snr=3.0).dataset
    frames = prepare_frames(dataset, DataSettings(), dataset.movies, CPU)
    many = LinearSettings(components=1, iterations=200)
    few = soft_ball(BOX, 3, 0.0, 1.0)
    states = list(linear_states(frames, many, masks=(few, few)))
    *_, before, last = states
    assert last.finished
    assert last.done < 2 + many.iterations
    assert last.record["objective"] == before.record["objective"]
    assert last.volumes.equal(before.volumes)
    # From the state before it, too.
    stored = LinearState.from_parts(before.parts(), n_frames=len(frames), box=BOX)
    again = list(linear_states(frames, many, masks=(few, few), resume=stored))
    assert log_of(again) == log_of([last])
    assert_same_state(again[0], last)


# --- what is learned ---


@pytest.fixture(scope="module")
def movies() -> BlobMovies:
    return simulate_blobs([8] * 15, snr=1.0)


@pytest.fixture(scope="module")
def watched(movies: BlobMovies) -> tuple[LinearFit, list[tuple[float, str]]]:
    """A fit with three movies held out, and what its progress showed."""
    shown: list[tuple[float, str]] = []
    progress = Progress(lambda fraction, note: shown.append((fraction, note)))
    training = movies.dataset.movies[:-3]
    fit = fit_linear(movies.dataset, training=training, components=2, progress=progress)
    return fit, shown


@pytest.mark.integration
def test_a_known_motion_is_recovered(
    movies: BlobMovies, watched: tuple[LinearFit, list[tuple[float, str]]]
) -> None:
    fit, _ = watched
    held_out = torch.arange(96, 120)
    assert fit.latents.mean.shape[0] == movies.dataset.n_frames == 120
    for rows in (torch.arange(96), held_out):
        assert explained(fit.latents.mean[rows], movies.angles[rows].cos()) > 0.75
    variance = fit.latents.covariance[held_out].diagonal(dim1=1, dim2=2)
    assert (variance > 0).all()
    assert (variance < 1).all()  # images only ever tell more than the prior
    # What moves in the volumes is what moves in the truth.
    truth, found = movies.volumes(), fit.volumes(np.arange(120))
    truth, found = truth - truth.mean(0), found - found.mean(0)
    cross = (truth.conj() * found).real.sum()
    assert cross / (truth.norm() * found.norm()) > 0.8


@pytest.mark.integration
def test_components_are_principal_axes(
    watched: tuple[LinearFit, list[tuple[float, str]]],
) -> None:
    """Orthogonal, the strongest first."""
    components = watched[0].parameters.volumes[1:].flatten(1)
    gram = components @ components.T
    power = gram.diagonal()
    assert (power.diff() <= 0).all()
    assert (gram - torch.diag(power)).abs().max() < 0.05 * power[0]


@pytest.mark.integration
def test_a_volume_is_the_mean_and_so_much_of_every_component(
    movies: BlobMovies, watched: tuple[LinearFit, list[tuple[float, str]]]
) -> None:
    fit, _ = watched
    z = fit.latents.mean[3].float()
    expected = fit.parameters.volumes[0] + torch.einsum(
        "j,jzyx->zyx", z, fit.parameters.volumes[1:]
    )
    expected = fit.support.ifft(fit.support.fft(fit.grid.noise_scale * expected))
    close = {"rtol": 0, "atol": 1e-4 * float(expected.abs().max())}
    torch.testing.assert_close(fit.volume(z), expected, **close)
    torch.testing.assert_close(torch.from_numpy(fit.voxels(np.array([3]))[0]), expected, **close)
    assert fit.grid.pixel_size_angstrom == movies.dataset.pixel_size_angstrom


@pytest.mark.integration
def test_halves_agree_on_the_mean_and_are_not_the_same(
    watched: tuple[LinearFit, list[tuple[float, str]]],
) -> None:
    one, other = watched[0].halves[:, 0].flatten(1)
    assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.85
    assert not torch.allclose(one, other)


@pytest.mark.integration
def test_components_of_the_halves_are_those_of_the_fit(
    watched: tuple[LinearFit, list[tuple[float, str]]],
) -> None:
    """The same axes, so that half maps of a component tell its resolution."""
    fit, _ = watched
    both = fit.halves.mean(0)[1:].flatten(1)
    alike = torch.corrcoef(torch.cat([both, fit.parameters.volumes[1:].cpu().flatten(1)]))[:2, 2:]
    assert (alike.diagonal() > 0.7).all()
    assert (alike - torch.diag(alike.diagonal())).abs().max() < 0.35


@pytest.mark.integration
def test_progress_rises_to_the_end_and_is_honest(
    watched: tuple[LinearFit, list[tuple[float, str]]],
) -> None:
    fractions = [0.0, *(fraction for fraction, _ in watched[1])]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert max(b - a for a, b in pairwise(fractions)) < 0.05
    notes = list(dict.fromkeys(note for _, note in watched[1]))
    assert notes == [
        "linear  low resolution",
        "linear  half sets at low resolution",
        "linear  half sets",
        *(f"linear  iteration {i}/4" for i in (1, 2, 3, 4)),
        "linear",
    ]


@pytest.mark.integration
def test_progress_of_a_resumed_fit_begins_where_it_was(
    frames: Frames, states: list[LinearState]
) -> None:
    shown: list[float] = []
    progress = Progress(lambda fraction, _: shown.append(fraction))
    list(linear_states(frames, QUICK, resume=states[2], progress=progress))
    assert shown[0] > 0.5
    assert shown == sorted(shown)
    assert shown[-1] == 1


@pytest.mark.integration
def test_held_out_movies_teach_nothing(frames: Frames, states: list[LinearState]) -> None:
    """Other images in the movie that is held out: the same volumes."""
    images, (held_out,) = frames.source.images.clone(), frames.held_out
    images[held_out] = -images[held_out].roll(1, 0)
    spoilt = replace(frames, source=replace(frames.source, images=images))
    *_, last = linear_states(spoilt, QUICK)
    assert_same_state(last, states[-1])
    one, other = linear_result(frames, states[-1]), linear_result(spoilt, last)
    assert other.parameters.volumes.equal(one.parameters.volumes)
    assert not torch.allclose(other.latents.mean[held_out], one.latents.mean[held_out])


def test_given_masks_hold_the_volumes_and_not_the_half_sets() -> None:
    dataset = simulate_blobs([7] * 3, snr=1.0).dataset
    ball = soft_ball(BOX, 3, 5.0, 0.0)
    focus = ball * (torch.arange(BOX) > BOX // 2)
    fit = fit_linear(dataset, components=1, iterations=2, mask=ball, focus_mask=focus)
    assert fit.masks[0].equal(ball)
    assert fit.masks[1].equal(focus)
    mean, component = fit.parameters.volumes
    assert mean.any()
    assert not mean[ball == 0].any()
    assert component.any()
    assert not component[focus == 0].any()
    # The correlation of the half sets is to tell of the data alone.
    assert fit.halves[0, 0][ball == 0].any()
    assert fit.agreement is None  # too few movies to fit halves on their own
    assert "half_agreement" not in fit.log[0]


# --- what must not matter ---


@pytest.mark.integration
def test_order_of_rows_does_not_matter(frames: Frames, states: list[LinearState]) -> None:
    blobs = simulate_blobs([6, 5, 7, 6, 1, 6], snr=1.0)
    order = np.random.default_rng(0).permutation(blobs.dataset.n_frames)
    shuffled = blobs.take(order).dataset
    others = prepare_frames(shuffled, DataSettings(), shuffled.movies[:-1], CPU)
    *_, last = linear_states(others, QUICK)
    expected = states[-1].posterior.mean[order]
    close = {"rtol": 0, "atol": 2e-2 * float(expected.abs().max())}
    torch.testing.assert_close(last.posterior.mean, expected, **close)


@pytest.mark.integration
def test_movies_of_one_frame_are_fitted_without_dynamics() -> None:
    dataset = simulate_blobs([1] * 12, snr=1.0).dataset
    fit = fit_linear(dataset, components=1, iterations=1, temporal=False)
    assert fit.latents.mean.isfinite().all()
    assert (fit.latents.covariance > 0).all()
    assert not fit.latents.lag.any()


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": 3}, "3 components for 20 frames to train on"),
        ({"components": 0}, "components"),
        ({"components": "some"}, "components"),
        ({"iterations": 0}, "iterations"),
        ({"mask": torch.ones(8, 8, 8)}, "the mask has 8 x 8 x 8 voxels; expected 16 x 16 x 16"),
        ({"device": "abacus"}, "unknown device abacus"),
    ],
)
def test_bad_input_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    dataset = simulate_blobs([5] * 4).dataset
    with pytest.raises(TemporemError, match=message):
        fit_linear(dataset, **options)
    with pytest.raises(TemporemError, match="has no poses"):
        fit_linear(dataset.without_poses())
    with pytest.raises(TemporemError, match="1 component for 5 frames"):
        fit_linear(dataset, training=dataset.movies[:1])
