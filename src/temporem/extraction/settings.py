"""Settings of an extraction."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from temporem.io.settings import validate_settings

Background = Literal["auto", "median", "rolling", "none"]
Contrast = Literal["auto", "bright", "dark"]


class ExtractionSettings(BaseModel):
    """Choices of ``temporem extract``, as its options say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    diameter_angstrom: float = Field(gt=0)
    box: int | None = Field(default=None, ge=8, le=1024, multiple_of=2)
    bin: int = Field(default=1, ge=1, le=64)
    contrast: Contrast = "auto"
    threshold: float = Field(default=4.0, gt=0)
    average: int = Field(default=7, ge=1, le=10_001)
    max_step_angstrom: float | None = Field(default=None, gt=0)
    gap: int = Field(default=3, ge=0, le=1000)
    min_frames: int = Field(default=5, ge=2)
    background: Background = "auto"
    drift: bool = True

    def box_for(self, pixel_size_angstrom: float) -> int:
        """Edge of the images in pixels; by default 1.5 diameters, even."""
        if self.box is not None:
            return self.box
        return 2 * math.ceil(0.75 * self.diameter_angstrom / (pixel_size_angstrom * self.bin))


def checked_settings(*, box: int | None, **options: Any) -> ExtractionSettings:
    """Check options of the command line.

    Args:
        box: edge of the images; None leaves it to :meth:`ExtractionSettings.box_for`.
        options: the other settings.

    Raises:
        TemporemError: a value out of its range.
    """
    return validate_settings(
        ExtractionSettings,
        {"box": box, **options},
        source="extract",
        called=lambda name: f"--{name.removesuffix('_angstrom').replace('_', '-')}",
    )
