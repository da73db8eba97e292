"""A linear model as a distribution of movies: its exact likelihood, latents integrated out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from temporem.frames.frames import Frames
from temporem.io.state import Parts
from temporem.linear.dynamics import Dynamics
from temporem.linear.information import latent_information
from temporem.linear.smoother import smooth
from temporem.linear.state import stored_dynamics
from temporem.volumes.linear_volumes import LinearVolumes


@dataclass(frozen=True, eq=False)
class LinearChain:
    """Volumes ``μ + Σ_j z_j U_j`` whose latents are a Gaussian chain.

    Attributes:
        volumes: μ and the components.
        dynamics: of the latents.
    """

    volumes: LinearVolumes
    dynamics: Dynamics

    @classmethod
    def of_stored(cls, volumes: LinearVolumes, stored: Parts, *, temporal: bool) -> LinearChain:
        """Make the chain of a linear model that a run has stored."""
        return cls(volumes, stored_dynamics(stored, volumes.z_dim, temporal=temporal))

    @property
    def mean(self) -> Tensor:
        """Mean volume μ, ``(D, D, D)``."""
        return self.volumes.mean

    def movie_log_likelihoods(self, frames: Frames, movies: list[np.ndarray]) -> Tensor:
        """Score movies; see :meth:`VolumeMixture.movie_log_likelihoods`."""
        model, share = frames.forward_model, frames.statistics.independent_share
        weights = share * model.support.weights.to(frames.device)
        transitions = self.dynamics.transitions(frames.intervals)
        found = []
        for block in frames.blocks(movies):
            slices = self.volumes.slices(model.slice_frequencies(block.rotations))
            design = model.observe(slices, block.ctf[..., None])
            information, score, rest = latent_information(
                block.images - design[..., 0], design[..., 1:], weights[: design.shape[1]]
            )
            still = -0.5 * rest.double().square().sum(1).cpu()
            sizes = block.lengths.tolist()
            parts = (information.cpu(), score.cpu(), still, block.interval_index)
            for j, h, alone, intervals in zip(*(x.split(sizes) for x in parts), strict=True):
                steps = transitions[intervals[None, 1:]]
                found.append(alone.sum() + smooth(j[None], h[None], steps).log_evidence[0])
        return torch.stack(found)
