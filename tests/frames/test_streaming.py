"""Frames prepared when they are asked for: the same as in memory, and no more at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.blobs import simulate_blobs
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset, write_dataset
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.readers import read_dataset
from temporem.frames.settings import DataSettings
from temporem.frames.source import FramesInMemory, loaded
from temporem.frames.streaming import FrameStack, open_frames
from temporem.physics.forward import ForwardModel

CPU = torch.device("cpu")
STREAMED = DataSettings(memory_gb=0)
THREE = 3 * len(ForwardModel(16, 4.0).support)
"""Fourier pixels of three frames."""


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return simulate_blobs([4, 5, 3, 4, 1, 6], shift_sd_angstrom=6.0).dataset


def both(dataset: Dataset, block_samples: int | None = None) -> tuple[Frames, Frames]:
    """In memory and streamed, one movie held out."""
    training = dataset.movies[:-1]
    return tuple(
        prepare_frames(dataset, settings, training, CPU, block_samples=block_samples)
        for settings in (DataSettings(), STREAMED)
    )


def test_a_frame_does_not_depend_on_its_company(dataset) -> None:
    stack = open_frames(dataset, DataSettings(window_radius=0.8), THREE)
    n_pixels = len(stack.forward_model.support)
    images, ctf = stack.take(np.arange(len(stack)))
    order = np.random.default_rng(0).permutation(len(stack))
    for rows in (order[:1], order[1:3], order[:7], order):
        for n in (None, n_pixels // 3):
            found = stack.take(rows, n)
            assert found[0].equal(images[rows][:, :n])
            assert found[1].equal(ctf[rows][:, :n])
    in_memory = loaded(stack, THREE)
    assert in_memory.images.equal(images)
    assert in_memory.ctf.equal(ctf)
    assert in_memory.take(order, 5)[0].equal(images[order, :5])


def test_streamed_frames_are_those_in_memory(dataset) -> None:
    one, other = both(dataset)
    assert isinstance(one.source, FramesInMemory)
    assert isinstance(other.source, FrameStack)
    for name in ("rotations", "intervals", "interval_index"):
        assert getattr(other, name).equal(getattr(one, name)), name
    found, expected = other.statistics, one.statistics
    for name in ("signal_power", "ctf_power", "change_amplitude", "pixel_importance"):
        assert getattr(found, name).equal(getattr(expected, name)), name
    assert found.noise_scale == expected.noise_scale
    for name, value in vars(expected.mean_volume).items():
        assert getattr(found.mean_volume, name).equal(value), name
    groups = [one.movies[1:3], [np.array([7, 2])], one.movies]
    for n_pixels in (None, 11, 0):
        pairs = [frames.batches(groups, n_pixels) for frames in (one, other)]
        for batch, streamed in zip(*pairs, strict=True):
            assert batch.images.shape[1] == (n_pixels if n_pixels is not None else 97)
            assert streamed.pixels.index.equal(batch.pixels.index)
            for name in ("rows", "images", "ctf", "rotations", "lengths", "interval_index"):
                assert getattr(streamed, name).equal(getattr(batch, name)), name


def test_movies_come_in_the_same_blocks(dataset) -> None:
    blocks = [list(frames.blocks(frames.movies[::-1])) for frames in both(dataset, THREE)]
    assert len(blocks[0]) > 3
    for one, other in zip(*blocks, strict=True):
        for name in ("rows", "images", "ctf", "rotations", "lengths", "interval_index"):
            assert getattr(other, name).equal(getattr(one, name)), name


def test_low_pass_keeps_the_lowest_frequencies_of_some_movies(dataset) -> None:
    one, other = both(dataset)
    low = other.low_pass(one.movies[1:3], 9)
    rows = np.concatenate(one.movies[1:3])
    rest = np.setdiff1d(np.arange(len(one)), rows)
    assert low.source.in_memory
    assert low.source.images[rows].equal(one.source.images[rows, :9])
    assert low.source.ctf[rows].equal(one.source.ctf[rows, :9])
    assert not low.source.images[rest].any()


def test_no_more_pixels_are_read_at_a_time_than_a_block_has(dataset) -> None:
    read: list[int] = []

    class Watched:
        shape = dataset.images.shape

        def __len__(self) -> int:
            return self.shape[0]

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            read.append(len(rows))
            return dataset.images[rows]

    watched = replace(dataset, images=Watched())
    frames = prepare_frames(watched, STREAMED, dataset.movies, CPU, block_samples=THREE)
    list(frames.batches([frames.movies], 4))
    assert max(read) == 3


def test_a_stack_that_is_cut_while_it_is_used_is_said_in_one_line(dataset, tmp_path) -> None:
    write_dataset(
        tmp_path,
        images=dataset.images,
        pixel_size_angstrom=dataset.pixel_size_angstrom,
        poses=dataset.poses,
        ctf=dataset.ctf,
        particle_names=dataset.particle_names,
        frame_numbers=dataset.frame_numbers,
    )
    movies = read_dataset(tmp_path)
    frames = prepare_frames(movies, STREAMED, movies.movies, CPU)
    with open(tmp_path / "particles.mrcs", "r+b") as file:
        file.truncate(1024 + 4 * 10 * movies.box**2)
    with pytest.raises(TemporemError, match=r"particles\.mrcs ends before image 1[1-9]"):
        list(frames.blocks(movies.movies))
    (tmp_path / "particles.mrcs").unlink()
    with pytest.raises(TemporemError, match=r"cannot read .*particles\.mrcs"):
        frames.batch(movies.movies[:1])
