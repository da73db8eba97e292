"""Experiments: nothing is run twice, the numbers are the evaluations', bad files say why."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import yaml
from scipy.stats import t as student

from helpers.commands import command, succeed
from temporem.errors import TemporemError
from temporem.evaluation.compare import compare
from temporem.evaluation.storage import load_evaluation
from temporem.experiments import execute
from temporem.experiments.config import experiment_names, load_experiment
from temporem.experiments.measures import Record, over_movies, over_seeds
from temporem.experiments.plan import make_plan
from temporem.experiments.true_states import TrueStateVolumes
from temporem.frames.readers import read_dataset
from temporem.io.files import held
from temporem.io.settings import apply_changes
from temporem.runs.config import DataConfig
from temporem.simulation.presets import load_simulation_config
from temporem.simulation.simulate import simulate
from temporem.simulation.truth import read_truth

SMALL = {"movies": 6, "frames_per_movie": 4, "box": 16, "pixel_size_angstrom": 8.0, "snr": 1.0}
NETWORK = {"training.epochs": 1, "training.frames_per_step": 8, "model.generator_width": 16}
NETWORK |= {"model.encoder_width": 16, "model.rnn_width": 8}
EXPERIMENT = {
    "title": "Two methods on little data",
    "question": "Does it run?",
    "datasets": {
        "SNR 1": {"preset": "toy", "settings": SMALL, "value": 1},
        "SNR 5": {"preset": "toy", "settings": {**SMALL, "snr": 5.0}, "value": 5},
    },
    "methods": {
        "static": {"settings": {"method": "static", **NETWORK}},
        "mean": {"settings": {"method": "homogeneous"}},
        "true states": {"kind": "true-states"},
    },
    "baseline": "static",
    "seeds": [0, 1],
    "axis": {"of": "datasets", "label": "Signal-to-noise ratio", "logarithmic": True},
    "quick": {"only_datasets": ["SNR 5"]},
}


HELD_OUT = {"settings": {"method": "static", "data.held_out_fraction": 0.2}}


def on_axis(*values):
    """Datasets at these places."""
    datasets = {str(i): {"preset": "toy", "value": value} for i, value in enumerate(values)}
    return {"datasets": datasets, "quick": {}}


def refused(*arguments):
    """What is said about bad input: one line and exit code 2."""
    result = command(*arguments)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    return result.err


def write(path, **changes):
    path.write_text(yaml.safe_dump(EXPERIMENT | changes))
    return path


def copying(run):
    """A program that leaves the evaluation of a run."""
    code = (
        "import shutil, sys\n"
        "for name in ('evaluation.npz', 'evaluation.json'):\n"
        "    shutil.copy(sys.argv[1] + '/' + name, sys.argv[2])\n"
    )
    return {"kind": "program", "program": ["{python}", "-c", code, str(run), "{output}"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder of an experiment with two seeds, and its file."""
    folder = tmp_path_factory.mktemp("experiment")
    file = write(folder / "small.yaml")
    said = succeed("experiment", str(file), "-o", str(folder / "out"))
    assert "index.html" in said
    return folder / "out", file


