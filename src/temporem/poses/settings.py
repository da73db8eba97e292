"""Settings of poses: their source, search and learning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PoseSource = Literal["auto", "known", "refine", "estimate"]


def _coefficient(value: object) -> object:
    """Accept none, auto or a positive number; one message covers all."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value in ("none", "auto") or (number and 0 < float(value) < float("inf")):  # type: ignore[arg-type]
        return value
    raise ValueError("must be none, auto or a number above 0, in degrees² per second")


class PoseSettings(BaseModel):
    """Source of the poses, and how to search for them or learn them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: PoseSource = Field(
        "auto",
        description="`--poses`. auto: known, or refine where the images show that the dataset's "
        "poses are off. known: take the dataset's poses. refine: improve them. estimate: find "
        "poses from the images alone.",
    )
    effort: int = Field(
        6,
        ge=1,
        le=100,
        description="estimate: largest number of random starts. The likeliest is taken "
        "as soon as two starts agree on half of the frames.",
    )
    around_degrees: float = Field(
        15,
        gt=0,
        le=90,
        description="refine: largest turn from the given poses that is tried, about each axis, "
        "where they are off by more than 8°.",
    )
    shift_sd: float = Field(
        0.03,
        gt=0,
        le=0.25,
        description="Standard deviation of shifts, as a fraction of the box: about the centre "
        "(estimate) or about given shifts that are far off (refine).",
    )
    learned: Literal["auto", "none", "table", "head"] = Field(
        "auto",
        description="static, tempor: learn poses, too. table: a free pose for every frame, learned "
        "with the network; it replaces the search of refine and follows that of estimate. head: a "
        "network that infers poses from images; it learns from the volumes that the search of "
        "estimate has found, and its answers, refined, replace those of the search. A run keeps it "
        "for new movies. none: search only. auto: table if no movies are held out and frames are "
        "not linked, else none.",
    )
    head_images: int = Field(
        1_000_000,
        ge=1,
        description="learned=head: number of images that the head learns from. The longer, the "
        "better: a million take about eight minutes of one core.",
    )
    diffusion: Annotated[Literal["none", "auto"] | float, BeforeValidator(_coefficient)] = Field(
        "auto",
        description="Rotational diffusion as a prior that links the poses of neighbouring frames. "
        "auto: where the images show that molecules turn little from frame to frame, fit the "
        "coefficient and use it. none: poses are independent (paper). A number: the coefficient in "
        "degrees² per second, or per frame if times are unknown.",
    )
