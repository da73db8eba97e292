"""The complete description of a reconstruction, as written to ``RUN/config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from temporem.dvae.config import EncoderInputKind, ModelConfig
from temporem.io.files import atomic_write
from temporem.io.settings import validate_settings

Method = Literal["homogeneous", "linear", "static", "tempor"]
_NETWORKS = ("static", "tempor")
_Fraction = Annotated[float, Field(ge=0, le=1)]


class TrainingConfig(BaseModel):
    """How the networks are optimised. An epoch shows every frame once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(32, ge=1, description="Epochs in all, pretraining and warm-up included.")
    init: Literal["static", "linear"] = Field(
        "linear",
        description="tempor: what it is fitted to first, the paths of the linear dynamical model, "
        "or a static model trained before (paper).",
    )
    pretrain_epochs: int | None = Field(
        None,
        ge=0,
        description="tempor, init static: epochs of the static model first; 0 starts from "
        "scratch, by default half of all epochs.",
    )
    linear_start: bool = Field(
        True,
        description="static, and tempor with init static: begin, for an eighth of all epochs, at "
        "the latents of a linear model fitted beforehand.",
    )
    warmup_epochs: int | None = Field(
        None,
        ge=0,
        description="tempor, init static: epochs in which the temporal encoder learns the latent "
        "paths of the pretrained static model; by default an eighth of all epochs.",
    )
    frames_per_step: int = Field(
        20,
        ge=1,
        description="Frames in an optimiser step; tempor takes whole movies, one at least.",
    )
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Adam's step size.")
    decay_fraction: float = Field(
        0.5, ge=0, le=1, description="Fraction of all epochs, at the end, in which it falls to 0."
    )
    start_resolution: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Frequencies fitted at first, as a fraction of Nyquist; by default 0.35, and "
        "all with a table of poses.",
    )
    marching: tuple[_Fraction, _Fraction] = Field(
        (0.6, 0.8), description="Fractions of all epochs between which the rest is let in."
    )
    pixels_per_frame: int = Field(
        128,
        ge=16,
        description="Most Fourier pixels of an image that a step looks at: drawn anew at every "
        "step, by how much they can tell, and weighted so that the likelihood keeps its "
        "expectation.",
    )
    kl_weight: float | None = Field(
        None, ge=0, description="β of the KL term; by default 1 / z_dim (paper)."
    )
    kl_rise_epochs: int = Field(2, ge=0, description="Epochs in which β rises from 0.")
    gradient_clip: float = Field(1e4, gt=0, description="Largest norm of a gradient.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Products of the networks; auto takes bfloat16 where fast, once for a run.",
    )
    device: str = Field(
        "auto", description="cpu, cuda, cuda:1 …; auto takes a GPU if there is one."
    )
    checkpoint_seconds: float = Field(60, ge=0, description="Time between checkpoints.")

    @model_validator(mode="after")
    def _epochs_fit(self) -> TrainingConfig:
        if self.marching[0] > self.marching[1]:
            raise ValueError("marching must be [first, last]")
        given = self.pretrain_epochs is not None or self.warmup_epochs is not None
        if given and self.init == "linear":
            raise ValueError("pretrain_epochs and warmup_epochs need training.init=static")
        pretrain, warmup = self.pretrain_epochs or 0, self.warmup_epochs or 0
        if pretrain >= self.epochs or pretrain + warmup > self.epochs:
            raise ValueError(
                f"pretrain_epochs + warmup_epochs ({pretrain} + {warmup}) leave nothing of "
                f"{self.epochs} epochs"
            )
        return self


class LinearConfig(BaseModel):
    """How the linear dynamical model is solved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choose_components: bool = Field(
        True,
        description="Choose model.z_dim by the likelihood of held-out movies; false takes it as "
        "it is set. static and tempor take model.linear_components.",
    )
    most_components: int = Field(4, ge=1, le=16, description="Largest number that is tried.")
    temporal: bool = Field(
        True,
        description="Dynamics within movies; false makes frames independent, as they are for "
        "static.",
    )
    iterations: int = Field(
        4,
        ge=1,
        le=1000,
        description="Iterations at full resolution, also of the model that static and tempor "
        "start from.",
    )
    mask: str = Field(
        "auto",
        description="Where the molecule is: auto, none, or an .mrc file of the images' box with "
        "values from 0 to 1. For the method linear only.",
    )
    focus_mask: str = Field("auto", description="What may move, likewise.")

    @property
    def mask_files(self) -> list[str]:
        """The masks that are files."""
        return [name for name in (self.mask, self.focus_mask) if name not in ("auto", "none")]


class DataConfig(BaseModel):
    """How images are prepared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invert: bool = Field(False, description="Flip the contrast: set for dark molecules.")
    window_radius: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Radius of the soft window, as a fraction of half the box: 1 is its edge.",
    )
    held_out_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Fraction of the movies kept out of training and of all volumes; the level of "
        "the noise and the spectra of signal and CTF are those of all movies.",
    )
    memory_gb: float = Field(
        1.0,
        ge=0,
        description="Prepared images of up to so many GiB are kept in memory, the GPU's where "
        "there is one; more are prepared from the dataset again whenever they are needed.",
    )


