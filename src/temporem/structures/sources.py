"""Where structure files come from: a folder, the user's cache, or the Protein Data Bank."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import urllib.error
import urllib.request
from pathlib import Path

from temporem.errors import TemporemError

DOWNLOAD_URL = "https://files.rcsb.org/download/{code}.cif.gz"
"""Where the Protein Data Bank serves an entry."""

_SUFFIXES = (".pdb", ".cif", ".ent", ".mmcif")
_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}")
_TIMEOUT_SECONDS = 30.0


def find_structure(name: str, structures_dir: str | Path | None = None) -> Path:
    """The file of a structure, by path, file name or PDB code (case does not matter).

    Trajectories are found in the same way.

    Looks, in this order, at ``name`` as a path, in ``structures_dir``, in the folder that the
    environment variable ``TEMPOREM_STRUCTURES`` names, in the user's cache, and downloads a PDB
    entry into that cache. The SHA-256 of a download is written beside it and checked on every
    later use.

    Raises:
        TemporemError: a folder is missing, nothing is found, the download fails, or a cached file
            has changed.
    """
    if Path(name).is_file():
        return Path(name)
    folders = _given_folders(structures_dir)
    for folder in folders:
        found = _find_in(folder, name)
        if found is not None:
            return found
    cached = _find_in(cache_folder(), name)
    if cached is not None:
        _check_digest(cached)
        return cached
    if not _PDB_CODE.fullmatch(name):
        searched = ", ".join(map(str, [*folders, cache_folder()]))
        raise TemporemError(
            f"no structure '{name}' (looked in {searched})",
            expected="a file, or a PDB code such as 7bcq",
            hint="name the folder that holds it with --structures",
        )
    return _download(name)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/temporem/structures``, or the same under ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "temporem" / "structures"


def _given_folders(structures_dir: str | Path | None) -> list[Path]:
    given = {
        "--structures": structures_dir,
        "TEMPOREM_STRUCTURES": os.environ.get("TEMPOREM_STRUCTURES"),
    }
    folders = []
    for source, folder in given.items():
        if not folder:
            continue
        if not Path(folder).is_dir():
            raise TemporemError(
                f"{source}: {folder} is not a folder", expected="a folder of structure files"
            )
        folders.append(Path(folder))
    return folders


def _find_in(folder: Path, name: str) -> Path | None:
    """A file of a folder, or of one below it when the name says so (adk/adk.psf)."""
    below, _, name = name.rpartition("/")
    folder = folder / below
    if not folder.is_dir() or Path(below).is_absolute() or ".." in Path(below).parts:
        return None
    wanted = {name.lower()} | {
        name.lower() + suffix + zipped for suffix in _SUFFIXES for zipped in ("", ".gz")
    }
    matches = [p for p in sorted(folder.iterdir()) if p.name.lower() in wanted and p.is_file()]
    return matches[0] if matches else None


def _download(code: str) -> Path:
    url = DOWNLOAD_URL.format(code=code.upper())
    target = cache_folder() / f"{code.lower()}.cif.gz"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            content = response.read()
    except urllib.error.HTTPError as error:
        raise TemporemError(
            f"the Protein Data Bank has no entry '{code}' ({url}: {error.code} {error.reason})",
            hint="check the code or name a folder with --structures",
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TemporemError(
            f"cannot download structure '{code}' from {url}: {reason}",
            hint="when offline, put the file in a folder and name it with --structures",
        ) from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The digest first: a file that is there always has one.
        _write_whole(_digest_file(target), f"{_digest(content)}  {target.name}\n".encode())
        _write_whole(target, content)
    except OSError as error:
        raise TemporemError(
            f"cannot write {target}: {error.strerror}",
            hint="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return target


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _check_digest(path: Path) -> None:
    recorded = _digest_file(path)
    if recorded.is_file() and recorded.read_text().split()[:1] != [_digest(path.read_bytes())]:
        raise TemporemError(
            f"{path} has changed since its download: its SHA-256 is not that in {recorded.name}",
            hint="delete both files to download it again",
        )
