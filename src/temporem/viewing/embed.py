"""The player inside a page that opens from a disk: its modules, and meshes as text."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

from markupsafe import Markup

from temporem.errors import TemporemError
from temporem.viewing.answers import describe, describe_movie
from temporem.viewing.gallery import LEVEL_STEP, Gallery
from temporem.viewing.page import MODULES, PLAYER_MODULES, import_map, read

_CORE = "three/core"
_EMBEDDED = {"temporem/embedded": "embedded.js"}
_STEPS_APART = 2  # multiples of LEVEL_STEP between the levels of an embedded player
_LEVELS_AROUND = 2  # at most, on each side of the first
_TEMPLATE = """<style>{style}</style>
<script type="importmap">{imports}</script>
<div id="{name}"></div>
<script type="application/json" id="{name}-data">{data}</script>
<script type="module">import {{ start }} from "temporem/embedded"; start("{name}");</script>"""


class NoRoom(TemporemError):
    """Surfaces of one movie take more room than the page has."""


def player_html(
    gallery: Gallery,
    movies: Sequence[int],
    *,
    name: str = "player",
    most_bytes: int = 12 * 2**20,
) -> Markup:
    """Make the HTML of a player that needs no server and no other file.

    A page may hold one. It also needs the custom properties (colours) of ``report/style.css``. All
    frames of a movie are there at the first level. Movies from the end of the list are left out if
    there is no room for them; lower and higher levels are added while there is.

    Args:
        gallery: the panels; see ``most_voxels`` of :func:`temporem.viewing.sources.open_sources`
            for smaller meshes.
        movies: indices of the movies to choose from, at least one.
        name: id of the player's element, of letters and digits.
        most_bytes: room for meshes.

    Raises:
        NoRoom: the first movie at the first level alone does not fit.
        TemporemError: there is no such movie.
    """
    if not movies or not (name.isascii() and name.isalnum()):
        raise TemporemError("a player needs a movie, and a name of letters and digits")
    packed = _pack(gallery, movies, most_bytes)
    movies = movies[: packed.n_movies]
    about = describe(gallery)
    for panel, levels in zip(about["panels"], gallery.panels, strict=True):
        start, step = levels.levels.start, _STEPS_APART * LEVEL_STEP
        around = packed.around * step
        panel["level"] = {
            "start": start,
            "low": start - around,
            "high": start + around,
            "step": step,
        }
    about["movies"] = [about["movies"][index] for index in movies]
    data = {
        "about": about,
        "movies": [describe_movie(gallery, index) for index in movies],
        "meshes": packed.texts,
    }
    text = json.dumps(data).replace("<", "\\u003c")
    style = read("player.css").decode("utf-8")
    return Markup(
        _TEMPLATE.format(style=style, imports=import_map(_addresses()), name=name, data=text)
    )


@dataclass
class _Packed:
    """Meshes as text, by ``panel/movie/frame/steps from the first level``."""

    most_bytes: int
    texts: dict[str, str] = field(default_factory=dict)
    n_movies: int = 0
    around: int = 0
    n_bytes: int = 0

    def add(self, meshes: Iterator[tuple[str, bytes]]) -> bool:
        """Take all of these meshes, or none if they do not fit."""
        more: dict[str, str] = {}
        n_bytes = self.n_bytes
        for key, data in meshes:
            if key in self.texts or key in more:
                continue
            more[key] = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")
            n_bytes += len(more[key])
            if n_bytes > self.most_bytes:
                return False
        self.texts |= more
        self.n_bytes = n_bytes
        return True


def _pack(gallery: Gallery, movies: Sequence[int], most_bytes: int) -> _Packed:
    packed = _Packed(most_bytes)
    for place, movie in enumerate(movies):
        if not packed.add(_meshes(gallery, place, movie, 0)):
            break
        packed.n_movies += 1
    if packed.n_movies == 0:
        raise NoRoom(
            f"the surfaces of one movie take more than {most_bytes / 2**20:.0f} MiB",
            hint="choose a shorter movie, or smaller volumes",
        )
    for around in range(1, _LEVELS_AROUND + 1):
        shown = enumerate(movies[: packed.n_movies])
        meshes = chain.from_iterable(_meshes(gallery, *one, around) for one in shown)
        if not packed.add(meshes):
            break
        packed.around = around
    return packed


def _meshes(gallery: Gallery, place: int, movie: int, around: int) -> Iterator[tuple[str, bytes]]:
    """Meshes of the frames of a movie at the levels ``around`` steps from the first."""
    first = gallery.panels[0].levels.start
    for number, panel in enumerate(gallery.panels):
        start = panel.levels.start
        # As the player rounds: levels of other panels keep their distance to their own first one.
        for steps in {math.floor(sign * around * start / first + 0.5 + 1e-9) for sign in (-1, 1)}:
            sigmas = start + steps * _STEPS_APART * LEVEL_STEP
            if sigmas <= 0:
                continue
            for frame in range(panel.length(movie)):
                yield f"{number}/{place}/{frame}/{steps}", panel.mesh(movie, frame, sigmas)


@cache
def _addresses() -> dict[str, str]:
    """Modules as ``data:`` addresses, which know no neighbours: so all go by name."""
    found: dict[str, Any] = {name: read(MODULES[name]) for name in PLAYER_MODULES}
    found |= {name: read(file) for name, file in _EMBEDDED.items()}
    core = b'"./three.core.min.js"'
    assert found["three"].count(core) == 2
    found["three"] = found["three"].replace(core, f'"{_CORE}"'.encode())
    found[_CORE] = read("vendor/three/three.core.min.js")
    return {
        name: "data:text/javascript;base64," + base64.b64encode(text).decode("ascii")
        for name, text in found.items()
    }
