"""A folder of MRC files."""

from __future__ import annotations

from pathlib import Path

from temporem.exporting.base import ExportJob
from temporem.runs.export import export_volumes


class Mrc:
    """A folder of MRC files, which any program opens."""

    name = "mrc"
    summary = "a folder of MRC files"
    resumes = True

    def check(self, out: Path) -> None:
        return

    def write(self, job: ExportJob) -> list[str]:
        export_volumes(
            job.run,
            job.out,
            job.series,
            job.options,
            overwrite=job.overwrite,
            resume=job.resume,
            progress=job.progress,
        )
        return [f"Next, in ChimeraX:  {_open_command(job)}"]


def _open_command(job: ExportJob) -> str:
    """Command of ChimeraX that opens the volumes, several of them as a series to play."""
    stem = job.series.names[0].split("_")[0]
    pattern = f"{stem}_*[!d].mrc" if job.options.deviation else f"{stem}_*.mrc"
    series = " vseries true" if len(job.series) > 1 else ""
    return f'open "{job.out.resolve() / pattern}"{series}'
