"""Figure of the manifold of latents, in the plane of their first two principal components."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import gaussian_kde, spearmanr

from temporem.evaluation.principal_axes import principal_axes
from temporem.report import theme
from temporem.report.plots import MAX_DOTS, colour_bar

MANIFOLD = (
    "Latents of all frames in the plane of their first two principal components, with the shares "
    "of the variance. Beside each axis is the density of every true state along it; all densities "
    "are drawn to the same height."
)
"""Caption of the figure."""

# Edge of the plane, height of the densities, and room left of, below and above them, inches.
_PLANE, _DENSITY = 1.9, 0.45
_LEFT, _BELOW, _ABOVE, _BAR = 0.7, 0.5, 0.3, 0.75
_MAX_DENSITIES = 40  # with more states, one density of all frames is drawn
_POINTS, _SEEN = 400, 0.01  # points of a density's curve; fraction of its height that is visible
_REACH = 4.0  # kernel widths beyond the outermost frames, where the density is invisible


def manifold_figure(
    latents: Mapping[str, np.ndarray], state: np.ndarray, parameter: np.ndarray, label: str
) -> Figure:
    """Draw latents in the plane of their first two principal components, one panel per run.

    Beside each axis is the density of every state along it (Gaussian kernel with the width of Scott
    1992), each drawn to the same height. Signs are arbitrary and therefore chosen alike in all
    panels: the first component rises with the state, the second is highest in the middle of the
    states. With one component, the other axis is the state.

    Args:
        latents: posterior means by run, ``(frames, q)``.
        state: true state of every frame, an integer, ``(frames,)``.
        parameter: true parameter of every frame, which gives the colours, ``(frames,)``.
        label: name of the parameter with its unit.
    """
    columns = min(len(latents), 3)
    rows = -(-len(latents) // columns)
    width, height = _LEFT + _PLANE + _DENSITY, _BELOW + _PLANE + _DENSITY + _ABOVE
    size = np.array([columns * width + _BAR, rows * height])
    figure = Figure(figsize=tuple(size))
    FigureCanvasAgg(figure)

    def add(x: float, y: float, wide: float, high: float) -> Axes:
        return figure.add_axes((x / size[0], y / size[1], wide / size[0], high / size[1]))

    norm = Normalize(float(parameter.min()), float(parameter.max()))
    for index, (name, values) in enumerate(latents.items()):
        x = index % columns * width + _LEFT
        y = (rows - 1 - index // columns) * height + _BELOW
        plane = add(x, y, _PLANE, _PLANE)
        above = add(x, y + _PLANE, _PLANE, _DENSITY)
        beside = add(x + _PLANE, y, _DENSITY, _PLANE)
        theme.label(above, title=theme.shorten(name))
        _draw(plane, above, beside, values, _Truth(state, parameter, norm))
    bar = add(columns * width + 0.1, size[1] / 2 - _PLANE / 2, 0.09, _PLANE)
    colour_bar(
        figure,
        ScalarMappable(norm, theme.STATE_COLOURS),
        f"True {label[:1].lower()}{label[1:]}",
        cax=bar,
    )
    return figure


def oriented_components(latents: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the first two principal components, and the shares of the variance of all.

    Args:
        latents: ``(n, q)``.
        state: true state, an integer, ``(n,)``.

    Returns:
        Components ``(n, ≤ 2)`` with the signs of :func:`manifold_figure`, and shares ``(≤ q,)``.
    """
    axes = principal_axes(latents)
    shares = axes.var(0) / max(float(axes.var(0).sum()), 1e-30)
    shown = axes[:, :2].copy()
    middle = (state.min() + state.max()) / 2
    for component, follows in zip(shown.T, (state, -np.abs(state - middle)), strict=False):
        if np.ptp(follows) > 0 and spearmanr(component, follows).statistic < 0:
            component *= -1
    return shown, shares


class _Truth(NamedTuple):
    """State and parameter of every frame, and the scale of colours."""

    state: np.ndarray
    parameter: np.ndarray
    norm: Normalize


def _draw(plane: Axes, above: Axes, beside: Axes, values: np.ndarray, truth: _Truth) -> None:
    state = truth.state
    components, shares = oriented_components(values, state)
    theme.quieten(plane)
    above.sharex(plane)
    beside.sharey(plane)
    for margin in (above, beside):
        margin.set_axis_off()
    labels = [f"PC {i + 1} ({100 * share:.0f}%)" for i, share in enumerate(shares[:2])]
    if not labels:
        plane.text(0.5, 0.5, "latents do not vary", transform=plane.transAxes, ha="center")
        plane.set_xticks([])
        plane.set_yticks([])
        return
    flat = components.shape[1] == 1
    if flat:
        labels = ["Latent", "True state"]
        components = np.concatenate([components, state[:, None]], axis=1)
    x, y = components.T
    plane.scatter(
        x,
        y,
        c=truth.parameter,
        cmap=theme.STATE_COLOURS,
        norm=truth.norm,
        s=5,
        linewidths=0,
        alpha=0.75,
        rasterized=len(x) > MAX_DOTS,
    )
    theme.label(plane, *labels)
    plane.xaxis.set_major_locator(MaxNLocator(4))
    plane.yaxis.set_major_locator(MaxNLocator(4, integer=flat))
    _densities(above, x, truth)
    above.set_ylim(bottom=0)
    if not flat:
        _densities(beside, y, truth, sideways=True)
        beside.set_xlim(left=0)


def _densities(
    ax: Axes,
    values: np.ndarray,
    truth: _Truth,
    *,
    sideways: bool = False,
) -> None:
    """Draw the density of every state along an axis, or of all frames if states are many."""
    state = truth.state
    labels = np.unique(state)
    groups = {label: values[state == label] for label in labels}
    if len(labels) > _MAX_DENSITIES:
        groups = {None: values}
    reach = 0.05 * np.ptp(values)
    low, high = values.min() - reach, values.max() + reach
    for label, group in groups.items():
        if len(group) < 3 or np.ptp(group) <= 1e-9 * np.ptp(values):
            continue  # too few distinct values for a kernel width
        kernels = gaussian_kde(group)
        # Each state has its own points, because common ones would miss a narrow state.
        width = _REACH * math.sqrt(kernels.covariance[0, 0])
        at = np.linspace(max(group.min() - width, low), min(group.max() + width, high), _POINTS)
        density = kernels(at)
        density /= density.max()
        seen = density > _SEEN
        tint: Any = theme.FAINT
        if label is not None:
            middle = float(truth.parameter[state == label].mean())
            tint = theme.STATE_COLOURS(truth.norm(middle))
        x, height = at[seen], density[seen]
        if sideways:
            ax.fill_betweenx(x, 0, height, color=tint, alpha=0.2, linewidth=0)
            ax.plot(height, x, color=tint, linewidth=0.9)
        else:
            ax.fill_between(x, 0, height, color=tint, alpha=0.2, linewidth=0)
            ax.plot(x, height, color=tint, linewidth=0.9)
