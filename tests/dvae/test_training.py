"""The training loop: its plan, its schedules, what it may look at, and that it can be killed."""

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from temporem.dvae.config import ModelConfig
from temporem.runs.linear import LinearRun

from helpers.blobs import simulate_blobs
from temporem.device import choose_device, network_dtype
from temporem.dvae.stages import plan_stages
from temporem.dvae.training import Trainer, build_model, infer_all
from temporem.errors import TemporemError
from temporem.frames.frames import PreparedFrames, prepare_frames
from temporem.linear.masks import enlarged
from temporem.physics.fourier import FourierSupport
from temporem.runs.config import DataConfig, LinearConfig, RunConfig, TrainingConfig
from temporem.runs.interrupt import InterruptFlag

TINY = ModelConfig(
    z_dim=2,
    encoder_width=8,
    encoder_depth=1,
    rnn_width=6,
    prior_width=4,
    generator_width=8,
    generator_depth=1,
    generator_features=6,
)
LENGTHS = [4, 4, 3, 5, 4, 4, 2, 6]  # 32 frames


def configure(method="tempor", *, model=TINY, **training) -> RunConfig:
    values = {
        "init": "static",
        "epochs": 6,
        "pretrain_epochs": 2,
        "warmup_epochs": 2,
        "frames_per_step": 8,
        "pixels_per_frame": 24,  # of 55
        "precision": "float32",
        "device": "cpu",
    } | training
    if method == "static":
        values |= {"pretrain_epochs": None, "warmup_epochs": None}
    return RunConfig(method=method, model=model, training=TrainingConfig(**values))


def prepare(blobs, config, data=None) -> PreparedFrames:
    dataset, seen = blobs.dataset, config.model.encoder_input
    return prepare_frames(dataset, data or config.data, seen, dataset.movies, torch.device("cpu"))


@pytest.fixture(scope="module")
def frames() -> PreparedFrames:
    return prepare(simulate_blobs(LENGTHS, box=12), configure())


@pytest.fixture
def start(frames, tmp_path):
    """Start a run of its own folder: ``start(config, …)`` → Trainer."""
    runs = iter(range(100))

    def start(config, *, movies=None, frames=frames, run_dir=None, progress=None) -> Trainer:
        if run_dir is None:
            run_dir = tmp_path / str(next(runs))
            run_dir.mkdir()
        return Trainer(config, frames, movies or frames.movies, run_dir, progress)

    return start


def ctrl_c_at(step: int) -> Callable[..., None]:
    """Progress in which somebody presses Ctrl-C."""

    def progress(stage: str, done: int, total: int, terms: dict) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


def metrics(trainer: Trainer) -> list[dict]:
    """Lines of ``metrics.jsonl`` without the clock."""
    lines = (trainer.run_dir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def assert_same_weights(found: torch.nn.Module, expected: torch.nn.Module) -> None:
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    for name, value in found.state_dict().items():
        assert value.equal(state[name]), name


# --- the plan ---


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs": 40}, [("start", 5), ("static", 15), ("warm-up", 5), ("tempor", 15)]),
        (
            {"epochs": 40, "linear_start": False},
            [("static", 20), ("warm-up", 5), ("tempor", 15)],
        ),
        ({"epochs": 6, "pretrain_epochs": 0}, [("tempor", 6)]),
        ({"epochs": 6, "pretrain_epochs": 0, "warmup_epochs": 2}, [("tempor", 6)]),
        (
            {"epochs": 9, "pretrain_epochs": 8, "warmup_epochs": 0},
            [("start", 1), ("static", 7), ("tempor", 1)],
        ),
        ({"epochs": 9, "warmup_epochs": 5}, [("start", 1), ("static", 3), ("warm-up", 5)]),
        ({"epochs": 1}, [("tempor", 1)]),
    ],
)
def test_stages_add_up_to_the_epochs_asked_for(settings, expected) -> None:
    training = TrainingConfig(init="static", **settings)
    stages = plan_stages(RunConfig(method="tempor", training=training))
    assert [(stage.name, stage.epochs) for stage in stages] == expected
    first = 0
    for stage in stages:
        assert stage.first_epoch == first
        assert stage.kind == ("static" if stage.name in ("start", "static") else "tempor")
        first += stage.epochs
    assert first == settings["epochs"]


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(40, [("start", 5), ("tempor", 35)]), (4, [("start", 1), ("tempor", 3)]), (1, [("start", 1)])],
)
def test_linear_start_of_tempor_needs_no_static_model(epochs, expected) -> None:
    stages = plan_stages(RunConfig(method="tempor", training=TrainingConfig(epochs=epochs)))
    assert [(stage.name, stage.epochs) for stage in stages] == expected
    assert {stage.kind for stage in stages} == {"tempor"}


