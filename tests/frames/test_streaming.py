"""Frames prepared when they are asked for: the same as in memory, ahead of their use, bounded."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.bad_input import refuse
from helpers.blobs import simulate_blobs
from helpers.commands import TINY_TRAINING, settings, succeed
from temporem.dvae.encoder_input import EncoderInput
from temporem.dvae.warm_start import coarse_start
from temporem.errors import TemporemError
from temporem.frames import movie_blocks
from temporem.frames import source as frame_source
from temporem.frames.dataset import Dataset
from temporem.frames.frame_stack import FrameStack, open_frames
from temporem.frames.frames import PreparedFrames, prepare_frames, prepared_bytes
from temporem.frames.readers import read_dataset
from temporem.frames.source import FramesInMemory, one_ahead
from temporem.runs import memory
from temporem.runs.config import DataConfig, RunConfig
from temporem.runs.memory import free_host_bytes, require_memory

CPU = torch.device("cpu")
STREAMED = DataConfig(memory_gb=0)
PATIENCE = 30  # seconds until a test gives up waiting for a thread


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate_blobs([4, 5, 3, 4, 1, 6], shift_sd_angstrom=6.0).dataset


@pytest.fixture
def few_at_a_time(dataset, monkeypatch) -> int:
    """Blocks of three frames."""
    n_pixels = len(open_frames(dataset, DataConfig()).forward_model.support)
    monkeypatch.setattr(frame_source, "_SAMPLES_PER_BLOCK", 3 * n_pixels)
    monkeypatch.setattr(movie_blocks, "_SAMPLES_PER_BLOCK", 3 * n_pixels)
    return 3


def both(dataset, encoder_input=None) -> tuple[PreparedFrames, PreparedFrames]:
    """In memory and streamed, one movie held out."""
    return tuple(
        prepare_frames(dataset, config, encoder_input, dataset.movies[:-1], CPU)
        for config in (DataConfig(), STREAMED)
    )


# --- a thread that works ahead ---


def test_results_come_in_order_and_one_ahead() -> None:
    begun = [threading.Event() for _ in range(5)]

    def square(i: int) -> int:
        begun[i].set()
        return i * i

    results = one_ahead(square, range(5))
    for i in range(5):
        assert next(results) == i * i
        assert i == 4 or begun[i + 1].wait(PATIENCE)
        assert not any(event.is_set() for event in begun[i + 2 :])
    assert list(results) == []
    assert list(one_ahead(square, [])) == []


def test_without_a_thread_nothing_is_done_ahead() -> None:
    done: list[int] = []
    results = one_ahead(done.append, range(3), in_thread=False)
    next(results)
    assert done == [0]


def test_an_exception_comes_when_its_result_is_due_and_leaves_no_thread() -> None:
    def fail_at_two(i: int) -> int:
        if i == 2:
            raise TemporemError("the third")
        return i

    before = threading.active_count()
    results = one_ahead(fail_at_two, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(TemporemError, match="the third"):
        next(results)
    assert list(results) == []
    assert threading.active_count() == before


def test_an_iterator_that_is_left_early_leaves_no_thread() -> None:
    before = threading.active_count()
    results = one_ahead(str, range(10))
    assert next(results) == "0"
    results.close()
    assert threading.active_count() == before


# --- the same frames ---


def test_a_frame_does_not_depend_on_its_company(dataset, few_at_a_time) -> None:
    stack = open_frames(dataset, DataConfig(window_radius=0.8))
    n_pixels = len(stack.forward_model.support)
    images, ctf = stack.take(np.arange(len(stack)))
    order = np.random.default_rng(0).permutation(len(stack))
    for rows in (order[:1], order[1:3], order[:7], order):
        for n in (None, n_pixels // 3):
            found = stack.take(rows, n)
            assert found[0].equal(images[rows][:, :n])
            assert found[1].equal(ctf[rows][:, :n])
    loaded = frame_source.loaded(stack)
    assert loaded.images.equal(images)
    assert loaded.ctf.equal(ctf)
    assert loaded.take(order, 5)[0].equal(images[order, :5])


@pytest.mark.parametrize("encoder_input", ["image", "back-projection", None])
def test_streamed_frames_are_those_in_memory(dataset, encoder_input) -> None:
    one, other = both(dataset, encoder_input)
    assert isinstance(one.source, FramesInMemory)
    assert isinstance(other.source, FrameStack)
    assert isinstance(other.encoder_input, EncoderInput) == (encoder_input is not None)
    assert other.n_inputs == one.n_inputs == one.encoder_input.shape[1]
    for name in ("signal_power", "ctf_power", "change_amplitude", "rotations", "intervals"):
        assert getattr(other, name).equal(getattr(one, name)), name
    assert other.noise_scale == one.noise_scale
    assert other.mean_volume.volume.equal(one.mean_volume.volume)
    assert other.mean_volume.half_fsc.equal(one.mean_volume.half_fsc)
    groups = [one.movies[1:3], [np.array([7, 2])], one.movies]
    for n_pixels in (None, 11, 0):
        pairs = [frames.batches(groups, n_pixels) for frames in (one, other)]
        for batch, streamed in zip(*pairs, strict=True):
            assert batch.images.shape[1] == (n_pixels if n_pixels is not None else 97)
            assert streamed.pixels.index.equal(batch.pixels.index)
            for name in ("encoder_input", "images", "ctf", "rotations", "lengths"):
                assert getattr(streamed, name).equal(getattr(batch, name)), name


def test_evidence_has_unit_variance(dataset) -> None:
    for frames in both(dataset, "back-projection"):
        encoder_input = frames.batch(frames.movies).encoder_input
        assert encoder_input.square().mean().item() == pytest.approx(1, rel=1e-5)


def test_movies_come_in_the_same_blocks(dataset, few_at_a_time) -> None:
    blocks = [list(frames.movie_frames.blocks(frames.movies[::-1])) for frames in both(dataset)]
    assert len(blocks[0]) > 3
    for one, other in zip(*blocks, strict=True):
        for name, value in vars(one).items():
            assert getattr(other, name).equal(value), name


def test_low_pass_keeps_the_lowest_frequencies_of_some_movies(dataset) -> None:
    one, other = both(dataset)
    low = other.movie_frames.low_pass(one.movies[1:3], 9)
    rows = np.concatenate(one.movies[1:3])
    rest = np.setdiff1d(np.arange(len(one)), rows)
    assert low.source.in_memory
    assert low.source.images[rows].equal(one.source.images[rows, :9])
    assert low.source.ctf[rows].equal(one.source.ctf[rows, :9])
    assert not low.source.images[rest].any()


def test_linear_start_is_the_same(dataset) -> None:
    starts = [
        coarse_start(RunConfig(), frames, frames.movies, temporal=True) for frames in both(dataset)
    ]
    for name in ("mean", "variance", "masks"):
        assert getattr(starts[0], name).equal(getattr(starts[1], name)), name


def test_no_more_pixels_are_read_at_a_time_than_a_block_has(dataset, few_at_a_time) -> None:
    read: list[int] = []

    class Watched:
        shape = dataset.images.shape

        def __len__(self) -> int:
            return self.shape[0]

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            read.append(len(rows))
            return dataset.images[rows]

    watched = replace(dataset, images=Watched())
    frames = prepare_frames(watched, STREAMED, "image", dataset.movies, CPU)
    list(frames.batches([frames.movies], 4))
    assert max(read) == few_at_a_time


# --- the same runs ---


@pytest.mark.parametrize("method", ["tempor", "static", "linear", "homogeneous"])
def test_runs_are_the_same(tiny_dataset, tmp_path, method) -> None:
    options = (
        *TINY_TRAINING,
        "training.epochs=2",
        "training.frames_per_step=8",
        "linear.iterations=1",
        "data.held_out_fraction=0.2",
    )
    for name, gigabytes in (("one", "1"), ("other", "0")):
        chosen = settings((*options, f"data.memory_gb={gigabytes}"))
        components = ("--components", 1) if method == "linear" else ()
        arguments = ("-o", tmp_path / name, "--method", method, *components, *chosen)
        succeed("reconstruct", tiny_dataset, *arguments)
    for name in ("frames.star", "checkpoint/model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_stack_that_is_cut_while_it_is_used_is_said_in_one_line(tiny_dataset, tmp_path) -> None:
    folder = tmp_path / "movies"
    folder.mkdir()
    for name in ("particles.star", "particles.mrcs"):
        (folder / name).write_bytes((Path(tiny_dataset) / name).read_bytes())
    movies = read_dataset(folder)
    frames = prepare_frames(movies, STREAMED, None, movies.movies, CPU)
    with open(folder / "particles.mrcs", "r+b") as file:
        file.truncate(1024 + 4 * 10 * movies.box**2)
    with pytest.raises(TemporemError, match=r"particles\.mrcs ends before image 1[1-9]"):
        list(frames.movie_frames.blocks(movies.movies))
    (folder / "particles.mrcs").unlink()
    with pytest.raises(TemporemError, match=r"cannot read .*particles\.mrcs"):
        frames.batch(movies.movies[:1])


# --- memory that is not there ---


def config_of(method: str, **sections: dict) -> RunConfig:
    return RunConfig.model_validate({"method": method, **sections})


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (config_of("homogeneous"), "bin the images to a box below 16"),
        (config_of("linear"), "lower linear.most_components, which is 4"),
        (
            config_of("linear", model={"z_dim": 6}, linear={"choose_components": False}),
            "lower --components, which is 6",
        ),
        (
            config_of("static", training={"frames_per_step": 100}),
            "lower training.frames_per_step, which is 100",
        ),
        (
            config_of("tempor", training={"frames_per_step": 4}, model={"generator_width": 4096}),
            "lower training.pixels_per_frame, which is 128",
        ),
    ],
)
def test_a_run_that_cannot_fit_is_refused(dataset, monkeypatch, config, hint) -> None:
    monkeypatch.setattr(memory, "free_host_bytes", lambda: 2**20)
    with pytest.raises(TemporemError, match=rf"about \d.* GiB of memory, and 0\.0 GiB.*{hint}"):
        require_memory(config, dataset, CPU)
    for enough in (2**40, None):
        monkeypatch.setattr(memory, "free_host_bytes", lambda enough=enough: enough)
        require_memory(config, dataset, CPU)


def test_frames_in_memory_count_and_streamed_ones_do_not(dataset, monkeypatch) -> None:
    """A million frames: in memory only if that is asked for."""
    n = 1_000_000
    many = replace(dataset, images=np.broadcast_to(np.float32(0), (n, 16, 16)))
    model = open_frames(dataset, DataConfig()).forward_model
    needed = prepared_bytes(model, n, "back-projection")
    monkeypatch.setattr(memory, "free_host_bytes", lambda: needed)
    require_memory(config_of("tempor"), many, CPU)
    kept = config_of("tempor", data={"memory_gb": 50})
    with pytest.raises(TemporemError, match=r"lower data\.memory_gb, which is 50"):
        require_memory(kept, many, CPU)


def test_nothing_is_written_where_memory_is_short(tiny_dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_host_bytes", lambda: 1)
    said = refuse(tmp_path, "reconstruct", tiny_dataset, "-o", tmp_path / "run")
    assert "this run needs about" in said


def test_free_memory_is_measured() -> None:
    assert (free_host_bytes() or 2**30) > 2**24
