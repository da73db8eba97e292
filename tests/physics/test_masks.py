"""Soft masks: their value at every distance from a region."""

from __future__ import annotations

import math

import numpy as np
import pytest

from temporem.physics.masks import soft_mask

BOX = 16


def test_soft_mask_is_one_inside_falls_as_a_cosine_and_ends() -> None:
    region = np.zeros((BOX,) * 3, dtype=bool)
    region[8, 8, 8] = True
    line = soft_mask(region, 2.0, 4.0)[8, 8, 8:]
    expected = [1, 1, 1, *(0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3)), 0, 0]
    np.testing.assert_allclose(line, expected, atol=1e-6)


@pytest.mark.parametrize(("dilation", "ones"), [(0.0, 1), (1.0, 2), (2.5, 3)])
def test_without_an_edge_a_mask_is_the_dilated_region(dilation: float, ones: int) -> None:
    region = np.zeros((BOX,) * 3, dtype=bool)
    region[8, 8, 8] = True
    assert soft_mask(region, dilation, 0.0)[8, 8, 8:].tolist() == [1] * ones + [0] * (8 - ones)
