"""``temporem view``."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import refuse_missing

_is_shown = refuse_missing(
    Path.is_dir,
    "is not a folder",
    expected="a run, or a dataset with its truth",
    hint="make a run with temporem reconstruct",
)


def view(
    shown: Annotated[
        list[Path],
        Parameter(
            help="Run folders; also a simulated dataset, for its truth.",
            negative="",
            show_default=False,
            validator=_is_shown,
        ),
    ],
    /,
    *,
    half_sets: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Show the two half sets of a run, or its half maps, instead of the run.",
        ),
    ] = False,
    port: Annotated[int, Parameter(help="Port of the page on this computer; 0 takes any.")] = 0,
    no_open: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Do not open the page in the browser."),
    ] = False,
) -> None:
    """Look at reconstructions in the browser: play movies, and move through the latent space.

    Several runs of one dataset, or a run and its dataset, stand side by side. The page comes from
    this computer and is open to nobody else; Ctrl-C ends it.

    Example:  temporem view 7bcq-run
    Example:  temporem view linear-run tempor-run movies
    Example:  temporem view tempor-run --half-sets
    """
    from temporem.viewing.gallery import Gallery
    from temporem.viewing.server import ViewServer, open_socket
    from temporem.viewing.sources import open_half_sets, open_sources

    with open_socket(port) as listening:
        with progress_bar("Opening"):
            gallery = Gallery(open_half_sets(shown) if half_sets else open_sources(shown))
            gallery.measure()
        server = ViewServer(gallery, listening)
        say(f"Page: {server.address}")
        say("Ctrl-C ends it.")
        if not no_open:
            webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.run()
