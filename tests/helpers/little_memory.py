"""Commands in a process of their own that may grow little, for files that claim much."""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import temporem.extraction.command
import temporem.importing.importer  # noqa: F401  loaded here once, not in every child
from helpers.bad_input import contents
from helpers.commands import Result, command


def refuse_in_little_memory(folder: Path, *arguments: object, megabytes: int = 400) -> str:
    """Run a command that must refuse, take little memory, and leave ``folder`` as it is.

    The child is a copy of this process, with whatever it has loaded. More memory than its own and
    some megabytes cannot be had, and asking for it would end in another message.

    Returns:
        The message.
    """
    before = contents(folder) if sum(f.stat().st_size for f in folder.rglob("*")) < 1e8 else None
    with ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_limit,
        initargs=(megabytes * 2**20,),
    ) as pool:
        result: Result = pool.submit(command, *arguments).result(timeout=120)
    assert result.code == 2, result
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert "out of memory" not in result.err
    if before is not None:
        assert contents(folder) == before
    return result.err


def _limit(n_bytes: int) -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + n_bytes, resource.RLIM_INFINITY))
