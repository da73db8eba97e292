"""Configurations of simulations, from a preset or a YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.io.settings import apply_changes, apply_overrides, load_settings, validate_settings
from temporem.simulation.config import SimulationConfig

_FOLDER = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Names of all presets."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_simulation_config(
    name_or_path: str | Path,
    overrides: Iterable[str] = (),
    *,
    changes: Mapping[str, Any] | None = None,
) -> SimulationConfig:
    """Load a preset or a YAML file and apply changes to it.

    Args:
        name_or_path: name of a preset, or a file.
        overrides: changes as texts: ``snr=0.3``, ``ctf.cs_mm=2``.
        changes: further changes as values: ``{"ctf.cs_mm": 2}``.

    Raises:
        TemporemError: there is no such preset or file, a key is unknown or a value is bad.
    """
    name = str(name_or_path)
    if name in preset_names():
        path = _FOLDER / f"{name}.yaml"
    elif Path(name).is_file():
        path = Path(name)
    else:
        raise TemporemError(
            f"no preset or file '{name}'",
            expected=f"a YAML file or one of {', '.join(preset_names())}",
        )
    settings = apply_overrides(load_settings(path), overrides)
    settings = apply_changes(settings, changes or {}, source=name)
    return validate_settings(SimulationConfig, settings, source=name)
