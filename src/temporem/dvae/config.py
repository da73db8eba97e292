"""Every choice a user can make about a model, validated."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

InferenceStructure = Literal["ST-LR", "MF-LR", "DKS", "filter"]
EncoderInputKind = Literal["image", "back-projection"]
PriorKind = Literal["standard", "learned"]


class ModelConfig(BaseModel):
    """Sizes and structure of the networks.

    The defaults suit a laptop; the paper's sizes are ``encoder_width=1024, rnn_width=1024,
    generator_width=256 … 1024``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: int = Field(1, ge=1, le=64, description="Latent dimension q.")
    encoder_width: int = Field(256, ge=8, le=8192, description="Width of the feature extractor.")
    encoder_depth: int = Field(3, ge=0, le=16, description="Residual layers of the extractor.")
    rnn_width: int = Field(128, ge=4, le=8192, description="LSTM units per direction.")
    inference: InferenceStructure = Field(
        "ST-LR",
        description="What z_t is inferred from: past and future (ST-LR), both without "
        "z_{t-1} (MF-LR), the future (DKS) or the past (filter).",
    )
    prior: PriorKind = Field(
        "learned", description="N(0, 1) for every frame (paper), or a learned transition."
    )
    prior_width: int = Field(32, ge=2, le=1024, description="Hidden units of the transition.")
    hidden_frames: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="tempor: fraction of frames hidden from the encoder at every "
        "training step, to be inferred from the rest of their movie: the mean over movies, of "
        "which some have none hidden, others nearly all.",
    )
    encoder_input: EncoderInputKind = Field(
        "back-projection",
        description="What the extractor sees: the phase-flipped image (paper), "
        "or the image less the mean's projection, put back into the molecule by its pose.",
    )
    mean_volume: bool = Field(
        True, description="Generator as a change to the back-projected mean volume."
    )
    linear_components: int = Field(
        4,
        ge=0,
        le=64,
        description="With mean_volume and the linear start: generator as a change to the volumes "
        "of a linear model with so many components (z_dim at least), solved at full resolution, "
        "along a curve or surface over z that is trained; 0 for the mean only.",
    )
    linear_box: int = Field(
        64,
        ge=8,
        le=1024,
        multiple_of=2,
        description="Largest box of that linear model; larger images are cropped to it in Fourier "
        "space, and finer changes are left to the network.",
    )
    solvent_mask: bool = Field(
        True,
        description="Mask the mean volume by where the molecule is, and what changes by where the "
        "linear start finds motion; without that start there is no mask.",
    )
    generator_width: int = Field(256, ge=8, le=8192, description="Width of the volume generator.")
    generator_depth: int = Field(3, ge=0, le=16, description="Residual layers of the generator.")
    generator_features: int = Field(96, ge=4, le=4096, description="Number of Fourier features.")
    feature_radius: float = Field(
        0.08,
        gt=0,
        le=1,
        description="Standard deviation of the features' positions, as a fraction of the box.",
    )

    @property
    def base_components(self) -> int | None:
        """Components of the linear model that the generator changes; None for no base at all."""
        if not self.mean_volume:
            return None
        return max(self.z_dim, self.linear_components) if self.linear_components else 0
