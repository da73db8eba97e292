"""Columns of the CTF in the tables of a dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from temporem.io import limits
from temporem.io.optics_groups import optics_rows
from temporem.io.star import StarTable
from temporem.physics.ctf import CTFParameters

DEFOCUS_COLUMNS = ("rlnDefocusU", "rlnDefocusV")
OPTICS_COLUMNS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
B_FACTOR_COLUMN, SCALE_COLUMN = "rlnCtfBfactor", "rlnCtfScalefactor"
CTF_COLUMNS = (
    *(*DEFOCUS_COLUMNS, "rlnDefocusAngle", "rlnPhaseShift", *OPTICS_COLUMNS),
    *(B_FACTOR_COLUMN, SCALE_COLUMN),
)
"""All of them."""


def read_ctf(particles: StarTable, optics: StarTable) -> CTFParameters | None:
    """Read the CTF; None for a table without defocus, or with one that is 0 in all images.

    RELION writes voltage and spherical aberration also where no CTF was ever estimated.
    """
    if DEFOCUS_COLUMNS[0] not in particles:
        return None
    voltage = optics.floats("rlnVoltage", limits=limits.VOLTAGE_KV)
    cs = optics.floats("rlnSphericalAberration", limits=limits.CS_MM)
    amplitude = optics.floats("rlnAmplitudeContrast")
    fraction = (amplitude >= 0) & (amplitude <= 1)
    optics.check("rlnAmplitudeContrast", fraction, "a fraction from 0 to 1")
    group = optics_rows(particles, optics)

    def angle(column: str) -> np.ndarray:
        return particles.floats(column, limits=limits.ANGLE_DEGREES, default=0)

    defocus = [
        particles.floats(column, limits=limits.DEFOCUS_ANGSTROM) for column in DEFOCUS_COLUMNS
    ]
    phase_shift = np.radians(angle("rlnPhaseShift"))
    bends = (np.abs(defocus).max(0) > 0) | (cs[group] != 0) | (np.abs(np.sin(phase_shift)) > 1e-9)
    passes = bends | (amplitude[group] > 0)
    if not passes.any():
        return None
    particles.check(DEFOCUS_COLUMNS[0], passes, "a CTF that is not 0 everywhere")
    fields = (
        *defocus,
        np.radians(angle("rlnDefocusAngle")),
        voltage[group],
        cs[group],
        amplitude[group],
        phase_shift,
    )

    def optional(column: str, bounds: limits.Limits) -> torch.Tensor | None:
        there = column in particles
        return torch.from_numpy(particles.floats(column, limits=bounds)) if there else None

    return replace(
        CTFParameters(*map(torch.from_numpy, fields)),
        b_factor_angstrom2=optional(B_FACTOR_COLUMN, limits.B_FACTOR_ANGSTROM2),
        scale=optional(SCALE_COLUMN, limits.CTF_SCALE),
    )
