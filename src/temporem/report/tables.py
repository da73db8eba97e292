"""The tables of a report, as text in cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

from temporem.evaluation.compare import Comparison, Estimate
from temporem.evaluation.evaluation import Evaluation
from temporem.evaluation.summary import summarise
from temporem.report.content import ReportDataset, ReportRun, parameter_label, parameter_words
from temporem.report.findings import REGIONS


class Cell(NamedTuple):
    """What stands in a table, and the confidence interval that goes with it."""

    text: str
    interval: str = ""


_MISSING = Cell("\N{EN DASH}")


@dataclass(frozen=True)
class Row:
    """One line of a table; ``marked`` lists the cells to stress."""

    label: str
    cells: Sequence[Cell]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """Column heads (without that of the labels) and rows."""

    heads: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class _Value:
    value: float | None
    interval: Sequence[float | None] = ()
    sense: int = 1  # +1 when more is better, -1 when less is, 0 where neither is
    digits: int = 2

    def cell(self) -> Cell:
        if not _is_number(self.value):
            return _MISSING
        ends = [self._print(end) for end in self.interval if _is_number(end)]
        return Cell(self._print(self.value), " to ".join(ends))

    def _print(self, value: float) -> str:
        return f"{value:.{self.digits}f}".replace("-", "\N{MINUS SIGN}")


def metrics_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """All measures of all runs, means with confidence intervals; the best of a row is marked."""
    columns = [_values(summarise(item)) for item in evaluations.values()]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    rows = []
    for label in labels:
        values = [column.get(label, _Value(None)) for column in columns]
        rows.append(Row(label, [value.cell() for value in values], _best(values)))
    return Table(list(evaluations), rows)


def comparison_table(comparison: Comparison) -> Table:
    """Paired gains of one run over another, by region."""
    regions = comparison.regions

    def row(label: str, estimates: Sequence[Estimate | None], factor: float, digits: int) -> Row:
        cells = [
            _MISSING
            if e is None
            else _Value(factor * e.value, (factor * e.low, factor * e.high), digits=digits).cell()
            for e in estimates
        ]
        return Row(label, cells)

    items = list(regions.values())
    motion = [
        comparison.motion[name].gain if name in comparison.motion else None for name in regions
    ]
    return Table(
        [REGIONS[name].capitalize() for name in regions],
        [
            row("Frames improved (%)", [item.fraction_improved for item in items], 100, 1),
            row("Mean resolution gain (%)", [item.mean_gain for item in items], 100, 2),
            row("Gain of the mean FSC (Å)", [item.mean_fsc_gain_angstrom for item in items], 1, 3),
            row("FSC area", [item.auc_gain for item in items], 1, 4),
            row("Motion correlation", motion, 1, 3),
            *_state_rows(comparison),
        ],
    )


def _state_rows(comparison: Comparison) -> list[Row]:
    """FSC of states by region, without intervals."""
    if not comparison.states:
        return []
    items = [comparison.states[name] for name in comparison.regions]
    percent = [_Value(100 * item.fraction_improved, digits=1).cell() for item in items]
    area = [_Value(item.auc_gain, digits=4).cell() for item in items]
    return [Row("States improved (%)", percent), Row("State FSC area", area)]


def runs_table(runs: Sequence[ReportRun]) -> Table:
    """What was run, in a few lines."""

    def last(run: ReportRun, key: str) -> Cell:
        known = run.metrics and key in run.metrics[-1]
        return Cell(f"{run.metrics[-1][key]:,}") if known else _MISSING

    def row(label: str, describe: Callable[[ReportRun], Cell]) -> Row:
        return Row(label, [describe(run) for run in runs])

    def found_again(run: ReportRun) -> Cell:
        return _MISSING if run.components_found is None else Cell(str(run.components_found))

    def alike(run: ReportRun) -> Cell:
        return _MISSING if run.starts_alike is None else Cell(f"{run.starts_alike:.0%}")

    looked_at = [
        row("Components that half of the movies find on their own", found_again),
        row("Frames that two random starts find in like poses", alike),
    ]
    return Table(
        [run.name for run in runs],
        [
            row("Method", lambda run: Cell(run.method)),
            row(
                "Latent dimension",
                lambda run: _MISSING if run.latents is None else Cell(str(run.latents.shape[1])),
            ),
            *(item for item in looked_at if any(cell != _MISSING for cell in item.cells)),
            row("Epochs", lambda run: last(run, "epoch")),
            row("Optimiser updates", lambda run: last(run, "step")),
            row(
                "Training time",
                lambda run: _MISSING if run.seconds is None else Cell(duration(run.seconds)),
            ),
        ],
    )


def dataset_table(dataset: ReportDataset) -> Table:
    """How much data there was, and what else is known of it."""
    lengths = [len(movie) for movie in dataset.movies]
    shortest, longest = min(lengths), max(lengths)
    facts: Mapping[str, str] = {
        "Movies": f"{len(lengths):,}",
        "Frames per movie": str(longest) if shortest == longest else f"{shortest} to {longest}",
        "Frames": f"{sum(lengths):,}",
        **dataset.facts,
    }
    return Table([dataset.name], [Row(label, [Cell(text)]) for label, text in facts.items()])


def config_table(runs: Sequence[ReportRun]) -> Table:
    """The complete configurations; rows in which they differ are marked."""
    columns = [_flatten(run.config) for run in runs]
    rows = []
    for key in dict.fromkeys(key for column in columns for key in column):
        cells = [column.get(key, _MISSING) for column in columns]
        marked = frozenset(range(len(cells))) if len(set(cells)) > 1 else frozenset()
        rows.append(Row(key, cells, marked))
    return Table([run.name for run in runs], rows)


def duration(seconds: float) -> str:
    """Time as ``1 h 05 min``, ``12 min 30 s`` or ``8 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _values(summary: Mapping[str, Any]) -> dict[str, _Value]:
    values = _fit_values(summary, "")
    if summary["states"]:
        values |= _state_values(summary["states"])
    if summary["latents"]:
        values |= _latent_values(summary["latents"])
    if summary["leakage"]:
        values |= _leakage_values(summary["leakage"])
    if summary["held_out"]:
        values |= _fit_values(summary["held_out"], ", held-out movies")
    return values


