"""Settings of an extraction."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Background = Literal["auto", "median", "rolling", "none"]
Contrast = Literal["auto", "bright", "dark"]


class ExtractionSettings(BaseModel):
    """Choices of ``temporem extract``, as its options say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    diameter_angstrom: float = Field(gt=0)
    box: int = Field(ge=8, le=1024, multiple_of=2)
    bin: int = Field(default=1, ge=1, le=64)
    contrast: Contrast = "auto"
    threshold: float = Field(default=4.5, gt=0)
    average: int = Field(default=5, ge=1, le=10_001)
    max_step_angstrom: float | None = Field(default=None, gt=0)
    gap: int = Field(default=3, ge=0, le=1000)
    min_frames: int = Field(default=5, ge=2)
    background: Background = "auto"
    drift: bool = True
