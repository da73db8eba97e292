"""Corrections of frames whose background, noise or intensity is not even."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from temporem.frames.background import Background
from temporem.frames.broken_pixels import BrokenPixels
from temporem.frames.defocus import DefocusErrors, SeenFrames, measure_defocus
from temporem.frames.likeness import Likeness, judge_frames
from temporem.frames.mean_comparison import MeanComparison
from temporem.frames.noise_spectrum import noise_spectrum, unless_white
from temporem.frames.source import FrameSource, Weighted
from temporem.frames.statistics import FrameStatistics
from temporem.physics.ctf import CTFParameters

PLANE_COLUMNS = ("temporemBackground", "temporemGradientX", "temporemGradientY")
FACTOR_COLUMN = "temporemFactor"
DEFOCUS_COLUMN = "temporemDefocusError"

_WHITE = 0.04  # correlation of neighbours
_STRONG = 1.5  # signal-to-noise ratio; with more, molecules' tails reach into the corners
_ROUNDS = 2  # the mean volume is better once junk is out of it


@dataclass(frozen=True, eq=False)
class Corrections:
    """Corrections of N frames.

    Attributes:
        background: planes that were subtracted, and factors that followed.
        broken: pixels that were repaired.
        spectrum: power of the noise at integer radii, ``(R,)``, by which frames were whitened; None
            for white noise.
        likeness: intensities, and frames that were left out; None where poses were not known.
        defocus: errors of the defocus of movies; None where there are none.
    """

    background: Background
    broken: BrokenPixels
    spectrum: Tensor | None = None
    likeness: Likeness | None = None
    defocus: DefocusErrors | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of a STAR file, those of the corrections that were made.

        Backgrounds are in the units of the file.
        """
        found: dict[str, np.ndarray] = {}
        planes = self.background.planes
        if planes.any():
            found |= dict(zip(PLANE_COLUMNS, planes.numpy().T, strict=True))
        if (self.background.factor != 1).any():
            found[FACTOR_COLUMN] = self.background.factor.numpy()
        if self.defocus is not None:
            found[DEFOCUS_COLUMN] = self.defocus.error_angstrom.numpy()
        if self.likeness is not None:
            if (self.likeness.scale != 1).any():
                found["temporemScale"] = self.likeness.scale.numpy()
            if self.likeness.junk.any():
                found["temporemGood"] = self.likeness.good.numpy()
        return found

    def facts(self) -> dict[str, Any]:
        """Sentences on what was done, for ``run.json``."""
        return {"corrections": self.sentences()}

    def sentences(self) -> list[str]:
        """Say what was done, a sentence for each correction."""
        said = []
        background, likeness = self.background, self.likeness
        if n_broken := len(self.broken):
            rows = sorted(self.broken.repairs)
            named = ", ".join(map(str, rows[:3])) + (" …" if len(rows) > 3 else "")
            said.append(f"Repaired broken pixels: {n_broken}, in rows {named} (counted from 0).")
        if background.planes.any():
            level, along_x, along_y = background.planes.std(0).tolist()
            said.append(
                "Subtracted a background from every frame, in the units of the file: "
                f"{background.planes[:, 0].mean():.3g} ± {level:.2g}, with slopes of "
                f"{max(along_x, along_y):.2g} from edge to edge."
            )
        factor = background.factor
        if (factor != 1).any():
            said.append(
                "Brought the noise of movies to one level: multiplied them by "
                f"{factor.min():.2f} to {factor.max():.2f}."
            )
        if self.spectrum is not None:
            low, high = self.spectrum[1].item(), self.spectrum[-1].item()
            said.append(
                "Whitened the noise, whose power is "
                f"{low:.2g} at 1 cycle per box and {high:.2g} at Nyquist, 1 on average."
            )
        if self.defocus is not None:
            said.append(
                "Corrected the defocus of movies, which was off by "
                f"{self.defocus.sd_angstrom:.0f} Å (standard deviation)."
            )
        if likeness is None:
            return said
        if (likeness.scale != 1).any():
            said.append(
                f"The intensity of the molecule differs between frames by {likeness.spread:.0%}; "
                "each frame is fitted with its own."
            )
        n_junk, n = int(likeness.junk.sum()), len(likeness.good)
        if n_junk:
            said.append(
                f"Left out {n_junk} of {n} frames ({n_junk / n:.1%}), which do not look like the "
                "mean volume in their poses: junk, wrong poses, or a rare state. "
                '`temporem select RUN --where "temporemGood < 0.5"` lists them; '
                "--set data.corrections=false keeps them."
            )
        return said


