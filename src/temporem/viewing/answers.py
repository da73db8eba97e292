"""Answers to the requests of the page."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_urlsafe
from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from temporem.errors import TemporemError
from temporem.report.theme import RUN_COLOURS, STATE_COLOURS
from temporem.runs.latent_points import far_from_data
from temporem.viewing.clusters import clusters_document
from temporem.viewing.film import Camera, Film, film_file
from temporem.viewing.gallery import LEVEL_STEP, Gallery, Look, Panel
from temporem.viewing.latents import (
    latent_columns,
    packed_whole,
    predicted_document,
    read_points,
)
from temporem.viewing.page import content_policy, files, render_page
from temporem.viewing.pictures import FrameImages, grey_png
from temporem.viewing.results import Results, movie_scores
from temporem.viewing.sources import Shown, ShownRun, ShownTruth, points_key
from temporem.viewing.takeaway import Download, commands, selection_file, volume_file

_BYTES = "application/octet-stream"
_MOST_SIGMAS = 1e6
_MOST_BODY = 2**24  # bytes of a request
_SHADES = 16  # of the scale of states

_Answer = Callable[[Request], Response | Awaitable[Response]]


def make_app(gallery: Gallery) -> Starlette:
    """Make the application that answers the page; it has no protection of its own."""
    answers = Answers(gallery)
    gets: Mapping[str, _Answer] = {
        "/": answers.page,
        "/static/{name:path}": answers.static,
        "/describe": answers.describe,
        "/movie": answers.movie,
        "/mesh": answers.mesh,
        "/colour": answers.colour,
        "/pictures": answers.pictures,
        "/latents": answers.latents,
        "/path": answers.path,
        "/clusters": answers.clusters,
        "/result": answers.result,
        "/commands": answers.commands,
        "/volume.mrc": answers.volume,
        "/movie.{kind}": answers.film,
    }
    routes = [Route(path, answer, methods=["GET"]) for path, answer in gets.items()]
    # A list of frames may be too long for an address.
    routes.append(Route("/selection.star", answers.selection, methods=["POST"]))
    return Starlette(routes=routes, exception_handlers={TemporemError: _say_error})


class Answers:
    """One method for each address.

    Args:
        gallery: what is shown.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._images = {
            i: FrameImages(panel.shown.run)
            for i, panel in enumerate(gallery.panels)
            if isinstance(panel.shown, ShownRun)
        }

        runs = [one.shown for one in gallery.panels if isinstance(one.shown, ShownRun)]
        finished = [run.path for run in runs if not run.so_far]
        self._results = Results(finished, shows_halves=any(run.half for run in runs))
        self._filming = threading.Lock()

    def page(self, request: Request) -> Response:
        nonce = token_urlsafe(16)
        title = ", ".join(panel.shown.name for panel in self._gallery.panels)
        headers = {"Content-Security-Policy": content_policy(nonce)}
        return HTMLResponse(render_page(title, nonce), headers=headers)

    def static(self, request: Request) -> Response:
        found = files().get(request.path_params["name"])
        if found is None:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(found[0], media_type=found[1])

    def describe(self, request: Request) -> Response:
        """Describe panels, movies, first view and colours, and name results."""
        return JSONResponse(describe(self._gallery) | {"results": self._results.titles()})

    def movie(self, request: Request) -> Response:
        """List the frames of a movie."""
        return JSONResponse(describe_movie(self._gallery, _whole(request, "movie")))

    def mesh(self, request: Request) -> Response:
        """Give a surface: of a frame of a movie or path, or of one latent."""
        panel, sigmas = self._panel(request), _level(request)
        look = Look(_whole(request, "colour", 0), _whole(request, "mask", 0))
        if "z" in request.query_params:
            points = read_points(panel.run().run, request.query_params["z"])
            return Response(panel.mesh_of(points, sigmas, look), media_type=_BYTES)
        data = panel.mesh(_clip(request), _whole(request, "frame"), sigmas, look)
        return Response(data, media_type=_BYTES)

    def colour(self, request: Request) -> Response:
        """Say what a colour means: its words, and the value that has the full colour."""
        panel, number = self._panel(request), _whole(request, "colour")
        found, full = panel.uncertainty(number), panel.full_colour(number)
        text = f"{full:.2g} Å" if found.angstrom else f"{full / panel.levels.sigma:.2g} σ"
        return JSONResponse({"words": found.words, "full": text})

    def pictures(self, request: Request) -> Response:
        """Give a frame as observed and as predicted, and what is left."""
        index = _whole(request, "panel")
        panel = self._gallery.panel(index)
        if index not in self._images:
            raise TemporemError(f"{panel.shown.name} is no run")
        row = panel.row(_whole(request, "movie"), _whole(request, "frame"))
        found = self._images[index].of(row)
        wide, narrow = found.greys
        return JSONResponse(
            {
                "observed": grey_png(found.observed, wide),
                "predicted": grey_png(found.predicted, narrow),
                "residual": grey_png(found.residual, wide),
                "contrast": wide / narrow,
                "correlation": found.correlation,
            }
        )

    def latents(self, request: Request) -> Response:
        """Give the latents of all frames, and what colours them."""
        panel = self._panel(request)
        shown = panel.run()
        movie, place = np.zeros((2, shown.run.n_frames), dtype=np.int64)
        for index, rows in enumerate(shown.movies):
            movie[rows], place[rows] = index, np.arange(len(rows))
        columns = latent_columns(shown.run)
        document = columns.document() | {"predicted": predicted_document(shown, columns)}
        document |= {"movie": packed_whole(movie), "place": packed_whole(place)}
        document["times"] = _times(shown, np.arange(shown.run.n_frames))
        document["held_out"] = np.flatnonzero(shown.run.held_out).tolist()
        document["state"] = self._state()
        document["scores"] = movie_scores(shown)
        return JSONResponse(document)

    def path(self, request: Request) -> Response:
        """Keep latents as a path; returns its name and, where no frame is, a caution."""
        panel = self._panel(request)
        run = panel.run().run
        points = read_points(run, request.query_params.get("points", ""))
        key = points_key(points.z)
        panel.add_path(key, points)
        return JSONResponse(
            {"id": key, "labels": points.labels, "caution": far_from_data(run, points)}
        )

    def clusters(self, request: Request) -> Response:
        """Group the frames of a run, with a volume of each group."""
        return JSONResponse(clusters_document(self._panel(request), _whole(request, "k")))

    def result(self, request: Request) -> Response:
        """Give a part of what a report says."""
        return JSONResponse(self._results.part(request.query_params.get("name", "")))

    def commands(self, request: Request) -> Response:
        """Give command lines that make what is seen."""
        panel, clip, frame = self._panel(request), _clip(request), _whole(request, "frame")
        if frame >= panel.length(clip):
            raise TemporemError(f"there is no volume {frame}")
        found = commands(self._gallery.panels, panel, clip, frame, _level(request))
        return JSONResponse(found)

    def volume(self, request: Request) -> Response:
        """Give a volume as an MRC file."""
        panel = self._panel(request)
        return _saved(volume_file(panel, _clip(request), _whole(request, "frame")))

    def film(self, request: Request) -> Response:
        """Give a movie of what is shown: all panels, or the one of a path."""
        panels, clip = self._gallery.panels, _clip(request)
        if isinstance(clip, str):
            panels = [self._panel(request)]
        levels, masks = _list(request, "levels"), _list(request, "masks")
        if not len(levels) == len(masks) == len(panels):
            raise TemporemError("there must be a level and a mask for every panel")
        if min(masks) < 0:
            raise TemporemError("there is no such mask")
        camera = Camera.read(request.query_params.get("camera", ""))
        speed = _number(request.query_params.get("speed", ""), "speed")
        whole = [int(mask) for mask in masks]
        plain = request.query_params.get("plain") == "true"
        film = Film(panels, clip, levels, camera, masks=whole, plain=plain)
        if not self._filming.acquire(blocking=False):
            raise TemporemError("another movie is being drawn", hint="wait until it is saved")
        try:
            return _saved(film_file(film, request.path_params["kind"], speed))
        finally:
            self._filming.release()

    async def selection(self, request: Request) -> Response:
        """Give frames as rows of the file that they came from."""
        shown = self._panel(request).shown
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > _MOST_BODY:
                raise TemporemError("the list of frames is too long")
        try:
            rows = json.loads(bytes(data))
        except (ValueError, RecursionError):
            rows = None
        if not isinstance(rows, list) or not all(type(row) is int for row in rows):
            raise TemporemError("the selection is no list of rows")
        if any(not 0 <= row < len(shown.frame_numbers) for row in rows):
            raise TemporemError("there are no such frames")
        return _saved(await run_in_threadpool(selection_file, shown, rows))

    def _panel(self, request: Request) -> Panel:
        return self._gallery.panel(_whole(request, "panel"))

    def _state(self) -> dict[str, Any] | None:
        """The true state of every frame, if a truth is shown."""
        for panel in self._gallery.panels:
            if isinstance(panel.shown, ShownTruth):
                truth = panel.shown.truth
                name = truth.parameter_names[0].replace("_", " ")
                return {"name": name, "values": truth.parameters[:, 0].tolist()}
        return None


