"""What a simulation needs to know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    model_validator,
)

from temporem.io import limits

MAX_FRAMES = 10_000_000
"""Of all movies together."""


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError("must be [lowest, highest]")
    return values


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


def _fractions(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] < 0 or values[1] > 1:
        raise ValueError("must be within [0, 1]")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
Angle = Annotated[float, Field(ge=limits.ANGLE_DEGREES.low, le=limits.ANGLE_DEGREES.high)]
AngleRange = Annotated[tuple[Angle, Angle], AfterValidator(_ordered)]


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
    start_degrees: AngleRange = Field(
        default=(0.0, 0.0), description="Range of a movie's first angle."
    )
    step_degrees: NonNegativeFloat = Field(le=360, description="Turn from one frame to the next.")


PathStart = Annotated[
    Range, AfterValidator(_fractions), Field(description="Range of a movie's first progress.")
]
PathStep = Annotated[
    NonNegativeFloat | None,
    Field(
        description="Progress from one frame to the next; by default what takes a movie from the "
        "highest start to the end."
    ),
]
PathStates = Annotated[
    int | None,
    Field(ge=1, le=10_000, description="Number of states; by default that of a movie's frames."),
]


class TrajectoryConfig(_Settings):
    """The molecule passes along the snapshots of a molecular-dynamics trajectory.

    ``structure`` names the topology. Progress runs from 0 at the first snapshot to 1 at the last.
    Frame t of a movie has ``progress = start + step · t`` with the start drawn uniformly for each
    movie; its state is the one of equal parts of the path in which it is, in order.
    """

    kind: Literal["trajectory"] = "trajectory"
    coordinates: str = Field(description="File of the snapshots of the structure's atoms.")
    start: PathStart = (0.0, 0.0)
    step: PathStep = None
    states: PathStates = None


class MorphConfig(_Settings):
    """The molecule changes from one structure to another; bonds, angles and helices are kept.

    Residues are matched by number, atoms by name, and what is not in both is left out. Progress
    runs from 0 at ``structure`` to 1 at ``end``; movies and states are those of a trajectory.
    """

    kind: Literal["morph"] = "morph"
    end: str = Field(description="File or PDB code of the structure at the end.")
    end_chains: list[str] | None = Field(
        default=None,
        description="Chains of it, in the order of those of the start; all by default.",
    )
    start: PathStart = (0.0, 0.0)
    step: PathStep = None
    states: PathStates = None


class PulledConfig(_Settings):
    """The molecule is pulled from one structure to another by molecular dynamics.

    Residues and atoms are matched as in a morph. The snapshots, ordered by how near they are to
    ``end``, are parted into states of as many each. A movie takes the states in order, with equal
    numbers of frames, and in every frame one of the state's snapshots, drawn uniformly. Progress
    counts the snapshots, from 0 at the first to 1 at the last.
    """

    kind: Literal["pulled"] = "pulled"
    end: str = Field(description="File or PDB code of the structure at the end.")
    end_chains: list[str] | None = Field(
        default=None,
        description="Chains of it, in the order of those of the start; all by default.",
    )
    states: PathStates = None
    snapshots: int = Field(
        default=10, ge=1, le=10_000, description="Number of snapshots of every state."
    )
    steps: int = Field(default=15_000, ge=1, description="Steps of the dynamics.")
    temperature_kelvin: PositiveFloat = Field(
        default=300.0, description="Of the dynamics, whose energies are a model's."
    )
    seed: int = Field(default=0, ge=0, lt=2**31 - 1, description="Of the dynamics alone.")


PathConfig = TrajectoryConfig | MorphConfig
MotionConfig = HingeConfig | MorphConfig | PulledConfig | TrajectoryConfig
_FILES = {
    "morph": "a morph needs a structure",
    "pulled": "a pulled molecule needs a structure",
    "trajectory": "a trajectory needs a topology",
}
_MODELS: dict[str, type[MotionConfig]] = {
    "hinge": HingeConfig,
    "morph": MorphConfig,
    "pulled": PulledConfig,
    "trajectory": TrajectoryConfig,
}


class _Kind(BaseModel):
    kind: Literal["hinge", "morph", "pulled", "trajectory"] = "hinge"


def _of_its_kind(settings: object) -> object:
    """Settings of a motion as the model of their kind.

    A tagged union of pydantic does this too, but puts the tag into the name of every key that it
    finds fault with, and needs the tag where most configurations are of one kind.
    """
    if isinstance(settings, BaseModel):
        return settings
    if not isinstance(settings, dict):
        raise ValueError("must be a section of settings")
    return _MODELS[_Kind.model_validate(settings).kind].model_validate(settings)


class CTFConfig(_Settings):
    """The microscope, and the range from which each movie's defocus is drawn uniformly."""

    voltage_kv: float = Field(default=300.0, ge=limits.VOLTAGE_KV.low, le=limits.VOLTAGE_KV.high)
    cs_mm: NonNegativeFloat = Field(default=2.7, le=limits.CS_MM.high)
    amplitude_contrast: float = Field(default=0.1, ge=0, le=1)
    defocus_angstrom: Range = Field(
        default=(8000.0, 20000.0), description="Positive is underfocus."
    )
    astigmatism_angstrom: NonNegativeFloat = Field(
        default=0.0,
        description="Difference of defocus U and V; its direction is drawn for each movie.",
    )

    @model_validator(mode="after")
    def _defocus_is_read_again(self) -> CTFConfig:
        allowed, half = limits.DEFOCUS_ANGSTROM, self.astigmatism_angstrom / 2
        lowest, highest = self.defocus_angstrom
        if lowest - half < allowed.low or highest + half > allowed.high:
            raise ValueError(f"defocus, with half of the astigmatism, must be within {allowed}")
        return self


