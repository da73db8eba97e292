"""What a finished run consists of on disk, and reading it back.

::

    RUN/config.yaml     how it was made, complete
    RUN/dataset.sha256  what it was made from
    RUN/metrics.jsonl   one record per epoch
    RUN/start.jsonl     of the linear model that training started from, one record per step
    RUN/checkpoint/     weights
    RUN/predicted.star  linear: latents at frame numbers that a movie lacks
    RUN/run.json        grid and units of the volumes
    RUN/frames.star     latent and pose of every frame; written last, so a run with it is finished
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem import __version__
from temporem.device import choose_device, network_dtype
from temporem.dvae.learned_poses import empty_poses
from temporem.dvae.model import MovieVAE
from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset
from temporem.frames.fingerprint import fingerprint
from temporem.io import checkpoint
from temporem.io.files import atomic_write
from temporem.io.json_file import read_json_object
from temporem.io.pose_columns import POSE_COLUMNS, columns_from_poses, poses_from_table
from temporem.io.settings import load_settings
from temporem.io.star import Table, read_star, write_star
from temporem.physics.forward import ForwardModel
from temporem.physics.fourier import FourierSupport
from temporem.runs.config import RunConfig, build_config
from temporem.runs.poses import FoundPoses
from temporem.volumes.fourier_network import FourierNetwork
from temporem.volumes.linear_volumes import LinearVolumes

CONFIG_NAME, METRICS_NAME, CHECKPOINT_NAME = "config.yaml", "metrics.jsonl", "checkpoint"
START_METRICS_NAME, FINGERPRINT_NAME = "start.jsonl", "dataset.sha256"
GRID_NAME, FRAMES_NAME = "run.json", "frames.star"
FORMAT = "temporem run 3"

MAX_BOX = 2048
"""Voxels along an edge; such a volume takes 32 GiB."""

Generator = FourierNetwork | LinearVolumes

_BLOCK = "frames"
_WEIGHTS_NAME, _FIRST_LAYER = "model.safetensors", "extractor.first.weight"

IDENTITY_NAMES = (GRID_NAME, FRAMES_NAME, f"{CHECKPOINT_NAME}/{_WEIGHTS_NAME}")
"""The files of a run that decide its volumes."""


@dataclass(frozen=True)
class VolumeGrid:
    """Grid and units of the volumes of a run.

    Attributes:
        box: edge length D, voxels.
        pixel_size_angstrom: Å per voxel.
        noise_scale: generators work in units of the images' noise; times this, volumes are in
            units of the images.
    """

    box: int
    pixel_size_angstrom: float
    noise_scale: float


@dataclass(frozen=True, eq=False)
class Run:
    """A finished reconstruction of N frames: a volume, and a latent, for every one.

    Attributes:
        path: the run's folder.
        config: how it was made; ``config.dataset`` is the dataset, which need not be here.
        grid: grid and units of the volumes.
        particle_names: the movie of every frame, N names, in the order of the dataset's rows.
        frame_numbers: position in the movie, int64 ``(N,)``.
        held_out: whether the frame's movie was kept from training, bool ``(N,)``.
        rotations: molecule to camera, as used or estimated, float64 ``(N, 3, 3)``.
        shifts_angstrom: displacement (x, y) of the particle, likewise, ``(N, 2)``.
        latents: posterior means, float32 ``(N, q)``; None for ``homogeneous``.
        latent_covariance: of ``linear``, float32 ``(N, q, q)``; None for other methods.
        generator: gives volumes of latents.
    """

    path: Path
    config: RunConfig
    grid: VolumeGrid
    particle_names: list[str]
    frame_numbers: np.ndarray
    held_out: np.ndarray
    rotations: Tensor
    shifts_angstrom: Tensor
    latents: np.ndarray | None
    latent_covariance: np.ndarray | None
    generator: Generator

    @property
    def n_frames(self) -> int:
        return len(self.particle_names)

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`."""
        return FourierSupport(self.grid.box, 3)

    def volumes(self, rows: np.ndarray, support: FourierSupport | None = None) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``, on the CPU.

        In units of the images, on :attr:`support` or on a smaller one of the same box.
        """
        support, scale = support or self.support, self.grid.noise_scale
        with torch.no_grad():
            return scale * self.generator.volumes(support, self.latents_of(rows)).cpu()

    @property
    def arithmetic(self) -> str:
        """What volumes are computed in here: ``bfloat16 on cpu``."""
        mlp = getattr(self.generator, "mlp", None)
        dtype = "float32" if mlp is None or mlp.dtype is None else str(mlp.dtype)[6:]
        return f"{dtype} on {next(self.generator.buffers()).device.type}"

    def latents_of(self, rows: np.ndarray) -> Tensor:
        """Posterior means of frames ``(B,)`` where the generator takes them: ``(B, q)``.

        q is 0 for ``homogeneous``.
        """
        latents = np.empty((self.n_frames, 0)) if self.latents is None else self.latents
        return torch.from_numpy(latents[rows]).to(next(self.generator.buffers()).device)

    def voxels(self, rows: np.ndarray) -> np.ndarray:
        """The volumes of frames ``(B,)`` on voxels, ``(B, D, D, D)`` (z, y, x)."""
        return self.support.ifft(self.volumes(rows)).numpy()

    def voxel_deviations(self, rows: np.ndarray) -> np.ndarray:
        """Posterior standard deviation of every voxel of frames ``(B,)``: ``(B, D, D, D)``.

        What the uncertainty of the latent coordinates does to the volumes, in their units; that of
        the mean volume and of the components is not in it.

        Raises:
            TemporemError: the method has no posterior covariance.
        """
        self.require_covariance()
        assert self.latent_covariance is not None
        assert isinstance(self.generator, LinearVolumes)
        covariance = torch.from_numpy(self.latent_covariance[rows])
        variance = self.generator.variance(covariance.to(self.generator.maps.device))
        return self.grid.noise_scale * variance.sqrt().cpu().numpy()

    def require_covariance(self) -> None:
        """Raise a TemporemError unless :meth:`voxel_deviations` are known."""
        if self.latent_covariance is None:
            raise TemporemError(
                f"{self.path} was made with --method {self.config.method}, which has no "
                "posterior covariance",
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
        """Raise a TemporemError unless the dataset's rows are the frames of this run."""
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
                f"{self.path} is a reconstruction of other frames than those of {dataset.path}",
                expected=f"the dataset that it was made from ({self.config.dataset})",
            )


