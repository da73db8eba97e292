"""Training of cryoDRGN's VAE, and what it leaves behind.

::

    OUT/poses.pkl, OUT/ctf.pkl      converted from particles.star by cryoDRGN
    OUT/cryodrgn.log                all that it printed
    OUT/train/run.log               its own log, with the time of every epoch
    OUT/train/weights.E.pkl, z.E.pkl    model and latents after epoch E, from 1
    OUT/peer.json                   how long it took; written last
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
from benchmarks.peers.cryodrgn.commands import (
    TRAIN_NAME,
    Inputs,
    TrainingOptions,
    train_command,
)
from benchmarks.peers.cryodrgn.environment import VERSION, Environment, report, run

from temporem.errors import TemporemError
from temporem.frames.dataset import STACK_NAME, STAR_NAME, read_dataset
from temporem.io.files import atomic_write
from temporem.io.star import read_star

LOG_NAME, RECORD_NAME = "cryodrgn.log", "peer.json"
FORMAT = "temporem peer 1"

_EPOCH = re.compile(r"=====> Epoch: (\d+) .*Finished in (.+)")
_DURATION = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


def train(environment: Environment, dataset: Path, output: Path, options: TrainingOptions) -> Path:
    """Train and record the time and memory that it took; returns the path of the record.

    The folder is filled as the training goes, so that its checkpoints survive an interruption.

    Raises:
        TemporemError: no environment; a dataset that is unfit; ``output`` exists; cryoDRGN fails.
    """
    environment.require()
    if options.epochs % options.checkpoint:
        raise TemporemError(
            f"{options.epochs} epochs with a checkpoint every {options.checkpoint}: the last epoch "
            "would not be kept",
            expected="a multiple of --checkpoint",
        )
    require_stack_order(dataset)
    make_output(output)
    inputs = convert(environment, dataset, output)
    report(f"Training {options.epochs} epochs; log: {output / LOG_NAME}")
    command = train_command(environment, inputs, output / TRAIN_NAME, options)
    usage = run(command, output / LOG_NAME, on_line=_report_epoch)
    seconds = epoch_seconds(output)
    document = {
        "format": FORMAT,
        "cryodrgn": VERSION,
        "command": command,
        "options": asdict(options),
        "frames": len(read_dataset(dataset).particle_names),
        **asdict(usage),
        "checkpoint_seconds": {
            str(epoch): sum(seconds[:epoch])
            for epoch in range(options.checkpoint, options.epochs + 1, options.checkpoint)
        },
    }
    with atomic_write(output / RECORD_NAME) as partial:
        partial.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return output / RECORD_NAME


def convert(environment: Environment, dataset: Path, directory: Path) -> Inputs:
    """Have cryoDRGN read poses and CTF from ``particles.star``; writes into ``directory``."""
    inputs = inputs_in(directory, dataset)
    parse(environment, "parse_pose_star", dataset, inputs.poses)
    parse(environment, "parse_ctf_star", dataset, inputs.ctf)
    return inputs


def inputs_in(directory: Path, dataset: Path) -> Inputs:
    """The dataset's stack, and where in a directory its poses and CTF are when converted."""
    folder = directory.absolute()
    return Inputs((dataset / STACK_NAME).absolute(), folder / "poses.pkl", folder / "ctf.pkl")


def parse(environment: Environment, command: str, dataset: Path, target: Path) -> None:
    """Have a command of cryoDRGN convert ``particles.star`` into a file; the log lies beside it."""
    report(f"cryodrgn {command}")
    star = (dataset / STAR_NAME).absolute()
    run(environment.cryodrgn(command, star, "-o", target), target.parent / LOG_NAME)


def make_output(output: Path) -> None:
    """Make a folder that is not there yet.

    Raises:
        TemporemError: it is.
    """
    try:
        output.mkdir()
    except FileExistsError:
        raise TemporemError(f"{output} exists", hint="choose another name") from None


def require_stack_order(dataset: Path) -> None:
    """Raise a TemporemError unless row i of ``particles.star`` is image i of ``particles.mrcs``.

    cryoDRGN is given the stack for the images and the table for the poses.
    """
    read_dataset(dataset)  # checks the rest
    particles = read_star(dataset / STAR_NAME)["particles"]
    names = [name.partition("@") for name in particles.strings("rlnImageName")]
    in_order = [int(number) == i for i, (number, _, _) in enumerate(names, start=1)]
    in_stack = [stack == STACK_NAME for _, _, stack in names]
    particles.check(
        "rlnImageName", np.array(in_order) & in_stack, f"the rows in the order of {STACK_NAME}"
    )


def epoch_seconds(output: Path) -> list[float]:
    """Wall-clock time of every epoch of a training, from cryoDRGN's own log.

    Without the start of the program (about 15 s) and the latents of checkpoints.

    Raises:
        TemporemError: there is no such log.
    """
    log = output / TRAIN_NAME / "run.log"
    if not log.is_file():
        raise TemporemError(
            f"{log} is not there", expected="a folder of the command train", hint="train first"
        )
    found = _EPOCH.findall(log.read_text(encoding="utf-8"))
    return [parse_duration(text) for _, text in found]


def parse_duration(text: str) -> float:
    """Seconds of a ``datetime.timedelta`` in print, such as ``0:00:46.197173``."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise TemporemError(f"no duration: {text!r}", expected="such as 0:00:46.197173")
    days, hours, minutes, seconds = match.groups(default="0")
    return 86400 * int(days) + 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _report_epoch(line: str) -> None:
    if match := _EPOCH.search(line):
        report(f"epoch {match[1]}: {parse_duration(match[2]):.1f} s")
