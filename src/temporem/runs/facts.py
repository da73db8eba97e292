"""The file ``RUN/run.json``: grid and units of the volumes, and findings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_object
from temporem.io.settings import validate_settings
from temporem.linear.likeness import DOUBTFUL, Change
from temporem.poses.symmetry import Symmetry
from temporem.runs import names
from temporem.version import __version__
from temporem.volumes.source import VolumeGrid

FORMAT = "temporem run 10"
_HINT = "make the run again with --overwrite"

MAX_BOX = 2048
"""Voxels along an edge; such a volume takes 32 GiB."""


class _Symmetry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order: int = Field(ge=0, le=1000)
    dihedral: bool
    axis: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    agreement: FiniteFloat


class HalfAgreementFacts(BaseModel):
    model_config = ConfigDict(strict=True)

    components_found: int = Field(ge=0, lt=2**31)
    correlations: list[FiniteFloat]
    chance: list[FiniteFloat]
    chance_sd: list[FiniteFloat]

    @model_validator(mode="after")
    def _of_one_length(self) -> HalfAgreementFacts:
        if not len(self.correlations) == len(self.chance) == len(self.chance_sd):
            raise ValueError("lists must be of one length")
        return self


class LikenessFacts(BaseModel):
    model_config = ConfigDict(strict=True)

    fraction: float = Field(ge=0, le=1.001)
    change: Change


class RunFacts(BaseModel):
    """Facts about a finished run.

    Attributes:
        box: edge length D of the volumes, voxels.
        pixel_size_angstrom: edge of a voxel, Å.
        noise_scale: see :class:`VolumeGrid`.
        z_dim: latent dimension; 0 for a method without latents.
        latent_covariance: ``frames.star`` has the covariances of the latents, not only variances.
        symmetry: symmetry of the volume that poses were found with.
        starts_alike: fraction of the frames on whose poses two random starts agree.
        pose_diffusion: rotational diffusion coefficient that links the poses of neighbouring
            frames, degrees² per unit of time; None where poses are independent.
        pose_head_apart_degrees: median angle between the poses of the search and the answers of the
            run's pose head before they are refined; None without a head.
        applied_run: run whose volumes these are, where no volume was made of these movies.
        applied_intensity: factor of that run's volumes in these images.
        applied_poses: where the poses of these movies come from, in words.
        components: components of the linear model.
        half_agreement: how halves of the movies agree on its components.
        component_likeness: how far each component looks like a change of the mean as a whole.
        half_fsc: FSC of the half maps of a homogeneous reconstruction.
        data_warnings: sentences of the checks of the dataset.
        corrections: sentences on what was done to images of uneven background or intensity.
    """

    model_config = ConfigDict(extra="allow")

    box: int = Field(ge=2, le=MAX_BOX, multiple_of=2)
    pixel_size_angstrom: float = Field(gt=0, le=1e6)
    noise_scale: float = Field(gt=0, le=1e30)
    z_dim: int = Field(ge=0, le=64)
    latent_covariance: bool = Field(strict=True)
    symmetry: _Symmetry | None = None
    starts_alike: float | None = Field(None, ge=0, le=1)
    pose_diffusion: float | None = Field(None, gt=0)
    pose_head_apart_degrees: float | None = Field(None, ge=0)
    applied_run: str | None = None
    applied_intensity: FiniteFloat | None = None
    applied_poses: str | None = None
    components: int | None = None
    half_agreement: HalfAgreementFacts | None = None
    component_likeness: list[LikenessFacts] | None = None
    half_fsc: list[FiniteFloat] | None = None
    data_warnings: list[str] = []
    corrections: list[str] = []

    @property
    def grid(self) -> VolumeGrid:
        """Grid and units of the volumes."""
        return VolumeGrid(self.box, self.pixel_size_angstrom, self.noise_scale)

    @property
    def doubtful_components(self) -> str:
        """Sentence on components that move the mean volume as a whole; empty without any."""
        found = [
            f"{number} (a {one.change}, {one.fraction:.0%})"
            for number, one in enumerate(self.component_likeness or (), start=1)
            if one.fraction > DOUBTFUL
        ]
        if not found:
            return ""
        return (
            f"component {', '.join(found)} may be no motion: it looks like a change of the mean "
            "volume as a whole, as poses, shifts, pixel size or contrast that are off make it. "
            "--poses refine improves poses and shifts."
        )

    @property
    def found_symmetry(self) -> Symmetry | None:
        """Symmetry of the volume that poses were found with; None if the run searched no poses."""
        return None if self.symmetry is None else Symmetry(**self.symmetry.model_dump())


def write_facts(
    folder: Path,
    grid: VolumeGrid,
    found: Mapping[str, Any],
    *,
    z_dim: int,
    latent_covariance: bool,
) -> None:
    """Write ``RUN/run.json``."""
    document = {"format": FORMAT, "temporem_version": __version__, **asdict(grid)}
    document |= {"z_dim": z_dim, "latent_covariance": latent_covariance}
    with atomic_write(folder / names.FACTS) as partial:
        partial.write_text(json.dumps({**document, **found}, indent=1), encoding="utf-8")


def read_facts(folder: Path) -> RunFacts:
    """Read ``RUN/run.json``.

    Raises:
        TemporemError: no such file, another format, or a value out of range.
    """
    path = folder / names.FACTS
    document = read_json_object(path, form=FORMAT, hint=_HINT)
    return validate_settings(RunFacts, document, source=str(path))