def require_dataset_of(path: Path, dataset: Dataset) -> None:
    """Raise a TemporemError unless rows and images are those that a run was started with."""
    file = path / FINGERPRINT_NAME
    try:
        started = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise TemporemError(
            f"{file} is not readable, so the run's dataset cannot be known again",
            hint="start another run",
        ) from None
    if fingerprint(dataset) != started:
        raise TemporemError(
            f"{dataset.path} is not what {path} was started with",
            expected="the same rows in the same order, with the same images",
            hint="restore the dataset, or start another run",
        )


def is_run(path: str | Path) -> bool:
    """Whether a folder is a run, finished or not."""
    return (Path(path) / CONFIG_NAME).is_file()


def is_finished(path: str | Path) -> bool:
    """Whether a run came to its end."""
    return (Path(path) / FRAMES_NAME).is_file()


def load_run_config(path: str | Path) -> RunConfig:
    """The configuration of a run, finished or not.

    Raises:
        TemporemError: the folder is no run, or its configuration is damaged.
    """
    file = Path(path) / CONFIG_NAME
    if not is_run(path):
        raise TemporemError(
            f"{path} is not a run",
            expected=f"a folder with {CONFIG_NAME}",
            hint="make one with temporem reconstruct",
        )
    return build_config(load_settings(file), source=str(file))


def load_run(path: str | Path) -> Run:
    """Read a finished run. The dataset that it was made from is not needed.

    Raises:
        TemporemError: no run, an unfinished or damaged one, or a checkpoint of another model.
    """
    path = Path(path)
    config = load_run_config(path)
    if not is_finished(path):
        raise TemporemError(
            f"{path} is not finished",
            hint=f"finish it with temporem reconstruct {config.dataset} -o {path} --resume",
        )
    grid = _read_grid(path / GRID_NAME)
    table = read_star(path / FRAMES_NAME).get(_BLOCK, Table({}, where=str(path / FRAMES_NAME)))
    table.require("rlnParticleName", "rlnMovieFrameNumber", "temporemHeldOut", *POSE_COLUMNS)
    if table.n_rows == 0:
        raise TemporemError(f"{table.where} has no rows", expected="one for every frame")
    rotations, shifts = poses_from_table(table)
    return Run(
        path=path,
        config=config,
        grid=grid,
        particle_names=table.strings("rlnParticleName"),
        frame_numbers=table.ints("rlnMovieFrameNumber"),
        held_out=table.ints("temporemHeldOut") == 1,
        rotations=rotations,
        shifts_angstrom=shifts,
        latents=None if config.method == "homogeneous" else _read_latents(table, config),
        latent_covariance=_read_covariance(table, config) if config.method == "linear" else None,
        generator=_load_generator(path / CHECKPOINT_NAME, config, grid, table.n_rows),
    )


def write_grid(path: Path, grid: VolumeGrid) -> None:
    """Write ``RUN/run.json``."""
    document = {"format": FORMAT, "temporem_version": __version__, **asdict(grid)}
    with atomic_write(path / GRID_NAME) as partial:
        partial.write_text(json.dumps(document, indent=1), encoding="utf-8")


