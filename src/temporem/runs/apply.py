"""A finished run applied to movies that it has not seen: latents and poses, without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from temporem.checks import Evidence, examine, require_sound
from temporem.device import choose_device
from temporem.errors import TemporemError
from temporem.frames.batch import Batch
from temporem.frames.dataset import Dataset
from temporem.frames.fingerprint import fingerprint
from temporem.frames.frames import Frames, prepare_frames
from temporem.frames.readers import read_dataset
from temporem.frames.source import Weighted
from temporem.io.checkpoint import load_checkpoint, save_checkpoint
from temporem.io.files import fresh_directory
from temporem.io.outputs import require_replaceable
from temporem.physics.padded_grid import full_grid
from temporem.physics.poses import Poses
from temporem.poses.known_volumes import find_poses_in
from temporem.progress import Progress
from temporem.runs import names
from temporem.runs.config import RunConfig, save_config
from temporem.runs.facts import write_facts
from temporem.runs.frames_table import write_frame_table
from temporem.runs.methods import find_method
from temporem.runs.methods.base import Infers
from temporem.runs.run import Run
from temporem.volumes.linear_volumes import LinearVolumes

AppliedPoses = Literal["known", "refine", "estimate"]

_RADIUS = 12.0  # cycles per box, below which the intensity of the images is compared
_SIGNIFICANT = 5.0  # standard errors by which images fit better in their own poses
_LEAST_GAIN = 0.3  # and fraction of what the volume promises
_POSES_SHARE = 0.6  # of the time


@dataclass(frozen=True)
class Intensity:
    """Intensity of new images beside those that a run was made from.

    Attributes:
        factor: factor of the run's volumes in the new images.
        error: its standard error.
    """

    factor: float
    error: float


def apply_run(
    run: Run,
    dataset: str | Path,
    output: str | Path,
    *,
    poses: AppliedPoses | None = None,
    invert: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Infer latents, and if need be poses, of movies that a run has not seen; write a run of them.

    The volumes stay as they are. The images may have another intensity and another level of noise:
    both are measured. The result is a run like any other, to evaluate, export or look at.

    Args:
        run: a finished run.
        dataset: new movies of the same molecule, with the same box and pixel size.
        output: folder to write.
        poses: ``known`` takes the poses of the dataset, ``refine`` improves them, ``estimate``
            finds them in the run's volumes. None: known if the dataset has poses, else estimate.
        invert: flip the sign of the images, for dark molecules; None does as the run did.
        overwrite: replace a run that exists.
        progress: receives the progress.

    Returns:
        ``output``.

    Raises:
        TemporemError: another box or pixel size, images that do not show the molecule, no poses
            where they are to be known, or a method that cannot be applied.

    Example:
        >>> run = tm.load_run("tempor-run")
        >>> new = tm.load_run(tm.apply_run(run, "movies", "new-run"))
        >>> new.latents.shape
        (200, 1)
    """
    progress, output = progress or Progress(), Path(output)
    method = find_method(run.config.method)
    if not isinstance(method, Infers) or run.config.learned_poses == "head":
        raise TemporemError(
            f"{run.path} was made with --method {run.config.method}, which cannot be applied to "
            "new movies",
            expected="a run of linear, tempor, static or homogeneous",
        )
    movies = read_dataset(dataset)
    _require_same_grid(run, movies)
    poses = poses or ("known" if movies.has_poses else "estimate")
    config = _config_for(run.config, movies, poses, invert)
    if poses == "estimate":
        movies = movies.without_poses()
    else:
        movies.require_poses()
    require_sound(examine(Evidence.of(movies, config.data)), config.data, movies.path)
    if overwrite:
        require_replaceable(
            output,
            "a run",
            holds=names.CONFIG,
            folders=(names.CHECKPOINT, names.VALIDATION),
            inputs=[movies.path, run.path],
        )
    stored = load_checkpoint(run.path / names.MODEL)
    with fresh_directory(output, overwrite=overwrite) as folder:
        found = None
        if poses != "known":
            found = _found_poses(run, movies, config, poses, progress.part(0, _POSES_SHARE))
            movies = movies.with_poses(found)
        frames = prepare_frames(movies, config.data, movies.movies, choose_device("auto"))
        progress(_POSES_SHARE, 1, "intensity")
        intensity = measure_intensity(run, frames)
        frames = _in_units_of(frames, intensity)
        progress(_POSES_SHARE + 0.1, 1, "latents")
        mean, covariance = method.infer(stored, config, movies, frames)
        (folder / names.CHECKPOINT).mkdir()
        save_checkpoint(folder / names.MODEL, stored)
        save_config(config, folder / names.CONFIG)
        (folder / names.FINGERPRINT).write_text(f"{fingerprint(movies)}\n", encoding="ascii")
        facts: dict[str, Any] = {
            "applied_run": str(run.path.resolve()),
            "applied_intensity": intensity.factor,
        }
        with_covariance = covariance is not None and covariance.dim() == 3
        write_facts(
            folder,
            run.grid,
            {**frames.corrections.facts(), **facts},
            z_dim=0 if mean is None else mean.shape[1],
            latent_covariance=with_covariance,
        )
        write_frame_table(
            folder,
            movies,
            np.zeros(movies.n_frames, dtype=bool),
            mean=mean,
            covariance=covariance,
            found=found,
            corrections=frames.corrections.columns(),
        )
    progress(1, 1)
    return output


