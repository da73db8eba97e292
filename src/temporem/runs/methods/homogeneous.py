"""One volume for all frames: weighted back-projection, or a cloud that is still."""

from __future__ import annotations

import math

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.frames import Frames
from temporem.frames.still_cloud import fit_still_clouds, still_cloud_memory
from temporem.io.checkpoint import load_module, module_tensors
from temporem.io.state import Parts
from temporem.physics.forward import ForwardModel
from temporem.physics.padded_grid import full_grid
from temporem.runs.config import RunConfig
from temporem.runs.methods.base import Job, Outcome, require_no_options
from temporem.volumes.back_projection import HomogeneousVolume
from temporem.volumes.cloud import gaussians_for
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import VolumeGrid
from temporem.volumes.still_cloud import StillCloud


class Homogeneous:
    """One volume for all frames, and the half maps."""

    name = "homogeneous"
    summary = "one volume for all frames"

    def uses_dynamics(self, config: RunConfig) -> bool:
        return False

    def check(self, config: RunConfig, dataset: Dataset, training: list[np.ndarray]) -> None:
        require_no_options(config)
        if config.model.generator not in ("volumes", "cloud"):
            raise TemporemError(
                f"model.generator is {config.model.generator}, which method {self.name} lacks",
                expected="volumes or cloud",
            )

    def memory(
        self, config: RunConfig, model: ForwardModel, longest: int, *, in_memory: bool
    ) -> tuple[int, str]:
        if config.model.generator != "cloud":
            return 0, ""
        width = config.model.generator_width
        hint = f"lower model.generator_width, which is {width}, or bin the images to a box below "
        return still_cloud_memory(_gaussians(config, model.box), model.box), f"{hint}{model.box}"

    def run(self, job: Job) -> Outcome:
        mean = job.frames.statistics.mean_volume
        if job.config.model.generator == "cloud":
            gaussians = _gaussians(job.config, job.frames.forward_model.box)
            clouds = fit_still_clouds(
                job.frames, gaussians, seed=job.config.seed, progress=job.progress
            )
            return self._outcome(clouds.cloud, clouds.found)
        generator = LinearVolumes(job.frames.forward_model.box, 0)
        generator.set_mean(mean.volume)
        return self._outcome(generator, mean)

    def _outcome(self, generator: torch.nn.Module, mean: HomogeneousVolume) -> Outcome:
        return Outcome(
            model=Parts(self.name, module_tensors(generator, "generator.")),
            volumes={
                "mean": mean.volume,
                "half1": mean.half_volumes[0],
                "half2": mean.half_volumes[1],
            },
            facts={"half_fsc": mean.half_fsc.tolist()},
        )

    def infer(
        self, model: Parts, config: RunConfig, dataset: Dataset, frames: Frames
    ) -> tuple[None, None]:
        """See :class:`Infers`."""
        return None, None

    def load(
        self, model: Parts, config: RunConfig, grid: VolumeGrid, z_dim: int
    ) -> LinearVolumes | StillCloud:
        model.require_kind(self.name)
        if config.model.generator == "cloud":
            cloud = StillCloud(_gaussians(config, grid.box))
            load_module(cloud, model, "generator.")
            return cloud
        return load_linear_volumes(model, grid.box, 0)


def _gaussians(config: RunConfig, box: int) -> int:
    return gaussians_for(config.model.generator_width, box)


def load_linear_volumes(model: Parts, box: int, q: int) -> LinearVolumes:
    """Stored mean volume and q components."""
    generator = LinearVolumes(box, q)
    load_module(generator, model, "generator.")
    return generator


def grid_size(model: ForwardModel) -> int:
    """Voxels of the padded Fourier grid of a box."""
    return math.prod(full_grid(model.box, torch.device("cpu")).shape)
