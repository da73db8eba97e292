"""The training loop: what it may look at, what it learns, and that it goes on from any state."""

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from helpers.networks import (
    LENGTHS,
    STEPS_PER_EPOCH,
    TINY,
    Trained,
    assert_same_parts,
    encoded_of,
    known_start,
    network_of,
    tiny_frames,
    train,
    training_of,
)
from temporem.dvae.batching import PixelDraws, epoch_batches
from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.infer import infer_latents
from temporem.dvae.objectives import lower_bound
from temporem.dvae.schedule import Position, Schedule
from temporem.dvae.state import TrainingState, build_model, load_generator
from temporem.dvae.training import training_states
from temporem.dvae.warm_start import warm_start_from
from temporem.errors import TemporemError
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.state import Parts
from temporem.linear.fit import fit_linear
from temporem.physics.fourier import FourierSupport
from temporem.progress import Progress


def objective(record: Mapping[str, Any]) -> float:
    return record["log_likelihood"] - record["kl_weight"] * record["kl"]


# --- what it learns ---


@pytest.mark.parametrize(
    ("method", "start", "stage", "epochs"),
    [
        ("static", "none", "static", 16),
        ("tempor", "none", "tempor", 16),
        ("tempor", "static", "warm-up", 64),
    ],
)
def test_every_objective_improves(method, start, stage, epochs) -> None:
    training = training_of(
        start=start,
        epochs=epochs,
        learning_rate=5e-3,
        pixels_per_frame=1000,
        frequency_marching=False,
        kl_weight=0.1,
    )
    encoded, found = tiny_frames(snr=10.0), []
    for state in training_states(encoded, TINY, training, method=method):
        if state.record is not None and state.record["stage"] == stage:
            found.append(objective(state.record))
        elif found and state.record is not None:
            break  # the stage is over
    assert len(found) >= 8
    assert np.mean(found[-3:]) > np.mean(found[2:5]) + 0.01


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_linear_start_teaches_the_encoder_its_latents(method) -> None:
    encoded, warm_start = tiny_frames(snr=10.0), known_start(snr=10.0)
    training = training_of(start="linear", epochs=160, learning_rate=5e-3)
    for state in training_states(encoded, TINY, training, method=method, warm_start=warm_start):
        if state.position.step == 20 * STEPS_PER_EPOCH:  # the last step of the start
            break
    learned = infer_latents(state.model, encoded).mean[:, 0]
    assert float(torch.corrcoef(torch.stack([learned, warm_start.mean[:, 0]]))[0, 1]) > 0.9


def test_generator_refines_the_volumes_of_the_linear_model() -> None:
    warm_start, training = known_start(), training_of(start="linear", epochs=2)
    generator = train(tiny_frames(), training=training, warm_start=warm_start).model.generator
    assert generator.base.maps.equal(warm_start.volumes)
    assert generator.moving.equal(warm_start.moving)


def test_tempor_starts_from_the_static_model() -> None:
    """The warm-up leaves extractor and generator at rest."""
    training = training_of(start="static", epochs=16)  # 8 static, 2 of warm-up
    last_static, last_warm_up = 8 * STEPS_PER_EPOCH, 10 * STEPS_PER_EPOCH
    parts = train(tiny_frames(), training=training, keep=(last_static, last_warm_up)).parts
    static, warm = parts[last_static].tensors, parts[last_warm_up].tensors
    for part in ("extractor", "generator"):
        names = [name for name in warm if name.startswith(f"model.{part}.")]
        assert names
        for name in names:
            assert warm[name].equal(static[name]), name


def test_record_is_the_mean_over_the_frames_of_an_epoch() -> None:
    encoded, network = tiny_frames(), network_of()
    training = training_of(start="none", epochs=1, learning_rate=1e-12)  # the model hardly changes
    (record,) = train(encoded, "static", network, training).records
    frames = encoded.frames
    arguments = {"base_components": None, "learned": None, "dtype": None, "seed": 0}
    model = build_model("static", encoded, network, **arguments)
    schedule = Schedule.plan("static", training, encoded, z_dim=2)
    draws = PixelDraws(frames.forward_model.support, frames.statistics.pixel_importance, 24, seed=0)
    total = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for step, batch in enumerate(epoch_batches(encoded, schedule, Position(), seed=0)):
            noise = batch.noise(0, step, encoded.device)
            pixels = draws(schedule.n_pixels(0), step)
            terms = lower_bound(model, batch.own, pixels, {}, noise)
            total += torch.stack([terms.fit.sum(), terms.kl.sum()])
    assert record["log_likelihood"] == pytest.approx(float(total[0]) / 32, rel=1e-5)
    assert record["kl"] == pytest.approx(float(total[1]) / 32, rel=1e-4)


