"""Figures of latents: against the truth, and along the time of every movie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import spearmanr

from temporem.evaluation.metrics.latents import predict_unseen, smooth_regression
from temporem.evaluation.principal_axes import axes_of, principal_axes
from temporem.report import theme
from temporem.report.plots import MAX_DOTS, panels

LATENTS = (
    "A single latent of every frame, whose scale and sign are free, against the true parameter. "
    "Several latents: the parameter that a smooth regression reads from them, for movies that the "
    "regression has not seen."
)
"""Caption of the figure."""

_MOST_LATENTS = 3
_MOST_LINES = 100  # movies drawn as faint lines
_BANDED = 3  # movies drawn with their posterior
_BAND = 1.645  # deviations on either side that hold 90 %


def latent_figure(
    latents: Mapping[str, np.ndarray],
    parameter: np.ndarray,
    movie: np.ndarray,
    parameter_label: str,
    *,
    columns: int = 2,
    runs: Sequence[str] = (),
) -> Figure:
    """Draw what latents say of the true conformational parameter, one panel per run.

    A single latent is drawn as it is, rising with the parameter. Several latents may hold a motion
    as a curve, which no axis follows. Their panel shows the parameter as :func:`readout` reads it.

    Args:
        latents: posterior means by run, ``(frames, q)``.
        parameter: true parameter of every frame, ``(frames,)``.
        movie: movie of every frame, an integer, ``(frames,)``.
        parameter_label: name of the parameter with its unit.
        columns: largest number of panels in a row.
        runs: all runs of the page, in the order of their colours.
    """
    figure, axes = panels(len(latents), height=2.6, columns=columns)
    for index, (place, name) in enumerate(theme.places(latents, runs)):
        y, label, score = readout(latents[name], parameter, movie)
        ax = axes.flat[index]
        if label:
            ends = [float(parameter.min()), float(parameter.max())]
            ax.plot(ends, ends, color=theme.FAINT, linewidth=1, linestyle=(0, (4, 3)))
        ax.scatter(
            parameter,
            y,
            color=theme.run_colour(place),
            s=5,
            linewidths=0,
            alpha=0.5,
            rasterized=len(parameter) > MAX_DOTS,
        )
        words = f"{parameter_label}, read from latents" if label else "Latent"
        theme.label(ax, f"True {parameter_label[:1].lower()}{parameter_label[1:]}", words)
        ax.set_title(
            f"{theme.shorten(name)}, {score}",
            fontsize=theme.FONT_POINTS,
            color=theme.INK,
            loc="left",
            fontweight="bold",
            parse_math=False,
        )
    return figure


def readout(
    latents: np.ndarray, parameter: np.ndarray, movie: np.ndarray
) -> tuple[np.ndarray, bool, str]:
    """Read a parameter from latents ``(n, q)``.

    Returns:
        Values ``(n,)``; true if they are in the parameter's unit, predicted for movies that the
        regression has not seen, else they are the latent; and how good they are, in words.
    """
    axes = principal_axes(latents)
    if not axes.shape[1] or np.ptp(parameter) == 0:  # one of the two does not vary
        return np.zeros(len(parameter)), False, "|ρ| = 0.00"
    if axes.shape[1] > 1:
        predicted = predict_unseen(smooth_regression(), axes, movie, parameter)
        if np.isfinite(predicted).all():
            left = np.square(parameter - predicted).sum()
            r2 = 1 - left / np.square(parameter - parameter.mean()).sum()
            return predicted, True, f"R² = {r2:.2f}".replace("-", "\N{MINUS SIGN}")
    ranks = [float(spearmanr(axis, parameter).statistic) for axis in axes.T]
    best = int(np.argmax(np.abs(ranks)))
    return np.copysign(1, ranks[best]) * axes[:, best], False, f"|ρ| = {abs(ranks[best]):.2f}"


def latent_path_figure(
    latents: np.ndarray,
    covariance: np.ndarray | None,
    movies: Sequence[np.ndarray],
    times: np.ndarray,
    *,
    movie_names: Sequence[str] = (),
    time_label: str = "Frame",
    colour: str = theme.RUN_COLOURS[0],
) -> tuple[Figure, dict[str, Any]]:
    """Draw the latent path of every movie, and the posterior bands of a few of them.

    Args:
        latents: posterior means, ``(frames, q)``; more than three are drawn along their first
            three principal axes.
        covariance: posterior covariance, ``(frames, q, q)``; no bands when None.
        movies: rows of each movie, in order of time.
        times: time or number of every frame, ``(frames,)``.
        movie_names: for the legend.
        time_label: label of the axis of times.
        colour: of the run.

    Returns:
        The figure, and the numbers of the movies with bands.
    """
    values, deviation, words = shown_latents(latents, covariance)
    figure, axes = theme.new_figure(values.shape[1], height=1.9 if values.shape[1] > 1 else 2.8)
    faint = movies[:: -(-len(movies) // _MOST_LINES)]
    banded = chosen_movies(movies, _BANDED)
    colours = [colour, *(c for c in theme.RUN_COLOURS if c != colour)]
    data: dict[str, list[Any]] = {"movie": [], "time": []}
    for index in banded:
        data["movie"] += [_name(movie_names, index)] * len(movies[index])
        data["time"] += times[movies[index]].tolist()
    for j, ax in enumerate(axes[:, 0]):
        for movie in faint:
            ax.plot(times[movie], values[movie, j], color=theme.FAINT, linewidth=0.5, alpha=0.35)
        column: list[float] = []
        spread: list[float] = []
        for tint, index in zip(colours, banded, strict=False):
            rows = movies[index]
            mean = values[rows, j]
            column += mean.tolist()
            if deviation is not None:
                reach = _BAND * deviation[rows, j]
                spread += deviation[rows, j].tolist()
                ax.fill_between(
                    times[rows], mean - reach, mean + reach, color=tint, alpha=0.2, linewidth=0
                )
            ax.plot(
                times[rows],
                mean,
                color=tint,
                linewidth=1.6,
                marker="o" if len(rows) < 4 else None,
                markersize=3,
                label=theme.shorten(_name(movie_names, index)),
            )
        data[words[j]] = column
        if spread:
            data[f"{words[j]}, sd"] = spread
        last = j == values.shape[1] - 1
        if time_label == "Frame":
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        theme.label(ax, time_label if last else "", words[j])
    theme.legend(figure, axes[0, 0])
    return figure, data


def shown_latents(
    latents: np.ndarray, covariance: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Choose up to three latents to draw: values ``(n, ≤ 3)``, deviations likewise, and names."""
    q = latents.shape[1]
    if q <= _MOST_LATENTS:
        deviation = None
        if covariance is not None:
            deviation = np.sqrt(np.einsum("nii->ni", covariance).clip(min=0))
        return latents, deviation, ["Latent"] if q == 1 else [f"Latent {j + 1}" for j in range(q)]
    axes = axes_of(latents)[:_MOST_LATENTS]
    if not len(axes):
        return np.zeros((len(latents), 1)), None, ["Latent"]
    values = (latents - latents.mean(axis=0)) @ axes.T
    deviation = None
    if covariance is not None:
        variance = np.einsum("ai,nij,aj->na", axes, covariance, axes)
        deviation = np.sqrt(variance.clip(min=0))
    return values, deviation, [f"Axis {j + 1}" for j in range(len(axes))]


def chosen_movies(movies: Sequence[np.ndarray], n: int) -> list[int]:
    """Choose n movies: the longest, and others spread over the list."""
    longest = int(np.argmax([len(movie) for movie in movies]))
    others = [i for i in np.linspace(0, len(movies) - 1, n).round().astype(int) if i != longest]
    return [longest, *dict.fromkeys(int(i) for i in others)][:n]


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if names else f"movie {index + 1}"


def movie_of_frames(movies: Sequence[np.ndarray], n_frames: int) -> np.ndarray:
    """Number of the movie of every frame, int64 ``(n_frames,)``."""
    movie = np.zeros(n_frames, dtype=np.int64)
    for number, rows in enumerate(movies):
        movie[rows] = number
    return movie
