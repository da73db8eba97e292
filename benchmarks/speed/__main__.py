"""``python -m benchmarks.speed -o FOLDER``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.peers.cryodrgn.environment import DEFAULT_PATH, Environment, report
from benchmarks.speed.bench import Bench, stack_header
from benchmarks.speed.cases import CASES, NEED_PEER
from benchmarks.speed.machine import child_variables, describe, n_cores
from benchmarks.speed.record import Record
from benchmarks.speed.report import markdown
from benchmarks.speed.scale import FULL, QUICK, STANDARD

from temporem.errors import TemporemError
from temporem.io.files import atomic_write

BAD_INPUT, INTERRUPTED = 2, 130
RESULTS_NAME, PAGE_NAME, WORK_NAME = "results.json", "results.md", "work"
REPETITIONS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the results.

    Args:
        arguments: of the command line; those of the process when None.

    Returns:
        The exit code: 0, 2 for bad input or a command that fails, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except TemporemError as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        return _fail(f"`{' '.join(error.cmd[1:])}` failed: {' '.join(last)}")
    except OSError as error:
        return _fail(f"{error.filename or ''}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"interrupted; go on with --resume -o {options.output}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(options: argparse.Namespace) -> None:
    environment = _environment(options)
    names = _cases(options, environment)
    settings = _settings(options, environment)
    scale = QUICK if options.quick else FULL if options.full else STANDARD
    variables = child_variables(options.threads)
    machine = describe(variables)
    _make_folder(options.output, resume=options.resume)
    results = options.output / RESULTS_NAME
    record = Record.open(results, settings, machine, resume=options.resume)
    work = options.output.absolute() / WORK_NAME
    work.mkdir(exist_ok=True)
    repetitions = options.repetitions or (1 if options.quick else REPETITIONS)
    bench = Bench(
        record,
        work,
        scale,
        repetitions,
        variables,
        environment,
        options.dataset,
        options.peer_training,
    )
    for name in names:
        if record.finished(name):
            report(f"{name}: finished before")
            continue
        record.finish(name, CASES[name](bench).document())
        _write_page(options.output / PAGE_NAME, record)
    _write_page(options.output / PAGE_NAME, record)
    print(markdown(record.document))
    print(f"Results: {options.output / PAGE_NAME}, {results}")


def _write_page(path: Path, record: Record) -> None:
    with atomic_write(path) as partial:
        partial.write_text(markdown(record.document), encoding="utf-8")


def _environment(options: argparse.Namespace) -> Environment | None:
    """cryoDRGN's, where it is to be measured; by default unless in a hurry."""
    if options.no_peer or (options.quick and options.environment is None):
        return None
    environment = Environment(options.environment or DEFAULT_PATH)
    environment.require()
    return environment


def _cases(options: argparse.Namespace, environment: Environment | None) -> list[str]:
    """Which cases to run, in their order."""
    without_peer = NEED_PEER if environment is None else set()
    named = options.cases or [name for name in CASES if name not in without_peer]
    for name in without_peer & set(named):
        raise TemporemError(
            f"--cases {name} compares with cryodrgn",
            hint="name its --environment, or leave the case out",
        )
    if options.peer_training is not None:
        if options.dataset is None:
            raise TemporemError(
                "--peer-training needs the dataset that it was trained on", hint="add --dataset"
            )
        if not (options.peer_training / "train").is_dir():
            raise TemporemError(
                f"{options.peer_training} is no training of cryodrgn",
                expected="a folder of python -m benchmarks.peers.cryodrgn train",
            )
    if options.dataset is not None:
        stack_header(options.dataset)
    return [name for name in CASES if name in named]


def _settings(
    options: argparse.Namespace, environment: Environment | None
) -> dict[str, str | int | None]:
    """What measurements must have in common to stand in one record."""

    def path(value: Path | None) -> str | None:
        return None if value is None else str(value.absolute())

    return {
        "scale": "quick" if options.quick else "full" if options.full else "standard",
        "threads": options.threads,
        "peer": "none" if environment is None else path(environment.path),
        "dataset": path(options.dataset),
        "peer_training": path(options.peer_training),
    }


def _make_folder(folder: Path, *, resume: bool) -> None:
    if resume:
        return
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise TemporemError(
            f"{folder} exists", hint="pass --resume to go on, or choose another name"
        ) from None


def _fail(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description="Speed and memory of temporem beside cryoDRGN, and what the machine can do.",
    )
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    add("--cases", nargs="+", choices=list(CASES), metavar="NAME", help=f"of: {', '.join(CASES)}")
    add(
        "--repetitions",
        type=positive,
        metavar="N",
        help=f"of every measurement (default: {REPETITIONS}, with --quick 1)",
    )
    add(
        "--threads",
        type=positive,
        default=n_cores(),
        metavar="N",
        help="of every program, ours and the peer's (default: all cores)",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="a few minutes: small data; the peer only where --environment is given",
    )
    size.add_argument("--full", action="store_true", help="also 100,000 frames, in growth")
    peer = parser.add_mutually_exclusive_group()
    peer.add_argument(
        "--environment",
        type=Path,
        metavar="DIR",
        help=f"virtual environment of cryoDRGN (default: {DEFAULT_PATH})",
    )
    peer.add_argument("--no-peer", action="store_true", help="measure without cryoDRGN")
    add("--dataset", type=Path, metavar="DIR", help="simulated dataset to use (default: simulate)")
    add(
        "--peer-training",
        type=Path,
        metavar="DIR",
        help="quality: finished training of cryoDRGN on --dataset, not to be trained again",
    )
    add("--resume", action="store_true", help="go on with FOLDER; what was measured is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
