"""Kinetics in plain sentences, which say what cannot be told."""

from __future__ import annotations

from temporem.kinetics.facts import Estimate, KineticsFacts, Rate

_NOISY = 1.0  # error of a frame in standard deviations of x beyond which a sentence says so
_NONE = 0.5  # expected jumps that count as none


def sentences(facts: KineticsFacts) -> list[str]:
    """Say what the movies tell of the kinetics, and what they cannot tell."""
    unit = "frames" if facts.unit == "frame" else facts.unit
    lines = [
        f"{facts.n_movies} movies, {facts.n_frames} frames, along {facts.along}: a frame alone "
        f"measures x to ±{facts.frame_error:.2g}, and x varies by {facts.deviation:.2g} (standard "
        f"deviations). Brackets hold {facts.level:.0%} of resampled movies."
    ]
    if facts.unit == "frame":
        lines.append("The movies have no times, so times are counted in frames.")
    if facts.frame_error > _NOISY * facts.deviation:
        lines.append(
            "Single frames say less than the motion is wide. Energies between basins are then "
            "smooth by assumption."
        )
    lines.append(_which(facts))
    if len(facts.basins) > 1 and (facts.hops is not False or facts.states_given):
        lines += _basins(facts, unit) + [_rate(facts, rate) for rate in facts.rates]
        lines.append(
            f"Populations relax in {_text(facts.relaxation)} {unit}."
            if all(basin.dwell_known for basin in facts.basins)
            else "Cannot tell how fast populations relax, because not all stays are known."
        )
    lines += _diffusion(facts, unit)
    return [*lines, *(f"Warning: {text}" for text in facts.warnings)]


def _which(facts: KineticsFacts) -> str:
    n = len(facts.basins)
    nats = abs(facts.bic["diffusion"] - facts.bic[str(n)]) / 2
    chosen = "as asked" if facts.states_given else "the number with the lowest BIC"
    jumps = f"jumps between {n} basins ({chosen})" if n > 1 else "one basin without a memory"
    if facts.hops is None:
        return f"Cannot tell diffusion along x from {jumps}: {nats:.0f} nats apart (BIC / 2)."
    if not facts.hops:
        hint = "" if facts.states_given else " No basins are listed; --states lists some."
        return (
            f"Diffusion along x describes the frames better than {jumps}, by {nats:.0f} nats "
            f"(BIC / 2).{hint}"
        )
    if n == 1:
        return (
            "Frames of one movie are no more alike than frames of several: what changes is faster "
            "than the time between frames, or noise."
        )
    return f"Better described by {jumps} than by diffusion, by {nats:.0f} nats (BIC / 2)."


def _basins(facts: KineticsFacts, unit: str) -> list[str]:
    lines = []
    for number, basin in enumerate(facts.basins, start=1):
        stay = (
            f"a stay lasts {_text(basin.dwell)} {unit}"
            if basin.dwell_known
            else "cannot tell how long a stay lasts"
        )
        lines.append(
            f"Basin {number}: x = {_text(basin.centre)}, holds {_text(basin.population)} of the "
            f"time; {stay}."
        )
    return lines


def _rate(facts: KineticsFacts, rate: Rate) -> str:
    names = f"Rate {rate.start} → {rate.end}"
    per = f"per {facts.unit}"
    if rate.known:
        return f"{names}: {_text(rate.rate)} {per}, from {rate.jumps:.0f} jumps."
    limit = f"; below {rate.limit:.2g} {per} (95 %)" if rate.limit is not None else ""
    if rate.jumps < _NONE and facts.basins[rate.start - 1].dwell_known:
        return f"{names}: no such jump was seen{limit}."
    return f"{names}: cannot tell, {rate.reason}{limit}."


def _diffusion(facts: KineticsFacts, unit: str) -> list[str]:
    if facts.hops:
        return ["No diffusion coefficient: the molecule hops and does not diffuse along x."]
    if not facts.diffusion_known:
        return ["Cannot tell the diffusion coefficient: resampled movies give very different ones."]
    text = (
        f"Diffusion coefficient: {_text(facts.diffusion)} x² per {facts.unit}; the slowest "
        f"relaxation takes {_text(facts.diffusion_relaxation)} {unit}."
    )
    slow = facts.diffusion_relaxation.value
    if slow is not None and slow > facts.longest:
        text += " No movie is that long, so the relaxation time rests on the model."
    if slow is not None and slow < facts.interval:
        text += " This is less than the time between frames: it is an upper limit."
    return [text]


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
