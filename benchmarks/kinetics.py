"""Errors and coverage of kinetics on planted latents: ``python -m benchmarks.kinetics``.

Frames have the noise that latents of a linear model have on toy-free at SNR 0.3 and 0.1, in
standard deviations of x. Every repeat has 60 movies of 20 frames, of which a tenth is missing.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.common import say
from benchmarks.planted import planted_diffusion, planted_jumps
from temporem.evaluation.resampling import BootstrapSettings, MovieBootstrap
from temporem.kinetics.facts import Estimate
from temporem.kinetics.jumps import fit_jumps, resample_jumps
from temporem.kinetics.langevin import Grid, fit_langevin, resample_langevin
from temporem.kinetics.measurements import Measurements

NOISE = {"0.3": 0.21, "0.1": 0.37}
"""Error of a frame by SNR, in standard deviations of x."""

TWO = ([[0, 1.0], [0.6, 0]], [0.97, -1.03])
THREE = ([[0, 1.0, 0], [1.0, 0, 1.0], [0, 1.0, 0]], [-1.22, 0.0, 1.22])
RELAXATION = 0.5
LEVEL = 0.9


def jump_estimates(
    measured: Measurements, states: int, samples: int
) -> list[tuple[tuple[int, int], Estimate]]:
    """Rates between basins with their intervals, as :func:`study` has them."""
    fit = fit_jumps(measured, states)
    draws = resample_jumps(measured, fit, _resampled(measured, samples))
    return [
        ((i, j), Estimate.of(fit.rates[i, j], np.array([d.rates[i, j] for d in draws]), LEVEL))
        for i in range(states)
        for j in range(states)
        if abs(i - j) == 1
    ]


def diffusion_estimates(measured: Measurements, samples: int) -> list[tuple[str, Estimate]]:
    """Diffusion coefficient and relaxation time with their intervals."""
    grid = Grid.of(measured)
    fit = fit_langevin(measured, grid)
    draws = resample_langevin(measured, fit, _resampled(measured, samples))
    return [
        ("D", Estimate.of(fit.mean_diffusion, np.array([d.mean_diffusion for d in draws]), LEVEL)),
        ("relaxation", Estimate.of(fit.relaxation, np.array([d.relaxation for d in draws]), LEVEL)),
    ]


def _resampled(measured: Measurements, samples: int) -> np.ndarray:
    movies = np.arange(len(measured.movies))
    weights: np.ndarray = MovieBootstrap(movies, BootstrapSettings(samples, LEVEL)).weights
    return weights.astype(np.float64)


def _line(name: str, truth: float, found: list[Estimate]) -> str:
    values = np.array([one.value for one in found])
    held = [one.low is not None and one.low <= truth <= (one.high or 0) for one in found]
    ratio = np.exp(np.median(np.log(values / truth)))
    off = np.exp(np.abs(np.log(values / truth)))
    return (
        f"{name}: true {truth:g}, median estimate / true {ratio:.2f}, within a factor 1.2 in "
        f"{np.mean(off < 1.2):.0%}, 90 % interval holds the truth in {np.mean(held):.0%} of "
        f"{len(found)}"
    )


def main() -> None:
    """Run the repeats and print a line for every number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--movies", type=int, default=60)
    parser.add_argument("--process", choices=["two", "three", "diffusion"], action="append")
    given = parser.parse_args()
    for process in given.process or ["two", "three", "diffusion"]:
        for snr, noise in NOISE.items():
            found: dict[str, list[Estimate]] = {}
            truth: dict[str, float] = {}
            for seed in range(given.repeats):
                options = {"noise": noise, "movies": given.movies, "seed": 1000 + seed}
                if process == "diffusion":
                    measured, _ = planted_diffusion(RELAXATION, **options)
                    truth |= {"D": 1 / RELAXATION, "relaxation": RELAXATION}
                    for name, one in diffusion_estimates(measured, given.samples):
                        found.setdefault(name, []).append(one)
                    continue
                rates, centres = TWO if process == "two" else THREE
                measured, _ = planted_jumps(rates, centres, **options)
                order = np.argsort(centres)
                for (i, j), one in jump_estimates(measured, len(centres), given.samples):
                    name = f"rate {i + 1} → {j + 1}"
                    truth[name] = rates[order[i]][order[j]]
                    found.setdefault(name, []).append(one)
            for name, estimates in found.items():
                say(f"{process}, SNR {snr}, {_line(name, truth[name], estimates)}")


if __name__ == "__main__":
    main()
