"""The evaluation of a reconstruction against the truth, frame by frame, in one pass.

Nothing here is seen by a reconstruction: the truth is read to measure, never to reconstruct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.frames import Frames
from temporem.evaluation.image_quality import image_quality, low_pass_grid
from temporem.evaluation.latents import LatentAgreement, latent_agreement
from temporem.evaluation.masks import MaskSettings, TruthMasks, apply_mask, truth_masks
from temporem.evaluation.motion import MotionAccumulator, MotionSums
from temporem.evaluation.pose_conformation_coupling import PoseConformationCoupling
from temporem.evaluation.poses import PoseAgreement
from temporem.evaluation.resampling import BootstrapSettings
from temporem.evaluation.states import MAX_STATES, StateCurves, StateMeans, are_states
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import (
    TRUTH_THRESHOLD,
    Resolution,
    area_under_curve,
    fourier_shell_correlation,
    power_spectrum,
    resolution,
)
from temporem.volumes.source import VolumeSource

Align = Literal["all", "states"]
"""Which frames are aligned as one, where poses were found: all, or those of every true state."""

Progress = Callable[[int, int], None]
"""Called with the number of frames done and the number of frames in all."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Every choice that decides the numbers; two runs are comparable only where these agree.

    Attributes:
        fsc_threshold: where resolution is read.
        low_pass_fraction: cut-off for PSNR and SSIM as a fraction of Nyquist.
        masks: how the masks are made from the truth.
        bootstrap: how confidence intervals are made.
        align: where poses were found.
    """

    fsc_threshold: float = TRUTH_THRESHOLD
    low_pass_fraction: float = 0.75
    masks: MaskSettings = field(default_factory=MaskSettings)
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    align: Align = "all"

    def __post_init__(self) -> None:
        if not 0 < self.low_pass_fraction <= 1:
            raise ValueError(f"low_pass_fraction of {self.low_pass_fraction}; above 0, at most 1")
        if self.align not in get_args(Align):
            raise ValueError(f"align is {self.align!r}")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured of a reconstruction of n frames.

    Attributes:
        settings: the choices behind the numbers.
        frames: which frames, of which movies.
        box: edge of the volumes, voxels.
        pixel_size_angstrom: voxel size, Å.
        fsc: FSC of every frame's volume with the true one by region, float32 ``(n, n_shells)``;
            regions are ``unmasked``, ``particle`` and, where the truth moves, ``moving``.
        psnr_db: ``(n,)``.
        ssim: ``(n,)``.
        motion: sums that give the motion correlation, by region; empty where the truth is still.
        latents: agreement with true parameters and states; None for a method without latents.
        mask_fractions: mean of each mask over the box, by region.
        truth_power: mean power spectrum of the truth, ``(n_shells,)``: tells datasets apart.
        states: FSC of the true states; None where there are none, or too many.
        poses: errors of the poses of the frames, n of them; None where they are the true ones.
        leakage: what these errors and the conformation have to do with one another, or None.
    """

    settings: EvaluationSettings
    frames: Frames
    box: int
    pixel_size_angstrom: float
    fsc: dict[str, np.ndarray]
    psnr_db: np.ndarray
    ssim: np.ndarray
    motion: dict[str, MotionSums]
    latents: LatentAgreement | None
    mask_fractions: dict[str, float]
    truth_power: np.ndarray
    states: StateCurves | None = None
    poses: PoseAgreement | None = None
    coupling: PoseConformationCoupling | None = None

    def resolution(self, region: str) -> Resolution:
        """Resolution of every frame, ``(n,)``."""
        return self.resolution_of(self.fsc[region])

    def auc(self, region: str) -> np.ndarray:
        """Area under every frame's FSC curve, ``(n,)``."""
        return area_under_curve(self.fsc[region])

    def resolution_of(self, curves: np.ndarray) -> Resolution:
        """Resolution of any FSC curves ``(..., n_shells)``, by this evaluation's threshold."""
        return resolution(curves, self.settings.fsc_threshold, self.pixel_size_angstrom)