def test_records_number_the_epochs_and_steps() -> None:
    records = train(tiny_frames(), training=training_of(start="static", epochs=8)).records
    stages = ["static"] * 4 + ["warm-up"] + ["tempor"] * 3
    assert [record["stage"] for record in records] == stages
    assert [record["epoch"] for record in records] == list(range(1, 9))
    assert [record["step"] for record in records] == [4 * epoch for epoch in range(1, 9)]


def test_progress_never_falls_and_ends_at_one() -> None:
    shown: list[tuple[float, str]] = []
    progress = Progress(lambda fraction, note: shown.append((fraction, note)))
    train(tiny_frames(), training=training_of(epochs=8), progress=progress)
    fractions = [fraction for fraction, _ in shown]
    assert len(fractions) == 8 * STEPS_PER_EPOCH
    assert (np.diff(fractions) > 0).all()
    assert fractions[-1] == pytest.approx(1)
    assert shown[0][1].startswith("static  epoch 1/8")
    assert shown[-1][1].startswith("tempor  epoch 8/8  log-likelihood -")


# --- what it may look at ---


def test_held_out_movies_change_nothing() -> None:
    """With other images in held-out movies, training gives the same weights to the bit."""
    whole = tiny_frames()
    frames = replace(whole.frames, training=whole.frames.movies[:6])
    held_out = np.concatenate(whole.frames.movies[6:])
    images, inputs = frames.source.images.clone(), whole.encoder_input.clone()
    for values in (images, inputs):
        values[held_out] = 2 * values[held_out].flip(0)
    source = replace(frames.source, images=images)
    spoiled = EncodedFrames(replace(frames, source=source), inputs, False)
    training = training_of(epochs=4)
    clean = train(replace(whole, frames=frames), training=training)
    assert_same_parts(train(spoiled, training=training).last, clean.last)
    seen = replace(spoiled, frames=replace(spoiled.frames, training=frames.movies))
    extractor = train(seen, training=training).model.extractor
    assert not extractor.first.weight.equal(clean.model.extractor.first.weight)


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_order_of_rows_does_not_matter(method) -> None:
    blobs = simulate_blobs(LENGTHS, box=12)
    order = np.random.default_rng(1).permutation(32)
    training = training_of(start="none", epochs=3)
    latents = []
    for some in (blobs, blobs.take(order)):
        encoded = encoded_of(some)
        model = train(encoded, method, training=training).model
        latents.append(infer_latents(model, encoded))
    plain, shuffled = latents
    torch.testing.assert_close(shuffled.mean, plain.mean[order], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shuffled.kl, plain.kl[order], rtol=1e-3, atol=1e-4)


# --- divergence ---


def test_loss_that_is_not_finite_stops_at_once() -> None:
    encoded = tiny_frames()
    images = encoded.frames.source.images.clone()
    images[17] = torch.inf
    source = replace(encoded.frames.source, images=images)
    broken = replace(encoded, frames=replace(encoded.frames, source=source))
    training = training_of(start="none", epochs=3)
    schedule = Schedule.plan("static", training, encoded, z_dim=2)
    steps = epoch_batches(encoded, schedule, Position(), seed=0)
    (bad,) = (step for step, batch in enumerate(steps, start=1) if 17 in batch.own.rows)
    said = rf"diverged in epoch 1, at step {bad}: the loss is not finite; lower training\.learning"
    with pytest.raises(TemporemError, match=said):
        train(broken, "static", training=training)


@pytest.mark.parametrize("method", ["static", "tempor"])
@pytest.mark.parametrize("start", ["none", "linear"])
def test_divergence_that_stays_finite_is_noticed(method, start) -> None:
    warm_start = known_start() if start == "linear" else None
    training = training_of(start=start, epochs=16, learning_rate=1.0)
    network = network_of(encoder_width=128, rnn_width=128, generator_width=128)
    with pytest.raises(TemporemError, match=r"diverged in epoch .*; lower training\.learning_rate"):
        train(tiny_frames(), method, network, training, warm_start=warm_start)


