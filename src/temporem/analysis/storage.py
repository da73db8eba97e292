"""Evaluations on disk: ``evaluation.json`` to read and ``evaluation.npz`` to compute with."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from temporem.analysis.evaluation import Evaluation, EvaluationSettings
from temporem.analysis.frames import Frames
from temporem.analysis.latents import LatentAgreement, ParameterAgreement, StateAgreement
from temporem.analysis.masks import MaskSettings
from temporem.analysis.motion import MotionSums
from temporem.analysis.pose_leakage import PoseLeakage, StateLeakage
from temporem.analysis.poses import PoseAgreement
from temporem.analysis.resampling import BootstrapSettings
from temporem.analysis.states import StateCurves
from temporem.analysis.summary import summarise
from temporem.data.files import atomic_write
from temporem.data.json_file import read_json_object
from temporem.errors import TemporemError

SUMMARY_NAME, ARRAYS_NAME = "evaluation.json", "evaluation.npz"
FORMAT = "temporem evaluation 2"


def save_evaluation(
    evaluation: Evaluation, directory: str | Path, *, overwrite: bool = False
) -> Path:
    """Write ``evaluation.npz``, then ``evaluation.json`` which names its checksum.

    Args:
        evaluation: what to write.
        directory: an existing directory, a RUN as a rule.
        overwrite: replace an earlier evaluation.

    Returns:
        Path of ``evaluation.json``.

    Raises:
        TemporemError: an evaluation is there already, or the directory cannot be written.
    """
    summary_path, arrays_path = Path(directory) / SUMMARY_NAME, Path(directory) / ARRAYS_NAME
    # Two files cannot be replaced at once, so all that can fail early must fail before either.
    if not overwrite and summary_path.exists():
        raise TemporemError(f"{summary_path} exists", hint="pass --overwrite to replace it")
    with atomic_write(arrays_path) as partial:
        np.savez_compressed(partial, **_arrays(evaluation))
        checksum = _sha256(partial)
    document = {
        "format": FORMAT,
        "settings": asdict(evaluation.settings),
        "arrays": {"file": ARRAYS_NAME, "sha256": checksum},
        **summarise(evaluation),
    }
    with atomic_write(summary_path) as partial:
        partial.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    return summary_path


def load_evaluation(directory: str | Path) -> Evaluation:
    """Read what :func:`save_evaluation` wrote.

    Raises:
        TemporemError: no evaluation there, a damaged one, or one of another version.
    """
    summary_path, arrays_path = Path(directory) / SUMMARY_NAME, Path(directory) / ARRAYS_NAME
    if not summary_path.is_file():
        raise TemporemError(
            f"{directory} has no {SUMMARY_NAME}", hint="run `temporem evaluate` on it first"
        )
    hint = "evaluate the run again"
    document = read_json_object(summary_path, form=FORMAT, hint=hint)
    try:
        if _sha256(arrays_path) != document["arrays"]["sha256"]:
            raise TemporemError(
                f"{arrays_path} is not the file that {SUMMARY_NAME} describes", hint=hint
            )
        with np.load(arrays_path, allow_pickle=False) as arrays:
            return _evaluation(document, dict(arrays))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise TemporemError(
            f"cannot read the evaluation in {directory}: {error}", hint=hint
        ) from error


def _arrays(evaluation: Evaluation) -> dict[str, Any]:
    """Everything measured, flat, and per-frame values derived from it for other readers."""
    arrays: dict[str, Any] = evaluation.frames.columns() | {
        "psnr_db": evaluation.psnr_db,
        "ssim": evaluation.ssim,
        "truth_power": evaluation.truth_power,
    }
    for region, curves in evaluation.fsc.items():
        arrays[f"fsc_{region}"] = curves
        angstrom, never_crossed = evaluation.resolution(region)
        arrays[f"resolution_angstrom_{region}"] = angstrom
        arrays[f"never_crossed_{region}"] = never_crossed
        arrays[f"auc_{region}"] = evaluation.auc(region)
    for region, sums in evaluation.motion.items():
        for field in fields(sums):
            arrays[f"motion_{region}_{field.name}"] = getattr(sums, field.name)
    if evaluation.states is not None:
        arrays["state_labels"] = evaluation.states.labels
        arrays["state_n_frames"] = evaluation.states.n_frames
        for region, curves in evaluation.states.fsc.items():
            arrays[f"state_fsc_{region}"] = curves
    if evaluation.poses is not None:
        arrays["pose_error_degrees"] = evaluation.poses.angle_degrees
        arrays["pose_shift_error_angstrom"] = evaluation.poses.shift_angstrom
    return arrays


def _evaluation(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Evaluation:
    return Evaluation(
        settings=_settings(document["settings"]),
        frames=Frames(**{field.name: arrays[field.name] for field in fields(Frames)}),
        box=document["box"],
        pixel_size_angstrom=document["pixel_size_angstrom"],
        fsc={region: arrays[f"fsc_{region}"] for region in document["fsc"]},
        psnr_db=arrays["psnr_db"],
        ssim=arrays["ssim"],
        motion={
            region: MotionSums(
                **{f.name: arrays[f"motion_{region}_{f.name}"] for f in fields(MotionSums)}
            )
            for region in document["motion"]
        },
        latents=_latents(document["latents"]),
        mask_fractions=document["definitions"]["masks"]["voxel_fraction"],
        truth_power=arrays["truth_power"],
        states=None if document["states"] is None else _states(document["states"], arrays),
        poses=_poses(document.get("alignment"), arrays),
        leakage=_leakage(document.get("leakage")),
    )


def _states(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> StateCurves:
    return StateCurves(
        arrays["state_labels"],
        arrays["state_n_frames"],
        {region: arrays[f"state_fsc_{region}"] for region in document["fsc"]},
    )


def _settings(document: dict[str, Any]) -> EvaluationSettings:
    nested = {
        "masks": MaskSettings(**document["masks"]),
        "bootstrap": BootstrapSettings(**document["bootstrap"]),
    }
    return EvaluationSettings(**(document | nested))


def _poses(document: dict[str, Any] | None, arrays: dict[str, np.ndarray]) -> PoseAgreement | None:
    if document is None:
        return None
    return PoseAgreement(
        arrays["pose_error_degrees"], arrays["pose_shift_error_angstrom"], **document
    )


def _leakage(document: dict[str, Any] | None) -> PoseLeakage | None:
    if document is None:
        return None
    states = [
        StateLeakage(**_numbers(state) | {"turn": tuple(_number(v) for v in state["turn"])})
        for state in document["states"]
    ]
    kept = ("n_close", "error_r2", "pose_r2", "view_r2")
    return PoseLeakage(**{name: document[name] for name in kept}, states=tuple(states))


def _latents(document: dict[str, Any] | None) -> LatentAgreement | None:
    if document is None:
        return None
    parameters = {n: ParameterAgreement(**p) for n, p in document["parameters"].items()}
    states = document["states"]
    return LatentAgreement(
        document["dimensions"], parameters, None if states is None else _state_agreement(states)
    )


def _state_agreement(document: dict[str, Any]) -> StateAgreement:
    return StateAgreement(**_numbers(document))


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in document.items()}


def _number(value: Any) -> Any:
    """JSON has null for NaN."""
    return float("nan") if value is None else value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
