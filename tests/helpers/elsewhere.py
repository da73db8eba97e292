"""A device that computes what the CPU computes, and refuses what a GPU would refuse.

A GPU is seldom at hand where tests run. Tensors here say that they are on ``meta`` and keep their
numbers out of reach: an operation on them and on a tensor of main memory fails, as on a GPU, and
so does ``numpy()``. What a GPU allows is allowed: numbers without dimension, indices, copies. Where
a program would wait for a GPU, the operation is noted in :data:`WAITS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ELSEWHERE = torch.device("meta")
WAITS: list[str] = []
"""Operations that had to wait until the device had done all before them."""

_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXED = {_aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default}


class TensorElsewhere(Tensor):
    """A tensor of which ``here`` holds the numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> TensorElsewhere:
        made = Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=ELSEWHERE,
            requires_grad=here.requires_grad,
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(operation, args, kwargs or {})


@contextmanager
def elsewhere(patch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """While it lasts, ``meta`` is such a device.

    Torch asks for the name of a device in some places, where that of the CPU is given.
    """
    patch.setattr(torch, "Generator", _Generator)
    patch.setattr(torch, "autocast", functools.partial(_autocast, torch.autocast))
    patch.setattr(torch.optim, "Adam", functools.partial(_plain, torch.optim.Adam))
    patch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 34, 1 << 34))
    patch.setattr(ThreadPoolExecutor, "submit", _submit(ThreadPoolExecutor.submit))
    with _Constructors(), _Operations():
        yield ELSEWHERE


def _submit(real: Callable[..., Any]) -> Callable[..., Any]:
    """Threads enter no mode by themselves."""

    def submit(pool: ThreadPoolExecutor, function: Callable[..., Any], *args: Any) -> Any:
        def inside() -> Any:
            with _Constructors(), _Operations():
                return function(*args)

        return real(pool, inside)

    return submit


class _Operations(TorchDispatchMode):
    """Sees operations that are given no tensor, as well."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(operation, args, kwargs or {})


class _Constructors(TorchFunctionMode):
    """What torch does without an operation that could be seen."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        if function is Tensor.tolist:  # waits and copies, as on a GPU
            if isinstance(args[0], TensorElsewhere):
                WAITS.append("tolist")
            return function(_here(args[0]))
        return function(*args, **kwargs)


class _Generator(torch.Generator):
    """Random numbers of the CPU for that device."""

    device = property(lambda self: self._device)  # type: ignore[assignment]

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls)
        made._device = torch.device(device)
        return made


def _autocast(real: Any, device_type: str, *args: Any, **kwargs: Any) -> Any:
    return real("cpu", *args, **kwargs)


def _plain(real: Any, *args: Any, **kwargs: Any) -> Any:
    return real(*args, **{**kwargs, "fused": False})


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in _leaves([*args, *kwargs.values()]) if isinstance(leaf, Tensor)]
    away = any(isinstance(tensor, TensorElsewhere) for tensor in tensors)
    if _waits(operation, args, kwargs):
        WAITS.append(str(operation))
    if away and operation not in _COPIES:
        indices = _leaves(args[1]) if operation in _INDEXED else []
        _require_together(operation, [t for t in tensors if all(t is not i for i in indices)])
    if kwargs.get("device") is not None:
        away = torch.device(kwargs["device"]) == ELSEWHERE
        kwargs = {**kwargs, "device": torch.device("cpu")}
    found = operation(*_each(_here, args), **{name: _each(_here, v) for name, v in kwargs.items()})
    if operation._schema.is_mutable and isinstance(args[0], Tensor):
        return args[0]
    return _each(_away, found) if away else found


def _leaves(tree: Any) -> list[Any]:
    """Entries of nested lists and tuples; the general functions of torch take most of the time."""
    if not isinstance(tree, list | tuple):
        return [tree]
    return [leaf for entry in tree for leaf in _leaves(entry)]


def _each(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function to the entries of nested lists and tuples."""
    if not isinstance(tree, list | tuple):
        return function(tree)
    return type(tree)([_each(function, entry) for entry in tree])


def _waits(operation: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the result, or its size, is needed here, or main memory must be read at once."""
    away = isinstance(args[0], TensorElsewhere) if args else False
    if operation == _aten._to_copy.default:
        target = torch.device(kwargs.get("device") or args[0].device)
        return away != (target == ELSEWHERE) and not kwargs.get("non_blocking")
    if operation == _aten.copy_.default:
        return away != isinstance(args[1], TensorElsewhere) and not kwargs.get("non_blocking")
    if operation in _INDEXED:
        indices = [index for index in args[1] if index is not None]
        found_first = any(index.dtype == torch.bool for index in indices)
        return away and (found_first or not all(isinstance(i, TensorElsewhere) for i in indices))
    return away and operation in (_aten._local_scalar_dense.default, _aten.nonzero.default)


def _require_together(operation: Any, tensors: list[Tensor]) -> None:
    near = [t for t in tensors if not isinstance(t, TensorElsewhere) and t.dim()]
    if near:
        shapes = ", ".join(str(tuple(t.shape)) for t in near)
        raise RuntimeError(f"{operation}: tensors elsewhere with tensors {shapes} of main memory")


def _here(leaf: Any) -> Any:
    return leaf.here if isinstance(leaf, TensorElsewhere) else leaf


def _away(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    return TensorElsewhere(leaf.resolve_conj().resolve_neg())  # no flag is seen from outside
