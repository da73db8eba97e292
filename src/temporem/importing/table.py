"""The one form that tables of other programs take before their images are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.io import limits
from temporem.physics.ctf import CTFParameters
from temporem.physics.poses import Poses


@dataclass(frozen=True)
class Optics:
    """Changes to the images of an optics group beyond the CTF's own parameters.

    Attributes:
        odd_zernike: coefficients of RELION's ``rlnOddZernike``, radians.
        beam_tilt_mrad: beam tilt in x and y.
        magnification: matrix M from the image's nominal frequencies to the true ones.
        phase_flipped: the images were multiplied by the sign of their CTF.
        cs_mm: spherical aberration that the beam tilt belongs to.
        voltage_kv: acceleration voltage.
    """

    odd_zernike: tuple[float, ...] = ()
    beam_tilt_mrad: tuple[float, float] = (0.0, 0.0)
    magnification: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    phase_flipped: bool = False
    cs_mm: float = 0.0
    voltage_kv: float = 300.0

    @property
    def turns_phases(self) -> bool:
        """True where antisymmetric aberrations are recorded."""
        return any(self.odd_zernike) or any(self.beam_tilt_mrad)

    @property
    def stretches(self) -> bool:
        """True where an anisotropic magnification is recorded."""
        return self.magnification != ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class Given:
    """Facts that the user states about the images, in the place of a table.

    Attributes:
        data_dir: folder that names of stacks are relative to.
        pixel_size_angstrom: Å per pixel of the images as they are.
        voltage_kv: acceleration voltage, where the table has none.
        cs_mm: spherical aberration, where the table has none.
        amplitude_contrast: fraction, where the table has none.
        no_ctf: the images have no CTF: it is 1 at all frequencies.
    """

    data_dir: Path | None = None
    pixel_size_angstrom: float | None = None
    voltage_kv: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
    no_ctf: bool = False

    def checked(self) -> Given:
        """Return itself, if all numbers are possible.

        Raises:
            TemporemError: one is not.
        """
        for option, value, bounds in (
            ("--input-pixel-size", self.pixel_size_angstrom, limits.PIXEL_SIZE_ANGSTROM),
            ("--voltage", self.voltage_kv, limits.VOLTAGE_KV),
            ("--cs", self.cs_mm, limits.CS_MM),
            ("--amplitude-contrast", self.amplitude_contrast, _FRACTION),
        ):
            if value is not None and not bounds.hold(np.array(value)):
                raise TemporemError(f"{option} {value:g}", expected=f"a number from {bounds}")
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise TemporemError(f"--datadir {self.data_dir} is not a folder")
        return self


_FRACTION = limits.Limits(0, 1, "(a fraction)")


def fall_off(
    column: str, b_factor: np.ndarray, file: Path, notes: list[str]
) -> torch.Tensor | None:
    """B factors ``exp(−B s²/4)`` of the CTF of N images, Å² ``(N,)``; None where all are 0.

    Negative ones are fall-offs too: no microscope makes the signal rise with frequency.

    Args:
        column: where they stand, for messages.
        b_factor: as they stand there, ``(N,)``.
        file: the table, for messages.
        notes: sentences for the user are added.

    Raises:
        TemporemError: they have both signs, or one is beyond all sense.
    """
    if (b_factor < 0).any():
        if (b_factor > 0).any():
            raise TemporemError(
                f"{file}: {column} is negative and positive ({b_factor.min():g} to "
                f"{b_factor.max():g} Å²)",
                expected="one sign: RELION's, or that of Warp and M",
            )
        notes.append(
            f"{column} is negative, as Warp and M write −4 times the dose. It is taken as a "
            "fall-off of the same size."
        )
        b_factor = -b_factor
    if not limits.B_FACTOR_ANGSTROM2.hold(b_factor).all():
        raise TemporemError(
            f"{file}: {column} reaches {b_factor.max():g} Å²",
            expected=f"a number from {limits.B_FACTOR_ANGSTROM2}",
        )
    if not b_factor.any():
        return None
    notes.append(f"The CTF falls off by B factors up to {b_factor.max():g} Å² ({column}).")
    return torch.from_numpy(b_factor)


@dataclass(frozen=True)
class Unmodelled:
    """Column that changes image formation and that no correction can undo.

    Attributes:
        column: its name.
        what: what it is, and how much of it there is.
        effect: largest relative change of a Fourier coefficient by it, as a function of the
            finest spacing in Å that is kept: ``amount · spacing^(−power)``.
        amount: see effect.
        power: see effect.
    """

    column: str
    what: str
    amount: float
    power: int = 0

    def effect(self, spacing_angstrom: float) -> float:
        """Relative change at a spacing, which grows as it gets finer."""
        return self.amount * spacing_angstrom**-self.power


@dataclass(frozen=True, eq=False)
class ForeignParticles:
    """N particle images as another program describes them; no pixel is read yet.

    Attributes:
        file: the table, or the first stack.
        format: its format, for a reader: ``RELION 3.1``.
        rows: row of the table, counted from 0, ``(N,)``.
        stacks: files of images.
        stack_index: which one holds each image, ``(N,)``.
        sections: its number there, from 0, ``(N,)``.
        pixel_size_angstrom: Å per pixel, ``(N,)``; NaN where the table says nothing.
        box: side in pixels that the table claims, ``(N,)``; 0 where it says nothing.
        ctf: imaging parameters, or None.
        poses: orientations and displacements, or None.
        poses_in_pixels: displacements are in pixels of the images, not yet in Å.
        optics: optics groups.
        optics_index: optics group of each image, ``(N,)``.
        sign: −1 where the table says that the molecule is dark, 1 where bright, 0 if it is silent.
        uids: cryoSPARC's number of each particle, or None.
        columns: texts ``(N,)`` by name, from which movies may be made.
        notes: sentences on what was assumed or left out.
        unmodelled: columns that cannot be applied.
    """

    file: Path
    format: str
    rows: np.ndarray
    stacks: Sequence[Path]
    stack_index: np.ndarray
    sections: np.ndarray
    pixel_size_angstrom: np.ndarray
    box: np.ndarray
    ctf: CTFParameters | None
    poses: Poses | None
    poses_in_pixels: bool
    optics: Sequence[Optics]
    optics_index: np.ndarray
    sign: np.ndarray
    uids: np.ndarray | None
    columns: Mapping[str, np.ndarray]
    notes: Sequence[str] = field(default_factory=tuple)
    unmodelled: Sequence[Unmodelled] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.rows)

    def check(self, valid: np.ndarray, found: str, expected: str, hint: str | None = None) -> None:
        """Raise a TemporemError about the first image where ``valid (N,)`` is false."""
        if not valid.all():
            first = int(np.argmin(valid))
            raise TemporemError(
                f"{self.file} row {self.rows[first]} (counted from 0): {found}",
                expected=expected,
                hint=hint,
            )
