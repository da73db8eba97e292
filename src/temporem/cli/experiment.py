"""``temporem experiment``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from temporem.experiments.config import Experiment
    from temporem.experiments.plan import Plan
    from temporem.progress import Progress

_MARK = "experiment.yaml"  # marks the folder of an experiment


def experiment(
    name: Annotated[
        str,
        Parameter(
            help="Experiment of the catalogue (toy, 7bcq, cas9, noise, …; see "
            "docs/experiments.md) or YAML file."
        ),
    ],
    /,
    *,
    out: Annotated[
        Path | None, output("Folder to write or to continue; by default NAME-experiment.")
    ] = None,
    seeds: Annotated[
        list[int] | None,
        Parameter(
            help="Seeds; each one serves simulation and reconstruction.",
            consume_multiple=True,
            negative="",
        ),
    ] = None,
    quick: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Take a first look in minutes, with less data."
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        Parameter(help="Method to compare the others with; by default the experiment's."),
    ] = None,
    peer: Annotated[
        Path | None,
        Parameter(help="Virtual environment with cryoDRGN; without it, cryoDRGN is left out."),
    ] = None,
    structures: Annotated[
        Path | None, Parameter(help="Folder to search first for structure files.")
    ] = None,
) -> None:
    """Run an experiment, of the paper or your own, and write tables, figures and a page.

    After an interruption, the same command continues. Tables, figures and page are updated after
    every seed. If a method fails, the others go on, and the exit code is 2.

    Example:  temporem experiment 7bcq --quick
    """
    from temporem.experiments.config import load_experiment
    from temporem.experiments.plan import make_plan
    from temporem.io.files import held

    chosen = load_experiment(name)
    chosen = chosen.quickly() if quick else chosen
    chosen = chosen if baseline is None else chosen.compared_with(baseline)
    if seeds:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise TemporemError(
                f"--seeds {' '.join(map(str, seeds))}: a seed is negative or occurs twice",
                expected="distinct numbers, 0 or more",
            )
        chosen = chosen.model_copy(update={"seeds": seeds})
    if peer is not None and not peer.is_dir():
        raise TemporemError(
            f"--peer {peer}: no such folder",
            expected="a virtual environment",
            hint="python -m benchmarks.peers install cryodrgn makes one",
        )
    stem = Path(name).stem
    folder = out or Path(f"{stem}-quick" if quick else f"{stem}-experiment")
    plan = make_plan(chosen, folder, peer=peer)
    _make_folder(folder)
    try:
        with held(folder):
            _mark(folder, chosen)
            page = _run(chosen, plan, folder, _notes(chosen, quick, peer), peer, structures)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; run the same command again to continue") from None
    say(f"Page: {page}")
    say("Next: open it in a browser")


def _run(
    chosen: Experiment,
    plan: Plan,
    folder: Path,
    notes: list[str],
    peer: Path | None,
    structures: Path | None,
) -> Path:
    from temporem.experiments.execute import Datasets, make_result
    from temporem.experiments.outcome import write_outcome

    datasets, total = Datasets(structures), len(plan.datasets) + len(plan.results)
    page, failures, done = folder, [], 0
    with progress_bar("Experiment") as progress:

        def step(what: str, work: Callable[[Progress], None]) -> None:
            nonlocal done
            part = progress.part(done / total, (done + 1) / total, what)
            part(0, 1)
            try:
                work(part)
            finally:
                done += 1
                part(1, 1)

        for seed in chosen.seeds:
            for dataset in (part for part in plan.datasets if part.seed == seed):
                what = f"{dataset.name}, seed {seed}"
                step(f"{what}: simulating", partial(datasets.make, dataset))
                for result in (part for part in plan.results if part.dataset == dataset):
                    try:
                        step(f"{what}: {result.method}", partial(make_result, result, peer))
                    except TemporemError as error:  # the other methods do not depend on it
                        failures.append(f"{what}, {result.method} failed: {error}")
            page = write_outcome(chosen, plan, folder, [*notes, *failures])
    if failures:
        say(f"Page: {page}")
        others = f" (and {len(failures) - 1} more, on the page)" if len(failures) > 1 else ""
        raise TemporemError(
            failures[0] + others,
            hint="mend the cause, then run the same command again: it does what is missing",
        )
    return page


def _notes(chosen: Experiment, quick: bool, peer: Path | None) -> list[str]:
    notes = []
    if quick:
        notes.append("This is a quick look with few data, few epochs or one seed.")
    programs = [name for name, entry in chosen.methods.items() if entry.kind == "program"]
    if programs and peer is None:
        notes.append(f"Left out because --peer was not given: {', '.join(programs)}.")
    elif programs and quick:
        notes.append(f"Run with all epochs, also in a quick look: {', '.join(programs)}.")
    if chosen.align == "states":
        notes.append("Where poses were found, every true state is aligned on its own.")
    bounds = [name for name, entry in chosen.methods.items() if entry.kind == "true-states"]
    if bounds:
        notes.append(
            f"{', '.join(bounds)}: back-projection with known states and poses. It shares nothing "
            "between states, and is a bound only for methods that do not either."
        )
    return notes


def _make_folder(folder: Path) -> None:
    """Make the folder, or check that it belongs to an experiment."""
    if folder.exists() and not (folder / _MARK).is_file() and any(folder.iterdir()):
        raise TemporemError(
            f"{folder} is not an experiment (it holds no {_MARK})", hint="choose another name"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise TemporemError(f"cannot write {folder}: {error.strerror}") from None


def _mark(folder: Path, chosen: Experiment) -> None:
    """Mark the folder as that of this experiment."""
    import yaml

    from temporem.io.files import atomic_write

    with atomic_write(folder / _MARK) as partial:
        document = chosen.model_dump(mode="json")
        partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