def numbers(folder):
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestOutcome:
    def test_the_table_holds_the_numbers_of_the_evaluations(self, finished):
        folder, file = finished
        plan = make_plan(load_experiment(file), folder)
        rows = numbers(folder)
        for part in plan.results:
            summary = json.loads((part.folder / "evaluation.json").read_text())
            expected = summary["fsc"]["unmasked"]["auc"]["value"]
            (row,) = (
                row
                for row in rows
                if (row["dataset"], row["method"], int(row["seed"]), row["measure"])
                == (part.dataset.name, part.method, part.dataset.seed, "FSC area, whole box")
            )
            assert float(row["value"]) == pytest.approx(expected)

    def test_measures_of_states_are_in_the_table_and_drawn(self, finished):
        folder, file = finished
        part = make_plan(load_experiment(file), folder).of("SNR 5", "static")[0]
        summary = json.loads((part.folder / "evaluation.json").read_text())
        latents, states = summary["latent_states"], summary["states"]["unmasked"]
        expected = {
            "State FSC area, whole box": states["auc"]["value"],
            "State resolution, whole box (Å)": states["resolution_angstrom"]["value"],
            "State neighbourhood overlap": latents["neighbourhood_overlap"]["value"],
            "State silhouette": latents["silhouette"]["value"],
        }
        found = {
            row["measure"]: float(row["value"])
            for row in numbers(folder)
            if (row["dataset"], row["method"], row["seed"]) == ("SNR 5", "static", "0")
            and row["measure"] in expected
        }
        assert found == pytest.approx(expected)
        for name in ("states", "manifold", "latents"):
            assert (folder / "figures" / f"SNR-5-{name}.svg").is_file()

    def test_gains_are_paired_with_the_baseline_of_the_same_seed(self, finished):
        folder, file = finished
        plan = make_plan(load_experiment(file), folder)
        first, second = (plan.of("SNR 1", name)[1].folder for name in ("static", "true states"))
        comparison = compare(load_evaluation(first), load_evaluation(second))
        expected = comparison.gain("motion", "correlation", "unmasked")
        (row,) = (
            row
            for row in numbers(folder)
            if (row["dataset"], row["method"], row["seed"], row["measure"])
            == ("SNR 1", "true states", "1", "Gain: Motion correlation, whole box")
        )
        values = [float(row[key]) for key in ("value", "low", "high")]
        assert values == pytest.approx(list(expected))

    def test_every_panel_is_a_picture_and_on_the_page(self, finished):
        folder, _ = finished
        page = (folder / "index.html").read_text()
        pictures = sorted(path.stem for path in (folder / "figures").glob("*.png"))
        assert "overview" in pictures
        assert pictures == sorted(path.stem for path in (folder / "figures").glob("*.svg"))
        assert page.count("<svg") == len(pictures)
        assert "http" not in page.replace("http://www.w3.org", "")  # it needs nothing else
        assert "true states is told the true states" in page
        text = (folder / "results.md").read_text()
        assert "## SNR 1" in text
        assert "±" in text

    def test_what_is_finished_is_not_run_again(self, finished):
        folder, file = finished
        parts = make_plan(load_experiment(file), folder).results
        before = {
            part.folder: (part.folder / "evaluation.npz").stat().st_mtime_ns for part in parts
        }
        gone = parts[0].folder / "evaluation.json"
        gone.unlink()
        succeed("experiment", str(file), "-o", str(folder))
        after = {part.folder: (part.folder / "evaluation.npz").stat().st_mtime_ns for part in parts}
        changed = [path for path in before if before[path] != after[path]]
        assert changed == [parts[0].folder]

    def test_another_setting_is_another_folder(self, finished):
        folder, file = finished
        experiment = load_experiment(file)
        entry = experiment.methods["static"]
        longer = entry.model_copy(update={"settings": entry.settings | {"training.epochs": 2}})
        methods = {**experiment.methods, "static": longer}
        changed = make_plan(experiment.model_copy(update={"methods": methods}), folder)
        for part in changed.results:
            assert part.finished == (part.method != "static")

    def test_same_method_by_another_name_is_the_same_folder(self, finished):
        folder, file = finished
        experiment = load_experiment(file)
        methods = {"by another name": experiment.methods["static"]}
        datasets = {f"also {name}": entry for name, entry in experiment.datasets.items()}
        changes = {"methods": methods, "datasets": datasets, "baseline": "by another name"}
        renamed = make_plan(experiment.model_copy(update=changes), folder)
        assert [part.method for part in renamed.results] == ["by another name"] * 4
        assert all(part.finished for part in renamed.results)

    def test_only_one_command_at_a_time_works_on_an_experiment(self, finished):
        folder, file = finished
        with held(folder):
            said = refused("experiment", str(file), "-o", str(folder))
        assert "is being written by another process" in said

    def test_other_folders_are_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").touch()
        said = refused("experiment", "toy", "--quick", "-o", str(tmp_path))
        assert "is not an experiment" in said
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


