"""Pulled molecules: snapshots in states, kept in the user's cache, because they take minutes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.simulation.config import PulledConfig
from temporem.structures.molecule import Molecule
from temporem.structures.pulling import MODEL_VERSION, pull
from temporem.structures.sources import cache_folder


def pulled_snapshots(
    config: PulledConfig,
    n_states: int,
    molecule: Molecule,
    end: Tensor,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Snapshots of all states, those of a state in a row: Å, ``(n_states · n, N, 3)`` float32.

    They are ordered by how near they are to the end, and each state has the same number n of them.

    Args:
        config: how to pull.
        n_states: number of states.
        molecule: the N atoms at the start.
        end: where they are at the end, Å, ``(N, 3)``.
        progress: called with the number of snapshots taken and of all.

    Raises:
        TemporemError: as :func:`temporem.structures.pulling.pull`.
    """
    n_snapshots = n_states * config.snapshots
    path = _kept_at(config, n_snapshots, molecule, end)
    kept = _read(path, (n_snapshots, len(molecule), 3))
    if kept is not None:
        return kept
    snapshots = pull(
        molecule,
        end,
        n_snapshots,
        steps=config.steps,
        temperature_kelvin=config.temperature_kelvin,
        seed=config.seed,
        progress=progress,
    ).float()
    _keep(path, snapshots)
    return snapshots


def _kept_at(config: PulledConfig, n_snapshots: int, molecule: Molecule, end: Tensor) -> Path:
    """A file named by all that decides its content."""
    settings = {
        "steps": config.steps,
        "temperature_kelvin": config.temperature_kelvin,
        "seed": config.seed,
        "snapshots": n_snapshots,
        "model": MODEL_VERSION,
        "openmm": _openmm_version(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(molecule.positions_angstrom.numpy().tobytes())
    digest.update(end.contiguous().numpy().tobytes())
    digest.update(molecule.atomic_numbers.numpy().tobytes())
    return cache_folder().parent / "pulled" / f"{digest.hexdigest()[:16]}.npz"


def _openmm_version() -> str:
    try:
        return version("openmm")
    except PackageNotFoundError:
        return ""


def _read(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """What is kept there; None where nothing is, or a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            snapshots = arrays["snapshots_angstrom"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if snapshots.shape != shape or not np.isfinite(snapshots).all():
        return None
    return torch.from_numpy(snapshots)


def _keep(path: Path, snapshots: Tensor) -> None:
    """Keep for the next time; where the cache cannot be written, it is made again then."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(file, snapshots_angstrom=snapshots.numpy())
    except (OSError, TemporemError):
        return
