"""Checkpoints: one safetensors file each, replaced in one step, without pickle.

The metadata of the file have one entry: the kind of state, its JSON document and a checksum of the
whole content. Two files of the same state are identical, byte by byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from temporem.errors import TemporemError
from temporem.io.files import atomic_write, disk_error
from temporem.io.outputs import require_no_links
from temporem.io.state import Parts

FORMAT = "temporem checkpoint 2"
_RECORD = "temporem"  # several entries would be written in any order


class NotFiniteError(TemporemError):
    """A state holds NaN or infinite numbers; it is not written, and the previous file stays."""


def save_checkpoint(path: Path, parts: Parts) -> None:
    """Replace the file by a checkpoint, completely or not at all.

    Raises:
        NotFiniteError: a tensor has entries that are not finite.
        TemporemError: the file cannot be written.
    """
    require_no_links([path])
    tensors = _apart(parts.tensors)
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise NotFiniteError(
                f"{path}: {name} has NaN or infinite entries; the checkpoint was not written"
            )
    record = {"format": FORMAT, "kind": parts.kind, "document": parts.document}
    text = json.dumps({**record, "checksum": _checksum(record, tensors)}, allow_nan=False)
    with atomic_write(path) as partial:
        try:
            save_file(tensors, partial, {_RECORD: text})
        except (OSError, SafetensorError) as error:
            raise disk_error(error, path, _size(tensors)) from None


def load_checkpoint(path: Path) -> Parts:
    """Read a checkpoint; the caller checks its kind with :meth:`Parts.require_kind`.

    Raises:
        TemporemError: no file, a damaged one, or one with entries that are not finite.
    """
    source = str(path)
    nothing = Parts("", {}, {}, source)
    try:
        with _readable(path) as name, safe_open(name, framework="pt") as file:
            text = (file.metadata() or {}).get(_RECORD, "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        raise nothing.damaged(str(error)[:200]) from None
    record = _record(text)
    if record.get("format") != FORMAT:
        raise nothing.damaged(f"its format is {str(record.get('format'))[:40]}, not {FORMAT}")
    if record.pop("checksum", None) != _checksum(record, tensors):
        raise nothing.damaged("its checksum is wrong")
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise nothing.damaged(f"{name[:40]} has entries that are not finite")
    kind, document = record.get("kind"), record.get("document")
    if not isinstance(kind, str) or not isinstance(document, dict):
        raise nothing.damaged("its document is not a JSON object")
    return Parts(kind, tensors, document, source)


def module_tensors(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Parameters and buffers of a module, named with a prefix."""
    return {f"{prefix}{name}": tensor for name, tensor in module.state_dict().items()}


@runtime_checkable
class Growing(Protocol):
    """A module whose buffers have no size of their own."""

    def make_room(self, stored: Mapping[str, Tensor]) -> None:
        """Take the sizes of its stored tensors, by name, where these are reasonable."""
        ...


def load_module(module: nn.Module, parts: Parts, prefix: str) -> None:
    """Load parameters and buffers into a module; every one of them must fit.

    Raises:
        TemporemError: the checkpoint belongs to a model of other sizes or structure.
    """
    own = _under(prefix, parts.tensors)
    for name, part in module.named_modules():
        if isinstance(part, Growing):
            part.make_room(_under(f"{name}." if name else "", own))
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | own.keys()):
        have, want = own.get(name), wanted.get(name)
        if have is None or want is None or have.shape != want.shape or have.dtype != want.dtype:
            found, expected = (_described(tensor) for tensor in (have, want))
            raise TemporemError(
                f"{parts.source}: checkpoint of another model ({name} is {found})",
                expected=expected,
                hint="use the config.yaml that the run was started with",
            )
    module.load_state_dict(own)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Moments and step counts of Adam, named with a prefix."""
    return {
        f"{prefix}{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, parts: Parts, prefix: str) -> None:
    """Load moments and step counts into an Adam of the same parameters.

    Shapes are checked: fused steps trust them, and would write beyond the end.

    Raises:
        TemporemError: moments of other parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    own = {n.removeprefix(prefix): t for n, t in parts.tensors.items() if n.startswith(prefix)}
    slots: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(parameters):
        found = {key: own.pop(f"{index}.{key}", None) for key in _MOMENTS}
        if all(value is None for value in found.values()):
            continue  # a parameter that no step has reached yet
        for key, value in found.items():
            shape = torch.Size() if key == "step" else parameter.shape
            dtype = torch.float32 if key == "step" else parameter.dtype
            if value is None or value.shape != shape or value.dtype != dtype:
                raise parts.damaged(f"{prefix}{index}.{key} does not fit its parameter")
            slots.setdefault(index, {})[key] = value.clone()  # steps change it in place
    if own:
        raise parts.damaged(f"it holds {prefix}{min(own)[:40]}")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})


def _record(text: str) -> dict[str, Any]:
    """The JSON object in a file's metadata; empty where there is none."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _described(tensor: Tensor | None) -> str:
    if tensor is None:
        return "none"
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}"


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own and in the order of its entries."""
    found: dict[str, Tensor] = {}
    used = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage()
        if memory.nbytes() != plain.nbytes or memory.data_ptr() in used:
            plain = plain.clone()
        used.add(plain.untyped_storage().data_ptr())
        found[name] = plain
    return found


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    return bool(tensor.isfinite().all())


def _checksum(record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(json.dumps(record).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[str]:
    """Give the library a UTF-8 name of the file, the only kind that it opens."""
    try:
        yield str(path).encode().decode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"


def _size(tensors: Mapping[str, Tensor]) -> int:
    """Bytes that tensors take in a file."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
