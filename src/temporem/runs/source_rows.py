"""Rows of the file that a dataset came from: a STAR file of RELION, or a file of cryoSPARC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from temporem.errors import TemporemError
from temporem.frames.dataset import STAR_NAME
from temporem.frames.measured_noise import NOISE_NAME
from temporem.importing.importer import RECORD_NAME, SOURCE_FOLDER
from temporem.importing.stacks import STACK_SUFFIXES
from temporem.io import cryosparc
from temporem.io.json_file import read_json_object
from temporem.io.optics_groups import groups_in_use, magnification
from temporem.io.pose_columns import ANGLE_COLUMNS, ORIGIN_COLUMNS, columns_from_poses
from temporem.io.star import StarTable, read_star
from temporem.io.star_rows import copy_rows, particles_block
from temporem.physics.poses import Poses
from temporem.physics.rotations import origin_to_shift, vector_of_rotation
from temporem.runs.run import Run

SOURCE_FILE = "temporemSourceFile"
SOURCE_ROW = "temporemSourceRow"
SOURCE_UID = "temporemSourceUid"
"""Columns of ``particles.star`` that name the file and row that a frame was imported from."""

_PIXEL_ORIGINS = ("rlnOriginX", "rlnOriginY")  # of RELION 3.0
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV")
_DEFOCUS_TOLERANCE = 1.0  # Å


@dataclass(frozen=True, eq=False)
class Selected:
    """Frames to write, and where they came from.

    Attributes:
        source: the original file.
        rows: its rows, ascending, ``(n,)``; of a cryoSPARC file found by their uid.
        frames: the frames of the run in that order, ``(n,)``.
        inputs: files and folders that no output may replace.
    """

    source: Path
    rows: np.ndarray
    frames: np.ndarray
    inputs: tuple[Path, ...]

    @property
    def is_cryosparc(self) -> bool:
        """The source is a file of cryoSPARC, not a STAR file."""
        return self.source.suffix.lower() == ".cs"


def locate_rows(
    run: Run, frames: np.ndarray, *, dataset: Path | None = None, source: Path | None = None
) -> Selected:
    """Find the rows of the original file that frames came from.

    Args:
        run: the run.
        frames: rows of ``frames.star``, ``(n,)``.
        dataset: the dataset, if it is no longer where the run says.
        source: the original file, if it has moved, or if there are several: then only its rows are
            taken.

    Raises:
        TemporemError: the dataset or the file is missing or has changed, or frames came from
            several files.
    """
    folder = Path(dataset or run.config.dataset)
    table = _particles_of(run, folder)
    if _is_its_own_original(table):
        path = folder / STAR_NAME
        if source is not None and source.resolve() != path.resolve():
            raise TemporemError(
                f"the dataset {folder} came from no table, so its rows in {source} are not known",
                expected=f"a dataset that temporem import made of one, or the file {path}",
            )
        return Selected(path, frames, frames, _inputs(run, folder))
    table.require(SOURCE_FILE)
    files = np.array(table.strings(SOURCE_FILE))[frames]
    if source is not None:
        named = np.array([Path(file).name == source.name for file in files])
        if not named.any():
            raise TemporemError(
                f"no selected frame came from {source.name}",
                expected=f"one of {', '.join(sorted(set(files)))}",
            )
        frames, files = frames[named], files[named]
    if len(set(files)) > 1:
        raise TemporemError(
            f"the selected frames came from {len(set(files))} files: "
            f"{', '.join(sorted(set(files)))}",
            expected="frames of one file",
            hint="name one of them with --source",
        )
    path = source or folder / files[0]  # an absolute path stays as it is
    if not path.is_file():
        raise TemporemError(
            f"the original file {path} is not there",
            hint="name it with --source if it has moved",
        )
    rows = _rows_by_uid(path, table, frames) if SOURCE_UID in table else None
    if rows is None:
        rows = table.ints(SOURCE_ROW)[frames]
    order = np.argsort(rows, kind="stable")
    chosen = Selected(path, rows[order], frames[order], _inputs(run, folder))
    if not chosen.is_cryosparc:
        _require_unchanged(chosen, table)
    return chosen


def write_rows(
    selected: Selected, out: Path, *, poses: Poses | None = None, overwrite: bool = False
) -> None:
    """Write rows of the original file in its own format, with all its columns and tables.

    Args:
        selected: the rows.
        out: file to write, with the ending of the original.
        poses: poses of all frames of the run, to put in the place of those of the file.
        overwrite: replace a file that exists.

    Raises:
        TemporemError: the ending is another, the file exists, the disk is full, or poses cannot be
            expressed in the file.
    """
    wanted = ".cs" if selected.is_cryosparc else ".star"
    if out.suffix.lower() != wanted:
        raise TemporemError(
            f"-o {out}: the frames came from {selected.source.name}",
            expected=f"a name that ends in {wanted}",
        )
    if out.resolve() == selected.source.resolve():
        raise TemporemError(f"{out} is the original file", hint="choose another name")
    for needed in selected.inputs if out.exists() else ():
        if out.resolve().is_relative_to(needed.resolve()):
            raise TemporemError(
                f"{out} belongs to what the frames came from ({needed}), so it is not replaced",
                hint="choose another name",
            )
    chosen = None if poses is None else poses[torch.from_numpy(selected.frames)]
    if selected.is_cryosparc:
        table = cryosparc.read_cs(selected.source).records[selected.rows]
        if chosen is not None:
            table = _cryosparc_poses(table, chosen, selected.source)
        cryosparc.write_cs(out, table, overwrite=overwrite)
        return
    block = particles_block(selected.source)
    columns = None if chosen is None else _star_poses(selected, block, chosen)
    copy_rows(
        selected.source, out, selected.rows, block=block, columns=columns, overwrite=overwrite
    )


def _is_its_own_original(table: StarTable) -> bool:
    """True for a dataset that no table of another program describes, such as one of bare stacks."""
    if SOURCE_ROW not in table and SOURCE_UID not in table:
        return True
    return SOURCE_FILE in table and all(
        Path(name).suffix in STACK_SUFFIXES for name in set(table.strings(SOURCE_FILE))
    )


def _inputs(run: Run, folder: Path) -> tuple[Path, ...]:
    """The run, the dataset's own files, and the files that the dataset was imported from."""
    source = folder / SOURCE_FOLDER
    record = source / RECORD_NAME
    named = read_json_object(record).get("files") if record.is_file() else None
    files = named if isinstance(named, list) else []
    originals = [Path(file) for file in files if isinstance(file, str) and "\0" not in file]
    return run.path, source, folder / STAR_NAME, folder / NOISE_NAME, *originals


