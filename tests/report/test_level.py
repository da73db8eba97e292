"""Levels of surfaces: never a brick, also of signed maps and of dark molecules."""

from __future__ import annotations

import numpy as np
import pytest

from temporem.report.level import find_level, in_sphere, matched_levels
from temporem.report.render import render_isosurface
from temporem.report.scene import make_scene

BOX = 32


def ball(radius: float, at: float = 0.0) -> np.ndarray:
    """A soft ball of density 1, ``(1, D, D, D)``."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    distance = np.sqrt((x - at) ** 2 + y**2 + z**2)
    return (1 / (1 + np.exp(2 * (distance - radius))))[None]


def noise(sd: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, (1, *(BOX,) * 3))


def test_level_separates_molecule_and_noise() -> None:
    """Also where noise has a tenth of the contrast, and where the background is not 0."""
    noises = np.random.default_rng(0).normal(0, 0.1, (3, *(BOX,) * 3)).astype(np.float32)
    for offset in (0.0, 5.0):
        level = find_level(ball(5) + noises + offset)
        assert 0.3 <= level.value - offset <= 0.7
        assert level.sigmas > 1


def test_level_of_nothing_but_noise_is_above_it() -> None:
    noises = np.random.default_rng(0).normal(0, 1, (2, *(BOX,) * 3))
    level = find_level(noises)
    assert level.value == pytest.approx(3, abs=0.2)
    assert level.sigmas == pytest.approx(3, abs=0.2)
    assert str(find_level(noises, 2.0)).startswith("level 2 (2.0 σ)")


@pytest.mark.parametrize("offset", [-3.0, -0.7, 0.0, 2.0])
def test_a_signed_map_is_never_a_brick(offset: float) -> None:
    """A weak molecule in a noisy sphere, and nothing outside it: as maps of real data are."""
    sphere = in_sphere(BOX)
    volume = (offset + 0.8 * ball(6) + noise(0.15)) * sphere
    level = find_level(volume)
    enclosed = (level.sign * volume[0][sphere] > level.height).mean()
    assert level.sign == 1
    assert 0.01 < enclosed < 0.1  # the ball is 5 % of the sphere


def test_even_a_flat_map_encloses_no_more_than_a_quarter() -> None:
    """Two densities, half of the sphere each: the median says nothing."""
    volume = np.sign(np.indices((BOX,) * 3)[2] - BOX / 2 + 0.5)[None] + noise(0.2)
    level = find_level(volume)
    assert (level.sign * volume[0][in_sphere(BOX)] > level.height).mean() <= 0.2501


def test_a_dark_molecule_is_found_on_its_own_side() -> None:
    bright, dark = find_level(ball(6) + noise(0.1)), find_level(-ball(6) - noise(0.1))
    assert (bright.sign, dark.sign) == (1, -1)
    assert dark.value == pytest.approx(-bright.value)
    assert str(dark).endswith("dark side")
    pair = [ball(6) + noise(0.1), -ball(6) - noise(0.1)]
    assert [level.sign for level in matched_levels(pair)] == [1, -1]
    one, other = (make_scene(volume, 2.0, size=120) for volume in pair)
    np.testing.assert_array_equal(one.picture(pair[0][0])[20:80], other.picture(pair[1][0])[20:80])


def test_a_given_level_is_taken_from_the_side_it_lies_on() -> None:
    assert find_level(-ball(6), -0.5).sign == -1
    assert find_level(-ball(6) + ball(3, 8), 0.4).sign == 1


def test_empty_stacks_get_a_level_that_shows_nothing() -> None:
    (level,) = matched_levels([np.zeros((2, 8, 8, 8))])
    assert not render_isosurface(np.zeros((8, 8, 8)), level.height, None, 30).any()
