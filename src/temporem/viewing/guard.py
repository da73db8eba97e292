"""Who may ask the server for anything: the page that it opened, and nobody else."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TOKEN_BYTES = 24
_OWN_PAGE = ("same-origin", "none")  # of Sec-Fetch-Site: the page itself, or typed by the user

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer."""


def new_token() -> str:
    """Draw a word that nobody guesses, of 32 letters and digits for addresses."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


@dataclass(frozen=True)
class Guard:
    """Answers requests only of the page that the user opened.

    A request must name this computer as its host, so that no name that leads here serves another
    site (DNS rebinding). Its path begins with the token. If the browser says which page asks, it is
    this one. Everything else is refused before anything is looked up.

    Attributes:
        app: answers what may pass.
        token: first part of every path.
        port: where the server listens.
    """

    app: ASGIApp
    token: str = field(repr=False)
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        prefix = f"/{self.token}"
        inner = {**scope, "path": scope["path"][len(prefix) :], "root_path": ""}
        await self.app(inner, receive, _with_headers(send))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of this server in requests."""
        return tuple(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost"))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            return PlainTextResponse("This server answers only to its own address.", 421)
        begin, path = f"/{self.token}/".encode(), str(scope["path"]).encode()
        if not hmac.compare_digest(path[: len(begin)], begin):
            return PlainTextResponse("Open the address that temporem view printed.", 403)
        origin = headers.get("origin")
        if origin is not None and origin not in [f"http://{host}" for host in self.hosts]:
            return PlainTextResponse("Another site may not ask.", 403)
        if headers.get("sec-fetch-site", "none") not in _OWN_PAGE:
            return PlainTextResponse("Another site may not ask.", 403)
        return None


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            extra = [
                (name.lower().encode(), value.encode())
                for name, value in HEADERS.items()
                if name.lower().encode() not in known
            ]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return add
