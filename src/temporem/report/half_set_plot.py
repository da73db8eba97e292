"""The figures of half sets: FSC of volumes, and of their change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from temporem.physics.fsc import HALF_MAP_THRESHOLD
from temporem.report import plots
from temporem.report.content import ReportRun
from temporem.report.embed import figure_svg

_WORDS = {"particle": "Half sets, whole molecule", "moving": "Half sets, where it moves"}


def half_set_figures(runs: Sequence[ReportRun]) -> list[Markup]:
    """Draw, for each mask, the curves of all runs that have half sets."""
    known = {run.name: run.validation.half_sets for run in runs}
    figures = []
    for region, title in _WORDS.items():
        curves, box, pixel = {}, 0, 0.0
        for name, facts in known.items():
            if facts is None or region not in facts.regions:
                continue
            found = facts.regions[region]
            for what, curve in (("volumes", found.volumes), ("change", found.change)):
                curves[f"{name}, {what}"] = np.array(curve.corrected)[None]
                box = 2 * len(curve.corrected)
            pixel = facts.pixel_size_angstrom
        if curves:
            figure = plots.fsc_figure(
                curves,
                box,
                pixel,
                threshold=HALF_MAP_THRESHOLD,
                title=title,
                compared="FSC of half sets",
                runs=[*curves],
            )
            figures.append(figure_svg(figure, f"FSC of half sets by resolution, {region}"))
    return figures