def _coefficient(value: object) -> object:
    """One message for what is neither a word nor a positive number, instead of one for each."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value in ("none", "auto") or (number and 0 < float(value) < float("inf")):  # type: ignore[arg-type]
        return value
    raise ValueError("must be none, auto or a number above 0, in degrees² per second")


class PosesConfig(BaseModel):
    """Where poses come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["known", "refine", "estimate"] = Field(
        "known",
        description="The dataset's poses as they are, the dataset's poses improved, or poses from "
        "images alone.",
    )
    starts: int = Field(
        3, ge=1, le=100, description="estimate: random starts, of which the likeliest is kept."
    )
    iterations: int = Field(
        6, ge=1, le=1000, description="How often poses and volume are improved in turn."
    )
    motion_iterations: int = Field(
        8,
        ge=0,
        le=1000,
        description="How often, thereafter, poses are found together with what changes from frame "
        "to frame; not for the method homogeneous.",
    )
    components: int = Field(
        2, ge=1, le=16, description="Components of the linear model of these changes."
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
        description="static and tempor: what learns poses together with the network. table: a free "
        "pose for every frame, in the place of the search of refine, or after that of estimate; "
        "head: a network on the encoder's features, in the place of the search of estimate; none: "
        "poses come from the search alone. auto: a table, where no movies are held out and "
        "poses.diffusion is none.",
    )
    step_degrees: float = Field(
        0.5,
        gt=0,
        le=10,
        description="table: about how far a pose may move in an epoch; shifts as far as the "
        "edge of a molecule does.",
    )
    diffusion: Annotated[Literal["none", "auto"] | float, BeforeValidator(_coefficient)] = Field(
        "none",
        description="Prior that links the poses of neighbouring frames by rotational diffusion: "
        "none (poses independent, as in the paper), the coefficient in degrees² per second (per "
        "frame where times are not known), or auto: fitted to the poses found, and used where "
        "movies held out show that frames are connected.",
    )


class RunConfig(BaseModel):
    """Everything that determines a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "tempor"
    dataset: str = ""
    seed: int = Field(0, ge=0, lt=2**31)
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    linear: LinearConfig = LinearConfig()
    data: DataConfig = DataConfig()
    poses: PosesConfig = PosesConfig()

    @model_validator(mode="after")
    def _masks_are_used(self) -> RunConfig:
        for name in ("mask", "focus_mask"):
            if getattr(self.linear, name) != "auto" and self.method != "linear":
                raise ValueError(
                    f"linear.{name} needs --method linear, and the method is {self.method}"
                )
        return self

    @model_validator(mode="after")
    def _poses_can_be_found(self) -> RunConfig:
        if self.learned_poses != "none":
            if self.method not in _NETWORKS:
                raise ValueError(
                    f"poses.learned={self.poses.learned} needs --method static or tempor, and the "
                    f"method is {self.method}"
                )
            if self.poses.source == "known" and self.learned_poses == "table":
                raise ValueError("poses.learned=table needs --poses refine or estimate")
        if self.poses.diffusion != "none" and not self.searches_poses:
            raise ValueError(
                "poses.diffusion is used where poses are searched for: it needs --poses estimate "
                "without a head, or --poses refine without a table"
            )
        if self.learned_poses == "head":
            wanted = {
                "poses.source=estimate": self.poses.source == "estimate",
                "model.encoder_input=image": self.model.encoder_input == "image",
                "model.mean_volume=false": not self.model.mean_volume,
                "training.init=static": self.method == "static" or self.training.init == "static",
            }
            lacking = [setting for setting, given in wanted.items() if not given]
            if lacking:
                raise ValueError(
                    "poses.learned=head begins without poses, so nothing can be made of images by "
                    f"their poses: it needs {', '.join(lacking)}"
                )
        return self

    @property
    def learned_poses(self) -> Literal["none", "table", "head"]:
        """What learns poses together with the network."""
        if self.poses.learned != "auto":
            return self.poses.learned
        sought = self.method in _NETWORKS and self.poses.source != "known"
        searched = self.poses.diffusion != "none" or self.data.held_out_fraction > 0
        return "table" if sought and not searched else "none"

    @property
    def searches_poses(self) -> bool:
        """Whether poses are found before anything else is."""
        instead = {"table": "refine", "head": "estimate"}.get(self.learned_poses)
        return self.poses.source not in ("known", instead)

    @property
    def start_resolution(self) -> float:
        """Frequencies fitted at first; poses that are known roughly already tell all of them."""
        if self.training.start_resolution is not None:
            return self.training.start_resolution
        return 1.0 if self.learned_poses == "table" else 0.35

    @property
    def moving_poses(self) -> bool:
        """Whether what the encoder sees changes with poses that are learned."""
        return self.learned_poses == "table" and self.encoder_input == "back-projection"

    @property
    def kl_weight(self) -> float:
        """β of the bound: as set, or 1 / z_dim."""
        weight = self.training.kl_weight
        return 1 / self.model.z_dim if weight is None else weight

    @property
    def encoder_input(self) -> EncoderInputKind | None:
        """What an encoder sees of a frame; None for methods without."""
        return self.model.encoder_input if self.method in ("static", "tempor") else None


def build_config(settings: Mapping[str, Any], *, source: str) -> RunConfig:
    """Validate settings as nested dictionaries.

    Raises:
        TemporemError: an unknown key (with the nearest known one) or a bad value; ``source`` says
            where it came from.
    """
    return validate_settings(RunConfig, settings, source=source)


def save_config(config: RunConfig, path: Path) -> None:
    """Write the complete configuration as YAML."""
    with atomic_write(path) as temporary:
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
