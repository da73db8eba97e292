"""The figures of latents that were compared without a truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from temporem.report import plots, theme
from temporem.report.content import ReportRun
from temporem.report.drawing import Drawing, Section, draw
from temporem.validation.latent_facts import LatentComparison

_ROW_INCHES, _AROUND_INCHES = 0.34, 0.9  # of the figure of gains

_NOTE = (
    "Volumes are averages of frames whose latents are near (kernel regression), made in one way "
    "for all latents, from each half of the movies."
)


def compared_latents(runs: Sequence[ReportRun]) -> Section:
    """Show each comparison of latents that the runs hold, once."""
    found: list[LatentComparison] = []
    for run in runs:
        one = run.validation.latents
        if one is not None and one not in found:
            found.append(one)
    drawings = [drawing for one in found for drawing in _drawings(one, runs)]
    words = [sentence for one in found for sentence in one.sentences()]
    return Section(
        "Latents compared without a truth",
        tuple(words),
        tuple(drawings),
        _NOTE if found else "",
    )


def _drawings(found: LatentComparison, runs: Sequence[ReportRun]) -> list[Drawing]:
    """Draw gains with their intervals, and FSC of what changes, of all latents."""
    names = list(found.latents)
    order = [run.name for run in runs]
    order += [name for name in names if name not in order]
    drawings = [_gains(found, order)]
    moving = {name: facts.regions.get("moving") for name, facts in found.latents.items()}
    curves = {
        name: np.array(region.change.corrected)
        for name, region in moving.items()
        if region is not None
    }
    if curves:
        figure, data = plots.half_fsc(
            curves,
            found.pixel_size_angstrom,
            "Change between states, where it moves",
            order,
            compared="FSC of half maps",
        )
        caption = (
            "Half maps of what changes between ten states, corrected for the mask. Latents that "
            "follow the noise of images agree here, too, and gain nothing on unseen movies."
        )
        drawings.append(draw(figure, f"FSC of the change at {_listed(names)}", caption, data))
    return drawings


def _gains(found: LatentComparison, order: Sequence[str]) -> Drawing:
    facts = list(found.latents.values())
    names = list(found.latents)
    figure, axes = theme.new_figure(height=_AROUND_INCHES + _ROW_INCHES * len(names))
    ax = axes[0, 0]
    value = np.array([one.gain for one in facts])
    low, high = np.array([one.gain_interval for one in facts]).T
    for place, name in theme.places(names, order):
        row = names.index(name)
        colour = theme.run_colour(place)
        ax.plot([low[row], high[row]], [row, row], color=colour, linewidth=1.6)
        ax.plot(value[row], row, color=colour, marker="o", markersize=5)
    ax.axvline(0, color=theme.INK, linewidth=0.8)
    ax.set_yticks(range(len(names)), [theme.shorten(name) for name in names])
    for text in ax.get_yticklabels():
        text.set_parse_math(False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    theme.label(ax, "Nats per frame", title="Gain on unseen movies")
    caption = (
        "How much likelier volumes at the latents of one half of the movies make the movies of the "
        "other half, beyond latents that are shuffled among frames. Lines: 95 % intervals."
    )
    data = {"latents": names, "gain": value, "gain, low": low, "gain, high": high}
    return draw(figure, f"Gain on unseen movies of {_listed(names)}", caption, data)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
