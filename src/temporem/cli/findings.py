"""Findings of a run in sentences: components, poses, symmetry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from temporem.cli.console import say

if TYPE_CHECKING:
    from temporem.runs.facts import HalfAgreementFacts, RunFacts

_EXACT = 0.97  # agreement of a symmetric molecule after its turns, on simulated volumes
_LEAST_KL = 0.05  # nats per frame; motions that were found have 0.1 and more


def say_findings(run: Path) -> None:
    """Say what a finished run found, and warn where it is doubtful."""
    from temporem.runs.facts import read_facts

    facts = read_facts(run)
    for doubt in facts.data_warnings:
        say(f"Warning: {doubt}")
    for correction in facts.corrections:
        say(correction)
    _say_half_maps(facts)
    _say_components(facts, run)
    _say_left_out_movies(run)
    warn_of_lost_motion(run)
    _say_random_starts(facts)
    _warn_of_symmetry(facts)
    say_order(run)


def say_order(run: Path) -> None:
    """Say if a run took frames in random order."""
    from temporem.runs.run import load_run_config

    if load_run_config(run).data.shuffle_frames:
        say(
            "Frames of every movie were taken in random order (--shuffle-frames). What a run in "
            "the true order has beyond this one, such as likelihood of left-out movies, comes from "
            "time."
        )


def warn_of_symmetry(run: Path) -> None:
    """Warn if the poses that were found are of a symmetric volume."""
    from temporem.runs.facts import read_facts

    _warn_of_symmetry(read_facts(run))


def _say_half_maps(facts: RunFacts) -> None:
    if facts.half_fsc is None:
        return
    import numpy as np

    from temporem.physics.fsc import HALF_MAP_THRESHOLD, resolution

    curve = np.array(facts.half_fsc)
    angstrom, never = resolution(curve, HALF_MAP_THRESHOLD, facts.pixel_size_angstrom)
    note = " (Nyquist; the curve never falls below)" if never else ""
    say(f"Resolution of half maps at FSC {HALF_MAP_THRESHOLD}: {float(angstrom):.2f} Å{note}")


def _say_components(facts: RunFacts, run: Path) -> None:
    from temporem.runs.config import NETWORKS
    from temporem.runs.run import load_run_config

    n, agreement = facts.components, facts.half_agreement
    if n is None:
        return
    network = load_run_config(run).method in NETWORKS
    what = "Components of the warm start" if network else "Components"
    if agreement is None:
        say(f"{what}: {n}. There are too few movies to test whether two halves find the same ones.")
        return
    say(f"{what}: {n}. {_found(agreement)}")
    if not agreement.components_found:
        say(
            "Warning: the motion in these volumes may be noise. Two halves of the movies do not "
            "find the same components. More movies or less noise would help."
        )
    if facts.doubtful_components:
        say(f"Warning: {facts.doubtful_components}")


def _say_left_out_movies(run: Path) -> None:
    from temporem.runs.persistence import read_metrics

    records = read_metrics(run, "linear")
    found = [x for record in records for x in record.get("held_out_log_likelihood", ())]
    if found:
        say(
            "Log-likelihood of the left-out movies, with the number of components that suits them "
            f"best: {max(found):.3f} nats per frame"
        )


def warn_of_lost_motion(run: Path) -> None:
    """Warn if the latents of a network say nothing of the images (posterior collapse)."""
    from temporem.runs.config import NETWORKS
    from temporem.runs.persistence import read_metrics
    from temporem.runs.run import load_run_config

    config = load_run_config(run)
    records = [record for record in read_metrics(run) if "kl" in record]
    if config.method not in NETWORKS or config.method == "clock" or not records:
        return
    kl = records[-1]["kl"]
    if kl < _LEAST_KL:
        instead = (
            "--generator volumes, or " if config.model.generator != "volumes" else ""
        ) + "--method linear"
        say(
            "Warning: the motion was lost. The latents differ from their prior by only "
            f"{kl:.2f} nats per frame, so all frames have nearly the same volume. "
            f"Next: {instead}, or less noise."
        )


def _found(agreement: HalfAgreementFacts) -> str:
    pairs = zip(agreement.correlations, agreement.chance, agreement.chance_sd, strict=True)
    numbers = ", ".join(f"{found:.2f} ({mean:.2f} ± {sd:.2f})" for found, mean, sd in pairs)
    return (
        f"Two halves of the movies, each fitted on its own, agree on {agreement.components_found}. "
        f"Agreement, in brackets by chance: {numbers}"
    )


def _say_random_starts(facts: RunFacts) -> None:
    from temporem.poses.ab_initio import ALIKE_DEGREES, LEAST_ALIKE

    alike = facts.starts_alike
    if alike is None:
        return
    say(
        f"Poses: two random starts, each on its own, agree within {ALIKE_DEGREES:g}° on "
        f"{alike:.0%} of the frames"
    )
    if facts.pose_diffusion is not None:
        say(
            "Poses: the images show that molecules turn little from frame to frame, so all frames "
            f"of a movie help to pose each one (D = {facts.pose_diffusion:.3g} degrees² per unit "
            "of time). --set poses.diffusion=none poses every frame by itself"
        )
    if alike < LEAST_ALIKE:
        say(
            "Warning: most poses may be wrong, and so may all volumes. If the images determined "
            "the poses, other random starts would find the same ones. Next: --set poses.effort=12 "
            "tries up to 12 starts; --poses refine takes poses of another program. More frames or "
            "less noise would help."
        )


def _warn_of_symmetry(facts: RunFacts) -> None:
    symmetry = facts.found_symmetry
    if symmetry is None or symmetry.order == 1:
        return
    turn = f"a turn by {360 / symmetry.order:g}°" if symmetry.order else "any turn"
    across = ", and after half a turn about axes at right angles to it" if symmetry.dihedral else ""
    x, y, z = symmetry.axis
    same = "the same" if symmetry.agreement > _EXACT else "nearly the same"
    say(
        f"Warning: the volume looks {same} after {turn} about the axis ({x:.2f}, {y:.2f}, "
        f"{z:.2f}){across} ({symmetry.name}, agreement {symmetry.agreement:.2f}). Poses may be off "
        "by such turns. If the molecule has this symmetry, that is no error, although an "
        "evaluation counts it as one. A part that moves on its own breaks the symmetry; then it is."
    )
