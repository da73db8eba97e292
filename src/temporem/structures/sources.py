"""Search for structure files: in folders, the user's cache, or the Protein Data Bank."""

from __future__ import annotations

import os
import re
from pathlib import Path

from temporem.errors import TemporemError
from temporem.structures.download import download_entry, require_intact

BUILT_IN = "toy"
"""Name of the built-in protein, which has no file."""

_SUFFIXES = (".pdb", ".cif", ".ent", ".mmcif")
_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}")


def find_structure(name: str, structures_dir: str | Path | None = None) -> Path:
    """Find the file of a structure or trajectory by path, file name or PDB code, in any case.

    Looks, in this order, at ``name`` as a path, in ``structures_dir``, in the folder that the
    environment variable ``TEMPOREM_STRUCTURES`` names, and in the user's cache. Otherwise it
    downloads a PDB entry into that cache.

    Raises:
        TemporemError: a folder is missing, nothing is found, the download fails, or a cached file
            has changed.
    """
    found = locate_structure(name, structures_dir)
    if found is not None:
        return found
    cache = cache_folder()
    if cache is None:
        raise TemporemError(
            f"no folder to store the structure '{name}': there is no home directory",
            hint="set XDG_CACHE_HOME to a folder that can be written, or name a folder that has "
            "the structure with --structures",
        )
    return download_entry(name, cache)


def locate_structure(name: str, structures_dir: str | Path | None = None) -> Path | None:
    """Find a file as :func:`find_structure` does, but download nothing.

    Returns:
        The file, or None where only the Protein Data Bank can have it.

    Raises:
        TemporemError: a folder is missing, nothing is found, or a cached file has changed.
    """
    if Path(name).is_file():
        return Path(name)
    folders = _given_folders(structures_dir)
    for folder in folders:
        found = _find_in(folder, name)
        if found is not None:
            return found
    cache = cache_folder()
    cached = None if cache is None else _find_in(cache, name)
    if cached is not None:
        require_intact(cached)
        return cached
    if _PDB_CODE.fullmatch(name):
        return None
    searched = [*map(str, folders), str(cache) if cache else "no cache, without a home directory"]
    raise TemporemError(
        f"no structure '{name}' (looked in {', '.join(searched)})",
        expected="a file, or a PDB code such as 7bcq",
        hint="name the folder that holds it with --structures",
    )


def cache_folder() -> Path | None:
    """The folder of downloads: ``$XDG_CACHE_HOME/temporem/structures``, or in ``~/.cache``.

    None for a user without a home directory, as in some containers.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "temporem" / "structures"
    home = Path(os.path.expanduser("~"))
    return home / ".cache" / "temporem" / "structures" if home.is_absolute() else None


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