def _fit_values(summary: Mapping[str, Any], suffix: str) -> dict[str, _Value]:
    values = {}
    for region, item in summary["fsc"].items():
        place = REGIONS[region] + suffix
        mean = item["resolution_angstrom"]
        values[f"Resolution, {place} (Å)"] = _Value(mean["mean"], mean["ci"], sense=-1)
        angstrom = item["mean_fsc_resolution_angstrom"]
        values[f"Resolution of the mean FSC, {place} (Å)"] = _Value(angstrom, sense=-1)
        auc = item["auc"]
        values[f"FSC area, {place}"] = _Value(auc["mean"], auc["ci"], digits=3)
    for region, item in summary["motion"].items():
        label = f"Motion correlation, {REGIONS[region]}{suffix}"
        values[label] = _Value(item["correlation"], item["ci"], digits=3)
    psnr, ssim = summary["image_quality"]["psnr_db"], summary["image_quality"]["ssim"]
    values[f"PSNR{suffix} (dB)"] = _Value(psnr["mean"], psnr["ci"])
    values[f"SSIM{suffix}"] = _Value(ssim["mean"], ssim["ci"], digits=3)
    if summary["poses"]:
        values |= _pose_values(summary["poses"], suffix)
    return values


def _state_values(states: Mapping[str, Any]) -> dict[str, _Value]:
    values = {}
    for region, item in states["fsc"].items():
        place = REGIONS[region]
        angstrom, auc = item["resolution_angstrom"], item["auc"]
        values[f"State resolution, {place} (Å)"] = _Value(angstrom["mean"], sense=-1)
        values[f"State FSC area, {place}"] = _Value(auc["mean"], digits=3)
    return values


def _pose_values(poses: Mapping[str, Any], suffix: str) -> dict[str, _Value]:
    def value(key: str, factor: float = 1.0, sense: int = -1) -> _Value:
        ends = [end if end is None else factor * end for end in poses[f"{key}_ci"]]
        return _Value(factor * poses[key], ends, sense=sense)

    if poses["align"] == "states":
        suffix = f", each state aligned{suffix}"
    return {
        f"Pose error, median{suffix} (°)": value("median_degrees"),
        f"Poses within 10°{suffix} (%)": value("within_10_degrees", 100, 1),
        f"Shift error, median{suffix} (Å)": value("median_shift_angstrom"),
    }


def _leakage_values(coupling: Mapping[str, Any]) -> dict[str, _Value]:
    values = {}
    for label, key in (
        ("Pose error told by latents, R²", "error_r2"),
        ("True pose told by latents, R²", "pose_r2"),
        ("True view told by latents, R²", "view_r2"),
    ):
        if coupling[key] is not None:
            values[label] = _Value(coupling[key], sense=-1, digits=3)
    if coupling["states"]:
        for label, key in (
            ("Turn common to a state (°)", "systematic_degrees"),
            ("Turn common to a state, by chance (°)", "chance_degrees"),
        ):
            sense = -1 if key == "systematic_degrees" else 0  # chance is no merit
            values[label] = _Value(coupling[key], sense=sense)
    return values


def _latent_values(latents: Mapping[str, Any]) -> dict[str, _Value]:
    values = {}
    for name, item in latents["parameters"].items():
        words = parameter_words(name)
        values[f"Latent R², {words}"] = _Value(item["r2"], digits=3)
        values[f"Latent |Spearman ρ|, {words}"] = _Value(item["abs_spearman"], digits=3)
        values[f"Trajectory error, {parameter_label(name)}"] = _Value(
            item["trajectory_rmse"], sense=-1
        )
    if latents["states"]:
        values["State silhouette"] = _Value(latents["states"]["silhouette"], digits=3)
        values["State accuracy, nearest neighbours"] = _Value(
            latents["states"]["knn_accuracy"], digits=3
        )
        values["State neighbourhood overlap"] = _Value(
            latents["states"]["neighbourhood_overlap"], digits=3
        )
    return values


def _best(values: Sequence[_Value]) -> frozenset[int]:
    """Cells with the best mean, as printed; none when all are equal or only one run has it."""
    scores = {
        index: value.sense * round(value.value, value.digits)
        for index, value in enumerate(values)
        if _is_number(value.value)
    }
    if len(set(scores.values())) < 2:
        return frozenset()
    return frozenset(i for i, score in scores.items() if score == max(scores.values()))


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Cell]:
    flat: dict[str, Cell] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = _MISSING if value is None else Cell(str(value))
    return flat


def _is_number(value: float | None) -> TypeGuard[float]:
    """Whether there is a value to print; summaries have None for NaN."""
    return value is not None and math.isfinite(value)
