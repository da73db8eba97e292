"""A plan: expectations at a number of movies and a noise, and around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.evaluation.words import parameter_unit, parameter_words
from temporem.planning.expected import Expected, expect
from temporem.planning.scene import make_scene
from temporem.progress import Progress
from temporem.simulation.config import SimulationConfig
from temporem.simulation.presets import load_simulation_config

LEAST_MOVIES = 4
_FACTORS = (0.5, 1.0, 2.0)
_SCENE = 0.2  # of the time


@dataclass(frozen=True, eq=False)
class Plan:
    """Expectations for half, once and twice the movies and the signal-to-noise ratio.

    Attributes:
        name: preset or file.
        movies: numbers of movies, rising.
        snrs: signal-to-noise ratios, rising.
        table: expectation at ``(movies, snr)``.
        movies_asked, snr_asked: the point in the middle.
        frames_per_movie: mean number of frames of a movie.
        nyquist_angstrom: finest resolution that the pixels allow.

    Example:
        >>> planned = tm.plan("toy-free", movies=40, snr=0.1, box=16, pixel_size_angstrom=8)
        >>> sorted(planned.table)[0]
        (20, 0.05)
    """

    name: str
    movies: list[int]
    snrs: list[float]
    table: dict[tuple[int, float], Expected]
    movies_asked: int
    snr_asked: float
    frames_per_movie: float
    nyquist_angstrom: float

    @property
    def here(self) -> Expected:
        """Expectation for what was asked."""
        return self.table[self.movies_asked, self.snr_asked]

    def document(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "name": self.name,
            "frames_per_movie": self.frames_per_movie,
            "nyquist_angstrom": self.nyquist_angstrom,
            "asked": vars(self.here),
            "around": [vars(one) for one in self.table.values()],
        }

    def sentences(self) -> list[str]:
        """Say what to expect, and what would help most."""
        one, unit = self.here, parameter_unit(self.here.parameter)
        space = "" if unit == "°" else " "
        head = f"{one.movies} movies of {self.frames_per_movie:.3g} frames at SNR {one.snr:.3g}"
        if not one.seen:
            return [
                f"{head}: the motion would not be told from noise. Unseen movies would be likelier "
                f"by {max(one.gain, 0):.2f} nats per frame with it.",
                self._advice(),
            ]
        number = "1 component" if one.components == 1 else f"{one.components} components"
        return [
            f"{head}: a linear model would find {number}. Single frames would be resolved to "
            f"{self._angstrom(one.moving_angstrom)} where they move (FSC area "
            f"{one.moving_area:.2f}), and to {self._angstrom(one.whole_angstrom)} as a whole.",
            f"The {parameter_words(one.parameter)} of a frame would be off by "
            f"{one.latent_error:.2g}{space}{unit} (root mean square); it varies by "
            f"{one.parameter_sd:.2g}{space}{unit}.",
            self._advice(),
        ]

    def _angstrom(self, value: float) -> str:
        finest = value <= 1.01 * self.nyquist_angstrom
        return f"{value:.1f} Å{' (Nyquist)' if finest else ''}"

    def _advice(self) -> str:
        """Compare twice the movies with twice the dose, which is as many electrons."""
        more = self.table[self.movies[-1], self.snr_asked]
        brighter = self.table[self.movies_asked, self.snrs[-1]]
        better = "the movies" if more.moving_area > brighter.moving_area else "the dose of a frame"
        return (
            f"Twice the movies: FSC area {more.moving_area:.2f}. Twice the dose of a frame, as far "
            f"as the molecule bears it: {brighter.moving_area:.2f}. Doubling {better} helps more."
        )


def plan(
    name: str | Path = "toy-free",
    *,
    structures: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> Plan:
    """Predict what a linear model would find in movies that nobody has made yet.

    Nothing is simulated and nothing is trained: expectations come from the true volumes and the
    information of images about them.

    Args:
        name: preset (``toy-free``, ``7bcq-free``, …) or a YAML file of a simulation.
        structures: folder that is searched first for structure files.
        seed: of the errors that are drawn.
        progress: receives the progress.
        **settings: changes to the preset, such as ``movies=200, snr=0.05``.

    Raises:
        TemporemError: no such preset, a bad value, too few movies, or nothing that moves.

    Example:
        >>> planned = tm.plan("toy-free", movies=40, snr=0.1, box=16, pixel_size_angstrom=8)
        >>> planned.here.seen
        True
    """
    config = load_simulation_config(name, changes=settings)
    return plan_of(config, str(name), structures=structures, seed=seed, progress=progress)


def plan_of(
    config: SimulationConfig,
    name: str,
    *,
    structures: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Plan:
    """Make the plan of a configuration; see :func:`plan`."""
    if config.movies < 2 * LEAST_MOVIES:
        raise TemporemError(
            f"a plan of {config.movies} movies", expected=f"{2 * LEAST_MOVIES} movies or more"
        )
    if not config.poses.written or config.poses.error_degrees or config.defects.any:
        raise TemporemError(
            f"{name} has poses that are not known, or defects",
            expected="a simulation without; a plan is for known poses",
            hint="leave out poses.written, poses.error_degrees and defects",
        )
    progress = progress or Progress()
    part = progress.part(0, _SCENE, "volumes")
    scene = make_scene(config, structures_dir=structures, progress=part)
    if len(scene.modes) == 1:
        raise TemporemError(f"nothing moves in {name}", expected="a simulation with a motion")
    movies = [round(factor * config.movies) for factor in _FACTORS]
    snrs = [factor * config.snr for factor in _FACTORS]
    table = {}
    for done, (m, snr) in enumerate((m, snr) for m in movies for snr in snrs):
        table[m, snr] = expect(scene, movies=m, snr=snr, seed=seed)
        progress(_SCENE + (1 - _SCENE) * (done + 1) / 9, 1, "information")
    return Plan(
        name=name,
        movies=movies,
        snrs=snrs,
        table=table,
        movies_asked=movies[1],
        snr_asked=snrs[1],
        frames_per_movie=len(scene.state) / len(scene.movies),
        nyquist_angstrom=2 * config.pixel_size_angstrom,
    )