class TestPrograms:
    def test_output_of_a_program_takes_part(self, finished, tmp_path):
        """A program that copies an evaluation stands in the table with its numbers."""
        folder, file = finished
        source = make_plan(load_experiment(file), folder).of("SNR 5", "mean")[0].folder
        copy = (
            "import shutil, sys\n"
            "for name in ('evaluation.npz', 'evaluation.json'):\n"
            "    shutil.copy(sys.argv[1] + '/' + name, sys.argv[2])\n"
            "open(sys.argv[2] + '/time.json', 'w').write('{\"seconds\": 17.0}')\n"
        )
        program = ["{python}", "-c", copy, str(source), "{output}"]
        methods = EXPERIMENT["methods"] | {"peer": {"kind": "program", "program": program}}
        changed = write(tmp_path / "peer.yaml", methods=methods)
        common = ("experiment", str(changed), "-o", str(folder), "--quick")
        succeed(*common)
        assert "Left out, as --peer was not given: peer" in (folder / "results.md").read_text()
        succeed(*common, "--peer", sys.prefix)
        assert "epochs a quick look does not change: peer" in (folder / "results.md").read_text()
        rows = {(r["method"], r["measure"]): r["value"] for r in numbers(folder)}
        assert rows["peer", "PSNR (dB)"] == rows["mean", "PSNR (dB)"]
        assert float(rows["peer", "Wall time (s)"]) == 17  # its own word, and no more than that
        assert rows["peer", "Processor time (s)"] == ""
        assert float(rows["mean", "Processor time (s)"]) > 0

    def test_one_seed_has_an_interval_over_movies(self, finished):
        folder, file = finished
        succeed("experiment", str(file), "-o", str(folder), "--quick")
        row = next(
            r for r in numbers(folder) if r["measure"] == "Gain: Motion correlation, whole box"
        )
        low, high = (f"{float(row[key]):.3f}".replace("-", "−") for key in ("low", "high"))
        assert f"[{low}, {high}]" in (folder / "results.md").read_text()

    def test_a_failing_program_is_named_with_its_last_words(self, finished, tmp_path):
        folder, _ = finished
        program = ["{python}", "-c", "raise SystemExit('no GPU here')"]
        methods = EXPERIMENT["methods"] | {"broken": {"kind": "program", "program": program}}
        changed = write(tmp_path / "peer.yaml", methods=methods)
        common = ("experiment", str(changed), "-o", str(folder), "--quick")
        said = refused(*common, "--peer", sys.prefix)
        assert "method broken" in said
        assert "no GPU here" in said
        assert not list((folder / "results").glob("*/broken-*"))

    @pytest.mark.parametrize(
        ("leaves", "words"),
        [
            ({}, "method peer: "),
            ({"motion": {"unmasked": {"correlation": "high"}}}, "method peer: "),
            (None, "its evaluation is of other frames"),
        ],
    )
    def test_a_program_must_leave_an_evaluation_of_the_same_frames(
        self, leaves, words, finished, tmp_path
    ):
        """Else it is known at once, and what others have done is shown all the same."""
        folder, file = finished
        if leaves is None:
            plan = make_plan(load_experiment(file), folder)
            part = plan.of("SNR 5", "mean")[0]
            config = part.dataset.config.model_copy(update={"movies": 5})
            simulate(config, tmp_path / "fewer")
            succeed(
                *("reconstruct", tmp_path / "fewer", "--method", "homogeneous"),
                "-o",
                tmp_path / "r",
            )
            succeed("evaluate", tmp_path / "r")
            source = tmp_path / "r"
        else:
            source = tmp_path / "r"
            source.mkdir()
            (source / "evaluation.json").write_text(json.dumps(leaves))
            (source / "evaluation.npz").touch()
        methods = {"peer": copying(source)} | EXPERIMENT["methods"]
        changed = write(tmp_path / "peer.yaml", methods=methods)
        common = ("experiment", str(changed), "-o", str(folder), "--quick", "--peer", sys.prefix)
        for _ in range(2):  # nothing is taken for finished
            (folder / "results.md").unlink(missing_ok=True)
            said = refused(*common)
            assert words in said
            text = (folder / "results.md").read_text()
            assert words in text
            assert "| mean |" in text

    def test_a_program_must_align_as_the_others_do(self, finished, tmp_path):
        folder, file = finished
        plan = make_plan(load_experiment(file).quickly(), folder)
        part = plan.of("SNR 5", "mean")[0]
        run = shutil.copytree(part.folder, tmp_path / "run")
        data, every = part.dataset.folder, str(part.every)
        succeed(
            *("evaluate", run, "--truth", data, "--every", every, "--align", "states"),
            "--overwrite",
        )
        methods = {"peer": copying(run)} | EXPERIMENT["methods"]
        changed = write(tmp_path / "peer.yaml", methods=methods)
        common = ("experiment", str(changed), "-o", str(folder), "--quick", "--peer", sys.prefix)
        assert "aligns otherwise than the experiment" in refused(*common)

    def test_no_program_has_a_name_with_a_null_in_it(self, finished, tmp_path):
        folder, _ = finished
        methods = EXPERIMENT["methods"] | {"peer": {"kind": "program", "program": ["a\0b"]}}
        changed = write(tmp_path / "peer.yaml", methods=methods)
        common = ("experiment", str(changed), "-o", str(folder), "--quick", "--peer", sys.prefix)
        assert "cannot run" in refused(*common)


