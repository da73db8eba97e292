"""Volumes of a run's frames as a folder of files, which can be stopped and continued.

::

    DIR/export.json          what the folder holds: the run, the frames, the grid
    DIR/frame_000007.mrc     the volume of row 7 of particles.star
    DIR/frame_000007_sd.mrc  linear, on request: posterior standard deviation of its voxels

Every file appears whole. A folder is finished when all of its frames are there.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import fresh_directory, held, readable_size
from temporem.io.json_file import read_json_object
from temporem.io.mrc import MRC_HEADER_BYTES, write_volume
from temporem.io.outputs import require_no_links, require_replaceable
from temporem.progress import Progress
from temporem.runs.decoder import Decoder
from temporem.runs.names import IDENTITY
from temporem.runs.run import Run
from temporem.version import __version__

RECORD_NAME = "export.json"
FORMAT = "temporem volumes 1"


@dataclass(frozen=True)
class ExportOptions:
    """Size and kind of exported volumes.

    Attributes:
        downsample: edge of the volumes; frequencies beyond its Nyquist are left out. None keeps
            the run's edge.
        crop: edge of the central part to keep; None keeps all.
        deviation: also write the posterior standard deviation of every voxel.
    """

    downsample: int | None = None
    crop: int | None = None
    deviation: bool = False


def export_volumes(
    run: Run,
    out: str | Path,
    rows: np.ndarray,
    options: ExportOptions,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
    voxels_per_batch: int = 2**22,
) -> None:
    """Write the volumes of frames, each as ``frame_ROW.mrc``.

    Args:
        run: a finished run.
        out: the folder.
        rows: rows of ``particles.star``, ``(N,)``.
        options: size and kind of the volumes.
        overwrite: replace an existing folder of volumes.
        resume: continue a folder that was stopped. It ends as it would have without the stop.
        progress: called after every batch.
        voxels_per_batch: voxels that are decoded at a time; bounds memory.

    Raises:
        TemporemError: the options do not fit the run; the folder exists, or was started from
            another run or with other options, or another process is writing it; the disk is too
            full.
    """
    progress = progress or Progress()
    out = Path(out)
    _require_sizes(options, run.grid.box)
    if options.deviation:
        run.require_covariance()
    decoder = Decoder(run, rows, box=options.downsample)
    record = _record(run, rows, options)
    if resume:
        require_no_links([out, *out.glob("*")])
        _require_same(out, record)
    elif overwrite:
        require_replaceable(out, "a folder of volumes", holds=RECORD_NAME, inputs=[run.path])
    job = _Job(run, decoder, options, out)
    missing = [row for row in rows if not (resume and job.has(row))]
    _require_space(out, len(missing) * job.bytes_per_frame, replaced=overwrite)
    if not resume:
        with fresh_directory(out, overwrite=overwrite) as directory:
            text = json.dumps(record, indent=1)
            (directory / RECORD_NAME).write_text(text, encoding="utf-8")
    with held(out):
        for leftover in out.glob(".frame_*.partial.mrc"):  # left behind by a killed process
            leftover.unlink()
        # Batches do not depend on which files are missing: so volumes round alike.
        size = max(1, voxels_per_batch // decoder.box**3)
        for start in range(0, len(rows), size):
            job.write(rows[start : start + size])
            done = min(start + size, len(rows))
            progress(done, len(rows), f"{done} of {len(rows)} volumes")


@dataclass(frozen=True, eq=False)
class _Job:
    run: Run
    decoder: Decoder
    options: ExportOptions
    out: Path

    @property
    def edge(self) -> int:
        return self.options.crop or self.decoder.box

    @property
    def bytes_per_frame(self) -> int:
        return (2 if self.options.deviation else 1) * (MRC_HEADER_BYTES + 4 * self.edge**3)

    def paths(self, row: int) -> list[Path]:
        """Files of a frame."""
        endings = ("", "_sd") if self.options.deviation else ("",)
        return [self.out / f"frame_{row:06d}{ending}.mrc" for ending in endings]

    def has(self, row: int) -> bool:
        """Tell if all files of a frame exist and are complete."""
        paths = self.paths(row)
        sizes = [path.stat().st_size for path in paths if path.is_file()]
        return len(sizes) == len(paths) and sum(sizes) == self.bytes_per_frame

    def write(self, rows: np.ndarray) -> None:
        """Write the missing files of a batch of frames."""
        missing = [not self.has(row) for row in rows]
        if not any(missing):
            return
        arrays = [self.decoder.voxels(rows)]
        if self.options.deviation:
            arrays.append(self.decoder.voxel_deviations(rows))
        start = (self.decoder.box - self.edge) // 2
        kept = slice(start, start + self.edge)
        spacing = self.decoder.pixel_size_angstrom
        for index in np.flatnonzero(missing):
            for path, volumes in zip(self.paths(rows[index]), arrays, strict=True):
                volume = volumes[index, kept, kept, kept]
                write_volume(path, volume, spacing, origin_angstrom=start * spacing)


def _require_sizes(options: ExportOptions, box: int) -> None:
    if options.downsample and options.crop:
        raise TemporemError("--downsample and --crop exclude each other", hint="pass one of them")
    for name, size in (("--downsample", options.downsample), ("--crop", options.crop)):
        if size is not None and not (2 <= size <= box and size % 2 == 0):
            raise TemporemError(
                f"{name} {size}: volumes of this run have {box} voxels along an edge",
                expected=f"an even number from 2 to {box}",
            )


def _record(run: Run, rows: np.ndarray, options: ExportOptions) -> dict[str, Any]:
    """Record of all that determines the content of a folder."""
    digest = hashlib.sha256()
    for name in IDENTITY:
        digest.update((run.path / name).read_bytes())
    return {
        "format": FORMAT,
        "temporem_version": __version__,
        "run": digest.hexdigest(),
        "method": run.config.method,
        "arithmetic": run.arithmetic,  # recorded when the run began
        "downsample": options.downsample,
        "crop": options.crop,
        "deviation": options.deviation,
        "rows": rows.tolist(),
    }


def _require_same(out: Path, wanted: dict[str, Any]) -> None:
    """Refuse to resume a folder of other volumes, and name the first difference."""
    path = out / RECORD_NAME
    if not path.is_file():
        raise TemporemError(
            f"{out} has no {RECORD_NAME}, so --resume cannot continue it",
            hint="run the command without --resume",
        )
    started = read_json_object(path, hint="pass --overwrite")
    for key, value in wanted.items():
        before = started.get(key)
        if before == value:
            continue
        what = {
            "run": "from another run, or from this one before it changed",
            "rows": "with other frames",
        }.get(key, f"with {key.replace('_', ' ')} = {reprlib.repr(before)}, not {value}")
        raise TemporemError(
            f"{out} was started {what}",
            expected="the same run and options as before",
            hint="write to another folder, or replace this one with --overwrite",
        )


def _require_space(out: Path, needed: int, *, replaced: bool) -> None:
    if not out.parent.is_dir():
        return  # a later check refuses a missing folder
    free = shutil.disk_usage(out.parent).free
    if replaced and out.is_dir():
        free += sum(file.stat().st_size for file in out.iterdir())
    if needed > free:
        raise TemporemError(
            f"{out}: the volumes need {readable_size(needed)}, but {readable_size(free)} are free",
            hint="make the volumes smaller with --downsample or --crop, or export fewer frames",
        )
