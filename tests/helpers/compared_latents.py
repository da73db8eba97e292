"""A comparison of latents, as pages need it."""

from __future__ import annotations

from collections.abc import Mapping

from temporem.validation.facts import CurveFacts
from temporem.validation.latent_facts import (
    AdvantageFacts,
    LatentComparison,
    LatentFacts,
    RegionResolution,
)


def latent_comparison(gains: Mapping[str, float], *, pixel: float = 4.0) -> LatentComparison:
    """Latents by name with their gains, each with an interval of one nat to both sides."""
    curve = CurveFacts(
        fsc=[1, 0.9, 0.1], corrected=[1, 0.9, 0.1], angstrom=9.0, never_crossed=False
    )
    region = RegionResolution(volumes=curve, change=curve, correlation=0.8)
    facts = {
        name: LatentFacts(
            dimensions=2,
            movies=30,
            frames=300,
            share=0.1,
            gain=gain,
            gain_interval=(gain - 1, gain + 1),
            regions={"moving": region},
        )
        for name, gain in gains.items()
    }
    first, *others = gains
    advantages = {
        name: AdvantageFacts(
            value=gains[name] - gains[first],
            low=gains[name] - gains[first] - 1,
            high=gains[name] - gains[first] + 1,
        )
        for name in others
    }
    return LatentComparison(
        pixel_size_angstrom=pixel, baseline=first, latents=facts, advantages=advantages
    )
