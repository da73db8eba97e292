"""Downloads: what is kept, what a server may not do, and what is said of it."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from temporem.errors import TemporemError
from temporem.structures import download
from temporem.structures.download import download_entry, require_intact
from temporem.structures.sources import cache_folder, find_structure

ENTRY = gzip.compress(b"data_1ABC\n#\n_entry.id 1ABC\n" + bytes(range(256)) * 40, mtime=0)
PORTAL = b"<!DOCTYPE html><html>Please log in</html>"

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(content: bytes, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    """An answer of a server; ``length`` is what it claims, headers have _ for -."""

    def give(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        if length != -1:
            request.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return give


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """A Protein Data Bank on this machine, which gives one answer to all requests."""
    given: list[Answer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given[-1](self)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TEMPOREM_STRUCTURES", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setattr(
        download, "DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}/{{code}}.cif.gz"
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield given.append
    server.shutdown()
    server.server_close()


def test_download_is_kept_with_its_checksum(serve: Callable[[Answer], None]) -> None:
    serve(answer(ENTRY))
    path = find_structure("1abc")
    assert path == cache_folder() / "1abc.cif.gz"
    assert path.read_bytes() == ENTRY
    recorded = (path.parent / "1abc.cif.gz.sha256").read_text()
    assert recorded == f"{hashlib.sha256(ENTRY).hexdigest()}  1abc.cif.gz\n"
    serve(answer(b"", 503))
    assert find_structure("1ABC") == path  # from the cache
    assert sorted(p.name for p in path.parent.iterdir()) == ["1abc.cif.gz", "1abc.cif.gz.sha256"]


BAD_ANSWERS = {
    "no entry": (answer(b"", 404), "has no entry '1abc'"),
    "busy": (answer(b"", 503), "does not serve '1abc' at the moment .*503.*; try again later"),
    "forbidden": (answer(b"", 403), "does not serve '1abc' at the moment .*403"),
    "portal": (answer(PORTAL), "sent a web page; it was discarded.*log in to the network"),
    "text": (answer(b"hello"), "sent no gzipped file"),
    "nothing": (answer(b""), "sent no gzipped file"),
    "zipped portal": (answer(gzip.compress(PORTAL)), "sent something else than this entry"),
    "other entry": (answer(gzip.compress(b"data_2ABC\n")), "sent something else than this entry"),
    "cut connection": (
        answer(ENTRY[:100], length=len(ENTRY)),
        f"connection was cut after 100 of {len(ENTRY):,} bytes",
    ),
    "cut file": (answer(ENTRY[:-20]), "sent a file that is cut off"),
    "damaged file": (
        answer(ENTRY[:40] + b"\xff" * 20 + ENTRY[60:]),
        "sent a (damaged file|file t)",
    ),
    "redirection to http": (
        answer(b"", 302, Location="http://127.0.0.1:1/1ABC.cif.gz"),
        "redirects to http://127.0.0.1:1/1ABC.cif.gz, which is not https",
    ),
    "redirection to a file": (answer(b"", 302, Location="file:///etc/passwd"), "not allowed"),
    "nonsense length": (answer(ENTRY, length=-1, Content_Length="many"), "cannot download"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answer_is_one_clear_line_and_nothing_is_kept(
    case: str, serve: Callable[[Answer], None]
) -> None:
    given, message = BAD_ANSWERS[case]
    serve(given)
    with pytest.raises(TemporemError, match=message) as error:
        find_structure("1abc")
    assert "\n" not in str(error.value)
    assert not cache_folder().exists()


@pytest.mark.parametrize("length", [None, -1])
def test_a_download_that_is_too_large_is_stopped(
    serve: Callable[[Answer], None], tmp_path: Path, length: int | None
) -> None:
    serve(answer(ENTRY, length=length))
    with pytest.raises(TemporemError, match="sent more than 0 MB"):
        download_entry("1abc", tmp_path, most_bytes=100)


def test_a_download_that_takes_too_long_is_stopped(
    serve: Callable[[Answer], None], tmp_path: Path
) -> None:
    serve(answer(ENTRY))
    with pytest.raises(TemporemError, match="not done after 0 s"):
        download_entry("1abc", tmp_path, most_seconds=0)


def test_a_file_that_has_changed_is_refused(serve: Callable[[Answer], None]) -> None:
    serve(answer(ENTRY))
    find_structure("1abc").write_bytes(b"other")
    with pytest.raises(TemporemError, match="has changed since its download"):
        find_structure("1abc")


def test_a_web_page_that_was_kept_once_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1abc.cif.gz"
    path.write_bytes(PORTAL)
    require_intact(path)  # put there by hand, for all that is known
    checksum = hashlib.sha256(PORTAL).hexdigest()
    path.with_name("1abc.cif.gz.sha256").write_text(f"{checksum}  1abc.cif.gz\n")
    with pytest.raises(TemporemError, match="is a web page; delete both files"):
        require_intact(path)


def test_a_cache_that_cannot_be_written_is_named(
    serve: Callable[[Answer], None], tmp_path: Path
) -> None:
    serve(answer(ENTRY))
    (tmp_path / "file").touch()
    with pytest.raises(TemporemError, match="XDG_CACHE_HOME"):
        download_entry("1abc", tmp_path / "file" / "structures")