def test_states_within_a_diverging_epoch_are_not_sound() -> None:
    training = training_of(start="none", epochs=16, frames_per_step=1, learning_rate=1.0)
    network = network_of(encoder_width=128, rnn_width=128, generator_width=128)
    found: list[tuple[int, bool]] = []

    def follow() -> None:
        for state in training_states(tiny_frames(), network, training, method="static"):
            found.append((state.position.epoch + 1, state.sound))

    with pytest.raises(TemporemError, match="diverged in epoch") as error:
        follow()
    epoch = int(re.search(r"epoch (\d+)", str(error.value))[1])
    assert all(sound for at, sound in found if at < epoch)
    assert not found[-1][1]


@pytest.mark.parametrize("start", ["none", "static", "linear"])
def test_states_of_a_healthy_training_are_sound(start) -> None:
    training, warm_start = training_of(start=start), known_start() if start == "linear" else None
    states = training_states(tiny_frames(), TINY, training, method="tempor", warm_start=warm_start)
    assert [state.sound for state in states] == [True] * 8 * STEPS_PER_EPOCH


# --- going on from a state ---

STOPS = {  # by number of steps: 4 epochs of static, 1 of warm-up, 3 of tempor
    1: "first",
    11: "static",
    12: "end-of-epoch",
    16: "end-of-static",
    18: "warm-up",
    20: "end-of-warm-up",
    27: "tempor",
    31: "last-but-one",
    32: "end",
}


@pytest.fixture(scope="module")
def whole() -> Trained:
    """A training that was never stopped."""
    trained = train(tiny_frames(), keep=tuple(STOPS))
    assert trained.state.position.step == 32
    return trained


@pytest.mark.parametrize("stop", STOPS, ids=STOPS.get)
def test_training_goes_on_as_if_never_stopped(whole: Trained, stop: int) -> None:
    resumed = train(tiny_frames(), stored=whole.parts[stop], seed=0)
    assert_same_parts(resumed.last, whole.last)
    assert resumed.records == whole.records[stop // STEPS_PER_EPOCH :]


def test_state_survives_a_file(whole: Trained, tmp_path) -> None:
    save_checkpoint(tmp_path / "state.safetensors", whole.parts[18])
    stored = load_checkpoint(tmp_path / "state.safetensors")
    assert_same_parts(train(tiny_frames(), stored=stored).last, whole.last)


def test_stored_state_may_be_used_twice(whole: Trained) -> None:
    for _ in range(2):
        assert_same_parts(train(tiny_frames(), stored=whole.parts[18]).last, whole.last)


def test_parts_do_not_change_when_training_goes_on() -> None:
    states = training_states(tiny_frames(), TINY, training_of(), method="tempor")
    kept = next(states).parts()
    copy = {name: value.clone() for name, value in kept.tensors.items()}
    next(states)
    assert all(kept.tensors[name].equal(value) for name, value in copy.items())


@pytest.mark.integration
@pytest.mark.parametrize("method", ["static", "tempor"])
def test_linear_start_goes_on_without_the_linear_model(method) -> None:
    encoded, training = tiny_frames(), training_of(start="linear", epochs=8)
    warm_start = known_start()
    stops = (3, 4, 5)  # in the start, at its end, after it
    whole = train(encoded, method, training=training, warm_start=warm_start, keep=stops)
    for stop in stops:
        resumed = train(encoded, method, training=training, stored=whole.parts[stop])
        assert_same_parts(resumed.last, whole.last)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("method", "generator"), [("tempor", "volumes"), ("tempor", "cloud"), ("static", "cloud")]
)
def test_training_goes_on_with_the_latents_that_it_found(method, generator: str) -> None:
    network = network_of(z_dim=1, generator=generator, generator_width=32)
    movies = simulate_blobs([8] * 6, box=12, snr=1.0)
    frames = encoded_of(movies, network)
    fit = fit_linear(movies.dataset, components=2, temporal=method == "tempor", device="cpu")
    start = warm_start_from(fit, frames.frames, z_dim=1)
    encoded = encoded_of(movies, network, base=start.volumes)
    training = training_of(start="linear", epochs=8)
    stops = (2, 13, 18)  # in the start, and in two stages after it
    whole = train(encoded, method, network, training, warm_start=start, keep=stops)
    assert {record["stage"] for record in whole.records} == {"start", "smooth"}
    for stop in stops:
        stored = whole.parts[stop]
        resumed = train(encoded, method, network, training, stored=stored)
        assert_same_parts(resumed.last, whole.last)