def describe(gallery: Gallery) -> dict[str, Any]:
    """Describe panels, movies, first view and colours: a JSON value."""
    first = gallery.panels[0].shown
    movies = [
        {"name": first.movie_name(i), "frames": len(rows)} for i, rows in enumerate(first.movies)
    ]
    shades = STATE_COLOURS(np.linspace(0, 1, _SHADES))
    return {
        "panels": [_describe(panel) for panel in gallery.panels],
        "movies": movies,
        "view": _describe_view(gallery),
        "colours": {"scale": [to_hex(shade) for shade in shades], "classes": list(RUN_COLOURS)},
    }


def describe_movie(gallery: Gallery, index: int) -> dict[str, Any]:
    """List the frames of a movie, by its index: a JSON value.

    Raises:
        TemporemError: there is no such movie.
    """
    panel = gallery.panels[0]
    rows = panel.rows(index)
    return {
        "name": panel.shown.movie_name(index),
        "rows": rows.tolist(),
        "numbers": panel.shown.frame_numbers[rows].tolist(),
        "times": _times(panel.shown, rows),
    }


def _describe(panel: Panel) -> dict[str, Any]:
    shown, levels = panel.shown, panel.levels
    return {
        "name": shown.name,
        "kind": shown.kind,
        "latents": isinstance(shown, ShownRun) and shown.latents is not None,
        "images": isinstance(shown, ShownRun),
        "so_far": shown.so_far if isinstance(shown, ShownRun) else "",
        "colours": [one.name for one in shown.uncertainties],
        "masks": list(shown.masks),
        "dark": levels.sign < 0,
        "box": shown.box,
        "pixel": shown.pixel_size_angstrom,
        "level": {
            "start": levels.start,
            "low": levels.low,
            "high": levels.high,
            "step": LEVEL_STEP,
        },
    }


