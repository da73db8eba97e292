"""Are the given poses as exact as the images need them?"""

from __future__ import annotations

import torch

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.frames import prepare_frames
from temporem.poses.errors import PoseErrors, measure_pose_errors


class PoseErrorCheck:
    """Measures how far poses are off, from the slope of the likelihood about them.

    Rotations decide that all parts of the molecule share, and shifts that they share by half. A
    molecule that moves seems turned even in exact poses, and a compact one shifted, but not all of
    it alike.
    """

    name = "poses"

    def look(self, evidence: Evidence) -> list[Finding]:
        dataset = evidence.dataset
        if not dataset.has_poses:
            return []
        frames = prepare_frames(dataset, evidence.settings, dataset.movies, torch.device("cpu"))
        return [self.judge(measure_pose_errors(frames), dataset.pixel_size_angstrom)]

    def judge(
        self,
        errors: PoseErrors | None,
        pixel_size_angstrom: float,
        processes: ProcessGroup = SINGLE_PROCESS,
    ) -> Finding:
        """Judge what was measured; all processes get the verdict of the first."""
        off = errors is not None and errors.are_off(pixel_size_angstrom)
        off = processes.any(processes.is_main and off)
        if errors is None:
            text = "the mean volume is too poor to tell how exact poses are"
            return Finding(self.name, Verdict.UNKNOWN, text)
        text = (
            f"poses seem to be off by {errors.shift_angstrom:.2g} Å "
            f"({errors.shift_angstrom / pixel_size_angstrom:.2g} pixels) and "
            f"{errors.angle_degrees:.2g}°"
        )
        if errors.common is not None:
            text += (
                f", of which all parts of the molecule share {errors.common.angstrom:.2g} Å and "
                f"{errors.common.degrees:.2g}°"
            )
        text += "; motion may add to both"
        if not off:
            return Finding(self.name, Verdict.GOOD, text)
        remedy = "--poses auto refines them, and --poses known takes them as they are"
        return Finding(self.name, Verdict.WARNING, text, remedy)
