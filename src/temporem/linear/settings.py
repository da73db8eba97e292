"""Settings of the linear dynamical model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_MOST = 64


def _count(value: object) -> object:
    """Refuse what is neither auto nor a count, in one message for both."""
    count = int(value) if isinstance(value, str) and value.isdecimal() else value
    whole = isinstance(count, int) and not isinstance(count, bool)
    if count == "auto" or (whole and 1 <= count <= _MOST):  # type: ignore[operator]
        return count
    raise ValueError(f"must be auto or a whole number from 1 to {_MOST}")


Components = Annotated[Literal["auto"] | int, BeforeValidator(_count)]


class LinearSettings(BaseModel):
    """Settings of a fit of the linear dynamical model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    components: Components = Field(
        "auto",
        description="Number of components. auto: for linear, the number up to 4 that makes "
        "held-out movies likeliest; for static and tempor, 4, or model.z_dim if that is more.",
    )
    temporal: bool = Field(
        True,
        description="Dynamics within movies; false makes frames independent, as for static.",
    )
    iterations: int = Field(4, ge=1, le=1000, description="Iterations at full resolution.")
    mask: str = Field(
        "auto",
        description="Where the molecule is: auto, none, or an .mrc file of the images' box with "
        "values from 0 to 1. For the method linear only.",
    )
    focus_mask: str = Field(
        "auto", description="Where the molecule may move: auto, none, or an .mrc file, likewise."
    )

    @property
    def mask_files(self) -> list[str]:
        """The masks that are files."""
        return [name for name in (self.mask, self.focus_mask) if name not in ("auto", "none")]
