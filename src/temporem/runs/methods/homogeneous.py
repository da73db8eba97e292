"""One volume for all frames: weighted back-projection."""

from __future__ import annotations

import math

import numpy as np
import torch

from temporem.frames.dataset import Dataset
from temporem.io.checkpoint import load_module, module_tensors
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid
from temporem.runs.config import RunConfig
from temporem.runs.methods.base import Job, Outcome, require_no_options
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid


class Homogeneous:
    """One volume for all frames, and the half maps."""

    name = "homogeneous"
    summary = "one volume for all frames"

    def needs_poses(self, config: RunConfig) -> bool:
        return True

    def uses_dynamics(self, config: RunConfig) -> bool:
        return False

    def check(self, config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
        require_no_options(config)

    def memory(
        self, config: RunConfig, model: ForwardModel, longest: int, *, in_memory: bool
    ) -> tuple[int, str]:
        return 0, ""

    def run(self, job: Job) -> Outcome:
        mean = job.frames.statistics.mean_volume
        generator = LinearVolumes(job.frames.forward_model.box, 0)
        generator.set_mean(mean.volume)
        return Outcome(
            model=Parts(self.name, module_tensors(generator, "generator.")),
            volumes={
                "mean": mean.volume,
                "half1": mean.half_volumes[0],
                "half2": mean.half_volumes[1],
            },
            facts={"half_fsc": mean.half_fsc.tolist()},
        )

    def load(self, model: Parts, config: RunConfig, grid: VolumeGrid, z_dim: int) -> LinearVolumes:
        model.require_kind(self.name)
        return load_linear_volumes(model, grid.box, 0)


def load_linear_volumes(model: Parts, box: int, q: int) -> LinearVolumes:
    """Stored mean volume and q components."""
    generator = LinearVolumes(box, q)
    load_module(generator, model, "generator.")
    return generator


def grid_size(model: ForwardModel) -> int:
    """Voxels of the padded Fourier grid of a box."""
    return math.prod(full_grid(model.box, torch.device("cpu")).shape)
