"""The server behind the page: what it answers, and how it listens."""

from __future__ import annotations

import math
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from uvicorn import Config, Server

from temporem.errors import TemporemError
from temporem.viewing.gallery import LEVEL_STEP, Gallery, Panel
from temporem.viewing.guard import Guard, new_token
from temporem.viewing.page import content_policy, files, render_page

LOOPBACK = "127.0.0.1"

_MOST_SIGMAS = 1e6


def make_app(gallery: Gallery) -> Starlette:
    """Make the application that answers the page; it has no protection of its own."""
    return Starlette(
        routes=_Answers(gallery).routes(), exception_handlers={TemporemError: _say_error}
    )


def open_socket(port: int = 0) -> socket.socket:
    """Listen on this computer only; on a port that is free if ``port`` is 0.

    Raises:
        TemporemError: the port is taken, or not allowed.
    """
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TemporemError(
            f"cannot listen on port {port}: {reason}",
            expected="a free port from 1024 to 65535",
            hint="leave out --port to take any free one",
        ) from None


class ViewServer:
    """A server of one gallery, on a socket that listens already.

    Args:
        gallery: what is shown.
        listening: from :func:`open_socket`.

    Attributes:
        address: what the browser opens; it holds the token.
    """

    def __init__(self, gallery: Gallery, listening: socket.socket) -> None:
        token, port = new_token(), listening.getsockname()[1]
        self.address = f"http://{LOOPBACK}:{port}/{token}/"
        self._socket = listening
        config = Config(
            Guard(make_app(gallery), token, port),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = Server(config)

    @property
    def started(self) -> bool:
        """True once requests are answered."""
        return self._server.started

    def run(self) -> None:
        """Answer until :meth:`stop` or Ctrl-C."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End :meth:`run` soon."""
        self._server.should_exit = True


class _Answers:
    """Answers to the requests of the page."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def routes(self) -> list[Route]:
        gets: Mapping[str, Callable[[Request], Response]] = {
            "/": self.page,
            "/static/{name:path}": self.static,
            "/describe": self.describe,
            "/movie": self.movie,
            "/mesh": self.mesh,
        }
        return [Route(path, answer, methods=["GET"]) for path, answer in gets.items()]

    def page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        title = ", ".join(panel.shown.name for panel in self._gallery.panels)
        headers = {"Content-Security-Policy": content_policy(nonce)}
        return HTMLResponse(render_page(title, nonce), headers=headers)

    def static(self, request: Request) -> Response:
        found = files().get(request.path_params["name"])
        if found is None:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(found[0], media_type=found[1])

    def describe(self, request: Request) -> Response:
        """Describe panels and movies."""
        first = self._gallery.panels[0].shown
        movies = [
            {"name": first.movie_name(i), "frames": len(rows)}
            for i, rows in enumerate(first.movies)
        ]
        panels = [_describe(panel) for panel in self._gallery.panels]
        view = _describe_view(self._gallery)
        return JSONResponse({"panels": panels, "movies": movies, "view": view})

    def movie(self, request: Request) -> Response:
        """Frames of a movie."""
        panel = self._gallery.panels[0]
        index = _whole(request, "movie")
        rows = [panel.row(index, frame) for frame in range(panel.length(index))]
        times = panel.shown.times_seconds[rows]
        known = bool(_all_finite(times.tolist()))
        return JSONResponse(
            {
                "name": panel.shown.movie_name(index),
                "rows": rows,
                "numbers": panel.shown.frame_numbers[rows].tolist(),
                "times": times.tolist() if known else None,
            }
        )

    def mesh(self, request: Request) -> Response:
        """A surface of a frame of a movie."""
        panel = self._panel(request)
        sigmas = _number(request, "level", most=_MOST_SIGMAS)
        data = panel.mesh(_whole(request, "movie"), _whole(request, "frame"), sigmas)
        return Response(data, media_type="application/octet-stream")

    def _panel(self, request: Request) -> Panel:
        return self._gallery.panel(_whole(request, "panel"))


def _describe(panel: Panel) -> dict[str, Any]:
    shown, levels = panel.shown, panel.levels
    return {
        "name": shown.name,
        "kind": shown.kind,
        "box": shown.box,
        "pixel": shown.pixel_size_angstrom,
        "level": {
            "start": levels.start,
            "low": levels.low,
            "high": levels.high,
            "step": LEVEL_STEP,
            "mean": levels.mean,
            "sigma": levels.sigma,
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


def _whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise TemporemError(f"{name}={text:.40}", expected="a whole number")
    return int(text)


def _number(request: Request, name: str, *, most: float) -> float:
    text = request.query_params.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= most:
        raise TemporemError(f"{name}={text:.40}", expected="a number")
    return value


def _all_finite(values: list[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _say_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
