"""Settings of a simulation."""

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
    SerializeAsAny,
    model_validator,
)

from temporem.io import limits
from temporem.io.settings import ByKind
from temporem.simulation.schedules import (
    PathSchedule,
    ScheduleSettings,
    Sweep,
    schedule_sections,
)
from temporem.structures.motions import MOTIONS, motion_sections
from temporem.structures.motions.base import MotionSettings, Range
from temporem.structures.sources import BUILT_IN

MAX_FRAMES = 10_000_000
"""Largest number of frames of all movies together."""

MOST_CONTRAST = 0.35
"""Largest contrast of images that are counted: standard deviation of the signal over its mean."""


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


def _lengths(value: object) -> object:
    lengths: list[float] = []
    for length in value if isinstance(value, list | tuple) else [value]:
        if isinstance(length, int | float) and length >= 1 and float(length).is_integer():
            lengths.append(length)
    alone = not isinstance(value, list | tuple)
    if isinstance(value, bool) or len(lengths) != (1 if alone else 2) or lengths[0] > lengths[-1]:
        raise ValueError("must be a number of frames, 1 or more, or [lowest, highest]")
    return lengths[0] if alone else tuple(lengths)


class _Settings(BaseModel):
    # Settings come from YAML files, where nan and inf are easily written and never meant.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
        description="Difference between defocus U and V; its direction is drawn for each movie.",
    )

    @model_validator(mode="after")
    def _defocus_is_read_again(self) -> CTFConfig:
        allowed, half = limits.DEFOCUS_ANGSTROM, self.astigmatism_angstrom / 2
        lowest, highest = self.defocus_angstrom
        if lowest - half < allowed.low or highest + half > allowed.high:
            raise ValueError(f"defocus, with half of the astigmatism, must be within {allowed}")
        return self


class PosesConfig(_Settings):
    """Orientations of molecules, and the poses in ``particles.star``.

    ``uniform``: every frame has a new orientation, uniform on SO(3). ``diffusion``: the orientation
    is uniform in a movie's first frame; from one frame to the next the molecule turns by a rotation
    vector whose three components have variance ``2 D Δt``.
    """

    kind: Literal["uniform", "diffusion"] = "uniform"
    diffusion_degrees2_per_second: PositiveFloat | None = Field(
        default=None, le=1e9, description="Rotational diffusion coefficient D, degrees² per second."
    )
    written: bool = Field(
        default=True, description="Write poses into particles.star; the truth always has them."
    )
    error_degrees: NonNegativeFloat = Field(
        default=0.0,
        le=360,
        description="Root mean square error of the written orientations.",
    )
    shift_error_angstrom: NonNegativeFloat = Field(
        default=0.0,
        description="Standard deviation of the error of written shifts, in x and y.",
    )

    @model_validator(mode="after")
    def _coefficient_where_it_is_used(self) -> PosesConfig:
        if (self.kind == "diffusion") != (self.diffusion_degrees2_per_second is not None):
            raise ValueError(
                "diffusion_degrees2_per_second goes with kind: diffusion, and with no other"
            )
        return self


