"""The fit of a cloud that does not move to the images of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import fourier_shell_correlation
from temporem.progress import Progress
from temporem.volumes.back_projection import HomogeneousVolume
from temporem.volumes.cloud_start import START_SD, draw_places
from temporem.volumes.minimise import minimise
from temporem.volumes.moving_cloud import POSITION_UNIT, SD_UNIT, WEIGHT_UNIT
from temporem.volumes.still_cloud import StillCloud

_FRAMES_PER_STEP = 48
_LEAST_STEPS, _LEAST_PASSES = 200, 2
_RATE, _WIDTH_RATE = 0.1, 0.02  # voxels and logarithms of weight; logarithm of width
_FULL_AFTER = 0.5  # part of the steps by which frequencies rise from half of Nyquist to Nyquist


@dataclass(frozen=True)
class StillClouds:
    """Clouds of all training frames, and of the half sets.

    Attributes:
        cloud: of all.
        found: volumes of the cloud, and of the clouds of the even and of the odd movies.
    """

    cloud: StillCloud
    found: HomogeneousVolume


def fit_still_clouds(
    frames: Frames, gaussians: int, *, seed: int = 0, progress: Progress | None = None
) -> StillClouds:
    """Fit one cloud to all training frames, and one to each half set, which share no image.

    Args:
        frames: prepared frames with poses.
        gaussians: number of Gaussians.
        seed: of the order of frames.
        progress: called after every step.

    Raises:
        TemporemError: the mean volume holds no density where Gaussians could be placed.
    """
    progress, mean = progress or Progress(), frames.statistics.mean_volume
    starts = [mean.volume, *mean.half_volumes]
    sets = [frames.training, frames.training[::2], frames.training[1::2]]
    support = FourierSupport(frames.forward_model.box, 3)
    clouds = []
    for number, (start, movies) in enumerate(zip(starts, sets, strict=True)):
        part = progress.part(number / 3, (number + 1) / 3)
        rows = np.concatenate([*movies, np.zeros(0, dtype=np.int64)])
        clouds.append(fit_still_cloud(frames, rows, start, gaussians, seed=seed, progress=part))
    volumes = torch.stack([cloud.volume(support).cpu() for cloud in clouds])
    first, second = support.fft(volumes[1:])
    fsc = fourier_shell_correlation(first, second, support)
    found = HomogeneousVolume(volumes[0], volumes[1:], fsc[: len(mean.half_fsc)])
    return StillClouds(clouds[0], found)


def fit_still_cloud(
    frames: Frames,
    rows: np.ndarray,
    start: Tensor,
    gaussians: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> StillCloud:
    """Fit a cloud to the images of some frames.

    It maximises the likelihood with Adam. Nothing else holds the Gaussians, which are positive and
    begin where the start has density.

    Args:
        frames: prepared frames with poses.
        rows: the frames to fit, ``(n,)``; without any, the cloud stays at its start.
        start: a volume of them, ``(D, D, D)``.
        gaussians: number of Gaussians.
        seed: of the order of frames.
        progress: called after every step.
    """
    progress, processes = progress or Progress(), frames.processes
    model, support = frames.forward_model, frames.forward_model.support
    cloud = StillCloud(gaussians)
    cloud.place(*draw_places(start.cpu(), gaussians), START_SD)
    cloud.to(frames.device)
    if len(rows) == 0:
        return cloud
    steps = max(_LEAST_STEPS, -(-_LEAST_PASSES * len(rows) // _FRAMES_PER_STEP))
    order = _order(rows, steps, seed)
    radii = support.frequencies.square().sum(-1).sqrt()
    taken = iter(range(steps))

    def loss(done: float) -> Tensor:
        step = next(taken)
        highest = model.box / 4 * (1 + min(1.0, done / _FULL_AFTER))
        n = int((radii <= highest).sum())
        chosen = order[step]
        mine = chosen[processes.cut(np.ones(len(chosen)))]
        images, ctf = frames.source.take(mine, n)
        rotations = frames.rotations[torch.from_numpy(mine).to(frames.device)]
        observed = model.observe(cloud.slices(model, rotations, n), ctf)
        progress(step + 1, steps, f"cloud  step {step + 1}/{steps}")
        return -model.log_likelihood(observed, images, 1.0).sum() / len(chosen)

    groups = [
        {"params": [cloud.places], "lr": _RATE / POSITION_UNIT},
        {"params": [cloud.log_weight], "lr": _RATE / WEIGHT_UNIT},
        {"params": [cloud.log_sd], "lr": _WIDTH_RATE / SD_UNIT},
    ]
    minimise(
        loss, groups, steps, after_gradient=lambda: processes.add_gradients(cloud.parameters())
    )
    return cloud


def still_cloud_memory(gaussians: int, box: int) -> int:
    """Estimate the bytes of a step: waves along both axes, and their gradients."""
    return 48 * gaussians * box * _FRAMES_PER_STEP


def _order(rows: np.ndarray, steps: int, seed: int) -> list[np.ndarray]:
    """Frames of every step: all frames once, then all again, each time in another order."""
    random = np.random.default_rng(seed)
    size = min(_FRAMES_PER_STEP, len(rows))
    passes = -(-steps * size // len(rows))
    shuffled = np.concatenate([random.permutation(rows) for _ in range(passes)])
    return [shuffled[step * size : (step + 1) * size] for step in range(steps)]