def evaluate(
    source: VolumeSource,
    truth: VolumeSource,
    frames: Frames,
    *,
    box: int,
    pixel_size_angstrom: float,
    latents: np.ndarray | None = None,
    parameters: np.ndarray | None = None,
    parameter_names: Sequence[str] = (),
    states: np.ndarray | None = None,
    poses: PoseAgreement | None = None,
    unmoved_truth: VolumeSource | None = None,
    settings: EvaluationSettings | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the volumes of a reconstruction against the true ones.

    The truth is read twice, once for the masks; the reconstruction once. Memory does not grow with
    the number of frames except for one FSC curve a region and frame.

    Args:
        source: the reconstruction.
        truth: the true volumes.
        frames: which frames to evaluate.
        box: edge of the volumes, voxels.
        pixel_size_angstrom: voxel size, Å.
        latents: latent means of the frames, ``(n, q)``; None for a method without latents.
        parameters: true parameters of the frames, ``(n, p)``, named by ``parameter_names``.
        parameter_names: p names.
        states: true state of the frames, integers ``(n,)``.
        poses: errors of the poses of the frames; None where they are the true ones.
        unmoved_truth: the truth as it is in the dataset, where ``truth`` was moved into the frame
            of the reconstruction; its spectrum is what tells datasets apart.
        settings: thresholds, masks, filters; the defaults when None.
        batch_size: volumes held at once.
        progress: told after every batch.

    Raises:
        TemporemError: a volume has the wrong size or holds NaN or infinite values; latents are not
            finite or do not match the frames.
    """
    settings = settings or EvaluationSettings()
    support = FourierSupport(box, 3)
    # First what can be refused without computing a volume.
    agreement = _latent_agreement(latents, frames, parameters, parameter_names, states)
    n = len(frames)
    with torch.no_grad():
        masks = _masks(truth, frames, support, settings.masks, batch_size)
        regions, groups = masks.regions(), torch.from_numpy(frames.groups)
        grid = low_pass_grid(support, settings.low_pass_fraction)
        fsc = {name: np.empty((n, support.n_shells), dtype=np.float32) for name in regions}
        psnr_db, ssim = np.empty((2, n))
        motion = MotionAccumulator(int(groups.max()) + 1, support, regions)
        truth_power = torch.zeros(support.n_shells, dtype=torch.float64)
        means = _state_means(states, support, regions)
        for part in _batches(np.arange(n), batch_size):
            volumes = _volumes(source, frames.rows[part], support, "reconstruction")
            true = _volumes(truth, frames.rows[part], support, "truth")
            pairs = _masked_pairs(volumes, true, regions, support)
            for name, pair in pairs.items():
                fsc[name][part] = fourier_shell_correlation(*pair, support).numpy()
            motion.update(groups[part], pairs)
            if means is not None:
                means.update(part, volumes, true)
            psnr_db[part], ssim[part] = image_quality(volumes, true, grid)
            if unmoved_truth is not None:
                true = _volumes(unmoved_truth, frames.rows[part], support, "truth")
            truth_power += power_spectrum(true, support).sum(0)
            if progress is not None:
                progress(int(part[-1]) + 1, n)
        sums = {} if masks.moving is None else motion.finish()
        curves = None if means is None else means.finish()
    return Evaluation(
        settings=settings,
        frames=frames,
        box=box,
        pixel_size_angstrom=pixel_size_angstrom,
        fsc=fsc,
        psnr_db=psnr_db,
        ssim=ssim,
        motion=sums,
        latents=agreement,
        mask_fractions={
            name: float(mask.mean()) for name, mask in regions.items() if mask is not None
        },
        truth_power=(truth_power / n).numpy(),
        states=curves,
        poses=poses,
    )


def _masks(
    truth: VolumeSource,
    frames: Frames,
    support: FourierSupport,
    settings: MaskSettings,
    batch_size: int,
) -> TruthMasks:
    """Masks of a random choice of frames: every tenth, say, might show a single state."""
    few = np.random.default_rng(0).permutation(frames.rows)[: settings.max_frames]
    batches = (_volumes(truth, rows, support, "truth") for rows in _batches(few, batch_size))
    return truth_masks(batches, support, settings)


def _state_means(
    states: np.ndarray | None, support: FourierSupport, regions: dict[str, Tensor | None]
) -> StateMeans | None:
    if states is None or not are_states(states) or len(np.unique(states)) > MAX_STATES:
        return None
    return StateMeans(states, support, regions)


def _masked_pairs(
    volumes: Tensor, truth: Tensor, regions: dict[str, Tensor | None], support: FourierSupport
) -> dict[str, tuple[Tensor, Tensor]]:
    """Volumes and truth inside every region, as coefficients; one inverse transform serves all."""
    in_space = support.ifft(volumes), support.ifft(truth)
    return {
        name: (volumes, truth)
        if mask is None
        else (apply_mask(in_space[0], mask, support), apply_mask(in_space[1], mask, support))
        for name, mask in regions.items()
    }


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
            hint="if a reconstruction: its training diverged, lower the learning rate",
        )
    return volumes.cpu()


def _latent_agreement(
    latents: np.ndarray | None,
    frames: Frames,
    parameters: np.ndarray | None,
    parameter_names: Sequence[str],
    states: np.ndarray | None,
) -> LatentAgreement | None:
    """None without latents, and with a single movie, which leaves none to predict for."""
    if latents is None:
        return None
    for name, array in (("latents", latents), ("parameters", parameters), ("states", states)):
        if array is None:
            continue
        if len(array) != len(frames):
            raise TemporemError(
                f"{len(array)} {name} for {len(frames)} frames", expected="one per frame evaluated"
            )
        if not np.isfinite(array).all():
            raise TemporemError(f"the {name} hold NaN or infinite values")
    if len(np.unique(frames.movie)) < 2:
        return None
    return latent_agreement(latents, frames.movie, parameters, parameter_names, states)


def _batches(items: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (items[start : start + size] for start in range(0, len(items), size))
