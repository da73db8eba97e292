"""The report: one self-contained HTML file, readable on a phone and in print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.masks import MOVING, REGIONS, WHOLE_BOX
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.fsc import resolution_gains
from temporem.evaluation.metrics.pose_conformation_coupling import coupling_of
from temporem.evaluation.words import parameter_words
from temporem.io.files import atomic_write
from temporem.report import plots, tables
from temporem.report.camera import revealing_view
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.embed import figure_svg, strip_png
from temporem.report.findings import Findings, find
from temporem.report.half_set_plot import half_set_figures
from temporem.report.manifold import MANIFOLD, manifold_figure
from temporem.report.pose_plot import POSE_ERRORS, pose_error_figure
from temporem.report.render import matched_levels, moving_region, render_isosurface, trim

PICTURE_SIZE = 220
"""Edge of the picture of one volume before its empty border is cut off, pixels."""

_THREE = 3  # panels of latents that share a row wider than a column

TRAINING_TERMS = {"log_likelihood": "Log-likelihood", "kl": "KL divergence"}
_TRUTH = "truth"  # name of the row of true volumes
_OTHER_OBJECTIVE = "warm-up"  # a stage whose terms are not those of the bound

_OTHER_TERMS = {
    "Regions": "The particle mask covers the mean true volume; the moving region covers what "
    "differs between true volumes. Both are made from the truth alone and are the same for all "
    "runs.",
    "Confidence intervals": "Percentile bootstrap over movies, because frames of one movie are "
    "not independent.",
}


def definitions() -> dict[str, str]:
    """Definitions of the numbers in the tables, by label; V is a volume, T the true one."""
    scores = (score for metric in METRICS.values() for score in metric.scores)
    return {score.label: score.definition for score in scores} | _OTHER_TERMS


@dataclass(frozen=True)
class _Panel:
    """The pictures of all shown volumes.

    Attributes:
        width, height: size of the picture of one volume, pixels.
        strips: pictures of all frames side by side, as ``data:`` addresses, by source.
    """

    width: int
    height: int
    strips: Mapping[str, str]


def write_report(
    path: str | Path,
    dataset: ReportDataset,
    runs: Sequence[ReportRun],
    *,
    baseline: str | None = None,
    title: str = "temporem report",
    footer: str = "",
    overwrite: bool = False,
) -> Findings:
    """Write an HTML page on one or more runs of the same movies.

    Args:
        path: file to write.
        dataset: the movies, with the truth where it is known.
        runs: at least one.
        baseline: name of the run that others are compared with; the first evaluated run when None.
        title: heading of the page.
        footer: versions and date, to trace the origin of the page later.
        overwrite: replace an existing file.

    Returns:
        Findings on the page.

    Raises:
        TemporemError: no run, two runs of one name, or a run named like the truth; no evaluated run
            named like the baseline; the file exists and may not be replaced, or cannot be written.
    """
    _require_names([run.name for run in runs])
    with atomic_write(path, overwrite=overwrite) as partial:
        findings = find(runs, baseline)
        page = build_report(dataset, runs, findings, title=title, footer=footer)
        partial.write_text(page, encoding="utf-8")
    return findings


def _require_names(names: Sequence[str]) -> None:
    if not names:
        raise TemporemError("no run to report on", hint="name at least one RUN folder")
    if len({*names, _TRUTH}) <= len(names):
        raise TemporemError(
            f"the runs are named {', '.join(names)}",
            expected=f"different names, none of them '{_TRUTH}'",
            hint="rename a run folder",
        )


def build_report(
    dataset: ReportDataset,
    runs: Sequence[ReportRun],
    findings: Findings,
    *,
    title: str = "temporem report",
    footer: str = "",
    picture_size: int = PICTURE_SIZE,
) -> str:
    """Build the page that :func:`write_report` writes.

    Args:
        dataset, runs, title, footer: see :func:`write_report`.
        findings: findings on the runs.
        picture_size: edge of the picture of a volume, pixels.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("temporem.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    evaluations = {run.name: run.evaluation for run in runs if run.evaluation is not None}
    latents = [run.latents for run in runs if run.latents is not None]
    return environment.get_template("page.html.jinja").render(
        title=title,
        footer=footer,
        dataset=dataset,
        runs_named=", ".join(run.name for run in runs),
        findings=findings,
        panel=_panel(render_rows(dataset, runs, picture_size)),
        shown_labels=dataset.shown_labels(),
        parameter=parameter_words(dataset.truth.parameter_name) if dataset.truth else None,
        latents_in_a_row=sum(run.latents is not None for run in runs) == _THREE,
        several_dimensions=any(values.shape[1] > 1 for values in latents),
        definitions=definitions(),
        validations={run.name: run.validation.sentences() for run in runs},
        manifold=MANIFOLD,
        pose_errors=POSE_ERRORS,
        level=_confidence_level(evaluations.values()),
        figures=_figures(dataset, runs, findings),
        tables={
            "metrics": tables.metrics_table(evaluations) if evaluations else None,
            "gains": tables.comparison_table(findings.comparisons)
            if findings.comparisons
            else None,
            "runs": tables.runs_table(runs),
            "dataset": tables.dataset_table(dataset),
            "config": tables.config_table(runs),
        },
    )


def render_rows(
    dataset: ReportDataset, runs: Sequence[ReportRun], size: int = PICTURE_SIZE
) -> dict[str, list[np.ndarray]]:
    """Draw the shown frames by source, as RGBA uint8; the truth comes first where it is known.

    Pictures are at most ``size`` pixels wide and high, less the border that is empty in all of
    them. The first source decides the direction, the framing, the tint and the volume that surfaces
    enclose.
    """
    stacks = {} if dataset.truth is None else {_TRUTH: dataset.truth.volumes}
    stacks |= {run.name: run.volumes for run in runs}
    levels = matched_levels(list(stacks.values()))
    first = next(iter(stacks.values()))
    view = revealing_view(first, levels[0]).framing(first, levels[0])
    tint = moving_region(first, levels[0])
    rows = {
        name: [render_isosurface(volume, level, view, size, tint=tint) for volume in stack]
        for (name, stack), level in zip(stacks.items(), levels, strict=True)
    }
    return trim(rows)


def _confidence_level(evaluations: Iterable[Evaluation]) -> str:
    """Confidence level of the intervals on the page, the same in all evaluations."""
    return next((f"{100 * item.settings.bootstrap.level:g}%" for item in evaluations), "")


def _panel(rows: Mapping[str, Sequence[np.ndarray]]) -> _Panel:
    """Put the pictures of every source side by side."""
    height, width = next(iter(rows.values()))[0].shape[:2]
    return _Panel(width, height, {name: strip_png(pictures) for name, pictures in rows.items()})


def _figures(
    dataset: ReportDataset, runs: Sequence[ReportRun], findings: Findings
) -> dict[str, Markup | list[Markup] | None]:
    return {
        "fsc": _fsc_figures(runs),
        "half_sets": half_set_figures(runs),
        "gains": [
            figure_svg(
                plots.gain_figure(resolution_gains(item.a, item.b), name, findings.baseline or ""),
                f"Histogram of the resolution gain of {name} over {findings.baseline}",
            )
            for name, item in findings.comparisons.items()
            if item.a["fsc"]
        ],
        "latents": _latent_figure(dataset, runs),
        "manifold": _manifold_figure(dataset, runs),
        "poses": _pose_figure(runs),
        "training": _training_figure(runs),
        "images": figure_svg(
            plots.image_figure(dataset.images, dataset.image_labels), "Particle images"
        )
        if len(dataset.images)
        else None,
    }


def _fsc_figures(runs: Sequence[ReportRun]) -> list[Markup]:
    """FSC in the whole box and in the moving region."""
    evaluations = {run.name: run.evaluation for run in runs if run.evaluation is not None}
    figures = []
    for region in (WHOLE_BOX, MOVING):
        shown = {name: item for name, item in evaluations.items() if region in item["fsc"]}
        if not shown:
            continue
        any_of_them = next(iter(shown.values()))
        figure = plots.fsc_figure(
            {name: item["fsc"][region]["curves"] for name, item in shown.items()},
            any_of_them.box,
            any_of_them.pixel_size_angstrom,
            threshold=any_of_them.settings.fsc_threshold,
            title=REGIONS[region].capitalize(),
            runs=[run.name for run in runs],
        )
        figures.append(figure_svg(figure, f"FSC by resolution, {REGIONS[region]}"))
    return figures


def _latent_figure(dataset: ReportDataset, runs: Sequence[ReportRun]) -> Markup | None:
    latents = {run.name: run.latents for run in runs if run.latents is not None}
    if not latents:
        return None
    truth = dataset.truth
    if truth is None:
        names = [run.name for run in runs]
        figure = plots.latent_path_figure(
            latents, dataset.movies, dataset.frame_numbers, runs=names
        )
        return figure_svg(figure, "Latent path of every movie")
    title = f"Latent against {truth.label}"
    columns = _THREE if len(latents) == _THREE else 2  # no panel alone in its row
    figure = plots.latent_figure(
        latents, truth.parameter, truth.states, truth.label, columns=columns
    )
    return figure_svg(figure, title)


def _manifold_figure(dataset: ReportDataset, runs: Sequence[ReportRun]) -> Markup | None:
    """Latents of runs with several dimensions; the figure of latents shows a single one."""
    latents = {r.name: r.latents for r in runs if r.latents is not None and r.latents.shape[1] > 1}
    if not latents or dataset.truth is None:
        return None
    figure = manifold_figure(latents, dataset.truth.states)
    title = "Latents in the plane of their first two principal components"
    return figure_svg(figure, title)


def _pose_figure(runs: Sequence[ReportRun]) -> Markup | None:
    """Pose errors of runs that found their poses, where there are true states."""
    items = {run.name: coupling_of(run.evaluation) for run in runs if run.evaluation is not None}
    coupling = {name: item for name, item in items.items() if item is not None and len(item.state)}
    if not coupling:
        return None
    figure = pose_error_figure(coupling, [run.name for run in runs])
    return figure_svg(figure, "Pose error by true state")


def _training_figure(runs: Sequence[ReportRun]) -> Markup | None:
    metrics = {}
    for run in runs:
        records = [
            record
            for record in run.metrics
            if {"epoch", *TRAINING_TERMS} <= record.keys()
            and record.get("stage") != _OTHER_OBJECTIVE
        ]
        if records:
            metrics[run.name] = records
    if not metrics:
        return None
    names = [run.name for run in runs]
    figure = plots.training_figure(metrics, TRAINING_TERMS, runs=names)
    return figure_svg(figure, "Training curves")
