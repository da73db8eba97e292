"""cryoDRGN's command lines. Imports nothing heavy, as :mod:`environment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.cryodrgn.environment import Environment

TRAIN_NAME = "train"


@dataclass(frozen=True)
class TrainingOptions:
    """What is asked of a training; everything else is cryoDRGN's default or in ``train_command``.

    Attributes:
        z_dim: latent dimension.
        epochs: passes over all frames.
        seed: of all random numbers.
        checkpoint: keep the model after every so manieth epoch.
    """

    z_dim: int
    epochs: int
    seed: int
    checkpoint: int


@dataclass(frozen=True)
class AbInitioOptions:
    """What is asked of a reconstruction from images alone; the rest is cryoDRGN's default.

    Attributes:
        epochs: in all; after those that search, poses are refined by gradients.
        searches: epochs that search all rotations and shifts.
        shift_pixels: largest shift that is looked for, in either direction.
        shift_points: of the first grid of shifts, along either axis.
        batch: frames that are searched at once; they share the slices of the volume.
        seed: of all random numbers.
    """

    epochs: int
    searches: int
    shift_pixels: float
    shift_points: int
    batch: int
    seed: int


@dataclass(frozen=True)
class Inputs:
    """A dataset as cryoDRGN takes it: image stack, poses and CTF in the same order."""

    particles: Path
    poses: Path
    ctf: Path

    @property
    def arguments(self) -> list[object]:
        """What every command that reads images is given."""
        return [self.particles.absolute(), "--poses", self.poses, "--ctf", self.ctf]


def train_command(
    environment: Environment, inputs: Inputs, directory: Path, options: TrainingOptions
) -> list[str]:
    """The training: the generator's size is ours (3 × 256), arithmetic float32."""
    return environment.cryodrgn(
        "train_vae",
        *inputs.arguments,
        *("--zdim", options.z_dim, "-n", options.epochs, "-o", directory.absolute()),
        *("--enc-dim", 256, "--dec-dim", 256, "--no-amp", "--no-analysis"),
        *("--seed", options.seed, "--checkpoint", options.checkpoint),
    )


def ab_initio_command(
    environment: Environment, inputs: Inputs, directory: Path, options: AbInitioOptions
) -> list[str]:
    """One volume and the poses of all frames; the generator's size is ours, arithmetic float32."""
    return environment.cryodrgn(
        "abinit",
        inputs.particles.absolute(),
        *("--ctf", inputs.ctf, "--zdim", 0, "-n", options.epochs, "-o", directory.absolute()),
        *("--dim", 256, "--no-amp", "--no-analysis", "--num-workers", 0),
        *("--epochs-pose-search", options.searches, "--batch-size-hps", options.batch),
        *("--t-extent", options.shift_pixels, "--t-ngrid", options.shift_points),
        *("--seed", options.seed),
    )


def backproject_command(environment: Environment, inputs: Inputs, directory: Path) -> list[str]:
    """One volume of all frames, weighted by the CTF and inverted as the training does."""
    return environment.cryodrgn(
        "backproject_voxel", *inputs.arguments, "-o", directory.absolute(), "--no-half-maps"
    )


def decode_command(
    environment: Environment,
    training: Path,
    epoch: int,
    z_file: Path,
    folder: Path,
    pixel_size_angstrom: float,
) -> list[str]:
    """The decoding of every line of ``z_file`` into ``vol_000.mrc``, ``vol_001.mrc`` …"""
    files = (training / TRAIN_NAME).absolute()
    return environment.cryodrgn(
        "eval_vol",
        files / f"weights.{epoch}.pkl",
        *("-c", files / "config.yaml", "-o", folder.absolute(), "--zfile", z_file.absolute()),
        *("--Apix", repr(float(pixel_size_angstrom)), "--vol-start-index", 0),
    )
