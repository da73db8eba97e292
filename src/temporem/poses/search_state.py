"""State and result of a search for poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from temporem.io.state import Parts
from temporem.physics.poses import Poses
from temporem.poses.candidates import SEARCH_RADIUS
from temporem.poses.estimates import PoseEstimates
from temporem.poses.symmetry import Symmetry

_DOUBLE, _SINGLE = torch.float64, torch.float32


@dataclass(frozen=True, eq=False)
class FoundPoses(Poses):
    """Poses that a search has found, with symmetry and agreement of random starts.

    Attributes:
        symmetry: symmetry of the volume in these poses: they are determined up to it.
        starts_alike: fraction of the frames on whose poses two random starts agree; None with
            fewer than two starts.
        diffusion: rotational diffusion coefficient that links the frames of movies, degrees² per
            unit of time; None where poses are independent.
        log: records of the steps.
    """

    symmetry: Symmetry | None = None
    starts_alike: float | None = None
    diffusion: float | None = None
    log: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class PoseSearchState:
    """A search for poses after one of its steps.

    Attributes:
        given: poses of the dataset, by whose shifts the frames are centred; not stored.
        done: steps done.
        finished: no step is left.
        seconds: time that the steps took.
        radius: highest frequency that was used, cycles per box.
        estimates: poses so far; None before the first iteration.
        volume: volume of the likeliest start, ``(D', D', D')``; None after the first iteration.
        starts: rotations that each of S random starts gives the training frames, float32
            ``(S, N', 3, 3)``; None with given poses, and in the end.
        start_evidences: log-evidence of a frame in the last round of each start, float64 ``(S,)``.
        diffusion: rotational diffusion coefficient that was fitted, degrees² per unit of time; None
            where frames are not connected.
        inflation: factor by which errors of poses exceed their posterior variances.
        symmetry: symmetry of the volume, in the end.
        starts_alike: fraction of the frames on which two starts agree, in the end.
        record: numbers to log of the step.
    """

    kind: ClassVar[str] = "poses"
    sound: ClassVar[bool] = True

    given: Poses
    done: int = 0
    finished: bool = False
    seconds: float = 0.0
    radius: float = SEARCH_RADIUS
    estimates: PoseEstimates | None = None
    volume: Tensor | None = None
    starts: Tensor | None = None
    start_evidences: Tensor | None = None
    diffusion: float | None = None
    inflation: float = 1.0
    symmetry: Symmetry | None = None
    starts_alike: float | None = None
    record: Mapping[str, Any] | None = None

    def result(self) -> FoundPoses:
        """The poses of a finished search, their shifts from the centres of the images."""
        assert self.estimates is not None
        poses = self.estimates.poses
        shifts = self.given.shifts_angstrom + poses.shifts_angstrom
        return FoundPoses(
            **{**vars(poses), "shifts_angstrom": shifts},
            symmetry=self.symmetry,
            starts_alike=self.starts_alike,
            diffusion=self.diffusion,
        )

    def parts(self) -> Parts:
        """The state as tensors and a document."""
        tensors = {} if self.estimates is None else dict(vars(self.estimates))
        more = {name: getattr(self, name) for name in ("volume", "starts", "start_evidences")}
        tensors |= {name: tensor for name, tensor in more.items() if tensor is not None}
        names = ("done", "finished", "seconds", "radius", "diffusion", "inflation", "starts_alike")
        document = {name: getattr(self, name) for name in names}
        if self.symmetry is not None:
            document["symmetry"] = asdict(self.symmetry)
            axis = document["symmetry"].pop("axis")
            tensors["symmetry_axis"] = torch.tensor(axis, dtype=_DOUBLE)
        return Parts(self.kind, tensors, document)

    @classmethod
    def from_parts(cls, parts: Parts, given: Poses) -> PoseSearchState:
        """Restore a stored state.

        Args:
            parts: what was stored.
            given: poses of the dataset.

        Raises:
            TemporemError: a part does not fit a search of these frames.
        """
        parts.require_kind(cls.kind)
        n, finished = len(given), parts.flag("finished")
        state = cls(
            given=given,
            done=parts.integer("done"),
            finished=finished,
            seconds=parts.number("seconds", least=0),
            radius=parts.number("radius", least=1),
            diffusion=_optional(parts, "diffusion"),
            inflation=parts.number("inflation", least=1),
            starts_alike=_optional(parts, "starts_alike"),
            symmetry=_symmetry(parts) if finished else None,
        )
        if "starts" in parts.tensors:
            evidences = parts.tensor("start_evidences", -1, dtype=_DOUBLE)
            starts = parts.tensor("starts", len(evidences), -1, 3, 3, dtype=_SINGLE)
            state = replace(state, starts=starts, start_evidences=evidences)
        if "rotations" in parts.tensors:
            estimates = PoseEstimates(
                rotations=parts.tensor("rotations", n, 3, 3, dtype=_DOUBLE),
                shifts_angstrom=parts.tensor("shifts_angstrom", n, 2, dtype=_DOUBLE),
                covariance=parts.tensor("covariance", n, 5, 5, dtype=_DOUBLE),
                score=parts.tensor("score", n, dtype=_DOUBLE),
            )
            return replace(state, estimates=estimates)
        if state.starts is None:
            raise parts.damaged("rotations is missing")
        edge = len(parts.tensor("volume", -1, -1, -1, dtype=_SINGLE))
        return replace(state, volume=parts.tensor("volume", edge, edge, edge))


def _optional(parts: Parts, name: str) -> float | None:
    return None if parts.document.get(name) is None else parts.number(name, least=0)


def _symmetry(parts: Parts) -> Symmetry:
    document = parts.document.get("symmetry")
    found = replace(parts, document=document if isinstance(document, dict) else {})
    x, y, z = parts.tensor("symmetry_axis", 3, dtype=_DOUBLE).tolist()
    return Symmetry(
        order=found.integer("order", most=1000),
        dihedral=found.flag("dihedral"),
        axis=(x, y, z),
        agreement=found.number("agreement"),
    )
