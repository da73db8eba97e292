"""RELION's STAR files of particles, 3.0 to 5, as :class:`ForeignParticles`."""

from __future__ import annotations

from collections.abc import Sequence
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
from temporem.io.image_names import split_image_names
from temporem.io.number_lists import number_list
from temporem.io.optics_groups import MAGNIFICATION_COLUMNS, groups_in_use, optics_rows
from temporem.io.pose_columns import ANGLE_COLUMNS, ORIGIN_COLUMNS
from temporem.io.star import StarTable, read_star
from temporem.physics.aberrations import with_even_zernike
from temporem.physics.ctf import CTFParameters, no_ctf
from temporem.physics.poses import Poses
from temporem.physics.rotations import euler_to_rotation, origin_to_shift

_IMAGE = "rlnImageName"
_OLD_ORIGINS = ("rlnOriginX", "rlnOriginY")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV")
_PIXEL_SIZES = ("rlnImagePixelSize", "rlnPixelSize")
_LARGEST_STRETCH = 0.5


def read_relion(paths: Sequence[Path], given: Given) -> ForeignParticles:
    """Read a STAR file of particle images and find their stacks.

    Only rows and optics groups in use are looked at. Two statements of one fact are compared.

    Args:
        paths: the STAR file.
        given: what the user says of the images.

    Raises:
        TemporemError: not a STAR file of 2D particle images, or one that contradicts itself.
    """
    (path,) = paths
    blocks = read_star(path)
    particles = _particles(path, blocks)
    table = _Columns(path, particles, _optics(particles, blocks), blocks.get("general"))
    _refuse_premultiplied(table)
    sections, index, names = split_image_names(particles, lone_images=True)
    stacks = find_stacks(names, path, given.data_dir)
    notes: list[str] = []
    ctf = _ctf(table, given, notes)
    poses, in_pixels = _poses(table, notes)
    optics, optics_index, ctf, unmodelled = _aberrations(table, ctf, given)
    if "rlnMtfFileName" in table:
        notes.append("The MTF of the detector (_rlnMtfFileName) is not divided out.")
    return ForeignParticles(
        file=path,
        format=f"RELION {'3.1 or later' if 'optics' in blocks else '3.0'}",
        rows=np.arange(particles.n_rows),
        stacks=stacks,
        stack_index=index,
        sections=sections,
        pixel_size_angstrom=_pixel_size(table, given),
        box=table.floats("rlnImageSize", 0.0).astype(np.int64),
        ctf=ctf,
        poses=poses,
        poses_in_pixels=in_pixels,
        optics=optics,
        optics_index=optics_index,
        sign=np.zeros(particles.n_rows, dtype=np.int64),
        uids=None,
        columns={name: particles.texts(name) for name in particles},
        notes=notes,
        unmodelled=unmodelled,
    )


class _Columns:
    """Columns of particles, and those of their optics groups, by one name each."""

    def __init__(
        self,
        path: Path,
        particles: StarTable,
        optics: StarTable | None,
        general: StarTable | None,
    ) -> None:
        self.path = path
        self.particles = particles
        self.optics = optics
        self.general = general
        self.n = particles.n_rows
        self.group = np.zeros(self.n, dtype=np.int64)
        if optics is not None:
            self.group = optics_rows(particles, optics)

    def __contains__(self, column: str) -> bool:
        return column in self.particles or (self.optics is not None and column in self.optics)

    def floats(
        self, column: str, default: float | None = None, bounds: limits.Limits | None = None
    ) -> np.ndarray:
        """A column for every particle ``(N,)``; where both tables have it, they must agree."""
        found = []
        if self.optics is not None and column in self.optics:
            found.append(self.optics.floats(column, limits=bounds)[self.group])
        if column in self.particles:
            found.append(self.particles.floats(column, limits=bounds))
        if not found and self.general is not None and column in self.general:
            found.append(np.repeat(self.general.floats(column, limits=bounds)[:1], self.n))
        if not found:
            if default is None:
                self.particles.require(column)
            return np.full(self.n, default, dtype=np.float64)
        if len(found) == 2:
            same = np.isclose(found[0], found[1], rtol=1e-3, atol=1e-6)
            assert self.optics is not None
            self.particles.check(
                column, same, f"the value that {self.optics.where} has for its optics group"
            )
        return found[0]

    def lists(self, column: str) -> list[tuple[float, ...]]:
        """A column of lists of numbers, such as ``[0.1,2]``, of every optics group in use."""
        if self.optics is None or column not in self.optics:
            return [()] * (1 if self.optics is None else self.optics.n_rows)
        texts = self.optics.strings(column)
        values = [number_list(text) for text in texts]
        usable = np.array([value is not None for value in values])
        self.optics.check(column, usable, "a list of numbers, such as [0.1,2]")
        return [value or () for value in values]


