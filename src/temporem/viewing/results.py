"""Results of the runs on the page, as a report has them, one part at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from shlex import join
from typing import Any

from temporem.errors import TemporemError
from temporem.evaluation.storage import SUMMARY_NAME
from temporem.report.collect import collect
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.drawing import Drawing
from temporem.report.embed import coloured_svg, shown_width
from temporem.report.findings import Findings, find
from temporem.report.sections import SECTIONS
from temporem.report.verdict import judge_run
from temporem.runs.half_runs import has_half_runs
from temporem.runs.run import load_run_config
from temporem.validation.compare import stored_validation
from temporem.viewing.sources import ShownRun

_LATENTS = "compared latents"

_ALWAYS = {
    "verdict": "Verdict",
    "half sets": "Half sets",
    _LATENTS: "Latents compared",
    "views": "Views and poses",
    "kinetics": "Kinetics",
    "learning": "Learning",
}
"""Parts and their titles. Those that are empty say which command fills them."""

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "half sets": ("validate", "--half-sets"),
    _LATENTS: ("latents",),  # of a dataset and a run
    "kinetics": ("kinetics",),
}

_NEED_LATENTS = (_LATENTS, "kinetics")

_SIDE_BY_SIDE = ("view", "--half-sets")


class Results:
    """Parts of a report on some runs.

    Args:
        runs: finished runs of one dataset.
        shows_halves: the page shows half sets already.
    """

    def __init__(self, runs: Sequence[Path], *, shows_halves: bool = False) -> None:
        self._runs, self._shows_halves = list(dict.fromkeys(runs)), shows_halves
        self._lock = threading.Lock()
        self._kept: dict[str, dict[str, Any]] = {}

    def titles(self) -> dict[str, str]:
        """Titles of the parts by name, in order; none without runs."""
        if not self._runs:
            return {}
        evaluated = any((run / SUMMARY_NAME).is_file() for run in self._runs)
        return _ALWAYS | ({"truth": "Truth"} if evaluated else {})

    def part(self, name: str) -> dict[str, Any]:
        """A part as a JSON value: sentences, figures as SVG with their numbers, and small print.

        Raises:
            TemporemError: no such part; a run or its dataset can no longer be read.
        """
        if name not in self.titles():
            raise TemporemError("there is no such result", expected=", ".join(self.titles()))
        with self._lock:
            if name not in self._kept:
                make: Callable[[], dict[str, Any]] = (
                    self._verdicts if name == "verdict" else lambda: self._section(name)
                )
                self._kept[name] = make()
            return self._kept[name]

    @cached_property
    def _collected(self) -> tuple[ReportDataset, list[ReportRun], Findings]:
        dataset, runs = collect(self._runs, residuals=False)
        return dataset, runs, find(runs)

    def _section(self, name: str) -> dict[str, Any]:
        dataset, runs, findings = self._collected
        section = SECTIONS[name](dataset, runs, findings)
        words = [*findings.headline, *section.words] if name == "truth" else list(section.words)
        if len(runs) == 1 and name != _LATENTS:  # there, other latents have names as well
            words = [text.removeprefix(f"{runs[0].name}: ") for text in words]
        command = () if words and name != "half sets" else _COMMANDS.get(name, ())
        if name == "half sets" and has_half_runs(self._runs[0]):
            made = runs[0].validation.half_sets is not None or runs[0].latents is None
            command = command if not made else () if self._shows_halves else _SIDE_BY_SIDE
        if name in _NEED_LATENTS and runs[0].latents is None:
            command = ()
        movies = [str(load_run_config(self._runs[0]).dataset)] if name == _LATENTS else []
        typed = ["temporem", *command[:1], *movies, str(self._runs[0]), *command[1:]]
        asked = join(typed) if command else ""
        return {
            "words": [{"title": "", "texts": [text]} for text in words],
            "figures": [_figure(drawing) for drawing in section.drawings],
            "note": section.note,
            "command": asked,
        }

    def _verdicts(self) -> dict[str, Any]:
        dataset, runs, _ = self._collected
        words: list[dict[str, Any]] = []
        command = ""
        for run in runs:
            verdict = judge_run(run, dataset)
            name = f"{run.name}: " if len(runs) > 1 else ""
            words.append(
                {
                    "title": "",
                    "texts": [f"{name}{verdict.headline}"],
                    "claim": verdict.claim.name.lower(),
                }
            )
            for title, texts in (
                ("What moves", verdict.moves),
                ("How sure", verdict.sure),
                ("How right", verdict.right),
                ("What limits", verdict.limits),
            ):
                if texts:
                    words.append({"title": title, "texts": list(texts)})
            command = command or verdict.next[0]
        return {"words": words, "figures": [], "note": "", "command": command}


def movie_scores(shown: ShownRun) -> list[float | None] | None:
    """Score of every movie that was scored unseen: nats per frame over one volume for all frames.

    None where no movie was scored, and for half sets, whose scores are those of the other half.
    """
    if shown.half:
        return None
    scores = stored_validation(shown.path).scores
    if scores is None:
        return None
    per_frame = dict(zip(scores.movies, (scores.scores / scores.n_frames).tolist(), strict=True))
    return [per_frame.get(shown.movie_name(movie)) for movie in range(len(shown.movies))]


def _figure(drawing: Drawing) -> dict[str, Any]:
    return {
        "svg": coloured_svg(drawing.document),
        "label": drawing.description,
        "width": shown_width(drawing.document),
        "caption": drawing.caption,
        "name": drawing.file_name,
        "csv": drawing.csv,
    }
