"""Reading of finished runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset, group_movies
from temporem.frames.fingerprint import fingerprint
from temporem.io.checkpoint import load_checkpoint
from temporem.io.settings import load_settings
from temporem.io.signatures import refuse_foreign
from temporem.physics.poses import Poses
from temporem.runs import names
from temporem.runs.config import RunConfig, build_config
from temporem.runs.facts import RunFacts, read_facts
from temporem.runs.frames_table import read_frame_table
from temporem.runs.methods import find_method
from temporem.volumes.linear_volumes import LinearVolumes
from temporem.volumes.source import Reconstruction


@dataclass(frozen=True, eq=False, kw_only=True)
class Run(Reconstruction):
    """A finished reconstruction of N frames, with a latent and a volume for each.

    Attributes:
        path: the run's folder.
        config: settings; ``config.dataset`` names the dataset, which need not exist any more.
        facts: findings of the run.
        particle_names: movie of every frame, N names, in the order of the dataset's rows.
        frame_numbers: position in the movie, int64 ``(N,)``.
        times_seconds: float64 ``(N,)``, NaN where the dataset has no times.
        held_out: the frame's movie was kept from training, bool ``(N,)``.
        poses: as used or found.
        latent_covariance: posterior covariance, float32 ``(N, q, q)``: of ``linear``; of networks
            its diagonal, other entries being 0; None for a method without latents.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> volumes = run.voxels(run.rows_of_movie("movie_0001"))
        >>> tm.write_volume("first-frame.mrc", volumes[0], run.grid.pixel_size_angstrom)
    """

    path: Path
    config: RunConfig
    facts: RunFacts
    particle_names: list[str]
    frame_numbers: np.ndarray
    times_seconds: np.ndarray
    held_out: np.ndarray
    poses: Poses
    latent_covariance: np.ndarray | None

    @property
    def n_frames(self) -> int:
        """Number N of frames."""
        return len(self.particle_names)

    @cached_property
    def movies(self) -> list[np.ndarray]:
        """Rows of each movie in the order of its frames, as :attr:`Dataset.movies`."""
        return group_movies(self.particle_names, self.frame_numbers)

    @property
    def latents(self) -> np.ndarray | None:
        """Posterior means, float32 ``(N, q)``; None for a method without latents."""
        return self.latent_means.cpu().numpy() if self.latent_means.shape[1] else None

    @property
    def arithmetic(self) -> str:
        """Number format and device of the computation, such as ``bfloat16 on cpu``."""
        return f"{self.config.precision} on {self.latent_means.device.type}"

    def voxel_deviations(self, rows: np.ndarray) -> np.ndarray:
        """Posterior standard deviation of every voxel of frames ``(B,)``: ``(B, D, D, D)``.

        It comes from the uncertainty of the latents, in units of the volumes. The uncertainty of
        mean and components is not included.

        Raises:
            TemporemError: the method has no posterior covariance, or volumes that are not linear in
                the latents.
        """
        self.require_covariance()
        assert self.latent_covariance is not None
        assert isinstance(self.generator, LinearVolumes)
        covariance = torch.from_numpy(self.latent_covariance[rows])
        variance = self.generator.variance(covariance.to(self.generator.maps.device))
        return self.grid.noise_scale * variance.sqrt().cpu().numpy()

    def require_covariance(self) -> None:
        """Raise a TemporemError if the method has no :meth:`voxel_deviations`."""
        lacking = None
        if self.latent_covariance is None:
            lacking = "which has no posterior covariance"
        elif not isinstance(self.generator, LinearVolumes):
            lacking = "whose volumes are not linear in the latents"
        if lacking is not None:
            raise TemporemError(
                f"{self.path} was made with --method {self.config.method}, {lacking}",
                expected="a run of --method linear",
            )

    def rows_of_movie(self, name: str) -> np.ndarray:
        """Rows of a movie in the order of its frames.

        Raises:
            TemporemError: there is no such movie.
        """
        rows = np.flatnonzero(np.array(self.particle_names) == name)
        if len(rows) == 0:
            raise TemporemError(
                f"{self.path} has no movie '{name}'",
                expected=f"a name such as '{self.particle_names[0]}' (_rlnParticleName)",
            )
        return rows[np.argsort(self.frame_numbers[rows])]

    def require_frames_of(self, dataset: Dataset) -> None:
        """Raise a TemporemError if the rows of the dataset are not the frames of this run."""
        same = (
            dataset.box == self.grid.box
            and math.isclose(
                dataset.pixel_size_angstrom, self.grid.pixel_size_angstrom, rel_tol=1e-4
            )
            and dataset.particle_names == self.particle_names
            and np.array_equal(dataset.frame_numbers, self.frame_numbers)
        )
        if not same:
            raise TemporemError(
                f"{self.path} is not a reconstruction of the frames in {dataset.path}",
                expected=f"the dataset that it was made from ({self.config.dataset})",
            )


def load_run(path: str | Path) -> Run:
    """Read a finished run; its dataset is not needed.

    Raises:
        TemporemError: no run, an unfinished or damaged one, or a checkpoint of another model.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> run.config.method, run.n_frames
        ('tempor', 1000)
    """
    path = Path(path)
    config = load_run_config(path)
    if not is_finished(path):
        raise TemporemError(
            f"{path} is not finished",
            hint=f"finish it with temporem reconstruct {config.dataset} -o {path} --resume",
        )
    facts = read_facts(path)
    table = read_frame_table(path, facts.z_dim, covariance=facts.latent_covariance)
    method = find_method(config.method)
    stored = load_checkpoint(path / names.MODEL)
    device = choose_device("auto")
    generator = method.load(stored, config, facts.grid, facts.z_dim)
    if isinstance(generator, torch.nn.Module):
        generator = generator.to(device)
    return Run(
        grid=facts.grid,
        generator=generator,
        latent_means=torch.from_numpy(table.mean).to(device),
        path=path,
        config=config,
        facts=facts,
        particle_names=table.particle_names,
        frame_numbers=table.frame_numbers,
        times_seconds=table.times_seconds,
        held_out=table.held_out,
        poses=table.poses,
        latent_covariance=table.covariance,
    )


def load_run_config(path: str | Path) -> RunConfig:
    """Read the configuration of a run, finished or not.

    Raises:
        TemporemError: the folder is no run, or its configuration is damaged.
    """
    file = Path(path) / names.CONFIG
    if not is_run(path):
        expected = f"a folder with {names.CONFIG}"
        refuse_foreign(path, expected=expected)
        raise TemporemError(
            f"{path} is not a run",
            expected=expected,
            hint="make one with temporem reconstruct",
        )
    return build_config(load_settings(file), source=str(file))


def is_run(path: str | Path) -> bool:
    """True if a folder is a run, finished or not."""
    return (Path(path) / names.CONFIG).is_file()


def is_finished(path: str | Path) -> bool:
    """True if a run is finished."""
    return (Path(path) / names.FRAMES).is_file()


def require_dataset_of(path: Path, dataset: Dataset) -> None:
    """Raise a TemporemError if the dataset has changed since a run was started."""
    file = path / names.FINGERPRINT
    try:
        started = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise TemporemError(
            f"cannot read {file}, so the run cannot recognise its dataset",
            hint="start a new run with another output",
        ) from None
    if fingerprint(dataset) != started:
        raise TemporemError(
            f"{dataset.path} has changed since {path} was started",
            expected="the same rows in the same order, with the same images",
            hint="restore the dataset, or start a new run with another output",
        )
