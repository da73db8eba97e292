"""Prediction of latents at missing frames of a movie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.io.star import StarTable
from temporem.linear.smoother import joint_covariance, predict_between
from temporem.linear.state import LinearFit
from temporem.runs import names
from temporem.runs.frames_table import latent_columns

_LONGEST_GAP = 1000  # frames; a longer one is another recording, or a mistake


def predicted_latents(dataset: Dataset, frames: Frames, fit: LinearFit) -> StarTable | None:
    """Predict posteriors at missing frame numbers within movies, for ``RUN/predicted.star``.

    The time of a missing frame is interpolated by its number. Gaps of more than a thousand frames
    are left out. None without missing frames or without dynamics.
    """
    dynamics, latents = fit.parameters.dynamics, fit.latents
    rows, numbers, fractions = _missing(dataset)
    if len(rows) == 0 or not dynamics.temporal:
        return None
    earlier = torch.from_numpy(rows[:, 0])
    later = torch.from_numpy(rows[:, 1])
    mean = torch.cat([latents.mean[earlier], latents.mean[later]], dim=-1)
    covariance = joint_covariance(
        latents.covariance[earlier], latents.lag[later].mT, latents.covariance[later]
    )
    whole = frames.intervals[frames.interval_index[later]]
    part = torch.from_numpy(fractions).to(whole)
    found, spread = predict_between(
        mean,
        covariance,
        dynamics.transitions(whole * part),
        dynamics.transitions(whole * (1 - part)),
    )
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "rlnParticleName": [dataset.particle_names[row] for row in rows[:, 0]],
        "rlnMovieFrameNumber": numbers,
        **latent_columns(found, spread),
    }
    return StarTable(columns, where=names.PREDICTED)


def _missing(dataset: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows on both sides ``(n, 2)``, frame number, and fraction of the way, of missing frames."""
    pairs = np.concatenate([np.stack([m[:-1], m[1:]], axis=1) for m in dataset.movies])
    first, last = (dataset.frame_numbers[pairs[:, side]] for side in (0, 1))
    lacking = last - first - 1
    lacking[lacking > _LONGEST_GAP] = 0
    index = np.repeat(np.arange(len(pairs)), lacking)
    step = np.arange(len(index)) - np.repeat(np.cumsum(lacking) - lacking, lacking) + 1
    return pairs[index], first[index] + step, step / (last - first)[index]
