"""Figures of what the data hold: views, what volumes leave of the images, ends of the motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.ndimage import affine_transform, map_coordinates

from temporem.checks.views import Coverage
from temporem.report import theme
from temporem.report.camera import View, revealing_view
from temporem.report.content import Ends, Residuals
from temporem.report.level import find_level
from temporem.report.plots import colour_bar
from temporem.report.render import moving_region, render_isosurface, trim

_PICTURE = 240  # pixels
_SHOWN = 4


def views_figure(coverage: Coverage) -> Figure:
    """Draw the slices through every direction of Fourier space, on a half sphere."""
    figure = Figure(figsize=(theme.COLUMN_INCHES, 3.1), layout="constrained")
    ax = figure.subplots()
    draw_views(ax, coverage)
    theme.label(ax, title=f"Views worth {coverage.worth:.0%} of even ones")
    return figure


def draw_views(ax: Axes, coverage: Coverage, **bar: object) -> None:
    """Draw the coverage into axes, with a bar of colours.

    Lambert's projection keeps areas, so that even views look even.
    """
    x, y, z = coverage.directions.T.numpy()
    scale = np.sqrt(1 / (1 + z))
    sampling = coverage.sampling.numpy()
    dots = ax.scatter(
        scale * x,
        scale * y,
        c=sampling,
        s=9,
        cmap=theme.STATE_COLOURS,
        vmin=0,
        vmax=max(2.0, float(np.quantile(sampling, 0.95))),
        rasterized=True,
    )
    ax.set_aspect("equal")
    ax.set_axis_off()
    colour_bar(
        ax.figure,  # type: ignore[arg-type]
        dots,
        "Slices through a direction, 1 if even",
        ax=ax,
        shrink=0.8,
        pad=0.02,
        **bar,
    )


def residual_figure(residuals: Residuals) -> Figure:
    """Draw frames, their projections, and what is left, at low resolution."""
    count = min(len(residuals.observed), _SHOWN)
    rows = {
        "image": residuals.observed[:count],
        "projection": residuals.predicted[:count],
        "rest": (residuals.observed - residuals.predicted)[:count],
    }
    reach = float(np.quantile(np.abs(residuals.observed), 0.995))
    edge = theme.COLUMN_INCHES / (count + 0.35)
    figure = Figure(figsize=(theme.COLUMN_INCHES, 3 * edge + 0.25), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, hspace=0, wspace=0)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(3, count, squeeze=False)
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(row, images, strict=True):
            ax.imshow(
                image, cmap="gray", origin="lower", vmin=-reach, vmax=reach, interpolation="none"
            )
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name, fontsize=theme.SMALL_POINTS, color=theme.INK)
    for ax, text in zip(axes[0], residuals.labels, strict=False):
        ax.set_title(text, fontsize=theme.SMALL_POINTS, color=theme.INK, pad=2, parse_math=False)
    return figure


def residual_power_figure(residuals: Residuals, colour: str) -> Figure:
    """Draw the mean power of images and of what the volumes leave of them, by frequency."""
    figure, axes = theme.new_figure(height=2.8)
    ax = axes[0, 0]
    shown = slice(1, None)
    ax.plot(
        residuals.shells[shown],
        residuals.image_power[shown],
        color=theme.FAINT,
        linewidth=1.8,
        label="images",
    )
    ax.plot(
        residuals.shells[shown],
        residuals.residual_power[shown],
        color=colour,
        linewidth=1.8,
        label="what is left",
    )
    ax.axhline(1, color=theme.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(0, float(residuals.shells[-1]))
    theme.label(ax, "Frequency (1/Å)", "Power (white noise: 1)")
    theme.legend(figure, ax)
    return figure


def ends_figure(ends: Ends) -> Figure:
    """Draw the surfaces at both ends of an axis of the latents, and a map of the change.

    Both surfaces have one level and direction; orange marks where they differ. The map is the sum
    of the change along the direction of view, blue where density goes away, orange where it comes.
    """
    pair = np.stack([ends.low, ends.high])
    level = find_level(pair)
    bright = level.sign * pair
    view = revealing_view(bright, level.height).framing(bright, level.height)
    tint = moving_region(bright, level.height)
    drawn = [render_isosurface(v, level.height, view, _PICTURE, tint=tint) for v in bright]
    change = _projected(bright[1] - bright[0], view)
    reach = max(float(np.abs(change).max()), 1e-12)
    colours = theme.SIGNED_COLOURS(0.5 + 0.5 * change / reach)
    seen = np.clip(2 * np.abs(change) / reach - 0.1, 0, 1)
    colours[..., 3] = seen  # what does not change lets the page through
    pictures = trim({"": [*drawn, (255 * colours).astype(np.uint8)]})[""]
    high, wide = pictures[0].shape[:2]
    height = theme.COLUMN_INCHES / 3 * min(high / wide, 1.5) + 0.25
    figure = Figure(figsize=(theme.COLUMN_INCHES, height), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, picture, title in zip(axes, pictures, ("one end", "other end", "change"), strict=True):
        ax.imshow(picture)
        _bare(ax, title)
    return figure


def _projected(volume: np.ndarray, view: View) -> np.ndarray:
    """Sum a volume along the direction of view, within its frame: (down, right)."""
    matrix = view.rotation[::-1, ::-1].T
    centre = np.full(3, len(volume) // 2)
    turned = affine_transform(volume, matrix, centre - matrix @ centre, order=1)
    flat = turned.sum(axis=0)
    half = (view.extent or len(volume)) / 2
    right, up = (c + len(volume) // 2 for c in view.centre)
    rows, columns = (np.linspace(middle - half, middle + half, _PICTURE) for middle in (up, right))
    grid = np.stack(np.meshgrid(rows[::-1], columns, indexing="ij"))
    return np.asarray(map_coordinates(flat, grid, order=1))


def angle_figure(deviations: Sequence[tuple[str, np.ndarray]], runs: Sequence[str]) -> Figure:
    """Draw how many frames have their angle known to at most how many degrees."""
    figure, axes = theme.new_figure(height=2.6)
    ax = axes[0, 0]
    for name, values in deviations:
        place = list(runs).index(name)
        share = np.arange(1, len(values) + 1) / len(values)
        ax.plot(
            np.sort(values), 100 * share, color=theme.run_colour(place), label=theme.shorten(name)
        )
    ax.set_ylim(0, 101)
    ax.set_xlim(left=0)
    theme.label(ax, "Standard deviation of the angle (°)", "Frames (%)")
    theme.legend(figure, ax)
    return figure


def _bare(ax: Axes, title: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=theme.SMALL_POINTS, color=theme.INK, pad=2)
