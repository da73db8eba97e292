"""A thread that works ahead, rows in blocks, movies in groups, frames changed as they are taken."""

import threading

import numpy as np
import pytest
import torch

from temporem.errors import TemporemError
from temporem.frames.source import (
    FramesInMemory,
    LowestFrequencies,
    Recentred,
    blocks_of,
    groups_of,
    one_ahead,
)
from temporem.physics.forward import ForwardModel

PATIENCE = 30  # seconds until a test gives up waiting for a thread


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


@pytest.mark.parametrize(("samples", "sizes"), [(1, [1] * 7), (30, [3, 3, 1]), (10**6, [7])])
def test_blocks_of_rows_are_bounded_and_in_order(samples, sizes) -> None:
    rows = np.array([5, 0, 3, 9, 9, 1, 2])
    blocks = blocks_of(rows, 10, samples)
    assert [len(block) for block in blocks] == sizes
    assert np.concatenate(blocks).tolist() == rows.tolist()
    assert [len(block) for block in blocks_of(rows, 10)] == [7]


def test_groups_hold_whole_movies() -> None:
    movies = [np.arange(n) for n in (3, 2, 7, 1, 1)]
    assert [[len(m) for m in group] for group in groups_of(movies, 5)] == [[3, 2], [7], [1, 1]]
    assert list(groups_of([], 5)) == []


def test_particles_are_moved_back_by_shifts_that_were_found() -> None:
    model = ForwardModel(12, 2.0)
    generator = torch.Generator().manual_seed(0)
    centred = torch.randn(4, len(model.support), generator=generator, dtype=torch.complex64)
    shifts = 3 * torch.randn(4, 2, generator=generator, dtype=torch.float64)
    ctf = torch.rand(centred.shape, generator=generator)
    source = FramesInMemory(centred * model.shift_phase(shifts), ctf)
    rows = np.array([2, 0])
    for n_pixels in (None, 9):
        images, own_ctf = Recentred(source, model, shifts).take(rows, n_pixels)
        torch.testing.assert_close(images, centred[rows][:, :n_pixels])
        assert own_ctf.equal(ctf[rows][:, :n_pixels])
    low = LowestFrequencies(source, 7)
    assert low.take(rows)[0].equal(source.images[rows][:, :7])
    assert low.take(rows, 3)[0].equal(source.images[rows][:, :3])
    assert low.take(rows, 50)[0].shape[1] == low.n_pixels == 7
