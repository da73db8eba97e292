"""``temporem simulate`` with files of one's own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from helpers.commands import TINY_SIMULATION, command, settings, succeed
from helpers.shared import SHARED
from temporem.simulation.truth import read_truth

ADK = SHARED / "structures/adk"
FILES = ("--topology", ADK / "adk.psf", "--trajectory", ADK / "adk_dims.dcd")
SMALL = settings(("movies=2", "box=32", "pixel_size_angstrom=4"))


def test_trajectory_of_ones_own_in_ordered_states(tmp_path) -> None:
    options = [*FILES, "--states", 5, *SMALL, "--json"]
    summary = json.loads(succeed("simulate", "trajectory", "-o", tmp_path / "d", *options))
    assert (summary["frames"], summary["atoms"]) == (10, 1656)
    truth = read_truth(tmp_path / "d")
    assert truth.states.tolist() == [0, 1, 2, 3, 4] * 2
    assert truth.parameters[:5, 0].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_movies_can_take_snapshots_of_their_own_within_the_states(tmp_path) -> None:
    options = [*FILES, "--states", 5, *SMALL, "--set", "motion.start=[0, 0.2]"]
    succeed("simulate", "trajectory", "-o", tmp_path / "d", *options)
    truth = read_truth(tmp_path / "d")
    assert truth.states.tolist() == [0, 1, 2, 3, 4] * 2
    progress = truth.parameters[:, 0].reshape(2, 5)
    assert (progress[0] - progress[1]).abs().min() > 0.001
    assert progress.diff(dim=1).sub(0.2).abs().max() < 1e-9


def test_a_name_with_odd_signs_is_a_name(tmp_path) -> None:
    odd = tmp_path / "it's: [a] file.psf"
    odd.symlink_to(ADK / "adk.psf")
    options = ["--topology", odd, *FILES[2:], "--states", 2, *SMALL]
    succeed("simulate", "trajectory", "-o", tmp_path / "d", *options)
    assert read_truth(tmp_path / "d").config.structure == str(odd)


def test_trajectory_without_its_files_says_how_to_name_them(tmp_path) -> None:
    result = command("simulate", "trajectory", "-o", tmp_path / "d")
    assert result.code == 2
    assert result.err.startswith("error: trajectory: structure is missing; ")
    assert "--set structure=..." in result.err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tyo", "-o", "movies"], "no preset or file 'tyo'; expected a YAML file or one of 7bcq, "),
        (["toy", "-o", "absent/movies"], "cannot write absent/movies: the folder "),
        (["toy", "-o", "."], ". exists; "),
        (
            ["7bcq", "-o", "movies", "--structures", "absent"],
            "--structures: absent is not a folder",
        ),
        (["adk", "-o", "movies"], "no structure 'adk/adk.psf' (looked in "),
        (
            ["toy", "-o", "movies", "--set", "motion.kind=fly"],
            "toy: motion.kind: must be 'hinge', ",
        ),
    ],
)
def test_what_is_missing_is_said_before_anything_heavy_is_imported(
    arguments, message, tmp_path
) -> None:
    program = (
        "import sys; from temporem.cli.main import main; code = main(sys.argv[1:]); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("TEMPOREM_STRUCTURES", None)
    done = subprocess.run(
        [sys.executable, "-c", program, "simulate", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == "False\n"
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_folder_whose_name_is_not_utf8_is_a_folder(tmp_path, options) -> None:
    folder = tmp_path / os.fsdecode(b"f\xe9e")
    printed = succeed("simulate", "toy", "-o", folder, *settings(TINY_SIMULATION), *options)
    assert "f?e" in printed
    assert read_truth(folder).n_frames == 20


@pytest.mark.integration
def test_gaps_are_said(tmp_path) -> None:
    lines = (ADK / "adk_open.pdb").read_text().splitlines()
    cut = [line for line in lines if not (line.startswith("ATOM") and 60 <= int(line[22:26]) < 70)]
    (tmp_path / "cut.pdb").write_text("\n".join(cut))
    files = (f"structure={ADK / 'adk_closed.pdb'}", f"motion.end={tmp_path / 'cut.pdb'}")
    options = ["--states", 2, *settings(files), *SMALL]
    printed = succeed("simulate", "cas9", "-o", tmp_path / "d", *options)
    assert "Gaps: 10 residues inside chains lack coordinates, so no image" in printed


def test_output_may_be_named_after_a_preset_and_not_hold_its_configuration(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    succeed("simulate", "toy", "-o", "toy", *settings(TINY_SIMULATION))
    succeed("simulate", "toy", "-o", "toy", *settings(TINY_SIMULATION), "--overwrite")
    mine = tmp_path / "toy" / "mine.yaml"
    config = read_truth(tmp_path / "toy").config
    mine.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    result = command("simulate", "toy/mine.yaml", "-o", "toy", "--overwrite")
    assert result.code == 2
    assert "toy/mine.yaml, so it is not replaced" in result.err
    assert mine.exists()


def test_only_simulated_datasets_are_replaced(tmp_path) -> None:
    """A dataset of one's own looks alike but for the truth; nor may the demo take its folder."""
    succeed("simulate", "toy", "-o", tmp_path / "mine", *settings(TINY_SIMULATION))
    (tmp_path / "project").mkdir()
    succeed("simulate", "toy", "-o", tmp_path / "project/movies", *settings(TINY_SIMULATION))
    for path in (tmp_path / "mine", tmp_path / "project/movies"):
        shutil.rmtree(path / "truth")
    result = command("simulate", "toy", "-o", tmp_path / "mine", "--overwrite")
    assert result.code == 2
    assert "is not a simulated dataset" in result.err
    result = command("demo", "-o", tmp_path / "project", "--overwrite")
    assert result.code == 2
    assert "is not a simulated dataset" in result.err
    assert (tmp_path / "project/movies/particles.star").is_file()
