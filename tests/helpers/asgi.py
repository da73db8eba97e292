"""Requests to an application without a server."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]


def ask(app: Starlette, address: str, *, method: str = "GET", body: bytes = b"") -> Answer:
    """Send one request."""
    url = urlsplit(address)
    sent: list[dict] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": url.path,
        "raw_path": url.path.encode(),
        "query_string": quote(url.query, safe="=&,;-.").encode(),
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    # In a thread of its own: this one may have the loop of a browser that other tests drive.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, app(scope, receive, send)).result()
    start, *parts = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], b"".join(part.get("body", b"") for part in parts), headers)


def document(app: Starlette, address: str) -> Any:
    """Get a JSON value."""
    answer = ask(app, address)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)
