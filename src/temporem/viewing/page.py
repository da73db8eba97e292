"""The page: HTML, and the files that it loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

import jinja2

MODULES: Mapping[str, str] = {
    "three": "vendor/three/three.module.min.js",
    "three/controls": "vendor/three/OrbitControls.js",
    "temporem/mesh": "mesh.js",
    "temporem/clock": "clock.js",
    "temporem/stage": "stage.js",
    "temporem/store": "store.js",
    "temporem/player": "player.js",
    "temporem/server": "server.js",
    "temporem/draw": "draw.js",
    "temporem/figures": "figures.js",
    "temporem/looks": "looks.js",
    "temporem/takeaway": "takeaway.js",
    "temporem/pictures": "pictures.js",
    "temporem/latents": "latents.js",
    "temporem/scatter": "scatter.js",
    "temporem/clusters": "clusters.js",
    "temporem/timeline": "timeline.js",
    "temporem/results": "results.js",
    "temporem/movies": "movies.js",
    "temporem/app": "app.js",
}
"""Names by which modules import each other, and their files."""

PLAYER_MODULES = (
    *("three", "three/controls"),
    *("temporem/mesh", "temporem/clock", "temporem/stage", "temporem/store", "temporem/player"),
)
"""Modules of the player alone, which a report embeds."""

_STYLES = ("player.css", "view.css")
_TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def files() -> Mapping[str, tuple[bytes, str]]:
    """Content and media type of every file that a page may load, by name.

    The names are a fixed list, so that no address leads to another file.
    """
    extra = ("vendor/three/three.core.min.js", *_STYLES)
    found = {name: read(name) for name in (*MODULES.values(), *extra)}
    found["style.css"] = resources.files("temporem.report").joinpath("style.css").read_bytes()
    return {name: (data, _TYPES[name[name.rindex(".") :]]) for name, data in found.items()}


def read(name: str) -> bytes:
    """Content of a file of the page, by its name in ``static/``."""
    return resources.files("temporem.viewing").joinpath("static", name).read_bytes()


def import_map(addresses: Mapping[str, str]) -> str:
    """JSON that tells a browser where modules are."""
    text = json.dumps({"imports": dict(addresses)})
    return text.replace("<", "\\u003c")


def render_page(title: str, nonce: str) -> str:
    """Write the HTML of the page; its only inline script carries ``nonce``."""
    addresses = {name: f"./static/{file}" for name, file in MODULES.items()}
    return (
        _templates()
        .get_template("view.html.jinja")
        .render(title=title, nonce=nonce, import_map=import_map(addresses), styles=_STYLES)
    )


def content_policy(nonce: str) -> str:
    """Forbid the page everything but its own server."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@cache
def _templates() -> jinja2.Environment:
    loader = jinja2.PackageLoader("temporem.viewing", ".")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
