"""``temporem reconstruct``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from temporem.cli.console import progress_bar, say, warn
from temporem.cli.findings import say_findings
from temporem.cli.options import DatasetFolder, Overwrite, Settings, output
from temporem.errors import TemporemError
from temporem.io.leftovers import adopt_leftovers

if TYPE_CHECKING:
    from temporem.distributed import ProcessGroup
    from temporem.runs.config import RunConfig

Positive = Annotated[int | None, Parameter(validator=Number(gte=1, lt=2**31))]


def reconstruct(
    dataset: DatasetFolder,
    /,
    *,
    out: Annotated[Path, output("Run folder to write.")],
    method: Annotated[
        str | None,
        Parameter(
            help="tempor: a network, whole movies (the default). static: a network, every frame "
            "alone. clock: the same network, which knows the number of a frame and sees no image. "
            "linear: a linear model, about a minute. homogeneous: one volume for all frames."
        ),
    ] = None,
    poses: Annotated[
        Literal["auto", "known", "refine", "estimate"] | None,
        Parameter(
            help="auto: known, or refine where the images show that the dataset's poses are off "
            "(the default). known: take them as they are. refine: improve them. estimate: find "
            "poses from the images alone."
        ),
    ] = None,
    z_dim: Annotated[Positive, Parameter(help="Networks: latent dimension.")] = None,
    epochs: Annotated[Positive, Parameter(help="Networks: total number of epochs.")] = None,
    components: Annotated[
        str | None,
        Parameter(
            help="linear and networks: number of components of the linear model, or auto. For "
            "linear, auto takes the number that predicts held-out movies best."
        ),
    ] = None,
    temporal: Annotated[
        bool | None,
        Parameter(
            negative="--no-temporal",
            show_default=False,
            help="linear: link the frames of a movie by dynamics, or take every frame alone.",
        ),
    ] = None,
    mask: Annotated[
        str | None, Parameter(help="linear: solvent mask; auto, none or an .mrc file.")
    ] = None,
    focus_mask: Annotated[
        str | None, Parameter(help="linear: mask of what may move; auto, none or an .mrc file.")
    ] = None,
    start: Annotated[
        Literal["linear", "static", "none"] | None,
        Parameter(
            help="Warm start. Networks: from a linear model, or none. tempor only: from a static "
            "model."
        ),
    ] = None,
    generator: Annotated[
        str | None,
        Parameter(
            help="Networks: how volumes depend on latents. volumes: density changes in place (the "
            "default). cloud: Gaussians move; sharper where parts move, blind to what binds. "
            "homogeneous: cloud fits one cloud that is still."
        ),
    ] = None,
    invert: Annotated[
        bool | None,
        Parameter(
            negative="", show_default=False, help="Flip the sign of the images, for dark molecules."
        ),
    ] = None,
    ctf: Annotated[
        Literal["file", "none"] | None,
        Parameter(
            help="file: the CTF of the dataset (the default). none: images are formed without "
            "one, as in dark field."
        ),
    ] = None,
    shuffle_frames: Annotated[
        bool | None,
        Parameter(
            negative="",
            show_default=False,
            help="Take the frames of every movie in random order. Compare with a run in the true "
            "order: the difference is what time tells, also without a truth.",
        ),
    ] = None,
    device: Annotated[
        str | None, Parameter(help="auto (a GPU if there is one), cpu, cuda, cuda:1 …")
    ] = None,
    apply: Annotated[
        Path | None,
        Parameter(
            help="Finished run to apply: its volumes stay, and latents of these movies are "
            "inferred, without training. Only --poses and --invert go with it.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(
            help="YAML file of settings, such as another run's config.yaml. paper.yaml stands for "
            "the choices of the paper."
        ),
    ] = None,
    set_: Settings = None,
    seed: Annotated[int | None, Parameter(help="Seed of all random numbers.")] = None,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool, Parameter(negative="", show_default=False, help="Continue a run that was stopped.")
    ] = False,
) -> None:
    """Reconstruct a volume for every frame of every movie.

    Ctrl-C stops after the current step and writes a checkpoint to continue from with --resume.
    Several GPUs share a run:  torchrun --nproc-per-node=8 -m temporem reconstruct …

    Example:  temporem reconstruct 7bcq-movies -o 7bcq-run --epochs 60
    """
    if resume and overwrite:
        raise TemporemError("--resume and --overwrite exclude each other", hint="pass one of them")
    if apply is not None:
        others: tuple[object, ...] = (
            method,
            z_dim,
            epochs,
            components,
            temporal,
            mask,
            focus_mask,
            start,
            generator,
        )
        others += (shuffle_frames, device, config, set_, seed, resume or None)
        if any(other is not None for other in others):
            raise TemporemError(
                "--apply takes all settings from the run",
                expected="no other option but --poses, --invert, -o and --overwrite",
            )
        _apply(apply, dataset, out, poses, invert=invert, overwrite=overwrite)
        return
    from temporem.distributed import join_processes
    from temporem.runs.config import NETWORKS, RunConfig, build_config
    from temporem.runs.run import is_finished, load_run_config

    with join_processes() as processes:
        if resume and processes.is_main:
            adopt_leftovers(out, deep=True)
        processes.wait()
        base = load_run_config(out).model_dump(mode="json") if resume else {}
        top = {"method": method, "seed": seed, "device": device}
        sections: dict[str, dict[str, object]] = {
            "linear": {
                "components": components,
                "temporal": temporal,
                "mask": _mask(mask),
                "focus_mask": _mask(focus_mask),
            },
            "model": {"z_dim": z_dim, "generator": generator},
            "training": {"epochs": epochs, "start": start},
            "data": {
                "invert": invert,
                "ctf": ctf,
                "shuffle_frames": shuffle_frames,
            },
            "poses": {"source": poses},
        }
        merged = _merged(base, dataset, config, set_ or [], top, sections)
        _require_method(
            str(merged.get("method", RunConfig().method)),
            {
                "--temporal" if temporal else "--no-temporal": (("linear",), temporal),
                "--mask": (("linear",), mask),
                "--focus-mask": (("linear",), focus_mask),
                "--components": (("linear", *NETWORKS), components),
                "--z-dim": (NETWORKS, z_dim),
                "--epochs": (NETWORKS, epochs),
                "--start": (NETWORKS, start),
                "--generator": (("homogeneous", *NETWORKS), generator),
            },
        )
        settings = build_config(merged, source=str(config) if config else "settings")
        finished_before = resume and is_finished(out)
        run_with_progress(settings, out, overwrite=overwrite, resume=resume, processes=processes)
        if not processes.is_main:
            return
        if finished_before:
            say(f"{out} is finished; nothing to resume")
            return
        say_findings(out)
        say(f"Run: {out}")
        _say_next(out)


def _apply(
    run: Path,
    dataset: Path,
    out: Path,
    poses: Literal["auto", "known", "refine", "estimate"] | None,
    *,
    invert: bool | None,
    overwrite: bool,
) -> None:
    from temporem.runs.apply import apply_run
    from temporem.runs.run import load_run

    with progress_bar(f"Applying {run.name}") as progress:
        apply_run(
            load_run(run),
            dataset,
            out,
            poses=poses or "auto",
            invert=invert,
            overwrite=overwrite,
            progress=progress,
            warn=warn,
        )
    facts = load_run(out).facts
    say(f"Poses: {facts.applied_poses}")
    say(
        "Intensity of the molecule beside the noise: "
        f"{facts.applied_intensity:.3g} times that of {run}"
    )
    say(f"Run: {out}")
    _say_next(out)


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
    from temporem.runs.run import is_run

    processes = processes or SINGLE_PROCESS
    before = _identity(out)
    try:
        with progress_bar("Reconstructing", hidden=not processes.is_main) as progress:
            run(
                config,
                out,
                overwrite=overwrite,
                resume=resume,
                progress=progress,
                processes=processes,
                warn=lambda text: warn(text) if processes.is_main else None,
            )
    except KeyboardInterrupt:
        if not (is_run(out) and (resume or _identity(out) != before)):
            raise KeyboardInterrupt("stopped before anything was written") from None
        command = shlex.join(
            ["temporem", "reconstruct", config.dataset, "-o", str(out), "--resume"]
        )
        raise KeyboardInterrupt(f"stopped; continue with: {command}") from None


def _say_next(out: Path) -> None:
    name = shlex.quote(str(out))
    say(f"Next: temporem evaluate {name}, or temporem export {name} -o volumes")


def _identity(out: Path) -> int | None:
    """Identify the folder, because another one may have replaced it meanwhile."""
    return out.stat().st_ino if out.is_dir() else None


def _merged(
    base: dict[str, Any],
    dataset: Path,
    file: Path | None,
    overrides: list[str],
    top: Mapping[str, object],
    sections: Mapping[str, Mapping[str, object]],
) -> dict[str, Any]:
    """Merge settings; later ones win: the run to resume, the file, --set, options."""
    from temporem.io.settings import apply_changes, apply_overrides
    from temporem.runs.config import load_run_settings

    settings = {**base, **(load_run_settings(file) if file else {})}
    settings = apply_overrides(settings, overrides)
    changes = {"dataset": str(dataset.resolve()), **top}
    for section, values in sections.items():
        changes |= {f"{section}.{name}": value for name, value in values.items()}
    given = {name: value for name, value in changes.items() if value is not None}
    return apply_changes(settings, given, source="the configuration")


def _mask(value: str | None) -> str | None:
    """Make the path of a mask file absolute, so that --resume works from any folder."""
    return value if value in (None, "auto", "none") else str(Path(value).resolve())


def _require_method(method: str, options: dict[str, tuple[tuple[str, ...], object]]) -> None:
    """Refuse options that are given (not None) and belong to other methods."""
    for name, (owners, value) in options.items():
        if value is not None and method not in owners:
            raise TemporemError(
                f"{name} is an option of --method {' or '.join(owners)}, but the method is "
                f"{method}",
                hint=f"pass --method {owners[0]} or leave {name} out",
            )
