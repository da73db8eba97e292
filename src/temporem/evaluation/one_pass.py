"""One pass over the frames of a reconstruction and of the truth, for all metrics at once.

Only measurements read the truth, never a reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.case import Batch, Case, Known
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.masks import MaskSettings, TruthMasks, truth_masks
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.settings import EvaluationSettings
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import power_spectrum
from temporem.volumes.source import VolumeSource

Progress = Callable[[int, int], None]
"""Called with the number of frames done and the number of frames in all."""

BATCH_SIZE = 8
"""Volumes in memory at once."""


def measure(
    source: VolumeSource,
    truth: VolumeSource,
    frames: EvaluatedFrames,
    *,
    box: int,
    pixel_size_angstrom: float,
    known: Known | None = None,
    unmoved_truth: VolumeSource | None = None,
    settings: EvaluationSettings | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the volumes of a reconstruction against the true ones by all registered metrics.

    The truth is read twice, once for the masks; the reconstruction once. Memory does not grow with
    the number of frames except for one FSC curve a region and frame.

    Args:
        source: the reconstruction.
        truth: the true volumes.
        frames: which frames to evaluate.
        box: edge of the volumes, voxels.
        pixel_size_angstrom: voxel size, Å.
        known: latents, poses and what is true of the frames.
        unmoved_truth: the truth as it is in the dataset, where ``truth`` was moved into the
            reference frame of the reconstruction; its spectrum tells datasets apart.
        settings: thresholds, masks, filters; the defaults when None.
        batch_size: volumes in memory at once.
        progress: called after every batch.

    Raises:
        TemporemError: a volume has the wrong size or holds NaN or infinite values; latents are not
            finite or do not match the frames.
    """
    settings, known = settings or EvaluationSettings(), known or Known()
    support, n = FourierSupport(box, 3), len(frames)
    known.require_finite(n)
    with torch.no_grad():
        masks = _masks(truth, frames, support, settings.masks, batch_size)
        case = Case(frames, support, masks.regions(), settings, known)
        begun = {name: metric.begin(case) for name, metric in METRICS.items()}
        gathering = {name: item for name, item in begun.items() if item is not None}
        truth_power = torch.zeros(support.n_shells, dtype=torch.float64)
        for part in _batches(np.arange(n), batch_size):
            volumes = _volumes(source, frames.rows[part], support, "reconstruction")
            true = _volumes(truth, frames.rows[part], support, "truth")
            batch = Batch(part, volumes, true, case)
            for item in gathering.values():
                item.add(batch)
            if unmoved_truth is not None:
                true = _volumes(unmoved_truth, frames.rows[part], support, "truth")
            truth_power += power_spectrum(true, support).sum(0)
            if progress is not None:
                progress(int(part[-1]) + 1, n)
        results = {name: item.finish() for name, item in gathering.items()}
    return Evaluation(
        settings=settings,
        frames=frames,
        box=box,
        pixel_size_angstrom=pixel_size_angstrom,
        results=results,
        mask_fractions={
            name: float(mask.mean()) for name, mask in case.regions.items() if mask is not None
        },
        truth_power=(truth_power / n).numpy(),
    )


def _masks(
    truth: VolumeSource,
    frames: EvaluatedFrames,
    support: FourierSupport,
    settings: MaskSettings,
    batch_size: int,
) -> TruthMasks:
    """Masks of a random choice of frames: every tenth, say, might show a single state."""
    few = np.random.default_rng(0).permutation(frames.rows)[: settings.max_frames]
    batches = (_volumes(truth, rows, support, "truth") for rows in _batches(few, batch_size))
    return truth_masks(batches, support, settings)


def _volumes(source: VolumeSource, rows: np.ndarray, support: FourierSupport, what: str) -> Tensor:
    """Checked coefficients of some rows, on the CPU."""
    volumes = source.volumes(rows)
    if volumes.shape != (len(rows), len(support)):
        raise TemporemError(
            f"the {what}'s volumes have shape {tuple(volumes.shape)}",
            expected=f"{(len(rows), len(support))} for {len(rows)} rows at box {support.box}",
            hint="evaluate a run against the truth of its own dataset",
        )
    finite = torch.isfinite(torch.view_as_real(volumes)).all(-1).all(-1)
    if not finite.all():
        row = int(rows[int((~finite).nonzero()[0])])
        raise TemporemError(
            f"the {what}'s volume of row {row} holds NaN or infinite values",
            hint="if it is a reconstruction, its training diverged: lower training.learning_rate",
        )
    return volumes.cpu()


def _batches(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (items[start : start + size] for start in range(0, len(items), size))
