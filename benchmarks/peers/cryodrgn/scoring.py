"""A training of cryoDRGN scored by temporem's evaluation, on the frames that ours is scored on."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers.cryodrgn.commands import TrainingOptions
from benchmarks.peers.cryodrgn.environment import Environment, report
from benchmarks.peers.cryodrgn.training import epoch_seconds, require_stack_order, train
from benchmarks.peers.cryodrgn.volumes import VolumeFiles, decode, read_latents

from temporem.cli.console import progress_bar
from temporem.errors import TemporemError
from temporem.evaluation.run_evaluation import evaluate_source, frames_to_evaluate
from temporem.evaluation.storage import ARRAYS_NAME, SUMMARY_NAME, save_evaluation
from temporem.experiments.execute import TIME_NAME
from temporem.frames.dataset import read_dataset
from temporem.io.files import fresh_directory
from temporem.simulation.truth import read_truth_of

TIMES_NAME = "times.json"


@dataclass(frozen=True)
class Score:
    """An evaluation on disk and the times that go with it.

    Attributes:
        directory: holds ``evaluation.json`` and ``evaluation.npz``, as a RUN does.
        epoch: of the training.
        n_volumes: that were decoded and scored.
        training_seconds: wall-clock time of all epochs up to this one.
        decoding_seconds_per_volume: without the start of the program.
    """

    directory: Path
    epoch: int
    n_volumes: int
    training_seconds: float
    decoding_seconds_per_volume: float


def score(
    environment: Environment,
    training: Path,
    dataset: Path,
    *,
    epoch: int,
    every: int = 1,
    keep_volumes: bool = False,
    overwrite: bool = False,
) -> Score:
    """Decode the volumes of an epoch, evaluate them and write ``OUT/cryodrgn-epoch-E/``.

    Args:
        environment: where cryoDRGN is.
        training: OUT, the folder that ``train`` wrote.
        dataset: the dataset that it was trained on.
        epoch: one that was kept.
        every: evaluate every so manieth frame of every movie, as ``temporem evaluate``.
        keep_volumes: leave the decoded volumes in ``volumes/``.
        overwrite: replace an evaluation of this epoch.

    Raises:
        TemporemError: no environment, no such epoch, another dataset, no truth.
    """
    environment.require()
    require_stack_order(dataset)
    movies = read_dataset(dataset)
    movies.require_poses()
    truth = read_truth_of(movies)
    seconds = epoch_seconds(training)
    frames = frames_to_evaluate(movies, every=every)  # no movie is held out
    directory = training / f"cryodrgn-epoch-{epoch}"
    with fresh_directory(directory, overwrite=overwrite) as partial:
        work = partial / "volumes"
        work.mkdir()
        latents = read_latents(environment, training, epoch, work)
        if len(latents) != movies.n_frames:
            raise TemporemError(
                f"{training} is a training on {len(latents)} frames, {dataset} has "
                f"{movies.n_frames}",
                expected="the dataset that it was trained on",
            )
        report(f"Decoding {len(frames)} volumes of epoch {epoch}")
        source = VolumeFiles(work, movies.box, movies.pixel_size_angstrom)
        decoding = decode(environment, training, epoch, latents, frames.rows, source)
        report(f"Evaluating {len(frames)} volumes")
        with progress_bar("Evaluating") as progress:
            evaluation = evaluate_source(
                source,
                truth,
                frames,
                latents=latents,
                poses=(movies.rotations, movies.shifts_angstrom),
                progress=progress,
            )
        save_evaluation(evaluation, partial)
        result = Score(directory, epoch, len(frames), sum(seconds[:epoch]), decoding)
        times = {k: v for k, v in asdict(result).items() if k != "directory"}
        (partial / TIMES_NAME).write_text(json.dumps(times, indent=2), encoding="utf-8")
        if not keep_volumes:
            shutil.rmtree(work)
    return result


def train_and_score(
    environment: Environment,
    dataset: Path,
    output: Path,
    options: TrainingOptions,
    *,
    every: int = 1,
) -> None:
    """Train, score the last epoch and put its evaluation into OUT itself, as in a RUN.

    The training is in ``OUT/training``, what it took in ``OUT/time.json`` as an experiment reads
    it. The folder may exist, if no evaluation or training is in it.

    Raises:
        TemporemError: as of training and scoring.
    """
    output.mkdir(exist_ok=True)
    taken = (TIME_NAME, SUMMARY_NAME, ARRAYS_NAME)
    if there := next((output / name for name in taken if (output / name).exists()), None):
        raise TemporemError(f"{there} exists", hint="choose another folder")
    training = output / "training"
    record = json.loads(train(environment, dataset, training, options).read_text(encoding="utf-8"))
    times = {"seconds": record["seconds"], "processor_seconds": record["cpu_seconds"]}
    (output / TIME_NAME).write_text(json.dumps(times), encoding="utf-8")
    result = score(environment, training, dataset, epoch=options.epochs, every=every)
    for name in (ARRAYS_NAME, SUMMARY_NAME):  # the summary, by which it is known, last
        (result.directory / name).rename(output / name)
