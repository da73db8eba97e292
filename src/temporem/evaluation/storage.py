"""Evaluations on disk: ``evaluation.json`` with numbers, ``evaluation.npz`` with arrays."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Arrays, Evaluation
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.masks import WHOLE_BOX, MaskSettings
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import FrameMetric, Metric
from temporem.evaluation.resampling import BootstrapSettings
from temporem.evaluation.settings import EvaluationSettings
from temporem.evaluation.summary import summarise
from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_object
from temporem.io.npz import NpzFile
from temporem.io.outputs import require_no_links

SUMMARY_NAME, ARRAYS_NAME = "evaluation.json", "evaluation.npz"
FORMAT = "temporem evaluation 3"


def save_evaluation(
    evaluation: Evaluation, directory: str | Path, *, overwrite: bool = False
) -> Path:
    """Write ``evaluation.npz``, then ``evaluation.json`` which names its checksum.

    Args:
        evaluation: what to write.
        directory: an existing directory, such as a RUN.
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
        "arrays": {"file": ARRAYS_NAME, "sha256": checksum, "places": _places(evaluation)},
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


def _places(evaluation: Evaluation) -> dict[str, list[str]]:
    """Where each metric was measured."""
    return {name: list(evaluation[name]) for name in METRICS if evaluation[name]}


def _arrays(evaluation: Evaluation) -> dict[str, Any]:
    """Everything measured, and values of every frame that follow from it, for other readers."""
    arrays: dict[str, Any] = {
        **evaluation.frames.columns(),
        "truth_power": evaluation.truth_power,
    }
    for name, metric in METRICS.items():
        for place, measured in evaluation[name].items():
            per_frame = metric.per_frame(measured, evaluation)
            for key, array in {**measured, **per_frame}.items():
                arrays[_key(name, place, key)] = np.asarray(array)
    return arrays


def _key(metric: str, place: str, name: str) -> str:
    """Name of an array in ``evaluation.npz``: ``fsc/unmasked/curves``, ``poses/mirrored``."""
    return "/".join(filter(None, (metric, place, name)))


_FRAME_KINDS = {"particle_names": "U", "held_out": "b"}  # whole numbers the others


def _evaluation(document: dict[str, Any], arrays: NpzFile) -> Evaluation:
    box, pixel_size = document["box"], _number(document["pixel_size_angstrom"])
    if not (isinstance(box, int) and box > 0 and box % 2 == 0):
        raise ValueError(f"box is {box!r}")
    if not 0 < pixel_size < float("inf"):
        raise ValueError(f"pixel_size_angstrom is {pixel_size}")
    columns = [(f.name, _FRAME_KINDS.get(f.name, "iu")) for f in fields(EvaluatedFrames)]
    frames = EvaluatedFrames(**{name: arrays.take(name, kinds, None) for name, kinds in columns})
    axes = {
        "frames": len(frames),
        "shells": box // 2,
        "groups": int(frames.groups.max()) + 1,
    }
    results = {
        name: {
            place: _measured(arrays, METRICS[name], place, axes)
            for place in _places_of(METRICS[name], places)
        }
        for name, places in document["arrays"]["places"].items()
        if name in METRICS
    }
    return Evaluation(
        settings=_settings(document["settings"]),
        frames=frames,
        box=box,
        pixel_size_angstrom=pixel_size,
        results=results,
        mask_fractions=_numbers(document["masks"]["voxel_fraction"]),
        truth_power=arrays.take("truth_power", "f", box // 2),
        n_left_out=int(_number(document["n_left_out"])),
    )


def _places_of(metric: Metric, places: Any) -> list[str]:
    if not (isinstance(places, list) and all(isinstance(place, str) for place in places)):
        raise ValueError(f"places of {metric.name} are {reprlib.repr(places)}")
    if isinstance(metric, FrameMetric) and metric.by_region and WHOLE_BOX not in places:
        raise ValueError(f"{metric.name} is not measured in the whole box")
    return places


def _measured(arrays: NpzFile, metric: Metric, place: str, axes: Mapping[str, int]) -> Arrays:
    """The arrays of a metric in one place; axes of its own have the length of the first array."""
    known, found = dict(axes), {}
    for name, (kinds, *shape) in metric.arrays.items():
        wanted = [known.get(axis) if isinstance(axis, str) else axis for axis in shape]
        array = arrays.take(_key(metric.name, place, name), str(kinds), *wanted)
        for axis, length in zip(shape, array.shape, strict=True):
            known.setdefault(str(axis), length)
        found[name] = array
    return found


def _settings(document: dict[str, Any]) -> EvaluationSettings:
    others = ("masks", "bootstrap", "align")
    numbers = {key: value for key, value in document.items() if key not in others}
    return EvaluationSettings(
        masks=MaskSettings(**_numbers(document["masks"])),
        bootstrap=BootstrapSettings(**_numbers(document["bootstrap"])),
        align=document["align"],
        **_numbers(numbers),
    )


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in document.items()}


def _number(value: Any) -> Any:
    """A number; JSON has null for NaN."""
    if value is None:
        return float("nan")
    if not isinstance(value, int | float):
        raise ValueError(f"{reprlib.repr(value)} stands where a number belongs")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
