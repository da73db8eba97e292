"""Settings from YAML files and ``key=value`` texts, and what is wrong with them in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

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
        raise _first_problem(error, model, settings, source) from None


def _first_problem(
    error: ValidationError, model: type[BaseModel], settings: Mapping[str, Any], source: str
) -> TemporemError:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown_key(name, _keys(model, settings), source)
    where = f"{source}: {name}" if name else source
    if problem["type"] == "missing":
        return TemporemError(
            f"{where} is missing", hint=f"add a line '{name}: ...' or --set {name}=..."
        )
    message = problem["msg"].removeprefix("Value error, ")
    got = f" (got {problem['input']!r})" if name else ""
    return TemporemError(f"{where}: {message}{got}")


def _unknown_key(name: str, known: list[str], source: str) -> TemporemError:
    section, _, leaf = name.rpartition(".")
    siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    # A key's own section first, without the section's name, which would make any two alike.
    near = [
        f"{section}.{key}".lstrip(".")
        for key in difflib.get_close_matches(leaf, siblings, n=1, cutoff=0.5)
    ]
    if not near:  # the right key in the wrong section
        near = [key for key in known if key.rpartition(".")[2] == leaf]
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(siblings)}"
    return TemporemError(f"{source}: unknown key {name}", hint=hint)


def _keys(model: type[BaseModel], settings: Any, prefix: str = "") -> list[str]:
    """Keys of a model, in a section of several kinds those of the kind that the settings name."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        section = settings.get(name) if isinstance(settings, Mapping) else None
        kinds = get_args(field.annotation) or (field.annotation,)
        models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        if models:
            keys += _keys(_of_kind(models, section), section, f"{prefix}{name}.")
    return keys


def _of_kind(models: list[type[BaseModel]], section: Any) -> type[BaseModel]:
    kind = section.get("kind") if isinstance(section, Mapping) else None
    named = [
        m for m in models if "kind" in m.model_fields and m.model_fields["kind"].default == kind
    ]
    return (named or models)[0]
