"""Results of a comparison of latents as they are stored, and in words."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from temporem.validation.facts import CurveFacts
from temporem.validation.half_sets import HalfSetAgreement
from temporem.validation.held_out import Advantage

_MANY = 20  # movies from which a bootstrap interval is about right


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RegionResolution(_Facts):
    """Agreement of half maps in a mask.

    Attributes:
        volumes: FSC of the volumes, mean over states.
        change: FSC of what changes between states.
        correlation: correlation of the change.
    """

    volumes: CurveFacts
    change: CurveFacts
    correlation: float = Field(ge=-1.001, le=1.001)

    @classmethod
    def of(cls, found: HalfSetAgreement, region: str) -> RegionResolution:
        return cls(
            volumes=CurveFacts.of(found.volumes[region]),
            change=CurveFacts.of(found.change[region]),
            correlation=found.correlation[region],
        )


class LatentFacts(_Facts):
    """Worth of the latents of one program.

    Attributes:
        dimensions: number q of latents.
        movies, frames: scored.
        share: share of half of the frames that a volume averages.
        gain: log-likelihood of unseen movies beyond that with latents that are shuffled among the
            frames, nats per frame.
        gain_interval: its 95 % interval over movies.
        regions: agreement of half maps by mask, ``particle`` and ``moving``.
    """

    dimensions: int = Field(ge=1)
    movies: int = Field(ge=1)
    frames: int = Field(ge=1)
    share: float = Field(gt=0, le=1)
    gain: FiniteFloat
    gain_interval: tuple[FiniteFloat, FiniteFloat]
    regions: dict[str, RegionResolution]

    @property
    def explains(self) -> bool:
        """True if volumes at the latents make unseen movies likelier than shuffled ones do."""
        return self.gain_interval[0] > 0

    def sentence(self, name: str) -> str:
        """Say what the latents are worth."""
        low, high = self.gain_interval
        numbers = f"{self.gain:+.2f} nats per frame, 95 % from {low:+.2f} to {high:+.2f}"
        if self.movies < _MANY:
            numbers += f", which is rough with {self.movies} movies"
        if self.explains:
            return f"{name}: the latents explain a change that unseen movies show, too ({numbers})."
        return (
            f"{name}: the latents explain nothing that unseen movies show ({numbers}). "
            "What half maps show of a change may be noise that the latents follow."
        )


class AdvantageFacts(_Facts):
    """Gain of latents over those of the baseline, nats per frame, with its 95 % interval."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat

    @classmethod
    def of(cls, found: Advantage) -> AdvantageFacts:
        return cls(**found.change._asdict())

    def sentence(self, name: str, baseline: str) -> str:
        """Say which latents are better."""
        numbers = f"{self.value:+.2f} nats per frame, 95 % from {self.low:+.2f} to {self.high:+.2f}"
        if self.low <= 0 <= self.high:
            return f"{name} and {baseline} do not differ significantly ({numbers})."
        better = "more" if self.value > 0 else "less"
        return f"{name} explains {better} than {baseline} ({numbers})."


class LatentComparison(_Facts):
    """Latents of several programs on one dataset.

    Attributes:
        pixel_size_angstrom: of the half maps, Å.
        baseline: name of those that others are compared with.
        latents: results by name.
        advantages: of every other over the baseline, by name.
    """

    pixel_size_angstrom: float = Field(gt=0)
    baseline: str
    latents: dict[str, LatentFacts]
    advantages: dict[str, AdvantageFacts]

    def sentences(self) -> list[str]:
        """Say what each is worth, and which is better."""
        texts = [facts.sentence(name) for name, facts in self.latents.items()]
        return texts + [
            found.sentence(name, self.baseline) for name, found in self.advantages.items()
        ]

    def rows(self) -> dict[str, list[str]]:
        """Rows of a table, a column for each of the latents."""
        every = list(self.latents.values())

        def of_region(region: str, key: str) -> list[str]:
            found = [facts.regions.get(region) for facts in every]
            if key == "correlation":
                return ["–" if one is None else f"{one.correlation:.2f}" for one in found]
            return ["–" if one is None else getattr(one, key).text for one in found]

        return {
            "Latents": [str(facts.dimensions) for facts in every],
            "Gain on unseen movies, nats per frame": [
                f"{facts.gain:+.2f} ({facts.gain_interval[0]:+.2f} to "
                f"{facts.gain_interval[1]:+.2f})"
                for facts in every
            ],
            "Half maps, whole molecule": of_region("particle", "volumes"),
            "Half maps, where it moves": of_region("moving", "volumes"),
            "Change alone, where it moves": of_region("moving", "change"),
            "Correlation of the change": of_region("moving", "correlation"),
            "Frames that a volume averages": [
                f"{math.ceil(facts.share * facts.frames / 2)}" for facts in every
            ],
        }