class DefectsConfig(_Settings):
    """Defects of real movies, each drawn anew; none by default. ``truth.star`` keeps them.

    The signal-to-noise ratio is that of the images without defects.
    """

    background_sd: NonNegativeFloat = Field(
        default=0.0,
        le=1e4,
        description="Standard deviation of the background level of a frame, in standard deviations "
        "of the noise.",
    )
    gradient_sd: NonNegativeFloat = Field(
        default=0.0,
        le=1e4,
        description="Standard deviation of the rise of the background from edge to edge, along x "
        "and along y, in standard deviations of the noise.",
    )
    scale_sd: NonNegativeFloat = Field(
        default=0.0,
        le=3,
        description="Standard deviation of the logarithm of a frame's intensity.",
    )
    noise_knee_cycles_per_pixel: NonNegativeFloat = Field(
        default=0.0,
        le=10,
        description="Frequency k0 of coloured noise of power 1 + (k0/k)^p; 0 is white.",
    )
    noise_exponent: float = Field(
        default=2.0, ge=0, le=6, description="Exponent p of coloured noise."
    )
    junk_fraction: float = Field(
        default=0.0, ge=0, le=1, description="Probability that a frame does not show the molecule."
    )
    junk: Literal["other", "noise"] = Field(
        default="other", description="Junk shows one other molecule of its size, or only noise."
    )
    defocus_error_angstrom: NonNegativeFloat = Field(
        default=0.0,
        le=1e5,
        description="Standard deviation of the error of a movie's written defocus.",
    )
    electrons_per_pixel: NonNegativeFloat = Field(
        default=0.0,
        le=1e9,
        description="Mean number of electrons in a pixel of a frame, which are counted (Poisson); "
        "0 for Gaussian noise.",
    )
    mtf_at_nyquist: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Modulation transfer function M of the detector at Nyquist. A counting "
        "detector blurs the signal by M and leaves the noise white, so its detective quantum "
        "efficiency is M².",
    )
    damage_angstrom2_per_frame: NonNegativeFloat = Field(
        default=0.0,
        le=1e4,
        description="Growth of the B-factor from frame to frame by radiation damage.",
    )
    turn_in_frame_degrees: NonNegativeFloat = Field(
        default=0.0,
        le=90,
        description="Root mean square angle by which the molecule turns while a frame is exposed.",
    )
    move_in_frame_angstrom: NonNegativeFloat = Field(
        default=0.0,
        description="Standard deviation, in x and y, of its path while a frame is exposed.",
    )
    thickness_nm: Range = Field(
        default=(0.0, 0.0),
        description="Range from which the thickness of the liquid of every movie is drawn. "
        "Electrons that lose no energy become fewer by exp(−thickness / mean free path), and "
        "signal and noise with them.",
    )
    mean_free_path_nm: PositiveFloat = Field(
        default=185.0,
        description="Inelastic mean free path of electrons in the liquid.",
    )

    @model_validator(mode="after")
    def _thickness_is_one(self) -> DefectsConfig:
        if self.thickness_nm[0] < 0:
            raise ValueError("thickness_nm must be 0 or more")
        return self

    @property
    def any(self) -> bool:
        """True if there is a defect."""
        shapes = {"noise_exponent", "junk", "mean_free_path_nm"}  # of defects, not defects
        return self.model_dump(exclude=shapes) != DefectsConfig().model_dump(exclude=shapes)


class FieldConfig(_Settings):
    """Movies of the whole field of view: moving particles on a specimen that drifts.

    Every pixel is a Poisson count. Particles are as strong as ``snr`` says, in images of ``box``.
    """

    width: int = Field(default=384, ge=64, le=8192, description="Edge of the field, px.")
    particles: int = Field(default=15, ge=1, le=10_000, description="Particles in each field.")
    diffusion_angstrom2_per_second: NonNegativeFloat = Field(
        default=80.0,
        le=1e9,
        description="Translational diffusion coefficient D: in x and in y, the mean square "
        "displacement is 2 D t.",
    )
    drift_angstrom_per_second: NonNegativeFloat = Field(
        default=20.0, le=1e9, description="Mean speed of the stage, in a direction that turns."
    )
    texture: float = Field(
        default=0.05,
        ge=0,
        le=0.2,
        description="Standard deviation of the still background, as a fraction of its mean.",
    )
    dose_per_frame: float = Field(
        default=2.0, gt=0, le=1e6, description="Electrons per Å² and frame."
    )


def _ctf_section(settings: object) -> object:
    """Accept ``none`` in place of the section: a CTF that is 1 at all frequencies."""
    if settings != "none":
        return settings
    return {"defocus_angstrom": (0.0, 0.0), "cs_mm": 0.0, "amplitude_contrast": 1.0}


def _section_of_kind(settings: object) -> object:
    """Accept a kind in place of the section."""
    return {"kind": settings} if isinstance(settings, str) else settings