class PosesConfig(_Settings):
    """How molecules are turned, and what ``particles.star`` says of it.

    ``uniform``: a new pose, uniform on SO(3), in every frame. ``diffusion``: uniform in a movie's
    first frame; from one frame to the next the molecule turns by a rotation vector whose three
    components have variance ``2 D Δt``.
    """

    kind: Literal["uniform", "diffusion"] = "uniform"
    diffusion_degrees2_per_second: PositiveFloat | None = Field(
        default=None, le=1e9, description="Rotational diffusion coefficient D, degrees² per second."
    )
    written: bool = Field(
        default=True, description="Whether particles.star has poses; the truth has them anyway."
    )
    error_degrees: NonNegativeFloat = Field(
        default=0.0,
        le=360,
        description="Root mean square angle by which written poses are off; the truth's are not.",
    )
    shift_error_angstrom: NonNegativeFloat = Field(
        default=0.0,
        description="Standard deviation, in x and y, by which written shifts are off.",
    )

    @model_validator(mode="after")
    def _coefficient_where_it_is_used(self) -> PosesConfig:
        if (self.kind == "diffusion") != (self.diffusion_degrees2_per_second is not None):
            raise ValueError(
                "diffusion_degrees2_per_second goes with kind: diffusion, and with no other"
            )
        return self


def _pose_section(settings: object) -> object:
    """A kind alone may stand for the section."""
    return {"kind": settings} if isinstance(settings, str) else settings


class SimulationConfig(_Settings):
    """A simulated dataset: which molecule, how it moves and how it is imaged."""

    structure: str = Field(
        description="File, PDB code or 'toy', the built-in protein; a trajectory's topology; where "
        "a morph starts."
    )
    chains: list[str] | None = Field(default=None, description="Chains to keep; all by default.")
    hydrogens: bool = Field(
        default=True, description="Keep hydrogens where the structure has them."
    )
    motion: Annotated[MotionConfig, BeforeValidator(_of_its_kind)]
    movies: int = Field(ge=1)
    frames_per_movie: int = Field(ge=1)
    frame_interval_seconds: float = Field(
        default=1.0, ge=1e-12, le=1e9, description="Time between frames."
    )
    box: Annotated[int, AfterValidator(_even)] = Field(ge=8, le=1024, description="Image edge, px.")
    pixel_size_angstrom: float = Field(
        ge=limits.PIXEL_SIZE_ANGSTROM.low, le=limits.PIXEL_SIZE_ANGSTROM.high
    )
    snr: float = Field(
        ge=1e-9, le=1e15, description="Variance of the signal over that of the noise."
    )
    b_factor_angstrom2: NonNegativeFloat = Field(
        default=50.0, le=1e4, description="B-factor of every atom: blurs by exp(−B s²/4)."
    )
    ctf: CTFConfig = Field(default_factory=CTFConfig)
    poses: Annotated[PosesConfig, BeforeValidator(_pose_section)] = Field(
        default_factory=PosesConfig, description="Orientations; a kind, or a section."
    )
    shift_sd_angstrom: NonNegativeFloat = Field(
        default=0.0, description="Standard deviation of the particle's x and y displacement."
    )
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _frames_can_be_counted(self) -> SimulationConfig:
        if self.movies * self.frames_per_movie > MAX_FRAMES:
            raise ValueError(
                f"movies: {self.movies} of {self.frames_per_movie} frames; at most "
                f"{MAX_FRAMES} frames in all"
            )
        return self

    @model_validator(mode="after")
    def _toy_is_whole(self) -> SimulationConfig:
        if self.structure == "toy" and self.chains is not None:
            raise ValueError("chains: the toy is simulated whole; leave chains out")
        return self

    @model_validator(mode="after")
    def _path_is_not_left(self) -> SimulationConfig:
        motion = self.motion
        if motion.kind in _FILES and self.structure == "toy":
            raise ValueError(f"structure: {_FILES[motion.kind]} file, not 'toy'")
        if isinstance(motion, PulledConfig):
            states = motion.states or self.frames_per_movie
            if motion.steps < states * motion.snapshots or states * motion.snapshots < 2:
                raise ValueError(
                    f"motion: {motion.steps} steps for {states} states of {motion.snapshots} "
                    "snapshots; at least one step a snapshot, and two snapshots"
                )
        if isinstance(motion, PathConfig):
            last = motion.start[1] + self.progress_step * (self.frames_per_movie - 1)
            if last > 1 + 1e-9:
                raise ValueError(
                    f"motion: the last frame of a movie would be at progress {last:.3g}, and the "
                    f"{motion.kind} ends at 1; lower motion.step, motion.start or "
                    "frames_per_movie"
                )
        return self

    @property
    def files(self) -> list[str]:
        """Names of structures and trajectories, which may be files."""
        names = (getattr(self.motion, key, None) for key in ("end", "coordinates"))
        return [self.structure, *(name for name in names if name is not None)]

    @property
    def progress_step(self) -> float:
        """Progress from one frame to the next along a path."""
        assert isinstance(self.motion, PathConfig)
        if self.motion.step is not None:
            return self.motion.step
        return (1 - self.motion.start[1]) / max(1, self.frames_per_movie - 1)
