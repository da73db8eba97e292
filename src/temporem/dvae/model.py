"""The variational auto-encoders: the static model, frame by frame, and TEMPOR, movie by movie.

Both share extractor, generator, forward model and bound. They differ in the inference of latents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from temporem.dvae.inference import FrameInference, SequenceInference
from temporem.dvae.latents import PLACES, Latents
from temporem.dvae.priors import GatedTransition, StandardPrior
from temporem.dvae.settings import NetworkSettings
from temporem.frames.batch import Batch
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.forward import ForwardModel
from temporem.poses.table import PoseTable
from temporem.volumes.generators import make_generator
from temporem.volumes.layers import ResidualMLP
from temporem.volumes.low_slices import LowSlices
from temporem.volumes.model import VolumeModel

VAEKind = Literal["static", "tempor"]

_ENCODER_DEPTH = 3


@dataclass(frozen=True)
class Bound:
    """Terms of the evidence lower bound (TEMPOR Eq. 11), nats per frame, each ``(F,)``.

    Attributes:
        log_likelihood: log-likelihood of the images.
        kl: Kullback–Leibler divergence of the latents from their prior.
        pose_kl: divergence of the poses from their prior; 0 if poses are not learned.
        penalty: the generator's, of volumes that are unlikely whatever the images say.
    """

    log_likelihood: Tensor
    kl: Tensor
    pose_kl: Tensor
    penalty: Tensor


class MovieVAE(nn.Module):
    """Images → features → latents → volumes → images (TEMPOR Eq. 8–11).

    Args:
        kind: ``static`` or ``tempor``.
        network: sizes and structure.
        forward_model: image formation.
        n_inputs: number E of encoder inputs of a frame.
        base_components: components of the linear model that the generator refines; None if the
            generator represents the whole volume.

    Attributes:
        poses: learned poses; None if the poses of the batches are used.
        volume_errors: variance of latents on the grid that comes from the volumes, ``(PLACES,)``;
            0 until training is over.
    """

    poses: PoseTable | None
    volume_errors: Tensor

    def __init__(
        self,
        kind: VAEKind,
        network: NetworkSettings,
        forward_model: ForwardModel,
        n_inputs: int,
        base_components: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.poses = None
        self.forward_model = forward_model
        width = network.encoder_width
        self.extractor = ResidualMLP(n_inputs, width, _ENCODER_DEPTH, width)
        self.inference = _make_inference(kind, network)
        self.generator = build_generator(network, forward_model.box, base_components)
        self.register_buffer("volume_errors", torch.zeros(PLACES))

    def set_dtype(self, dtype: torch.dtype | None) -> None:
        """Choose the arithmetic of the large matrix products; None for float32."""
        self.extractor.dtype = dtype
        self.generator.set_dtype(dtype)

    @property
    def dtype(self) -> torch.dtype | None:
        """Arithmetic of the large matrix products; None for float32."""
        return self.extractor.dtype

    def features(self, batch: Batch) -> Tensor:
        """Extract features ``(F, W)`` of single frames."""
        return torch.relu(self.extractor(batch.encoder_input))

    def infer(self, batch: Batch, noise: FrameNoise | None = None) -> Latents:
        """Infer the latents of a batch; without noise they are the posterior means."""
        return self.inference(self.features(batch), batch.lengths, batch.times, noise)

    def mean_poses(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Rotations and shifts: the means of learned poses; those of the batch without any."""
        if self.poses is None:
            return batch.rotations, batch.shifts_angstrom
        return self.poses(batch.rows).draw(None)

    def scored(
        self, batch: Batch, z: Tensor, noise: FrameNoise | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score how well latents explain frames, in learned poses if there are any.

        Args:
            batch: F frames.
            z: latents ``(F, q)``, or ``(1, q)`` of all frames.
            noise: draws the poses; with None they are the means.

        Returns:
            Log-likelihood, and KL divergence of the pose, each ``(F,)``.
        """
        if self.poses is None:
            likelihood = self.log_likelihood(batch, self.render(batch, z))
            return likelihood, torch.zeros_like(likelihood)
        posterior = self.poses(batch.rows)
        rotations, shifts = posterior.draw(noise)
        placed = replace(batch, rotations=rotations, shifts_angstrom=shifts)
        return self.log_likelihood(batch, self.render(placed, z)), posterior.kl()

    def scored_volumes(self, batch: Batch, slices: LowSlices) -> Tensor:
        """Score how well each of G volumes explains frames, in the mean of learned poses.

        Args:
            batch: F frames, at low frequencies.
            slices: the volumes.

        Returns:
            Log-likelihoods ``(F, G)``.
        """
        model, pixels = self.forward_model, batch.pixels.index
        rotations, shifts = self.mean_poses(batch)
        seen = slices(model.slice_frequencies(rotations, pixels)).movedim(-1, 0)
        phase = None if shifts is None else model.shift_phase(shifts, pixels)
        return self.log_likelihood(batch, model.observe(seen, batch.ctf, phase)).T

    def render(self, batch: Batch, z: Tensor) -> Tensor:
        """Compute noise-free images ``(F, P)`` of latents ``(F, q)`` in the poses of the batch."""
        model, pixels, shifts = self.forward_model, batch.pixels.index, batch.shifts_angstrom
        slices = self.generator.frame_slices(model, batch.rotations, pixels, z)
        phase = None if shifts is None else model.shift_phase(shifts, pixels)
        return model.observe(slices, batch.ctf, phase)

    def bound(self, batch: Batch, noise: FrameNoise | None = None) -> Bound:
        """Compute the terms of the evidence lower bound of every frame (TEMPOR Eq. 11)."""
        latents = self.infer(batch, noise)
        log_likelihood, pose_kl = self.scored(batch, latents.z, noise)
        return Bound(log_likelihood, latents.kl, pose_kl, self.generator.penalty(latents.z))

    def log_likelihood(self, batch: Batch, observed: Tensor) -> Tensor:
        """Score noise-free images ``(F, P)`` at the pixels of the batch: ``(F,)``."""
        return self.forward_model.log_likelihood(
            observed, batch.images, 1.0, weights=batch.pixels.weights
        )


def build_vae(
    kind: VAEKind,
    network: NetworkSettings,
    forward_model: ForwardModel,
    n_inputs: int,
    *,
    base_components: int | None = None,
    seed: int,
) -> MovieVAE:
    """Build a model with initial weights that depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MovieVAE(kind, network, forward_model, n_inputs, base_components)


def build_generator(
    network: NetworkSettings, box: int, base_components: int | None = None
) -> VolumeModel:
    """Build the generator; it starts from a linear model if that has components."""
    width = network.generator_width
    return make_generator(network.generator, box, network.z_dim, width, base_components)


def _make_inference(kind: VAEKind, network: NetworkSettings) -> FrameInference | SequenceInference:
    if kind == "static":
        return FrameInference(network.encoder_width, network.z_dim)
    learned = network.prior == "learned"
    return SequenceInference(
        network.encoder_width,
        network.z_dim,
        network.rnn_width,
        network.inference,
        GatedTransition(network.z_dim) if learned else StandardPrior(),
        network.hidden_frames,
    )
