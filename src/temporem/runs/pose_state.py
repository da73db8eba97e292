"""The JSON part of the checkpoint of a pose search; what is read back of it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from temporem.io import checkpoint
from temporem.io.settings import validate_settings
from temporem.poses.symmetry import Symmetry

POSES_NAME = "poses"


class _Record(BaseModel):
    log_evidence: FiniteFloat | None = None


class _Symmetry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order: int = Field(ge=0, le=1000)
    dihedral: bool
    axis: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    agreement: FiniteFloat


class _State(BaseModel):
    kind: Literal["poses"]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    records: list[_Record]
    radius: float = Field(1.0, gt=0, allow_inf_nan=False)
    diffusion: float | None = Field(None, ge=0, allow_inf_nan=False)
    inflation: float = Field(1.0, ge=1, allow_inf_nan=False)
    symmetry: _Symmetry | None = None
    starts_alike: float | None = Field(None, ge=0, le=1)


def _checked(directory: Path) -> tuple[dict[str, Any], _State]:
    document = checkpoint.load_state(directory)
    source = str(directory / checkpoint.STATE_NAME)
    return document, validate_settings(_State, document, source=source)


def load_pose_state(directory: Path, *, starts: int, steps: int) -> dict[str, Any]:
    """The state that a search continues from.

    Args:
        directory: RUN/poses.
        starts: random starts of the search, the first of its steps.
        steps: of the search in all.

    Raises:
        TemporemError: there is none, or something in it is not what such a search writes.
    """
    document, state = _checked(directory)
    done = checkpoint.load_count(document, "done", directory, below=steps + 1)
    right = {
        "records": len(state.records) == done,
        "log_evidence": all(r.log_evidence is not None for r in state.records[:starts]),
        "radius": done <= starts or "radius" in document,
    }
    for name in right:
        if not right[name]:
            raise checkpoint.damaged(directory, f"{name} of {done} steps")
    return document


def found_symmetry(run_dir: Path) -> Symmetry | None:
    """Symmetry of the volume that a run found its poses with; None where it has found none.

    Raises:
        TemporemError: the state of the search is damaged.
    """
    state = _found(run_dir)
    if state is None or state.symmetry is None:
        return None
    return Symmetry(**state.symmetry.model_dump())


def starts_alike(run_dir: Path) -> float | None:
    """The part of the frames whose poses two random starts of a run have found alike.

    None where poses were not sought from images alone, or from one start.

    Raises:
        TemporemError: the state of the search is damaged.
    """
    state = _found(run_dir)
    return None if state is None else state.starts_alike


def _found(run_dir: Path) -> _State | None:
    directory = run_dir / POSES_NAME
    return _checked(directory)[1] if directory.is_dir() else None
