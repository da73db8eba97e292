"""``temporem reconstruct``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from temporem.cli.components import say_components, say_start
from temporem.cli.console import progress_bar, say
from temporem.cli.options import DatasetFolder, Overwrite, Settings, output
from temporem.cli.random_starts import say_random_starts
from temporem.cli.symmetry import warn_of_symmetry
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers

if TYPE_CHECKING:
    from temporem.distributed import ProcessGroup
    from temporem.runs.config import RunConfig


def reconstruct(
    dataset: DatasetFolder,
    /,
    *,
    out: Annotated[Path, output("Run folder to write.")],
    method: Annotated[
        Literal["tempor", "static", "linear", "homogeneous"] | None,
        Parameter(
            help="tempor (movies, the default), static (every frame alone), linear (movies, about "
            "a minute) or homogeneous (one volume for all)."
        ),
    ] = None,
    poses: Annotated[
        Literal["known", "refine", "estimate"] | None,
        Parameter(
            help="known (the dataset's, the default), refine (the dataset's are some degrees off) "
            "or estimate (from images alone)."
        ),
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="YAML file of settings, such as another run's config.yaml.")
    ] = None,
    components: Annotated[
        str | None,
        Parameter(help="linear: how many components, a number or auto (held-out movies decide)."),
    ] = None,
    temporal: Annotated[
        bool | None,
        Parameter(
            negative="--no-temporal",
            show_default=False,
            help="linear: dynamics within movies, or every frame alone.",
        ),
    ] = None,
    mask: Annotated[
        str | None, Parameter(help="linear: where the molecule is; auto, none or an .mrc file.")
    ] = None,
    focus_mask: Annotated[
        str | None, Parameter(help="linear: what may move; auto, none or an .mrc file.")
    ] = None,
    init: Annotated[
        Literal["static", "linear"] | None,
        Parameter(help="tempor: start from the static model or from the linear model's paths."),
    ] = None,
    set_: Settings = None,
    seed: Annotated[int | None, Parameter(help="Of all random numbers.")] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, Parameter(negative="", show_default=False, help="Continue a run that was stopped.")
    ] = False,
) -> None:
    """Reconstruct a volume for every frame of every movie.

    Ctrl-C stops after the current step and writes a checkpoint to continue from with --resume.
    Several GPUs share a run:  torchrun --nproc-per-node=8 -m temporem reconstruct …

    Example:  temporem reconstruct 7bcq-movies -o 7bcq-run --set training.epochs=60
    """
    from temporem.distributed import join_processes
    from temporem.runs.config import RunConfig, build_config
    from temporem.runs.run_files import is_finished, load_run_config

    with join_processes() as processes:
        if resume and overwrite:
            raise TemporemError("--resume and --overwrite exclude each other", hint="leave one out")
        if resume and processes.is_main:
            adopt_leftovers(out, deep=True)
        processes.wait()
        base = load_run_config(out).model_dump(mode="json") if resume else {}
        options: dict[str, dict[str, object]] = {
            "linear": {
                "choose_components": None if components is None else components == "auto",
                "temporal": temporal,
                "mask": _mask(mask),
                "focus_mask": _mask(focus_mask),
            },
            "model": {"z_dim": None if components == "auto" else components},
            "training": {"init": init},
            "poses": {"source": poses},
        }
        merged = _merged(base, dataset, method, config, set_ or [], seed, options)
        _require_method(
            str(merged.get("method", RunConfig().method)),
            {
                "--components": ("linear", components),
                "--temporal" if temporal else "--no-temporal": ("linear", temporal),
                "--mask": ("linear", mask),
                "--focus-mask": ("linear", focus_mask),
                "--init": ("tempor", init),
            },
        )
        settings = build_config(merged, source=str(config) if config else "settings")
        finished_before = resume and is_finished(out)
        run_with_progress(settings, out, overwrite=overwrite, resume=resume, processes=processes)
        if finished_before and processes.is_main:
            say(f"{out} was finished already")
        elif processes.is_main:
            _say_result(settings, out)


def run_with_progress(
    config: RunConfig,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    processes: ProcessGroup | None = None,
) -> None:
    """Reconstruct with a progress bar; after Ctrl-C say how to go on."""
    from temporem.distributed import SINGLE_PROCESS
    from temporem.runs.pipeline import reconstruct as run
    from temporem.runs.run_files import is_run

    processes = processes or SINGLE_PROCESS
    started, before = resume, _identity(out)
    try:
        with progress_bar("Reconstructing", hidden=not processes.is_main) as update:

            def progress(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
                nonlocal started
                started = True
                note = "  ".join(f"{name.replace('_', ' ')} {v:.4g}" for name, v in terms.items())
                update(done, total, f"{stage}  {note}")

            run(
                config,
                out,
                overwrite=overwrite,
                resume=resume,
                progress=progress,
                processes=processes,
            )
    except KeyboardInterrupt:
        if not (is_run(out) and (started or _identity(out) != before)):
            raise KeyboardInterrupt("stopped before anything was written") from None
        command = shlex.join(
            ["temporem", "reconstruct", config.dataset, "-o", str(out), "--resume"]
        )
        raise KeyboardInterrupt(f"stopped; continue with: {command}") from None


def _identity(out: Path) -> int | None:
    """Of the folder: another one may have taken its place."""
    return out.stat().st_ino if out.is_dir() else None


def _merged(
    base: dict[str, Any],
    dataset: Path,
    method: str | None,
    file: Path | None,
    overrides: list[str],
    seed: int | None,
    options: Mapping[str, Mapping[str, object]],
) -> dict[str, Any]:
    """Defaults, then the run to resume, the file, --set, and last options that are not None."""
    from temporem.io.settings import apply_overrides, load_settings

    settings = {**base, **(load_settings(file) if file else {})}
    settings = apply_overrides(settings, overrides)
    settings["dataset"] = str(dataset.resolve())
    settings |= {} if method is None else {"method": method}
    settings |= {} if seed is None else {"seed": seed}
    for section, values in options.items():
        given = {name: value for name, value in values.items() if value is not None}
        before = settings.get(section, {})
        if given and not isinstance(before, dict):
            raise TemporemError(
                f"{section} is {before!r}, not a section", expected=f"'{section}:' with lines below"
            )
        if given:
            settings[section] = {**before, **given}
    return settings


def _mask(value: str | None) -> str | None:
    """A file as it is found again from wherever the run is resumed."""
    return value if value in (None, "auto", "none") else str(Path(value).resolve())


def _require_method(method: str, options: dict[str, tuple[str, object]]) -> None:
    """Refuse options that are given (not None) and belong to another method."""
    for name, (owner, value) in options.items():
        if value is not None and method != owner:
            raise TemporemError(
                f"{name} is an option of --method {owner}, and the method is {method}",
                hint=f"pass --method {owner} or leave {name} out",
            )


def _say_result(config: RunConfig, out: Path) -> None:
    if config.method == "homogeneous":
        import numpy as np

        from temporem.physics.fsc import resolution
        from temporem.report.collect import last_metric
        from temporem.runs.run_files import load_run

        curve = np.array(last_metric(out, "half_fsc"))
        angstrom, never = resolution(curve, 0.143, load_run(out).grid.pixel_size_angstrom)
        note = ", which is Nyquist: it never falls below" if never else ""
        say(f"Resolution of half maps at FSC 0.143: {float(angstrom):.2f} Å{note}")
    if config.method == "linear":
        say_components(out)
    if config.method in ("static", "tempor"):
        say_start(out)
    say_random_starts(out)
    warn_of_symmetry(out)
    say(f"Run: {out}")
