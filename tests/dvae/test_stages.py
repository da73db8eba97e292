"""Stages of training: what is trained when."""

import pytest

from helpers.networks import training_of
from temporem.dvae.clock import clock_training
from temporem.dvae.stages import finds_latents_on_grid, plan_stages
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.fourier_network import FourierNetwork


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
    stages = plan_stages(method, training_of(start=start, epochs=epochs), z_dim=2)
    assert [(stage.name, stage.epochs) for stage in stages] == expected
    first = 0
    for stage in stages:
        assert stage.first_epoch == first
        kinds = {"static": "static", "warm-up": "tempor", "tempor": "tempor"}
        assert stage.kind == kinds.get(stage.name, method)
        first = stage.end
    assert first == epochs


@pytest.mark.parametrize("epochs", [1, 2, 5, 32])
@pytest.mark.parametrize(
    ("method", "generator"),
    [("tempor", FourierNetwork), ("tempor", CloudVolumes), ("static", CloudVolumes)],
)
def test_one_latent_is_found_anew_until_the_end(method, generator, epochs: int) -> None:
    training = training_of(start="linear", epochs=epochs)
    assert finds_latents_on_grid(method, training, generator, z_dim=1)
    stages = plan_stages(method, training, generator=generator)
    assert [stage.name for stage in stages] == ["start", *["smooth"] * (len(stages) - 1)]
    assert {stage.kind for stage in stages} == {method}
    assert [stage.first_epoch for stage in stages[1:]] == [stage.end for stage in stages[:-1]]
    assert stages[-1].end == epochs
    assert len(stages) > epochs // 4


@pytest.mark.parametrize("generator", [FourierNetwork, CloudVolumes])
def test_the_bound_is_for_what_a_grid_cannot_do(generator) -> None:
    training = training_of(start="linear")
    assert not finds_latents_on_grid("tempor", training, generator, z_dim=2)
    assert not finds_latents_on_grid("tempor", training_of(start="static"), generator, z_dim=1)
    weighted = training_of(start="linear", kl_weight=0.5)
    assert not finds_latents_on_grid("tempor", weighted, generator, z_dim=1)
    plan = plan_stages("static", weighted, generator=generator)
    assert [stage.name for stage in plan] == ["start", "static"]


def test_a_network_alone_or_with_poses_to_learn_keeps_the_bound() -> None:
    """There a grid does not give better volumes than the bound, or was not tried."""
    training = training_of(start="linear")
    assert not finds_latents_on_grid("static", training, FourierNetwork, z_dim=1)
    assert not finds_latents_on_grid("tempor", training, FourierNetwork, 1, learned_poses=True)
    assert finds_latents_on_grid("tempor", training, CloudVolumes, 1, learned_poses=True)


def test_a_clock_learns_by_the_bound() -> None:
    plan = plan_stages("static", clock_training(training_of(start="linear")))
    assert [stage.name for stage in plan] == ["start", "static"]
