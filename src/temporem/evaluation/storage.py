"""Evaluations on disk: ``evaluation.json`` to read and ``evaluation.npz`` to compute with."""

from __future__ import annotations

import hashlib
import json
import reprlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation, EvaluationSettings
from temporem.evaluation.frames import Frames
from temporem.evaluation.latents import LatentAgreement, ParameterAgreement, StateAgreement
from temporem.evaluation.masks import WHOLE_BOX, MaskSettings
from temporem.evaluation.motion import MotionSums
from temporem.evaluation.pose_conformation_coupling import PoseConformationCoupling, StateCoupling
from temporem.evaluation.poses import PoseAgreement
from temporem.evaluation.resampling import BootstrapSettings
from temporem.evaluation.states import StateCurves
from temporem.evaluation.summary import summarise
from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_object
from temporem.io.npz import NpzFile
from temporem.io.outputs import require_no_links

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
    require_no_links([arrays_path, summary_path])
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
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text, encoding="utf-8")
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
        return _evaluation(
            document, NpzFile(arrays_path, what="the arrays of an evaluation", hint=hint)
        )
    except KeyError as error:
        raise TemporemError(f"the evaluation in {directory} lacks {error}", hint=hint) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
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


_FRAME_KINDS = {"particle_names": "U", "held_out": "b"}  # whole numbers the others


def _evaluation(document: dict[str, Any], arrays: NpzFile) -> Evaluation:
    box, pixel_size = document["box"], _number(document["pixel_size_angstrom"])
    if not (isinstance(box, int) and box > 0 and box % 2 == 0):
        raise ValueError(f"box is {box!r}")
    if not 0 < pixel_size < float("inf"):
        raise ValueError(f"pixel_size_angstrom is {pixel_size}")
    columns = [(field.name, _FRAME_KINDS.get(field.name, "iu")) for field in fields(Frames)]
    frames = Frames(**{name: arrays.take(name, kinds, None) for name, kinds in columns})
    n, n_shells, n_groups = len(frames), box // 2, int(frames.groups.max()) + 1
    return Evaluation(
        settings=_settings(document["settings"]),
        frames=frames,
        box=box,
        pixel_size_angstrom=pixel_size,
        fsc={
            region: arrays.take(f"fsc_{region}", "f", n, n_shells)
            for region in {WHOLE_BOX: None} | document["fsc"]
        },
        psnr_db=arrays.take("psnr_db", "f", n),
        ssim=arrays.take("ssim", "f", n),
        motion={
            region: MotionSums(
                **{
                    field.name: arrays.take(f"motion_{region}_{field.name}", "f", n_groups)
                    for field in fields(MotionSums)
                }
            )
            for region in document["motion"]
        },
        latents=_latents(document["latents"]),
        mask_fractions=_numbers(document["definitions"]["masks"]["voxel_fraction"]),
        truth_power=arrays.take("truth_power", "f", n_shells),
        states=None if document["states"] is None else _states(document["states"], arrays, box),
        poses=_poses(document.get("alignment"), arrays, n),
        coupling=_leakage(document.get("leakage")),
    )


def _states(document: dict[str, Any], arrays: NpzFile, box: int) -> StateCurves:
    labels = arrays.take("state_labels", "iu", None)
    return StateCurves(
        labels,
        arrays.take("state_n_frames", "iu", len(labels)),
        {
            region: arrays.take(f"state_fsc_{region}", "f", len(labels), box // 2)
            for region in document["fsc"]
        },
    )


def _settings(document: dict[str, Any]) -> EvaluationSettings:
    others = ("masks", "bootstrap", "align")
    numbers = {key: value for key, value in document.items() if key not in others}
    return EvaluationSettings(
        masks=MaskSettings(**_numbers(document["masks"])),
        bootstrap=BootstrapSettings(**_numbers(document["bootstrap"])),
        align=document.get("align", "all"),
        **_numbers(numbers),
    )


def _poses(document: dict[str, Any] | None, arrays: NpzFile, n: int) -> PoseAgreement | None:
    if document is None:
        return None
    return PoseAgreement(
        arrays.take("pose_error_degrees", "f", n),
        arrays.take("pose_shift_error_angstrom", "f", n),
        **document | {"other_hand_degrees": _number(document["other_hand_degrees"])},
    )


def _leakage(document: dict[str, Any] | None) -> PoseConformationCoupling | None:
    if document is None:
        return None
    states = [
        StateCoupling(
            **_numbers({key: value for key, value in state.items() if key != "turn"}),
            turn=tuple(_number(value) for value in state["turn"]),
        )
        for state in document["states"]
    ]
    scores = {
        name: None if document[name] is None else _number(document[name])
        for name in ("error_r2", "pose_r2", "view_r2")
    }
    return PoseConformationCoupling(n_close=document["n_close"], **scores, states=tuple(states))


def _latents(document: dict[str, Any] | None) -> LatentAgreement | None:
    if document is None:
        return None
    parameters = {
        name: ParameterAgreement(**_numbers(item)) for name, item in document["parameters"].items()
    }
    states = document["states"]
    return LatentAgreement(
        document["dimensions"],
        parameters,
        None if states is None else StateAgreement(**_numbers(states)),
    )


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in document.items()}


def _number(value: Any) -> Any:
    """JSON has null for NaN."""
    if value is None:
        return float("nan")
    if not isinstance(value, int | float):
        raise ValueError(f"{reprlib.repr(value)} stands where a number belongs")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
