"""Plans: what decides a result decides its folder, and names do not."""

from __future__ import annotations

import pytest

from helpers.experiments import write_experiment
from temporem.experiments.config import experiment_names, load_experiment
from temporem.experiments.plan import make_plan


@pytest.mark.parametrize("name", experiment_names())
def test_the_catalogue_is_valid_in_full_and_quickly(name, tmp_path) -> None:
    experiment = load_experiment(name)
    for chosen in (experiment, experiment.quickly()):
        plan = make_plan(chosen, tmp_path, peer=tmp_path)
        n = len(chosen.seeds) * len(chosen.datasets)
        assert len(plan.datasets) == n
        assert len(plan.results) == n * len(chosen.methods)
        assert len({part.folder for part in plan.results}) == len(plan.results)


def test_another_setting_is_another_folder(finished) -> None:
    folder, file = finished
    experiment = load_experiment(file)
    entry = experiment.methods["static"]
    longer = entry.model_copy(update={"settings": entry.settings | {"training.epochs": 2}})
    methods = {**experiment.methods, "static": longer}
    changed = make_plan(experiment.model_copy(update={"methods": methods}), folder)
    for part in changed.results:
        assert part.finished == (part.method != "static")


def test_same_method_by_another_name_is_the_same_folder(finished) -> None:
    folder, file = finished
    experiment = load_experiment(file)
    methods = {"by another name": experiment.methods["static"]}
    datasets = {f"also {name}": entry for name, entry in experiment.datasets.items()}
    changes = {"methods": methods, "datasets": datasets, "baseline": "by another name"}
    renamed = make_plan(experiment.model_copy(update=changes), folder)
    assert [part.method for part in renamed.results] == ["by another name"] * 4
    assert all(part.finished for part in renamed.results)


def test_how_states_are_aligned_is_a_part_of_the_result(tmp_path) -> None:
    together = load_experiment(write_experiment(tmp_path / "e.yaml"))
    apart = together.model_copy(update={"align": "states"})
    one, other = (make_plan(e, tmp_path).of("SNR 5", "mean")[0] for e in (together, apart))
    assert (one.align, other.align) == ("all", "states")
    assert one.folder != other.folder
    assert one.dataset == other.dataset


def test_a_quick_look_runs_methods_once_that_it_makes_alike() -> None:
    experiment = load_experiment("deviations")
    assert experiment.methods["80 epochs"] != experiment.methods["bound"]
    quick = experiment.quickly()
    assert "bound" in quick.methods
    assert "80 epochs" not in quick.methods  # both have 8
