"""Quantities that a run knows of every voxel besides its density: uncertainties, and masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from temporem.errors import TemporemError
from temporem.io.mrc import read_mask, read_volume
from temporem.physics.local_resolution import THRESHOLD
from temporem.physics.masks import interpolated
from temporem.runs.export import Cut, ExportOptions
from temporem.runs.half_runs import has_half_runs, read_half_runs
from temporem.runs.local_resolution import CHANGE, DENSITY, half_set_resolutions
from temporem.runs.names import VALIDATION
from temporem.runs.run import Run
from temporem.runs.series import frames_series

_SMOOTH = 0.8  # voxels, as the colours of motion
_EVERYWHERE = 0.99  # of the box in a mask that leaves nothing out

_MASKS = {
    "molecule": (f"{VALIDATION}/mask_particle.mrc", "mask.mrc"),
    "where it moves": (f"{VALIDATION}/mask_moving.mrc", "focus_mask.mrc"),
}
"""Files of each mask in a run, the better one first."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How far the volumes of a run may be off, voxel by voxel.

    Attributes:
        name: what a page calls it.
        words: a sentence on what it is.
        angstrom: it is a distance, Å; else a density in units of the volumes.
        of: root mean square over frames ``(B,)``: ``(d, d, d)``.
        least: value that has no colour.
    """

    name: str
    words: str
    angstrom: bool
    of: Callable[[np.ndarray], np.ndarray]
    least: float = 0.0


def uncertainties_of(run: Run, options: ExportOptions) -> list[Uncertainty]:
    """Find the uncertainties that a run knows; most know none before ``temporem validate``.

    Args:
        run: a finished run.
        options: size of the volumes.
    """
    found = []
    try:
        run.require_covariance()
    except TemporemError:
        pass
    else:
        found.append(_posterior(run, options))
    if has_half_runs(run.path):
        found += [_between_halves(run, options), *_resolutions(run, options)]
    displacement = run.path / VALIDATION / "disagreement.mrc"
    if displacement.is_file():
        found.append(_of_cloud(run, displacement, options))
    return found


def masks_of(run: Run, options: ExportOptions) -> dict[str, np.ndarray]:
    """Read the masks of a run by name, ``(d, d, d)``, 0 … 1; those that leave nothing out do not
    count.
    """
    found = {}
    for name, files in _MASKS.items():
        file = next((run.path / one for one in files if (run.path / one).is_file()), None)
        if file is None:
            continue
        mask = read_mask(file, run.grid.box)
        if (mask > 0.5).mean() < _EVERYWHERE:
            found[name] = _resized(mask, options)
    return found


def _posterior(run: Run, options: ExportOptions) -> Uncertainty:
    cut = _cut(run, options)

    def of(rows: np.ndarray) -> np.ndarray:
        square = np.mean(
            [cut.voxel_deviations(rows[i : i + 1])[0] ** 2 for i in range(len(rows))], 0
        )
        return _smooth(np.sqrt(square))

    words = "Posterior standard deviation of the density, from that of the latents of the frames."
    return Uncertainty("posterior spread", words, False, of)


def _between_halves(run: Run, options: ExportOptions) -> Uncertainty:
    halves = read_half_runs(run)
    cuts = [_cut(half, options) for half in halves.runs]

    def of(rows: np.ndarray) -> np.ndarray:
        rows = rows if halves.moving else rows[:1]
        square: np.ndarray | float = 0.0
        for i in range(len(rows)):
            a, b = (cut.voxels(rows[i : i + 1])[0] for cut in cuts)
            square = square + ((a - b) / 2) ** 2
        return _smooth(np.sqrt(square / len(rows)))

    which = "of the same frames" if halves.moving else "of the mean of all frames"
    words = f"Half the difference of the volumes {which} in two half sets of the movies."
    return Uncertainty("half-set spread", words, False, of)


def _resolutions(run: Run, options: ExportOptions) -> list[Uncertainty]:
    """Local resolution of the volumes and, where half sets have more than one, of their change."""
    finest = 2 * _cut(run, options).pixel_size_angstrom

    kept: dict[str, np.ndarray] = {}

    def shown(name: str, what: str, of: str) -> Uncertainty:
        def measured(rows: np.ndarray) -> np.ndarray:
            if not kept:
                kept.update(half_set_resolutions(run, options))
            return kept[of]

        words = (
            f"Resolution to which {what} of two half sets agrees about a place (FSC {THRESHOLD:g} "
            f"in a window of a fifth of the box), the same for all frames. Grey: {finest:.3g} Å."
        )
        return Uncertainty(name, words, True, measured, finest)

    found = [shown("local resolution", "the density", DENSITY)]
    if read_half_runs(run).moving:
        found.append(shown("change resolution", "what changes", CHANGE))
    return found


def _of_cloud(run: Run, file: Path, options: ExportOptions) -> Uncertainty:
    distance = _resized(read_volume(file, run.grid.box), options)
    words = "How far two half sets place the same part of the cloud apart (rms)."
    return Uncertainty("cloud, half sets", words, True, lambda rows: distance)


def _cut(run: Run, options: ExportOptions) -> Cut:
    return Cut(frames_series(run, np.arange(run.n_frames)), options)


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.asarray(gaussian_filter(values, _SMOOTH))


def _resized(volume: np.ndarray, options: ExportOptions) -> np.ndarray:
    """Take a volume on the grid of those that are shown."""
    return interpolated(volume, options.downsample or len(volume))
