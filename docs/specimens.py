"""Tables of formats.md: every file of other programs in ``../shared``, read or refused.

Particles go through ``temporem import``, movies of the field of view through the readers of
``temporem extract``.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from temporem.cli.main import main
from temporem.errors import TemporemError
from temporem.frames.readers import read_dataset
from temporem.io.microscope.readers import open_movie

SHARED = Path(os.environ.get("TEMPOREM_SHARED", Path(__file__).parents[2] / "shared"))
SPECIMENS = SHARED / "specimens"
FOLDERS = ("cryosparc", "mrc", "relion")
MOVIE_FOLDERS = ("liquid", "vendor")
NOTES = (".txt", ".csv")
"""Endings of files that lie beside movies and are none."""

ONE_BY_ONE = "--frames-per-movie 1"
BARE = f"--ctf none --input-pixel-size 2 {ONE_BY_ONE}"
OPTIONS = {
    "cryosparc/empiar_10076_7.cs": f"--datadir relion --size 64 {ONE_BY_ONE}",
    "mrc/1ake.mrc": BARE,
    "mrc/EMD-3001.map": BARE,
    "mrc/EMD-3197.map": BARE,
    "mrc/hand.mrcs": BARE,
    "mrc/spike-vol.mrc": f"--ctf none --no-normalise {ONE_BY_ONE}",
    "relion/ay19102021_L3_position6_ribo_it09_bin8_1.82A.mrcs": BARE,
    "relion/empiar_10076_7.mrc": f"--size 64 {BARE}",
    "relion/empiar_10076_7.star": f"--size 64 {ONE_BY_ONE}",
    "relion/relion31.mrcs": BARE,
    "relion/relion31.star": ONE_BY_ONE,
    "relion/rln_proj_64.mrcs": BARE,
    "relion/rln_proj_64.star": BARE,
    "relion/rln_proj_65.mrcs": f"--no-normalise {BARE}",
    "relion/rln_proj_65.star": f"--no-normalise {BARE}",
    "relion/sample.mrcs": BARE,
    "relion/sample_particles_relion30.star": ONE_BY_ONE,
    "relion/sample_particles_relion31.star": "--stack-is-movie",
    "relion/sta_testing_bin8.star": "--movie-from rlnGroupName",
    "relion/toy_projections.mrcs": f"--no-normalise {BARE}",
    "relion/toy_projections.star": f"--no-normalise --input-pixel-size 2 {ONE_BY_ONE}",
}
"""Options by file; none for those that are not here. A folder is one of the specimens'."""


def specimens() -> list[str]:
    """Names of all files, in order."""
    return sorted(f"{f}/{p.name}" for f in FOLDERS for p in (SPECIMENS / f).iterdir())


def outcome(name: str) -> str:
    """Import a file with its options; what the dataset holds, or why there is none."""
    words = OPTIONS.get(name, "").split()
    words = [str(SPECIMENS / word) if word in FOLDERS else word for word in words]
    error = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with redirect_stdout(io.StringIO()), redirect_stderr(error):
            code = main(["import", str(SPECIMENS / name), "-o", str(out), *words])
        if code:
            return refusal(error.getvalue().strip().removeprefix("error: "))
        data = read_dataset(out)
    poses = "with" if data.has_poses else "without"
    return (
        f"{data.n_frames} images in {data.n_movies} movies, {data.box} pixels of "
        f"{data.pixel_size_angstrom:.4g} Å, {poses} poses"
    )


def refusal(message: str) -> str:
    """First part of an error, without the place of the specimens."""
    said = message.split("; ")[0]
    for path in {SPECIMENS, SPECIMENS.resolve()}:
        said = said.replace(f"{path}/", "")
    return f"refused: {said}"


def movie_outcome(name: str) -> str:
    """Open a movie and read its first and last frame; what the file tells, or why it is refused."""
    try:
        movie = open_movie(SPECIMENS / name)
        movie.frames(0, 1)
        movie.frames(movie.n_frames - 1, movie.n_frames)
    except TemporemError as error:
        return refusal(str(error))
    told = (
        (movie.pixel_size_angstrom, "pixels of {:.4g} Å"),
        (movie.frame_seconds, "{:.4g} s a frame"),
        (movie.voltage_kv, "{:g} kV"),
    )
    n, height, width = movie.shape
    size = f"{n} {'frame' if n == 1 else 'frames'} of {width} x {height} pixels"
    fault = movie.pixel_size_fault.partition(" has ")[2]
    return ", ".join(
        [
            size,
            *filter(None, [fault]),
            *(text.format(value) for value, text in told if value is not None),
        ]
    )


def movie_rows() -> list[tuple[str, str]]:
    """File or folder, and what its reader finds."""
    names = sorted(f"{f}/{p.name}" for f in MOVIE_FOLDERS for p in (SPECIMENS / f).iterdir())
    return [(f"`{name}`", movie_outcome(name)) for name in names if not name.endswith(NOTES)]


def rows() -> list[tuple[str, str, str]]:
    """File, options and outcome."""
    return [
        (f"`{name}`", f"`{OPTIONS[name]}`" if name in OPTIONS else "", outcome(name))
        for name in specimens()
    ]
