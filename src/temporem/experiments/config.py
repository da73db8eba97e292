"""Experiments as validated YAML files."""

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
"""Name of a dataset or method, which becomes the name of a folder."""

Every = Annotated[int, Field(ge=1, lt=2**31)]


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed occurs twice")
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
        preset: preset or file of ``temporem simulate``.
        settings: changes to the preset, ``key: value`` with dotted keys (``ctf.cs_mm: 2``).
        value: place on the experiment's axis.
    """

    preset: str
    settings: dict[str, Any] = {}
    value: FiniteFloat | None = None


class MethodEntry(_Section):
    """A way to make volumes of a dataset's frames.

    Attributes:
        settings: settings of ``temporem reconstruct``, ``key: value`` with dotted keys, ``method``
            among them; empty for the other kinds.
        kind: ``run``, a reconstruction; ``true-states``, the back-projection of all frames of each
            true state, an upper bound because it reads the truth; ``program``, a program
            from elsewhere.
        program: command that leaves ``evaluation.json`` and ``evaluation.npz`` in ``{output}``.
            ``{python}``, ``{dataset}``, ``{output}``, ``{seed}``, ``{every}`` and ``{peer}`` in it
            are replaced. It runs only with ``--peer``.
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
    """The quantity that an experiment varies; figures show measures along it.

    Attributes:
        of: the entries that have a ``value`` on the axis.
        label: name of the quantity, with its unit.
        logarithmic: draw the axis on a logarithmic scale.
    """

    of: Literal["datasets", "methods"]
    label: str
    logarithmic: bool = False


class Changes(_Section):
    """Changes that ``--quick`` makes to an experiment.

    Attributes:
        datasets: settings added to those of every dataset.
        methods: settings added to those of every reconstruction.
        seeds: seeds, in place of the experiment's.
        every: thinning, in place of the experiment's.
        only_datasets: names of the datasets to keep; all when empty.
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
        question: the question to answer, and what the paper found.
        datasets: datasets by name, in the order of tables.
        methods: methods by name, in the order of tables.
        baseline: method that others are compared with (paper Eq. 16); by default the first.
        seeds: seeds of simulation and reconstruction alike.
        every: evaluate every N-th frame of every movie.
        align: how poses that were found are aligned to the true ones: all together, or every true
            state on its own.
        axis: the quantity that is varied; None if datasets and methods are not values of one.
        quick: changes that ``--quick`` makes.
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

    @model_validator(mode="before")
    @classmethod
    def _baseline_is_the_first(cls, given: Any) -> Any:
        methods = given.get("methods") if isinstance(given, dict) else None
        if isinstance(methods, dict) and methods and "baseline" not in given:
            return {**given, "baseline": next(iter(methods))}
        return given

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
            raise ValueError(f"axis: {min(places):g} has no place on a logarithmic axis")
        if len(set(places)) < len(places):
            raise ValueError(f"axis: two entries of {of} have the same value")
        return self

    def compared_with(self, baseline: str) -> Experiment:
        """The experiment with another baseline.

        Raises:
            TemporemError: there is no such method.
        """
        if baseline not in self.methods:
            raise TemporemError(
                f"no method is named '{baseline}'",
                expected=" or ".join(f"'{name}'" for name in self.methods),
            )
        return self.model_copy(update={"baseline": baseline})

    def quickly(self) -> Experiment:
        """The experiment as ``--quick`` runs it.

        Reconstructions that its changes make alike are run once, under the first name.
        """
        changes = self.quick
        kept = changes.only_datasets or list(self.datasets)
        methods: dict[str, MethodEntry] = {}
        for name, entry in self.methods.items():
            if entry.kind == "run":
                entry = entry.model_copy(update={"settings": entry.settings | changes.methods})
            if entry not in methods.values():
                methods[name] = entry
        return self.model_copy(
            update={
                "datasets": {
                    name: entry.model_copy(update={"settings": entry.settings | changes.datasets})
                    for name, entry in self.datasets.items()
                    if name in kept
                },
                "methods": methods,
                "seeds": changes.seeds,
                "every": changes.every,
            }
        )


def experiment_names() -> list[str]:
    """List the experiments of the catalogue."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_experiment(name_or_path: str | Path) -> Experiment:
    """Load an experiment of the catalogue, or a YAML file.

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
