"""The variational auto-encoders: static (every frame alone) and TEMPOR (a movie at a time).

Both are the same model but for how a latent path is inferred: one feature extractor, one
generator, one forward model, one bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from temporem.dvae.config import ModelConfig
from temporem.dvae.inference import FrameInference, SequenceInference
from temporem.dvae.latents import Latents
from temporem.dvae.priors import GatedTransition, StandardPrior
from temporem.frames.frame_noise import FrameNoise
from temporem.physics.forward import ForwardModel
from temporem.physics.pixel_sample import PixelSample
from temporem.poses.head import PoseHead, twin_image
from temporem.poses.table import PosePosterior, PoseTable
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.layers import ResidualMLP

VAEKind = Literal["static", "tempor"]


@dataclass(frozen=True)
class FrameBatch:
    """Frames of whole movies, one movie after the other, each in order of time.

    Attributes:
        evidence: what the feature extractor sees of a frame, ``(F, E)``.
        images: centred Fourier images with unit noise variance, complex64 ``(F, P)``.
        contrast: their CTF, ``(F, P)``.
        rotations: molecule to camera, ``(F, 3, 3)``.
        lengths: frames per movie, ``(M,)``, on the CPU. The static model does not read it.
        pixels: which pixels the images have.
        rows: which frames of the dataset these are, ``(F,)``.
        shifts: displacement of the particles in the images, Å ``(F, 2)``; None where they are
            centred.
    """

    encoder_input: Tensor
    images: Tensor
    ctf: Tensor
    rotations: Tensor
    lengths: Tensor
    pixels: PixelSample
    rows: Tensor
    shifts: Tensor | None = None

    def at(self, pixels: PixelSample) -> FrameBatch:
        """The batch with only some pixels of its images; the evidence stays."""
        index = pixels.index.to(self.images.device, non_blocking=True)
        images, ctf = self.images[:, index], self.ctf[:, index]
        return replace(self, images=images, ctf=ctf, pixels=pixels)


@dataclass(frozen=True)
class Bound:
    """The terms of the evidence lower bound, nats per frame, each ``(F,)``.

    Attributes:
        log_likelihood: of the images.
        kl: divergence of the latent path from its prior.
        pose_kl: divergence of the pose from its prior; 0 where poses are not learned.
    """

    log_likelihood: Tensor
    kl: Tensor
    pose_kl: Tensor


class MovieVAE(nn.Module):
    """Images → features → latent path → volumes → images (paper Eq. 8–11).

    Args:
        kind: ``static`` or ``tempor``.
        config: sizes.
        forward_model: image formation.
        n_evidence: numbers E that the extractor sees of a frame.

    Attributes:
        poses: where poses come from that are learned; None: they are those of the batches.
    """

    poses: PoseTable | PoseHead | None

    def __init__(
        self,
        kind: VAEKind,
        config: ModelConfig,
        forward_model: ForwardModel,
        n_inputs: int,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.poses = None
        self.forward_model = forward_model
        self.extractor = ResidualMLP(
            n_inputs, config.encoder_width, config.encoder_depth, config.encoder_width
        )
        self.inference: FrameInference | SequenceInference
        if kind == "static":
            self.inference = FrameInference(config.encoder_width, config.z_dim)
        else:
            prior = (
                StandardPrior()
                if config.prior == "standard"
                else GatedTransition(config.z_dim, config.prior_width)
            )
            self.inference = SequenceInference(
                config.encoder_width,
                config.z_dim,
                config.rnn_width,
                config.inference,
                prior,
                config.hidden_frames,
            )
        self.generator = FourierNetwork(
            forward_model.box,
            config.z_dim,
            config.generator_width,
            config.generator_depth,
            config.generator_features,
            config.feature_radius,
            config.base_components,
        )

    @classmethod
    def from_config(
        cls,
        kind: VAEKind,
        config: ModelConfig,
        forward_model: ForwardModel,
        n_inputs: int,
        *,
        seed: int,
    ) -> MovieVAE:
        """A model whose initial weights depend on the seed and on nothing else."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(kind, config, forward_model, n_inputs)

    def set_network_dtype(self, dtype: torch.dtype | None) -> None:
        """Arithmetic of the large matrix products; None for float32."""
        self.extractor.dtype = self.generator.mlp.dtype = dtype

    def features(self, batch: FrameBatch) -> Tensor:
        """Features ``(F, W)`` of single frames."""
        return torch.relu(self.extractor(batch.encoder_input))

    def infer(self, batch: FrameBatch, noise: FrameNoise | None = None) -> Latents:
        """Latent paths of a batch; without noise deterministic, z being the posterior mean."""
        return self.inference(self.features(batch), batch.lengths, noise)

    def pose_posteriors(self, batch: FrameBatch) -> list[PosePosterior]:
        """Of learned poses, all that a frame may have: of a table one, of a head two.

        A head sees the frame, and the frame turned in its plane by 180°: at low resolution both are
        much alike, and of a molecule of the other hand they are one.
        """
        if self.poses is None:
            return []
        if isinstance(self.poses, PoseTable):
            return [self.poses(batch.rows)]
        turned = replace(batch, encoder_input=twin_image(batch.encoder_input))
        return [self.poses(self.features(batch)), self.poses(self.features(turned)).twin()]

    def scored(
        self, batch: FrameBatch, z: Tensor, noise: FrameNoise | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How well latents explain frames, in learned poses if there are any.

        Those are drawn, or without noise their means; of two the better one counts.

        Args:
            batch: F frames.
            z: their latents ``(F, q)``.
            noise: draws poses.

        Returns:
            Log-likelihood, KL of the pose, and which of :meth:`pose_posteriors` was better, each
            ``(F,)``.
        """
        likelihoods, divergences = [], []
        posteriors = self.pose_posteriors(batch)
        for posterior in posteriors:
            rotations, shifts = posterior.draw(noise)
            placed = replace(batch, rotations=rotations, shifts=shifts)
            likelihoods.append(self.log_likelihood(batch, self.render(placed, z)))
            divergences.append(posterior.kl())
        if not posteriors:
            likelihood = self.log_likelihood(batch, self.render(batch, z))
            return likelihood, torch.zeros_like(likelihood), torch.zeros_like(batch.rows)
        likelihood, kl = torch.stack(likelihoods), torch.stack(divergences)
        best = (likelihood - kl).argmax(0, keepdim=True)
        return likelihood.gather(0, best)[0], kl.gather(0, best)[0], best[0]

    def render(self, batch: FrameBatch, z: Tensor) -> Tensor:
        """Noise-free images of latents ``(F, q)`` in the poses of the batch: ``(F, P)``."""
        model, pixels = self.forward_model, batch.pixels.index
        slices = self.generator(model.slice_frequencies(batch.rotations, pixels), z)
        phase = None if batch.shifts is None else model.shift_phase(batch.shifts, pixels)
        return model.observe(slices, batch.ctf, phase)

    def bound(self, batch: FrameBatch, noise: FrameNoise | None = None) -> Bound:
        """Terms of the evidence lower bound of every frame (paper Eq. 11)."""
        latents = self.infer(batch, noise)
        log_likelihood, pose_kl, _ = self.scored(batch, latents.z, noise)
        return Bound(log_likelihood, latents.kl, pose_kl)

    def log_likelihood(self, batch: FrameBatch, observed: Tensor) -> Tensor:
        """Of noise-free images ``(F, P)``, from the pixels that the batch has: ``(F,)``."""
        return self.forward_model.log_likelihood(
            observed, batch.images, 1.0, weights=batch.pixels.weights
        )
