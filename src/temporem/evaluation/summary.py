"""The summary of an evaluation: plain numbers under plain names, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.image_quality import SSIM_WINDOW, low_pass_grid
from temporem.evaluation.latents import DEFINITIONS as LATENT_DEFINITIONS
from temporem.evaluation.masks import WHOLE_BOX
from temporem.evaluation.pose_conformation_coupling import DEFINITIONS as LEAKAGE_DEFINITIONS
from temporem.evaluation.pose_conformation_coupling import PoseConformationCoupling
from temporem.evaluation.poses import summarise_poses
from temporem.evaluation.resampling import MovieBootstrap
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import area_under_curve


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Everything a reader wants to know, as JSON allows it: NaN and infinity become None.

    Sections ``fsc``, ``image_quality``, ``motion`` and ``poses`` are over all frames evaluated;
    ``held_out`` repeats them over held-out movies, None where there are none. ``states`` has FSC of
    the true states, ``leakage`` what poses and conformations take from one another.
    """
    held_out = evaluation.frames.held_out
    latents = evaluation.latents
    return finite(
        {
            "n_frames": len(evaluation.frames),
            "n_movies": len(np.unique(evaluation.frames.movie)),
            "box": evaluation.box,
            "pixel_size_angstrom": evaluation.pixel_size_angstrom,
            "nyquist_angstrom": 2 * evaluation.pixel_size_angstrom,
            **_measures(evaluation, np.ones_like(held_out)),
            "states": _states(evaluation),
            "latents": None if latents is None else asdict(latents),
            "alignment": None if evaluation.poses is None else evaluation.poses.alignment(),
            "leakage": None if evaluation.coupling is None else _leakage(evaluation.coupling),
            "held_out": {
                "n_frames": int(held_out.sum()),
                "n_movies": len(np.unique(evaluation.frames.movie[held_out])),
                **_measures(evaluation, held_out),
            }
            if held_out.any()
            else None,
            "definitions": _definitions(evaluation),
        }
    )


def finite(value: Any) -> Any:
    """The same nested value with every NaN and infinite number replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _measures(evaluation: Evaluation, chosen: np.ndarray) -> dict[str, Any]:
    """FSC, image quality, motion and poses over the chosen frames, bool ``(n,)``: whole movies."""
    bootstrap = MovieBootstrap(evaluation.frames.groups[chosen], evaluation.settings.bootstrap)

    def spread(values: np.ndarray) -> dict[str, Any]:
        values = values[chosen].astype(np.float64)
        return {
            "mean": float(values.mean()),
            "ci": bootstrap.interval(bootstrap.means(values)),
            "sd": float(values.std()),
            "median": float(np.median(values)),
        }

    fsc = {}
    for region, curves in evaluation.fsc.items():
        angstrom, never_crossed = evaluation.resolution(region)
        mean_curve = curves[chosen].mean(0, dtype=np.float64)
        of_mean = evaluation.resolution_of(mean_curve)
        fsc[region] = {
            "resolution_angstrom": spread(angstrom),
            "n_never_crossed": int(never_crossed[chosen].sum()),
            "mean_fsc_resolution_angstrom": float(of_mean.angstrom),
            "mean_fsc_never_crossed": bool(of_mean.never_crossed),
            "auc": spread(evaluation.auc(region)),
            "mean_curve": mean_curve.tolist(),
            "sd_curve": curves[chosen].std(0, dtype=np.float64).tolist(),
        }
    motion = {}
    for region, all_sums in evaluation.motion.items():
        sums = all_sums.subset(bootstrap.groups)
        motion[region] = {
            "correlation": float(sums.correlation()),
            "ci": bootstrap.interval(sums.correlation(bootstrap.weights)),
        }
    quality = {"psnr_db": spread(evaluation.psnr_db), "ssim": spread(evaluation.ssim)}
    poses = None
    if evaluation.poses is not None:
        poses = {"align": evaluation.settings.align} | summarise_poses(
            evaluation.poses, chosen, bootstrap, evaluation.pixel_size_angstrom
        )
    return {"fsc": fsc, "image_quality": quality, "motion": motion, "poses": poses}


def _states(evaluation: Evaluation) -> dict[str, Any] | None:
    """FSC of states: means over states, not over frames."""
    states = evaluation.states
    if states is None:
        return None
    fsc = {}
    for region, curves in states.fsc.items():
        angstrom, never_crossed = evaluation.resolution_of(curves)
        auc = area_under_curve(curves)
        fsc[region] = {
            "resolution_angstrom": {
                "mean": float(angstrom.mean()),
                "sd": float(angstrom.std()),
                "worst": float(angstrom.max()),
            },
            "n_never_crossed": int(never_crossed.sum()),
            "auc": {"mean": float(auc.mean()), "sd": float(auc.std()), "worst": float(auc.min())},
        }
    return {"n_states": len(states.labels), "fsc": fsc}


def _leakage(coupling: PoseConformationCoupling) -> dict[str, Any]:
    return {
        **asdict(coupling),
        "systematic_degrees": coupling.systematic_degrees,
        "chance_degrees": coupling.chance_degrees,
    }


def _definitions(evaluation: Evaluation) -> dict[str, Any]:
    """How every number was made."""
    settings, pixel = evaluation.settings, evaluation.pixel_size_angstrom
    grid = low_pass_grid(FourierSupport(evaluation.box, 3), settings.low_pass_fraction)
    return {
        "fsc": {
            "threshold": settings.fsc_threshold,
            "shells": "round(|k|), hard bins, shell 0 = 1",
            "resolution": "first crossing, linear between shells, Nyquist if never crossed",
            "auc": f"mean FSC of shells 1 to {evaluation.box // 2 - 1}",
            "mean_curve": "mean over frames of the FSC curves",
        },
        "masks": {
            "settings_voxels": asdict(settings.masks),
            "particle": "mean true volume: Gaussian low-pass, threshold, dilation, soft edge",
            "moving": "standard deviation over frames of the low-passed true volumes, likewise",
            "voxel_fraction": evaluation.mask_fractions,
        },
        "image_quality": {
            "low_pass_angstrom": evaluation.box * pixel / (grid.box / 2),
            "grid_box": grid.box,
            "intensity": "least-squares fit a V + b to the truth over the box",
            "data_range": "maximum − minimum of the low-passed true volume",
            "ssim_window_voxels": SSIM_WINDOW,
        },
        "motion": "sum over frames of <V - mean V, T - mean T> over the product of norms; "
        f"'{WHOLE_BOX}' over all frequencies inside Nyquist, others of masked volumes",
        "poses": "angles and displacements after one rotation, displacement and hand for all",
        "leakage": LEAKAGE_DEFINITIONS,
        "ci": {
            "level": settings.bootstrap.level,
            "method": "percentile bootstrap over movies",
            "samples": settings.bootstrap.samples,
            "seed": settings.bootstrap.seed,
            "groups": len(np.unique(evaluation.frames.groups)),
        },
        "states": "FSC of the mean volume of all frames of a true state with the mean of their "
        "true volumes; means over states",
        "latents": LATENT_DEFINITIONS,
    }
