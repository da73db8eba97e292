"""Settings of where poses come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PoseSource = Literal["known", "refine", "estimate"]


def _coefficient(value: object) -> object:
    """Refuse what is neither a word nor a positive number, in one message for both."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value in ("none", "auto") or (number and 0 < float(value) < float("inf")):  # type: ignore[arg-type]
        return value
    raise ValueError("must be none, auto or a number above 0, in degrees² per second")


class PoseSettings(BaseModel):
    """Where poses come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: PoseSource = Field(
        "known",
        description="The dataset's poses as they are, the dataset's poses improved, or poses from "
        "images alone.",
    )
    starts: int = Field(
        3,
        ge=1,
        le=100,
        description="estimate: number of random starts; the likeliest is kept.",
    )
    around_degrees: float = Field(
        15,
        gt=0,
        le=90,
        description="refine: how far from the given poses, about each axis, others are tried.",
    )
    shift_sd: float = Field(
        0.03,
        gt=0,
        le=0.25,
        description="Standard deviation, as a fraction of the box, of particles about the centre "
        "(estimate) or about their given shifts (refine).",
    )
    learned: Literal["auto", "none", "table", "head"] = Field(
        "auto",
        description="static and tempor: how poses are learned together with the network. table: a "
        "free pose for every frame, in place of the search of refine, or after that of estimate; "
        "head: a network on the encoder's features, in place of the search of estimate; none: "
        "poses come from the search alone. auto: a table, where no movies are held out and "
        "poses.diffusion is none.",
    )
    diffusion: Annotated[Literal["none", "auto"] | float, BeforeValidator(_coefficient)] = Field(
        "none",
        description="Prior that links the poses of neighbouring frames by rotational diffusion: "
        "none (poses independent, as in the paper), the coefficient in degrees² per second (per "
        "frame where times are not known), or auto: fitted to the poses found, and used where "
        "held-out movies show that frames are connected.",
    )
