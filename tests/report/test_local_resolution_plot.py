"""The figure of local resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.reports import BOX, PIXEL, reconstruction
from temporem.report.local_resolution_plot import local_resolution_drawings


def constant(angstrom: float, box: int = BOX) -> np.ndarray:
    return np.full((box,) * 3, angstrom, dtype=np.float32)


def test_each_map_has_a_figure_that_names_its_median() -> None:
    run = reconstruction("one", 0.1, 0.1)
    assert not local_resolution_drawings([run], PIXEL)
    maps = {"the density": constant(12.34), "the change": constant(BOX * PIXEL)}
    found = local_resolution_drawings([replace(run, local_resolution=maps)], PIXEL)
    assert "12.3 Å (median)" in found[0].caption
    assert "no resolution" in found[1].caption
    assert all(item.svg.count("<image") >= 3 for item in found)


def test_a_map_of_fewer_voxels_is_drawn() -> None:
    small = {"the density": constant(20, BOX // 2)}
    run = replace(reconstruction("one", 0.1, 0.1), local_resolution=small)
    (drawing,) = local_resolution_drawings([run], PIXEL)
    assert "20.0 Å (median)" in drawing.caption


def test_what_would_be_of_one_colour_is_not_drawn() -> None:
    """Nyquist throughout, or no molecule at all."""
    run = reconstruction("one", 0.1, 0.1)
    finest = replace(run, local_resolution={"the density": constant(2 * PIXEL)})
    empty = replace(
        run,
        volumes=np.zeros_like(run.volumes),
        local_resolution={"the density": constant(20)},
    )
    assert not local_resolution_drawings([finest, empty], PIXEL)
