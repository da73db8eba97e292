"""Datasets that are spoilt on purpose, and commands that must refuse them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.commands import command
from temporem.io.mrc import open_stack, write_stack
from temporem.io.star import StarTable, read_star, write_star


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refuse(folder: Path, *arguments: object) -> str:
    """Run a command that must refuse and leave ``folder`` as it is; returns its message."""
    before = contents(folder)
    result = command(*arguments)
    assert result.code == 2, result.out
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert contents(folder) == before
    return result.err


def rewrite(dataset: Path, block: str, change: Callable[[dict], None]) -> None:
    """Change the columns of a table of ``particles.star``."""
    blocks = read_star(dataset / "particles.star")
    columns = dict(blocks[block])
    change(columns)
    tables = {**blocks, block: StarTable(columns, where=block)}
    write_star(dataset / "particles.star", tables)


def keep_rows(dataset: Path, rows: list[int]) -> None:
    """Leave some rows of ``particles.star``, in this order."""

    def change(columns: dict) -> None:
        columns |= {name: [list(column)[row] for row in rows] for name, column in columns.items()}

    rewrite(dataset, "particles", change)


def change_pixels(dataset: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    stack = open_stack(dataset / "particles.mrcs")
    write_stack(dataset / "particles.mrcs", [change(stack.read())], 8.0)


def drop_ctf(dataset: Path) -> None:
    """Take the CTF out of a dataset; the columns of the microscope stay, as RELION has them."""

    def change(columns: dict) -> None:
        for name in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"):
            del columns[name]

    rewrite(dataset, "particles", change)


def set_pixel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(images: np.ndarray) -> np.ndarray:
        images[3, 2, 1] = value
        return images

    return change


def one_frame_movie(columns: dict) -> None:
    columns["rlnParticleName"] = [*columns["rlnParticleName"][:-1], "lonely"]


def all_alone(columns: dict) -> None:
    columns["rlnParticleName"] = [f"movie{i}" for i in range(20)]
