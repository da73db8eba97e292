"""Latent coordinates at frames that a movie lacks, predicted from those that it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.frames.dataset import Dataset
from temporem.io.star import Table, write_star
from temporem.linear.smoother import joint_covariance, predict_between
from temporem.runs.linear import LinearResult
from temporem.runs.run_files import latent_columns

PREDICTED_NAME = "predicted.star"
_LONGEST_GAP = 1000  # frames; a longer one is another recording, or a mistake


def write_predictions(
    path: Path,
    dataset: Dataset,
    intervals: Tensor,
    interval_index: Tensor,
    result: LinearResult,
) -> None:
    """Write ``RUN/predicted.star``: posteriors at frame numbers that are missing within movies.

    A missing frame is taken to lie between its neighbours in time as its number lies between
    theirs; gaps of more than a thousand frames are left out. Without missing frames, or without
    dynamics, nothing is written.
    """
    dynamics = result.parameters.dynamics
    rows, numbers, fractions = _missing(dataset)
    if len(rows) == 0 or not dynamics.temporal:
        return
    earlier = torch.from_numpy(rows[:, 0])
    later = torch.from_numpy(rows[:, 1])
    p = result.posterior
    mean = torch.cat([p.mean[earlier], p.mean[later]], dim=-1)
    covariance = joint_covariance(p.covariance[earlier], p.lag[later].mT, p.covariance[later])
    whole = intervals[interval_index[later]]
    part = torch.from_numpy(fractions).to(whole)
    found, spread = predict_between(
        mean,
        covariance,
        dynamics.transitions(whole * part),
        dynamics.transitions(whole * (1 - part)),
    )
    names = [dataset.particle_names[row] for row in rows[:, 0]]
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "rlnParticleName": names,
        "rlnMovieFrameNumber": numbers,
        **latent_columns(found, spread),
    }
    table = Table(columns, where=PREDICTED_NAME)
    write_star(path / PREDICTED_NAME, {"frames": table})


def _missing(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows on both sides ``(n, 2)``, frame number, and fraction of the way, of missing frames."""
    pairs = np.concatenate([np.stack([m[:-1], m[1:]], axis=1) for m in dataset.movies])
    first, last = (dataset.frame_numbers[pairs[:, side]] for side in (0, 1))
    lacking = last - first - 1
    lacking[lacking > _LONGEST_GAP] = 0
    index = np.repeat(np.arange(len(pairs)), lacking)
    step = np.arange(len(index)) - np.repeat(np.cumsum(lacking) - lacking, lacking) + 1
    return pairs[index], first[index] + step, step / (last - first)[index]
