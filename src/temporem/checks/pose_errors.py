"""Are the given poses as exact as the images need them?"""

from __future__ import annotations

import torch

from temporem.checks.base import Finding, Verdict
from temporem.checks.evidence import Evidence
from temporem.distributed import SINGLE_PROCESS, ProcessGroup
from temporem.frames.frames import prepare_frames
from temporem.poses.errors import measure_pose_errors

_MOST_PIXELS = 0.35  # exact poses of a molecule that moves seem off by up to a fifth
_SURE = 5.0  # standard errors


class PoseErrorCheck:
    """Measures how far poses are off, from the slope of the likelihood about them.

    Shifts decide, because a molecule that moves seems turned even in exact poses.
    """

    name = "poses"

    def look(self, evidence: Evidence) -> list[Finding]:
        return [self.measure(evidence)] if evidence.dataset.has_poses else []

    def measure(self, evidence: Evidence, processes: ProcessGroup = SINGLE_PROCESS) -> Finding:
        """Measure the errors; all processes get the verdict of the first."""
        dataset = evidence.dataset
        frames = prepare_frames(
            dataset, evidence.settings, dataset.movies, torch.device("cpu"), processes=processes
        )
        errors = measure_pose_errors(frames)
        if errors is None:
            text = "the mean volume is too poor to tell how exact poses are"
            return Finding(self.name, Verdict.UNKNOWN, text)
        pixels = errors.shift_angstrom / dataset.pixel_size_angstrom
        off = pixels > _MOST_PIXELS and errors.shift_certainty > _SURE
        text = (
            f"poses seem to be off by {errors.shift_angstrom:.2g} Å ({pixels:.2g} pixels) and "
            f"{errors.angle_degrees:.2g}°, of which the motion of the molecule may be a part"
        )
        if not processes.any(processes.is_main and off):
            return Finding(self.name, Verdict.GOOD, text)
        remedy = "--poses auto refines them, and --poses known takes them as they are"
        return Finding(self.name, Verdict.WARNING, text, remedy)
