"""cryoSPARC's ``.cs`` files of particles as :class:`ForeignParticles`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.importing.locating import find_stacks
from temporem.importing.table import (
    ForeignParticles,
    Given,
    Optics,
    Unmodelled,
    fall_off,
)
from temporem.io import limits
from temporem.io.cryosparc import CsTable, read_cs
from temporem.physics.ctf import CTFParameters, electron_wavelength, no_ctf
from temporem.physics.poses import Poses
from temporem.physics.rotations import origin_to_shift, rotation_of_vector

_CTF = (
    *("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad"),
    *("ctf/accel_kv", "ctf/cs_mm", "ctf/amp_contrast", "ctf/phase_shift_rad"),
)


def read_cryosparc(paths: Sequence[Path], given: Given) -> ForeignParticles:
    """Read a particle file and its passthrough files, and find the stacks.

    Args:
        paths: the ``.cs`` file of the particles, then files with more columns of the same uids.
        given: what the user says of the images.

    Raises:
        TemporemError: not such a file, columns are missing, or a value is impossible.
    """
    table = read_cs(paths[0])
    for path in paths[1:]:
        table = table.joined(read_cs(path))
    table.require("uid", "blob/path", "blob/idx", "blob/shape", "blob/psize_A")
    names, index = np.unique(table.texts("blob/path"), return_inverse=True)
    shape = table.integers("blob/shape", 2).astype(np.int64)
    table.check("blob/shape", (shape[:, 0] == shape[:, 1]) & (shape[:, 0] > 0), "a square image")
    sizes = table.numbers("blob/psize_A")
    table.check(
        "blob/psize_A",
        limits.PIXEL_SIZE_ANGSTROM.hold(sizes),
        f"a pixel size of {limits.PIXEL_SIZE_ANGSTROM}",
    )
    if given.pixel_size_angstrom is not None:
        sizes = np.full(len(table), given.pixel_size_angstrom)
    notes: list[str] = []
    poses = _poses(table, notes)
    return ForeignParticles(
        file=paths[0],
        format="cryoSPARC",
        rows=np.arange(len(table)),
        stacks=find_stacks(names.tolist(), paths[0], given.data_dir),
        stack_index=index,
        sections=table.integers("blob/idx").astype(np.int64),
        pixel_size_angstrom=sizes,
        box=shape[:, 0],
        ctf=no_ctf(len(table)) if given.no_ctf else _ctf(table, notes),
        poses=poses,
        poses_in_pixels=False,
        optics=[Optics()],
        optics_index=np.zeros(len(table), dtype=np.int64),
        sign=_sign(table),
        uids=table.integers("uid").astype(np.uint64),
        columns=_TextColumns(table),
        notes=notes,
        unmodelled=_unmodelled(table),
    )


class _TextColumns(Mapping[str, np.ndarray]):
    """Scalar columns as texts, made when they are asked for."""

    def __init__(self, table: CsTable) -> None:
        self._table = table

    def __getitem__(self, field: str) -> np.ndarray:
        if field not in set(self):
            raise KeyError(field)
        try:
            return self._table.texts(field)
        except TemporemError:
            return self._table.numbers(field).astype(np.dtypes.StringDType())

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.scalar_fields)

    def __len__(self) -> int:
        return len(self._table.scalar_fields)


def _sign(table: CsTable) -> np.ndarray:
    if "blob/sign" not in table:
        return np.zeros(len(table), dtype=np.int64)
    sign = table.numbers("blob/sign")
    table.check("blob/sign", np.abs(sign) == 1, "1 or -1")
    return sign.astype(np.int64)


def _ctf(table: CsTable, notes: list[str]) -> CTFParameters | None:
    if "ctf/df1_A" not in table:
        return None
    table.require(*_CTF)
    u, v, angle, voltage, cs, amplitude, shift = (table.numbers(field) for field in _CTF)
    for field, values, bounds in (
        ("ctf/df1_A", u, limits.DEFOCUS_ANGSTROM),
        ("ctf/df2_A", v, limits.DEFOCUS_ANGSTROM),
        ("ctf/accel_kv", voltage, limits.VOLTAGE_KV),
        ("ctf/cs_mm", cs, limits.CS_MM),
    ):
        table.check(field, bounds.hold(values), f"a number from {bounds}")
    table.check("ctf/amp_contrast", (amplitude >= 0) & (amplitude <= 1), "a fraction from 0 to 1")
    for field, values in (("ctf/df_angle_rad", angle), ("ctf/phase_shift_rad", shift)):
        table.check(field, np.abs(values) <= 1e4, "an angle in radians")
    ctf = CTFParameters(*map(torch.from_numpy, (u, v, angle, voltage, cs, amplitude, shift)))
    if "ctf/bfactor" not in table:
        return ctf
    b_factor = fall_off("ctf/bfactor", table.numbers("ctf/bfactor"), table.path, notes)
    return replace(ctf, b_factor_angstrom2=b_factor)


def _poses(table: CsTable, notes: list[str]) -> Poses | None:
    """Poses of a refinement: a rotation vector that turns the camera, and a shift in pixels."""
    if "alignments3D/pose" not in table:
        if any(field.startswith("alignments_class") for field in table.fields):
            notes.append("Poses of several classes are not read: import the job of one class.")
        elif "alignments2D/pose" in table:
            notes.append("Poses of a 2D classification are not used.")
        return None
    table.require("alignments3D/pose", "alignments3D/shift", "alignments3D/psize_A")
    vectors = torch.from_numpy(table.numbers("alignments3D/pose", 3))
    table.check("alignments3D/pose", (vectors.norm(dim=1) < 1e3).numpy(), "a rotation vector")
    size = table.numbers("alignments3D/psize_A")
    table.check("alignments3D/psize_A", limits.PIXEL_SIZE_ANGSTROM.hold(size), "a pixel size in Å")
    origins = table.numbers("alignments3D/shift", 2) * size[:, None]
    # Its matrix maps camera to molecule coordinates, ours the other way round.
    return Poses(rotation_of_vector(vectors).mT, origin_to_shift(torch.from_numpy(origins)))


def _unmodelled(table: CsTable) -> list[Unmodelled]:
    """Columns that change image formation, with an upper bound of their effect.

    Sizes follow Uhlemann and Haider (1998). A wave aberration a of order n and symmetry m turns
    phases by ``2π/λ · a/c · (λ|k|)ⁿ``. Here c is 1 for the shift, axial coma (tilt) and star
    aberration (the first half of tetra), 3 for trefoil and 4 for tetrafoil. A magnification of
    1 + a moves the edge of the image. Signs and axes against RELION's are not documented, so none
    is applied.
    """
    voltage = table.numbers("ctf/accel_kv") if "ctf/accel_kv" in table else np.array([300.0])
    wavelength = float(electron_wavelength(torch.from_numpy(voltage)).max())
    radius = float(
        (table.numbers("blob/psize_A") * table.integers("blob/shape", 2)[:, 0]).max() / 2
    )

    def length(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(values, axis=-1)

    def stretch(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(values.reshape(-1, 2, 2), ord=2, axis=(1, 2))

    def fourth(values: np.ndarray) -> np.ndarray:
        return length(values[:, :2]) + length(values[:, 2:]) / 4

    found = []
    for field, width, size, factor, power, what in (
        ("ctf/tilt_A", 2, length, wavelength**2, 3, "beam tilt"),
        ("ctf/trefoil_A", 2, length, wavelength**2 / 3, 3, "trefoil"),
        ("ctf/tetra_A", 4, fourth, wavelength**3, 4, "tetrafoil"),
        ("ctf/shift_A", 2, length, 1.0, 1, "a shift of its exposure group"),
        ("ctf/anisomag", 4, stretch, radius, 1, "anisotropic magnification"),
    ):
        if field in table:
            values = table.numbers(field, width)
            largest = float(size(values).max())
            if largest > 0:
                what = f"{what}, up to {np.abs(values).max():g}"
                amount = 2 * math.pi * factor * largest
                found.append(Unmodelled(field, what, amount, power))
    if "ctf/scale" in table:
        scale = table.numbers("ctf/scale")
        middle = float(np.median(scale))
        spread = float(np.abs(scale - middle).max()) / max(abs(middle), 1e-9)
        if spread > 0:
            what = f"a scale of the CTF that differs between images by up to {spread:.0%}"
            found.append(Unmodelled("ctf/scale", what, spread))
    return found
