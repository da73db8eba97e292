"""Pose errors against the true state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from temporem.evaluation.metrics.pose_conformation_coupling import PoseConformationCoupling
from temporem.report import theme

POSE_ERRORS = (
    "Angle between estimated and true pose by true state, after one alignment of all frames: "
    "median, with the range that holds the middle half of the frames. Dashed: the turn that all "
    "frames of a state have in common, which is a motion taken for a pose, or another choice of "
    "what stays where it is; dots: what it would be by chance."
)
"""Caption of the figure."""


def pose_error_figure(
    coupling: Mapping[str, PoseConformationCoupling], runs: Sequence[str] = ()
) -> Figure:
    """Median and quartiles of pose errors by true state, and the turn common to the state.

    Args:
        coupling: per run, each with at least one state.
        runs: all that the page shows, in their order, by which they have their colours.
    """
    figure, axes = theme.new_figure()
    ax = axes[0, 0]
    for place, name in theme.places(coupling, runs):
        colour, item = theme.run_colour(place), coupling[name]
        state = item.state
        ax.fill_between(
            state, item.state_low, item.state_high, color=colour, alpha=0.16, linewidth=0
        )
        ax.plot(
            state,
            item.state_median,
            color=colour,
            linewidth=1.8,
            marker="o",
            markersize=3,
            label=theme.shorten(name),
        )
        dashed, dotted = (0, (4, 2)), (0, (1, 2))
        ax.plot(state, item.state_systematic, color=colour, linewidth=1.2, linestyle=dashed)
        ax.plot(state, item.state_chance, color=colour, linewidth=1.2, linestyle=dotted)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.label(ax, "True state", "Pose error (°)")
    theme.legend(figure, ax)
    return figure
