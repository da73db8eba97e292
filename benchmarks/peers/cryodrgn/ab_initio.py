"""cryoDRGN's reconstruction of one volume from images alone, and how far off its poses are.

::

    OUT/ctf.pkl                 converted from particles.star by cryoDRGN
    OUT/cryodrgn.log            all that it printed
    OUT/train/pose.E.pkl        its poses after epoch E
    OUT/poses.npy               of the last epoch: RELION's angles (degrees), origins (pixels)
    OUT/poses.json              what it took, and the errors; written last
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from benchmarks.peers.cryodrgn.commands import TRAIN_NAME, AbInitioOptions, ab_initio_command
from benchmarks.peers.cryodrgn.environment import VERSION, Environment, report, run
from benchmarks.peers.cryodrgn.training import (
    LOG_NAME,
    inputs_in,
    make_output,
    parse,
    parse_duration,
    require_stack_order,
)
from torch import Tensor

from temporem.errors import TemporemError
from temporem.evaluation.frames import Frames
from temporem.evaluation.poses import pose_agreement, summarise_poses
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.frames.dataset import Dataset, read_dataset
from temporem.io.files import atomic_write
from temporem.physics.rotations import euler_to_rotation, origin_to_shift
from temporem.simulation.truth import Truth, read_truth_of

POSES_NAME, RESULT_NAME = "poses.npy", "poses.json"
FORMAT = "temporem peer poses 1"

# A pickle runs code as it is read, so it is read where it was written: in cryoDRGN's environment,
# which also knows what its rotations are in RELION's angles.
_READ_POSES = (
    "import pickle, sys, numpy; from cryodrgn.utils import R_to_relion_scipy as angles; "
    "rotations, shifts = pickle.load(open(sys.argv[1], 'rb')); "
    "numpy.save(sys.argv[2], numpy.hstack([angles(rotations), shifts]))"
)
_EPOCH = re.compile(r"=====> (\w+) Epoch: (\d+) finished in ([^;]+);")


def find_poses(
    environment: Environment, dataset: Path, output: Path, options: AbInitioOptions
) -> Path:
    """Reconstruct, compare the last epoch's poses with the true ones; returns the path of that.

    Poses of the dataset, where it has any, are not looked at.

    Raises:
        TemporemError: no environment; a dataset that is unfit or has no truth; ``output`` exists;
            cryoDRGN fails.
    """
    environment.require()
    require_stack_order(dataset)
    movies = read_dataset(dataset)
    truth = read_truth_of(movies)
    make_output(output)
    inputs = inputs_in(output, dataset)
    parse(environment, "parse_ctf_star", dataset, inputs.ctf)
    report(f"Reconstructing for {options.epochs} epochs; log: {output / LOG_NAME}")
    command = ab_initio_command(environment, inputs, output / TRAIN_NAME, options)
    usage = run(command, output / LOG_NAME, on_line=_report_epoch)
    last = output / TRAIN_NAME / f"pose.{options.epochs}.pkl"
    convert_poses(environment, last, output / POSES_NAME)
    poses = read_poses(output / POSES_NAME, movies)
    document = {
        "format": FORMAT,
        "cryodrgn": VERSION,
        "command": command,
        "options": asdict(options),
        "frames": movies.n_frames,
        **asdict(usage),
        "epochs": epochs_of((output / LOG_NAME).read_text(encoding="utf-8")),
        "poses": pose_errors(poses, movies, truth),
    }
    with atomic_write(output / RESULT_NAME) as partial:
        partial.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return output / RESULT_NAME


def convert_poses(environment: Environment, pickled: Path, target: Path) -> None:
    """What cryoDRGN keeps of poses as an array; its log is appended to."""
    code = environment.python(_READ_POSES, pickled.absolute(), target.absolute())
    run(code, target.parent / LOG_NAME)


def read_poses(path: Path, movies: Dataset) -> tuple[Tensor, Tensor]:
    """Rotations ``(N, 3, 3)`` and displacements in Å ``(N, 2)`` of :data:`POSES_NAME`.

    Raises:
        TemporemError: not as many as the dataset has frames, or not finite.
    """
    rows = np.load(path, allow_pickle=False).astype(np.float64)
    if rows.shape != (movies.n_frames, 5) or not np.isfinite(rows).all():
        raise TemporemError(
            f"{path}: not a pose for every frame",
            expected=f"finite numbers, {movies.n_frames} × 5",
        )
    table = torch.from_numpy(rows)
    shifts = origin_to_shift(table[:, 3:] * movies.pixel_size_angstrom)
    return euler_to_rotation(table[:, :3]), shifts


def pose_errors(poses: tuple[Tensor, Tensor], movies: Dataset, truth: Truth) -> dict[str, object]:
    """As section ``poses`` of an evaluation, of all frames, after one alignment of all."""
    frames = Frames.of_dataset(movies)
    agreement, _ = pose_agreement(*poses, truth.rotations, truth.shifts_angstrom)
    summary = summarise_poses(
        agreement.at(frames.rows),
        np.ones(len(frames), dtype=bool),
        MovieBootstrap(frames.groups, BootstrapSettings()),
        movies.pixel_size_angstrom,
    )
    return summary | agreement.alignment()


def epochs_of(log: str) -> list[dict[str, object]]:
    """Kind (Pretrain, HPS, SGD), number and wall-clock seconds of every epoch in a log."""
    return [
        {"kind": kind, "epoch": int(number), "seconds": parse_duration(text)}
        for kind, number, text in _EPOCH.findall(log)
    ]


def _report_epoch(line: str) -> None:
    for epoch in epochs_of(line):
        report(f"epoch {epoch['epoch']} ({epoch['kind']}): {epoch['seconds']:.1f} s")