@pytest.mark.parametrize(
    "value", [1e-5, 3, True, "yes", "a, b", "1e3", [1, 2.5e-7], {"a": None}, "🔥 x", "x" * 300, ""]
)
def test_settings_come_through_as_they_are(value):
    settings = {"section": {"key": 0, "other": 1}, "top": 2}
    changed = apply_changes(settings, {"section.key": value}, source="test")
    assert changed == {"section": {"key": value, "other": 1}, "top": 2}
    assert settings["section"]["key"] == 0
    with pytest.raises(TemporemError, match="test: top is a value, not a section"):
        apply_changes(settings, {"top.key": value}, source="test")


def test_how_states_are_aligned_is_a_part_of_the_result(tmp_path):
    file = write(tmp_path / "e.yaml")
    together = load_experiment(file)
    apart = together.model_copy(update={"align": "states"})
    one, other = (make_plan(e, tmp_path).of("SNR 5", "mean")[0] for e in (together, apart))
    assert (one.align, other.align) == ("all", "states")
    assert one.folder != other.folder
    assert one.dataset == other.dataset


class TestConfig:
    @pytest.mark.parametrize("name", experiment_names())
    def test_the_catalogue_is_valid_in_full_and_quickly(self, name, tmp_path):
        experiment = load_experiment(name)
        for chosen in (experiment, experiment.quickly()):
            plan = make_plan(chosen, tmp_path, peer=tmp_path)
            n = len(chosen.seeds) * len(chosen.datasets)
            assert len(plan.datasets) == n
            assert len(plan.results) == n * len(chosen.methods)
            assert len({part.folder for part in plan.results}) == len(plan.results)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"baseline": "stattic"}, "no method 'stattic'"),
            ({"methods": {}}, "at least one entry"),
            ({"methods": {"../up": {}}, "baseline": "../up"}, "pattern"),
            ({"methods": {"a": {"kind": "program"}}, "baseline": "a"}, "program"),
            ({"methods": {"a": {"settings": {"metod": "static"}}}, "baseline": "a"}, "method"),
            ({"methods": {"a": {"settings": {"seed": 1}}}, "baseline": "a"}, "experiment's to set"),
            ({"datasets": {"a": {"preset": "tooy"}}, "quick": {}, "axis": None}, "tooy"),
            ({"seeds": [0, 0]}, "twice"),
            ({"seeds": []}, "seeds"),
            ({"every": 2**31}, "every"),
            ({"every": 10**30}, "64 bits"),
            ({"quick": {"only_datasets": ["SNR 7"]}}, "SNR 7"),
            ({"quick": {"seeds": [1, 1]}}, "twice"),
            ({"quick": {"seeds": []}}, "quick.seeds"),
            (on_axis(0, 1), "logarithmic"),
            (on_axis(1, 1), "two entries of datasets have one value"),
            (on_axis(1, math.inf), "finite"),
            (
                {
                    "datasets": {"a": {"preset": "toy", "settings": {"seed": 1}, "value": 1}},
                    "quick": {},
                },
                "dataset a: seed is the experiment's to set",
            ),
            (
                {"methods": {"static": {"settings": {"method": "static"}}, "mean": HELD_OUT}},
                "method static: data.held_out_fraction is 0; expected 0.2, as for mean",
            ),
            (
                {"methods": {"static": HELD_OUT, "true": {"kind": "true-states"}}},
                "method true: data.held_out_fraction is 0",
            ),
        ],
    )
    def test_a_bad_file_is_refused_before_anything_is_written(self, changes, words, tmp_path):
        file = write(tmp_path / "bad.yaml", **changes)
        said = refused("experiment", str(file), "-o", str(tmp_path / "out"))
        assert words in said
        assert not (tmp_path / "out").exists()

    def test_unknown_experiments_and_peers_are_refused(self, tmp_path):
        assert "7bcq" in refused("experiment", "7bqc")
        assert "no such folder" in refused("experiment", "toy", "--peer", str(tmp_path / "x"))
        assert "distinct" in refused("experiment", "toy", "--seeds", "1", "1")


