"""The configuration of a run: its method and all settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from temporem.dvae.settings import (
    EncoderInputKind,
    NetworkSettings,
    TrainingSettings,
    resolved_input,
)
from temporem.errors import TemporemError
from temporem.frames.settings import DataSettings
from temporem.io.files import atomic_write
from temporem.io.settings import load_settings, validate_settings
from temporem.linear.settings import LinearSettings
from temporem.poses.settings import PoseSettings
from temporem.volumes.generators import starts_linear

NETWORKS = ("static", "tempor", "clock")
"""Methods that train a network."""

_PRESETS = "presets"


_GIVEN = ("auto", "known")  # sources of poses before the images have been looked at


class RunConfig(BaseModel):
    """All settings that determine a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = Field(
        "tempor", description="`--method`: tempor, static, clock, linear, homogeneous."
    )
    dataset: str = Field("", description="Dataset folder, the first argument of `reconstruct`.")
    seed: int = Field(0, ge=0, lt=2**31, description="`--seed`: seed of all random numbers.")
    device: str = Field(
        "auto", description="`--device`: cpu, cuda, cuda:1 …; auto takes a GPU if there is one."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the networks' matrix products. auto: bfloat16 if the "
        "processor is fast in it. A run keeps the format that it began with.",
    )
    checkpoint_seconds: float = Field(60, ge=0, description="Time between checkpoints, in seconds.")
    model: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    linear: LinearSettings = LinearSettings()
    data: DataSettings = DataSettings()
    poses: PoseSettings = PoseSettings()
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of a method from outside the package."
    )

    @model_validator(mode="after")
    def _masks_are_used(self) -> RunConfig:
        for name in ("mask", "focus_mask"):
            if getattr(self.linear, name) != "auto" and self.method != "linear":
                raise ValueError(
                    f"linear.{name} needs --method linear, but the method is {self.method}"
                )
        return self

    @model_validator(mode="after")
    def _start_fits_the_method(self) -> RunConfig:
        if self.method in NETWORKS and self.method != "tempor" and self.training.start == "static":
            raise ValueError("training.start=static needs --method tempor")
        components = self.linear.components
        starts = self.method in NETWORKS and self.starts_linear
        if starts and isinstance(components, int) and components < self.model.z_dim:
            raise ValueError(
                f"linear.components is {components}, but model.z_dim is {self.model.z_dim}: a "
                "network needs a component for every latent dimension"
            )
        return self

    @model_validator(mode="after")
    def _encoder_input_can_be_made(self) -> RunConfig:
        if self.model.encoder_input == "linear" and not self.starts_linear:
            raise ValueError(
                "model.encoder_input=linear needs training.start=linear, not "
                f"{self.training.start}: without a linear model there are no latents of it"
            )
        return self

    @model_validator(mode="after")
    def _generator_can_start(self) -> RunConfig:
        name = self.model.generator
        if starts_linear(name) and not self.starts_linear:
            raise ValueError(
                f"model.generator={name} needs training.start=linear, not {self.training.start}: "
                "it starts from the volumes of a linear model"
            )
        return self

    @model_validator(mode="after")
    def _poses_can_be_found(self) -> RunConfig:
        if self.learned_poses == "table":
            if self.method not in NETWORKS:
                raise ValueError(
                    "poses.learned=table needs --method static or tempor, but the method is "
                    f"{self.method}"
                )
            if self.poses.source in _GIVEN:
                raise ValueError("poses.learned=table needs --poses refine or estimate")
        if not isinstance(self.poses.diffusion, str) and not self.searches_poses:
            raise ValueError(
                "poses.diffusion needs a search for poses: --poses estimate, or --poses refine "
                "without poses.learned=table"
            )
        if self.learned_poses == "head" and self.poses.source != "estimate":
            raise ValueError(
                "poses.learned=head infers poses from images alone: it needs --poses estimate, not "
                f"{self.poses.source}"
            )
        return self

    @property
    def starts_linear(self) -> bool:
        """True if a network starts from a linear model."""
        return self.training.start == "linear"

    @property
    def base_components(self) -> int:
        """Components of the linear model that a network starts from."""
        components = self.linear.components
        return max(self.model.z_dim, 4) if components == "auto" else components

    @property
    def learned_poses(self) -> Literal["none", "table", "head"]:
        """Way to learn poses together with a network."""
        if self.poses.learned != "auto":
            return self.poses.learned
        sought = self.method in NETWORKS and self.poses.source not in _GIVEN
        linked = not isinstance(self.poses.diffusion, str)
        searched = linked or self.data.held_out_fraction > 0
        return "table" if sought and not searched else "none"

    @property
    def searches_poses(self) -> bool:
        """True if a search for poses comes first."""
        instead = self.learned_poses == "table" and self.poses.source == "refine"
        return self.poses.source not in _GIVEN and not instead

    @property
    def moving_poses(self) -> bool:
        """True if the encoder input depends on poses that are being learned."""
        return self.learned_poses == "table" and self.encoder_input != "image"

    @property
    def encoder_input(self) -> EncoderInputKind:
        """Input of the encoder of a network."""
        return resolved_input(self.model, self.training)


def load_run_settings(path: str | Path) -> dict[str, Any]:
    """Read settings from a YAML file, or from a preset of the package such as ``paper.yaml``.

    Raises:
        TemporemError: no such file or preset, or not YAML.
    """
    if Path(path).exists():
        return load_settings(Path(path))
    presets = resources.files(__package__) / _PRESETS
    names = sorted(entry.name for entry in presets.iterdir() if entry.name.endswith(".yaml"))
    if str(path) in names:
        with resources.as_file(presets / str(path)) as file:
            return load_settings(file)
    raise TemporemError(
        f"--config {path}: no such file", expected=f"a YAML file, or one of {', '.join(names)}"
    )


def build_config(settings: Mapping[str, Any], *, source: str) -> RunConfig:
    """Validate settings as nested dictionaries.

    Raises:
        TemporemError: an unknown key (with the nearest known one) or a bad value; the message
            names ``source``.
    """
    return validate_settings(RunConfig, settings, source=source)


def save_config(config: RunConfig, path: Path) -> None:
    """Write the complete configuration as YAML."""
    with atomic_write(path) as temporary:
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
