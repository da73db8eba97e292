"""The processes that share a run: one, or several that torchrun has started.

Every process runs the same program on its share of the frames. Sums over frames are added up over
all processes, so all continue with the same numbers. The first process writes files and messages.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from temporem.errors import AlreadySaid, TemporemError

_LONGEST_WAIT = timedelta(hours=1)  # for a process that is busy; one that ended is noticed at once
_ENDED, _INTERRUPTED = "temporem/ended", "temporem/interrupted"


class ProcessGroup:
    """The processes of a run, from the view of one of them; a single process by default.

    Args:
        rank: of this process, from 0.
        size: how many there are.
        local_rank: rank of this process on its node; it takes the GPU with this number.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    @property
    def is_main(self) -> bool:
        """True in the process that writes files and prints."""
        return self.rank == 0

    def cut(self, weights: Sequence[int] | np.ndarray) -> slice:
        """Part of a list for this process: contiguous, and about equal in weight for all."""
        ends = np.cumsum(weights)
        if self.size == 1 or len(ends) == 0:
            return slice(0, len(ends))
        middles = ends - np.asarray(weights) / 2
        bounds = ends[-1] * np.array([self.rank, self.rank + 1]) / self.size
        first, last = np.searchsorted(middles, bounds).tolist()
        return slice(first, last)

    def share(self, movies: list[np.ndarray]) -> list[np.ndarray]:
        """Movies for this process: neighbours in the list, with about equal numbers of frames."""
        return movies[self.cut([len(movie) for movie in movies])]

    def add(self, *tensors: Tensor) -> None:
        """Replace tensors by their sums over all processes, bit-identical in all of them."""
        for tensor in tensors:
            self._together(dist.all_reduce, tensor)

    def same(self, *tensors: Tensor) -> None:
        """Replace tensors with those of the first process."""
        for tensor in tensors:
            self._together(dist.broadcast, tensor, 0)

    def any(self, flag: bool) -> bool:
        """True in all processes if the flag is set in any of them."""
        return self.any_of(flag)[0]

    def any_of(self, *flags: bool) -> list[bool]:
        """Answer :meth:`any` for several flags in one message."""
        raised = torch.tensor(flags, dtype=torch.float32)  # on the CPU, to wait for no GPU
        self.add(raised)
        return (raised > 0).tolist()

    def wait(self) -> None:
        """Wait until all processes have arrived here."""
        self.any(False)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients over all processes, in one message.

        A parameter that a process did not use counts as 0. One that no process used keeps None.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        users = torch.tensor([float(p.grad is not None) for p in parameters])
        self.add(users)
        used = [p for p, n in zip(parameters, users.tolist(), strict=True) if n]
        if not used:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self.add(flat)
        for p, summed in zip(used, flat.split([p.numel() for p in used]), strict=True):
            p.grad = summed.view_as(p)

    def _together(self, call: Callable[..., Any], tensor: Tensor, *arguments: int) -> None:
        if self.size == 1 or tensor.numel() == 0:
            return
        try:
            call(tensor, *arguments)
        except RuntimeError as error:
            raise TemporemError(
                f"lost the other processes of this run ({_first_sentence(error)})",
                hint="read their messages, and those of the program that started them",
            ) from None


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def join_processes() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, as its environment variables describe them.

    The process that meets an error first raises it, with its own name; all other processes raise
    :class:`AlreadySaid`. SIGTERM, with which torchrun and Slurm stop processes, counts as Ctrl-C.

    Raises:
        TemporemError: the environment is incomplete, or the other processes cannot be reached.
    """
    size = _environment("WORLD_SIZE", 1)
    if size == 1:
        yield SINGLE_PROCESS
        return
    rank = _environment("RANK")
    processes = ProcessGroup(rank, size, _environment("LOCAL_RANK", 0))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    store = _meet(processes)
    try:
        yield processes
        processes.wait()
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        if not _first_to_end(store, interrupted=interrupted):
            raise AlreadySaid(interrupted=interrupted or _was_interrupted(store)) from None
        if isinstance(error, TemporemError):
            name = f"rank {rank} of {size}, on {socket.gethostname()}"
            raise TemporemError(f"{error} ({name})") from None
        raise
    # After an error others may be in the middle of a sum; the end of the process tells them.
    dist.destroy_process_group()


def _meet(processes: ProcessGroup) -> Store:
    """Make the process group; returns the store through which processes exchange notes."""
    on_gpu = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        store, _, _ = next(rendezvous("env://"))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=store,
            rank=processes.rank,
            world_size=processes.size,
            timeout=_LONGEST_WAIT,
        )
    except (RuntimeError, ValueError) as error:
        raise TemporemError(
            f"rank {processes.rank} cannot reach the other processes ({_first_sentence(error)})",
            expected=f"{processes.size} processes, and the environment that torchrun sets",
            hint="check MASTER_ADDR and MASTER_PORT",
        ) from None
    return store


def _first_sentence(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]


def _first_to_end(store: Store, *, interrupted: bool) -> bool:
    try:
        if interrupted:
            store.set(_INTERRUPTED, "1")
        return store.add(_ENDED, 1) == 1
    except RuntimeError:
        return False  # the store went with the first process


def _was_interrupted(store: Store) -> bool:
    try:
        return store.check([_INTERRUPTED])
    except RuntimeError:
        return False


def _environment(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, default)
    try:
        return int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TemporemError(
            f"the environment variable {name} is {text!r}",
            expected="a number, as torchrun sets it",
            hint="start several processes with torchrun, or unset WORLD_SIZE",
        ) from None