def _particles(path: Path, blocks: dict[str, StarTable]) -> StarTable:
    """The one table of images."""
    found = [name for name, table in blocks.items() if _IMAGE in table]
    if "particles" in found:
        found = ["particles"]
    if len(found) != 1:
        listed = ", ".join("data_" + name for name in found or blocks)
        what = "several tables of images" if found else "no table with images"
        raise TemporemError(
            f"{path} has {what} ({listed})",
            expected=f"one table of particles with _{_IMAGE}",
        )
    table = blocks[found[0]]
    if table.n_rows == 0:
        raise TemporemError(f"{table.where} has no rows", expected="at least one row")
    return table


def _optics(particles: StarTable, blocks: dict[str, StarTable]) -> StarTable | None:
    """The optics groups in use; None for RELION 3.0, where particles have these columns."""
    if "optics" not in blocks:
        return None
    return groups_in_use(particles, blocks["optics"])


def _refuse_premultiplied(table: _Columns) -> None:
    column = "rlnCtfDataAreCtfPremultiplied"
    if (table.floats(column, 0) != 0).any():
        raise TemporemError(
            f"{table.particles.where}: images are multiplied by their CTF (_{column})",
            expected="images as they were recorded",
            hint="extract them again without premultiplication",
        )
    if (table.floats("rlnImageDimensionality", 2) != 2).any():
        raise TemporemError(
            f"{table.particles.where}: _rlnImageDimensionality is not 2",
            expected="2D images, not subtomograms",
        )


def _pixel_size(table: _Columns, given: Given) -> np.ndarray:
    """Å per pixel of every image, NaN where the table says nothing; two statements must agree."""
    if given.pixel_size_angstrom is not None:
        return np.full(table.n, given.pixel_size_angstrom)
    found: list[tuple[str, np.ndarray]] = [
        (column, table.floats(column, bounds=limits.PIXEL_SIZE_ANGSTROM))
        for column in _PIXEL_SIZES
        if column in table
    ]
    if "rlnDetectorPixelSize" in table and "rlnMagnification" in table:
        micrometres = table.floats("rlnDetectorPixelSize")
        size = micrometres * 1e4 / np.maximum(table.floats("rlnMagnification"), 1e-9)
        table.particles.check(
            "rlnDetectorPixelSize"
            if "rlnDetectorPixelSize" in table.particles
            else next(iter(table.particles)),
            limits.PIXEL_SIZE_ANGSTROM.hold(size),
            "a pixel size (µm) that, divided by _rlnMagnification, is "
            f"{limits.PIXEL_SIZE_ANGSTROM}",
        )
        found.append(("rlnDetectorPixelSize / _rlnMagnification", size))
    if not found:
        return np.full(table.n, np.nan)
    (first, sizes), others = found[0], found[1:]
    for name, other in others:
        if not np.allclose(sizes, other, rtol=0.01):
            row = int(np.argmax(np.abs(sizes / other - 1)))
            raise TemporemError(
                f"{table.particles.where} row {row} (counted from 0): _{first} is {sizes[row]:g} Å "
                f"and _{name} gives {other[row]:g} Å",
                expected="one pixel size",
                hint="pass --input-pixel-size with the right one",
            )
    return sizes


def _ctf(table: _Columns, given: Given, notes: list[str]) -> CTFParameters | None:
    """Parameters of the CTF, or None where there are none."""
    if given.no_ctf:
        notes.append("--ctf none: CTF columns are not used.")
        return no_ctf(table.n)
    said = {
        "rlnVoltage": given.voltage_kv,
        "rlnSphericalAberration": given.cs_mm,
        "rlnAmplitudeContrast": given.amplitude_contrast,
    }
    needed = ("rlnDefocusU", *(column for column, value in said.items() if value is None))
    if "rlnDefocusU" in table and "rlnDefocusV" not in table:
        notes.append("_rlnDefocusV is missing; defocus is taken without astigmatism.")
    missing = [column for column in needed if column not in table]
    if "rlnDefocusU" not in table:
        return None
    if missing:
        raise TemporemError(
            f"{table.particles.where} has defocus, and lacks "
            f"{' and '.join('_' + column for column in missing)}",
            expected="all parameters of the CTF",
            hint="pass --voltage, --cs and --amplitude-contrast, or --ctf none",
        )
    u = table.floats("rlnDefocusU", bounds=limits.DEFOCUS_ANGSTROM)
    v = table.floats("rlnDefocusV", bounds=limits.DEFOCUS_ANGSTROM) if "rlnDefocusV" in table else u
    amplitude = table.floats("rlnAmplitudeContrast", given.amplitude_contrast)
    if not ((amplitude >= 0) & (amplitude <= 1)).all():
        raise TemporemError(
            f"{table.particles.where}: _rlnAmplitudeContrast is not a fraction from 0 to 1"
        )
    fields = (
        u,
        v,
        np.radians(table.floats("rlnDefocusAngle", 0, limits.ANGLE_DEGREES)),
        table.floats("rlnVoltage", given.voltage_kv, limits.VOLTAGE_KV),
        table.floats("rlnSphericalAberration", given.cs_mm, limits.CS_MM),
        amplitude,
        np.radians(table.floats("rlnPhaseShift", 0, limits.ANGLE_DEGREES)),
    )
    b_factor, scale = _fall_off(table, notes)
    ctf = CTFParameters(*map(torch.from_numpy, fields))
    return replace(ctf, b_factor_angstrom2=b_factor, scale=scale)


