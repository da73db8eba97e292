"""The report: one self-contained HTML file, readable on a phone and in print."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from temporem.errors import TemporemError
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.metrics import METRICS
from temporem.io.files import atomic_write
from temporem.report import plots, tables
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.drawing import Drawing, draw
from temporem.report.findings import Findings, find
from temporem.report.sections import sections_of
from temporem.report.stills import PICTURE_SIZE, TRUTH, make_stills, render_rows
from temporem.report.verdict import Claim, judge_run, leading_run

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


def write_report(
    path: str | Path,
    dataset: ReportDataset,
    runs: Sequence[ReportRun],
    *,
    baseline: str | None = None,
    title: str = "",
    footer: str = "",
    player: str = "",
    overwrite: bool = False,
) -> list[str]:
    """Write an HTML page on one or more runs of the same movies.

    Args:
        path: file to write.
        dataset: the movies, with the truth where it is known.
        runs: at least one.
        baseline: name of the run that others are compared with; the first evaluated run when None.
        title: heading of the page; runs and dataset when empty.
        footer: versions and date, to trace the origin of the page later.
        player: HTML of a player of volumes, which the page trusts.
        overwrite: replace an existing file.

    Returns:
        The main sentences of the page.

    Raises:
        TemporemError: no run, two runs of one name, or a run named like the truth; no evaluated run
            named like the baseline; the file exists and may not be replaced, or cannot be written.
    """
    _require_names([run.name for run in runs])
    with atomic_write(path, overwrite=overwrite) as partial:
        findings = find(runs, baseline)
        page = build_report(dataset, runs, findings, title=title, footer=footer, player=player)
        partial.write_text(page, encoding="utf-8")
    verdict = judge_run(leading_run(runs), dataset)
    return [verdict.headline, *findings.headline]


def _require_names(names: Sequence[str]) -> None:
    if not names:
        raise TemporemError("no run to report on", hint="name at least one RUN folder")
    if len({*names, TRUTH}) <= len(names):
        raise TemporemError(
            f"the runs are named {', '.join(names)}",
            expected=f"different names, none of them '{TRUTH}'",
            hint="rename a run folder",
        )


def build_report(
    dataset: ReportDataset,
    runs: Sequence[ReportRun],
    findings: Findings,
    *,
    title: str = "",
    footer: str = "",
    player: str = "",
    picture_size: int = PICTURE_SIZE,
) -> str:
    """Build the page that :func:`write_report` writes.

    Args:
        dataset, runs, title, footer, player: see :func:`write_report`.
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
    lead = leading_run(runs)
    verdicts = {run.name: judge_run(run, dataset) for run in runs}
    stills = make_stills(render_rows(dataset, runs, picture_size), dataset.shown_labels())
    script = resources.files("temporem.report").joinpath("downloads.js").read_text("utf-8")
    first = [name for name in (TRUTH, lead.name) if name in stills.names]
    return environment.get_template("page.html.jinja").render(
        title=title or f"{', '.join(run.name for run in runs)} on {dataset.name}",
        footer=footer,
        dataset=dataset,
        facts=tables.dataset_sentence(dataset),
        findings=findings,
        compared=_compared(findings, len(evaluations)),
        lead=lead.name,
        verdict=verdicts[lead.name],
        others={name: found for name, found in verdicts.items() if name != lead.name},
        stills=stills,
        players=[*first, *(name for name in stills.names if name not in first)],
        in_motion=any(
            found.claim.on_motion and found.claim is not Claim.REFUTED
            for found in verdicts.values()
        ),
        sections=sections_of(dataset, runs, findings),
        images=_images(dataset),
        definitions=definitions(),
        level=_confidence_level(evaluations.values()),
        tables={
            "metrics": tables.metrics_table(evaluations) if evaluations else None,
            "gains": tables.comparison_table(findings.comparisons)
            if findings.comparisons
            else None,
            "runs": tables.runs_table(runs),
            "dataset": tables.dataset_table(dataset),
            "config": tables.config_table(runs),
        },
        script=Markup(script),
        player=Markup(player),
        script_sources=Markup(_script_sources(script, player)),
    )


def _script_sources(script: str, player: str) -> str:
    """Scripts that the page may run: its own and, by their text, those of the player."""
    inline = re.findall(r'<script type="(?:importmap|module)">(.*?)</script>', player, re.DOTALL)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        for text in (script, *inline)
    ]
    sources = [f"'sha256-{digest}'" for digest in hashes]
    return " ".join([*sources, *(["data:"] if player else [])])


def _compared(findings: Findings, n_evaluated: int) -> dict[str, list[str]] | None:
    """Sentences that compare runs: decided ones, and those that leave a question open.

    None with fewer than two runs to compare; what one evaluation says is part of the verdict.
    """
    if n_evaluated == 1 or not findings.headline:
        return None
    decided = [t for t in findings.headline if " is better than " in t or " is worse than " in t]
    return {"decided": decided, "open": [t for t in findings.headline if t not in decided]}


def _confidence_level(evaluations: Iterable[Evaluation]) -> str:
    """Confidence level of the intervals on the page, the same in all evaluations."""
    return next((f"{100 * item.settings.bootstrap.level:g}%" for item in evaluations), "")


def _images(dataset: ReportDataset) -> Drawing | None:
    if not len(dataset.images):
        return None
    figure = plots.image_figure(dataset.images, dataset.image_labels)
    caption = "Some of the images that everything here was made from."
    return draw(figure, "Particle images", caption)
