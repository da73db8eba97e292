"""Pulled motion: molecular dynamics pulls a molecule from one structure to another.

Pulling takes minutes, so the snapshots are kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, PositiveFloat

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.io.npz import NpzFile
from temporem.structures.motions import path
from temporem.structures.motions.base import MotionKind, MotionSettings, Update
from temporem.structures.sources import cache_folder

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from temporem.structures.molecule import Molecule
    from temporem.structures.molecule_source import MoleculeSource
    from temporem.structures.snapshot_path import SnapshotPath


class PulledSettings(MotionSettings):
    """The molecule is pulled from one structure to another by molecular dynamics.

    Residues and atoms are matched as in a morph. The snapshots, ordered by how near they are to
    ``end``, are divided into states of equal size. Progress counts the snapshots, from 0 at the
    first to 1 at the last. In a sweep, a movie takes the states in order, with equal numbers of
    frames, and every frame is one of its state's snapshots, drawn uniformly. In other schedules a
    frame is the snapshot that is nearest to its place on the path.
    """

    kind: Literal["pulled"] = "pulled"
    end: str = Field(description="File or PDB code of the structure at the end.")
    end_chains: list[str] | None = Field(
        default=None,
        description="Chains of it, in the order of those of the start; all by default.",
    )
    states: path.PathStates = None
    snapshots: int = Field(
        default=10, ge=1, le=10_000, description="Number of snapshots of every state."
    )
    steps: int = Field(default=15_000, ge=1, description="Steps of the dynamics.")
    temperature_kelvin: PositiveFloat = Field(
        default=300.0, description="Temperature of the dynamics, whose energies are a model's."
    )
    seed: int = Field(default=0, ge=0, lt=2**31 - 1, description="Seed of the dynamics alone.")

    @property
    def files(self) -> list[str]:
        """The structure at the end."""
        return [self.end]

    def check(self, structure: str, frames_per_movie: int) -> None:
        """Require a structure from a file, and a step of the dynamics for every snapshot."""
        path.require_file(structure, "a pulled molecule needs a structure")
        states = self.states or frames_per_movie
        if self.steps < states * self.snapshots or states * self.snapshots < 2:
            raise ValueError(
                f"motion: {self.steps} steps for {states} states of {self.snapshots} "
                "snapshots; at least one step a snapshot, and two snapshots"
            )


def _load(
    settings: PulledSettings, source: MoleculeSource, frames_per_movie: int, progress: Update | None
) -> SnapshotPath:
    from temporem.structures.matching import match
    from temporem.structures.snapshot_path import path_through

    molecule, end = match(source.molecule(), source.read(settings.end, settings.end_chains))
    n_states = settings.states or frames_per_movie
    snapshots = pulled_snapshots(settings, n_states, molecule, end, progress=progress).double()
    return path_through(molecule, snapshots - snapshots[0].mean(0), evenly=True)


def pulled_snapshots(
    settings: PulledSettings,
    n_states: int,
    molecule: Molecule,
    end: Tensor,
    *,
    progress: Update | None = None,
) -> Tensor:
    """Pull a molecule, or read the snapshots from the cache: Å, ``(n_states · n, N, 3)`` float32.

    Snapshots are ordered by how near they are to the end, and each state has the same number n of
    them in a row.

    Args:
        settings: how to pull.
        n_states: number of states.
        molecule: the N atoms at the start.
        end: where they are at the end, Å, ``(N, 3)``.
        progress: called with the number of snapshots taken and of all.

    Raises:
        TemporemError: as :func:`temporem.structures.pulling.pull`.
    """
    from torch import from_numpy

    from temporem.structures.pulling import pull

    n_snapshots = n_states * settings.snapshots
    file = _cache_file(settings, n_snapshots, molecule, end)
    kept = _read_snapshots(file, n_snapshots, len(molecule), 3)
    if kept is not None:
        return from_numpy(kept)
    snapshots = pull(
        molecule,
        end,
        n_snapshots,
        steps=settings.steps,
        temperature_kelvin=settings.temperature_kelvin,
        seed=settings.seed,
        progress=progress,
    ).float()
    _keep_snapshots(file, snapshots.numpy())
    return snapshots


def _draw(
    settings: PulledSettings, movies: int, frames_per_movie: int, generator: Generator
) -> Tensor:
    """Progress ``(movies, frames, 1)`` of a snapshot of the state that each frame is in."""
    import torch

    n_states, n = settings.states or frames_per_movie, settings.snapshots
    states = (torch.arange(frames_per_movie) * n_states // frames_per_movie).expand(movies, -1)
    drawn = torch.randint(n, (movies, frames_per_movie), generator=generator)
    return ((states * n + drawn).double() / (n_states * n - 1))[..., None]


def _along(settings: PulledSettings, frames_per_movie: int, progress: Tensor) -> Tensor:
    last = (settings.states or frames_per_movie) * settings.snapshots - 1
    return ((progress * last).round() / last)[..., None]


def _states(settings: PulledSettings, parameters: Tensor) -> Tensor:
    n_states, n = settings.states or parameters.shape[1], settings.snapshots
    return (parameters[..., 0] * (n_states * n - 1)).round().long() // n


def _cache_file(
    settings: PulledSettings, n_snapshots: int, molecule: Molecule, end: Tensor
) -> Path | None:
    """Path of the cached file, named by all that determines it; None without a cache folder."""
    from temporem.structures.pulling import MODEL_VERSION

    folder = cache_folder()
    if folder is None:
        return None
    decisive = {
        "steps": settings.steps,
        "temperature_kelvin": settings.temperature_kelvin,
        "seed": settings.seed,
        "snapshots": n_snapshots,
        "model": MODEL_VERSION,
        "openmm": _openmm_version(),
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    digest.update(molecule.positions_angstrom.numpy().tobytes())
    digest.update(end.contiguous().numpy().tobytes())
    digest.update(molecule.atomic_numbers.numpy().tobytes())
    return folder.parent / "pulled" / f"{digest.hexdigest()[:16]}.npz"


def _openmm_version() -> str:
    try:
        return version("openmm")
    except PackageNotFoundError:
        return ""


def _read_snapshots(file: Path | None, *shape: int) -> np.ndarray | None:
    """The snapshots that are kept in a file; None if there are none, or the file is damaged."""
    if file is None or not file.is_file():
        return None
    try:
        arrays = NpzFile(file, what="snapshots of a pulled molecule", hint="remove it")
        return arrays.numbers("snapshots_angstrom", "f4", *shape)
    except TemporemError:
        return None


def _keep_snapshots(file: Path | None, snapshots: np.ndarray) -> None:
    """Keep snapshots for the next time; a cache that cannot be written is left as it is."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as partial, partial.open("wb") as opened:
            np.savez(opened, snapshots_angstrom=snapshots)
    except (OSError, TemporemError):
        return


PULLED = MotionKind(
    PulledSettings,
    load=_load,
    draw=_draw,
    states=_states,
    read=path.read,
    summarise=path.summarise,
    along=_along,
)