def measure_intensity(run: Run, frames: Frames) -> Intensity:
    """Compare the intensity of frames with that of the mean of a run's volumes.

    It is the least-squares factor of the mean's projections, each in its pose and with its CTF.

    Raises:
        TemporemError: the images do not show the molecule.
    """
    model = frames.forward_model
    grid = full_grid(model.box, frames.device)
    rows = grid.from_volumes(mean_volume(run).to(frames.device)[None])
    n = int((model.support.radii < _RADIUS).sum())
    weights = model.support.weights[:n].to(frames.device)
    own, swapped, information = 0.0, 0.0, 0.0
    for batch in frames.blocks(frames.movies, n):

        def fit(rotations: Tensor, batch: Batch = batch) -> tuple[float, float]:
            points = model.slice_frequencies(rotations, slice(0, n))
            slices = grid.extract(rows, grid.corners(points)).view(len(batch.rows), n)
            expected = model.observe(slices, batch.ctf)
            product = (weights * (batch.images.conj() * expected).real).sum()
            return float(product), float((weights * expected.abs().square()).sum())

        found, known = fit(batch.rotations)
        own, information = own + found, information + known
        swapped += fit(batch.rotations.roll(len(batch.rows) // 2, 0))[0]
    information = max(information, 1e-12)
    factor = own / information
    error = (frames.statistics.independent_share * information) ** -0.5
    # In the poses of other frames a mean volume fits too, as one blob fits another.
    least = max(_SIGNIFICANT * 2**0.5 * error * information, _LEAST_GAIN * (information - swapped))
    if own - swapped < least:
        raise TemporemError(
            f"the images do not show the molecule of {run.path}: its mean volume fits them with "
            f"the factor {factor:.2g} ± {error:.1g} in their poses, and with "
            f"{swapped / information:.2g} in the poses of other frames",
            expected="a factor near 1, and a much smaller one in other poses",
            hint="look at them with temporem check; pass --invert if they have the other sign, and "
            "--poses estimate if their poses have another reference frame",
        )
    return Intensity(factor, error)


def mean_volume(run: Run) -> Tensor:
    """Volume of a run at the mean of its latents, ``(D, D, D)``, in units of the images' noise."""
    return run.volume(run.latent_means.mean(0)) / run.grid.noise_scale


def _in_units_of(frames: Frames, intensity: Intensity) -> Frames:
    """The frames, their CTF times the intensity, so that the run's volumes explain them."""
    factor = torch.full((len(frames),), intensity.factor)
    white = torch.ones(len(frames.forward_model.support))
    return replace(frames, source=Weighted(frames.source, factor, white))


def _found_poses(
    run: Run, movies: Dataset, config: RunConfig, poses: AppliedPoses, progress: Progress
) -> Poses:
    """Poses of all frames in the run's volumes."""
    device = torch.device("cpu")
    posed = poses == "refine"
    frames = prepare_frames(movies, config.data, movies.movies, device, posed=posed)
    # Both sets of images are taken to have the same intensity until poses are known.
    ratio = run.grid.noise_scale / frames.statistics.noise_scale
    generator = run.generator
    components = generator.maps[1:].cpu() if isinstance(generator, LinearVolumes) else None
    return find_poses_in(
        ratio * mean_volume(run),
        None if components is None or len(components) == 0 else ratio * components,
        frames,
        movies.poses,
        config.poses,
        window_radius=config.data.window_radius,
        progress=progress,
    )


def _config_for(
    config: RunConfig, movies: Dataset, poses: AppliedPoses, invert: bool | None
) -> RunConfig:
    """Settings of a run, for other movies."""
    settled = {"source": poses, "learned": "none", "diffusion": "none"}
    return config.model_copy(
        update={
            "dataset": str(Path(movies.path).resolve()),
            "poses": config.poses.model_copy(update=settled),
            "data": config.data.model_copy(
                update={
                    "held_out_fraction": 0.0,
                    "invert": config.data.invert if invert is None else invert,
                }
            ),
        }
    )


def _require_same_grid(run: Run, movies: Dataset) -> None:
    same = abs(movies.pixel_size_angstrom / run.grid.pixel_size_angstrom - 1) < 1e-3
    if movies.box != run.grid.box or not same:
        raise TemporemError(
            f"{movies.path} has {movies.box} pixels of {movies.pixel_size_angstrom:g} Å, but "
            f"{run.path} was made from {run.grid.box} pixels of {run.grid.pixel_size_angstrom:g} Å",
            expected="the same box and pixel size",
            hint=f"temporem import … --size {run.grid.box} "
            f"--pixel-size {run.grid.pixel_size_angstrom:g}",
        )
