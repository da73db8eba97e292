"""What an experiment is: a YAML file, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    model_validator,
)

from temporem.errors import TemporemError
from temporem.io.settings import load_settings, validate_settings

_FOLDER = Path(__file__).parent / "catalogue"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=48)]
"""Of a dataset or method: becomes a folder's name."""

Every = Annotated[int, Field(ge=1, lt=2**31)]


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("one occurs twice")
    return seeds


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]],
    Field(min_length=1),
    AfterValidator(_distinct),
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetEntry(_Section):
    """A dataset to simulate.

    Attributes:
        preset: what ``temporem simulate`` is given.
        settings: changes to it, ``key: value`` with dotted keys (``ctf.cs_mm: 2``).
        value: place on the experiment's axis.
    """

    preset: str
    settings: dict[str, Any] = {}
    value: FiniteFloat | None = None


class MethodEntry(_Section):
    """A way to get volumes of a dataset's frames.

    Attributes:
        settings: of ``temporem reconstruct``, ``key: value`` with dotted keys, ``method`` among
            them; for the other kinds nothing.
        kind: ``run``, a reconstruction; ``true-states``, back-projection of all frames of one true
            state, which reads the truth and is a bound, not a method; ``program``, somebody else's.
        program: command whose ``{python}``, ``{dataset}``, ``{output}``, ``{seed}``, ``{every}``
            and ``{peer}`` are replaced, and which leaves ``evaluation.json`` and ``.npz`` in
            ``{output}``. Run only where ``--peer`` is given.
        value: place on the experiment's axis.
    """

    settings: dict[str, Any] = {}
    kind: Literal["run", "true-states", "program"] = "run"
    program: list[str] = []
    value: FiniteFloat | None = None

    @model_validator(mode="after")
    def _fits_kind(self) -> MethodEntry:
        if (self.kind == "program") != bool(self.program):
            raise ValueError("kind: program and program: [COMMAND, ...] go together")
        if self.kind != "run" and self.settings:
            raise ValueError(f"kind: {self.kind} takes no settings")
        return self


class Axis(_Section):
    """What is varied, for figures that show measures along it.

    Attributes:
        of: whose ``value`` it is.
        label: with its unit.
        logarithmic: how it is drawn.
    """

    of: Literal["datasets", "methods"]
    label: str
    logarithmic: bool = False


class Changes(_Section):
    """What a quick look changes; settings are added to those of every dataset or method.

    Attributes:
        datasets: settings of all datasets.
        methods: settings of all reconstructions.
        seeds: instead of the experiment's.
        every: instead of the experiment's.
        only_datasets: those to keep; all when empty.
    """

    datasets: dict[str, Any] = {}
    methods: dict[str, Any] = {}
    seeds: Seeds = [0]
    every: Every = 1
    only_datasets: list[str] = []


def _named(entries: object) -> object:
    if isinstance(entries, dict) and not entries:
        raise ValueError("needs at least one entry")
    return entries


class Experiment(_Section):
    """Datasets × methods × seeds.

    Attributes:
        title: heading of the page.
        question: what it is to answer, and what the paper found.
        datasets: by name, in the order of tables.
        methods: by name, likewise.
        baseline: method that others are held to (Eq. 16).
        seeds: of simulation and reconstruction alike.
        every: evaluate every N-th frame of each movie.
        align: poses that were found, all as one or those of every true state by themselves.
        axis: None where datasets and methods are not values of one quantity.
        quick: the changes of ``--quick``.
    """

    title: str
    question: str
    datasets: Annotated[dict[Name, DatasetEntry], BeforeValidator(_named)]
    methods: Annotated[dict[Name, MethodEntry], BeforeValidator(_named)]
    baseline: str
    seeds: Seeds = [0, 1, 2]
    every: Every = 1
    align: Literal["all", "states"] = "all"
    axis: Axis | None = None
    quick: Changes = Changes()

    @model_validator(mode="after")
    def _names_exist(self) -> Experiment:
        if self.baseline not in self.methods:
            raise ValueError(f"baseline: no method '{self.baseline}'")
        if unknown := set(self.quick.only_datasets) - set(self.datasets):
            raise ValueError(f"quick.only_datasets: no dataset '{sorted(unknown)[0]}'")
        return self

    @model_validator(mode="after")
    def _has_places(self) -> Experiment:
        if self.axis is None:
            return self
        of = self.axis.of
        entries: Mapping[str, DatasetEntry | MethodEntry]
        entries = self.datasets if of == "datasets" else self.methods
        places = [entry.value for entry in entries.values() if entry.value is not None]
        if not places:
            raise ValueError(f"axis: no entry of {of} has a value")
        if self.axis.logarithmic and min(places) <= 0:
            raise ValueError(f"axis: {min(places):g} cannot be shown, as it is logarithmic")
        if len(set(places)) < len(places):
            raise ValueError(f"axis: two entries of {of} have one value")
        return self

    def quickly(self) -> Experiment:
        """The experiment as ``--quick`` runs it."""
        changes = self.quick
        kept = changes.only_datasets or list(self.datasets)
        return self.model_copy(
            update={
                "datasets": {
                    name: entry.model_copy(update={"settings": entry.settings | changes.datasets})
                    for name, entry in self.datasets.items()
                    if name in kept
                },
                "methods": {
                    name: entry
                    if entry.kind != "run"
                    else entry.model_copy(update={"settings": entry.settings | changes.methods})
                    for name, entry in self.methods.items()
                },
                "seeds": changes.seeds,
                "every": changes.every,
            }
        )


def experiment_names() -> list[str]:
    """Names that :func:`load_experiment` knows."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_experiment(name_or_path: str | Path) -> Experiment:
    """An experiment of the catalogue, or a YAML file.

    Raises:
        TemporemError: no such experiment or file, an unknown key or a bad value.
    """
    name = str(name_or_path)
    if name in experiment_names():
        path = _FOLDER / f"{name}.yaml"
    elif Path(name).is_file():
        path = Path(name)
    else:
        raise TemporemError(
            f"no experiment or file '{name}'",
            expected=f"a YAML file or one of {', '.join(experiment_names())}",
        )
    return validate_settings(Experiment, load_settings(path), source=name)
