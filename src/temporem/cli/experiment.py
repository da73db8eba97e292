"""``temporem experiment``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.experiments.config import Experiment
    from temporem.experiments.plan import Plan

_MARK = "experiment.yaml"  # by which a folder of an experiment is known


def experiment(
    name: Annotated[
        str, Parameter(help="Experiment (7bcq, cas9, noise, …; see docs) or YAML file.")
    ],
    /,
    *,
    out: Annotated[Path | None, output("Folder to write or to go on in; NAME-experiment.")] = None,
    seeds: Annotated[
        list[int] | None,
        Parameter(help="Of simulation and method alike.", consume_multiple=True, negative=""),
    ] = None,
    quick: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="A first look in minutes; less of all."),
    ] = False,
    peer: Annotated[
        Path | None,
        Parameter(help="Virtual environment of cryoDRGN; without it, it is left out."),
    ] = None,
    structures: Annotated[
        Path | None, Parameter(help="Folder to look for structure files in first.")
    ] = None,
) -> None:
    """Run an experiment of the paper: datasets, methods and seeds to tables, figures and a page.

    The same command goes on with what is not there yet. Page, tables and figures are written after
    every seed. A method that fails is left out of them, and the exit code is 2.

    Example:  temporem experiment 7bcq --quick
    """
    from temporem.experiments.config import load_experiment
    from temporem.experiments.plan import make_plan
    from temporem.io.files import held

    chosen = load_experiment(name)
    chosen = chosen.quickly() if quick else chosen
    if seeds:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise TemporemError(f"--seeds {' '.join(map(str, seeds))}: not distinct numbers from 0")
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
        raise KeyboardInterrupt("stopped; the same command goes on") from None
    say(f"Page: {page}")


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

    total = len(plan.datasets) + len(plan.results)
    datasets = Datasets(structures)
    page, done = folder, 0
    failures: list[str] = []
    with progress_bar("Experiment") as overall:

        def step(what: str, work: Callable[[Callable[[int, int], None]], None]) -> None:
            nonlocal done
            furthest = 0.0

            def tell(part: int, of: int) -> None:  # stages of a run begin at 0 each; a bar must not
                nonlocal furthest
                furthest = max(furthest, part / max(of, 1))
                overall(done + furthest, total, what)

            overall(done, total, what)
            try:
                work(tell)
            finally:
                done += 1

        for seed in chosen.seeds:
            for dataset in (part for part in plan.datasets if part.seed == seed):
                what = f"{dataset.name}, seed {seed}"
                step(f"{what}: simulating", partial(datasets.make, dataset))
                for result in (part for part in plan.results if part.dataset == dataset):
                    try:
                        step(f"{what}: {result.method}", partial(make_result, result, peer))
                    except TemporemError as error:  # hours of other methods do not depend on it
                        failures.append(f"{what}, {result.method} failed: {error}")
            page = write_outcome(chosen, plan, folder, [*notes, *failures])
    if failures:
        say(f"Page: {page}")
        others = f" (and {len(failures) - 1} more, on the page)" if len(failures) > 1 else ""
        raise TemporemError(failures[0] + others, hint="mend it; the same command goes on")
    return page


def _notes(chosen: Experiment, quick: bool, peer: Path | None) -> list[str]:
    notes = []
    if quick:
        notes.append("A quick look with little data, few epochs or one seed: not the experiment.")
    programs = [name for name, entry in chosen.methods.items() if entry.kind == "program"]
    if programs and peer is None:
        notes.append(f"Left out, as --peer was not given: {', '.join(programs)}.")
    elif programs and quick:
        notes.append(
            f"Run in full, whose epochs a quick look does not change: {', '.join(programs)}."
        )
    if chosen.align == "states":
        notes.append("Where poses were found, every true state is aligned by itself.")
    bounds = [name for name, entry in chosen.methods.items() if entry.kind == "true-states"]
    if bounds:
        notes.append(
            f"{', '.join(bounds)} is told the true states and shares nothing between them: no "
            "method, and a bound only for those that share nothing either."
        )
    return notes


def _make_folder(folder: Path) -> None:
    """Make the folder, or make sure that it is an experiment's."""
    if folder.exists() and not (folder / _MARK).is_file() and any(folder.iterdir()):
        raise TemporemError(
            f"{folder} is not an experiment (it holds no {_MARK})", hint="choose another name"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise TemporemError(f"cannot write {folder}: {error.strerror}") from None


def _mark(folder: Path, chosen: Experiment) -> None:
    """Say in the folder what is run there."""
    import yaml

    from temporem.io.files import atomic_write

    with atomic_write(folder / _MARK) as partial:
        document = chosen.model_dump(mode="json")
        partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
