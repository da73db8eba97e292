"""Command line of the peers; ``python -m benchmarks.peers --help``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import CommandFailed, positive, say
from benchmarks.peers.cryodrgn import CryoDRGN
from benchmarks.peers.protocol import Peer, Training
from benchmarks.peers.recovar import Recovar
from benchmarks.peers.scoring import AGREE_FSC, check, train_and_score
from benchmarks.peers.together import Task, run_all
from benchmarks.peers.tuning import Grid, tune
from temporem.errors import TemporemError

PEERS: dict[str, type[CryoDRGN] | type[Recovar]] = {"cryodrgn": CryoDRGN, "recovar": Recovar}

DISAGREES, BAD_INPUT = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns 0, 1 where ``check`` fails, 2 for bad input."""
    options = parse(arguments)
    try:
        if options.command == "all":
            return together(options)
        if options.command == "tune":
            return best(options)
        peer = PEERS[options.peer](options.environment or _environment(options.peer))
        if options.command == "install":
            peer.environment.install(*peer.requirements)
        elif options.command == "check":
            agree = check(peer)
            print("agree" if agree else f"DISAGREE: an FSC below {AGREE_FSC}")
            return 0 if agree else DISAGREES
        else:
            more = tuple(shlex.split(options.arguments))
            training = Training(
                options.z_dim, options.epochs, options.seed, tuple(options.also), more
            )
            paths = options.dataset, options.output
            train_and_score(peer, *paths, training, every=options.every, resume=options.resume)
    except (TemporemError, CommandFailed, OSError) as error:
        say(f"error: {error}")
        return BAD_INPUT
    return 0


def together(options: argparse.Namespace) -> int:
    """Run all methods and print the table; returns 0, or 2 where a method failed."""
    if not (options.dataset / "truth").is_dir():
        raise TemporemError(f"{options.dataset} has no truth", expected="a simulated dataset")
    task = Task(options.dataset, options.output, options.every, options.z_dim, options.seed)
    peers: dict[str, Peer] = {
        name: kind(getattr(options, name) or _environment(name)) for name, kind in PEERS.items()
    }
    left_out = run_all(task, peers)
    print((task.folder / "table.txt").read_text(encoding="utf-8"), end="")
    for reason in left_out.absent + left_out.failed:
        print(f"Left out: {reason}")
    return BAD_INPUT if left_out.failed else 0


def best(options: argparse.Namespace) -> int:
    """Try cryoDRGN's options and print the points, the best first; returns 0."""
    peer = CryoDRGN(options.environment or _environment("cryodrgn"))
    grid = Grid(*map(tuple, (options.widths, options.batches, options.rates)))
    paths, seeds = (options.dataset, options.output), {"z_dim": options.z_dim, "seed": options.seed}
    print("loss, epoch of the plateau, width, batch, rate, processor time in seconds")
    for point in tune(peer, *paths, grid, epochs=options.epochs, **seeds):
        line, settled = point.last, point.plateau or "none"
        time = f"{line.processor_seconds:.0f}"
        print(f"{point.loss:.6f}", settled, line.width, line.batch, line.rate, time)
    return 0


def _environment(peer: str) -> Path:
    return Path(f".venv-{peer}")


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
        "tune": "Try options of cryoDRGN; the plateau of its loss chooses, and no truth.",
        "all": "Run our methods and all programs that are installed on one dataset.",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        add = command.add_argument
        if name not in ("all", "tune"):
            add("peer", choices=PEERS)
        if name != "all":
            add("--environment", type=Path, metavar="DIR", help="default: .venv-PEER")
        if name in ("run", "all", "tune"):
            add("dataset", type=Path, metavar="DATASET")
            add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write")
            add("--seed", type=int, default=0)
        if name in ("run", "all"):
            add("--every", type=positive, default=1, help="as in temporem evaluate (default: 1)")
        if name in ("run", "tune"):
            add("--z-dim", type=positive, required=True, help="latent dimension")
        if name == "tune":
            add("--widths", type=positive, nargs="+", default=[256])
            add("--batches", type=positive, nargs="+", default=[4, 8, 16])
            add("--rates", nargs="+", default=["1e-4", "3e-4", "1e-3"])
            add("--epochs", type=positive, required=True, help="of every training")
        if name == "run":
            add("--epochs", type=positive, help="for programs that have epochs")
            also = "epochs to score as well"
            add("--also", type=positive, nargs="+", default=[], metavar="E", help=also)
            words = 'words for the program, as in --arguments="-b 8 --lr 1e-3"'
            add("--arguments", default="", help=words)
            add("--resume", action="store_true", help="go on with an OUT of the same command")
        if name == "all":
            add("--z-dim", type=positive, default=1, help="latent dimension (default: 1)")
            for peer in PEERS:
                add(f"--{peer}", type=Path, metavar="DIR", help=f"default: .venv-{peer}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
