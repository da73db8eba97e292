"""Settings of the networks and of their training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from temporem.volumes.generators import GENERATORS, unknown_generator

InferenceStructure = Literal["ST-LR", "MF-LR", "DKS", "filter"]
EncoderInputKind = Literal["linear", "image", "back-projection"]
PriorKind = Literal["standard", "learned"]
StartKind = Literal["linear", "static", "none"]


class NetworkSettings(BaseModel):
    """Sizes and structure of the networks.

    The defaults suit a laptop; ``--config paper.yaml`` has the paper's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: int = Field(1, ge=1, le=64, description="`--z-dim`: latent dimension q.")
    encoder_input: EncoderInputKind | Literal["auto"] = Field(
        "auto",
        description="Input of the encoder. linear: posterior of the linear model's latents, from "
        "the frame alone. back-projection: image minus projection of the mean volume, "
        "back-projected in its pose. image: the phase-flipped image (paper). auto: linear with "
        "training.start=linear, else back-projection.",
    )
    encoder_width: int = Field(256, ge=8, le=8192, description="Width of the feature extractor.")
    rnn_width: int = Field(128, ge=4, le=8192, description="LSTM units per direction.")
    inference: InferenceStructure = Field(
        "ST-LR",
        description="What z_t is inferred from. ST-LR: z_{t-1}, past and future frames (paper). "
        "MF-LR: past and future. DKS: z_{t-1} and future. filter: z_{t-1} and past.",
    )
    prior: PriorKind = Field(
        "learned",
        description="Prior of latents. standard: N(0, 1) for every frame (paper). learned: a "
        "learned transition from z_{t-1}.",
    )
    hidden_frames: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="tempor: mean fraction of a movie's frames hidden from the encoder in a "
        "training step. Their latents are inferred from the other frames.",
    )
    generator: str = Field(
        "volumes",
        description="`--generator`: volumes: density changes in place. cloud: Gaussians that move; "
        "sharper where parts move. octaves: volumes with the positional encoding of Eq. 12 "
        "(paper).",
    )
    generator_width: int = Field(
        256,
        ge=8,
        le=8192,
        description="Width of the generator: of the network's layers; of a cloud, the number of "
        "Gaussians for 8 pixels of the box at most, 2,048 of 64² by default.",
    )

    @field_validator("generator")
    @classmethod
    def _generator_exists(cls, name: str) -> str:
        if name not in GENERATORS:
            raise ValueError(str(unknown_generator(name)))
        return name


class TrainingSettings(BaseModel):
    """Settings of the training of a network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: StartKind = Field(
        "linear",
        description="`--start`: warm start. linear: volumes and latents of the linear model. "
        "static: tempor only; a static model, trained for half of the epochs (paper). none: no "
        "warm start. With static and none, the network alone represents the molecule.",
    )
    epochs: int = Field(
        32, ge=1, description="`--epochs`: total number of epochs, warm start included."
    )
    frames_per_step: int = Field(
        20,
        ge=1,
        description="Frames in an optimiser step; tempor takes whole movies, at least one.",
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Adam's step size.")
    pixels_per_frame: int = Field(
        128,
        ge=16,
        description="Largest number of Fourier pixels of an image in a step. They are drawn anew "
        "in every step, by importance, with weights that keep the expected likelihood.",
    )
    frequency_marching: bool = Field(
        True, description="Fit low frequencies first. false: fit all from the beginning (paper)."
    )
    random_clips: bool = Field(
        True,
        description="tempor: cut movies at random and play parts of them backwards, so that the "
        "network cannot count frames. false: whole movies (paper).",
    )
    kl_weight: float | None = Field(
        None,
        ge=0,
        description="Weight β of the KL term against what images tell; by default 1 / z_dim "
        "(paper). If it is given, one latent is learned by the bound, too, not found on a grid.",
    )


def resolved_input(network: NetworkSettings, training: TrainingSettings) -> EncoderInputKind:
    """Resolve the setting ``encoder_input``, which may be automatic."""
    if network.encoder_input != "auto":
        return network.encoder_input
    return "linear" if training.start == "linear" else "back-projection"
