"""A server of the page that answers while a test lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from temporem.viewing.gallery import Gallery
from temporem.viewing.server import ViewServer, open_socket


@contextmanager
def serving(gallery: Gallery) -> Iterator[ViewServer]:
    """A server that answers."""
    with open_socket() as listening:
        server = ViewServer(gallery, listening)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield server
        server.stop()
        thread.join()
