"""``temporem reconstruct``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from temporem.cli.console import progress_bar, say
from temporem.cli.options import Overwrite, Settings, output
from temporem.errors import TemporemError

if TYPE_CHECKING:
    from temporem.training.config import RunConfig


def reconstruct(
    dataset: Annotated[Path, Parameter(help="Dataset folder.")],
    /,
    *,
    out: Annotated[Path, output("Run folder to write.")],
    method: Annotated[
        Literal["tempor", "static", "homogeneous"] | None,
        Parameter(
            help="tempor (movies, the default), static (every frame alone) or homogeneous (one "
            "volume for all)."
        ),
    ] = None,
    poses: Annotated[
        Literal["known", "estimate"], Parameter(help="Where poses come from.")
    ] = "known",
    config: Annotated[
        Path | None, Parameter(help="YAML file of settings, such as another run's config.yaml.")
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

    Example:  temporem reconstruct 7bcq-movies -o 7bcq-run --set training.epochs=60
    """
    if poses == "estimate":
        raise TemporemError(
            "--poses estimate is not available in this version", expected="--poses known"
        )
    if resume and overwrite:
        raise TemporemError("--resume and --overwrite exclude each other", hint="leave one out")
    from temporem.training.run_files import is_finished, load_run_config

    base = load_run_config(out).model_dump(mode="json") if resume else {}
    settings = _settings(base, dataset, method, config, set_ or [], seed)
    finished_before = resume and is_finished(out)
    run_with_progress(settings, out, overwrite=overwrite, resume=resume)
    if finished_before:
        say(f"{out} was finished already")
        return
    _say_result(settings, out)


def run_with_progress(
    config: RunConfig, out: Path, *, overwrite: bool = False, resume: bool = False
) -> None:
    """Reconstruct with a progress bar; after Ctrl-C say how to go on."""
    from temporem.training.run import reconstruct as run
    from temporem.training.run_files import is_run

    started = resume
    try:
        with progress_bar("Reading images") as update:

            def progress(stage: str, done: int, total: int, terms: dict[str, float]) -> None:
                nonlocal started
                started = True
                note = "  ".join(f"{name.replace('_', ' ')} {v:.4g}" for name, v in terms.items())
                update(done, total, f"{stage}  {note}")

            run(config, out, overwrite=overwrite, resume=resume, progress=progress)
    except KeyboardInterrupt:
        if not (started and is_run(out)):
            raise KeyboardInterrupt("stopped before anything was written") from None
        command = shlex.join(
            ["temporem", "reconstruct", config.dataset, "-o", str(out), "--resume"]
        )
        raise KeyboardInterrupt(f"stopped; continue with: {command}") from None


def _settings(
    base: dict[str, Any],
    dataset: Path,
    method: str | None,
    file: Path | None,
    overrides: list[str],
    seed: int | None,
) -> RunConfig:
    """Defaults, then the run to resume, the file, --set, and last the options of their own."""
    from temporem.data.settings import apply_overrides, load_settings
    from temporem.training.config import build_config

    settings = {**base, **(load_settings(file) if file else {})}
    settings = apply_overrides(settings, overrides)
    settings["dataset"] = str(dataset.resolve())
    settings |= {} if method is None else {"method": method}
    settings |= {} if seed is None else {"seed": seed}
    return build_config(settings, source=str(file) if file else "settings")


def _say_result(config: RunConfig, out: Path) -> None:
    if config.method == "homogeneous":
        import numpy as np

        from temporem.analysis.fsc import resolution
        from temporem.report.collect import read_metrics
        from temporem.training.run_files import load_run

        curve = np.array(read_metrics(out)[-1]["half_fsc"])
        angstrom, _ = resolution(curve, 0.143, load_run(out).grid.pixel_size_angstrom)
        say(f"Resolution of half maps at FSC 0.143: {float(angstrom):.2f} Å")
    say(f"Run: {out}")
