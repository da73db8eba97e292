"""Documents say what the code does: pages made from it, and programs that a reader copies."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

import temporem as tm
from helpers.commands import succeed
from temporem.evaluation.storage import load_evaluation
from temporem.evaluation.values import value_of
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_stack
from temporem.io.star import StarTable, read_star, write_star
from temporem.simulation.config import SimulationConfig
from temporem.simulation.presets import preset_names
from temporem.simulation.schedules import SCHEDULES
from temporem.simulation.truth import read_truth

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The script that writes pages."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.integration
def test_pages_are_what_the_code_makes() -> None:
    """In a process of its own, in which no test has registered a method or metric."""
    check = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), f"run python docs/generate.py{done.stderr}"


def test_every_setting_has_default_values_and_meaning(generate: ModuleType) -> None:
    """The generator leaves no holes."""
    rows = [
        line.removesuffix(" |").split(" | ")
        for line in generate.settings_page().splitlines()
        if line.startswith("| `")
    ]
    settings = {first.split("`")[1]: rest for first, *rest in rows}
    assert settings["model.encoder_width"][:2] == ["256", "≥ 8, ≤ 8192"]
    assert settings["training.start"][:2] == ["linear", "linear, static, none"]
    assert settings["linear.components"][:2] == ["auto", "auto, a number"]
    assert settings["linear.temporal"][:2] == ["true", "true, false"]
    assert settings["training.kl_weight"][0] == "automatic"
    assert all(len(rest) == 3 and rest[0] and rest[2] != "None" for rest in settings.values())


def test_every_public_name_is_on_the_page(generate: ModuleType) -> None:
    documented = [name for names in generate.SECTIONS.values() for name in names]
    assert sorted(documented) == sorted(set(tm.__all__) - {"__version__"})


PUBLIC = sorted(set(tm.__all__) - {"__version__"})
SLOW = {
    "find_poses",
    "find_motion",
    "CloudMotion",
    "measure_kinetics",
    "fit_clock",
    "fit_static",
    "fit_tempor",
    "LinearFit",
    "NetworkFit",
    "null_tests",
}


@pytest.fixture(scope="module")
def folder(tiny_dataset: Path, tiny_runs: dict[str, Path], tmp_path_factory) -> Path:
    """What examples find where they run."""
    path: Path = tmp_path_factory.mktemp("examples")
    shutil.copytree(tiny_dataset, path / "movies")
    for method in ("static", "tempor"):
        shutil.copytree(tiny_runs[method], path / f"{method}-run")
    succeed("export", path / "tempor-run", "-o", path / "volumes")
    return path


class AnyOutput(doctest.OutputChecker):
    """The movies are others than those of the examples, so that numbers differ."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return True


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_that_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = inspect.getdoc(getattr(tm, name)) or ""
    _, found, example = text.partition("\nExample:\n")
    assert found
    names = {"tm": tm, "np": np, "torch": torch}
    test = doctest.DocTestParser().get_doctest(example, names, name, None, None)
    assert test.examples
    if name in SLOW or name.startswith("register_"):  # registered in tests of extensions
        for part in test.examples:
            compile(part.source, name, "exec")
        return
    monkeypatch.chdir(folder)
    on_files = re.search('"(movies|volumes|toy|.*-run)"', example) is not None
    report: list[str] = []
    runner = doctest.DocTestRunner(AnyOutput() if on_files else None, verbose=False)
    assert runner.run(test, out=report.append).failed == 0, "".join(report)


def test_configurations_of_simulations_are_accepted() -> None:
    """The complete one as it stands, those of other motions with what it has besides."""
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    complete = blocks[0]
    kinds = {SimulationConfig.model_validate(complete | block).motion.kind for block in blocks}
    assert kinds == {"hinge", "trajectory", "morph", "pulled"}


def test_every_schedule_and_every_preset_is_described() -> None:
    text = (DOCS / "data.md").read_text(encoding="utf-8")
    for kind, model in SCHEDULES.items():
        assert f"| `{kind}`: " in text
        assert all(f"`schedule.{key}`" in text for key in model.model_fields)
    told = succeed("simulate", "--help") + text
    assert all(re.search(rf"(?<![-\w]){name}(?![-\w])", told) for name in preset_names())


def program(page: str) -> str:
    """The Python that a page shows."""
    text = (DOCS / page).read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return textwrap.dedent(block)


def test_a_relion_project_with_a_stack_for_every_molecule_becomes_a_dataset(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command of data.md, with columns and tables that are none of our business."""
    expected = read_dataset(tiny_dataset)
    tables = read_star(tiny_dataset / "particles.star")
    columns = dict(tables["particles"])
    del columns["rlnParticleName"], columns["rlnMovieFrameNumber"]
    columns["rlnCoordinateX"] = [str(i) for i in range(expected.n_frames)]
    names = np.empty(expected.n_frames, dtype=object)
    (tmp_path / "Extract").mkdir()
    for movie, rows in enumerate(expected.movies):
        write_stack(tmp_path / f"Extract/{movie}.mrcs", [expected.images[rows]], 8.0)
        names[rows] = [f"{i:06d}@Extract/{movie}.mrcs" for i in range(1, len(rows) + 1)]
    columns["rlnImageName"] = list(names)
    others = {"general": StarTable({"rlnTomoName": ["none"]})}
    write_star(tmp_path / "particles.star", tables | others | {"particles": StarTable(columns)})
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "data.md").read_text(encoding="utf-8")
    (words,) = re.findall(r"temporem (import PROJECT\S+ -o movies --stack-is-movie)", page)
    command = words.replace("PROJECT/Refine3D/job012/run_data.star", "particles.star").split()
    succeed(*command, "--invert", "no", "--no-normalise")
    found = read_dataset(tmp_path / "movies")
    assert [rows.tolist() for rows in found.movies] == [r.tolist() for r in expected.movies]
    rows = np.arange(expected.n_frames)
    np.testing.assert_allclose(found.images[rows], expected.images[rows], atol=1e-4)
    assert "rlnCoordinateX" in read_star(tmp_path / "movies/source/particles.star")["particles"]


def test_volumes_of_any_program_can_be_evaluated(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the program of evaluation.md, with the true volumes as somebody's."""
    truth = read_truth(tiny_dataset)
    (tmp_path / "movies").symlink_to(tiny_dataset)
    (tmp_path / "my-results").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(
        program("evaluation.md"),
        {"my_volumes": lambda r: truth.support.ifft(truth.volumes(r))},
    )
    found = load_evaluation(tmp_path / "my-results")
    assert value_of(found, "fsc", "auc", "unmasked") > 0.999