def write_frames(
    path: Path,
    dataset: Dataset,
    held_out: np.ndarray,
    mean: Tensor | None = None,
    covariance: Tensor | None = None,
    poses: FoundPoses | None = None,
) -> None:
    """Write ``RUN/frames.star``: latent, pose and membership of every row of a dataset.

    Args:
        path: the run's folder.
        dataset: where poses come from.
        held_out: bool ``(N,)``.
        mean: of the latents, ``(N, q)``; None for a method without.
        covariance: ``(N, q, q)``, or the diagonal ``(N, q)`` of a method that knows no more.
        poses: those of the dataset, where the run found them: their spread is written as well.
    """
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "rlnParticleName": dataset.particle_names,
        "rlnMovieFrameNumber": dataset.frame_numbers,
    }
    if mean is not None and covariance is not None:
        columns |= latent_columns(mean, covariance)
    columns |= columns_from_poses(dataset.rotations, dataset.shifts_angstrom)
    if poses is not None:
        columns["temporemAngleSd"] = poses.angle_sd_degrees.numpy()
        columns["temporemOriginSdAngst"] = poses.shift_sd_angstrom.numpy()
    columns["temporemHeldOut"] = held_out.astype(np.int64)
    write_star(path / FRAMES_NAME, {_BLOCK: Table(columns, where=FRAMES_NAME)})


def latent_columns(mean: Tensor, covariance: Tensor) -> dict[str, np.ndarray]:
    """Columns of a star file: mean and deviation of every coordinate, covariance of every pair."""
    full = covariance.dim() == 3
    variance = covariance.diagonal(dim1=-2, dim2=-1) if full else covariance
    columns: dict[str, np.ndarray] = {}
    for name, values in (("Mean", mean), ("Sd", variance.sqrt())):
        array = values.float().cpu().numpy()
        columns |= {f"temporemLatent{name}{j}": v for j, v in enumerate(array.T, start=1)}
    if full:
        for i, j in _pairs(mean.shape[1]):
            array = covariance[:, i, j].float().cpu().numpy()
            columns[f"temporemLatentCovariance{i + 1}_{j + 1}"] = array
    return columns


def _pairs(q: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(q) for j in range(i + 1, q)]


def _read_grid(path: Path) -> VolumeGrid:
    hint = "make the run again with --overwrite"
    document = read_json_object(path, form=FORMAT, hint=hint)
    for name, most in (("box", MAX_BOX), ("pixel_size_angstrom", 1e6), ("noise_scale", 1e30)):
        value = document.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = name != "box" or (isinstance(value, int) and value % 2 == 0)
        if not (number and whole and 0 < value <= most):  # type: ignore[operator]
            what = "an even whole number" if name == "box" else "a number"
            raise TemporemError(
                f"{path}: {name} is {reprlib.repr(value)}",
                expected=f"{what} above 0, {most:g} at most",
                hint=hint,
            )
    return VolumeGrid(**{field.name: document[field.name] for field in fields(VolumeGrid)})


def _read_latents(table: Table, config: RunConfig) -> np.ndarray:
    names = [f"temporemLatentMean{j}" for j in range(1, config.model.z_dim + 1)]
    table.require(*names)
    return np.stack([_singles(table, name) for name in names], axis=-1)


def _read_covariance(table: Table, config: RunConfig) -> np.ndarray:
    q = config.model.z_dim
    pairs = _pairs(q)
    names = [f"temporemLatentSd{j}" for j in range(1, q + 1)]
    names += [f"temporemLatentCovariance{i + 1}_{j + 1}" for i, j in pairs]
    table.require(*names)
    covariance = np.zeros((table.n_rows, q, q), dtype=np.float32)
    for name, (i, j) in zip(names[q:], pairs, strict=True):
        covariance[:, i, j] = covariance[:, j, i] = _singles(table, name)
    for j, name in enumerate(names[:q]):
        deviations = _singles(table, name)
        table.check(name, deviations >= 0, "0 or more")
        covariance[:, j, j] = deviations**2
    return covariance


def _singles(table: Table, name: str) -> np.ndarray:
    """Column as float32 ``(N,)``; squares of what is let in are finite as well."""
    values = table.floats(name)
    table.check(name, np.abs(values) < 1e18, "a number below 1e18")
    return values.astype(np.float32)


def _load_generator(
    directory: Path, config: RunConfig, grid: VolumeGrid, n_frames: int
) -> Generator:
    """The generator of a checkpoint, on the fastest device here."""
    device = choose_device("auto")
    if config.method == "homogeneous" or config.method == "linear":
        q = config.model.z_dim if config.method == "linear" else 0
        linear = LinearVolumes(grid.box, q)
        checkpoint.load_weights(directory, linear)
        return linear.to(device)
    forward_model = ForwardModel(grid.box, grid.pixel_size_angstrom)
    first_layer = checkpoint.load_tensors(directory / _WEIGHTS_NAME).get(_FIRST_LAYER)
    n_evidence = 1 if first_layer is None else first_layer.shape[-1]  # load_weights tells the rest
    model = MovieVAE(config.method, config.model, forward_model, n_evidence)
    model.poses = empty_poses(config, n_frames)
    checkpoint.load_weights(directory, model)
    model.set_network_dtype(network_dtype(config.training.precision, device))
    return model.generator.to(device)