def test_epochs_of_the_static_model_need_it() -> None:
    with pytest.raises(ValueError, match=r"need training\.init=static"):
        TrainingConfig(pretrain_epochs=3)


def test_static_method_is_one_stage() -> None:
    (stage,) = plan_stages(configure("static", epochs=7))
    assert (stage.name, stage.kind, stage.first_epoch, stage.epochs) == ("static", "static", 0, 7)


def test_equal_epochs_are_equal_numbers_of_steps(start) -> None:
    """Of movies of one length: static and tempor take as many optimiser steps."""
    blobs = simulate_blobs([4] * 6, box=12)
    equal_frames = prepare(blobs, configure())
    steps = {}
    for method in ("static", "tempor"):
        calls = []
        config = configure(method)
        trainer = start(config, frames=equal_frames, progress=lambda *a, c=calls: c.append(a))
        trainer.fit()
        steps[method] = len(calls)
        assert [done for _, done, _, _ in calls] == list(range(1, len(calls) + 1))
        assert {total for _, _, total, _ in calls} == {len(calls)}  # the estimate was right
        assert [line["epoch"] for line in metrics(trainer)] == list(range(1, 7))
    assert steps["static"] == steps["tempor"] == 6 * 24 // 8


def test_an_epoch_shows_every_frame_once(start, monkeypatch) -> None:
    seen: dict[int, list] = {}

    def record(self, stage, movies, batch, *rest):
        seen.setdefault(self.state.epoch, []).append((stage.name, movies))
        assert batch.rotations.equal(trainer.frames.rotations[np.concatenate(movies)])
        return original(self, stage, movies, batch, *rest)

    original = Trainer._step
    monkeypatch.setattr(Trainer, "_step", record)
    trainer = start(configure())
    trainer.fit()
    orders = []
    for steps in seen.values():
        rows = np.concatenate([row for _, movies in steps for row in movies])
        assert sorted(rows) == list(range(32))
        orders.append(rows.tolist())
        if steps[0][0] != "static":  # whole movies, in order of time
            whole = {tuple(movie) for movie in trainer.movies}
            assert {tuple(m) for _, movies in steps for m in movies} == whole
    assert len(seen) == 6
    assert len({tuple(order) for order in orders}) == 6  # each epoch in another order


# --- schedules ---


def test_learning_rate_is_eased_in_constant_and_falls_to_zero(start) -> None:
    rates: list[float] = []

    def record(*_: object) -> None:
        rates.append(trainer.optimizer.param_groups[0]["lr"])

    config = configure(
        "static", epochs=60, learning_rate=1e-3, decay_fraction=0.5, linear_start=False
    )
    trainer = start(config, progress=record)
    trainer.fit()
    assert len(rates) == 240
    assert rates[0] < 0.1 * 1e-3
    eased = np.diff(rates[:40])
    assert (eased > 0).all()
    np.testing.assert_allclose(rates[60:120], 1e-3)
    # Linear to zero over the last half; the last step is a step before zero.
    np.testing.assert_allclose(rates[120:], 1e-3 * np.arange(120, 0, -1) / 120, rtol=1e-6)


def test_learning_rate_without_decay_stays(start) -> None:
    trainer = start(configure("static", epochs=20, learning_rate=1e-3, decay_fraction=0))
    trainer.fit()
    assert metrics(trainer)[-1]["learning_rate"] == pytest.approx(1e-3)


def test_every_stage_starts_gently(start) -> None:
    first: dict[str, float] = {}

    def record(stage: str, *_: object) -> None:
        first.setdefault(stage, trainer.optimizer.param_groups[0]["lr"])

    trainer = start(configure(decay_fraction=0), progress=record)
    trainer.fit()
    assert list(first) == ["static", "warm-up", "tempor"]
    assert max(first.values()) < 1e-4


