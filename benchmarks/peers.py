"""Runs other people's programs on our datasets and scores them with our evaluation.

    python -m benchmarks.peers install cryodrgn     # a virtual environment of its own, 2.2 GB
    python -m benchmarks.peers check cryodrgn       # do both programs read a dataset alike?
    python -m benchmarks.peers run cryodrgn DATASET -o OUT --z-dim 1 --epochs 40 --every 10
    temporem compare OUT RUN

A program is one class that fulfils ``Peer`` and one entry of ``PEERS``. ``run`` writes::

    OUT/evaluation.json, .npz    scores of the last epoch, as in a RUN
    OUT/time.json                time and memory of the whole training command
    OUT/epoch-E/                 the scores of each epoch of --also
    OUT/training/                files and log of the program

cryoDRGN reads our ``particles.star`` as it is: RELION's Euler angles and origins mean the same to
both programs. Its CTF is the negative of ours (RELION's, +w at s = 0), and by default it inverts
the images; the two signs cancel, so that its volumes are bright as ours are. ``check`` measures
this. Volumes have a scale of their own, which every measure of our evaluation ignores.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from benchmarks.common import CommandFailed, Environment, Usage, positive, say
from temporem.errors import TemporemError

if TYPE_CHECKING:  # imported where used: the memory of this process counts as a child's first
    import numpy as np
    from torch import Tensor

    from temporem.physics.fourier import FourierSupport

AGREE_FSC = 0.95
DISAGREES, BAD_INPUT = 1, 2


@dataclass(frozen=True)
class Training:
    """Options of a training: ``keep`` says after how many epochs each to keep the model, and
    ``more`` holds further words for the program's own command line.
    """

    z_dim: int
    epochs: int
    seed: int = 0
    keep: int = 1
    more: tuple[str, ...] = ()


class Peer(Protocol):
    """A program that is trained, and asked for latents and volumes. It may write into ``work``."""

    environment: Environment
    requirements: tuple[str, ...]

    def train(self, dataset: Path, work: Path, training: Training) -> Usage: ...

    def latents(self, work: Path, epoch: int) -> np.ndarray:
        """Latent means ``(N, q)`` in the order of ``particles.star``."""

    def decode(self, work: Path, epoch: int, latents: np.ndarray, files: Sequence[Path]) -> None:
        """Write the volume of each row of ``latents`` to the file of the same place."""

    def back_project(self, dataset: Path, work: Path) -> Path:
        """One volume of all frames in the dataset's poses."""


class CryoDRGN:
    """cryoDRGN 4.3.1 (Zhong et al. 2021): a static auto-encoder with known poses."""

    requirements = ("torch==2.13.0",)

    # A pickle runs code when it is read, so cryoDRGN's own environment reads it. The file holds
    # two pickles, means and log-variances; this reads the first.
    _TO_NPY = (
        "import pickle, sys, numpy; "
        "numpy.save(sys.argv[2], numpy.asarray(pickle.load(open(sys.argv[1], 'rb'))))"
    )

    def __init__(self, path: Path) -> None:
        self.environment = Environment(path, "cryodrgn", "4.3.1")

    def train(self, dataset: Path, work: Path, training: Training) -> Usage:
        return self._cryodrgn(
            work,
            *("train_vae", *self._inputs(dataset, work), "-o", work.absolute() / "train"),
            *("--zdim", training.z_dim, "-n", training.epochs, "--seed", training.seed),
            *("--checkpoint", training.keep, "--no-analysis", *training.more),
        )

    def latents(self, work: Path, epoch: int) -> np.ndarray:
        source, target = work / "train" / f"z.{epoch}.pkl", work / f"z.{epoch}.npy"
        log = work / "cryodrgn.log"
        self.environment.run("python", "-c", self._TO_NPY, source, target, log=log)
        return read_latents(target)

    def decode(self, work: Path, epoch: int, latents: np.ndarray, files: Sequence[Path]) -> None:
        import numpy as np

        train = work.absolute() / "train"
        with TemporaryDirectory(dir=work.absolute()) as folder:
            z_file = Path(folder, "z.txt")
            np.savetxt(z_file, latents, fmt="%.9g")  # nine digits hold a float32
            self._cryodrgn(
                work,
                *("eval_vol", train / f"weights.{epoch}.pkl", "-c", train / "config.yaml"),
                *("-o", folder, "--zfile", z_file, "--vol-start-index", 0),
            )
            for k, file in enumerate(files):
                Path(folder, f"vol_{k:03d}.mrc").rename(file)

    def back_project(self, dataset: Path, work: Path) -> Path:
        output = work.absolute() / "backproject"
        command = ("backproject_voxel", *self._inputs(dataset, work), "-o", output)
        self._cryodrgn(work, *command, "--no-half-maps")
        return output / "backproject.mrc"

    def _inputs(self, dataset: Path, work: Path) -> list[object]:
        """Have cryoDRGN convert poses and CTF; the table gives the images too, so orders agree."""
        star = dataset.absolute() / "particles.star"
        poses, ctf = work.absolute() / "poses.pkl", work.absolute() / "ctf.pkl"
        self._cryodrgn(work, "parse_pose_star", star, "-o", poses)
        self._cryodrgn(work, "parse_ctf_star", star, "-o", ctf)
        return [star, "--poses", poses, "--ctf", ctf]

    def _cryodrgn(self, work: Path, *arguments: object) -> Usage:
        say(f"cryodrgn {arguments[0]}; log: {work / 'cryodrgn.log'}")
        return self.environment.run("cryodrgn", *arguments, log=work / "cryodrgn.log")


