"""Whether cryoDRGN understands our poses, shifts, CTF and contrast as we mean them.

Both programs back-project the same frames with the same poses into one volume. A wrong hand, a
transposed rotation, a shift or a CTF of the wrong sign or inverted contrast would each leave two
volumes that do not correlate, or correlate negatively.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from benchmarks.peers.cryodrgn.commands import backproject_command
from benchmarks.peers.cryodrgn.environment import Environment, report, run
from benchmarks.peers.cryodrgn.training import LOG_NAME, convert, require_stack_order
from torch import Tensor

from temporem.frames.dataset import read_dataset
from temporem.io.volume import read_volume
from temporem.physics.fourier import FourierSupport
from temporem.physics.fsc import HALF_MAP_THRESHOLD, crossing_shell, fourier_shell_correlation
from temporem.physics.masks import soft_ball
from temporem.report.collect import read_metrics
from temporem.runs.config import build_config
from temporem.runs.pipeline import reconstruct

MINIMUM = 0.9
"""Correlation of the two volumes, below which something is converted wrong."""

_SHOWN_SHELLS = 10


@dataclass(frozen=True, eq=False)
class Agreement:
    """Two back-projections of the same frames.

    Attributes:
        box: edge, voxels.
        pixel_size_angstrom: voxel size, Å.
        correlation: of the voxels of both volumes inside the window.
        fsc: of the two volumes, ``(n_shells,)``.
        half_fsc: of our half maps, ``(n_shells,)``: where this is low there is nothing to agree on.
    """

    box: int
    pixel_size_angstrom: float
    correlation: float
    fsc: np.ndarray
    half_fsc: np.ndarray

    @property
    def n_significant(self) -> int:
        """Shells before the half maps fall below 0.143; the first two whatever they do."""
        shell, _ = crossing_shell(self.half_fsc, HALF_MAP_THRESHOLD)
        return max(int(np.ceil(shell)), 2)

    @property
    def lowest_fsc(self) -> float:
        """The lowest FSC of the two volumes in shells 1 … ``n_significant`` − 1."""
        return float(self.fsc[1 : self.n_significant].min())

    @property
    def holds(self) -> bool:
        """Whether the volumes agree, as a whole and in every shell that has signal."""
        return self.correlation >= MINIMUM and self.lowest_fsc >= MINIMUM

    def describe(self) -> str:
        """The curve at some shells and the verdict, as text."""
        shells = np.unique(np.linspace(1, len(self.fsc) - 1, _SHOWN_SHELLS).round().astype(int))
        extent = self.box * self.pixel_size_angstrom
        lines = ["resolution (Å)  FSC cryodrgn-temporem  FSC of temporem's half maps"]
        lines += [
            f"{extent / shell:14.2f}  {self.fsc[shell]:21.3f}  {self.half_fsc[shell]:27.3f}"
            for shell in shells
        ]
        limit = extent / self.n_significant
        lines += [
            f"correlation of the volumes             {self.correlation:.3f}",
            f"lowest FSC down to {limit:5.2f} Å (half maps) {self.lowest_fsc:.3f}",
            f"{'agree' if self.holds else 'DISAGREE'} (both at least {MINIMUM} is asked for)",
        ]
        return "\n".join(lines)


def check(environment: Environment, dataset: Path) -> Agreement:
    """Back-project with both programs and compare.

    Raises:
        TemporemError: no environment, an unfit dataset, or cryoDRGN fails.
    """
    environment.require()
    require_stack_order(dataset)
    movies = read_dataset(dataset)
    config = build_config(
        {"method": "homogeneous", "dataset": str(dataset.absolute())}, source="check"
    )
    with TemporaryDirectory() as folder:
        work = Path(folder)
        inputs = convert(environment, dataset, work)
        report("cryodrgn backproject_voxel")
        run(backproject_command(environment, inputs, work / "theirs"), work / LOG_NAME)
        report("temporem reconstruct --method homogeneous")
        reconstruct(config, work / "ours")
        ours, theirs = (
            torch.from_numpy(
                read_volume(work / name, movies.box, pixel_size_angstrom=movies.pixel_size_angstrom)
            )
            for name in ("ours/mean.mrc", "theirs/backproject.mrc")
        )
        half_fsc = np.array(read_metrics(work / "ours")[-1]["half_fsc"])
    window = config.data.window_radius
    return compare(ours, theirs, half_fsc, movies.pixel_size_angstrom, window)


def compare(
    ours: Tensor,
    theirs: Tensor,
    half_fsc: np.ndarray,
    pixel_size_angstrom: float,
    window_radius: float,
) -> Agreement:
    """Compare two volumes ``(D, D, D)`` inside a ball.

    Args:
        ours, theirs: the volumes, on any scale.
        half_fsc: of our half maps, ``(D/2,)``.
        pixel_size_angstrom: voxel size, Å.
        window_radius: of the ball outside which our volume is 0, in half boxes.
    """
    box = len(ours)
    support = FourierSupport(box, 3)
    edge = 0.05 * box  # as of the window of our reconstruction
    ball = soft_ball(box, 3, window_radius * box / 2 - edge, edge)
    first, second = (support.fft(volume * ball) for volume in (ours, theirs))
    voxels = [support.ifft(coefficients).flatten() for coefficients in (first, second)]
    return Agreement(
        box=box,
        pixel_size_angstrom=pixel_size_angstrom,
        correlation=float(torch.corrcoef(torch.stack(voxels))[0, 1]),
        fsc=fourier_shell_correlation(first, second, support).numpy(),
        half_fsc=half_fsc,
    )
