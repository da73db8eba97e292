"""Results of null tests as they are stored, and in words."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

LEVEL = 0.05
"""Largest p-value that counts as evidence."""

_PValue = Field(gt=0, le=1)

Finding = Literal["still", "disagreement", "poses", "moves", "moves in time"]
"""Outcome of the tests; see :attr:`NullFacts.finding`."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SimulatedFacts(_Facts):
    """Gain and agreement of data that were simulated from the mean volume alone.

    Attributes:
        gains: nats per frame.
        agreements: of the halves.
        p_gain, p_agreement: p-values of those of the data.
    """

    gains: list[FiniteFloat] = Field(min_length=1)
    agreements: list[FiniteFloat] = Field(min_length=1)
    p_gain: float = _PValue
    p_agreement: float = _PValue

    @property
    def p(self) -> float:
        """The p-value of both together: the larger, as both must be beyond the null."""
        return max(self.p_gain, self.p_agreement)


class NullSets(_Facts):
    """Gain and agreement of simulated sets so far, by test, and the gain of the data."""

    gain: FiniteFloat
    made: dict[str, list[tuple[FiniteFloat, FiniteFloat]]]

    def with_made(self, name: str, pairs: list[tuple[float, float]]) -> NullSets:
        """The sets with those of one test replaced."""
        return NullSets(gain=self.gain, made={**self.made, name: list(pairs)})


class OrderFacts(_Facts):
    """Gain with frames in random order, nats per frame, mean over orders."""

    shuffled_gain: FiniteFloat
    p: float = _PValue


class DirectionFacts(_Facts):
    """Test of movies against the same movies played backwards."""

    p: float = _PValue


class NullFacts(_Facts):
    """Results of null tests.

    Attributes:
        n_movies, n_frames: tested.
        components: number of components of the linear models.
        angstrom: their resolution, Å.
        sets: simulated sets of a test.
        poses_from_images: the poses were found from these images.
        gain: what motion adds to the log-likelihood of unseen movies, nats per frame.
        gain_interval: its 95 % interval over movies.
        agreement: of the components of two halves of the movies, from 0 to 1.
        angle_degrees, shift_angstrom: measured errors of the poses; None where the mean volume is
            too poor.
        still: simulated sets in exact poses.
        poses: simulated sets with errors of poses; None if the question did not arise.
        order, direction: tests of the order of frames and of the direction of time; None if the
            question did not arise.
    """

    n_movies: int = Field(ge=1)
    n_frames: int = Field(ge=1)
    components: int = Field(ge=1)
    angstrom: float = Field(gt=0)
    sets: int = Field(ge=1)
    poses_from_images: bool = False
    gain: FiniteFloat
    gain_interval: tuple[FiniteFloat, FiniteFloat]
    agreement: float = Field(ge=0, le=1.001)
    angle_degrees: FiniteFloat | None
    shift_angstrom: FiniteFloat | None
    still: SimulatedFacts
    poses: SimulatedFacts | None = None
    order: OrderFacts | None = None
    direction: DirectionFacts | None = None

    @model_validator(mode="after")
    def _errors_together(self) -> NullFacts:
        if (self.angle_degrees is None) != (self.shift_angstrom is None):
            raise ValueError("angle_degrees and shift_angstrom go together")
        return self

    @property
    def finding(self) -> Finding:
        """``still``: no more than noise. ``disagreement``: more than noise, but halves of the
        movies find different things. ``poses``: no more than errors of poses make. ``moves``, or
        ``moves in time`` if the order of frames matters.
        """
        if self.still.p_gain > LEVEL:
            return "still"
        if self.still.p_agreement > LEVEL:
            return "disagreement"
        if self.poses is not None and self.poses.p > LEVEL:
            return "poses"
        return "moves in time" if self.order is not None and self.order.p <= LEVEL else "moves"

    @property
    def moves(self) -> bool:
        """True if a molecule that stands still would not look like this."""
        return self.finding in ("moves", "moves in time")

    @property
    def verdict(self) -> str:
        """The finding in a sentence or two."""
        match self.finding:
            case "moves":
                return "Motion found, but the frames of a movie might as well be in another order."
            case "moves in time":
                return "Motion found, and it shows in the order of the frames."
            case _:
                return f"No motion found. {self.doubt}"

    @property
    def doubt(self) -> str:
        """Why no motion is found, in a sentence; empty where some is."""
        match self.finding:
            case "still":
                return "With this noise, a molecule that does not move would look like this."
            case "disagreement":
                return (
                    "Images differ from one another by more than this noise, but halves of the "
                    "movies do not agree on what changes."
                )
            case "poses":
                return (
                    "What changes looks like what poses make that are off by "
                    f"{self.angle_degrees:.1f}° and {self.shift_angstrom:.1f} Å."
                )
            case _:
                return ""

    def sentences(self) -> list[str]:
        """Say what the tests found, the verdict first."""
        low, high = self.gain_interval
        texts = [
            f"Null tests: {self.verdict}",
            f"  Tested by linear models of {self.components} "
            f"component{'s' * (self.components > 1)} at {self.angstrom:.0f} Å, fitted to each half "
            f"of {self.n_movies} movies ({self.n_frames} frames), on the movies of the other half; "
            "volumes of a run play no part. "
            f"Motion changes their log-likelihood by {self.gain:+.2f} nats per frame (95 % from "
            f"{low:+.2f} to {high:+.2f}).",
            f"  What changes is alike in both models by {self.agreement:.2f} (0 to 1).",
            f"  Noise alone: {_simulated(self.still, self.sets)}",
        ]
        if self.poses is not None:
            size = f"{self.angle_degrees:.1f}° and {self.shift_angstrom:.1f} Å"
            texts.append(
                f"  Poses: they seem off by {size}, to which motion adds. With such errors, "
                f"{_simulated(self.poses, self.sets)}"
            )
        elif self.moves:
            texts.append(
                "  Poses: not tested; the mean volume is too poor to measure their errors."
            )
        if self.order is not None:
            texts.append(
                f"  Order: with the frames of every movie shuffled, "
                f"{self.order.shuffled_gain:+.2f} nats per frame (p = {_number(self.order.p)})."
            )
        if self.direction is not None:
            texts.append(f"  Direction: {self._direction(self.direction.p)}")
        if self.poses_from_images:
            texts.append(
                "  Caution: poses were found from these images. The simulated sets do not repeat "
                "that search, so p-values may be too small."
            )
        return texts

    def _direction(self, p: float) -> str:
        if p > LEVEL:
            return f"movies played backwards look the same, as at equilibrium (p = {_number(p)})."
        return (
            f"movies played backwards look different (p = {_number(p)}). The molecule drifts or "
            "circles in one sense, as if it is driven, starts alike in all movies, or is damaged."
        )


def _simulated(found: SimulatedFacts, sets: int) -> str:
    least = "; no p can be smaller" if found.p <= 1 / (sets + 1) + 1e-9 else ""
    mean = sum(found.gains) / len(found.gains)
    return (
        f"{sets} simulated datasets of a molecule that stands still gain {mean:+.2f} on average, "
        f"at most {max(found.gains):+.2f} (p = {_number(found.p_gain)}), and their halves agree "
        f"by at most {max(found.agreements):.2f} (p = {_number(found.p_agreement)}{least})."
    )


def _number(p: float) -> str:
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