def test_kl_weight_rises_to_beta(start) -> None:
    trainer = start(configure("static", epochs=5, kl_weight=0.8, kl_rise_epochs=3))
    trainer.fit()
    weights = [line["kl_weight"] for line in metrics(trainer)]
    assert weights[-1] == pytest.approx(0.8)
    assert (np.diff(weights) >= 0).all()
    assert 0 < weights[0] < 0.5
    at_once = start(configure("static", epochs=1, kl_weight=0.8, kl_rise_epochs=0))
    at_once.fit()
    assert metrics(at_once)[0]["kl_weight"] == pytest.approx(0.8)


def test_high_frequencies_are_let_in_by_and_by(start, frames) -> None:
    marching = {"start_resolution": 0.4, "marching": (0.25, 0.75), "epochs": 12}
    trainer = start(configure("static", **marching))
    trainer.fit()
    pixels = [line["n_pixels"] for line in metrics(trainer)]
    radii = frames.forward_model.support.radii
    low, high = int((radii <= 0.4 * 6).sum()), len(radii)
    assert pixels[:4] == [low] * 4
    assert pixels[9:] == [high] * 3
    assert (np.diff(pixels) >= 0).all()
    assert low < pixels[6] < high
    at_once = start(configure("static", start_resolution=1.0))
    at_once.fit()
    assert {line["n_pixels"] for line in metrics(at_once)} == {high}


# --- what it learns from ---


def test_every_objective_improves(start) -> None:
    """The bound of static and of tempor from scratch, and the fit of the warm-up's paths."""
    clear = prepare(simulate_blobs(LENGTHS, box=12, snr=10.0), configure())
    training = {
        "pixels_per_frame": 1000,
        "start_resolution": 1.0,
        "learning_rate": 5e-3,
        "decay_fraction": 0,
        "linear_start": False,
    }
    for settings in (
        configure("static", epochs=12, **training),
        configure(epochs=12, pretrain_epochs=0, **training),
        configure(epochs=14, pretrain_epochs=2, warmup_epochs=12, **training),
    ):
        trainer = start(settings, frames=clear)
        trainer.fit()
        objective = [
            line["log_likelihood"] - settings.kl_weight * line["kl"]
            for line in metrics(trainer)
            if line["stage"] == trainer.stages[-1].name or line["stage"] == "warm-up"
        ]
        assert len(objective) == 12
        assert np.mean(objective[-3:]) > np.mean(objective[:3]) + 0.01, settings.method


def test_metrics_are_means_over_the_frames_of_an_epoch(start, frames, monkeypatch) -> None:
    # With a rate of next to nothing the model stays as it was built.
    monkeypatch.setattr("temporem.dvae.inference.sample_gaussian", lambda mean, *_: mean)
    config = configure(
        "static", epochs=1, learning_rate=1e-12, start_resolution=1.0, pixels_per_frame=1000
    )
    trainer = start(config)
    bound = build_model(config, "static", frames).bound(frames.batch(frames.movies))
    trainer.fit()
    (line,) = metrics(trainer)
    assert line["log_likelihood"] == pytest.approx(bound.log_likelihood.mean().item(), rel=1e-5)
    assert line["kl"] == pytest.approx(bound.kl.mean().item(), rel=1e-4)


def test_tempor_starts_from_the_static_model(start) -> None:
    static = {}

    def record(stage: str, *_: object) -> None:
        if stage == "static":
            static.update({n: v.clone() for n, v in trainer.model.state_dict().items()})

    config = configure(epochs=4, pretrain_epochs=2, warmup_epochs=2)  # no tempor epochs after
    trainer = start(config, progress=record)
    model = trainer.fit()
    assert model.kind == "tempor"
    for name, value in model.state_dict().items():
        if not name.startswith("inference."):  # the warm-up leaves both at rest
            assert value.equal(static[name]), name


def test_held_out_movies_change_nothing(start, frames) -> None:
    """With other images in the movies held out, training gives the same weights to the bit."""
    training, held_out = frames.movies[:6], np.concatenate(frames.movies[6:])
    images, encoder_input = frames.source.images.clone(), frames.encoder_input.clone()
    for values in (images, encoder_input):
        values[held_out] = 100 * values[held_out].flip(0)
    spoiled = replace(
        frames, source=replace(frames.source, images=images), encoder_input=encoder_input
    )
    config = configure(epochs=3, pretrain_epochs=1, warmup_epochs=1)
    models = [start(config, movies=training, frames=f).fit() for f in (frames, spoiled)]
    assert_same_weights(*models)
    everything = start(config, frames=spoiled).fit()
    assert not everything.extractor.first.weight.equal(models[0].extractor.first.weight)


