"""Write the results of an experiment: results.csv, results.md, figures and index.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.masks import MOVING, REGIONS, WHOLE_BOX
from temporem.evaluation.metrics.fsc import resolution_gains
from temporem.evaluation.storage import load_evaluation
from temporem.evaluation.values import most_important
from temporem.evaluation.words import parameter_label
from temporem.experiments import figures
from temporem.experiments.config import Experiment
from temporem.experiments.measures import (
    Interval,
    Measure,
    Numbers,
    Record,
    numbers,
    over_seeds,
)
from temporem.experiments.plan import Plan, ResultPart
from temporem.experiments.tables import markdown, method_table, result_tables, write_csv
from temporem.io.files import atomic_write
from temporem.physics.fsc import area_under_curve
from temporem.report.embed import inline_svg, svg_document
from temporem.report.latent_plots import LATENTS, latent_figure, movie_of_frames
from temporem.report.manifold import MANIFOLD, manifold_figure
from temporem.report.page import definitions
from temporem.report.plots import gain_figure
from temporem.report.tables import MOST_IMPORTANT
from temporem.runs.run import load_run
from temporem.simulation.truth import read_truth
from temporem.version import __version__

_INTERVALS = "Mean over seeds; with several seeds, bars are 95 % intervals (Student)."

PAGE_NAME, TABLE_NAME, NUMBERS_NAME = "index.html", "results.md", "results.csv"
_FIGURES = "figures"

_OVERVIEW = "Overview"


@dataclass(frozen=True)
class Panel:
    """A figure of the page, also saved in the folder of figures.

    Attributes:
        name: name of its files, without their endings.
        figure: the figure.
        caption: caption on the page.
        wide: the figure takes the whole width of the page.
    """

    name: str
    figure: Figure
    caption: str
    wide: bool = False

    @cached_property
    def svg(self) -> str:
        """The figure as an SVG document."""
        return svg_document(self.figure, self.name)


def write_outcome(experiment: Experiment, plan: Plan, folder: Path, notes: Sequence[str]) -> Path:
    """Write tables, figures and the page of all finished parts.

    Args:
        experiment: the experiment as it was run.
        plan: its parts; unfinished ones are left out.
        folder: folder of the experiment.
        notes: remarks for the reader, for instance that this was a quick look.

    Returns:
        The page.

    Raises:
        TemporemError: files of a part are damaged.
    """
    found = numbers(plan, experiment.baseline)
    panels = {_OVERVIEW: _overview(experiment, found)} if experiment.axis else {}
    panels |= {name: _panels(experiment, plan, name, found) for name in experiment.datasets}
    panels = {name: items for name, items in panels.items() if items}
    write_csv(folder / NUMBERS_NAME, found.rows)
    _write_text(folder / TABLE_NAME, markdown(experiment, found, notes))
    (folder / _FIGURES).mkdir(exist_ok=True)
    for items in panels.values():
        for panel in items:
            _save(panel, folder / _FIGURES)
    _write_text(folder / PAGE_NAME, _page(experiment, found, panels, notes))
    return folder / PAGE_NAME


def _overview(experiment: Experiment, found: Numbers) -> list[Panel]:
    """Measures along the axis of the experiment."""
    axis = experiment.axis
    assert axis is not None
    values: dict[str, dict[float, Mapping[str, Interval | None]]] = {}
    for dataset, data in experiment.datasets.items():
        for method, how in experiment.methods.items():
            here = [r for r in found.rows if (r.dataset, r.method) == (dataset, method)]
            # Along methods the values of one dataset are a line, and methods without a value none.
            place = data.value if axis.of == "datasets" else how.value
            if place is None or not here:
                continue
            series = method if axis.of == "datasets" else dataset
            values.setdefault(series, {})[place] = _intervals(here)
    shown = _shown(found.rows, found)
    if not values or not shown:
        return []
    figure = figures.axis_figure(values, shown, axis.label, logarithmic=axis.logarithmic)
    return [Panel("overview", figure, _INTERVALS, wide=True)]


def _panels(experiment: Experiment, plan: Plan, dataset: str, found: Numbers) -> list[Panel]:
    parts = {
        method: [part for part in plan.of(dataset, method) if part.finished]
        for method in experiment.methods
    }
    parts = {method: items for method, items in parts.items() if items}
    if not parts:
        return []
    slug = dataset.replace(" ", "-")
    here = [row for row in found.rows if row.dataset == dataset]
    by_method = {m: _intervals([row for row in here if row.method == m]) for m in parts}
    panels = [
        Panel(
            f"{slug}-measures",
            figures.measures_figure(by_method, _shown(here, found)),
            "Mean over seeds, with 95 % intervals (Student) where there are several.",
            wide=True,
        )
    ]
    evaluations = {m: [load_evaluation(p.folder) for p in items] for m, items in parts.items()}
    any_of_them = next(iter(evaluations.values()))[0]
    for region in (WHOLE_BOX, MOVING):
        curves = {
            m: np.stack([e["fsc"][region]["curves"].mean(0, dtype=np.float64) for e in items])
            for m, items in evaluations.items()
            if all(region in e["fsc"] for e in items)
        }
        if curves:
            title = "Whole box" if region == WHOLE_BOX else "Moving region"
            figure = figures.fsc_over_seeds(
                curves, any_of_them.box, any_of_them.pixel_size_angstrom, title, list(parts)
            )
            caption = "FSC: mean over frames and seeds, with the range of the seeds."
            panels.append(Panel(f"{slug}-fsc-{region}", figure, caption))
    panels += _state_panels(evaluations, slug)
    panels += _gain_panels(experiment.baseline, parts, slug)
    return panels + _latent_panels(parts, slug)


def _state_panels(evaluations: Mapping[str, Sequence[Evaluation]], slug: str) -> list[Panel]:
    """Draw the FSC of states, in the moving region if there is one."""
    curves = {
        method: [e["states"] for e in items if e["states"]] for method, items in evaluations.items()
    }
    first = next((states[0] for states in curves.values() if states), None)
    if first is None:
        return []
    region = MOVING if MOVING in first else WHOLE_BOX
    labels = first[region]["labels"]
    areas = {
        method: np.stack([area_under_curve(s[region]["curves"]) for s in states])
        for method, states in curves.items()
        if states and all(np.array_equal(s[region]["labels"], labels) for s in states)
    }
    figure = figures.states_over_seeds(areas, labels, REGIONS[region], list(evaluations))
    caption = "FSC area of the mean volume of every true state, with the range of the seeds."
    return [Panel(f"{slug}-states", figure, caption)]


def _gain_panels(
    baseline: str, parts: Mapping[str, Sequence[ResultPart]], slug: str
) -> list[Panel]:
    """Draw the gain (paper Eq. 16) of all frames and seeds over the baseline, for every method."""
    references = {p.dataset.seed: p for p in parts.get(baseline, [])}
    panels = []
    for method, items in parts.items():
        paired = [(references[p.dataset.seed], p) for p in items if p.dataset.seed in references]
        if method == baseline or not paired:
            continue
        gains = np.concatenate(
            [
                resolution_gains(load_evaluation(a.folder), load_evaluation(b.folder))
                for a, b in paired
            ]
        )
        name = f"{slug}-gain-{method.replace(' ', '-')}"
        seeds = "one seed" if len(paired) == 1 else f"{len(paired)} seeds"
        caption = f"Resolution gain (Eq. 16) of all frames, whole box, {seeds}."
        panels.append(Panel(name, gain_figure(gains, method, baseline), caption))
    return panels


def _latent_panels(parts: Mapping[str, Sequence[ResultPart]], slug: str) -> list[Panel]:
    """Draw latents of the first seed against the first true parameter, and their manifold."""
    latents, first = {}, None
    for method, items in parts.items():
        if items[0].entry.kind != "run":
            continue
        run = load_run(items[0].folder)
        if run.latents is not None and (first is None or items[0].dataset == first.dataset):
            latents[method], first = run.latents, items[0]
    if first is None:
        return []
    truth = read_truth(first.dataset.folder)
    if not truth.parameter_names:
        return []
    label = parameter_label(truth.parameter_names[0])
    label = label[:1].upper() + label[1:]
    parameter = truth.parameters[:, 0].numpy()
    movie = movie_of_frames(truth.movies, truth.n_frames)
    figure = latent_figure(latents, parameter, movie, label, columns=3)
    caption = f"{LATENTS} Seed {first.dataset.seed}."
    manifold = manifold_figure(latents, truth.states, parameter, label)
    return [
        Panel(f"{slug}-latents", figure, caption, wide=True),
        Panel(f"{slug}-manifold", manifold, f"{MANIFOLD} Seed {first.dataset.seed}.", wide=True),
    ]


def _intervals(rows: Sequence[Record]) -> dict[str, Interval | None]:
    labels = dict.fromkeys(row.measure for row in rows)
    return {
        label: over_seeds([row.value for row in rows if row.measure == label]) for label in labels
    }


def _shown(rows: Sequence[Record], found: Numbers) -> list[Measure]:
    """Select the most important measures of these rows."""
    known = {row.measure for row in rows if row.value is not None}
    ranks = {label: item.rank for label, item in found.measures.items() if label in known}
    return [found.measures[label] for label in most_important(ranks, MOST_IMPORTANT)]


def _page(
    experiment: Experiment,
    found: Numbers,
    panels: Mapping[str, Sequence[Panel]],
    notes: Sequence[str],
) -> str:
    loaders = [jinja2.PackageLoader(f"temporem.{name}", ".") for name in ("experiments", "report")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PrefixLoader({"experiment": loaders[0]}), loaders[1]]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    tables = result_tables(experiment, found)
    return environment.get_template("experiment/page.html.jinja").render(
        title=experiment.title,
        question=experiment.question.strip(),
        notes=notes,
        panels={
            name: [
                {
                    "svg": inline_svg(panel.svg, panel.name),
                    "caption": panel.caption,
                    "wide": panel.wide,
                }
                for panel in items
            ]
            for name, items in panels.items()
        },
        tables={name: tables.get(name, {}) for name in panels},
        methods=method_table(experiment),
        definitions=definitions(),
        footer=f"temporem {__version__}, {date.today().isoformat()}",
    )


def _save(panel: Panel, folder: Path) -> None:
    """Save a panel as PNG for a quick look, and as SVG with its text as text for a paper."""
    with atomic_write(folder / f"{panel.name}.png") as partial:
        panel.figure.savefig(partial, dpi=200, facecolor="white")
    _write_text(folder / f"{panel.name}.svg", panel.svg)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