def test_streamed_training_that_is_stopped_ends_as_one_in_memory(whole: Trained) -> None:
    streamed = encoded_of(simulate_blobs(LENGTHS, box=12), memory_gb=0)
    assert not streamed.frames.source.in_memory
    threads, stored = threading.active_count(), None
    for stop in (5, 18):
        resume = stored and TrainingState.from_parts(
            stored, streamed, TINY, training_of(), method="tempor"
        )
        states = training_states(streamed, TINY, training_of(), method="tempor", resume=resume)
        for state in states:
            if state.position.step == stop:
                stored = state.parts()
                states.close()
        assert threading.active_count() == threads
    resumed = train(streamed, stored=stored)
    assert_same_parts(resumed.last, whole.last)
    assert threading.active_count() == threads


def test_finished_state_is_all_that_is_left(whole: Trained) -> None:
    states = training_states(
        tiny_frames(),
        TINY,
        training_of(),
        method="tempor",
        resume=TrainingState.from_parts(
            whole.last, tiny_frames(), TINY, training_of(), method="tempor"
        ),
    )
    (state,) = states
    assert state.finished
    assert_same_parts(state.parts(), whole.last)
    assert not [name for name in whole.last.tensors if not name.startswith("model.")]


def test_generator_is_loaded_without_frames(whole: Trained) -> None:
    generator = load_generator(whole.last, TINY, 12, torch.device("cpu"))
    support, z = FourierSupport(12, 3), torch.randn(2, 2)
    assert generator.volumes(support, z).equal(whole.model.generator.volumes(support, z))


# --- states of other trainings ---


@pytest.mark.parametrize(
    "change",
    [{"z_dim": 3}, {"generator_width": 12}, {"inference": "filter"}, {"prior": "standard"}],
)
def test_state_of_another_network_is_refused(whole: Trained, change) -> None:
    with pytest.raises(TemporemError, match=r"checkpoint of another model.*config\.yaml"):
        train(tiny_frames(), "tempor", network_of(**change), stored=whole.parts[27])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bfloat16", "yes"),
        ("stage", 3),
        ("epoch", 9),
        ("epoch", 1),
        ("step_in_epoch", STEPS_PER_EPOCH),
        ("model", "static"),
        ("base_components", 0),
        ("finished", None),
        ("seconds", float("nan")),
    ],
)
def test_damaged_document_is_refused(whole: Trained, name: str, value) -> None:
    stored = whole.parts[27]
    damaged = replace(stored, document={**stored.document, name: value})
    with pytest.raises(TemporemError, match=rf"not a readable checkpoint.*{name} is .*--overwrite"):
        train(tiny_frames(), stored=damaged)


@pytest.mark.parametrize("name", ["sums", "target.features", "optimizer.0.exp_avg"])
def test_state_with_tensors_missing_or_of_other_shapes_is_refused(whole: Trained, name) -> None:
    stored = whole.parts[18]
    fewer = {key: value for key, value in stored.tensors.items() if key != name}
    longer = {**fewer, name: torch.cat([stored.tensors[name]] * 2)}
    for tensors in (fewer, longer):
        with pytest.raises(TemporemError, match="not a readable checkpoint"):
            train(tiny_frames(), stored=replace(stored, tensors=tensors))


def test_state_of_another_method_is_refused(whole: Trained) -> None:
    with pytest.raises(TemporemError, match="checkpoint of this run"):
        train(tiny_frames(), "static", training=training_of(start="none"), stored=whole.parts[27])
    with pytest.raises(TemporemError, match=r"holds linear, not network"):
        train(tiny_frames(), stored=Parts("linear", {}))


def test_linear_start_needs_a_linear_model() -> None:
    with pytest.raises(TemporemError, match="there is no linear model to start from"):
        train(tiny_frames(), training=training_of(start="linear"))


# --- arithmetic ---


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_resumed_training_keeps_its_arithmetic(dtype: torch.dtype | None) -> None:
    training = training_of(epochs=4)
    whole = train(tiny_frames(), training=training, dtype=dtype, keep=(10,))
    other = torch.bfloat16 if dtype is None else None
    resumed = train(tiny_frames(), training=training, stored=whole.parts[10], dtype=other)
    assert_same_parts(resumed.last, whole.last)
    assert {p.dtype for p in whole.model.parameters()} == {torch.float32}


def test_arithmetic_makes_a_difference() -> None:
    one, other = (
        train(tiny_frames(), training=training_of(epochs=2), dtype=dtype).model.generator
        for dtype in (None, torch.bfloat16)
    )
    assert not one.condition.weight.equal(other.condition.weight)
