"""Where and with what measurements are made."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""Of the repository."""

GIBIBYTE = 2**30


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def child_variables(threads: int) -> dict[str, str]:
    """Environment of every child, ours and the peer's: so many threads, no GPU."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    given = {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    return {**os.environ, **given}


def describe(variables: Mapping[str, str]) -> dict[str, Any]:
    """The machine, the versions and the commit, as plain values.

    Args:
        variables: environment of the children.
    """
    command = [sys.executable, "-m", "temporem", "info", "--json"]
    told = subprocess.run(command, env=variables, capture_output=True, check=True, text=True)
    info = json.loads(told.stdout)
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": n_cores(),
        "threads": int(variables["OMP_NUM_THREADS"]),
        "memory_gib": round(_memory_bytes() / GIBIBYTE, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "networks_multiply_in": info["networks multiply in"],
        **{name: info[name] for name in ("system", "python", "temporem", "torch", "numpy")},
    }


def _commit() -> str:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