def _particles_of(run: Run, folder: Path) -> StarTable:
    """The particles of the run's dataset."""
    path = folder / STAR_NAME
    if not path.is_file():
        raise TemporemError(
            f"the dataset {folder} has no {STAR_NAME}",
            expected="the dataset that the run was made from",
            hint="name it with --dataset if it has moved",
        )
    table = read_star(path)[particles_block(path)]
    table.require("rlnParticleName", "rlnMovieFrameNumber")
    same = table.strings("rlnParticleName") == run.particle_names and np.array_equal(
        table.ints("rlnMovieFrameNumber"), run.frame_numbers
    )
    if not same:
        raise TemporemError(
            f"{run.path} is not a reconstruction of the frames in {folder}",
            expected=f"the dataset that it was made from ({run.config.dataset})",
        )
    return table


def _rows_by_uid(path: Path, table: StarTable, frames: np.ndarray) -> np.ndarray | None:
    """Rows with the uids of frames; None if the source is no cryoSPARC file."""
    if path.suffix.lower() != ".cs":
        return None
    wanted = np.array(
        [int(text) for text in np.array(table.strings(SOURCE_UID))[frames]], np.uint64
    )
    uids = cryosparc.read_cs(path).uids()
    order = np.argsort(uids)
    found = order[np.searchsorted(uids, wanted, sorter=order).clip(max=len(uids) - 1)]
    missing = uids[found] != wanted
    if missing.any():
        raise TemporemError(
            f"{path} lacks {missing.sum()} of the {len(wanted)} selected particles, the first with "
            f"the uid {wanted[missing][0]}",
            expected="the file that the dataset was imported from",
        )
    return found


