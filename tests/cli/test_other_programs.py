"""Files of ours in cryoDRGN and cryosparc-tools themselves, by hand: each needs an environment.

``pip install cryodrgn`` into one, ``cryosparc-tools`` into another, and name both:
``CRYODRGN=ONE/bin/cryodrgn CRYOSPARC_TOOLS=OTHER/bin/python pytest -m slow FILE``.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import temporem as tm
from helpers.commands import succeed
from helpers.foreign import cryosparc, save_cs, write_mrcs

pytestmark = pytest.mark.slow


def program(variable: str) -> str:
    """Path of another program's executable; its test is skipped without."""
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} is not set")
    return path


def run(*arguments: object) -> str:
    """What a program prints; it must end well, and sees nothing of this environment."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cryodrgn_parses_a_dataset_and_its_pickles_come_back(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cryodrgn = program("CRYODRGN")
    star, data = tiny_dataset / "particles.star", tm.read_dataset(tiny_dataset)
    sizes = ("-D", data.box, "--Apix", data.pixel_size_angstrom)
    run(cryodrgn, "parse_pose_star", star, "-D", data.box, "-o", tmp_path / "poses.pkl")
    run(cryodrgn, "parse_ctf_star", star, *sizes, "-o", tmp_path / "ctf.pkl")
    files = [tiny_dataset / "particles.mrcs", tmp_path / "poses.pkl", tmp_path / "ctf.pkl"]
    options = {"frames_per_movie": 4, "invert": "no", "normalise": False}
    again = tm.import_files(files, tmp_path / "again", **options)
    np.testing.assert_allclose(again.poses.rotations, data.poses.rotations, atol=1e-6)
    np.testing.assert_allclose(again.poses.shifts_angstrom, data.poses.shifts_angstrom, atol=1e-4)
    for name, values in data.ctf.columns().items():
        np.testing.assert_allclose(again.ctf.columns()[name], values, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(again.images[:], data.images[:])


def test_cryosparc_tools_load_a_selection(tiny_dataset: Path, tmp_path: Path) -> None:
    python = program("CRYOSPARC_TOOLS")
    write_mrcs(tmp_path / "J1" / "stack.mrcs", tm.read_dataset(tiny_dataset).images[:])
    records = cryosparc(tiny_dataset)
    path = save_cs(tmp_path / "J2" / "particles.cs", records)
    movies, chosen = tmp_path / "movies", tmp_path / "chosen.cs"
    tm.import_files(path, movies, frames_per_movie=4, invert="no", normalise=False)
    method = ("--method", "homogeneous", "--set", "data.checks=warn")
    succeed("reconstruct", movies, "-o", tmp_path / "run", *method)
    succeed("select", tmp_path / "run", "--where", "frame == 2", "--poses", "-o", chosen)
    code = (
        "import json, sys; from cryosparc.dataset import Dataset; d = Dataset.load(sys.argv[1]); "
        "print(json.dumps({'uid': [int(u) for u in d['uid']], 'fields': d.fields(), "
        "'pose': [[float(x) for x in p] for p in d['alignments3D/pose']]}))"
    )
    found = json.loads(run(python, "-c", code, chosen).splitlines()[-1])
    second = records[records["blob/idx"] % 4 == 1]
    assert found["uid"] == second["uid"].tolist()
    assert sorted(found["fields"]) == sorted(records.dtype.names)
    np.testing.assert_allclose(found["pose"], second["alignments3D/pose"], atol=1e-5)
