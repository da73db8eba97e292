"""Local resolution of the volumes of a run, from its half sets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from temporem.physics.local_resolution import local_resolution
from temporem.runs.export import Cut, ExportOptions
from temporem.runs.half_runs import HalfRuns, read_half_runs
from temporem.runs.latent_points import latents_of_run, principal_axes
from temporem.runs.run import Run
from temporem.runs.series import frames_series

DENSITY, CHANGE = "the density", "the change"
"""Names of what is compared."""

_PAIRS = 7  # volumes along the motion that are compared
_MOST_VOXELS = 2**21  # in these of a half set, for the time that it takes


def half_set_resolutions(run: Run, options: ExportOptions | None = None) -> dict[str, np.ndarray]:
    """Measure to which resolution both half sets of a run agree about every voxel.

    Volumes at frames along the first principal axis of the latents are compared, or the mean of all
    frames where half sets have no more.

    Args:
        run: a finished run with half sets.
        options: size of the volumes; that of the run when None.

    Returns:
        ``(d, d, d)``, Å: of :data:`DENSITY`, and where half sets have several volumes of
        :data:`CHANGE`, which is what changes between these frames.

    Raises:
        TemporemError: the run has no half sets.
    """
    options, halves = options or ExportOptions(), read_half_runs(run)
    cuts = [Cut(frames_series(half, np.arange(half.n_frames)), options) for half in halves.runs]
    rows = _rows(run, halves, cuts[0].decoder.box)
    volumes = [_volumes(cut, rows) for cut in cuts]
    compared = {DENSITY: volumes}
    if halves.moving:
        compared[CHANGE] = [of_half - of_half.mean(0) for of_half in volumes]
    return {
        name: local_resolution(first, second, cuts[0].pixel_size_angstrom).numpy()
        for name, (first, second) in compared.items()
    }


def _rows(run: Run, halves: HalfRuns, box: int) -> np.ndarray:
    """Frames spread along the motion."""
    if not halves.moving or run.latents is None:
        return np.zeros(1, dtype=np.int64)
    latents = latents_of_run(run)
    order = np.argsort(latents @ principal_axes(latents)[0], kind="stable")
    n = int(np.clip(_MOST_VOXELS // box**3, 3, _PAIRS))
    return order[np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)]


def _volumes(cut: Cut, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([cut.voxels(rows[i : i + 1]) for i in range(len(rows))]))
