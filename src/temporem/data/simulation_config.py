"""What a simulation needs to know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError("must be [lowest, highest]")
    return values


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class _Settings(BaseModel):
    # Settings come from YAML files, where nan and inf are easily written and never meant.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HingeConfig(_Settings):
    """A part of the molecule turns at constant speed about the axis through two atoms.

    Atoms are selected as ``CHAIN/FIRST[-LAST][/ATOM]``, such as A/47-80 or A/81/CA. Frame t of a
    movie has ``angle = start + step · t`` with the start drawn uniformly for each movie; its state
    is the number of whole steps from the lowest start.
    """

    kind: Literal["hinge"] = "hinge"
    moving: list[str] = Field(min_length=1, description="Atoms that turn.")
    axis: tuple[str, str] = Field(
        description="Two atoms; the turn is right-handed about the line from first to second."
    )
    start_degrees: Range = Field(default=(0.0, 0.0), description="Range of a movie's first angle.")
    step_degrees: NonNegativeFloat = Field(description="Turn from one frame to the next.")


class CTFConfig(_Settings):
    """The microscope, and the range from which each movie's defocus is drawn uniformly."""

    voltage_kv: PositiveFloat = 300.0
    cs_mm: NonNegativeFloat = 2.7
    amplitude_contrast: float = Field(default=0.1, ge=0, le=1)
    defocus_angstrom: Range = Field(
        default=(8000.0, 20000.0), description="Positive is underfocus."
    )
    astigmatism_angstrom: NonNegativeFloat = Field(
        default=0.0,
        description="Difference of defocus U and V; its direction is drawn for each movie.",
    )


class SimulationConfig(_Settings):
    """A simulated dataset: which molecule, how it moves and how it is imaged."""

    structure: str = Field(description="File, PDB code or 'toy', the built-in protein.")
    chains: list[str] | None = Field(default=None, description="Chains to keep; all by default.")
    hydrogens: bool = Field(
        default=True, description="Keep hydrogens where the structure has them."
    )
    motion: HingeConfig
    movies: int = Field(ge=1)
    frames_per_movie: int = Field(ge=1)
    frame_interval_seconds: PositiveFloat = Field(default=1.0, description="Time between frames.")
    box: Annotated[int, AfterValidator(_even)] = Field(ge=8, le=1024, description="Image edge, px.")
    pixel_size_angstrom: PositiveFloat
    snr: PositiveFloat = Field(description="Variance of the signal over that of the noise.")
    b_factor_angstrom2: NonNegativeFloat = Field(
        default=50.0, description="B-factor of every atom: blurs by exp(−B s²/4)."
    )
    ctf: CTFConfig = Field(default_factory=CTFConfig)
    poses: Literal["uniform"] = Field(default="uniform", description="Of every frame, on SO(3).")
    shift_sd_angstrom: NonNegativeFloat = Field(
        default=0.0, description="Standard deviation of the particle's x and y displacement."
    )
    seed: int = Field(default=0, ge=0)
