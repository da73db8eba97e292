"""The server behind the page: how it listens, and how it ends."""

from __future__ import annotations

import socket

from uvicorn import Config, Server

from temporem.errors import TemporemError
from temporem.viewing.answers import make_app
from temporem.viewing.gallery import Gallery
from temporem.viewing.guard import Guard, new_token

LOOPBACK = "127.0.0.1"


def open_socket(port: int = 0) -> socket.socket:
    """Listen on this computer only; on a port that is free if ``port`` is 0.

    Raises:
        TemporemError: the port is taken, or not allowed.
    """
    try:
        return socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
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
