"""The sections of a report below its verdict: which figures there are, and their words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from temporem.evaluation.masks import MOVING, REGIONS, WHOLE_BOX
from temporem.evaluation.metrics.fsc import resolution_gains
from temporem.evaluation.metrics.pose_conformation_coupling import coupling_of
from temporem.report import data_plots, plots, theme
from temporem.report.content import ReportDataset, ReportRun
from temporem.report.drawing import Drawing, Section, draw
from temporem.report.findings import Findings
from temporem.report.half_set_plot import half_set_drawings
from temporem.report.kinetics_plot import kinetics_section
from temporem.report.latent_plots import (
    LATENTS,
    latent_figure,
    latent_path_figure,
    movie_of_frames,
    readout,
)
from temporem.report.latents_plot import compared_latents
from temporem.report.learning import learning_drawings
from temporem.report.local_resolution_plot import local_resolution_drawings
from temporem.report.manifold import MANIFOLD, manifold_figure
from temporem.report.pose_plot import POSE_ERRORS, pose_error_figure

_TIED = 0.98
"""Share of equal frames above which a histogram of gains would be one bar."""


_Maker = Callable[[ReportDataset, Sequence[ReportRun], Findings], Section]

SECTIONS: Mapping[str, _Maker] = {
    "truth": lambda dataset, runs, findings: _against_truth(runs, findings),
    "half sets": lambda dataset, runs, findings: _half_sets(dataset, runs),
    "components": lambda dataset, runs, findings: _ends(runs),
    "paths": lambda dataset, runs, findings: _paths(dataset, runs),
    "latents": lambda dataset, runs, findings: _latents_and_truth(dataset, runs),
    "compared latents": lambda dataset, runs, findings: compared_latents(runs),
    "kinetics": lambda dataset, runs, findings: kinetics_section(runs),
    "views": lambda dataset, runs, findings: _views_and_poses(runs),
    "residuals": lambda dataset, runs, findings: _residuals(runs),
    "learning": lambda dataset, runs, findings: Section(
        "How the runs learned", drawings=tuple(learning_drawings(runs, dataset))
    ),
}
"""Makers of the sections, in the order of the page."""


def sections_of(
    dataset: ReportDataset, runs: Sequence[ReportRun], findings: Findings
) -> list[Section]:
    """Make all sections that have something to show, in the order of the page."""
    made = [make(dataset, runs, findings) for make in SECTIONS.values()]
    return [section for section in made if section.drawings or section.words]


def _against_truth(runs: Sequence[ReportRun], findings: Findings) -> Section:
    """FSC with the truth, in the whole box and in the moving region, and gains."""
    evaluations = {run.name: run.evaluation for run in runs if run.evaluation is not None}
    drawings: list[Drawing] = []
    for region in (WHOLE_BOX, MOVING):
        shown = {name: item for name, item in evaluations.items() if region in item["fsc"]}
        if not shown:
            continue
        one = next(iter(shown.values()))
        curves = {name: item["fsc"][region]["curves"] for name, item in shown.items()}
        figure = plots.fsc_figure(
            curves,
            one.box,
            one.pixel_size_angstrom,
            threshold=one.settings.fsc_threshold,
            title=REGIONS[region].capitalize(),
            runs=[run.name for run in runs],
        )
        data = plots.fsc_columns(curves, one.box, one.pixel_size_angstrom)
        drawings.append(draw(figure, f"FSC with the truth, {REGIONS[region]}", data=data))
    words = []
    for name, item in findings.comparisons.items():
        if not item.a["fsc"]:
            continue
        gains = resolution_gains(item.a, item.b)
        tied = float((gains == 0).mean())
        if tied > _TIED:
            words.append(
                f"{name} and {findings.baseline} have equal resolution in {tied:.0%} of the frames."
            )
            continue
        figure = plots.gain_figure(gains, name, findings.baseline or "")
        text = f"Resolution gain of {name} over {findings.baseline}"
        drawings.append(draw(figure, text, data={"gain": gains}))
    note = ""
    if drawings:
        note = "FSC: mean over frames, with the range of 80% of them."
    if any(item.file_name.startswith("resolution-gain") for item in drawings):
        note += (
            " Gain: (r₀ − r) / r₀ for the resolution r of a frame and r₀ of the same frame in "
            f"{findings.baseline}, whole box. Frames beyond the axis are counted at its ends."
        )
    return Section("Resolution against the truth", tuple(words), tuple(drawings), note)


def _half_sets(dataset: ReportDataset, runs: Sequence[ReportRun]) -> Section:
    """FSC of half sets: of validation where it was run, and what the run itself logged."""
    drawings = half_set_drawings(runs)
    names, pixel = [run.name for run in runs], dataset.pixel_size_angstrom
    means = {run.name: run.half_fsc["mean"] for run in runs if "mean" in run.half_fsc}
    if means:
        figure, data = plots.half_fsc(means, pixel, "Mean of all frames", names)
        caption = "Two halves of the movies, each with a mean volume of its own, in known poses."
        drawings.append(draw(figure, "FSC of half sets, mean volume", caption, data))
    for run in runs:
        components = {name: c for name, c in run.half_fsc.items() if name != "mean"}
        if components:
            figure, data = plots.half_fsc(
                components, pixel, f"Components of {run.name}", (), read=False
            )
            caption = (
                "The halves begin with the same latents, so they agree at low resolution "
                "whatever they show. What counts is where a curve falls."
            )
            drawings.append(
                draw(figure, f"FSC of half sets, components of {run.name}", caption, data)
            )
    drawings += local_resolution_drawings(runs, pixel)
    words = [
        f"{run.name}: {sentence.strip()}" if len(runs) > 1 else sentence.strip()
        for run in runs
        for sentence in run.validation.sentences()
    ]
    return Section(
        "Half sets and unseen movies",
        tuple(words),
        tuple(drawings),
        "Resolution is read where a curve falls below 0.143." if drawings else "",
    )


def _ends(runs: Sequence[ReportRun]) -> Section:
    drawings = [
        draw(
            data_plots.ends_figure(ends),
            f"{run.name}, {ends.name.lower()} of the latents",
            f"{run.name}, {ends.name.lower()}: {ends.share:.0%} of the variance of the latents.",
        )
        for run in runs
        if not run.poses_lost
        for ends in run.ends
    ]
    note = (
        "Volumes at both ends of the main axes of the latents, from the 5th to the 95th percentile "
        "of the frames, and their difference summed along the view: orange comes, purple goes. "
        "A motion along a curve takes several axes, and ends beside the curve are no states."
    )
    return Section("What the components are", (), tuple(drawings), note if drawings else "")


def _paths(dataset: ReportDataset, runs: Sequence[ReportRun]) -> Section:
    drawings = []
    times, label = _times(dataset)
    for index, run in enumerate(runs):
        if run.latents is None:
            continue
        figure, data = latent_path_figure(
            run.latents,
            run.latent_covariance,
            dataset.movies,
            times,
            movie_names=dataset.movie_names,
            time_label=label,
            colour=theme.run_colour(index),
        )
        theme.label(figure.axes[0], *_labels(figure.axes[0]), title=theme.shorten(run.name))
        drawings.append(draw(figure, f"Latent paths of {run.name}", data=data))
    note = (
        "Grey: all movies. Colours: three of them, with the band that holds 90% of the posterior "
        "of a frame."
    )
    return Section("Latent paths", (), tuple(drawings), note if drawings else "")


def _labels(ax: Any) -> tuple[str, str]:
    return ax.get_xlabel(), ax.get_ylabel()


def _times(dataset: ReportDataset) -> tuple[np.ndarray, str]:
    times = dataset.times_seconds
    if times is None or not np.isfinite(times).all() or np.ptp(times) == 0:
        return dataset.frame_numbers, "Frame"
    return times, "Time (s)"


def _latents_and_truth(dataset: ReportDataset, runs: Sequence[ReportRun]) -> Section:
    truth = dataset.truth
    latents = {run.name: run.latents for run in runs if run.latents is not None}
    if truth is None or not latents:
        return Section("")
    names = [run.name for run in runs]
    n_frames = len(truth.parameter)
    movie = movie_of_frames(dataset.movies, n_frames)
    drawings = []
    for name, values in latents.items():
        figure = latent_figure({name: values}, truth.parameter, movie, truth.label, runs=names)
        data = {
            "true": truth.parameter,
            "read": readout(values, truth.parameter, movie)[0],
            "movie": movie + 1,
        }
        drawings.append(draw(figure, f"Latents of {name} and the truth", data=data))
    for name, values in latents.items():
        if values.shape[1] < 2:
            continue
        figure = manifold_figure({name: values}, truth.states, truth.parameter, truth.label)
        data = {f"latent {j + 1}": column for j, column in enumerate(values.T)}
        text = f"Latents of {name} in the plane of their first two principal components"
        drawings.append(draw(figure, text, data={**data, "true": truth.parameter}))
    note = LATENTS
    if any(values.shape[1] > 1 for values in latents.values()):
        note += f" {MANIFOLD}"
    return Section("Latents and the truth", (), tuple(drawings), note)


def _views_and_poses(runs: Sequence[ReportRun]) -> Section:
    drawings = list(_views(runs))
    deviations = [
        (run.name, run.angle_sd_degrees) for run in runs if run.angle_sd_degrees is not None
    ]
    names = [run.name for run in runs]
    if deviations:
        figure = data_plots.angle_figure(deviations, names)
        caption = "Frames whose angle is known to that many degrees or better, as the run says."
        data = {f"{name}, degrees": np.sort(values) for name, values in deviations}
        drawings.append(draw(figure, "Uncertainty of angles", caption, data))
    coupling = {
        run.name: item
        for run in runs
        if run.evaluation is not None
        and (item := coupling_of(run.evaluation)) is not None
        and len(item.state)
    }
    if coupling:
        data = {}
        for name, item in coupling.items():
            data |= {f"{name}, state": item.state, f"{name}, median degrees": item.state_median}
        figure = pose_error_figure(coupling, names)
        drawings.append(draw(figure, "Pose error by true state", POSE_ERRORS, data))
    words = [
        f"{run.name}: random starts find the same pose for {run.starts_alike:.0%} of the frames."
        for run in runs
        if run.starts_alike is not None
    ]
    return Section("Views and poses", tuple(words), tuple(drawings))


def _views(runs: Sequence[ReportRun]) -> Iterator[Drawing]:
    """One map of views for given poses, and one for every run that found its own."""
    given = [run for run in runs if run.coverage is not None and not run.found_poses][:1]
    found = [run for run in runs if run.coverage is not None and run.found_poses]
    for run in (*given, *found):
        assert run.coverage is not None
        which = f"as {run.name} found them" if run.found_poses else "as given"
        x, y, z = run.coverage.directions.T.numpy()
        data = {"x": x, "y": y, "z": z, "slices": run.coverage.sampling.numpy()}
        figure = data_plots.views_figure(run.coverage)
        caption = (
            f"Views, {which}: slices through every direction of Fourier space, seen from the pole. "
            "An even colour is best; dark directions are smeared in the volumes."
        )
        yield draw(figure, f"Views, {which}", caption, data)


def _residuals(runs: Sequence[ReportRun]) -> Section:
    drawings = []
    for index, run in enumerate(runs):
        rest = run.residuals
        if rest is None or not len(rest.observed):
            continue
        caption = f"{run.name}: frames, projections of their volumes, and what is left; low-pass."
        figure = data_plots.residual_figure(rest)
        drawings.append(draw(figure, f"Residuals of {run.name}", caption))
        data = {
            "frequency_per_angstrom": rest.shells,
            "images": rest.image_power,
            "rest": rest.residual_power,
        }
        caption = (
            f"{run.name}: mean power of {rest.n_frames} frames, with and without what the volumes "
            "explain. The rest is flat where nothing but noise is left."
        )
        figure = data_plots.residual_power_figure(rest, theme.run_colour(index))
        drawings.append(draw(figure, f"Power of the residuals of {run.name}", caption, data))
    return Section("What the volumes leave of the images", (), tuple(drawings))
