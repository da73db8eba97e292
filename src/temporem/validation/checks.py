"""The tests of a run, one function each; each writes one file in ``RUN/validation``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.api import require_made_from
from temporem.frames.dataset import Dataset
from temporem.frames.readers import read_dataset
from temporem.io.mrc import write_volume
from temporem.physics.fourier import FourierSupport
from temporem.progress import Progress
from temporem.runs.half_models import FittedModel, half_models
from temporem.runs.names import VALIDATION
from temporem.runs.run import Run
from temporem.validation.displacement import Determination, compare_motions
from temporem.validation.facts import HalfSetFacts, ScoreFacts
from temporem.validation.half_sets import HalfSetAgreement, compare_half_sets
from temporem.validation.held_out import score_held_out_movies, score_other_halves
from temporem.validation.null_facts import NullFacts, NullSets
from temporem.validation.null_tests import Pairs, null_tests
from temporem.validation.storage import load_result, save_result
from temporem.volumes.cloud import CloudVolumes
from temporem.volumes.model import VolumeModel
from temporem.volumes.source import Decodes

HELD_OUT, HALF_SETS, NULL_TESTS, LATENTS = "held_out", "half_sets", "null_tests", "latents"
"""Names of the tests, and of their files."""

_NULL_SETS = "null_sets"  # simulated so far
_TRAINING_SHARE = 0.85  # of the time of half sets
_MOST_FRAMES, _LEAST_FRAMES = 100, 20  # whose volumes are compared
_MOST_VOXELS = 2**27  # in the volumes of a half set


def dataset_of(run: Run, dataset: Path | None = None) -> Dataset:
    """Read the movies that a run was made from.

    Raises:
        TemporemError: they are not there, or they are others.
    """
    path = dataset or Path(run.config.dataset)
    if not path.exists():
        raise TemporemError(
            f"{path}, the dataset of {run.path}, does not exist", hint="name it with --dataset"
        )
    movies = read_dataset(path)
    require_made_from(run, movies)
    return movies


def check_held_out(run: Run, dataset: Dataset, progress: Progress | None = None) -> ScoreFacts:
    """Score the held-out movies of a run, and write ``held_out.json``.

    Raises:
        TemporemError: as :func:`score_held_out_movies`.
    """
    facts = ScoreFacts.of(score_held_out_movies(run, dataset, progress))
    save_result(run.path, HELD_OUT, facts)
    return facts


def check_half_sets(run: Run, dataset: Dataset, progress: Progress | None = None) -> HalfSetFacts:
    """Train two models of half of the movies, compare them, and write maps and numbers.

    Raises:
        TemporemError: a run without latents; and as :func:`half_models`.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is written.
    """
    if run.latents is None:
        raise TemporemError(
            f"{run.path} has one volume for all frames, whose half maps are in its run.json",
            expected="a run of a method with latents, such as linear or tempor",
        )
    progress = progress or Progress()
    models = half_models(run, dataset, progress.part(0, _TRAINING_SHARE))
    progress = progress.part(_TRAINING_SHARE, 1, "comparing half sets")
    rows = _sample(run)
    first, second = (_decode(model, rows, run.grid.box) for model in models)
    progress(1, 3)
    found = compare_half_sets(first, second, _along_path(run, rows), run.grid.pixel_size_angstrom)
    motion = _motion(models, rows, run)
    progress(2, 3)
    _write_maps(run, found, motion)
    scores = score_other_halves(models, run, dataset.particle_names, progress.part(0.67, 1))
    sizes = len(models[0].frames.training), len(models[1].frames.training)
    facts = HalfSetFacts.of(found, scores, sizes, motion, run.grid.pixel_size_angstrom)
    save_result(run.path, HALF_SETS, facts)
    return facts


def check_null_tests(
    run: Run, dataset: Dataset, sets: int, progress: Progress | None = None
) -> NullFacts:
    """Test if the molecule in a run's frames moves, and write ``null_tests.json``.

    Simulated sets are kept in ``RUN/validation`` one by one, so that a test that was stopped goes
    on, and more sets can be added later.

    Raises:
        TemporemError: as :func:`null_tests`.
    """
    config = run.config
    found_here = config.searches_poses or config.learned_poses != "none"
    kept = NullSets(gain=0.0, made={})

    def known(gain: float) -> NullSets:
        nonlocal kept
        stored = load_result(run.path, _NULL_SETS, NullSets)
        kept = stored if stored and stored.gain == gain else NullSets(gain=gain, made={})
        return kept

    def keep(name: str, pairs: Pairs) -> None:
        nonlocal kept
        kept = kept.with_made(name, pairs)
        save_result(run.path, _NULL_SETS, kept)

    facts = null_tests(
        dataset,
        poses=run.poses if found_here else None,
        sets=sets,
        settings=config.data,
        seed=config.seed,
        poses_from_images=found_here,
        known=lambda gain: known(gain).made,
        keep=keep,
        progress=progress,
    )
    save_result(run.path, NULL_TESTS, facts)
    return facts


def _sample(run: Run) -> np.ndarray:
    """Rows of training frames whose volumes are compared, spread over the dataset."""
    rows = np.flatnonzero(~run.held_out)
    most = int(np.clip(_MOST_VOXELS // run.grid.box**3, _LEAST_FRAMES, _MOST_FRAMES))
    drawn = np.random.default_rng(0).permutation(rows)[:most]
    return np.sort(drawn)


def _along_path(run: Run, rows: np.ndarray) -> np.ndarray:
    """Place of frames along the first principal axis of the run's latents."""
    latents = run.latent_means.cpu().double()
    axis = torch.linalg.svd(latents - latents.mean(0), full_matrices=False).Vh[0]
    return (latents @ axis).numpy()[rows]