def test_a_motion_is_made_once_for_datasets_that_move_alike(tmp_path, monkeypatch):
    """And the datasets are those of a simulation on its own, byte for byte."""
    longer = {**SMALL, "frames_per_movie": 5}
    wider = {**SMALL, "motion.step_degrees": 8}
    entries = [SMALL, {**SMALL, "snr": 5.0}, longer, wider]
    datasets = {
        str(i): {"preset": "toy", "settings": one, "value": i + 1} for i, one in enumerate(entries)
    }
    file = write(tmp_path / "e.yaml", datasets=datasets, quick={})
    plan = make_plan(load_experiment(file), tmp_path)
    made = []
    load = execute.load_motion
    monkeypatch.setattr(execute, "load_motion", lambda *a, **k: made.append(a) or load(*a, **k))
    kept = execute.Datasets(None)
    parts = [part for seed in (0, 1) for part in plan.datasets if part.seed == seed]
    for part in parts:
        kept.make(part, lambda done, total: None)
    assert len(made) == 6  # 0 and 1 of each seed move alike
    for part in parts:
        simulate(part.config, tmp_path / "alone", overwrite=True)
        files = [file for file in (tmp_path / "alone").rglob("*") if file.is_file()]
        assert len(files) > 2
        for file in files:
            name = file.relative_to(tmp_path / "alone")
            assert (part.folder / name).read_bytes() == file.read_bytes(), name


def test_progress_of_an_experiment_never_goes_back(tmp_path, monkeypatch):
    """Though each of the stages of a run begins at 0."""
    shown = []

    @contextmanager
    def bar(_description):
        yield lambda done, total, note: shown.append(done / total)

    def stages(part, _peer, update):
        for done in (0, 2, 4, 0, 1, 4):
            update(done, 4)
        raise TemporemError(f"{part.method} ends")

    monkeypatch.setattr("temporem.cli.experiment.progress_bar", bar)
    monkeypatch.setattr(execute, "make_result", stages)
    file = write(tmp_path / "small.yaml")
    said = refused("experiment", str(file), "-o", str(tmp_path / "out"), "--quick")
    assert "ends" in said
    assert len(set(shown)) > 6
    assert shown == sorted(shown)
    assert shown[-1] == 1


