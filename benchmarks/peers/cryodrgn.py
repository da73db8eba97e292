"""cryoDRGN 4.3.1 (Zhong et al. 2021): a static auto-encoder with known poses.

It reads our ``particles.star`` as it is: RELION's Euler angles and origins mean the same to both
programs. Its CTF is the negative of ours (RELION's, +w at s = 0), and by default it inverts the
images; the two signs cancel, so that its volumes are bright as ours are. ``check`` measures this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar

from benchmarks.common import Environment, Usage, say
from benchmarks.peers.protocol import RESULT, Choice, Training, read_latents
from benchmarks.peers.tuning import Losses, read_losses
from temporem.errors import TemporemError

if TYPE_CHECKING:
    import numpy as np

# A pickle runs code when it is read, so cryoDRGN's own environment reads it. The file holds two
# pickles, means and log-variances; this reads the first.
_TO_NPY = (
    "import pickle, sys, numpy; "
    "numpy.save(sys.argv[2], numpy.asarray(pickle.load(open(sys.argv[1], 'rb'))))"
)

# Its own defaults: batches of 16, rate 1e-4, width 1024, 20 epochs.
DEFAULT = Choice(epochs=20)

# The least loss of a grid on toy-free, seed 100, SNR 0.3 (515 frames; 2026-12-01): batches of 4, 8
# and 16, rates 3e-4 and 1e-3 (16 at 1e-3 only). The loss has no plateau, so 40 epochs are the end
# of the grid; benchmarks/experiments/peers/cryodrgn-grid-snr-0.3.csv.
_SIZE = ("--enc-dim", "256", "--dec-dim", "256", "--no-amp")
CANDIDATE = Choice(epochs=40, more=("-b", "4", "--lr", "1e-3", *_SIZE))


class CryoDRGN:
    """Trains with ``train_vae``, decodes with ``eval_vol``."""

    requirements: ClassVar = ("torch==2.13.0",)
    choices: ClassVar = {"default": DEFAULT, "candidate": CANDIDATE}

    def __init__(self, path: Path) -> None:
        self.environment = Environment(path, "cryodrgn", "4.3.1")

    def models(self, training: Training) -> dict[str, str]:
        if training.epochs is None:
            raise TemporemError("no --epochs", expected="a number; cryoDRGN has epochs")
        if training.also and max(training.also) >= training.epochs:
            raise TemporemError(
                f"--also {max(training.also)}", expected=f"epochs below {training.epochs}"
            )
        also = {f"epoch-{epoch}": str(epoch) for epoch in training.also}
        return {RESULT: str(training.epochs), **also}

    def train(self, dataset: Path, work: Path, training: Training) -> Usage:
        return self._train(self.inputs(dataset, work), work, training)

    def losses(
        self, inputs: Sequence[object], work: Path, training: Training
    ) -> tuple[Usage, list[Losses]]:
        """Train, and read the loss of each epoch.

        ``inputs`` are those of ``inputs()``, which many trainings share.
        """
        usage = self._train(inputs, work, training)
        return usage, read_losses(work / "train" / "run.log")

    def _train(self, inputs: Sequence[object], work: Path, training: Training) -> Usage:
        assert training.epochs is not None  # models() has checked
        return self._cryodrgn(
            work,
            *("train_vae", *inputs, "-o", work.absolute() / "train"),
            *("--zdim", training.z_dim, "-n", training.epochs, "--seed", training.seed),
            *("--checkpoint", math.gcd(training.epochs, *training.also)),
            *("--no-analysis", *training.more),
        )

    def latents(self, work: Path, model: str) -> np.ndarray:
        source, target = work / "train" / f"z.{model}.pkl", work / f"z.{model}.npy"
        log = work / "cryodrgn.log"
        self.environment.run("python", "-c", _TO_NPY, source, target, log=log)
        return read_latents(target)

    def decode(self, work: Path, model: str, latents: np.ndarray, files: Sequence[Path]) -> None:
        import numpy as np

        train = work.absolute() / "train"
        with TemporaryDirectory(dir=work.absolute()) as folder:
            z_file = Path(folder, "z.txt")
            np.savetxt(z_file, latents, fmt="%.9g")  # nine digits hold a float32
            self._cryodrgn(
                work,
                *("eval_vol", train / f"weights.{model}.pkl", "-c", train / "config.yaml"),
                *("-o", folder, "--zfile", z_file, "--vol-start-index", 0),
            )
            for k, file in enumerate(files):
                Path(folder, f"vol_{k:03d}.mrc").rename(file)

    def back_project(self, dataset: Path, work: Path) -> Path:
        output = work.absolute() / "backproject"
        command = ("backproject_voxel", *self.inputs(dataset, work), "-o", output)
        self._cryodrgn(work, *command, "--no-half-maps")
        return output / "backproject.mrc"

    def inputs(self, dataset: Path, work: Path) -> list[object]:
        """Have cryoDRGN convert poses and CTF; the table gives the images too, so orders agree."""
        star = dataset.absolute() / "particles.star"
        poses, ctf = work.absolute() / "poses.pkl", work.absolute() / "ctf.pkl"
        self._cryodrgn(work, "parse_pose_star", star, "-o", poses)
        self._cryodrgn(work, "parse_ctf_star", star, "-o", ctf)
        return [star, "--poses", poses, "--ctf", ctf]

    def _cryodrgn(self, work: Path, *arguments: object) -> Usage:
        say(f"cryodrgn {arguments[0]}; log: {work / 'cryodrgn.log'}")
        return self.environment.run("cryodrgn", *arguments, log=work / "cryodrgn.log")