@pytest.mark.parametrize("method", ["static", "tempor"])
def test_order_of_rows_does_not_matter(start, method) -> None:
    blobs = simulate_blobs(LENGTHS, box=12)
    order = np.random.default_rng(1).permutation(32)
    config = configure(method, epochs=3, pretrain_epochs=1, warmup_epochs=1)
    latents = []
    for some in (blobs, blobs.take(order)):
        prepared = prepare(some, config)
        latents.append(infer_all(start(config, frames=prepared).fit(), prepared))
    plain, shuffled = latents
    torch.testing.assert_close(shuffled.mean, plain.mean[order], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shuffled.kl, plain.kl[order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["static", "tempor"])
def test_infer_all_is_inference_movie_by_movie_in_row_order(frames, kind, monkeypatch) -> None:
    monkeypatch.setattr("temporem.dvae.training._INFERENCE_FRAMES", 9)
    rows = np.random.default_rng(2).permutation(32)
    movies = [
        rows[i] for i in (slice(0, 5), slice(5, 9), slice(9, 20), slice(20, 30), slice(30, 32))
    ]
    mixed = replace(frames, movies=movies)
    model = build_model(configure(), kind, mixed)
    latents = infer_all(model, mixed)
    assert latents.mean.shape == (32, 2)
    for movie in movies:
        alone = model.infer(mixed.batch([movie]))
        torch.testing.assert_close(latents.mean[movie], alone.mean)
        torch.testing.assert_close(latents.log_variance[movie], alone.log_variance)
    assert latents.z.equal(latents.mean)
    assert not latents.mean.requires_grad


def test_same_seed_is_the_same_run_and_another_is_not(start, frames) -> None:
    config = configure(epochs=3, pretrain_epochs=1, warmup_epochs=1)
    one, again = start(config), start(config)
    other = start(config.model_copy(update={"seed": 1}))
    for trainer in (one, again, other):
        torch.manual_seed(np.random.default_rng().integers(2**31))  # must not matter
        trainer.fit()
    assert_same_weights(one.model, again.model)
    assert metrics(one) == metrics(again)
    assert not other.model.extractor.first.weight.equal(one.model.extractor.first.weight)


def test_diverging_training_is_said_in_one_line(start, frames) -> None:
    images = frames.source.images * float("inf")
    broken = replace(frames, source=replace(frames.source, images=images))
    with pytest.raises(TemporemError, match=r"diverged in epoch 1.*lower training\.learning_rate"):
        start(configure("static"), frames=broken).fit()


# --- being stopped ---

STEPS_PER_EPOCH = 4  # 32 frames, 8 a step
STOPS = [
    pytest.param(3, id="static"),
    pytest.param(8, id="end-of-static"),
    pytest.param(10, id="warm-up"),
    pytest.param(16, id="end-of-warm-up"),
    pytest.param(19, id="tempor"),
    pytest.param(23, id="last-but-one"),
]


@pytest.fixture(scope="module")
def whole(frames, tmp_path_factory) -> Trainer:
    """A run that was never stopped."""
    trainer = Trainer(configure(), frames, frames.movies, tmp_path_factory.mktemp("whole"))
    trainer.fit()
    assert trainer.state.step == 6 * STEPS_PER_EPOCH
    return trainer


@pytest.mark.parametrize("stop_at", STOPS)
def test_run_stopped_by_ctrl_c_goes_on_as_if_it_never_was(whole, start, stop_at) -> None:
    stopped = start(configure(), progress=ctrl_c_at(stop_at))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    assert stopped.state.step == stop_at
    resumed = start(configure(), run_dir=stopped.run_dir)
    resumed.restore()
    assert_same_weights(resumed.model, stopped.model)
    resumed.fit()
    assert_same_weights(resumed.model, whole.model)
    assert metrics(resumed) == metrics(whole)


def test_streamed_run_that_is_stopped_ends_as_one_in_memory_that_was_not(
    whole, start, tmp_path
) -> None:
    streamed = prepare(simulate_blobs(LENGTHS, box=12), configure(), DataConfig(memory_gb=0))
    assert not streamed.source.in_memory

    def interrupt(stage: str, done: int, total: int, terms: dict) -> None:
        if done in (5, 18):
            os.kill(os.getpid(), signal.SIGINT)

    threads = threading.active_count()
    trainer = start(configure(), frames=streamed, progress=interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
        trainer = start(configure(), frames=streamed, run_dir=trainer.run_dir, progress=interrupt)
        trainer.restore()
    trainer.fit()
    assert_same_weights(trainer.model, whole.model)
    assert metrics(trainer) == metrics(whole)
    assert threading.active_count() == threads


def test_run_stopped_in_the_linear_start_goes_on_as_if_it_never_was(start) -> None:
    config = configure("static", epochs=8)
    whole = start(config)
    whole.fit()
    assert [line["stage"] for line in metrics(whole)] == ["start"] + 7 * ["static"]

    def interrupt(stage: str, done: int, total: int, terms: dict) -> None:
        if done == 2 and "pass" not in terms:  # not a step of the linear model's own
            os.kill(os.getpid(), signal.SIGINT)

    stopped = start(config, progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    resumed = start(config, run_dir=stopped.run_dir)
    resumed.restore()
    resumed.fit()
    assert_same_weights(resumed.model, whole.model)
    assert metrics(resumed) == metrics(whole)


def test_linear_start_teaches_the_encoder_its_latents(start) -> None:
    clear = prepare(simulate_blobs(LENGTHS, box=12, snr=10.0), configure())
    config = configure("static", epochs=120, learning_rate=5e-3)
    trainer = start(config, frames=clear)
    taught: list[tuple] = []

    def scope(stage: str, done: int, total: int, terms: dict) -> None:
        if done == 15 * STEPS_PER_EPOCH:  # the last step of the start
            taught.append((infer_all(trainer.model, clear).mean[:, 0], trainer.targets["mean"]))

    trainer.progress = scope
    trainer.fit()
    ((learned, target),) = taught
    assert float(torch.corrcoef(torch.stack([learned, target[:, 0]]))[0, 1]) > 0.9


@pytest.mark.parametrize("solvent_mask", [True, False])
def test_linear_start_masks_the_solvent_and_what_moves(start, solvent_mask: bool) -> None:
    clear = prepare(simulate_blobs(LENGTHS, box=12, snr=10.0), configure())
    model = TINY.model_copy(update={"solvent_mask": solvent_mask, "linear_components": 0})
    trainer = start(configure("static", model=model, epochs=8), frames=clear)
    generator = trainer.fit().generator
    mean, moving = clear.mean_volume.volume, generator.moving
    assert moving.min() >= 0
    assert moving.max() == 1
    if solvent_mask:
        assert generator.base.mean[0, 0, 0] == moving[0, 0, 0] == 0
        torch.testing.assert_close(generator.base.mean[6, 6, 6], mean[6, 6, 6])
        assert (generator.base.mean * mean >= 0).all()
    else:
        assert (moving == 1).all()
        assert generator.base.mean.equal(mean)


@pytest.mark.parametrize("solvent_mask", [True, False])
@pytest.mark.parametrize("method", ["static", "tempor"])
def test_generator_begins_with_the_volumes_of_a_linear_model(method, solvent_mask, start) -> None:
    clear = prepare(simulate_blobs(LENGTHS, box=12, snr=10.0), configure())
    init = "linear" if method == "tempor" else "static"
    config = configure(
        method,
        model=TINY.model_copy(update={"solvent_mask": solvent_mask}),
        init=init,
        pretrain_epochs=None,
        warmup_epochs=None,
        epochs=8,
    )
    linear = config.linear.model_copy(
        update={"choose_components": False, "temporal": method == "tempor"}
    )
    masks = (None, None) if solvent_mask else (torch.ones(12, 12, 12),) * 2
    trainer = start(config, frames=clear)
    three = config.model.model_copy(update={"z_dim": 3})  # ten of the 32 frames for each
    alone = LinearRun(
        config.model_copy(update={"method": "linear", "linear": linear, "model": three}),
        *(clear, clear.movies, [], masks, trainer.run_dir),
    ).fit()
    (trainer.run_dir / "metrics.jsonl").unlink()
    maps = trainer.fit().generator.base.maps
    mean = alone.posterior.mean
    volumes = alone.parameters.volumes
    assert len(maps) == 1 + config.model.linear_components == 5
    torch.testing.assert_close(maps[0], volumes[0])
    torch.testing.assert_close(maps[1:4], volumes[1:] * mean.std(0).float()[:, None, None, None])
    assert maps[1:4].abs().amax((1, 2, 3)).min() > 0
    assert (maps[4] == 0).all()
    assert not (trainer.run_dir / "start").exists()


def test_linear_model_of_a_smaller_box_leaves_detail_to_the_mean(start) -> None:
    clear = prepare(simulate_blobs(LENGTHS, box=12, snr=10.0), configure())
    model = TINY.model_copy(update={"linear_box": 8})
    options = {"init": "linear", "pretrain_epochs": None, "warmup_epochs": None, "epochs": 8}
    trainer = start(configure(model=model, **options), frames=clear)
    alone = LinearRun(
        configure("linear", model=model.model_copy(update={"z_dim": 3})).model_copy(
            update={"linear": LinearConfig(choose_components=False)}
        ),
        *(clear.cropped(8, 1.0), clear.movies, [], (None, None), trainer.run_dir),
    ).fit()
    (trainer.run_dir / "metrics.jsonl").unlink()
    generator = trainer.fit().generator
    maps, solvent = generator.base.maps, enlarged(alone.masks[0], 12)
    torch.testing.assert_close(generator.moving, enlarged(alone.masks[1], 12))
    coarse, fine = FourierSupport(8, 3), FourierSupport(12, 3)
    n = len(coarse)
    low = fine.fft(maps)[:, :n] * 12**0.5
    expected = coarse.fft(alone.parameters.volumes) * 8**0.5
    spread = alone.posterior.mean.std(0).float()
    torch.testing.assert_close(low[0], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(low[1:4], expected[1:] * spread[:, None], rtol=1e-4, atol=1e-4)
    detail = fine.fft(torch.cat([maps[:1], (clear.mean_volume.volume * solvent)[None]]))[:, n:]
    torch.testing.assert_close(detail[0], detail[1], rtol=1e-4, atol=1e-4)
    assert detail[0].abs().max() > 1e-3
    assert fine.fft(maps[1:])[:, n:].abs().max() < 1e-5


def test_run_killed_while_it_solves_its_start_ends_as_one_that_was_not(start) -> None:
    options = {"init": "linear", "pretrain_epochs": None, "warmup_epochs": None}
    config = configure(**options)
    whole = start(config)
    whole.fit()

    def die(stage: str, done: int, total: int, terms: dict) -> None:
        if stage == "joint":
            raise RuntimeError("killed")

    stopped = start(config, progress=die)
    with pytest.raises(RuntimeError, match="killed"):
        stopped.fit()
    begun = (stopped.run_dir / "start" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in begun] == ["start", "halves"]
    stages: list[str] = []
    again = start(
        config, run_dir=stopped.run_dir, progress=lambda stage, *rest: stages.append(stage)
    )
    again.fit()
    assert "halves" not in stages
    assert_same_weights(again.model, whole.model)
    # What the start was like is kept, and nothing else of it; whether halves of the movies find it.
    first, other = (
        [json.loads(line) for line in (t.run_dir / "start.jsonl").read_text().splitlines()]
        for t in (whole, again)
    )
    assert [r["stage"] for r in first[:2]] == ["start", "halves"]
    assert first[0]["half_agreement"] == other[0]["half_agreement"]
    assert not (again.run_dir / "start").exists()


@pytest.mark.parametrize("stop_at", STOPS[::2])
def test_run_killed_outright_goes_on_from_its_last_checkpoint(whole, start, stop_at) -> None:
    """No time to save: what was done since the last checkpoint is done again."""
    config = configure(checkpoint_seconds=0)  # one after every step

    def die(stage: str, done: int, total: int, terms: dict) -> None:
        if done == stop_at + STEPS_PER_EPOCH:
            raise MemoryError

    killed = start(config, progress=die)
    with pytest.raises(MemoryError):
        killed.fit()
    with open(killed.run_dir / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"stage": "static", "ep')  # died while writing, too
    resumed = start(config, run_dir=killed.run_dir)
    resumed.restore()
    assert resumed.state.step == stop_at + STEPS_PER_EPOCH - 1
    resumed.fit()
    assert_same_weights(resumed.model, whole.model)
    assert metrics(resumed) == metrics(whole)


def test_epochs_logged_after_the_last_checkpoint_are_not_logged_twice(whole, start) -> None:
    stopped = start(configure(), progress=ctrl_c_at(5))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    later = json.dumps({"stage": "static", "epoch": 2, "step": 8})
    with open(stopped.run_dir / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(later + "\n")
    resumed = start(configure(), run_dir=stopped.run_dir)
    resumed.restore()
    resumed.fit()
    assert metrics(resumed) == metrics(whole)


def test_restoring_a_finished_run_gives_its_model(whole, start) -> None:
    restored = start(configure(), run_dir=whole.run_dir)
    before = metrics(whole)
    restored.restore()
    assert_same_weights(restored.model, whole.model)
    restored.fit()  # nothing is left to do
    assert_same_weights(restored.model, whole.model)
    assert metrics(restored) == before


@pytest.mark.parametrize(
    "change",
    [{"z_dim": 3}, {"generator_width": 12}, {"inference": "filter"}, {"prior": "standard"}],
)
def test_checkpoint_of_another_model_is_refused(whole, start, change) -> None:
    other = configure(model=TINY.model_copy(update=change))
    with pytest.raises(TemporemError, match=r"checkpoint of another model.*config\.yaml"):
        start(other, run_dir=whole.run_dir).restore()


def test_checkpoint_that_does_not_say_its_arithmetic_is_refused(start) -> None:
    stopped = start(configure(), progress=ctrl_c_at(3))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    path = stopped.run_dir / "checkpoint" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bfloat16": "yes"}))
    with pytest.raises(TemporemError, match=r"state\.json: not .*bfloat16 is yes.*--overwrite"):
        start(configure(), run_dir=stopped.run_dir).restore()


def test_checkpoint_of_another_kind_of_run_is_refused(whole, start) -> None:
    with pytest.raises(TemporemError, match="checkpoint of this run"):
        start(configure("static"), run_dir=whole.run_dir).restore()


def test_interrupt_flag_waits_once_and_then_insists() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with InterruptFlag() as flag:
        assert not flag
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler


def test_interrupt_flag_keeps_out_of_other_threads() -> None:
    results: list[bool] = []

    def use() -> None:
        with InterruptFlag() as flag:
            results.append(bool(flag))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert results == [False]


# --- devices and arithmetic ---


@pytest.mark.parametrize("name", ["tpu", "cpu:x", "mps", "xyz:0", ""])
def test_unknown_devices_are_refused(name) -> None:
    with pytest.raises(TemporemError, match=r"training\.device.*expected auto, cpu or cuda:0"):
        choose_device(name)


def test_absent_gpu_is_refused() -> None:
    with pytest.raises(TemporemError, match=r"cuda:77 is not here.*training\.device=cpu"):
        choose_device("cuda:77")
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")


def test_precision_is_as_asked_for() -> None:
    cpu = torch.device("cpu")
    assert network_dtype("float32", cpu) is None
    assert network_dtype("bfloat16", cpu) is torch.bfloat16
    assert network_dtype("auto", cpu) in (None, torch.bfloat16)


@pytest.mark.parametrize("first", [None, torch.bfloat16])
def test_resumed_run_keeps_its_arithmetic_when_auto_measures_otherwise(
    start, monkeypatch, first
) -> None:
    config = configure(precision="auto")

    def measure(dtype: torch.dtype | None) -> None:
        monkeypatch.setattr("temporem.dvae.training.network_dtype", lambda *_: dtype)

    measure(first)
    stopped = start(config, progress=ctrl_c_at(10))
    whole = start(config)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    whole.fit()
    measure(torch.bfloat16 if first is None else None)
    resumed = start(config, run_dir=stopped.run_dir)
    resumed.restore()
    resumed.fit()
    assert_same_weights(resumed.model, whole.model)
    other = start(config)
    other.fit()
    assert not other.model.generator.condition.weight.equal(whole.model.generator.condition.weight)


def test_training_in_bfloat16_keeps_weights_in_float32(start) -> None:
    trainer = start(configure(epochs=3, pretrain_epochs=1, warmup_epochs=1, precision="bfloat16"))
    model = trainer.fit()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(np.isfinite(line["log_likelihood"]) for line in metrics(trainer))


def test_run_directory_holds_metrics_and_checkpoint_only(whole) -> None:
    assert sorted(p.name for p in Path(whole.run_dir).iterdir()) == ["checkpoint", "metrics.jsonl"]
