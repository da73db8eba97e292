"""The picture of ``temporem check``: images, background, spectra and views of a dataset."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from temporem.checks import Evidence, Finding, Verdict
from temporem.checks.views import measure_coverage
from temporem.frames.source import blocks_of
from temporem.io.files import atomic_write
from temporem.report import theme
from temporem.report.data_plots import draw_views

_SHOWN = 6
_SPECTRUM_FRAMES = 1000
_COLOURS = {
    Verdict.GOOD: "#009E73",
    Verdict.UNKNOWN: theme.FAINT,
    Verdict.WARNING: "#E69F00",
    Verdict.REFUSED: "#D55E00",
}
_LINE = 76  # characters of the list of findings
_WIDTH_INCHES, _LINE_INCHES = 6.2, 0.17


def write_dataset_picture(
    path: Path, evidence: Evidence, findings: list[Finding], *, overwrite: bool = False
) -> None:
    """Draw a dataset and what its checks found, and write a PNG picture.

    Args:
        path: file to write.
        evidence: the dataset and its statistics.
        findings: what the checks found.
        overwrite: replace a file that exists.
    """
    figure = dataset_figure(evidence, findings)
    with atomic_write(path, overwrite=overwrite) as partial:
        figure.savefig(partial, format="png", dpi=160, facecolor="white")


def dataset_figure(evidence: Evidence, findings: list[Finding]) -> Figure:
    """Draw frames, mean frame, background, spectrum and views, above the findings.

    It is as narrow as a page, so that a telephone shows its words in a size that can be read.
    """
    lines = _lines(findings)
    text_inches = _LINE_INCHES * len(lines) + 0.3
    figure = Figure(figsize=(_WIDTH_INCHES, 8.0 + text_inches), layout="constrained")
    outer = figure.add_gridspec(4, 1, height_ratios=[3.0, 2.5, 2.5, text_inches])
    _frames(figure, outer[0], evidence)
    upper, lower = (
        outer[row].subgridspec(1, 2, width_ratios=widths)
        for row, widths in ((1, [1.0, 1.5]), (2, [1.5, 1.0]))
    )
    _mean_frame(figure.add_subplot(upper[0]), evidence)
    _background(figure.add_subplot(upper[1]), evidence)
    if evidence.dataset.has_poses:
        _spectrum(figure.add_subplot(lower[0]), evidence)
        _views(figure.add_subplot(lower[1]), evidence)
    else:
        _spectrum(figure.add_subplot(outer[2]), evidence)
    _text(figure.add_subplot(outer[3]), lines)
    return figure


def _frames(figure: Figure, place: Any, evidence: Evidence) -> None:
    """The first frames of a movie, and the frame with the most extreme pixel."""
    dataset, images = evidence.dataset, evidence.images
    movie = dataset.movies[len(dataset.movies) // 2]
    rows = [*movie[: _SHOWN - 1], int(np.argmax(np.abs(images.extreme) / images.deviations))]
    grid = place.subgridspec(2, _SHOWN // 2)
    for i, row in enumerate(rows):
        ax = figure.add_subplot(grid[divmod(i, _SHOWN // 2)])
        pixels = (dataset.images[int(row)] - images.background_mean[row]) / images.deviations[row]
        ax.imshow(pixels, cmap="gray", vmin=-3, vmax=5, origin="lower")
        title = f"row {row}" if i < len(rows) - 1 else f"row {row}\n(most extreme)"
        _bare(ax, title)


def _mean_frame(ax: Axes, evidence: Evidence) -> None:
    """Average of all frames with the sign of their CTF undone, at low resolution."""
    frames, ctf = evidence.low_frames
    support = evidence.forward_model.support
    full = torch.zeros(len(support), dtype=torch.complex64)
    mean = (frames * ctf).mean(0) / ctf.square().mean(0).clamp(min=0.02)
    full[: len(mean)] = mean
    full[0] = 0
    picture = support.ifft(full).numpy()
    limit = float(np.abs(picture).max())
    ax.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower")
    _bare(ax, "Mean frame, CTF undone\n(molecule red: bright)")


def _background(ax: Axes, evidence: Evidence) -> None:
    """Background of every frame, in units of its noise, and noise of every frame."""
    images = evidence.images
    row = np.arange(len(images))
    theme.quieten(ax)
    style: dict[str, Any] = {
        "linestyle": "none",
        "marker": ".",
        "markersize": 3,
        "rasterized": True,
    }
    ax.plot(row, images.background_mean / images.deviations, color="#0072B2", **style)
    ax.plot(row, images.background_sd / images.typical_sd, color="#D55E00", **style)
    for level in (0, 1):
        ax.axhline(level, color=theme.FAINT, linewidth=0.8)
    theme.label(ax, "Row", "In units of the noise", "Corners: mean (blue), deviation (red)")


def _spectrum(ax: Axes, evidence: Evidence) -> None:
    """Mean power of frames over shells, and CTF² scaled to it."""
    dataset, support = evidence.dataset, evidence.forward_model.support
    chosen = np.linspace(0, dataset.n_frames - 1, min(dataset.n_frames, _SPECTRUM_FRAMES))
    power, passed = torch.zeros(2, len(support), dtype=torch.float64)
    rows = np.unique(chosen.round().astype(np.int64))
    for block in blocks_of(rows, len(support)):
        frames, ctf = evidence.frames.take(block)
        power += frames.abs().square().double().sum(0)
        passed += ctf.square().double().sum(0)
    of_frames, of_ctf = support.shell_means(torch.stack([power, passed]) / len(rows)).numpy()
    frequency = np.arange(len(of_frames)) / (dataset.box * dataset.pixel_size_angstrom)
    theme.quieten(ax)
    ax.semilogy(frequency, of_frames, color="#0072B2", linewidth=1.8, label="frames")
    ax.semilogy(frequency, of_ctf, color="#E69F00", linewidth=1.2, label="CTF²")
    ax.axhline(1, color=theme.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    ax.legend(frameon=False, fontsize=theme.SMALL_POINTS, labelcolor=theme.INK)
    theme.label(ax, "Frequency (1/Å)", "Power (white noise: 1)", "Spectrum of frames")


def _views(ax: Axes, evidence: Evidence) -> None:
    """Number of slices through every direction of Fourier space, on a half sphere."""
    coverage = measure_coverage(evidence.dataset.poses.rotations)
    draw_views(ax, coverage, orientation="horizontal")
    theme.label(ax, title=f"Views worth {coverage.worth:.0%}\nof even ones")


def _lines(findings: list[Finding]) -> list[tuple[str, str]]:
    """Colour and text of every line of the list of findings."""
    lines = []
    for finding in findings:
        for i, text in enumerate(textwrap.wrap(f"{finding.check}: {finding.sentence}", _LINE)):
            lines.append((_COLOURS[finding.verdict], text if i == 0 else f"    {text}"))
    return lines


def _text(ax: Axes, lines: list[tuple[str, str]]) -> None:
    ax.set_axis_off()
    for i, (colour, text) in enumerate(lines):
        y = 1 - (i + 0.5) / len(lines)
        if not text.startswith(" "):
            ax.plot([0.006], [y], "s", color=colour, markersize=5, transform=ax.transAxes)
        ax.text(
            0.022,
            y,
            text,
            transform=ax.transAxes,
            va="center",
            fontsize=theme.SMALL_POINTS,
            color=theme.INK,
            parse_math=False,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)


def _bare(ax: Axes, title: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    theme.label(ax, title=title)
