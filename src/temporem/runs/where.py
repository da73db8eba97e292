"""Conditions on frames, such as ``z1 > 0.5 and movie != "movie_0007"``.

The text is parsed into a syntax tree, of which only a few kinds of nodes are known. Nothing in it
is ever run as Python.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from temporem.errors import TemporemError
from temporem.io.close_names import close_names

_LONGEST = 1000  # characters
_MOST = 12  # names that a message shows
_LONG_NAMES = ("rln", "temporem")

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_GRAMMAR = (
    "comparisons of columns, numbers and texts in quotation marks, joined by and, or, not, such as "
    "'z1 > 0.5 and frame <= 10'"
)


def rows_where(text: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Find where a condition holds: bool ``(N,)``.

    Args:
        text: comparisons (``<``, ``<=``, ``>``, ``>=``, ``==``, ``!=``, ``in (…, …)``) of columns,
            numbers and texts, joined by ``and``, ``or`` and ``not``. Numbers may be added,
            subtracted, multiplied, divided and raised to powers.
        columns: values by name, ``(N,)``, numbers or texts.

    Raises:
        TemporemError: another kind of expression, an unknown column, a text compared with a number.

    Example:
        >>> rows_where("z1 > 0 and frame < 3", {"z1": np.array([-1, 1]), "frame": np.arange(2)})
        array([False,  True])
    """
    if len(text) > _LONGEST:
        raise TemporemError(
            f"the condition has {len(text)} characters", expected=f"at most {_LONGEST}"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
        with np.errstate(all="ignore"):  # a value that is not finite fulfils no comparison
            return _Condition(text, columns).truth(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise TemporemError(f"'{text}' is not understood", expected=_GRAMMAR) from None


def _like(name: str, columns: Mapping[str, np.ndarray]) -> str:
    """Say which columns a wrong name may stand for; the everyday ones where none is alike."""
    everyday = [known for known in columns if not known.startswith(_LONG_NAMES)]
    shown = close_names(name, columns) or everyday[:_MOST]
    return f"{', '.join(shown)}, or another column of frames.star"


class _Condition:
    """Evaluates the nodes of a tree, and refuses all that is no condition."""

    def __init__(self, text: str, columns: Mapping[str, np.ndarray]) -> None:
        self.text = text
        self.columns = columns

    def truth(self, node: ast.expr) -> np.ndarray:
        """Where a node holds, bool ``(N,)``."""
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            joined: np.ndarray = join.reduce(parts)
            return joined
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.truth(node.operand)
        if not isinstance(node, ast.Compare):
            raise self._error(node, "is no comparison")
        sides = [node.left, *node.comparators]
        held = [self._compare(node, kind, *sides[i : i + 2]) for i, kind in enumerate(node.ops)]
        n = len(next(iter(self.columns.values())))
        return np.broadcast_to(np.logical_and.reduce(held), n).copy()

    def _compare(
        self, node: ast.expr, kind: ast.cmpop, left: ast.expr, right: ast.expr
    ) -> np.ndarray:
        if isinstance(kind, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List):
                raise self._error(right, "is no list", 'in ("a", "b")')
            found = [self._compare(node, ast.Eq(), left, one) for one in right.elts]
            inside = np.asarray(np.logical_or.reduce(found) if found else False)
            return inside if isinstance(kind, ast.In) else ~inside
        compare = _COMPARISONS.get(type(kind))
        if compare is None:
            raise self._error(node, "has an unknown comparison")
        values = self.value(left), self.value(right)
        if len({value.dtype.kind in "UT" for value in values}) == 2:
            raise self._error(node, "compares a text with a number")
        return np.asarray(compare(*values))

    def value(self, node: ast.expr) -> np.ndarray:
        """The value of a node, ``(N,)`` or one for all."""
        if isinstance(node, ast.Name):
            return self._column(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
            value = node.value
            return np.asarray(value if isinstance(value, str) else self._number(node, value))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return sign * self._numeric(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._numeric(node.left), self._numeric(node.right)
            return np.asarray(_ARITHMETIC[type(node.op)](left, right))
        raise self._error(node, "is neither a column, a number nor a text")

    def _numeric(self, node: ast.expr) -> np.ndarray:
        value = self.value(node)
        if value.dtype.kind in "UT":
            raise self._error(node, "is a text", "a number")
        return value.astype(float)

    def _number(self, node: ast.expr, value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            raise self._error(node, "is too large") from None

    def _column(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise TemporemError(
                f"'{self.text}': there is no column {name}", expected=_like(name, self.columns)
            )
        return self.columns[name]

    def _error(self, node: ast.AST, what: str, expected: str = _GRAMMAR) -> TemporemError:
        part = ast.get_source_segment(self.text.strip(), node) or self.text
        return TemporemError(f"'{self.text}': {part} {what}", expected=expected)
