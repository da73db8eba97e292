"""Input of metrics: frames, known facts about them, and their volumes batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.masks import MOVING, WHOLE_BOX, apply_mask
from temporem.evaluation.poses import AlignedPoses
from temporem.evaluation.settings import EvaluationSettings
from temporem.physics.fourier import FourierSupport


@dataclass(frozen=True, eq=False)
class Known:
    """Facts about n frames besides their volumes.

    Attributes:
        latents: latent means of the reconstruction, ``(n, q)``; None for a method without latents.
        latent_covariance: their posterior covariance, ``(n, q, q)``; None where there is none.
        parameters: true parameters of the motion, ``(n, p)``.
        parameter_names: p names.
        states: true states, integers ``(n,)``.
        poses: poses of the reconstruction and true poses; None if they are the same.
        probes: latent means ``(n, q)`` that the encoder infers with something taken from it:
            ``blank`` without images, ``shuffled`` without the order of frames.
        nuisances: what the run corrected and what is true, ``(n, 2)``, by name; ``junk`` is the
            probability that a frame is good, and 1 for junk.
    """

    latents: np.ndarray | None = None
    latent_covariance: np.ndarray | None = None
    parameters: np.ndarray | None = None
    parameter_names: Sequence[str] = ()
    states: np.ndarray | None = None
    poses: AlignedPoses | None = None
    probes: Mapping[str, np.ndarray] = field(default_factory=dict)
    nuisances: Mapping[str, np.ndarray] = field(default_factory=dict)

    def require_finite(self, n_frames: int) -> None:
        """Raise a TemporemError unless all arrays are finite and have this number of frames."""
        arrays = {
            "latents": self.latents,
            "covariances of latents": self.latent_covariance,
            "parameters": self.parameters,
            "states": self.states,
        }
        arrays |= {f"latents ({name})": array for name, array in self.probes.items()}
        for name, array in arrays.items():
            if array is None:
                continue
            if len(array) != n_frames:
                raise TemporemError(
                    f"{len(array)} {name} for {n_frames} frames", expected="one per frame evaluated"
                )
            if not np.isfinite(array).all():
                raise TemporemError(f"the {name} hold NaN or infinite values")


@dataclass(frozen=True, eq=False)
class Case:
    """Facts that an evaluation knows before it reads the volumes.

    Attributes:
        frames: n frames.
        support: frequencies of the volumes' Fourier coefficients, P of them.
        regions: soft masks ``(D, D, D)`` by name; None is the whole box. Without a region
            ``moving`` the truth stands still.
        settings: thresholds, filters, masks.
        known: latents, poses and what is true of the frames.
    """

    frames: EvaluatedFrames
    support: FourierSupport
    regions: Mapping[str, Tensor | None]
    settings: EvaluationSettings
    known: Known

    @property
    def moves(self) -> bool:
        """True unless the true volume is the same in every frame."""
        return MOVING in self.regions

    @property
    def n_movies(self) -> int:
        """Number of movies."""
        return len(np.unique(self.frames.movie))


class Pair:
    """Volumes of B frames and the true ones, in one region.

    Attributes:
        volumes, truth: Fourier coefficients, complex ``(B, P)``.
        case: what is known before.
    """

    def __init__(self, volumes: Tensor, truth: Tensor, case: Case) -> None:
        self.volumes, self.truth, self.case = volumes, truth, case

    @cached_property
    def in_space(self) -> tuple[Tensor, Tensor]:
        """Volumes and truth on voxels, ``(B, D, D, D)`` each."""
        support = self.case.support
        return support.ifft(self.volumes), support.ifft(self.truth)


class Batch:
    """Volumes of B frames and the true ones, in every region.

    Attributes:
        part: positions of the frames among those evaluated, ``(B,)``.
    """

    def __init__(self, part: np.ndarray, volumes: Tensor, truth: Tensor, case: Case) -> None:
        self.part = part
        self._case = case
        self._pairs = {WHOLE_BOX: Pair(volumes, truth, case)}

    def inside(self, region: str) -> Pair:
        """The volumes inside one region, masked where it has a mask."""
        if region not in self._pairs:
            mask = self._case.regions[region]
            assert mask is not None
            volumes, truth = self._pairs[WHOLE_BOX].in_space
            support = self._case.support
            self._pairs[region] = Pair(
                apply_mask(volumes, mask, support), apply_mask(truth, mask, support), self._case
            )
        return self._pairs[region]
