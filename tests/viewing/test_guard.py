"""Attacks on the server, by real requests: nothing that is not its own page gets an answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from temporem.viewing import server as module
from temporem.viewing.server import ViewServer


@pytest.fixture
def asked(server: ViewServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Requests that reach anything behind the guard."""
    seen: list[str] = []
    app = server._server.config.app  # the guard itself
    inner = app.app

    async def record(scope, receive, send) -> None:
        seen.append(scope["path"])
        await inner(scope, receive, send)

    object.__setattr__(app, "app", record)
    yield seen
    object.__setattr__(app, "app", inner)


def ask(
    server: ViewServer, path: str, *, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Send a request as it is, without what libraries tidy up."""
    url = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=120)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    sent = {"Host": url.netloc} | {name.replace("_", "-"): text for name, text in headers.items()}
    for name, text in sent.items():
        connection.putheader(name, text)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


def own(server: ViewServer, path: str = "") -> str:
    return urlsplit(server.address).path + path


def test_own_page_is_answered(server: ViewServer) -> None:
    status, body, headers = ask(server, own(server))
    assert status == 200
    assert b"temporem view" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"


def test_it_listens_on_this_computer_only(server: ViewServer) -> None:
    assert server._socket.getsockname()[0] == "127.0.0.1"


def test_tokens_are_long_and_never_the_same(server: ViewServer) -> None:
    tokens = {module.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32


NEWER = (
    "clusters?panel=0&k=2",
    "result?name=verdict",
    "movie.gif?panel=0&movie=0",
    "colour?panel=0",
)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/describe", "/static/app.js", "//describe", "/x/describe"),
        *(f"/{address}" for address in NEWER),
    ],
)
def test_address_without_the_token_is_refused(server: ViewServer, asked, path) -> None:
    status, body, headers = ask(server, path)
    assert status == 403
    assert b"temporem view printed" in body
    assert headers["cache-control"] == "no-store"
    assert asked == []


def test_wrong_token_is_refused(server: ViewServer, asked) -> None:
    right = own(server).strip("/")
    for wrong in (right[:-1], right[:-1] + "é"[:0] + "!", right + "x", right.swapcase(), "%00"):
        assert ask(server, f"/{wrong}/describe")[0] == 403
    assert asked == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]:80"])
def test_other_host_is_refused(server: ViewServer, asked, host) -> None:
    port = urlsplit(server.address).port
    assert ask(server, own(server, "describe"), Host=host.format(port=port))[0] == 421
    assert asked == []


def test_localhost_is_this_computer_too(server: ViewServer) -> None:
    port = urlsplit(server.address).port
    assert ask(server, own(server, "describe"), Host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_are_refused(server: ViewServer, asked, headers) -> None:
    port = urlsplit(server.address).port
    sent = {name: text.format(port=port) for name, text in headers.items()}
    for address in ("describe", *NEWER):
        assert ask(server, own(server, address), **sent)[0] == 403
    assert asked == []


def test_own_origin_is_answered(server: ViewServer) -> None:
    origin = server.address[: server.address.index("/", 7)]
    path = own(server, "describe")
    assert ask(server, path, Origin=origin, Sec_Fetch_Site="same-origin")[0] == 200
    assert "access-control-allow-origin" not in ask(server, path, Origin=origin)[2]


@pytest.mark.parametrize(
    "name",
    [
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/%2e%2e/__init__.py",
        "/etc/passwd",
        "vendor/../../page.py",
        "vendor/VENDORED",
        "",
    ],
)
def test_no_path_leaves_the_page(server: ViewServer, name) -> None:
    status, body, _ = ask(server, own(server, f"static/{name}"))
    assert status in (404, 400, 403)
    assert b"import" not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    "query",
    [
        "panel=9&movie=0&frame=0&level=3",
        "panel=0&movie=99&frame=0&level=3",
        "panel=0&movie=0&frame=99&level=3",
        "panel=0&movie=../../etc&frame=0&level=3",
        "panel=-1&movie=0&frame=0&level=3",
        "panel=0&movie=0&frame=0&level=nan",
        "panel=0&movie=0&frame=0&level=1e400",
        "panel=0&movie=0&frame=0",
        "panel=0&movie=٣&frame=0&level=3",
        "panel=0&path=nowhere&frame=0&level=3",
        "panel=1&z=0,0&level=3",
        "",
    ],
)
def test_unknown_things_are_told_in_one_sentence(server: ViewServer, query) -> None:
    from urllib.parse import quote

    status, body, _ = ask(server, own(server, f"mesh?{quote(query, safe='=&')}"))
    assert status == 400
    assert set(json.loads(body)) == {"error"}
    assert b"Traceback" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_reading_is_allowed(server: ViewServer, method) -> None:
    for path in ("", "describe", "mesh", "static/app.js", *NEWER):
        assert ask(server, own(server, path), method=method)[0] == 405


def test_nothing_is_written(server: ViewServer, linear_run: Path, tiny_dataset: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        files = [p for folder in (linear_run, tiny_dataset) for p in folder.rglob("*")]
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = state()
    ask(server, own(server, "describe"))
    ask(server, own(server, "mesh?panel=0&movie=0&frame=0&level=3"))
    camera = "1,0,0,0,1,0,0,0,1,0,0,128"
    drawn = f"movie.gif?panel=0&movie=0&levels=3,3&masks=0,0&speed=8&camera={camera}"
    for address in ("clusters?panel=0&k=2", "result?name=verdict", drawn):
        assert ask(server, own(server, address))[0] == 200
    assert state() == before