class TestTrueStates:
    def test_with_little_noise_and_many_views_it_is_the_truth(self, tmp_path):
        settings = [f"{key}={value}" for key, value in SMALL.items() if key != "movies"]
        config = load_simulation_config("toy", [*settings, "movies=60", "snr=100"])
        simulate(config, tmp_path / "movies")
        dataset, truth = read_dataset(tmp_path / "movies"), read_truth(tmp_path / "movies")
        volumes = TrueStateVolumes(dataset, truth, DataConfig())
        rows = np.arange(8)
        found, true = volumes.volumes(rows), truth.volumes(rows)
        low = truth.support.shells <= 5
        overlap = (found.conj() * true)[:, low].real.sum(1)
        norms = (found[:, low].abs().square().sum(1) * true[:, low].abs().square().sum(1)).sqrt()
        assert (overlap / norms).min() > 0.9
        same = truth.states[rows] == truth.states[rows[0]]
        assert [bool((v == found[0]).all()) for v in found] == same.tolist()

    def test_it_is_told_the_poses_too(self, tmp_path):
        """Whatever the dataset says of them: images are the same."""
        settings = [f"{key}={value}" for key, value in SMALL.items()]
        volumes = []
        for poses in ("poses.written=true", "poses.error_degrees=20", "poses.written=false"):
            config = load_simulation_config("toy", [*settings, "snr=100", poses])
            simulate(config, tmp_path / poses)
            dataset, truth = read_dataset(tmp_path / poses), read_truth(tmp_path / poses)
            known = TrueStateVolumes(dataset, truth, DataConfig())
            volumes.append(known.volumes(np.arange(8)))
        for other in volumes[1:]:
            assert (other - volumes[0]).abs().max() < 1e-4 * volumes[0].abs().max()

    def test_a_state_of_one_movie_is_refused(self, tmp_path):
        settings = [f"{key}={value}" for key, value in SMALL.items() if key != "movies"]
        simulate(load_simulation_config("toy", [*settings, "movies=2"]), tmp_path / "movies")
        dataset, truth = read_dataset(tmp_path / "movies"), read_truth(tmp_path / "movies")
        states = np.zeros_like(truth.states)
        states[0] = 99
        alone = replace(truth, states=states)
        with pytest.raises(TemporemError, match="state 99 is in 1 movie"):
            TrueStateVolumes(dataset, alone, DataConfig())


def test_intervals_over_seeds_are_students():
    values = [0.2, 0.5, 0.3]
    interval = over_seeds([*values, None])
    half = student.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert interval == pytest.approx(
        (np.mean(values), np.mean(values) - half, np.mean(values) + half, 3)
    )
    single = over_seeds([0.4])
    assert single.mean == 0.4
    assert math.isnan(single.low)
    assert over_seeds([None]) is None


def test_intervals_over_movies_add_up_in_squares_between_seeds():
    def row(value, low, high):
        return Record("d", "m", 0, "gain", value, low, high)

    rows = [row(1.0, 0.4, 1.5), row(2.0, 1.2, 3.2)]
    assert over_movies(rows) == pytest.approx((1.5, 1.5 - 1.0 / 2, 1.5 + 1.3 / 2, 2))
    assert over_movies(rows[:1]) == (1.0, 0.4, 1.5, 1)
    assert math.isnan(over_movies([*rows, row(1.0, None, None)]).low)
    assert over_movies([row(None, None, None)]) is None


def test_intervals_over_movies_are_those_of_a_bootstrap_of_all_seeds():
    """Frames of three seeds: means of movies drawn again within every seed."""
    rng = np.random.default_rng(0)
    seeds = [rng.normal(loc, 1, 50) for loc in (0, 1, 5)]
    rows, draws = [], []
    for values in seeds:
        drawn = values[rng.integers(50, size=(4000, 50))].mean(1)
        rows.append(Record("d", "m", 0, "gain", values.mean(), *np.quantile(drawn, [0.025, 0.975])))
        draws.append(drawn)
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    found = over_movies(rows)
    assert found.high - found.low == pytest.approx(high - low, rel=0.05)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)
