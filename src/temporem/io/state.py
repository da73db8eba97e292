"""Stored states of algorithms: their parts, and checks for reading them."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from temporem.errors import TemporemError

_LARGEST = sys.float_info.max
_ANEW = "start another run, or this one anew with --overwrite"


@dataclass(frozen=True)
class Parts:
    """Tensors by name and a JSON document of a state, with its kind.

    Attributes:
        kind: name of the kind of state.
        tensors: any dtype, any device.
        document: JSON values.
        source: file that they were read from, for messages.
    """

    kind: str
    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any] = field(default_factory=dict)
    source: str = "a state"

    def tensor(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of a shape, in which −1 is any length, and of a dtype if one is given.

        Raises:
            TemporemError: there is none, or one of another shape or dtype.
        """
        found = self.tensors.get(name)
        if found is None:
            raise self.damaged(f"{name} is missing")
        fits = len(found.shape) == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise self.damaged(f"{name} is {'x'.join(map(str, found.shape)) or 'a scalar'}")
        if dtype is not None and found.dtype != dtype:
            raise self.damaged(f"{name} is {found.dtype}")
        return found

    def integer(self, name: str, *, least: int = 0, most: float = math.inf) -> int:
        """A whole number of the document.

        Raises:
            TemporemError: there is none, or it is out of range.
        """
        value = self.document.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.damaged(f"{name} is {str(value)[:40]}")
        return value

    def number(self, name: str, *, least: float = -math.inf) -> float:
        """A finite number of the document.

        Raises:
            TemporemError: there is none, or it is out of range.
        """
        value = self.document.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.damaged(f"{name} is {str(value)[:40]}")
        if not -_LARGEST <= value <= _LARGEST or value < least:  # a NaN is not, either
            raise self.damaged(f"{name} is {str(value)[:40]}")
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false of the document.

        Raises:
            TemporemError: it is neither.
        """
        value = self.document.get(name)
        if not isinstance(value, bool):
            raise self.damaged(f"{name} is {str(value)[:40]}")
        return value

    def text(self, name: str, *choices: str) -> str:
        """One of some words of the document.

        Raises:
            TemporemError: it is none of them.
        """
        value = self.document.get(name)
        if value not in choices:
            raise self.damaged(f"{name} is {str(value)[:40]}")
        return str(value)

    def require_kind(self, kind: str) -> None:
        """Raise a TemporemError if the parts belong to another kind of state."""
        if self.kind != kind:
            raise self.damaged(f"it holds {self.kind[:40]}, not {kind}")

    def damaged(self, what: str) -> TemporemError:
        """Make the error about a part that is not valid."""
        return TemporemError(
            f"{self.source}: not a readable checkpoint of this run ({what})", hint=_ANEW
        )
