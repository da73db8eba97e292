"""Settings of the linear dynamical model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_MOST = 64


def _count(value: object) -> object:
    """Accept auto or a count; one message covers both."""
    count = int(value) if isinstance(value, str) and value.isdecimal() else value
    whole = isinstance(count, int) and not isinstance(count, bool)
    if count == "auto" or (whole and 1 <= count <= _MOST):  # type: ignore[operator]
        return count
    raise ValueError(f"must be auto or a whole number from 1 to {_MOST}")


Components = Annotated[Literal["auto"] | int, BeforeValidator(_count)]


class LinearSettings(BaseModel):
    """Settings of the linear dynamical model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    components: Components = Field(
        "auto",
        description="Number of components. auto: the largest number up to 4 with which held-out "
        "movies are likelier than with one; for static and tempor at least model.z_dim.",
    )
    temporal: bool = Field(
        True,
        description="Link the frames of a movie by dynamics; false takes every frame alone.",
    )
    iterations: int = Field(4, ge=1, le=1000, description="Iterations at full resolution.")
    mask: str = Field(
        "auto",
        description="Solvent mask, for the method linear: auto, none, or an .mrc file with the box "
        "of the images and values from 0 to 1.",
    )
    focus_mask: str = Field(
        "auto", description="Mask of what may move, for the method linear: as for linear.mask."
    )

    @property
    def mask_files(self) -> list[str]:
        """The masks that are files."""
        return [name for name in (self.mask, self.focus_mask) if name not in ("auto", "none")]
