"""The sign of the contrast of real particles, which is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helpers.shared import SHARED
from temporem.checks import Evidence, Verdict
from temporem.checks.contrast import Contrast
from temporem.frames.dataset import Dataset, group_movies
from temporem.frames.settings import DataSettings
from temporem.io.mrc import open_stack
from temporem.io.pose_columns import poses_from_table
from temporem.io.star import StarTable, read_star
from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses

RELION = SHARED / "specimens/relion"


def particles(star: str, stack: str, pixel_size_angstrom: float, movie: str) -> Dataset:
    """Particles of a RELION 3.0 file, every value of ``movie`` a movie."""
    table = next(iter(read_star(RELION / star).values()))
    n = table.n_rows
    sections = [int(name.split("@")[0]) - 1 for name in table.strings("rlnImageName")]
    fields = (
        *(table.floats(f"rlnDefocus{axis}") for axis in "UV"),
        np.radians(table.floats("rlnDefocusAngle")),
        *(table.floats(f"rln{name}") for name in ("Voltage", "SphericalAberration")),
        *(table.floats("rlnAmplitudeContrast"), np.zeros(n)),
    )
    posed = "rlnAngleRot" in table
    names = table.strings(movie)
    numbers = np.arange(1, n + 1)
    return Dataset(
        path=Path(star),
        images=open_stack(RELION / stack).read()[sections].astype(np.float32),
        pixel_size_angstrom=pixel_size_angstrom,
        poses=_poses(table) if posed else Poses.identity(n),
        ctf=CTFParameters(*map(torch.from_numpy, fields)),
        particle_names=names,
        frame_numbers=numbers,
        times_seconds=np.full(n, np.nan),
        movies=group_movies(names, numbers),
        has_poses=posed,
    )


def _poses(table: StarTable) -> Poses:
    angles = {name: table.floats(name) for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")}
    zero = np.zeros(table.n_rows)
    centred = {"rlnOriginXAngst": zero, "rlnOriginYAngst": zero}
    return poses_from_table(StarTable({**angles, **centred}, where="star"), farthest_angstrom=1)


def verdict(data: Dataset, sign: int) -> tuple[Verdict, str]:
    signed = replace(data, images=sign * np.asarray(data.images))
    (finding,) = Contrast().look(Evidence.of(signed, DataSettings()))
    return finding.verdict, finding.evidence


def test_ribosomes_of_a_tomogram_are_bright_and_their_negative_is_refused() -> None:
    data = particles(
        "sta_testing_bin8.star",
        "ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs",
        14.56,
        "rlnGroupName",
    )
    assert verdict(data, 1)[0] == Verdict.GOOD
    assert verdict(data, -1)[0] == Verdict.REFUSED


def test_seven_ribosomes_of_empiar_10076_are_dark_as_their_cs_file_says() -> None:
    data = particles("empiar_10076_7.star", "empiar_10076_7.mrc", 1.31, "rlnMicrographName")
    signs = np.load(SHARED / "specimens/cryosparc/empiar_10076_7.cs")["blob/sign"]
    assert (signs == -1).all()
    found, evidence = verdict(data, 1)
    assert found in (Verdict.WARNING, Verdict.REFUSED)
    assert "dark" in evidence
    assert verdict(data, -1)[0] == Verdict.GOOD
