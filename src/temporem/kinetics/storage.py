"""Kinetics in a run's folder: ``RUN/kinetics``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from temporem.errors import TemporemError
from temporem.io.files import fresh_directory
from temporem.io.json_file import read_json_object
from temporem.io.outputs import require_no_links
from temporem.io.settings import validate_settings
from temporem.io.star import StarTable, write_star
from temporem.kinetics.facts import KineticsFacts
from temporem.kinetics.study import Kinetics
from temporem.runs.names import KINETICS
from temporem.runs.run import Run
from temporem.version import __version__

FORMAT = "temporem kinetics 1"
RESULT = "kinetics.json"
_HINT = "measure again with --overwrite"


def kinetics_folder(run: Path) -> Path:
    """The folder of the kinetics of a run."""
    return run / KINETICS


def require_free(run: Path, *, overwrite: bool) -> None:
    """Raise a TemporemError if there is a result that may not be replaced."""
    folder = kinetics_folder(run)
    require_no_links([folder])
    if folder.exists() and not overwrite:
        raise TemporemError(f"{folder} exists", hint="pass --overwrite to replace it")
    if folder.exists() and not (folder / RESULT).is_file():
        raise TemporemError(
            f"{folder} holds no {RESULT}, so it is not replaced", hint="move it elsewhere"
        )


def write_kinetics(
    run: Run, found: Kinetics, more: Mapping[str, str], *, overwrite: bool = False
) -> Path:
    """Write numbers, tables and figures, all or nothing.

    Args:
        run: the run.
        found: its kinetics.
        more: texts of further files by name, such as figures.
        overwrite: replace an earlier result.

    Returns:
        The folder.
    """
    folder = kinetics_folder(run.path)
    require_free(run.path, overwrite=overwrite)
    with fresh_directory(folder, overwrite=overwrite) as partial:
        document = {
            "format": FORMAT,
            "temporem_version": __version__,
            **found.facts.model_dump(),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        (partial / RESULT).write_text(text, encoding="utf-8")
        for name, content in more.items():
            (partial / name).write_text(content, encoding="utf-8")
        write_star(partial / "path.star", {"path": _path(found)})
        write_star(partial / "frames.star", {"frames": _frames(run, found)})
        write_star(partial / "forecast.star", {"forecast": _forecast(run, found)})
    return folder


def load_kinetics(run: Path) -> KineticsFacts | None:
    """Read the kinetics of a run; None if they were not measured.

    Raises:
        TemporemError: a damaged result, or one of another version.
    """
    path = kinetics_folder(run) / RESULT
    if not path.is_file():
        return None
    document = read_json_object(path, form=FORMAT, hint=_HINT)
    own = {key: document[key] for key in document if key not in ("format", "temporem_version")}
    return validate_settings(KineticsFacts, own, source=str(path))


def _path(found: Kinetics) -> StarTable:
    """Latents along x with energy, density and diffusion coefficient."""
    x = found.diffusion.grid.points
    between = np.convolve(found.diffusion.diffusion, [0.5, 0.5])
    between[[0, -1]] = found.diffusion.diffusion[[0, -1]]
    columns = {"temporemX": x, "temporemDensity": found.diffusion.density}
    columns |= {"temporemEnergyKT": found.diffusion.potential, "temporemDiffusion": between}
    if found.coordinate is not None:
        for number, column in enumerate(found.coordinate.latents(x).T, start=1):
            columns[f"temporemLatent{number}"] = column
    return StarTable(columns, where="path.star")


def _frames(run: Run, found: Kinetics) -> StarTable:
    """Statement of each frame alone, and the probability of every basin given the whole movie."""
    measured = found.measured
    seen = measured.information > 0
    deviation = np.divide(1, measured.information, out=np.full(len(seen), 1e6), where=seen) ** 0.5
    value = np.where(seen, measured.score * deviation**2, 0.0)
    columns = {
        "rlnParticleName": run.particle_names,
        "rlnMovieFrameNumber": run.frame_numbers,
        "temporemAlone": value,
        "temporemAloneSd": deviation,
    }
    for number, share in enumerate(found.probabilities.T, start=1):
        columns[f"temporemBasin{number}"] = share
    return StarTable(columns, where="frames.star")


def _forecast(run: Run, found: Kinetics) -> StarTable:
    forecast, measured = found.forecast, found.measured
    lasts = [rows[-1] for rows in measured.movies]
    steps = len(forecast.ahead)
    times = np.array([measured.times[row] for row in lasts])[:, None] + forecast.ahead
    return StarTable(
        {
            "rlnParticleName": [run.particle_names[row] for row in lasts for _ in range(steps)],
            "temporemTime": times.ravel(),
            "temporemMean": forecast.mean.ravel(),
            "temporemLow": forecast.low.ravel(),
            "temporemHigh": forecast.high.ravel(),
        },
        where="forecast.star",
    )
