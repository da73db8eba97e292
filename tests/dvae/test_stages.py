"""Stages of training: what is trained when."""

import pytest

from helpers.networks import training_of
from temporem.dvae.stages import plan_stages


@pytest.mark.parametrize(
    ("method", "start", "epochs", "expected"),
    [
        ("tempor", "linear", 40, [("start", 5), ("tempor", 35)]),
        ("tempor", "linear", 4, [("start", 1), ("tempor", 3)]),
        ("tempor", "linear", 1, [("start", 1)]),
        ("tempor", "static", 40, [("static", 20), ("warm-up", 5), ("tempor", 15)]),
        ("tempor", "static", 6, [("static", 3), ("tempor", 3)]),
        ("tempor", "static", 1, [("tempor", 1)]),
        ("tempor", "none", 7, [("tempor", 7)]),
        ("static", "linear", 40, [("start", 5), ("static", 35)]),
        ("static", "linear", 4, [("start", 1), ("static", 3)]),
        ("static", "none", 7, [("static", 7)]),
    ],
)
def test_stages_add_up_to_the_epochs_asked_for(method, start, epochs, expected) -> None:
    stages = plan_stages(method, training_of(start=start, epochs=epochs))
    assert [(stage.name, stage.epochs) for stage in stages] == expected
    first = 0
    for stage in stages:
        assert stage.first_epoch == first
        kinds = {"static": "static", "warm-up": "tempor", "tempor": "tempor"}
        assert stage.kind == kinds.get(stage.name, method)
        first = stage.end
    assert first == epochs


def test_head_learns_poses_before_latents() -> None:
    training = training_of(start="none", epochs=16)
    plan = [(s.name, s.kind, s.epochs) for s in plan_stages("static", training, "head")]
    assert plan == [("poses", "static", 4), ("static", "static", 12)]
    training = training_of(start="static", epochs=16)
    plan = [(s.name, s.kind, s.epochs) for s in plan_stages("tempor", training, "head")]
    static = [("poses", "static", 4), ("static", "static", 4)]
    assert plan == [*static, ("warm-up", "tempor", 2), ("tempor", "tempor", 6)]