@dataclass(frozen=True, eq=False)
class FrameCorrection:
    """Corrects frames by what a comparison with their mean volume tells.

    Attributes:
        measure: measures frames.
        compare: compares frames with their mean volume.
        refocus: gives frames another CTF.
        background: what was subtracted before.
        broken: pixels that were repaired before.
        correlation: of the noise in neighbouring pixels.
        ctf: parameters of the CTF of the frames.
        rotations: molecule to camera, ``(N, 3, 3)``; None where they are not known.
        movies: rows of every movie.
        training: rows of the movies that the mean volume is made of.
        measured_noise: power of the noise at integer radii where no particle is, ``(R,)``; None
            where only the images tell.
    """

    measure: Callable[[FrameSource], FrameStatistics]
    compare: Callable[[FrameSource, FrameStatistics], MeanComparison]
    refocus: Callable[[FrameSource, CTFParameters], FrameSource]
    background: Background
    broken: BrokenPixels
    correlation: float
    ctf: CTFParameters
    rotations: Tensor | None
    movies: list[np.ndarray]
    training: list[np.ndarray]
    measured_noise: np.ndarray | None = None

    def without(self, source: FrameSource) -> tuple[FrameSource, FrameStatistics, Corrections]:
        """Leave frames as they are."""
        return source, self.measure(source), Corrections(self.background, self.broken)

    def of(self, source: FrameSource) -> tuple[FrameSource, FrameStatistics, Corrections]:
        """Whiten the noise, then fit intensities, leave junk out, and correct defocus.

        Returns:
            The corrected frames, their statistics, and what was done.
        """
        found = _Corrected(source, source, self.measure(source), torch.ones(source.n_pixels))
        if self.measured_noise is not None or abs(self.correlation) > _WHITE:
            found = self._whitened(found)
        found = self._judged(found)
        if self.rotations is not None:
            for _ in range(_ROUNDS):
                focused = self._focused(found, self.rotations)
                if focused is found:
                    break
                found = self._judged(focused)
        corrections = Corrections(
            self.background, self.broken, found.spectrum, found.likeness, found.defocus
        )
        return found.source, found.statistics, corrections

    def _whitened(self, found: _Corrected) -> _Corrected:
        if self.measured_noise is not None:
            spectrum = unless_white(torch.from_numpy(self.measured_noise).float())
        else:
            compared = self.compare(found.source, found.statistics)
            if compared.signal_to_noise >= _STRONG:
                return found
            spectrum = noise_spectrum(compared)
        if spectrum is None:
            return found
        shells = found.statistics.forward_model.support.shells
        whitening = spectrum[shells.clamp(max=len(spectrum) - 1)].rsqrt()
        return self._seen(replace(found, whitening=whitening, spectrum=spectrum))

    def _judged(self, found: _Corrected) -> _Corrected:
        white = Weighted(found.given, torch.ones(len(found.given)), found.whitening)
        for _ in range(_ROUNDS):
            likeness = judge_frames(
                self.compare(white, found.statistics),
                found.statistics.independent_share,
                self.movies,
                self.training,
            )
            found = replace(found, likeness=likeness)
            if likeness is None or likeness.is_even:
                break
            found = self._seen(found)
        return found

    def _focused(self, found: _Corrected, rotations: Tensor) -> _Corrected:
        ctf = self.ctf
        if found.defocus is not None:
            ctf = ctf.refocused(-found.defocus.error_angstrom)
        seen = SeenFrames(
            found.statistics.forward_model,
            found.source,
            ctf,
            found.intensity,
            found.whitening,
            rotations,
            found.statistics.mean_volume,
            found.statistics.independent_share,
        )
        defocus = measure_defocus(seen, self.movies, self.training, found.defocus)
        if defocus is found.defocus or defocus is None:
            return found
        given = self.refocus(found.given, self.ctf.refocused(-defocus.error_angstrom))
        return self._seen(replace(found, given=given, defocus=defocus))

    def _seen(self, found: _Corrected) -> _Corrected:
        """Measure frames with all corrections so far."""
        source = Weighted(found.given, found.intensity, found.whitening)
        return replace(found, source=source, statistics=self.measure(source))


@dataclass(frozen=True, eq=False)
class _Corrected:
    """Frames between two corrections: as given, as corrected, and what was done."""

    given: FrameSource
    source: FrameSource
    statistics: FrameStatistics
    whitening: Tensor
    spectrum: Tensor | None = None
    likeness: Likeness | None = None
    defocus: DefocusErrors | None = None

    @property
    def intensity(self) -> Tensor:
        """Factor of every frame's CTF, ``(N,)``."""
        return torch.ones(len(self.given)) if self.likeness is None else self.likeness.intensity
