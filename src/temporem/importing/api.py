"""Import of particle images, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack, get_args

from temporem.errors import TemporemError
from temporem.frames.dataset import Dataset, read_star_folder
from temporem.importing.importer import (
    RECORD_NAME,
    SOURCE_FOLDER,
    ImportSettings,
    Invert,
    plan_import,
    write_import,
)
from temporem.importing.movies import MovieRule
from temporem.importing.table import Given
from temporem.io.files import require_new_directory
from temporem.io.outputs import require_replaceable
from temporem.progress import Progress


class ImportOptions(TypedDict, total=False):
    """Options of ``temporem import``, with their names and meanings there; all may be absent."""

    datadir: str | Path | None
    movie_from: str | None
    frame_from: str | None
    frames_per_movie: int | None
    stack_is_movie: bool
    size: int | None
    pixel_size: float | None
    input_pixel_size: float | None
    invert: Invert
    normalise: bool
    voltage: float | None
    cs: float | None
    amplitude_contrast: float | None
    ctf: Literal["file", "none"]
    ignore: Sequence[str] | None


def import_settings(**options: Unpack[ImportOptions]) -> ImportSettings:
    """Make settings of options.

    Raises:
        TemporemError: an option that is not known, or a number that cannot be.
    """
    unknown = sorted(options.keys() - ImportOptions.__annotations__.keys())
    if unknown:
        raise TemporemError(
            f"import has no option {unknown[0]}",
            expected=f"some of {', '.join(ImportOptions.__annotations__)}",
        )
    folder, invert = options.get("datadir"), options.get("invert", "auto")
    for name, value, known in (
        ("invert", invert, get_args(Invert)),
        ("ctf", options.get("ctf", "file"), ("file", "none")),
    ):
        if value not in known:
            raise TemporemError(f"{name} is {value!r}", expected=f"one of {', '.join(known)}")
    return ImportSettings(
        given=Given(
            None if folder is None else Path(folder),
            options.get("input_pixel_size"),
            options.get("voltage"),
            options.get("cs"),
            options.get("amplitude_contrast"),
            no_ctf=options.get("ctf") == "none",
        ).checked(),
        rule=MovieRule(
            options.get("movie_from"),
            options.get("frame_from"),
            options.get("frames_per_movie"),
            options.get("stack_is_movie", False),
        ),
        box=options.get("size"),
        pixel_size_angstrom=options.get("pixel_size"),
        invert=invert,
        normalise=options.get("normalise", True),
        ignore=tuple(options.get("ignore") or ()),
    )


def require_output(output: Path, files: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse an output that exists and may not be replaced.

    Raises:
        TemporemError: it exists, or is no imported dataset, or holds files to import.
    """
    require_new_directory(output, overwrite=overwrite)
    if overwrite:
        require_replaceable(
            output,
            "an imported dataset",
            holds=f"{SOURCE_FOLDER}/{RECORD_NAME}",
            folders=(SOURCE_FOLDER,),
            inputs=files,
        )


def import_files(
    files: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ImportOptions],
) -> Dataset:
    """Turn particle images of RELION, cryoSPARC or cryoDRGN into a dataset, and read it.

    ``temporem import`` does the same. What was found, corrected and left out stands in
    ``source/import.json`` of the dataset, under ``facts`` and ``notes``.

    Args:
        files: one ``.star`` file, or ``.cs`` files of one job, or stacks and folders of them; with
            them ``.csv``, ``.pkl`` and ``.npz`` files of poses, CTF or movies.
        output: folder to write.
        overwrite: replace a folder that an import wrote.
        progress: receives the progress.
        options: the options of ``temporem import``, with underscores: ``movie_from``,
            ``frame_from``, ``frames_per_movie`` or ``stack_is_movie``; ``size`` (pixels),
            ``pixel_size`` and ``input_pixel_size`` (Å), ``invert`` (``"auto"``, ``"yes"``,
            ``"no"``), ``normalise``, ``voltage`` (kV), ``cs`` (mm), ``amplitude_contrast``,
            ``ctf`` (``"file"``, ``"none"``), ``ignore`` and ``datadir``.

    Returns:
        The dataset.

    Raises:
        TemporemError: anything that keeps the files from becoming a dataset.

    Example:
        >>> data = tm.import_files("movies/particles.star", "imported", size=16)
        >>> data.n_movies == tm.read_dataset("movies").n_movies, data.box
        (True, 16)
    """
    named = [files] if isinstance(files, str | Path) else list(files)
    paths, out = [Path(path) for path in named], Path(output)
    if missing := [str(path) for path in paths if not path.exists()]:
        raise TemporemError(f"{missing[0]} does not exist", expected="files to import")
    require_output(out, paths, overwrite=overwrite)
    part = progress or Progress()
    write_import(
        plan_import(paths, import_settings(**options)),
        out,
        overwrite=overwrite,
        progress=lambda done, total: part(done, total, "importing"),
    )
    return read_star_folder(out)
