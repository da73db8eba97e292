"""Pictures with words: scale, level and colours are right."""

from __future__ import annotations

import numpy as np
import pytest

import temporem as tm
from temporem.errors import TemporemError
from temporem.report.camera import View
from temporem.report.level import find_level
from temporem.report.scene import Scene, make_scene, render, round_length
from temporem.report.theme import MOVING

BOX = 24


def ball(x: float, radius: float, box: int = BOX) -> np.ndarray:
    """A ball with a soft edge at (x, 0, 0)."""
    axis = np.arange(box) - box // 2
    squares = axis[:, None, None] ** 2 + axis[:, None] ** 2 + (axis - x) ** 2
    return (1 / (1 + np.exp(2 * (np.sqrt(squares) - radius)))).astype(np.float32)


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    still = ball(-4, 4)
    return np.stack([np.maximum(still, ball(x, 3)) for x in (3, 5, 7)])


@pytest.mark.parametrize(
    ("longest", "length"),
    [(1, 1), (1.99, 1), (2, 2), (4.9, 2), (9.99, 5), (10, 10), (76, 50), (0.3, 0.2), (1234, 1000)],
)
def test_lengths_of_bars_are_round(longest: float, length: float) -> None:
    assert round_length(longest) == pytest.approx(length)


def bar_length(picture: np.ndarray) -> int:
    """Pixels of the longest dark row in the lower left quarter."""
    size = len(picture)
    dark = (picture[3 * size // 4 :, : size // 2].astype(int).sum(-1) < 3 * 60).sum(1)
    return int(dark.max())


@pytest.mark.parametrize("size", [300, 1000])
@pytest.mark.parametrize("extent", [20.0, 31.0])
def test_scale_bar_has_the_length_that_it_says(size: int, extent: float) -> None:
    """The bar is to the picture as its length is to the width that the picture shows."""
    scene = Scene(
        find_level(ball(0, 5)[None], 0.5), View(extent=extent), np.zeros((BOX,) * 3), 2.0, size
    )
    width = 2.0 * extent  # Å
    expected = round_length(0.28 * width) / width * size
    assert bar_length(scene.picture(ball(0, 5))) == pytest.approx(expected, abs=1.5)


def test_what_moves_is_orange_and_the_rest_is_not(moving: np.ndarray) -> None:
    picture = render(moving, 2.0, size=300)[2].astype(float) / 255
    middle = picture[60:240, 20:280]
    coloured = middle[middle.min(-1) < 0.9]
    hue = (coloured[:, 0] - coloured[:, 2]) / coloured.max(-1)
    assert (hue > 0.5 * (MOVING[0] - MOVING[2]) / MOVING[0]).mean() > 0.1  # the ball that moves
    assert (hue < 0).mean() > 0.3  # the ball that is still


def test_still_volumes_have_no_key_of_colours(moving: np.ndarray) -> None:
    assert make_scene(moving, 2.0).moves
    assert not make_scene(moving[:1], 2.0).moves


def test_words_are_written(moving: np.ndarray) -> None:
    """Each word changes its own corner and nothing else."""
    plain = render(moving, 2.0, size=300)
    titled = render(moving, 2.0, size=300, titles=["a", "b", "c"])
    timed = render(moving, 2.0, size=300, times_seconds=[0.1, 0.2, np.nan])
    changed = (plain != titled).any((0, 3))
    assert changed[:30, :60].any()
    assert not changed[40:].any()
    assert (plain != timed).any((1, 2, 3)).tolist() == [True, True, False]
    assert not (plain != timed).any((0, 3))[:, :150].any()


def test_long_titles_stay_beside_the_time(moving: np.ndarray) -> None:
    long = render(moving[:1], 2.0, size=200, titles=["x" * 300], times_seconds=[1.0])
    short = render(moving[:1], 2.0, size=200, titles=[""], times_seconds=[1.0])
    np.testing.assert_array_equal(long[:, :, 170:], short[:, :, 170:])


def test_one_volume_and_a_stack_are_drawn_alike(moving: np.ndarray) -> None:
    one = render(moving[0], 2.0, size=128)
    assert one.shape == (1, 128, 128, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, render(moving[:1], 2.0, size=128))
    assert tm.render is render


def test_bad_volumes_are_refused(moving: np.ndarray) -> None:
    with pytest.raises(TemporemError, match="shape"):
        render(np.zeros((3, 4)), 1.0)
    with pytest.raises(TemporemError, match="shape"):
        render(np.zeros((2, 8, 8, 9)), 1.0)
    with pytest.raises(TemporemError, match="2 titles of 3 volumes"):
        render(moving, 1.0, titles=["a", "b"])


def test_level_without_a_surface_is_refused(moving: np.ndarray) -> None:
    with pytest.raises(TemporemError, match=r"no voxel exceeds the level 2; expected a level betw"):
        render(moving, 2.0, level=2.0)
    with pytest.raises(TemporemError, match="no voxel exceeds the level 0"):
        find_level(np.zeros((1, 8, 8, 8)))
