"""Settings from YAML files and ``key=value`` texts, with one-line error messages."""

from __future__ import annotations

import difflib
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from temporem.errors import TemporemError
from temporem.io.signatures import refuse_foreign
from temporem.io.text_file import read_text

MOST_BYTES = 10**6
"""Largest file of settings; larger ones are refused."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class ByKind:
    """Marks a section whose key ``kind`` names its model: ``Annotated[Base, ByKind(models)]``.

    A tagged union of pydantic does this too, but it puts the tag into the names of keys in its
    messages, does not work without the tag, and knows no models that are registered later.

    Attributes:
        models: gives the model of every kind, by its name.
        default: the kind of a section that names none.
    """

    models: Callable[[], Mapping[str, type[BaseModel]]]
    default: str

    def model_of(self, section: Any) -> type[BaseModel] | None:
        """Return the model of a section; None where its kind is not known."""
        kind = section.get("kind", self.default) if isinstance(section, Mapping) else self.default
        return self.models().get(kind) if isinstance(kind, str) else None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._validate, handler(source))

    def _validate(self, section: object) -> object:
        if isinstance(section, BaseModel):
            section = dict(section)
        if not isinstance(section, dict):
            raise ValueError("must be a section of settings")
        model = self.model_of(section)
        if model is not None:
            return model.model_validate(section)
        *others, last = (repr(kind) for kind in sorted(self.models()))
        known = f"{', '.join(others)} or {last}" if others else last
        unknown = PydanticCustomError("unknown_kind", "must be {known}", {"known": known})
        problem = InitErrorDetails(type=unknown, loc=("kind",), input=section.get("kind"))
        raise ValidationError.from_exception_data("kind", [problem])


_BRIEF = reprlib.Repr()  # of a value of any size
_BRIEF.maxstring = _BRIEF.maxother = 200


class _Loader(yaml.SafeLoader):
    """Loads the part of YAML that settings need.

    Types are those of JSON (a date is a text) and numbers have 64 bits. A key may not occur twice.
    Aliases are refused, because a few lines of them may stand for more than memory holds.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _problem("aliases (*name) are not allowed here", self.peek_event())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise _problem(f"the key {_BRIEF.repr(key)} occurs {count} times", node)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        real = node.tag.endswith(":float")
        if len(node.value) > 100:  # in base 60, which YAML has, a million digits take for ever
            raise _problem("a number of more than 100 digits", node)
        value: float = self.construct_yaml_float(node) if real else self.construct_yaml_int(node)
        if not (real or -(2**63) <= value < 2**63):
            raise _problem("a whole number of more than 64 bits", node)
        return value


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_constructors = {
    None: yaml.SafeLoader.construct_undefined,
    **{
        _TAG + name: yaml.SafeLoader.yaml_constructors[_TAG + name]
        for name in ("null", "bool", "str", "seq", "map")
    },
    **{_TAG + name: _Loader.construct_number for name in ("int", "float")},
}


def _problem(what: str, found: yaml.Node | yaml.Event) -> yaml.YAMLError:
    mark = found.start_mark
    return yaml.YAMLError(what if mark is None else f"line {mark.line + 1}: {what}")


def _parse(text: str) -> Any:
    """Parse YAML; raises a YAMLError and nothing else."""
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except (ValueError, LookupError, ArithmeticError) as error:
        raise yaml.YAMLError(f"a value does not fit its tag: {error}") from None


