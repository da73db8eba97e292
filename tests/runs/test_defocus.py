"""Errors of defocus from the simulation to the evaluation of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.commands import TINY_SIMULATION, settings, succeed
from temporem.io.star import read_star

pytestmark = pytest.mark.integration


def test_errors_are_corrected_written_and_scored(tmp_path) -> None:
    dataset, run = tmp_path / "movies", tmp_path / "run"
    more = ("movies=40", "box=32", "pixel_size_angstrom=4", "defects.defocus_error_angstrom=1000")
    succeed("simulate", "toy", "-o", dataset, *settings((*TINY_SIMULATION, *more)))
    succeed("reconstruct", dataset, "-o", run, "--method", "homogeneous", "--poses", "known")
    found = json.loads(succeed("evaluate", run, "--json"))
    assert found["defocus"]["left_angstrom"]["value"] < 300
    correlation = found["nuisances"]["defocus_error_angstrom"]["nuisance_correlation"]["value"]
    assert correlation > 0.95
    written = read_star(run / "frames.star")
    (table,) = (t for t in written.values() if "temporemDefocusError" in t)
    assert np.std(table.floats("temporemDefocusError")) > 500
