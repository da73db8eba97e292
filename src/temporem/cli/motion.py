"""``temporem motion``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import print_json, progress_bar, say
from temporem.cli.options import Json, Overwrite, RunFolder, dataset_folder, output

if TYPE_CHECKING:
    from temporem.evaluation.hinge import HingeScore
    from temporem.volumes.cloud_motion import CloudMotion


def motion(
    run: RunFolder,
    /,
    *,
    out: Annotated[Path, output("Folder to write.")],
    movie: Annotated[
        str | None,
        Parameter(help="Also write a model for every frame of this movie (rlnParticleName)."),
    ] = None,
    states: Annotated[
        int,
        Parameter(
            help="States along the path of the motion, a model each.",
            validator=Number(gte=3, lte=999),
        ),
    ] = 20,
    truth: Annotated[
        Path | None,
        dataset_folder("Simulated dataset of the run: compare the hinge with the true one."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Say what moves in a run with a cloud: rigid bodies, hinges, distances.

    Writes models of the moving Gaussians (mmCIF, PDB), numbers (NPZ, STAR, JSON), and arrows and
    axes for ChimeraX. The run needs --generator cloud.

    Example:  temporem motion 7bcq-cloud -o 7bcq-motion --movie movie_0001
    """
    from temporem.io.files import require_new_directory

    require_new_directory(out, overwrite=overwrite)
    from temporem.runs.motion import (
        require_cloud,
        require_motion_folder,
        summary,
        write_motion_folder,
    )
    from temporem.runs.run import load_run
    from temporem.volumes.cloud_motion import find_motion

    loaded = load_run(run)
    require_cloud(loaded)
    require_motion_folder(out, loaded, overwrite=overwrite)
    if movie is not None:
        loaded.rows_of_movie(movie)  # refused before the work, not after it
    with progress_bar("Measuring motion") as bar:
        found = find_motion(loaded, states=states, progress=bar)
    score = None
    if truth is not None:
        from temporem.evaluation.hinge import score_hinge

        score = score_hinge(loaded, found, truth)
    document: dict[str, Any] = {} if truth is None else {"truth": score and score.document()}
    write_motion_folder(loaded, found, out, movie=movie, more=document, overwrite=overwrite)
    if json:
        print_json({**summary(found), **document})
        return
    for line in sentences(found):
        say(line)
    if truth is not None:
        say(_judged(score))
    say(f"Motion: {out}")
    say(f'Next, in ChimeraX:  open "{out.resolve() / "motion.cxc"}"')


def sentences(found: CloudMotion) -> list[str]:
    """Say in plain sentences what moves."""
    from temporem.runs.motion import summary

    record = summary(found)
    alone = found.bodies.misfit[0]
    if not found.moves:
        return [
            f"Nothing moves: as one rigid body, Gaussians are within {alone:.2f} Å (root mean "
            f"square) of where they are, or within the band of the latents. {_UNCERTAIN}"
        ]
    lines = []
    if len(found.bodies) == 1:
        lines.append(
            f"The molecule bends by {alone:.1f} Å (root mean square), and no two parts of it are "
            "rigid bodies that explain this."
        )
    else:
        lines.append(
            f"{len(found.bodies)} rigid bodies: together they miss Gaussians by "
            f"{found.bodies.misfit[-1]:.1f} Å (root mean square), one body misses by {alone:.1f} Å."
        )
    for body in record["bodies"]:
        lines.append(
            f"Body {body['body']}: {100 * body['share_of_density']:.0f} % of the density, travels "
            f"{body['travel_angstrom']:.1f} Å; band of a frame's displacement "
            f"{body['median_band_angstrom']:.1f} Å wide."
        )
    lines += [_hinge(hinge) for hinge in record["hinges"]]
    if found.whole_degrees > 5:
        lines.append(
            f"Caution: body A itself turns by {found.whole_degrees:.0f}°. A turn of everything "
            "belongs to the poses, so that latents and poses may be confused."
        )
    return [*lines, _UNCERTAIN]


_UNCERTAIN = (
    "Bands hold 90 % of the posterior of the latents; how far the cloud itself is uncertain is not "
    "in them."
)


def _hinge(hinge: dict[str, Any]) -> str:
    names = f"Body {hinge['body']} against {hinge['against']}"
    band = f"a frame's band is {hinge['median_band_degrees']:.1f}° wide"
    if not hinge["turns"]:
        return f"{names}: no hinge; turns by {hinge['range_degrees']:.1f}° in all, and {band}."
    direction = ", ".join(f"{value:.3f}" for value in hinge["axis_direction"])
    point = ", ".join(f"{value:.1f}" for value in hinge["axis_point_angstrom"])
    several = (
        ""
        if hinge["about_one_axis"]
        else f" Turns about it explain only {100 * hinge['share_about_axis']:.0f} % of the motion."
    )
    return (
        f"{names}: turns by {hinge['range_degrees']:.1f}° ({band}) about the axis ({direction}) "
        f"through ({point}) Å from the centre; slides by {hinge['slide_range_angstrom']:.1f} Å "
        f"along it.{several}"
    )


def _judged(score: HingeScore | None) -> str:
    if score is None:
        return "Truth: no body turns in this run, so there is no hinge to compare."
    return (
        f"Truth: axis off by {score.axis_error_degrees:.1f}° and "
        f"{score.axis_distance_angstrom:.1f} Å; angles of frames off by "
        f"{score.angle_rms_degrees:.1f}° (root mean square) in a range of "
        f"{score.true_range_degrees:.0f}°, slope {score.slope:.2f}; "
        f"{100 * score.coverage:.0f} % of the bands hold the truth."
    )
