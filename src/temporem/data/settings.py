"""Settings from YAML files and ``key=value`` texts, and what is wrong with them in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from temporem.errors import TemporemError

Model = TypeVar("Model", bound=BaseModel)


def load_settings(path: Path) -> dict[str, Any]:
    """Settings in a YAML file, not yet validated."""
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemporemError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TemporemError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(settings, dict):
        raise TemporemError(f"{path}: not a config", expected="lines such as 'key: value'")
    return settings


def apply_overrides(settings: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Settings with ``section.key=value`` texts applied; values are read as YAML."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in settings.items()}
    for text in overrides:
        name, separator, value = text.partition("=")
        keys = name.strip().split(".")
        if not separator or not all(keys):
            raise TemporemError(
                f"--set {text}: not understood",
                expected="key=value or section.key=value",
                hint="for example --set seed=1",
            )
        node = merged
        for key in keys[:-1]:
            child = node.setdefault(key, {})
            if not isinstance(child, dict):
                raise TemporemError(f"--set {text}: {key} is a value, not a section")
            node = child
        try:
            node[keys[-1]] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise TemporemError(f"--set {text}: the value is not valid YAML") from None
    return merged


def validate_settings(model: type[Model], settings: Mapping[str, Any], *, source: str) -> Model:
    """Settings as a model.

    Raises:
        TemporemError: an unknown key (with the nearest known one) or a bad value; ``source`` says
            where it came from.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise _first_problem(error, model, source) from None


def _first_problem(error: ValidationError, model: type[BaseModel], source: str) -> TemporemError:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown_key(name, model, source)
    where = f"{source}: {name}" if name else source
    if problem["type"] == "missing":
        return TemporemError(f"{where} is missing", hint=f"add a line '{name}: ...'")
    message = problem["msg"].removeprefix("Value error, ")
    got = f" (got {problem['input']!r})" if name else ""
    return TemporemError(f"{where}: {message}{got}")


def _unknown_key(name: str, model: type[BaseModel], source: str) -> TemporemError:
    known = _keys(model)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not near:  # the right key in the wrong section
        leaf = name.rsplit(".", 1)[-1]
        near = [key for key in known if key.rsplit(".", 1)[-1] == leaf]
    section = name.rpartition(".")[0]
    siblings = ", ".join(key for key in known if key.rpartition(".")[0] == section)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {siblings}"
    return TemporemError(f"{source}: unknown key {name}", hint=hint)


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        keys.append(f"{prefix}{name}")
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _keys(kind, f"{prefix}{name}.")
    return keys
