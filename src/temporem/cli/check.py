"""``temporem check``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from temporem.cli.console import print_json, progress_bar, say
from temporem.cli.options import DatasetFolder, Json, Overwrite, output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.checks import Evidence, Finding
    from temporem.frames.dataset import Dataset

Costs = dict[str, tuple[int, float | None]]
"""Bytes and processor seconds of every method."""

_MARKS = {
    "good": "ok      ",
    "cannot tell": "unclear ",
    "warning": "WARNING ",
    "refused": "REFUSED ",
}


def check(
    dataset: DatasetFolder,
    /,
    *,
    out: Annotated[
        Path | None, output("PNG picture to write: images, background, spectra, views.")
    ] = None,
    poses: Annotated[
        Literal["known", "estimate"],
        Parameter(help="known: look at the dataset's poses. estimate: leave them aside."),
    ] = "known",
    invert: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Look at the images with their sign flipped."
        ),
    ] = False,
    ctf: Annotated[
        Literal["file", "none"],
        Parameter(
            help="file: the CTF of the dataset. none: images are formed without one, as in dark "
            "field."
        ),
    ] = "file",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Look at a dataset before anybody waits for a reconstruction.

    It says if molecules are dark, and if background, noise, pixels, CTF, views or movies would
    spoil a reconstruction, with the evidence and the remedy. It ends with exit code 2 where
    reconstruct would refuse the dataset. It writes nothing without -o.

    Example:  temporem check movies -o check.png
    """
    if out is not None:
        _require_picture(out, overwrite=overwrite)
    from temporem.checks import Evidence, Verdict, examine
    from temporem.frames.readers import read_dataset
    from temporem.frames.settings import DataSettings

    with progress_bar("Checking", hidden=json):
        data = read_dataset(dataset)
        if poses == "estimate" and data.has_poses:
            data = data.without_poses()
        evidence = Evidence.of(data, DataSettings(invert=invert, ctf=ctf))
        findings = examine(evidence, thorough=True)
        costs = _costs(data)
        columns = _columns(dataset)
        if out is not None:
            _draw(out, evidence, findings, overwrite=overwrite)
    document = {
        "dataset": str(dataset),
        "findings": [
            {
                "check": finding.check,
                "verdict": str(finding.verdict),
                "evidence": finding.evidence,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
        "columns": columns,
        "memory_gib": {name: round(cost[0] / 2**30, 3) for name, cost in costs.items()},
        "processor_seconds": {name: cost[1] for name, cost in costs.items()},
    }
    if json:
        print_json(document)
    else:
        _print(dataset, data, findings, columns, costs)
        if out is not None:
            say(f"Picture: {out}")
    refused = [finding for finding in findings if finding.verdict == Verdict.REFUSED]
    if refused:
        raise TemporemError(
            f"{dataset}: reconstruct would refuse this dataset because of its "
            f"{', '.join(dict.fromkeys(finding.check for finding in refused))}",
            hint=refused[0].remedy,
        )
    if not json:
        method = "linear" if max(len(movie) for movie in data.movies) > 1 else "homogeneous"
        flags = "" if data.has_poses else " --poses estimate"
        flags += " --ctf none" if ctf == "none" else ""
        name = shlex.quote(str(dataset))
        say(f"Next: temporem reconstruct {name} -o RUN --method {method}{flags}")


def _print(
    path: Path,
    data: Dataset,
    findings: list[Finding],
    columns: dict[str, list[str]],
    costs: Costs,
) -> None:
    say(
        f"{path}: {data.n_movies} movies, {data.n_frames} frames of {data.box} x {data.box} pixels "
        f"of {data.pixel_size_angstrom:g} Å, {'with' if data.has_poses else 'without'} poses"
    )
    for finding in findings:
        text = finding.evidence[0].upper() + finding.evidence[1:]
        say(f"{_MARKS[str(finding.verdict)]:<8} {finding.check}: {text}.")
        if finding.remedy:
            say(f"{'':9}What to do: {finding.remedy}.")
    say(f"Columns used: {', '.join(columns['used'])}")
    if columns["ignored"]:
        say(f"Columns ignored: {', '.join(columns['ignored'])}")
    expected = ", ".join(
        f"{name} {memory / 2**30:.2g} GiB" + (f" and {_duration(seconds)}" if seconds else "")
        for name, (memory, seconds) in costs.items()
    )
    say(
        "Expected memory, without libraries, and order of magnitude of the time of one processor "
        f"core: {expected}"
    )


def _duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _costs(data: Dataset) -> Costs:
    """Memory and time of each method with its own settings."""
    from temporem.runs.config import build_config
    from temporem.runs.expected_time import expected_seconds
    from temporem.runs.memory import expected_memory
    from temporem.runs.methods import METHODS

    return {
        name: (
            expected_memory(build_config({"method": name}, source="defaults"), method, data),
            expected_seconds(name, data),
        )
        for name, method in METHODS.items()
    }


def _columns(path: Path) -> dict[str, list[str]]:
    """Columns of ``particles.star`` that are used, and those that are not."""
    from temporem.frames.dataset import STAR_NAME, USED_COLUMNS
    from temporem.io.star import read_star

    star = path / STAR_NAME
    tables = read_star(star).values() if star.is_file() else ()
    names = list(dict.fromkeys(name for table in tables for name in table))
    return {
        "used": [name for name in names if name in USED_COLUMNS],
        "ignored": [name for name in names if name not in USED_COLUMNS],
    }


def _require_picture(out: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() != ".png":
        raise TemporemError(f"-o {out} is no PNG picture", expected="a name that ends in .png")
    if out.exists() and not overwrite:
        raise TemporemError(f"{out} exists", hint="choose another name or pass --overwrite")


def _draw(out: Path, evidence: Evidence, findings: list[Finding], *, overwrite: bool) -> Any:
    from temporem.report.dataset_picture import write_dataset_picture

    write_dataset_picture(out, evidence, findings, overwrite=overwrite)
