"""Volumes decoded by cryoDRGN, as a source that the evaluation reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from benchmarks.peers.cryodrgn.commands import TRAIN_NAME, decode_command
from benchmarks.peers.cryodrgn.environment import Environment, report, run
from benchmarks.peers.cryodrgn.training import parse_duration
from torch import Tensor

from temporem.cli.console import progress_bar
from temporem.errors import TemporemError
from temporem.io.volume import read_volume
from temporem.physics.fourier import FourierSupport

# A pickle runs code as it is read, so it is read where it was written: in cryoDRGN's environment.
_READ_LATENTS = (
    "import pickle, sys, numpy; "
    "numpy.save(sys.argv[2], numpy.asarray(pickle.load(open(sys.argv[1], 'rb'))))"
)
_FINISHED = re.compile(r"Finished in (.+)")


@dataclass(frozen=True)
class VolumeFiles:
    """One MRC file ``frame_<row>.mrc`` for each row: a :class:`VolumeSource`.

    Attributes:
        directory: where they are.
        box: edge D that they must have, voxels.
        pixel_size_angstrom: voxel size that they must have, Å.
    """

    directory: Path
    box: int
    pixel_size_angstrom: float

    @cached_property
    def support(self) -> FourierSupport:
        """The frequencies of :meth:`volumes`."""
        return FourierSupport(self.box, 3)

    def path(self, row: int) -> Path:
        """The file of a row of ``particles.star``, counted from 0."""
        return self.directory / f"frame_{row:06d}.mrc"

    def volumes(self, rows: np.ndarray) -> Tensor:
        """Fourier coefficients of the volumes of frames ``(B,)``: complex64 ``(B, P)``.

        Raises:
            TemporemError: a file that is missing or damaged, or of another box or voxel size.
        """
        voxels = [
            read_volume(self.path(row), self.box, pixel_size_angstrom=self.pixel_size_angstrom)
            for row in rows.tolist()
        ]
        return self.support.fft(torch.from_numpy(np.stack(voxels)))


def read_latents(environment: Environment, training: Path, epoch: int, work: Path) -> np.ndarray:
    """Posterior means of all frames after an epoch, float32 ``(N, q)``, in the dataset's order.

    Args:
        environment: where cryoDRGN is.
        training: folder that ``train`` wrote.
        epoch: one that was kept.
        work: an existing folder for files in between.

    Raises:
        TemporemError: the epoch was not kept.
    """
    source, converted = training / TRAIN_NAME / f"z.{epoch}.pkl", work / "latents.npy"
    if not source.is_file():
        files = (training / TRAIN_NAME).glob("z.*.pkl")
        kept = sorted(int(file.name.split(".")[1]) for file in files)
        raise TemporemError(
            f"{training} has no epoch {epoch}",
            expected=f"one of {', '.join(map(str, kept))}" if kept else "a finished training",
        )
    run(environment.python(_READ_LATENTS, source.absolute(), converted), work / "latents.log")
    latents = np.load(converted, allow_pickle=False)
    return latents.reshape(len(latents), -1).astype(np.float32)


def decode(
    environment: Environment,
    training: Path,
    epoch: int,
    latents: np.ndarray,
    rows: np.ndarray,
    target: VolumeFiles,
) -> float:
    """Decode the volumes of some rows into files.

    Args:
        environment: where cryoDRGN is.
        training: folder that ``train`` wrote.
        epoch: one that was kept.
        latents: of all frames, ``(N, q)``.
        rows: which to decode, ``(n,)``.
        target: where to write; the folder exists.

    Returns:
        Seconds a volume, without the start of the program.

    Raises:
        TemporemError: cryoDRGN fails.
    """
    folder = target.directory
    z_file, log = folder / "z.txt", folder / "eval_vol.log"
    np.savetxt(z_file, latents[rows], fmt="%.9g")  # float32 survives nine digits
    command = decode_command(
        environment, training, epoch, z_file, folder, target.pixel_size_angstrom
    )
    with progress_bar("Decoding") as progress:

        def count(line: str) -> None:
            progress(sum(1 for _ in folder.glob("vol_*.mrc")), len(rows))

        run(command, log, on_line=count)
    for i, row in enumerate(rows.tolist()):
        (folder / f"vol_{i:03d}.mrc").rename(target.path(row))
    times = _FINISHED.findall(log.read_text(encoding="utf-8"))
    seconds = parse_duration(times[-1]) / len(rows)
    report(f"Decoded {len(rows)} volumes, {seconds:.3f} s each")
    return seconds
