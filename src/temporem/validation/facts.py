"""Results of tests as they are stored, and in words."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from temporem.physics.fsc import HALF_MAP_THRESHOLD
from temporem.validation.displacement import Determination, Region
from temporem.validation.half_sets import Curve, HalfSetAgreement
from temporem.validation.held_out import MovieScores

_LEAST_CORRELATION = 0.3  # of the changes; halves of noise have about 0
_MOST_NAMED = 3


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScoreFacts(_Facts):
    """Scores of movies that were not trained on; see :class:`MovieScores`."""

    movies: list[str]
    n_frames: list[int]
    scores: list[FiniteFloat]
    motion: list[FiniteFloat]
    likelihoods: list[FiniteFloat]

    @model_validator(mode="after")
    def _of_one_length(self) -> ScoreFacts:
        lists: tuple[list[Any], ...] = (self.movies, self.n_frames, self.scores)
        lists += (self.motion, self.likelihoods)
        if len({len(one) for one in lists}) > 1 or not self.movies:
            raise ValueError("lists must be of one length")
        if min(self.n_frames) < 1:
            raise ValueError("every movie must have a frame")
        return self

    @classmethod
    def of(cls, found: MovieScores) -> ScoreFacts:
        return cls(
            movies=found.movies,
            n_frames=found.n_frames.tolist(),
            scores=found.scores.tolist(),
            motion=found.motion.tolist(),
            likelihoods=found.likelihoods.tolist(),
        )

    @property
    def measured(self) -> MovieScores:
        """The scores as arrays."""
        import numpy as np

        lists = (self.n_frames, self.scores, self.motion, self.likelihoods)
        arrays = (np.array(one) for one in lists)
        return MovieScores(self.movies, *arrays)

    def sentence(self, which: str) -> str:
        """Say the score in words; ``which`` names the movies."""
        found = self.measured
        low, high = found.interval
        interval = f" (95 % from {low:.2f} to {high:.2f})" if low == low else ""
        worse = "" if found.per_frame >= 0 else "Warning: "
        text = (
            f"{worse}{which}: {len(found.movies)} movies, {sum(self.n_frames)} frames. Their "
            f"images are {'less likely' if worse else 'likelier'} than with one volume for all "
            f"frames: {found.per_frame:+.2f} nats per frame{interval}. "
            f"Of this, {found.motion_per_frame:+.2f} comes from the motion."
        )
        if found.motion_interval[0] <= 0:
            text += (
                " Warning: this is no more than chance, so the motion in these volumes is not "
                "confirmed."
            )
        return text


class CurveFacts(_Facts):
    """An FSC curve; see :class:`Curve`."""

    fsc: list[FiniteFloat]
    corrected: list[FiniteFloat]
    angstrom: FiniteFloat
    never_crossed: bool

    @classmethod
    def of(cls, curve: Curve) -> CurveFacts:
        return cls(
            fsc=curve.fsc.tolist(),
            corrected=curve.corrected.tolist(),
            angstrom=curve.angstrom,
            never_crossed=curve.never_crossed,
        )

    @property
    def text(self) -> str:
        """The resolution, as in ``9.1 Å``."""
        if self.corrected[1] < HALF_MAP_THRESHOLD:
            return "to no resolution"
        return f"{self.angstrom:.1f} Å{' (Nyquist)' if self.never_crossed else ''}"

    @property
    def agreement(self) -> str:
        """How far two maps agree, as in ``agree to 9.1 Å``."""
        repeats = self.corrected[1] >= HALF_MAP_THRESHOLD
        return f"agree to {self.text}" if repeats else "agree at no resolution"


class RegionFacts(_Facts):
    """Agreement in a mask.

    Attributes:
        volumes: FSC of the volumes along the path, mean.
        change: FSC of their change.
        correlation: correlation of the change.
        states_angstrom: resolution of each state along the path, Å.
        frames_angstrom: resolution of single frames, median, Å.
    """

    volumes: CurveFacts
    change: CurveFacts
    correlation: float = Field(ge=-1.001, le=1.001)
    states_angstrom: list[FiniteFloat]
    frames_angstrom: FiniteFloat

    def sentence(self, mask: str) -> str:
        """Say how far volumes and their changes agree within a mask."""
        where = {"particle": "In the whole molecule", "moving": "Where it moves"}.get(mask, mask)
        best, worst = (f"{edge(self.states_angstrom):.1f}" for edge in (min, max))
        states = f"{best} Å" if best == worst else f"between {best} and {worst} Å"
        return (
            f"{where}, volumes {self.volumes.agreement}. Changes between frames "
            f"{self.change.agreement}, with a correlation of {self.correlation:.2f}. Single states "
            f"along the path agree to {states}, not corrected."
        )


class PartFacts(_Facts):
    """A part of the molecule; see :class:`Region`."""

    centre_angstrom: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    share: FiniteFloat
    moved_angstrom: FiniteFloat
    disagreement_angstrom: FiniteFloat
    determined: bool

    @classmethod
    def of(cls, region: Region) -> PartFacts:
        return cls(**vars(region))


class MotionFacts(_Facts):
    """How far the motion of a cloud is determined; see :class:`Determination`."""

    parts: list[PartFacts]
    undetermined_share: float = Field(ge=0, le=1.001)

    @classmethod
    def of(cls, found: Determination) -> MotionFacts:
        parts = [PartFacts.of(region) for region in found.regions]
        return cls(parts=parts, undetermined_share=found.undetermined_share)

    def sentences(self) -> list[str]:
        """Say where the motion is not determined."""
        moved = max(part.moved_angstrom for part in self.parts)
        off = [part for part in self.parts if not part.determined]
        if not off:
            worst = max(part.disagreement_angstrom for part in self.parts)
            return [
                f"Motion: parts move by up to {moved:.1f} Å (rms), and the half sets differ by at "
                f"most {worst:.1f} Å."
            ]
        named = "; ".join(
            f"({part.centre_angstrom[0]:.0f}, {part.centre_angstrom[1]:.0f}, "
            f"{part.centre_angstrom[2]:.0f}) Å: {part.disagreement_angstrom:.1f} Å, where it moves "
            f"by {part.moved_angstrom:.1f} Å"
            for part in off[:_MOST_NAMED]
        )
        return [
            f"Warning: the motion of {len(off)} of {len(self.parts)} parts is not determined "
            f"({self.undetermined_share:.0%} of the density). There the half sets differ by more "
            f"than the part moves: {named}. disagreement.mrc is a map of it."
        ]


class HalfSetFacts(_Facts):
    """Agreement of two half sets.

    Attributes:
        n_movies: movies of each half set.
        n_frames: frames whose volumes were compared.
        pixel_size_angstrom: edge of a voxel, Å.
        regions: by mask, ``particle`` and ``moving``.
        states: number of frames of each state along the path.
        motion: agreement on the motion of a cloud; None for other generators.
        other_half: scores of the movies of each half set by the model of the other.
    """

    n_movies: tuple[int, int]
    n_frames: int
    pixel_size_angstrom: float = Field(gt=0)
    regions: dict[str, RegionFacts]
    states: list[int]
    motion: MotionFacts | None = None
    other_half: ScoreFacts

    @classmethod
    def of(
        cls,
        found: HalfSetAgreement,
        scores: MovieScores,
        n_movies: tuple[int, int],
        motion: Determination | None,
        pixel_size_angstrom: float,
    ) -> HalfSetFacts:
        import numpy as np

        regions = {
            name: RegionFacts(
                volumes=CurveFacts.of(found.volumes[name]),
                change=CurveFacts.of(found.change[name]),
                correlation=found.correlation[name],
                states_angstrom=found.states[name].tolist(),
                frames_angstrom=float(np.median(found.frame_angstrom[name])),
            )
            for name in found.volumes
        }
        return cls(
            n_movies=n_movies,
            n_frames=int(found.n_frames.sum()),
            pixel_size_angstrom=pixel_size_angstrom,
            regions=regions,
            states=found.n_frames.tolist(),
            motion=None if motion is None else MotionFacts.of(motion),
            other_half=ScoreFacts.of(scores),
        )

    def sentences(self) -> list[str]:
        """Say what the half sets agree on, and warn where they do not."""
        a, b = self.n_movies
        texts = [
            f"Two half sets of {a} and {b} movies were fitted separately. Below is the finest "
            f"detail that both show (FSC {HALF_MAP_THRESHOLD}, corrected for the mask)."
        ]
        texts += [region.sentence(name) for name, region in self.regions.items()]
        moving = self.regions.get("moving")
        if moving is None or moving.correlation < _LEAST_CORRELATION:
            texts.append(
                "Warning: the half sets do not find the same motion. What these volumes show of it "
                "may be noise, or made by the model. More movies or less noise would help."
            )
        if self.motion is not None:
            texts += self.motion.sentences()
        return [*texts, self.other_half.sentence("Each half set predicts the movies of the other")]
