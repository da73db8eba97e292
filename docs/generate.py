"""Write what follows from the code: settings.md, api.md, and parts of other pages.

``python docs/generate.py`` writes them; a test fails where they are not up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import temporem
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import Metric, Score
from temporem.runs.config import RunConfig

DOCS = Path(__file__).parent
ROOT = DOCS.parent


def settings_page() -> str:
    """All settings of a run, with default, values and meaning."""
    lines = [
        "# Settings of `temporem reconstruct`",
        "",
        "Give settings as `--set section.key=value` or in a YAML file for `--config`. A run writes",
        "all of them to `RUN/config.yaml`, which can be given to `--config` again.",
        "`--config paper.yaml` has the choices of the TEMPOR paper.",
        "",
        "## Top level",
    ]
    fields = RunConfig.model_fields
    top = {name: field for name, field in fields.items() if not _is_section(field)}
    lines += _table(top, "")
    for name, field in fields.items():
        if _is_section(field):
            section = type(field.default)
            lines += ["", f"## {name}", "", inspect.getdoc(section) or ""]
            lines += _table(section.model_fields, f"{name}.")
    return "\n".join(lines) + "\n"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.default, BaseModel)


def _table(fields: dict[str, FieldInfo], prefix: str) -> list[str]:
    head = ["", "| key | default | values | meaning |", "|---|---|---|---|"]
    return head + [
        f"| `{prefix}{name}` | {_default(field)} | {_values(field)} | {field.description} |"
        for name, field in fields.items()
    ]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default == "":
        return "none"
    if field.default is None:
        return "automatic"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _values(field: FieldInfo) -> str:
    words = _words(field.annotation)
    found = {type(bound).__name__: bound for bound in field.metadata}
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    bounds = [
        f"{sign} {getattr(found[name], name.lower()):g}"
        for name, sign in signs.items()
        if name in found
    ]
    number = ["a number"] * (bool(words) and _takes_number(field.annotation))
    return ", ".join([*words, *number, *bounds])


def _words(annotation: object) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is typing.Literal:
        return [str(word) for word in typing.get_args(annotation)]
    return [word for part in typing.get_args(annotation) for word in _words(part)]


def _takes_number(annotation: object) -> bool:
    return annotation in (int, float) or any(map(_takes_number, typing.get_args(annotation)))


def api_page() -> str:
    """Signature and docstring of every public name."""
    lines = [
        "# Python API",
        "",
        "`import temporem as tm`. Everything below works in memory; only `reconstruct`, `load_run`",
        "and `simulate` know folders. Arrays are `(…, z, y, x)`, lengths Å, angles degrees.",
        "",
    ]
    for name in temporem.__all__:
        if name == "__version__":
            continue
        item = getattr(temporem, name)
        lines += [f"## `{name}`", "", "```python", _signature(name, item), "```", ""]
        lines += [_markdown(inspect.getdoc(item) or ""), ""]
        if inspect.isclass(item):
            lines += _members(item)
    return "\n".join(lines).rstrip() + "\n"


def _signature(name: str, item: object) -> str:
    if inspect.isclass(item) and issubclass(item, Exception):
        return f"class {name}(Exception)"
    try:
        signature = str(inspect.signature(typing.cast(typing.Callable[..., object], item)))
    except (TypeError, ValueError):
        signature = ""
    signature = re.sub(r"'([^']*)'", r"\1", signature)
    signature = re.sub(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-f]+>", r"\1()", signature)
    text = f"{'class ' if inspect.isclass(item) else ''}{name}{signature}"
    if len(text) <= 96:
        return text
    head, _, rest = text.partition("(")
    inner, _, tail = rest.rpartition(")")
    parts = _split_arguments(inner)
    return f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + f"){tail}"


def _split_arguments(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def _members(item: type) -> list[str]:
    """First sentences of the public methods and properties that a class defines itself."""
    lines = []
    for name, member in vars(item).items():
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "func", getattr(function, "__func__", function))
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"- `{name}`: {_markdown(first)}")
    return [*lines, ""] if lines else []


def _markdown(text: str) -> str:
    text = re.sub(r":(?:class|func|meth|mod|attr):`~?([^`]*)`", r"`\1`", text)
    text = text.replace("``", "`")
    parts = re.split(r"^(Args|Returns|Raises|Attributes|Yields|Example):\n", text, flags=re.M)
    out = parts[0].rstrip()
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        body = textwrap.dedent(body).rstrip()
        if title == "Example":
            out += f"\n\n```python\n{body}\n```"
        else:
            out += f"\n\n**{title}**\n\n{_items(body) if title != 'Returns' else body}"
    return out


def _items(body: str) -> str:
    items: list[str] = []
    for line in body.splitlines():
        if line and not line[0].isspace():
            name, colon, rest = line.partition(":")
            items.append(f"- `{name}`:{rest}" if colon else f"- {line}")
        elif line.strip():
            items.append(f"  {line.strip()}")
    return "\n".join(items)


def extending_page() -> str:
    """The page with the code between the markers of the tests that it quotes."""
    text = (DOCS / "extending.md").read_text(encoding="utf-8")

    def quoted(found: re.Match[str]) -> str:
        code = (ROOT / found["path"]).read_text(encoding="utf-8")
        (part,) = re.findall(r"# \[docs:begin\]\n(.*?)\n *# \[docs:end\]", code, re.DOTALL)
        return f"<!-- {found['path']} -->\n```python\n{textwrap.dedent(part).strip()}\n```"

    return re.sub(
        r"<!-- (?P<path>tests/\S+\.py) -->\n```python\n.*?```", quoted, text, flags=re.DOTALL
    )


_BETTER = {1: "more", -1: "less", 0: "–"}


def evaluation_page() -> str:
    """The page with the tables of scores, gains and arrays as the registered metrics have them."""
    tables = {"scores": score_table, "gains": gain_table, "arrays": array_table}
    return re.sub(
        r"(?P<begin><!-- (?P<name>scores|gains|arrays):begin -->\n)"
        r".*?(?P<end><!-- (?P=name):end -->)",
        lambda found: f"{found['begin']}{tables[found['name']]()}\n{found['end']}",
        (DOCS / "evaluation.md").read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )


def score_table() -> str:
    """All scores: their keys, labels, units, better directions and definitions."""
    return _markdown_table(
        ("key", "in tables", "unit", "better", "definition"),
        (
            (
                _key(metric, score),
                score.label,
                score.unit,
                _BETTER[score.direction],
                score.definition,
            )
            for metric in METRICS.values()
            for score in metric.scores
        ),
    )


def gain_table() -> str:
    """The gains of a comparison that are not a difference of scores."""
    return _markdown_table(
        ("key", "in tables", "unit", "definition"),
        (
            (_key(metric, gain), gain.label, gain.unit, gain.definition)
            for metric in METRICS.values()
            for gain in metric.gains
            if gain not in metric.scores
        ),
    )


def array_table() -> str:
    """The arrays of ``evaluation.npz``."""
    return _markdown_table(
        ("array", "axes"),
        (
            (f"`{metric.name}/{name}`", ", ".join(map(str, axes)) or "one number")
            for metric in METRICS.values()
            for name, (_, *axes) in metric.arrays.items()
        ),
    )


def _key(metric: Metric, score: Score) -> str:
    return f"`{metric.name}.{score.name}`"


def _markdown_table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


PAGES = {
    "settings.md": settings_page,
    "api.md": api_page,
    "extending.md": extending_page,
    "evaluation.md": evaluation_page,
}


if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), encoding="utf-8")
        print(f"docs/{page}", file=sys.stderr)
