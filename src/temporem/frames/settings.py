"""Settings of how images are prepared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DataSettings(BaseModel):
    """Settings of the preparation of images, and of held-out movies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invert: bool = Field(False, description="Flip the sign of images: set for dark molecules.")
    window_radius: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Radius of the soft window, as a fraction of half the box: 1 is its edge.",
    )
    held_out_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the movies kept out of training and of all volumes; noise level "
        "and spectra are those of all movies.",
    )
    memory_gb: float = Field(
        1.0,
        ge=0,
        description="Keep prepared images of up to this size (GiB) in memory, on the GPU where "
        "there is one; read and prepare more than that again whenever they are needed.",
    )
