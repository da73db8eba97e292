"""Registry of reconstruction methods, one line each."""

from __future__ import annotations

from temporem.errors import TemporemError
from temporem.runs.methods.base import Method
from temporem.runs.methods.clock import Clock
from temporem.runs.methods.homogeneous import Homogeneous
from temporem.runs.methods.linear import Linear
from temporem.runs.methods.network import Static, Tempor

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Tempor(),
        Static(),
        Clock(),
        Linear(),
        Homogeneous(),
    )
}


def register_method(method: Method) -> None:
    """Register a method by its name, for ``--method`` and ``load_run``.

    Raises:
        TemporemError: another method has the name.

    Example:
        >>> tm.register_method(BlurredMean())  # the class in docs/extending.md
    """
    if METHODS.get(method.name, method) is not method:
        raise TemporemError(f"there is already a method named '{method.name}'")
    METHODS[method.name] = method


def find_method(name: str) -> Method:
    """Look up a method by name.

    Raises:
        TemporemError: there is none.
    """
    if name not in METHODS:
        raise TemporemError(f"no method '{name}'", expected=f"one of {', '.join(METHODS)}")
    return METHODS[name]