def _require_unchanged(selected: Selected, dataset: StarTable) -> None:
    """Refuse a STAR file whose rows are no longer those of the dataset.

    The defocus tells: it differs from particle to particle, and import leaves it as it is.
    """
    path = selected.source
    table = read_star(path)[particles_block(path)]
    if selected.rows.max() >= table.n_rows:
        raise TemporemError(
            f"{path} has {table.n_rows} particles, but the dataset names its row "
            f"{selected.rows.max()} (counted from 0)",
            expected="the file that the dataset was imported from",
        )
    for column in _DEFOCUS:
        if column not in table or column not in dataset:
            continue
        before = dataset.floats(column)[selected.frames]
        differs = np.abs(table.floats(column)[selected.rows] - before) > _DEFOCUS_TOLERANCE
        if differs.any():
            raise TemporemError(
                f"{path} has changed since it was imported: row {selected.rows[differs][0]} "
                f"(counted from 0) and {differs.sum() - 1} more have another _{column}",
                expected="the file that the dataset was imported from",
            )


def _star_poses(selected: Selected, block: str, poses: Poses) -> dict[str, list[str]]:
    """Columns of poses in the units of the file."""
    blocks = read_star(selected.source)
    table = blocks[block]
    # Import undoes a stretch of the images, in which the original file counts displacements.
    matrices = magnification(*_in_use(table, blocks.get("optics")))[selected.rows]
    shifts = poses.shifts_angstrom.double()[:, None] @ torch.from_numpy(matrices)  # Mᵀ d, as rows
    values = columns_from_poses(Poses(poses.rotations, shifts[:, 0]))
    pixels = _PIXEL_ORIGINS[0] in table or "optics" not in blocks
    if pixels and ORIGIN_COLUMNS[0] not in table:
        size = _pixel_size_of_3_0(table, selected.source)[selected.rows]
        for name, new in zip(ORIGIN_COLUMNS, _PIXEL_ORIGINS, strict=True):
            values[new] = values.pop(name) / size
    assert set(ANGLE_COLUMNS) <= values.keys()
    return {name: [f"{value:.6f}" for value in column] for name, column in values.items()}


def _in_use(particles: StarTable, optics: StarTable | None) -> tuple[StarTable, StarTable | None]:
    """The tables, without optics groups that no particle names."""
    return particles, None if optics is None else groups_in_use(particles, optics)


def _pixel_size_of_3_0(table: StarTable, path: Path) -> np.ndarray:
    """Pixel size of every particle of a file without optics groups, Å ``(N,)``."""
    if "rlnPixelSize" in table:
        return table.floats("rlnPixelSize")
    names = ("rlnDetectorPixelSize", "rlnMagnification")
    if not set(names) <= set(table):
        raise TemporemError(
            f"{path} gives origins in pixels, and no pixel size",
            expected="the column _rlnPixelSize, or " + " and ".join(f"_{name}" for name in names),
            hint="leave out --poses",
        )
    return 1e4 * table.floats(names[0]) / table.floats(names[1])


def _cryosparc_poses(table: np.ndarray, poses: Poses, path: Path) -> np.ndarray:
    if "blob/psize_A" not in (table.dtype.names or ()):
        raise TemporemError(f"{path} gives no pixel size (blob/psize_A)", hint="leave out --poses")
    vectors = vector_of_rotation(poses.rotations.double().mT).numpy()
    origins = origin_to_shift(poses.shifts_angstrom.double()).numpy()  # its own inverse
    size = table["blob/psize_A"].astype(float)
    return cryosparc.with_poses(table, vectors, origins / size[:, None], size)
