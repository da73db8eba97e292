"""Parts that move: how much of the density, how far, and what only fades."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.report.level import find_level
from temporem.report.moving_parts import MovingPart, find_moving_parts

BOX, PIXEL = 32, 2.0


def blob(x: float, y: float, z: float, radius: float) -> np.ndarray:
    grid = np.indices((BOX,) * 3) - BOX // 2
    distance = np.sqrt((grid[2] - x) ** 2 + (grid[1] - y) ** 2 + (grid[0] - z) ** 2)
    return 1 / (1 + np.exp(3 * (distance - radius)))


def parts_of(volumes: list[np.ndarray], noise: float = 0.0) -> list[MovingPart]:
    stack = np.stack(volumes)
    stack = stack + np.random.default_rng(0).normal(0, noise, stack.shape)
    return find_moving_parts(stack, find_level(stack), PIXEL)


@pytest.mark.parametrize("noise", [0.0, 0.08])
def test_an_arm_that_swings_travels_its_distance(noise: float) -> None:
    body = blob(-5, 0, 0, 5)
    (part,) = parts_of([body + blob(7, y, 0, 3) for y in np.linspace(-6, 6, 7)], noise)
    assert part.travel_angstrom == pytest.approx(12 * PIXEL, abs=2.0)
    volumes = 4 / 3 * np.pi * np.array([5.0**3, 3.0**3])
    assert part.share == pytest.approx(volumes[1] / volumes.sum(), abs=0.06)
    assert part.centre_angstrom[0] == pytest.approx(7 * PIXEL, abs=3)
    assert not part.fades


def test_still_volumes_have_no_moving_part() -> None:
    body = blob(0, 0, 0, 6)
    assert parts_of([body, body, body]) == []
    assert parts_of([body, body, body], 0.05) == []


def test_what_comes_and_goes_is_not_said_to_move() -> None:
    body = blob(-5, 0, 0, 5)
    (part,) = parts_of([body + amount * blob(8, 0, 0, 3) for amount in (0.0, 0.5, 1.0)])
    assert part.fades


def test_two_parts_are_counted_apart_the_larger_first() -> None:
    body = blob(0, 0, 0, 4)
    states = [
        body + blob(10, shift, 0, 3.2) + blob(-10, 0, shift, 2.4) for shift in (-3.0, 0.0, 3.0)
    ]
    first, second = parts_of(states)
    assert first.centre_angstrom[0] > 0 > second.centre_angstrom[0]
    assert first.share > second.share


def test_a_dark_molecule_moves_as_a_bright_one() -> None:
    body = blob(-5, 0, 0, 5)
    states = [body + blob(7, y, 0, 3) for y in (-5.0, 0.0, 5.0)]
    (bright,), (dark,) = parts_of(states), parts_of([-state for state in states])
    assert dark.travel_angstrom == pytest.approx(bright.travel_angstrom)
