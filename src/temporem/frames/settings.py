"""Settings of image preparation, of held-out movies and of the order of frames."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DataSettings(BaseModel):
    """How images are prepared, which movies are held out, and in which order frames are taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invert: bool = Field(
        False, description="`--invert`: flip the sign of the images, for dark molecules."
    )
    ctf: Literal["file", "none"] = Field(
        "file",
        description="`--ctf`: `none` for images that are formed without a CTF, such as negative "
        "stain at low resolution, dark field, or nanoparticles in liquid; columns of the CTF are "
        "then ignored.",
    )
    corrections: bool = Field(
        True,
        description="Subtract the background of every frame, bring movies to one noise level, fit "
        "the intensity of frames, and leave out frames that do not show the molecule. Each is done "
        "only where the images differ by more than chance ([defects.md](defects.md)).",
    )
    checks: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What `reconstruct` does with images that cannot give a volume, such as dark "
        "molecules: refuse them, or warn and go on. `temporem check` explains what it found.",
    )
    window_radius: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Radius of the soft circular window, as a fraction of half the box.",
    )
    held_out_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the movies kept from training and from all volumes. Noise level "
        "and spectra are still measured on all movies.",
    )
    shuffle_frames: bool = Field(
        False,
        description="`--shuffle-frames`: take the frames of every movie in a random order, which "
        "the seed decides. What a run in the true order has beyond such a run comes from time.",
    )
    memory_gb: float = Field(
        1.0,
        ge=0,
        description="Largest size (GiB) of prepared images that is kept in memory, on the GPU if "
        "there is one. Larger data are read and prepared again in every pass.",
    )