def load_settings(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file, not yet validated."""
    refuse_foreign(path, expected="a YAML file of settings")
    try:
        settings = _parse(read_text(path, most_bytes=MOST_BYTES))
    except yaml.YAMLError as error:
        raise TemporemError(f"{path}: not readable as YAML ({error})") from None
    if not isinstance(settings, dict):
        raise TemporemError(f"{path}: not a config", expected="lines such as 'key: value'")
    return settings


def apply_overrides(settings: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return settings changed by ``section.key=value`` texts; values are read as YAML."""
    merged: dict[str, Any] = dict(settings)
    for text in overrides:
        name, separator, value = text.partition("=")
        if not separator or not all(name.strip().split(".")):
            raise TemporemError(
                f"--set {text}: not understood",
                expected="key=value or section.key=value",
                hint="for example --set seed=1",
            )
        try:
            change = {name.strip(): _parse(value)}
        except yaml.YAMLError as error:
            message = f"--set {text}: the value is not valid YAML ({error})"
            raise TemporemError(message) from None
        merged = apply_changes(merged, change, source=f"--set {text}")
    return merged


def apply_changes(
    settings: Mapping[str, Any], changes: Mapping[str, Any], *, source: str
) -> dict[str, Any]:
    """Return settings changed at dotted keys, such as ``{"ctf.cs_mm": 2.0}``.

    Raises:
        TemporemError: a key names a section, but a value stands there; the message names
            ``source``.
    """
    merged = dict(settings)
    for name, value in changes.items():
        *sections, last = name.split(".")
        node = merged
        for key in sections:
            child = node.get(key, {})
            if not isinstance(child, dict):
                raise _no_section(f"{source}: {key}")
            node[key] = dict(child)
            node = node[key]
        node[last] = value
    return merged


def validate_settings(
    model: type[Model],
    settings: Mapping[str, Any],
    *,
    source: str,
    called: Callable[[str], str] | None = None,
) -> Model:
    """Validate settings by a model and return it.

    Args:
        model: the model.
        settings: values by key.
        source: where they come from, for messages.
        called: what the user calls a key, such as a flag; None for the key after ``source``.

    Raises:
        TemporemError: an unknown key (with the nearest known one) or a bad value; the message
            names ``source``.
    """
    called = called or f"{source}: {{}}".format
    try:
        valid = model.model_validate(settings)
    except ValidationError as error:
        raise _first_problem(error, model, settings, source, called) from None
    name = _boolean_as_number(settings, valid)
    if name is not None:
        raise TemporemError(f"{called(name)} is true or false", expected="a number")
    return valid


def _boolean_as_number(given: object, valid: object) -> str | None:
    """Find a true or false that pydantic took for 1 or 0; returns its dotted name."""
    if isinstance(given, Mapping) and isinstance(valid, BaseModel | Mapping):
        kept = valid if isinstance(valid, Mapping) else dict(valid)
        pairs = [(key, given[key], kept[key]) for key in given if key in kept]
    elif isinstance(given, list) and isinstance(valid, list | tuple):
        pairs = [(i, *pair) for i, pair in enumerate(zip(given, valid, strict=True))]
    else:
        return "" if isinstance(given, bool) and not isinstance(valid, bool) else None
    for key, before, after in pairs:
        name = _boolean_as_number(before, after)
        if name is not None:
            return f"{key}.{name}".rstrip(".")
    return None


def _first_problem(
    error: ValidationError,
    model: type[BaseModel],
    settings: Mapping[str, Any],
    source: str,
    called: Callable[[str], str],
) -> TemporemError:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return _unknown_key(name, _keys(model, settings), source)
    where = called(name) if name else source
    if problem["type"] == "missing":
        return TemporemError(
            f"{where} is missing", hint=f"add a line '{name}: ...' or --set {name}=..."
        )
    if problem["type"] == "model_type":
        return _no_section(where)
    message = problem["msg"].removeprefix("Value error, ")
    got = f" (got {_BRIEF.repr(problem['input'])})" if name else ""
    return TemporemError(f"{where}: {message}{got}")


def _no_section(where: str) -> TemporemError:
    return TemporemError(
        f"{where} is a value, not a section", expected="lines such as 'key: value' below it"
    )


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
    """List the dotted keys of a model; in a section of several kinds, those of the named kind."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(f"{prefix}{name}")
        section = settings.get(name) if isinstance(settings, Mapping) else None
        by_kind = [mark.model_of(section) for mark in field.metadata if isinstance(mark, ByKind)]
        types = by_kind or get_args(field.annotation) or (field.annotation,)
        models = [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]
        if models:
            keys += _keys(models[0], section, f"{prefix}{name}.")
    return keys
