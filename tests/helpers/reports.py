"""A dataset with a swinging arm and runs of it, as a report takes them, without any file."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import torch
from torch import Tensor

from temporem.evaluation.case import Known
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.frames import EvaluatedFrames
from temporem.evaluation.one_pass import measure
from temporem.physics.fourier import FourierSupport
from temporem.report.content import ReportDataset, ReportRun, ReportTruth

BOX, PIXEL, MOVIES, LENGTH = 16, 4.0, 6, 5
N = MOVIES * LENGTH
ANGLE = np.tile(np.linspace(0, 80, LENGTH), MOVIES) + np.repeat(np.arange(MOVIES), LENGTH)
SUPPORT = FourierSupport(BOX, 3)
SHOWN = np.arange(LENGTH)


def swing(angles_degrees: np.ndarray) -> np.ndarray:
    """A body with an arm that turns about z: ``(n, D, D, D)``."""
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    volumes = []
    for angle in np.deg2rad(angles_degrees):
        arm = 4.5 * np.cos(angle), 4.5 * np.sin(angle)
        body = np.exp(-(x**2 + y**2 + z**2) / 8)
        volumes.append(body + np.exp(-((x - arm[0]) ** 2 + (y - arm[1]) ** 2 + z**2) / 3))
    return np.array(volumes, dtype=np.float32)


class Volumes:
    """A reconstruction that exists already."""

    def __init__(self, volumes: np.ndarray) -> None:
        self.coefficients = SUPPORT.fft(torch.from_numpy(volumes)).to(torch.complex64)

    def volumes(self, rows: np.ndarray) -> Tensor:
        return self.coefficients[torch.from_numpy(rows)]


def frames(movies: int = MOVIES) -> EvaluatedFrames:
    movie = np.repeat(np.arange(movies), LENGTH)
    return EvaluatedFrames(
        rows=np.arange(movies * LENGTH),
        movie=movie,
        particle_names=movie.astype(str),
        frame_numbers=np.tile(np.arange(1, LENGTH + 1), movies),
        held_out=np.zeros(movies * LENGTH, dtype=bool),
    )


TRUE_VOLUMES = swing(ANGLE)


def reconstruction(name: str, noise: float, stillness: float, movies: int = MOVIES) -> ReportRun:
    """The truth, noisy and drawn towards its mean."""
    rng = np.random.default_rng(len(name))
    mean = TRUE_VOLUMES.mean(axis=0)
    volumes = (1 - stillness) * TRUE_VOLUMES + stillness * mean
    volumes = (volumes + rng.normal(0, noise, volumes.shape)).astype(np.float32)
    latents = (ANGLE + rng.normal(0, 1 + 60 * stillness, N))[:, None]
    chosen = frames(movies)
    return ReportRun(
        name=name,
        method=name,
        config={"method": name, "seed": 0, "model": {"z_dim": 1, "width": 8 + len(name)}},
        volumes=volumes[SHOWN],
        latents=latents,
        metrics=[
            {"stage": "static", "epoch": e, "step": 10 * e, "log_likelihood": -9.0 / e, "kl": 0.1}
            for e in (1, 2, 3)
        ],
        evaluation=measure(
            Volumes(volumes),
            Volumes(TRUE_VOLUMES),
            chosen,
            box=BOX,
            pixel_size_angstrom=PIXEL,
            known=Known(
                latents=latents[: len(chosen)],
                parameters=ANGLE[: len(chosen), None],
                parameter_names=["angle_degrees"],
                states=np.tile(np.arange(LENGTH), movies),
            ),
        ),
        seconds=75,
    )


def swinging_dataset() -> ReportDataset:
    """The movies with their truth."""
    truth = ReportTruth(
        TRUE_VOLUMES[SHOWN], "angle_degrees", ANGLE, np.tile(np.arange(LENGTH), MOVIES)
    )
    return ReportDataset(
        name="toy",
        facts={"Signal-to-noise ratio": "0.1"},
        movies=list(np.arange(N).reshape(MOVIES, LENGTH)),
        frame_numbers=np.tile(np.arange(1, LENGTH + 1), MOVIES),
        shown_rows=SHOWN,
        images=np.random.default_rng(0).normal(size=(4, BOX, BOX)),
        image_labels=["1", "2", "3", "4"],
        pixel_size_angstrom=PIXEL,
        truth=truth,
    )


def evaluation_of(run: ReportRun) -> Evaluation:
    """The evaluation of a run that has one."""
    assert run.evaluation is not None
    return run.evaluation


def changed(evaluation: Evaluation, metric: str, **arrays: np.ndarray) -> Evaluation:
    """An evaluation with some arrays of a metric without places replaced, or the metric added."""
    place = {**evaluation[metric].get("", {}), **arrays}
    return replace(evaluation, results={**evaluation.results, metric: {"": place}})


class Reader(HTMLParser):
    """Tags, attributes and visible text of a page; fails where tags do not match."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]