def _decode(model: FittedModel, rows: np.ndarray, box: int) -> Tensor:
    """Decode the volumes of frames, ``(n, D, D, D)``, in units of the images' noise."""
    support = FourierSupport(box, 3)
    z = model.latents[torch.from_numpy(rows)]
    span = model.generator.span(support, z) if isinstance(model.generator, VolumeModel) else None
    volumes = torch.empty(len(rows), box, box, box)
    for index, one in enumerate(z):
        coefficients = (
            _volume(model.generator, support, one)
            if span is None
            else span.volumes(torch.tensor([index]))
        )
        volumes[index] = support.ifft(coefficients.cpu())[0]
    return volumes


def _volume(generator: Decodes, support: FourierSupport, z: Tensor) -> Tensor:
    with torch.no_grad():
        return generator.volumes(support, z[None])


def _motion(
    models: tuple[FittedModel, FittedModel], rows: np.ndarray, run: Run
) -> Determination | None:
    """Compare the motions of two clouds; None for other generators."""
    clouds = [model.generator for model in models]
    places = []
    for generator, model in zip(clouds, models, strict=True):
        if not isinstance(generator, CloudVolumes):
            return None
        z = model.latents[torch.from_numpy(rows)].to(generator.device)
        with torch.no_grad():
            places.append(torch.cat([generator.cloud.positions(one[None]).cpu() for one in z]))
    first = clouds[0]
    assert isinstance(first, CloudVolumes)
    weights = first.cloud.weights.detach().cpu()
    return compare_motions(
        places[0], places[1], weights, run.grid.box, run.grid.pixel_size_angstrom
    )


def _write_maps(run: Run, found: HalfSetAgreement, motion: Determination | None) -> None:
    """Write mean volumes of both half sets along the path, masks, and maps of the motion."""
    folder, pixel = run.path / VALIDATION, run.grid.pixel_size_angstrom
    for half, maps in enumerate(found.maps, start=1):
        for state, volume in enumerate(maps, start=1):
            name = folder / f"half{half}_state_{state:02d}.mrc"
            write_volume(name, run.grid.noise_scale * volume.numpy(), pixel)
    for region, mask in found.masks.items():
        write_volume(folder / f"mask_{region}.mrc", mask.numpy(), pixel)
    if motion is not None:
        write_volume(folder / "moved.mrc", motion.moved.numpy(), pixel)
        write_volume(folder / "disagreement.mrc", motion.disagreement.numpy(), pixel)
