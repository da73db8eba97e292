"""``python -m benchmarks.peers.cryodrgn COMMAND``; nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.peers.cryodrgn.environment import DEFAULT_PATH, Environment, install

from temporem.errors import TemporemError

DISAGREES, BAD_INPUT, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line; those of the process when None.

    Returns:
        The exit code: 0, 1 where ``check`` fails, 2 for bad input, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except TemporemError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or ''}: {error.strerror or error}"
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print("error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def _install(options: argparse.Namespace) -> int:
    install(options.environment)
    return 0


def _train(options: argparse.Namespace) -> int:
    from benchmarks.peers.cryodrgn.commands import TrainingOptions
    from benchmarks.peers.cryodrgn.training import train

    settings = TrainingOptions(options.z_dim, options.epochs, options.seed, options.checkpoint)
    record = train(Environment(options.environment), options.dataset, options.output, settings)
    print(f"Training: {record}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from benchmarks.peers.cryodrgn.scoring import score

    from temporem.cli.console import print_facts, print_table
    from temporem.evaluation.storage import load_evaluation
    from temporem.report.tables import metrics_table

    result = score(
        Environment(options.environment),
        options.training,
        options.dataset,
        epoch=options.epoch,
        every=options.every,
        keep_volumes=options.keep_volumes,
        overwrite=options.overwrite,
    )
    print_table(metrics_table({result.directory.name: load_evaluation(result.directory)}))
    print_facts(
        {
            "Training": f"{result.training_seconds:.0f} s for {options.epoch} epochs",
            "Decoding": f"{result.decoding_seconds_per_volume:.3f} s a volume",
            "Evaluation": str(result.directory),
        }
    )
    return 0


def _run(options: argparse.Namespace) -> int:
    from benchmarks.peers.cryodrgn.commands import TrainingOptions
    from benchmarks.peers.cryodrgn.scoring import train_and_score

    settings = TrainingOptions(options.z_dim, options.epochs, options.seed, options.epochs)
    environment = Environment(options.environment)
    train_and_score(environment, options.dataset, options.output, settings, every=options.every)
    print(f"Evaluation: {options.output}")
    return 0


def _ab_initio(options: argparse.Namespace) -> int:
    from benchmarks.peers.cryodrgn.ab_initio import find_poses
    from benchmarks.peers.cryodrgn.commands import AbInitioOptions

    settings = AbInitioOptions(
        epochs=options.epochs,
        searches=options.searches,
        shift_pixels=options.shift_pixels,
        shift_points=options.shift_points,
        batch=options.batch,
        seed=options.seed,
    )
    environment = Environment(options.environment)
    result = find_poses(environment, options.dataset, options.output, settings)
    print(f"Poses: {result}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from benchmarks.peers.cryodrgn.check import check

    agreement = check(Environment(options.environment), options.dataset)
    print(agreement.describe())
    return 0 if agreement.holds else DISAGREES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.cryodrgn",
        description="cryoDRGN on temporem's datasets, scored by temporem's evaluation.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument(
            "--environment",
            type=Path,
            default=DEFAULT_PATH,
            metavar="DIR",
            help=f"virtual environment of cryoDRGN (default: {DEFAULT_PATH})",
        )
        return added

    command("install", _install, "Make the virtual environment and install cryoDRGN into it.")

    training = command("train", _train, "Train cryoDRGN's VAE with known poses.")
    _add_training(training)
    training.add_argument(
        "--checkpoint",
        type=positive,
        default=20,
        metavar="N",
        help="keep the model after every N-th epoch (default: 20)",
    )

    scoring = command("evaluate", _evaluate, "Decode volumes of an epoch and score them.")
    scoring.add_argument("training", type=Path, metavar="OUT", help="folder that train wrote")
    scoring.add_argument("dataset", type=Path, metavar="DATASET")
    scoring.add_argument("--epoch", type=positive, required=True, help="one that was kept")
    _add_every(scoring)
    scoring.add_argument("--keep-volumes", action="store_true", help="keep the decoded volumes")
    scoring.add_argument("--overwrite", action="store_true", help="replace an evaluation")

    both = command("run", _run, "Train, evaluate the last epoch, keep the scores in OUT itself.")
    _add_training(both)
    _add_every(both)

    searching = command("abinit", _ab_initio, "Find poses from images alone; how far off.")
    _add_data(searching)
    searching.add_argument("--epochs", type=positive, default=30, help="in all (default: 30)")
    searching.add_argument(
        "--searches", type=positive, default=3, help="epochs that search all poses (default: 3)"
    )
    searching.add_argument(
        "--shift-pixels", type=float, default=20.0, help="largest shift (default: 20, cryoDRGN's)"
    )
    searching.add_argument(
        "--shift-points", type=positive, default=7, help="shifts along an axis (default: 7)"
    )
    searching.add_argument(
        "--batch", type=positive, default=16, help="frames searched at once (default: 16)"
    )

    checking = command("check", _check, "Compare back-projections of cryoDRGN and temporem.")
    checking.add_argument("dataset", type=Path, metavar="DATASET")
    return parser


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("dataset", type=Path, metavar="DATASET")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT")
    command.add_argument("--seed", type=int, default=0)


def _add_training(command: argparse.ArgumentParser) -> None:
    _add_data(command)
    command.add_argument("--z-dim", type=positive, required=True, help="latent dimension")
    command.add_argument("--epochs", type=positive, required=True)


def _add_every(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--every",
        type=positive,
        default=1,
        metavar="K",
        help="only every K-th frame of each movie, as in temporem evaluate",
    )


if __name__ == "__main__":
    sys.exit(main())
