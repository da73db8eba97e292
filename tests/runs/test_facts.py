"""Facts of a run, and what they give reason to doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import settings, succeed
from temporem.runs.facts import RunFacts, read_facts

GRID = {
    **{"box": 16, "pixel_size_angstrom": 4.0, "noise_scale": 1.0},
    **{"z_dim": 2, "latent_covariance": True},
}


def test_a_component_that_moves_the_whole_is_doubted() -> None:
    likeness = [{"fraction": 0.12, "change": "turn"}, {"fraction": 0.84, "change": "shift"}]
    said = RunFacts(**GRID, component_likeness=likeness).doubtful_components
    assert said.startswith("component 2 (a shift, 84%) may be no motion")
    assert "--poses refine" in said
    assert RunFacts(**GRID, component_likeness=likeness[:1]).doubtful_components == ""
    assert RunFacts(**GRID).doubtful_components == ""


@pytest.mark.integration
@pytest.mark.parametrize("still", [True, False])
def test_errors_of_poses_are_told_from_motion(still: bool, tmp_path: Path) -> None:
    """A still molecule with shifts that are off, and one with an arm that swings."""
    changes = ["movies=30", "box=24", "pixel_size_angstrom=5.4", "snr=1"]
    if still:
        changes += ["motion.step_degrees=0", "motion.start_degrees=[45,45]"]
        changes += ["poses.shift_error_angstrom=5"]
    succeed("simulate", "toy", "-o", tmp_path / "movies", *settings(changes))
    said = succeed(
        *("reconstruct", tmp_path / "movies", "-o", tmp_path / "run", "--method", "linear"),
        *("--poses", "known", "--components", "2", *settings(["linear.iterations=1"])),
    )
    assert ("may be no motion" in said) == still
    assert bool(read_facts(tmp_path / "run").doubtful_components) == still
