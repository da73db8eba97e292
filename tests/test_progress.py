"""Progress on one scale that never falls."""

from __future__ import annotations

import pytest

from temporem.progress import Progress


@pytest.fixture
def shown() -> list[tuple[float, str]]:
    return []


@pytest.fixture
def progress(shown: list[tuple[float, str]]) -> Progress:
    return Progress(lambda fraction, note: shown.append((fraction, note)))


def test_it_shows_the_fraction_and_the_note(progress, shown) -> None:
    progress(1, 4, "first")
    progress(4, 4, "last")
    assert shown == [(0.25, "first"), (1.0, "last")]


def test_it_never_falls_and_never_passes_the_end(progress, shown) -> None:
    for done in (2, 1, 9, 3):
        progress(done, 4, str(done))
    assert [fraction for fraction, _ in shown] == [0.5, 0.5, 1.0, 1.0]
    assert [note for _, note in shown] == ["2", "1", "9", "3"]


def test_nothing_to_do_is_done(progress, shown) -> None:
    progress(0, 0)
    assert shown == [(1.0, "")]


def test_parts_share_the_scale(progress, shown) -> None:
    first, second = progress.part(0, 0.2), progress.part(0.2, 1)
    first(1, 2)
    second(1, 4)
    first(2, 2)  # late: the scale stays
    second.part(0.5, 1)(1, 2)
    second(9, 4)
    assert [fraction for fraction, _ in shown] == pytest.approx([0.1, 0.4, 0.4, 0.8, 1.0])


def test_labels_come_before_notes(progress, shown) -> None:
    part = progress.part(0, 0.5, "tempor").part(0, 1, "seed 0")
    part(1, 2, "epoch 1/2")
    part(2, 2)
    assert shown == [(0.25, "tempor  seed 0  epoch 1/2"), (0.5, "tempor  seed 0")]


def test_nobody_has_to_watch() -> None:
    Progress().part(0, 0.5)(1, 2, "unseen")