def _describe_view(gallery: Gallery) -> dict[str, Any]:
    """First direction of the camera; lengths in Å."""
    view, shown = gallery.view, gallery.panels[0].shown
    size = shown.pixel_size_angstrom
    return {
        "rotation": view.rotation.tolist(),
        "centre": [size * length for length in view.centre],
        "extent": size * (view.extent or shown.box),
    }


def _times(shown: Shown, rows: np.ndarray) -> list[float] | None:
    times = shown.times_seconds[rows]
    return times.tolist() if np.isfinite(times).all() else None


def _clip(request: Request) -> int | str:
    """A path by its name, or a movie by its index."""
    path = request.query_params.get("path")
    return _whole(request, "movie") if path is None else path


def _level(request: Request) -> float:
    return _number(request.query_params.get("level", ""), "level")


def _list(request: Request, name: str) -> list[float]:
    texts = request.query_params.get(name, "")[:400].split(",")
    return [_number(text, name) for text in texts]


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _MOST_SIGMAS:
        raise TemporemError(f"{name}={text:.40}", expected="a number")
    return value


def _whole(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise TemporemError(f"{name}={text:.40}", expected="a whole number")
    return int(text)


def _saved(download: Download) -> Response:
    # Names of files hold only letters, digits, dots and dashes (runs/series.py).
    headers = {"Content-Disposition": f'attachment; filename="{download.name}"'}
    return Response(download.data, media_type=_BYTES, headers=headers)


def _say_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
