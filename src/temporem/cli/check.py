"""``temporem check``."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from temporem.cli.console import print_json, progress_bar, say
from temporem.cli.file_options import FileOptions
from temporem.cli.options import Json, Overwrite, output, refuse_missing
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.checks import Evidence, Finding
    from temporem.frames.dataset import Dataset
    from temporem.importing.importer import ImportSettings
    from temporem.progress import Progress

Costs = dict[str, tuple[int, float | None]]
"""Bytes and processor seconds of every method."""

_MARKS = {
    "good": "ok      ",
    "cannot tell": "unclear ",
    "warning": "WARNING ",
    "refused": "REFUSED ",
}

_DEFAULTS = FileOptions()


def check(
    files: Annotated[
        list[Path],
        Parameter(
            negative="",
            validator=refuse_missing(
                Path.exists,
                "",
                expected="a dataset, or files that temporem import takes",
                hint="make a dataset with temporem simulate, or of data of yours with temporem "
                "import",
            ),
            help="Dataset folder with particles.star; or files of another program, as for import.",
        ),
    ],
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
    options: FileOptions = _DEFAULTS,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Look at a dataset, or at files, before anybody waits for a reconstruction.

    It says if molecules are dark, and if background, noise, pixels, CTF, views or movies would
    spoil a reconstruction, with the evidence and the remedy. It ends with exit code 2 where
    reconstruct would refuse the dataset. It writes nothing without -o.
    Of files of another program it looks at the dataset that import would make with these options.

    Example:  temporem check movies -o check.png
    Example:  temporem check run_data.star --movie-from rlnGroupName
    """
    if out is not None:
        _require_picture(out, overwrite=overwrite)
    from temporem.checks import Evidence, Verdict, examine
    from temporem.frames.settings import DataSettings

    imports = None if _is_dataset(files) else options.settings("yes" if invert else "auto", ctf)
    if imports is None and options != _DEFAULTS:
        raise TemporemError(
            f"{files[0]} is a dataset, and {options.words()[0]} is for files of other programs",
            expected="a dataset alone, or files to import",
        )
    name = ", ".join(map(str, files))
    with (
        progress_bar("Checking", hidden=json) as progress,
        _opened(files, imports, progress) as (data, notes),
    ):
        if poses == "estimate" and data.has_poses:
            data = data.without_poses()
        # What import inverts need not be inverted again.
        evidence = Evidence.of(data, DataSettings(invert=invert and imports is None, ctf=ctf))
        findings = examine(evidence, thorough=True)
        costs = _costs(data)
        columns = _columns(files[0]) if imports is None else {"used": [], "ignored": []}
        if out is not None:
            _draw(out, evidence, findings, overwrite=overwrite)
    document = {
        "dataset": name,
        "notes": notes,
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
        _print(name, data, notes, findings, columns, costs)
        if out is not None:
            say(f"Picture: {out}")
    refused = [finding for finding in findings if finding.verdict == Verdict.REFUSED]
    if refused:
        raise TemporemError(
            f"{name}: reconstruct would refuse this dataset because of its "
            f"{', '.join(dict.fromkeys(finding.check for finding in refused))}",
            hint=refused[0].remedy,
        )
    if not json:
        words = ["--ctf", "none"] if ctf == "none" else []
        if imports is None:
            command = _reconstruct_command(files[0], data, words)
        else:
            command = options.import_command(files, ["--invert", "yes"] * invert + words)
        say(f"Next: {command}")


def _is_dataset(files: Sequence[Path]) -> bool:
    """True for one path that is a dataset, or a folder that should be one."""
    from temporem.frames.readers import READERS

    alone = len(files) == 1
    return alone and (files[0].is_dir() or any(reader.recognises(files[0]) for reader in READERS))


@contextmanager
def _opened(
    files: Sequence[Path], imports: ImportSettings | None, progress: Progress
) -> Iterator[tuple[Dataset, list[str]]]:
    """Open a dataset, or the one that import would make, and what import says about it."""
    from temporem.frames.readers import read_dataset

    if imports is None:
        yield read_dataset(files[0]), []
        return
    from temporem.importing.importer import plan_import, write_import

    plan = plan_import(files, imports)
    with tempfile.TemporaryDirectory(prefix="temporem-check-") as folder:
        made = Path(folder) / "dataset"
        try:
            write_import(plan, made, progress=lambda done, n: progress(done, n, "reading images"))
            data = read_dataset(made)
        except TemporemError as error:
            raise TemporemError(str(error).replace(str(made), "the dataset")) from None
        yield data, list(plan.notes)


def _reconstruct_command(dataset: Path, data: Dataset, words: list[str]) -> str:
    """Write the command that comes after this one."""
    method = "linear" if max(len(movie) for movie in data.movies) > 1 else "homogeneous"
    poses = [] if data.has_poses else ["--poses", "estimate"]
    command = ["temporem", "reconstruct", str(dataset), "-o", "RUN", "--method", method]
    return shlex.join([*command, *poses, *words])


def _print(
    name: str,
    data: Dataset,
    notes: list[str],
    findings: list[Finding],
    columns: dict[str, list[str]],
    costs: Costs,
) -> None:
    say(
        f"{name}: {data.n_movies} movies, {data.n_frames} frames of {data.box} x {data.box} pixels "
        f"of {data.pixel_size_angstrom:g} Å, {'with' if data.has_poses else 'without'} poses"
    )
    for note in notes:
        say(note)
    for finding in findings:
        text = finding.evidence[0].upper() + finding.evidence[1:]
        say(f"{_MARKS[str(finding.verdict)]:<8} {finding.check}: {text}.")
        if finding.remedy:
            say(f"{'':9}What to do: {finding.remedy}.")
    if columns["used"]:
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