def _fall_off(table: _Columns, notes: list[str]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """B factor and scale of the CTF of every image, or None where they change nothing."""
    b_factor = fall_off("_rlnCtfBfactor", table.floats("rlnCtfBfactor", 0), table.path, notes)
    scale = table.floats("rlnCtfScalefactor", 1, limits.CTF_SCALE)
    if (scale == 1).all():
        return b_factor, None
    notes.append(f"The CTF has scales from {scale.min():g} to {scale.max():g}.")
    return b_factor, torch.from_numpy(scale)


def _poses(table: _Columns, notes: list[str]) -> tuple[Poses | None, bool]:
    """Poses, and true where displacements are in pixels; None where angles are missing."""
    particles = table.particles
    there = [column for column in ANGLE_COLUMNS if column in particles]
    if not there:
        return None, False
    particles.require(*ANGLE_COLUMNS)
    angles = [particles.floats(c, limits=limits.ANGLE_DEGREES) for c in ANGLE_COLUMNS]
    rotations = euler_to_rotation(torch.from_numpy(np.stack(angles, axis=-1)))
    in_pixels = False
    if any(column in particles for column in ORIGIN_COLUMNS):
        particles.require(*ORIGIN_COLUMNS)
        origins = [particles.floats(column) for column in ORIGIN_COLUMNS]
    elif any(column in particles for column in _OLD_ORIGINS):
        particles.require(*_OLD_ORIGINS)
        origins, in_pixels = [particles.floats(column) for column in _OLD_ORIGINS], True
    else:
        origins = [np.zeros(table.n)] * 2
        notes.append(
            f"There are angles and no {' and '.join('_' + c for c in ORIGIN_COLUMNS)}: particles "
            "are taken to be centred."
        )
    shifts = origin_to_shift(torch.from_numpy(np.stack(origins, axis=-1)))
    return Poses(rotations, shifts), in_pixels


def _aberrations(
    table: _Columns, ctf: CTFParameters | None, given: Given
) -> tuple[list[Optics], np.ndarray, CTFParameters | None, list[Unmodelled]]:
    """Optics groups, the group of each particle, the CTF with what it can take, and the rest."""
    odd, even = table.lists("rlnOddZernike"), table.lists("rlnEvenZernike")
    numbers = {
        column: table.floats(column, default)
        for column, default in (
            *(("rlnBeamTiltX", 0.0), ("rlnBeamTiltY", 0.0)),
            *zip(MAGNIFICATION_COLUMNS, (1.0, 0.0, 0.0, 1.0), strict=True),
            ("rlnCtfDataArePhaseFlipped", 0.0),
            *(
                ("rlnSphericalAberration", given.cs_mm or 0.0),
                ("rlnVoltage", given.voltage_kv or 300),
            ),
        )
    }
    for column, neutral in zip(MAGNIFICATION_COLUMNS, (1.0, 0.0, 0.0, 1.0), strict=True):
        if (np.abs(numbers[column] - neutral) > _LARGEST_STRETCH).any():
            raise TemporemError(
                f"{table.particles.where}: _{column} is far from {neutral:g}",
                expected="a magnification matrix near 1",
            )
    # In RELION 3.0, where particles have these columns, rows of the same values are a group.
    keys = np.column_stack([table.group, *numbers.values()])
    unique, first, index = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group_of = table.group[first]
    optics = []
    for row, group in zip(unique[:, 1:].tolist(), group_of, strict=True):
        tilt_x, tilt_y, m00, m01, m10, m11, flipped, cs, voltage = row
        matrix = ((m00, m01), (m10, m11))
        optics.append(Optics(odd[group], (tilt_x, tilt_y), matrix, bool(flipped), cs, voltage))
    unmodelled: list[Unmodelled] = []
    if ctf is not None and any(any(c) for c in even):
        parts, largest = {}, dict[int, float]()
        for group in range(len(even)):
            rows = torch.from_numpy(np.flatnonzero(table.group == group))
            parts[group], rest = with_even_zernike(ctf[rows], even[group])
            for power, amount in rest.items():
                largest[power] = max(amount, largest.get(power, 0.0))
        ctf = _merged(ctf, parts, table.group)
        unmodelled += [
            Unmodelled("rlnEvenZernike", f"symmetric aberrations in |k|^{power}", amount, power)
            for power, amount in sorted(largest.items())
        ]
    return optics, index.reshape(-1), ctf, unmodelled


def _merged(
    ctf: CTFParameters, parts: dict[int, CTFParameters], group: np.ndarray
) -> CTFParameters:
    """Parameters of all rows from those of each group."""
    fields = {}
    for name, values in ctf.columns().items():
        whole = values.clone().double()
        for number, part in parts.items():
            whole[torch.from_numpy(group == number)] = getattr(part, name)
        fields[name] = whole
    return CTFParameters(**fields)
