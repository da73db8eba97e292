"""The clock: a network whose encoder sees the number of a frame and not its image."""

from __future__ import annotations

import numpy as np
import torch

from temporem.dvae.encoded_frames import EncodedFrames
from temporem.dvae.settings import TrainingSettings
from temporem.frames.frames import Frames


def encode_clock(frames: Frames, numbers: np.ndarray) -> EncodedFrames:
    """Make frame numbers the inputs of an encoder, with mean 0 and unit spread.

    The latents of the static model are then a learned function of the number alone.

    Args:
        frames: N frames.
        numbers: position of every frame in its movie, gaps allowed, ``(N,)``.
    """
    clock = torch.from_numpy(numbers).double()
    clock = (clock - clock.mean()) / clock.std(correction=0).clamp(min=1e-12)
    return EncodedFrames(frames, clock[:, None].float().to(frames.device), moving_poses=False)


def clock_training(training: TrainingSettings) -> TrainingSettings:
    """Leave out the KL term: the number of a frame is known, so its latent may be certain."""
    return training.model_copy(update={"kl_weight": 0.0})
