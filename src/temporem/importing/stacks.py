"""Bare image stacks, and the poses, CTF and movies that come in files beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.importing.movies import csv_rows
from temporem.importing.table import ForeignParticles, Given, Optics
from temporem.io import limits
from temporem.io.mrc import open_stack
from temporem.io.npz import NpzFile
from temporem.io.restricted_pickle import read_arrays
from temporem.io.signatures import refuse_foreign
from temporem.io.star import StarTable
from temporem.physics.ctf import CTFParameters, no_ctf
from temporem.physics.poses import Poses
from temporem.physics.rotations import euler_to_rotation, origin_to_shift

STACK_SUFFIXES = (".mrcs", ".mrc", ".st", ".map")

_MOST_IMAGES = 10**7  # a header may claim any number, and a sparse file holds it
_ANGLES = ("rot", "tilt", "psi")
_ORIGINS = ("origin_x", "origin_y")
_LARGEST_DIFFERENCE = 1e-3  # of two statements of one fact, relative


def read_stacks(paths: Sequence[Path], given: Given) -> ForeignParticles:
    """List the images of stacks, in order; a folder stands for all stacks in it.

    Raises:
        TemporemError: a folder without stacks, or a file that is no stack of images.
    """
    files = [file for path in paths for file in _stacks_in(path)]
    known: set[Path] = set()
    for file in files:
        if file.resolve() in known:
            raise TemporemError(f"{file} is named twice", expected="each stack once")
        known.add(file.resolve())
    stacks = [open_stack(file) for file in files]
    for stack in stacks:
        if stack.space_group and len(set(stack.shape)) == 1:
            raise TemporemError(
                f"{stack.path} is a volume of {stack.shape[0]}³ voxels", expected="2D images"
            )
    counts = [stack.shape[0] for stack in stacks]
    n = sum(counts)
    if n > _MOST_IMAGES:
        raise TemporemError(
            f"{files[0]} and others have {n:,} images"
            if len(files) > 1
            else f"{files[0]} has {n:,} images",
            expected=f"at most {_MOST_IMAGES:,}",
        )
    sections = np.concatenate([np.arange(count) for count in counts])
    size = np.nan if given.pixel_size_angstrom is None else given.pixel_size_angstrom
    return ForeignParticles(
        file=files[0],
        format="image stacks",
        rows=sections,
        stacks=files,
        stack_index=np.repeat(np.arange(len(files)), counts),
        sections=sections,
        pixel_size_angstrom=np.full(n, size),
        box=np.zeros(n, dtype=np.int64),
        ctf=no_ctf(n) if given.no_ctf else None,
        poses=None,
        poses_in_pixels=False,
        optics=[Optics()],
        optics_index=np.zeros(n, dtype=np.int64),
        sign=np.zeros(n, dtype=np.int64),
        uids=None,
        columns={},
    )


def with_csv(particles: ForeignParticles, table: StarTable, given: Given) -> ForeignParticles:
    """Add what a CSV file says of every image: poses and CTF, in RELION's units and signs.

    Columns: ``image``; ``rot, tilt, psi`` (°) with ``origin_x, origin_y`` (Å, 0 if absent);
    ``defocus_u, defocus_v`` (Å, the first if absent), ``defocus_angle`` and ``phase_shift`` (°).

    Raises:
        TemporemError: an image without a row, a value that is no number, or a fact that the table
            of particles states too.
    """
    rows = csv_rows(particles, table)
    if any(column in table for column in _ANGLES):
        _require_new(particles.poses is None, "poses", table.where, particles)
        table.require(*_ANGLES)
        angles = [table.floats(c, limits=limits.ANGLE_DEGREES)[rows] for c in _ANGLES]
        origins = [table.floats(c, default=0.0)[rows] for c in _ORIGINS]
        poses = Poses(
            euler_to_rotation(torch.from_numpy(np.stack(angles, axis=-1))),
            origin_to_shift(torch.from_numpy(np.stack(origins, axis=-1))),
        )
        particles = replace(particles, poses=poses, poses_in_pixels=False)
    if "defocus_u" in table and not given.no_ctf:
        _require_new(particles.ctf is None, "CTF parameters", table.where, particles)
        microscope = (given.voltage_kv, given.cs_mm, given.amplitude_contrast)
        if None in microscope:
            raise TemporemError(
                f"{table.where} has defocus, and nothing tells voltage, spherical aberration and "
                "amplitude contrast",
                hint="pass --voltage, --cs and --amplitude-contrast, or --ctf none",
            )
        u = table.floats("defocus_u", limits=limits.DEFOCUS_ANGSTROM)
        v = table.floats("defocus_v", limits=limits.DEFOCUS_ANGSTROM) if "defocus_v" in table else u
        angle = table.floats("defocus_angle", default=0.0, limits=limits.ANGLE_DEGREES)
        shift = table.floats("phase_shift", default=0.0, limits=limits.ANGLE_DEGREES)
        kv, cs, w = (np.full(len(rows), value) for value in microscope)
        fields = (u[rows], v[rows], np.radians(angle)[rows], kv, cs, w, np.radians(shift)[rows])
        particles = replace(particles, ctf=CTFParameters(*map(torch.from_numpy, fields)))
    return particles


def with_cryodrgn(particles: ForeignParticles, path: Path, given: Given) -> ForeignParticles:
    """Add poses or CTF parameters of cryoDRGN, one row for every image, in order.

    Poses are rotations ``(N, 3, 3)`` and shifts ``(N, 2)`` in parts of the box. CTF parameters are
    ``(N, 9)``: box, Å per pixel, defocus U, V (Å), angle (°), kV, mm, amplitude contrast, phase
    shift (°). A pickle is read without running it; an ``.npz`` file has the arrays ``rotations``
    and ``translations``, or ``ctf``.

    Raises:
        TemporemError: other arrays, or poses or CTF that differ from those of the particles.
    """
    n = len(particles)
    arrays = _npz_arrays(path) if path.suffix == ".npz" else read_arrays(path)
    shapes = [array.shape for array in arrays]
    if shapes == [(n, 9)]:
        return _with_cryodrgn_ctf(particles, arrays[0].astype(np.float64), path, given)
    if shapes in ([(n, 3, 3)], [(n, 3, 3), (n, 2)]):
        return _with_cryodrgn_poses(particles, [a.astype(np.float64) for a in arrays], path)
    raise TemporemError(
        f"{path} holds arrays of shapes {', '.join(map(str, shapes))}",
        expected=f"poses ({n}, 3, 3) and ({n}, 2), or CTF parameters ({n}, 9), one row an image",
    )


def _with_cryodrgn_ctf(
    particles: ForeignParticles, table: np.ndarray, path: Path, given: Given
) -> ForeignParticles:
    box, size, u, v, angle, voltage, cs, amplitude, shift = table.T
    for values, bounds in (
        (size, limits.PIXEL_SIZE_ANGSTROM),
        (u, limits.DEFOCUS_ANGSTROM),
        (v, limits.DEFOCUS_ANGSTROM),
        (angle, limits.ANGLE_DEGREES),
        (voltage, limits.VOLTAGE_KV),
        (cs, limits.CS_MM),
        (amplitude, limits.Limits(0, 1, "amplitude contrast")),
        (shift, limits.ANGLE_DEGREES),
    ):
        particles.check(bounds.hold(values), f"{path} has an impossible value", str(bounds))
    known = particles.pixel_size_angstrom
    _compare(particles, known, size, path, "a pixel size", np.isfinite(known))
    if given.no_ctf:
        return particles
    fields = (u, v, np.radians(angle), voltage, cs, amplitude, np.radians(shift))
    ctf = CTFParameters(*(torch.from_numpy(values.copy()) for values in fields))
    if particles.ctf is not None:
        _compare(particles, particles.ctf.defocus_u_angstrom.numpy(), u, path, "defocus")
    claimed = np.where(particles.box > 0, particles.box, box.clip(0, 1e6).astype(np.int64))
    pixel = np.where(np.isfinite(known), known, size)
    return replace(particles, ctf=ctf, box=claimed, pixel_size_angstrom=pixel)


def _with_cryodrgn_poses(
    particles: ForeignParticles, arrays: list[np.ndarray], path: Path
) -> ForeignParticles:
    rotations = arrays[0]
    good = np.isfinite(rotations).all((1, 2))
    product = np.where(good[:, None, None], rotations, 0) @ np.swapaxes(rotations, 1, 2)
    with np.errstate(invalid="ignore"):
        good &= (np.abs(product - np.eye(3)) < 1e-3).all((1, 2))
        good &= np.linalg.det(np.where(good[:, None, None], rotations, 0)) > 0
    particles.check(np.asarray(good), f"{path} has a matrix that is no rotation", "rotations")
    if particles.poses is not None:
        known = particles.poses.rotations.numpy()
        near = (np.abs(known - rotations) < 0.02).all((1, 2))
        particles.check(
            np.asarray(near), f"{path} has another orientation", "one statement of the poses"
        )
        return particles
    parts = arrays[1] if len(arrays) == 2 else np.zeros((len(particles), 2))
    inside = np.asarray((np.abs(parts) <= 0.5).all(axis=1))
    particles.check(inside, f"{path} has a shift beyond the image", "parts of the box")
    box = np.array([open_stack(stack).shape[-1] for stack in particles.stacks])
    origins = parts * box[particles.stack_index][:, None]
    poses = Poses(torch.from_numpy(rotations.copy()), origin_to_shift(torch.from_numpy(origins)))
    return replace(particles, poses=poses, poses_in_pixels=True)


def _compare(
    particles: ForeignParticles,
    known: np.ndarray,
    new: np.ndarray,
    path: Path,
    what: str,
    rows: np.ndarray | None = None,
) -> None:
    with np.errstate(invalid="ignore"):
        same = np.isclose(known, new, rtol=_LARGEST_DIFFERENCE, atol=1e-6)
    if rows is not None:
        same |= ~rows
    if not same.all():
        row = int(np.argmin(same))
        particles.check(same, f"{what} of {known[row]:g}, and {path} has {new[row]:g}", "one value")


def _npz_arrays(path: Path) -> list[np.ndarray]:
    file = NpzFile(path, what="an .npz file of poses or CTF parameters", hint="see docs/formats.md")
    if "ctf" in file.names:
        return [file.numbers("ctf", "float64", None, 9)]
    shifts = ["translations"] if "translations" in file.names else []
    rotations = file.numbers("rotations", "float64", None, 3, 3)
    return [rotations, *(file.numbers(name, "float64", None, 2) for name in shifts)]


def _require_new(is_new: bool, what: str, where: str, particles: ForeignParticles) -> None:
    if not is_new:
        raise TemporemError(
            f"{where} has {what}, and so has {particles.file}",
            expected="one statement of a fact",
            hint="remove the columns from the CSV file",
        )


def _stacks_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    tables = sorted(p.name for p in path.iterdir() if p.suffix in (".star", ".cs"))
    if tables:
        raise TemporemError(
            f"{path} has tables of images: {', '.join(tables[:5])}",
            expected="a table, which finds its stacks by itself, or a folder of stacks alone",
        )
    found = [p for p in path.iterdir() if p.suffix in STACK_SUFFIXES and p.is_file()]
    if not found:
        expected = f"files that end in {', '.join(STACK_SUFFIXES)}"
        refuse_foreign(path, expected=expected)
        raise TemporemError(f"{path} has no stacks", expected=expected)
    return sorted(found, key=lambda p: [int(t) if t.isdecimal() else t for t in _parts(p.name)])


def _parts(name: str) -> list[str]:
    """Text and numbers by turns, so that stack2 comes before stack10."""
    return re.split(r"([0-9]+)", name)
