"""Half sets of a finished run as runs, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.io.checkpoint import load_checkpoint
from temporem.io.mrc import read_volume
from temporem.io.npz import NpzFile
from temporem.io.state import Parts
from temporem.runs import names
from temporem.runs.methods import find_method
from temporem.runs.run import Run
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Decodes

LATENTS = "latents.npz"
"""File in the folder of a half set; it is written last."""

_HINT = "remove the folder and train the half sets again"


@dataclass(frozen=True, eq=False)
class HalfRuns:
    """Two models of half of the movies each, as runs with all frames of the whole one.

    Attributes:
        runs: a model each; ``path`` is that of the whole run.
        moving: each has a volume for every frame; else one for all frames.
    """

    runs: tuple[Run, Run]
    moving: bool


def half_folders(run: Path) -> list[Path]:
    """Folders of both half sets of a run."""
    return [run / names.VALIDATION / f"half{number}" for number in (1, 2)]


def has_half_runs(run: Path) -> bool:
    """True if :func:`read_half_runs` finds something."""
    trained = all((folder / LATENTS).is_file() for folder in half_folders(run))
    return trained or all(file.is_file() for file in _maps(run))


def read_half_runs(run: Run) -> HalfRuns:
    """Read the half sets of ``temporem validate --half-sets``, or else the half maps of a run.

    Raises:
        TemporemError: the run has neither, or they are damaged.
    """
    if not has_half_runs(run.path):
        raise TemporemError(
            f"{run.path} has no half sets",
            hint=f"make them with temporem validate {run.path} --half-sets",
        )
    folders = half_folders(run.path)
    if all((folder / LATENTS).is_file() for folder in folders):
        first, second = (_trained(run, folder) for folder in folders)
        return HalfRuns((first, second), moving=True)
    first, second = (_still(run, file) for file in _maps(run.path))
    return HalfRuns((first, second), moving=False)


def read_half(run: Run, folder: Path, device: torch.device) -> tuple[Decodes, Tensor, Parts]:
    """Read a trained half set: its volumes on a device, latents ``(N, q)``, and model as stored.

    Raises:
        TemporemError: a file is missing or damaged.
    """
    latents = NpzFile(folder / LATENTS, what="latents of a half set", hint=_HINT)
    mean = torch.from_numpy(latents.numbers("mean", "float32", run.n_frames, None))
    stored = load_checkpoint(folder / names.MODEL)
    generator = find_method(run.config.method).load(stored, run.config, run.grid, mean.shape[1])
    if isinstance(generator, torch.nn.Module):
        generator = generator.to(device)
    return generator, mean, stored


def _trained(run: Run, folder: Path) -> Run:
    """The run with model and latents of a half set."""
    device = run.latent_means.device
    generator, mean, _ = read_half(run, folder, device)
    return replace(run, generator=generator, latent_means=mean.to(device), latent_covariance=None)


def _still(run: Run, file: Path) -> Run:
    """The run with one half map for all frames."""
    volume = torch.from_numpy(read_volume(file, run.grid.box)) / run.grid.noise_scale
    device = run.latent_means.device
    generator = LinearVolumes(run.grid.box, 0)
    generator.set_mean(volume)
    return replace(
        run,
        generator=generator.to(device),
        latent_means=run.latent_means[:, :0],
        latent_covariance=None,
    )


def _maps(run: Path) -> list[Path]:
    return [run / f"half{number}.mrc" for number in (1, 2)]
