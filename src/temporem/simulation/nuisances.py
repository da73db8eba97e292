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
    """

    background: Tensor
    gradient: Tensor
    scale: Tensor
    junk: Tensor
    defocus_error_angstrom: Tensor

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
        values = {column: torch.from_numpy(table.floats(column)) for column in _COLUMNS}
        x, y = values["temporemGradientX"], values["temporemGradientY"]
        return cls(
            background=values["temporemBackground"],
            gradient=torch.stack([x, y], dim=1),
            scale=values["temporemScale"],
            junk=values["temporemJunk"] != 0,
            defocus_error_angstrom=values["temporemDefocusError"],
        )
