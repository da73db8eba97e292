"""What a program has to do to be scored: ``Peer``, and the options of its training.

Imports nothing heavy, as ``common``: the memory of this process counts as a child's first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from benchmarks.common import Environment, Usage
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

RESULT = "."
"""Folder, below OUT, of the scores of the result that a program is judged by."""


@dataclass(frozen=True)
class Training:
    """Options of a training.

    Attributes:
        z_dim: latent dimension.
        epochs: None for a program that has none.
        also: earlier epochs to score as well.
        more: further words for the program's own command line.
    """

    z_dim: int
    epochs: int | None = None
    seed: int = 0
    also: tuple[int, ...] = ()
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Options that are the same on every dataset: epochs, and words for the command line."""

    epochs: int | None = None
    more: tuple[str, ...] = ()

    def training(self, z_dim: int, seed: int) -> Training:
        return Training(z_dim, self.epochs, seed, more=self.more)


class Peer(Protocol):
    """A program that is trained, and asked for latents and volumes. It may write into ``work``."""

    environment: Environment
    requirements: ClassVar[tuple[str, ...]]
    choices: ClassVar[Mapping[str, Choice]]
    """Options by name, such as the program's defaults; ``all`` runs each of them.

    Empty for a program whose results are not verified."""

    def models(self, training: Training) -> dict[str, str]:
        """Name what is scored after a training: folder below OUT to name of a model.

        ``RESULT`` comes first.

        Raises:
            TemporemError: options that the program does not have, or lacks.
        """

    def train(self, dataset: Path, work: Path, training: Training) -> Usage: ...

    def latents(self, work: Path, model: str) -> np.ndarray:
        """Latent means ``(N, q)`` in the order of ``particles.star``."""

    def decode(self, work: Path, model: str, latents: np.ndarray, files: Sequence[Path]) -> None:
        """Write the volume of each row of ``latents`` to the file of the same place."""

    def back_project(self, dataset: Path, work: Path) -> Path:
        """One volume of all frames in the dataset's poses."""


def read_latents(path: Path) -> np.ndarray:
    """Read latents ``(N, q)`` from an ``.npy`` file that another program's Python wrote.

    Raises:
        TemporemError: pickled objects, or numbers that are not finite.
    """
    import numpy as np

    try:
        latents = np.load(path, allow_pickle=False)
        latents = latents.reshape(len(latents), -1).astype(np.float32)
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise TemporemError(f"{path}: not readable as latents ({error})") from None
    if not np.isfinite(latents).all():
        raise TemporemError(f"{path}: latents that are not finite")
    return latents
