"""Poses of frames in volumes that are known, as those of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.physics.poses import Poses
from temporem.poses.candidates import SEARCH_RADIUS, SearchScope
from temporem.poses.errors import PoseErrors
from temporem.poses.estimates import PoseEstimates
from temporem.poses.folds import FOLDS, FoldedFrames
from temporem.poses.improvement import improve_poses
from temporem.poses.settings import PoseSettings


@dataclass(frozen=True, eq=False)
class KnownVolumes:
    """A search for the poses of N frames that are in none of the volumes.

    Attributes:
        frames: frames on the CPU, centred by the shifts of the given poses.
        given: poses to start from.
        mean: mean volume μ in units of the images' noise, ``(D, D, D)``.
        components: U of ``μ + Σ_j z_j U_j``, the greatest first, ``(q, D, D, D)``: latents are
            found with the poses. None where frames show μ alone.
        settings: ``source``: estimate looks everywhere, refine around given poses; width of shifts.
        window_radius: radius of the ball that holds the molecule, in half boxes.
        errors: measured errors of given poses; where they are small, no search is needed, and poses
            keep a prior of their width.
        guess: poses to begin with instead of a search, as a pose head infers them.
    """

    frames: Frames
    given: Poses
    mean: Tensor
    components: Tensor | None
    settings: PoseSettings
    window_radius: float
    errors: PoseErrors | None = None
    guess: PoseEstimates | None = None

    def search(self, on_frames: Callable[[int], None]) -> PoseEstimates:
        """Find poses with frequencies below :data:`SEARCH_RADIUS`.

        Args:
            on_frames: called with the number of frames that were done.
        """
        if self.guess is not None:
            return self._improved(self.guess, SEARCH_RADIUS, "here", on_frames)
        if self.settings.source == "estimate":
            everywhere = PoseEstimates.at(torch.eye(3).expand(len(self.frames), 3, 3))
            return self._improved(everywhere, SEARCH_RADIUS, "everywhere", on_frames)
        scope: SearchScope = "around" if self._near is None else "here"
        start = PoseEstimates.at(self.given.rotations)
        return self._improved(start, SEARCH_RADIUS, scope, on_frames)

    def refine(self, found: PoseEstimates, on_frames: Callable[[int], None]) -> Poses:
        """Refine poses that were found, with all frequencies."""
        improved = self._improved(found, self.frames.forward_model.box / 2, "here", on_frames)
        poses = improved.poses
        return replace(poses, shifts_angstrom=self.given.shifts_angstrom + poses.shifts_angstrom)

    def posed(self, found: PoseEstimates) -> Frames:
        """The frames, centred and in poses that were found."""
        source, rotations = self._folded.centred(found), found.rotations.float()
        return replace(self.frames, source=source, rotations=rotations)

    def _improved(
        self,
        start: PoseEstimates,
        radius: float,
        scope: SearchScope,
        on_frames: Callable[[int], None],
    ) -> PoseEstimates:
        return improve_poses(
            self._folded,
            self.mean[None],
            start,
            radius,
            scope=scope,
            around_degrees=self.settings.around_degrees,
            components=self.components,
            prior=None if self._near is None else self._near.prior(self.given.rotations),
            on_frames=on_frames,
        ).estimates

    @property
    def _near(self) -> PoseErrors | None:
        """Errors of given poses that are so small that no search is needed; else None."""
        errors = None if self.settings.source == "estimate" else self.errors
        return errors if errors is not None and errors.are_near else None

    @property
    def _folded(self) -> FoldedFrames:
        model = self.frames.forward_model
        shift_sd = self.settings.shift_sd * model.box * model.pixel_size_angstrom
        if self._near is not None:
            shift_sd = self._near.shift_sd(model.pixel_size_angstrom)
        in_no_volume = np.full(len(self.frames), FOLDS)
        return FoldedFrames(model, self.frames.source, in_no_volume, shift_sd, self.window_radius)
