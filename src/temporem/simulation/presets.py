"""Simulations by name, or from a YAML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from temporem.errors import TemporemError
from temporem.io.settings import apply_changes, apply_overrides, load_settings, validate_settings
from temporem.simulation.config import SimulationConfig

_FOLDER = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Names that :func:`load_simulation_config` knows."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_simulation_config(
    name_or_path: str | Path,
    overrides: Iterable[str] = (),
    *,
    changes: Mapping[str, Any] | None = None,
) -> SimulationConfig:
    """A preset or a YAML file, with ``key=value`` texts applied (``snr=0.3``, ``ctf.cs_mm=2``).

    ``changes`` are applied too, as values: ``{"ctf.cs_mm": 2}``.

    Raises:
        TemporemError: no such preset or file, an unknown key or a bad value.
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