PEERS: dict[str, type[CryoDRGN]] = {"cryodrgn": CryoDRGN}


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


def read_latents(path: Path) -> np.ndarray:
    """Read latents ``(N, q)`` from an ``.npy`` file that another program's Python wrote.

    Raises:
        TemporemError: pickled objects, or numbers that are not finite.
    """
    import numpy as np

    try:
        latents = np.load(path, allow_pickle=False)
        latents = latents.reshape(len(latents), -1).astype(np.float32)
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise TemporemError(f"{path}: not readable as latents ({error})") from None
    if not np.isfinite(latents).all():
        raise TemporemError(f"{path}: latents that are not finite")
    return latents


def train_and_score(
    peer: Peer, dataset: Path, output: Path, training: Training, every: int, also: Sequence[int]
) -> None:
    """Train, then score the epochs of ``also`` and the last one.

    Raises:
        TemporemError: no environment or truth, an output that has results, unusable volumes.
        CommandFailed: the program fails.
    """
    peer.environment.require()
    if not (dataset / "particles.star").is_file() or not (dataset / "truth").is_dir():
        raise TemporemError(f"{dataset} has no truth", expected="a simulated dataset")
    if also and max(also) >= training.epochs:
        raise TemporemError(f"--also {max(also)}", expected=f"epochs below {training.epochs}")
    work = output / "training"
    try:
        work.mkdir(parents=True)
    except FileExistsError:
        raise TemporemError(f"{work} exists", hint="choose another name") from None
    usage = peer.train(dataset, work, training)
    (output / "time.json").write_text(json.dumps(asdict(usage), indent=2), encoding="utf-8")
    for epoch in also:
        (folder := output / f"epoch-{epoch}").mkdir()
        score(peer, dataset, work, epoch, folder, every)
    score(peer, dataset, work, training.epochs, output, every)
    say(f"Evaluation: {output}; next: temporem compare {output} RUN")


def score(peer: Peer, dataset: Path, work: Path, epoch: int, output: Path, every: int) -> None:
    """Evaluate the frames that ``temporem evaluate --every`` looks at; remove the volumes."""
    from temporem.evaluation.api import evaluate, frames_to_evaluate
    from temporem.evaluation.storage import save_evaluation
    from temporem.frames.readers import read_dataset
    from temporem.simulation.truth import read_truth_of

    movies = read_dataset(dataset)
    truth, frames = read_truth_of(movies), frames_to_evaluate(movies, every=every)
    latents = peer.latents(work, epoch)
    if len(latents) != movies.n_frames:
        raise TemporemError(f"{len(latents)} latents", expected=f"{movies.n_frames}, one a frame")
    with TemporaryDirectory(dir=work) as folder:
        volumes = VolumeFiles(Path(folder), movies.box)
        peer.decode(work, epoch, latents[frames.rows], [volumes.path(row) for row in frames.rows])
        say(f"Evaluating {len(frames)} volumes of epoch {epoch}")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, 1 where ``check`` fails, 2 for bad input."""
    options = parse(arguments)
    peer = PEERS[options.peer](options.environment or Path(f".venv-{options.peer}"))
    try:
        if options.command == "install":
            peer.environment.install(*peer.requirements)
        elif options.command == "check":
            agree = check(peer)
            print("agree" if agree else f"DISAGREE: an FSC below {AGREE_FSC}")
            return 0 if agree else DISAGREES
        else:
            keep, more = math.gcd(options.epochs, *options.also), shlex.split(options.arguments)
            training = Training(options.z_dim, options.epochs, options.seed, keep, tuple(more))
            paths = options.dataset, options.output
            train_and_score(peer, *paths, training, options.every, options.also)
    except (TemporemError, CommandFailed, OSError) as error:
        say(f"error: {error}")
        return BAD_INPUT
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Other people's programs on temporem's datasets, scored by its evaluation.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    texts = {
        "install": "Make a virtual environment with the program in its pinned version.",
        "check": "Check that the program reads poses, CTF and signs as temporem does.",
        "run": "Train the program with known poses and score its volumes.",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        add = command.add_argument
        add("peer", choices=PEERS)
        add("--environment", type=Path, metavar="DIR", help="default: .venv-PEER")
    add("dataset", type=Path, metavar="DATASET")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write")
    add("--z-dim", type=positive, required=True, help="latent dimension")
    add("--epochs", type=positive, required=True)
    add("--also", type=positive, nargs="+", default=[], metavar="E", help="epochs to score as well")
    add("--seed", type=int, default=0)
    add("--every", type=positive, default=1, help="as in temporem evaluate (default: 1)")
    add("--arguments", default="", help='words for the program, as in --arguments="-b 8 --lr 1e-3"')
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
