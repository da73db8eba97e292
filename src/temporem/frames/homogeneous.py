"""One volume for all frames, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from temporem.device import choose_device
from temporem.frames.dataset import Dataset
from temporem.frames.frames import prepare_frames
from temporem.frames.settings import DataSettings
from temporem.frames.still_cloud import fit_still_clouds
from temporem.physics.poses import Poses
from temporem.volumes.cloud import gaussians_for
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Reconstruction, VolumeGrid
from temporem.volumes.still_cloud import StillCloud

_WIDTH = 256  # of a cloud, as ``model.generator_width``


@dataclass(frozen=True, eq=False, kw_only=True)
class HomogeneousFit(Reconstruction):
    """One volume for all frames.

    Attributes:
        mean: the volume, ``(D, D, D)``, in image units.
        half_volumes: volumes of the even and of the odd movies, ``(2, D, D, D)``.
        half_fsc: their Fourier shell correlation, ``(D/2,)``.

    Example:
        >>> fit = tm.reconstruct_homogeneous(tm.read_dataset("movies"))
        >>> fit.half_fsc.shape
        torch.Size([32])
        >>> tm.resolution(fit.half_fsc.numpy(), 0.143, fit.grid.pixel_size_angstrom).never_crossed
        array(False)
    """

    mean: Tensor
    half_volumes: Tensor
    half_fsc: Tensor


def reconstruct_homogeneous(
    data: Dataset,
    *,
    poses: Poses | None = None,
    generator: Literal["volumes", "cloud"] = "volumes",
    invert: bool = False,
    device: str = "auto",
) -> HomogeneousFit:
    """Reconstruct the one volume that explains all frames best.

    ``volumes`` is weighted back-projection with a Wiener filter from the FSC of half-movie sets
    (Scheres 2012). ``cloud`` fits Gaussians to the images, which start from that volume.

    Args:
        data: the movies.
        poses: poses of the frames; the dataset's when None.
        generator: kind of the volume.
        invert: flip the sign of the images, for dark molecules.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        TemporemError: no poses, or images whose noise cannot be measured.

    Example:
        >>> fit = tm.reconstruct_homogeneous(tm.read_dataset("movies"))
        >>> fit.mean.shape
        torch.Size([64, 64, 64])
    """
    data = data if poses is None else data.with_poses(poses)
    data.require_poses()
    settings = DataSettings(invert=invert)
    frames = prepare_frames(data, settings, data.movies, choose_device(device))
    model, found = frames.forward_model, frames.statistics.mean_volume
    scale = frames.statistics.noise_scale
    model_of_it: LinearVolumes | StillCloud
    if generator == "cloud":
        clouds = fit_still_clouds(frames, gaussians_for(_WIDTH, model.box))
        model_of_it, found = clouds.cloud, clouds.found
    else:
        model_of_it = LinearVolumes(model.box, 0)
        model_of_it.set_mean(found.volume)
    return HomogeneousFit(
        grid=VolumeGrid(model.box, model.pixel_size_angstrom, scale),
        generator=model_of_it,
        latent_means=torch.zeros(data.n_frames, 0),
        mean=scale * found.volume,
        half_volumes=scale * found.half_volumes,
        half_fsc=found.half_fsc,
    )