class SimulationConfig(_Settings):
    """A simulated dataset: molecule, motion and imaging."""

    structure: str = Field(
        description="File, PDB code, or 'toy' for the built-in protein: the molecule, the topology "
        "of a trajectory, or the start of a morph."
    )
    chains: list[str] | None = Field(default=None, description="Chains to keep; all by default.")
    hydrogens: bool = Field(
        default=True, description="Keep hydrogens where the structure has them."
    )
    motion: Annotated[SerializeAsAny[MotionSettings], ByKind(motion_sections, default="hinge")]
    schedule: Annotated[
        SerializeAsAny[ScheduleSettings],
        ByKind(schedule_sections, default="sweep"),
        BeforeValidator(_section_of_kind),
    ] = Field(default_factory=Sweep, description="Movies along the path: a kind or a section.")
    movies: int = Field(ge=1)
    frames_per_movie: Annotated[int | tuple[int, int], BeforeValidator(_lengths)] = Field(
        description="Number of frames, or the range from which each movie's number is drawn."
    )
    missing_fraction: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Probability that a frame is lost; every movie keeps two frames or more.",
    )
    frame_interval_seconds: float = Field(
        default=1.0, ge=1e-12, le=1e9, description="Time between frames."
    )
    box: Annotated[int, AfterValidator(_even)] = Field(ge=8, le=1024, description="Image edge, px.")
    pixel_size_angstrom: float = Field(
        ge=limits.PIXEL_SIZE_ANGSTROM.low, le=limits.PIXEL_SIZE_ANGSTROM.high
    )
    snr: float = Field(
        ge=1e-9, le=1e15, description="Variance of the signal divided by that of the noise."
    )
    b_factor_angstrom2: NonNegativeFloat = Field(
        default=50.0, le=1e4, description="B-factor of every atom: blurs by exp(−B s²/4)."
    )
    ctf: Annotated[CTFConfig, BeforeValidator(_ctf_section)] = Field(
        default_factory=CTFConfig,
        description="A section, or `none` for images that are formed without a CTF.",
    )
    poses: Annotated[PosesConfig, BeforeValidator(_section_of_kind)] = Field(
        default_factory=PosesConfig, description="Orientations: a kind or a section."
    )
    shift_sd_angstrom: NonNegativeFloat = Field(
        default=0.0, description="Standard deviation of the particle's displacement in x and y."
    )
    defects: DefectsConfig = Field(default_factory=DefectsConfig)
    field: FieldConfig | None = Field(
        default=None, description="Movies of the whole field of view, for temporem extract."
    )
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _frames_can_be_counted(self) -> SimulationConfig:
        if self.movies * self.longest_movie > MAX_FRAMES:
            raise ValueError(
                f"movies: {self.movies} of {self.longest_movie} frames; at most "
                f"{MAX_FRAMES} frames in all"
            )
        return self

    @model_validator(mode="after")
    def _electrons_are_enough(self) -> SimulationConfig:
        electrons = self.defects.electrons_per_pixel
        if electrons and self.snr > MOST_CONTRAST**2 * electrons:
            raise ValueError(
                f"defects.electrons_per_pixel: for an snr of {self.snr:g}, {electrons:g} electrons "
                f"would have to change by {(self.snr / electrons) ** 0.5:.0%} (standard deviation) "
                f"where the molecule is; take {self.snr / MOST_CONTRAST**2:g} or more"
            )
        return self

    @model_validator(mode="after")
    def _toy_is_whole(self) -> SimulationConfig:
        if self.structure == BUILT_IN and self.chains is not None:
            raise ValueError("chains: the toy is simulated whole; leave chains out")
        return self

    @model_validator(mode="after")
    def _motion_fits(self) -> SimulationConfig:
        self.motion.check(self.structure, self.longest_movie)
        if not isinstance(self.schedule, PathSchedule):
            self.motion.check_sweep(self.longest_movie)
        elif MOTIONS[self.motion.kind].along is None:
            raise ValueError(
                f"schedule: '{self.schedule.kind}' is for motions along a path, and a motion of "
                f"kind '{self.motion.kind}' has a schedule of its own; leave schedule out"
            )
        else:
            self.schedule.check(self.longest_movie, self.frame_interval_seconds)
        return self

    @property
    def shortest_movie(self) -> int:
        """Smallest number of frames of a movie, before any are lost."""
        lengths = self.frames_per_movie
        return lengths if isinstance(lengths, int) else lengths[0]

    @property
    def longest_movie(self) -> int:
        """Largest number of frames of a movie."""
        lengths = self.frames_per_movie
        return lengths if isinstance(lengths, int) else lengths[1]

    @property
    def files(self) -> list[str]:
        """Names of structures and trajectories: files, or PDB codes."""
        named = [] if self.structure == BUILT_IN else [self.structure]
        return [*named, *self.motion.files]


def with_field(config: SimulationConfig) -> SimulationConfig:
    """The configuration with a section ``field``, by default if it has none."""
    return config.model_copy(update={"field": config.field or FieldConfig()})
