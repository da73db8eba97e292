"""Defects of every frame of a simulation, as its truth keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.io.star import StarTable

_COLUMNS = {
    "temporemBackground": ("background", None),
    "temporemGradientX": ("gradient", 0),
    "temporemGradientY": ("gradient", 1),
    "temporemScale": ("scale", None),
    "temporemJunk": ("junk", None),
    "temporemDefocusError": ("defocus_error_angstrom", None),
    "temporemTransmission": ("transmission", None),
    "temporemDamage": ("b_factor_angstrom2", None),
    "temporemTurnX": ("turn_degrees", 0),
    "temporemTurnY": ("turn_degrees", 1),
    "temporemTurnZ": ("turn_degrees", 2),
    "temporemMoveX": ("move_angstrom", 0),
    "temporemMoveY": ("move_angstrom", 1),
}


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Defects of N frames.

    Attributes:
        background: level of the background, in standard deviations of the noise, ``(N,)``.
        gradient: rise of the background from edge to edge along x and y, in the same unit,
            ``(N, 2)``.
        scale: intensity of the molecule, 1 without defects, ``(N,)``.
        junk: frames that do not show the molecule, bool ``(N,)``.
        defocus_error_angstrom: written less true defocus, ``(N,)``.
        transmission: electrons that the liquid lets through, relative to a movie of the mean
            thickness, ``(N,)``.
        b_factor_angstrom2: B-factor of the radiation damage, ``(N,)``.
        turn_degrees: rotation vector by which the molecule turns during the exposure, ``(N, 3)``.
        move_angstrom: its path in x and y meanwhile, ``(N, 2)``.
    """

    background: Tensor
    gradient: Tensor
    scale: Tensor
    junk: Tensor
    defocus_error_angstrom: Tensor
    transmission: Tensor
    b_factor_angstrom2: Tensor
    turn_degrees: Tensor
    move_angstrom: Tensor

    def __getitem__(self, rows: Tensor | np.ndarray) -> Nuisances:
        return Nuisances(**{name: values[rows] for name, values in vars(self).items()})

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of ``truth.star``; junk is 1."""
        found = {}
        for column, (name, axis) in _COLUMNS.items():
            values: Tensor = getattr(self, name)
            values = values if axis is None else values[:, axis]
            found[column] = values.numpy().astype(int) if name == "junk" else values.numpy()
        return found

    def against(self, corrections: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Pair what a run corrected, by columns of its table, with the truth: ``(N, 2)`` by name.

        ``junk`` pairs the probability that a frame is good with 1 for junk.
        """
        truth, pairs = self.columns(), {}
        # Movies are brought to one noise level, which falls with the root of the transmission.
        truth["temporemScale"] = truth["temporemScale"] * self.transmission.sqrt().numpy()
        for column, (name, axis) in _COLUMNS.items():
            found = corrections.get("temporemGood" if name == "junk" else column)
            if found is not None:
                key = name if axis is None else f"{name}_{'xy'[axis]}"
                pairs[key] = np.stack([found, truth[column]], axis=1)
        return pairs

    @classmethod
    def from_table(cls, table: StarTable) -> Nuisances | None:
        """Read the columns; None for a simulation without defects.

        Raises:
            TemporemError: some of the columns are missing, or a value is not a finite number.
        """
        if not any(column in table for column in _COLUMNS):
            return None
        values: dict[str, Tensor] = {}
        for column, (name, axis) in _COLUMNS.items():
            column_values = torch.from_numpy(table.floats(column))
            if axis is None:
                values[name] = column_values
            else:  # axes of one name stand in their order
                before = values.get(name, column_values.new_zeros(len(column_values), 0))
                values[name] = torch.cat([before, column_values[:, None]], dim=1)
        return cls(**values | {"junk": values["junk"] != 0})
