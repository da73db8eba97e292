"""Write what follows from the code: commands.md, settings.md, api.md, and parts of other pages.

Those are the code in extending.md, and the tables in evaluation.md and formats.md.
``python docs/generate.py`` writes them, and with ``--check`` says which are not up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).parent))
import command_page
import specimens

import temporem
from temporem.evaluation.metrics import METRICS
from temporem.evaluation.metrics.metric import Metric, Score
from temporem.runs.config import RunConfig
from temporem.runs.methods import METHODS

DOCS = Path(__file__).parent
ROOT = DOCS.parent

SECTIONS = {
    "Data": (
        *("read_dataset", "import_files", "Dataset", "Poses", "CTFParameters"),
        *("simulate_movies", "simulate", "read_truth", "Truth"),
    ),
    "Algorithms, in memory": (
        *("find_poses", "reconstruct_homogeneous", "fit_linear"),
        *("fit_static", "fit_tempor", "fit_clock"),
        *("Reconstruction", "HomogeneousFit", "LinearFit", "NetworkFit", "Progress"),
    ),
    "Motion of clouds": ("find_motion", "CloudMotion"),
    "Kinetics": ("measure_kinetics",),
    "Planning": ("plan", "Plan"),
    "Runs, on disk": ("reconstruct", "apply_run", "load_run", "Run"),
    "Measures": (
        "evaluate",
        "main_scores",
        "compare",
        "Evaluation",
        "null_tests",
        "compare_latents",
    ),
    "Pictures": ("render",),
    "Building blocks": (
        *("ForwardModel", "FourierSupport", "fourier_shell_correlation", "resolution"),
        *("read_volume", "write_volume", "TemporemError"),
    ),
    "Extensions": (
        *("register_generator", "register_motion", "register_reader"),
        *("register_method", "register_metric"),
    ),
}
"""Every public name, in the order of the page."""


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
            lines += ["", f"## {name}", "", _markdown(inspect.getdoc(section) or "")]
            lines += _table(section.model_fields, f"{name}.")
    return "\n".join(lines) + "\n"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.default, BaseModel)


def _table(fields: dict[str, FieldInfo], prefix: str) -> list[str]:
    head = ["", "| key | default | values | meaning |", "|---|---|---|---|"]
    return head + [
        f"| `{prefix}{name}` | {_default(field)} | {_values(name, field)} | {field.description} |"
        for name, field in fields.items()
    ]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default == "":
        return "none"
    if field.default is None:
        return "automatic"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _values(name: str, field: FieldInfo) -> str:
    if name == "method":
        return ", ".join(METHODS)
    words = _words(field.annotation)
    found = {type(bound).__name__: bound for bound in field.metadata}
    signs = {"Ge": "≥", "Gt": ">", "Le": "≤", "Lt": "<"}
    bounds = [
        f"{sign} {getattr(found[name], name.lower())}"
        for name, sign in signs.items()
        if name in found
    ]
    number = ["a number"] * (bool(words) and _takes_number(field.annotation))
    return ", ".join([*words, *number, *bounds]) or "a text"


def _words(annotation: object) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is typing.Literal:
        return [str(word) for word in typing.get_args(annotation)]
    return [word for part in typing.get_args(annotation) for word in _words(part)]


def _takes_number(annotation: object) -> bool:
    return annotation in (int, float) or any(map(_takes_number, typing.get_args(annotation)))


def api_page() -> str:
    """Signature, docstring and members of every public name."""
    lines = [
        "# Python API",
        "",
        "`import temporem as tm` gives all names of this page, each loaded when it is first used.",
        "Algorithms work in memory; only `reconstruct`, `apply_run`, `load_run`, `Run`, `simulate`",
        "and what is named `read_…` or `write_…` know folders and files. Arrays are `(…, z, y, x)`",
        "in Å and degrees. Examples assume",
        "",
        "```python",
        "import numpy as np",
        "import torch",
        "",
        "import temporem as tm",
        "```",
        "",
    ]
    for title, names in SECTIONS.items():
        lines.append(f"- {title}: {', '.join(f'[`{name}`](#{name.lower()})' for name in names)}")
    for title, names in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", *_entry(name, getattr(temporem, name))]
    return "\n".join(lines) + "\n"


def _entry(name: str, item: object) -> list[str]:
    lines = [f"### `{name}`", "", "```python", _signature(name, item), "```", ""]
    text, example = _split_example(inspect.getdoc(item) or "")
    lines += [_markdown(text)]
    if inspect.isclass(item):
        lines += _members(item)
    if example:
        lines += ["", "```python", example, "```"]
    return lines


def _split_example(text: str) -> tuple[str, str]:
    """Take the example, which comes last, off a docstring."""
    head, found, example = text.partition("\nExample:\n")
    return head.rstrip(), textwrap.dedent(example).rstrip() if found else ""


def _signature(name: str, item: object) -> str:
    """Signature in lines that are short enough, annotations as they are written."""
    assert callable(item)
    prefix, suffix, bases = "", "", ""
    if inspect.isclass(item):
        prefix = "class "
        known = [base.__name__ for base in item.__bases__ if base.__name__ in temporem.__all__]
        known += ["Exception"] * (item.__bases__ == (Exception,))
        bases = f"({', '.join(known)})" if known else ""
    signature = inspect.signature(item)
    if not inspect.isclass(item):
        suffix = f" -> {_annotation(signature.return_annotation)}"
    parts = _parameters(signature)
    arguments = f"({', '.join(parts)})"
    if bases:  # arguments of a subclass stand on a line of their own
        prefix, name = f"{prefix}{name}{bases}\n", name
    line = f"{prefix}{name}{arguments}{suffix}"
    if len(line.rsplit("\n", 1)[-1]) <= 96:
        return line
    return f"{prefix}{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){suffix}"


def _parameters(signature: inspect.Signature) -> list[str]:
    """Parameters as they are written; a default that is no literal is ``...``."""
    parts, keyword_only = [], False
    for parameter in signature.parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        part = f"{stars.get(parameter.kind, '')}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            part += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            plain = parameter.default is None or isinstance(
                parameter.default, str | int | float | tuple
            )
            part += f" = {_quoted(parameter.default) if plain else '...'}"
        parts.append(part)
    return parts


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _annotation(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation.strip("'")
    return getattr(annotation, "__name__", str(annotation))


def _members(item: type) -> list[str]:
    """First sentences of the public methods and properties that a class defines itself."""
    lines = []
    for name, member in vars(item).items():
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "func", getattr(function, "__func__", function))
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        call = (
            name if isinstance(member, property | cached_property) else f"{name}{_call(function)}"
        )
        lines.append(f"- `{call}`: {_markdown(first)}")
    return ["", "**Methods and properties**", "", *lines] if lines else []


def _call(function: Callable[..., object]) -> str:
    """Names of the arguments of a method."""
    names = [
        str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        for parameter in inspect.signature(function).parameters.values()
    ]
    return f"({', '.join(name for name in names if name not in ('self', 'cls'))})"


def _markdown(text: str) -> str:
    text = re.sub(r":(?:class|func|meth|mod|attr|data):`~?([^`]*)`", r"`\1`", text)
    text = text.replace("``", "`")
    parts = re.split(r"^(Args|Returns|Raises|Attributes|Yields):\n", text, flags=re.M)
    out = parts[0].rstrip()
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        body = textwrap.dedent(body).rstrip()
        body = _items(body) if title != "Returns" else body
        out += f"\n\n**{title.replace('Args', 'Arguments')}**\n\n{body}"
    return out


def _items(body: str) -> str:
    items: list[str] = []
    for line in body.splitlines():
        if line and not line[0].isspace():
            name, _, rest = line.partition(":")
            items.append(f"- `{name}`:{rest}")
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


def formats_page() -> str:
    """The page with the tables of test files, as far as those are there."""
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    if not specimens.SPECIMENS.is_dir():
        return text
    tables = {
        "specimens": _markdown_table(("file", "options", "result"), specimens.rows()),
        "movies": _markdown_table(("file or folder", "what it tells"), specimens.movie_rows()),
    }
    for name, table in tables.items():
        text = re.sub(
            rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)",
            lambda found, table=table: f"{found[1]}{table}\n{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


PAGES = {
    "formats.md": formats_page,
    "commands.md": command_page.command_page,
    "settings.md": settings_page,
    "api.md": api_page,
    "extending.md": extending_page,
    "evaluation.md": evaluation_page,
}


def main(arguments: list[str]) -> int:
    """Write all pages, or only name those that are not up to date; 1 where there are some."""
    made = {DOCS / page: make() for page, make in PAGES.items()}
    old = [path for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    for path in old:
        print(f"docs/{path.name}")
        if arguments != ["--check"]:
            path.write_text(made[path], encoding="utf-8")
    return int(bool(old) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
