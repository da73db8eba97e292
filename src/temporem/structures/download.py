"""Entries of the Protein Data Bank, downloaded once and kept in the user's cache.

A download must be a whole gzipped mmCIF file of the entry asked for, with the atoms that a preset
expects of it. Its SHA-256 is recorded beside it and checked whenever the file is used.
"""

from __future__ import annotations

import hashlib
import http.client
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from temporem.errors import TemporemError
from temporem.io.files import atomic_write
from temporem.structures.pinned import require_pinned
from temporem.version import __version__

DOWNLOAD_URL = "https://files.rcsb.org/download/{code}.cif.gz"
"""Address of an entry at the Protein Data Bank."""

MOST_BYTES = 2**28
"""Largest download; the largest entries take 80 MB."""

MOST_SECONDS = 600.0
"""Longest download."""

_TIMEOUT_SECONDS = 30.0  # without a byte
_BLOCK_BYTES = 2**16
_NO_ENTRY = (404, 410)
_OFFLINE = "when offline, put the file in a folder and name it with --structures"


def download_entry(
    code: str,
    folder: Path,
    *,
    most_bytes: int = MOST_BYTES,
    most_seconds: float = MOST_SECONDS,
) -> Path:
    """Download an entry of the Protein Data Bank as mmCIF into a folder.

    Args:
        code: PDB code, in any case.
        folder: where the file and its checksum are kept; made if it is missing.
        most_bytes: largest file to accept.
        most_seconds: longest time to wait for all of it.

    Raises:
        TemporemError: there is no such entry, the server cannot be reached or sends something else,
            the connection is cut, a limit is exceeded, the atoms are not those of a preset, or the
            folder cannot be written.
    """
    url = DOWNLOAD_URL.format(code=code.upper())
    content = _fetch(code, url, most_bytes, most_seconds)
    problem = _problem(content, code)
    if problem is not None:
        raise TemporemError(
            f"{url} sent {problem}; it was discarded",
            expected=f"the entry {code.upper()} as gzipped mmCIF",
            hint=f"try again, log in to the network if it asks for it, or {_OFFLINE}",
        )
    target = folder / f"{code.lower()}.cif.gz"
    with tempfile.TemporaryDirectory() as scratch:
        unchecked = Path(scratch) / target.name
        unchecked.write_bytes(content)
        require_pinned(unchecked, code)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TemporemError(
            f"cannot make the folder {folder}: {error.strerror}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    # The checksum first: a file that is there always has one.
    with atomic_write(_checksum_file(target)) as partial:
        partial.write_text(f"{_checksum(content)}  {target.name}\n", encoding="ascii")
    with atomic_write(target) as partial:
        partial.write_bytes(content)
    return target


def require_intact(path: Path) -> None:
    """Raise a TemporemError if a downloaded file has changed or is not an entry.

    Files without a recorded checksum were put into the cache by hand and are not checked.
    """
    recorded = _checksum_file(path)
    if not recorded.is_file():
        return
    content = path.read_bytes()
    if recorded.read_text("utf-8", errors="replace").split()[:1] != [_checksum(content)]:
        problem = f"has changed since its download: its SHA-256 is not that in {recorded.name}"
    else:
        found = _problem(content, path.name.split(".")[0])
        problem = f"is {found}" if found else ""
    if problem:
        raise TemporemError(f"{path} {problem}", hint="delete both files to download it again")


def _fetch(code: str, url: str, most_bytes: int, most_seconds: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": f"temporem/{__version__}"})
    started, content = time.monotonic(), bytearray()
    try:
        with urllib.request.build_opener(_HttpsOnly()).open(request, timeout=_TIMEOUT_SECONDS) as r:
            size = int(r.headers.get("Content-Length") or -1)
            while block := r.read1(_BLOCK_BYTES):
                content += block
                if max(len(content), size) > most_bytes:
                    raise TemporemError(
                        f"{url} sent more than {most_bytes / 1e6:.0f} MB; it was discarded",
                        hint=_OFFLINE,
                    )
                if time.monotonic() - started > most_seconds:
                    raise OSError(f"not done after {most_seconds:.0f} s")
    except urllib.error.HTTPError as error:
        answer = f"{url}: {error.code} {error.reason}"
        if error.code in _NO_ENTRY:
            raise TemporemError(
                f"the Protein Data Bank has no entry '{code}' ({answer})",
                hint="check the code or name a folder with --structures",
            ) from error
        raise TemporemError(
            f"the Protein Data Bank does not serve '{code}' at the moment ({answer})",
            hint=f"try again later; {_OFFLINE}",
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TemporemError(
            f"cannot download structure '{code}' from {url}: {reason}", hint=_OFFLINE
        ) from error
    if 0 <= size != len(content):
        raise TemporemError(
            f"cannot download structure '{code}' from {url}: the connection was cut after "
            f"{len(content):,} of {size:,} bytes",
            hint=f"try again; {_OFFLINE}",
        )
    return bytes(content)


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _problem(content: bytes, code: str) -> str | None:
    """Tell why content is not a complete gzipped mmCIF file of an entry; None if it is."""
    if not content.startswith(b"\x1f\x8b"):
        page = content[:1000].lstrip().lower().startswith((b"<!doctype", b"<html"))
        return "a web page" if page else "no gzipped file"
    unpacked = zlib.decompressobj(wbits=31)
    try:
        start = unpacked.decompress(content, 1000)
        while unpacked.unconsumed_tail:
            unpacked.decompress(unpacked.unconsumed_tail, 2**20)
    except zlib.error:
        return "a damaged file"
    if not unpacked.eof:
        return "a file that is cut off"
    if not start.lower().startswith(f"data_{code.lower()}".encode()):
        return "something else than this entry"
    return None


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
