"""Trains a program, scores its volumes with our evaluation, and checks that it reads our data.

Heavy modules are imported where they are used: the memory of this process counts as a child's
first.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.common import say
from benchmarks.peers.protocol import Peer, Training
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from temporem.physics.fourier import FourierSupport

AGREE_FSC = 0.95


@dataclass(frozen=True)
class VolumeFiles:
    """Volumes as MRC files of a folder, one for each row of ``particles.star``."""

    folder: Path
    box: int

    @property
    def support(self) -> FourierSupport:
        from temporem.physics.fourier import FourierSupport

        return FourierSupport(self.box, 3)

    def path(self, row: int) -> Path:
        return self.folder / f"frame_{row:06d}.mrc"

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of some frames: complex64 ``(B, P)``.

        Raises:
            TemporemError: a file is missing, damaged or of another box.
        """
        import numpy as np
        import torch

        from temporem.io.mrc import read_volume

        voxels = np.stack([read_volume(self.path(int(row)), self.box) for row in rows])
        return self.support.fft(torch.from_numpy(voxels))


def train_and_score(
    peer: Peer,
    dataset: Path,
    output: Path,
    training: Training,
    *,
    every: int,
    resume: bool = False,
) -> None:
    """Train, then score the results of the program.

    Args:
        peer: the program.
        dataset: a simulated dataset.
        output: folder to write.
        training: options of the training.
        every: evaluate every N-th frame of each movie.
        resume: go on where an earlier call with the same arguments stopped. A training that did
            not finish starts anew.

    Raises:
        TemporemError: no environment or truth, options that the program does not have, an output
            that has results, unusable volumes.
        CommandFailed: the program fails.
    """
    peer.environment.require()
    if not (dataset / "particles.star").is_file() or not (dataset / "truth").is_dir():
        raise TemporemError(f"{dataset} has no truth", expected="a simulated dataset")
    models = peer.models(training)
    work, usage = output / "training", output / "time.json"
    if not (resume and usage.is_file()):
        if resume:
            shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir(parents=True)
        except FileExistsError:
            raise TemporemError(
                f"{work} exists", hint="choose another name, or pass --resume"
            ) from None
        measured = json.dumps(asdict(peer.train(dataset, work, training)), indent=2)
        usage.write_text(measured, encoding="utf-8")
    for name, model in models.items():
        (folder := output / name).mkdir(exist_ok=True)
        if not (folder / "evaluation.json").is_file():
            score(peer, dataset, work, model, folder, every)
    say(f"Evaluation: {output}; next: temporem compare {output} RUN")


def score(peer: Peer, dataset: Path, work: Path, model: str, output: Path, every: int) -> None:
    """Evaluate the frames that ``temporem evaluate --every`` looks at; remove the volumes."""
    from temporem.evaluation.api import evaluate, frames_to_evaluate
    from temporem.evaluation.storage import save_evaluation
    from temporem.frames.readers import read_dataset
    from temporem.simulation.truth import read_truth_of

    movies = read_dataset(dataset)
    truth, frames = read_truth_of(movies), frames_to_evaluate(movies, every=every)
    latents = peer.latents(work, model)
    if len(latents) != movies.n_frames:
        raise TemporemError(f"{len(latents)} latents", expected=f"{movies.n_frames}, one a frame")
    with TemporaryDirectory(dir=work) as folder:
        volumes = VolumeFiles(Path(folder), movies.box)
        peer.decode(work, model, latents[frames.rows], [volumes.path(row) for row in frames.rows])
        say(f"Evaluating {len(frames)} volumes of {model}")
        evaluation = evaluate(volumes, truth, latents=latents, poses=movies.poses, every=every)
    save_evaluation(evaluation, output)


def check(peer: Peer, *, movies: int = 60) -> bool:
    """Have a program back-project simulated frames and compare its volume with the true mean.

    A rotation, shift, CTF or image of the wrong sense or sign leaves volumes that disagree. The
    frames have little noise, so that all shells up to three quarters of Nyquist must agree.
    """
    from temporem.cli.main import main as temporem
    from temporem.io.mrc import read_volume
    from temporem.simulation.truth import read_truth

    peer.environment.require()
    with TemporaryDirectory() as folder:
        dataset, work = Path(folder, "movies"), Path(folder)
        settings = (f"movies={movies}", "motion.step_degrees=0", "snr=10")
        words = [word for value in settings for word in ("--set", value)]
        temporem(["simulate", "toy", "-o", str(dataset), *words])
        truth = read_truth(dataset)
        found = read_volume(peer.back_project(dataset, work), truth.config.box)
    mean = truth.support.ifft(truth.volumes(range(0, truth.n_frames, 5)).mean(0))
    fsc = correlation(found, mean.numpy())
    print("FSC with the true mean volume, from shell 1:", fsc[1:].round(2).tolist())
    return agrees(fsc)


def correlation(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """FSC of two volumes ``(D, D, D)``, shells 0 to D/2 − 1."""
    import torch

    from temporem.physics.fourier import FourierSupport
    from temporem.physics.fsc import fourier_shell_correlation

    support = FourierSupport(len(true), 3)
    first, second = (support.fft(torch.from_numpy(volume)) for volume in (found, true))
    return fourier_shell_correlation(first, second, support).numpy()


def agrees(fsc: np.ndarray) -> bool:
    """Tell whether every shell up to three quarters of Nyquist agrees."""
    return bool(fsc[1 : 3 * len(fsc) // 4].min() >= AGREE_FSC)
