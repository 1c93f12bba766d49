"""Several processes that train one network, each on its share of every batch (``torchrun``).

Gradients, loss and the wish to stop are added up in one all-reduce per step, so that all processes take the same step
and stop at the same one. What is drawn (shuffles, augmentation) is drawn alike by all; dropout masks differ.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from snnas.hw_sim.errors import UsageError


@dataclass(frozen=True, slots=True)
class World:
    """A process (``rank``) among ``size``; rank 0 writes and narrates."""

    rank: int = 0
    size: int = 1

    def span(self, length: int) -> slice:
        """Return this process's part of ``length`` places."""
        return spans(length, self.size)[self.rank]

    def add(self, *values: Tensor) -> None:
        """Replace each of ``values`` by its sum over all processes."""
        if self.size > 1:
            flat = torch.cat([value.detach().reshape(-1).to(torch.float64) for value in values])
            distributed.all_reduce(flat)
            _spread(flat, values)

    def add_gradients(self, network: nn.Module, *more: Tensor) -> None:
        """Add up the gradients of all processes, and ``more`` (float32) along with them."""
        if self.size > 1:
            for p in network.parameters():
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            values = [*(p.grad for p in network.parameters() if p.grad is not None), *more]
            flat = torch.cat([value.detach().reshape(-1) for value in values])
            distributed.all_reduce(flat)
            _spread(flat, values)

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.size > 1:
            distributed.barrier()


def spans(length: int, parts: int) -> list[slice]:
    """Return ``parts`` slices of nearly equal size, the larger ones first, that together are ``length`` places."""
    small, larger = divmod(length, parts)
    ends = [part * small + min(part, larger) for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def rank() -> int:
    """The rank that ``torchrun`` gave this process; 0 outside of it."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes ``torchrun`` started; 1 outside of it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def world(device: str) -> Iterator[World]:
    """The processes of ``torchrun`` (RANK, WORLD_SIZE), joined by nccl on CUDA and gloo elsewhere; one without it."""
    size = world_size()
    if size == 1 or "RANK" not in os.environ:
        yield World()
        return
    if not 0 <= rank() < size:
        raise UsageError(f"RANK {rank()} of WORLD_SIZE {size}, expected 0 to {size - 1}; start it with torchrun")
    mine = not distributed.is_initialized()
    on_gpu = device.startswith("cuda")
    # nccl works on the device that is current; without one, all processes of a machine meet on its first.
    with torch.cuda.device(device) if on_gpu else contextlib.nullcontext():
        yield from _joined(mine, on_gpu, size)


# All processes train equally often.
_TRAININGS = itertools.count()


@functools.cache
def _store() -> Any:
    """The store in which processes find each other, one for all trainings.

    Of one for each, who comes to the next training first would find the last one's, and addresses that are gone.
    """
    from torch.distributed.rendezvous import rendezvous  # which a torch without distributed lacks

    store, _, _ = next(iter(rendezvous("env://")))
    return store


def _joined(mine: bool, on_gpu: bool, size: int) -> Iterator[World]:
    if mine:
        at = torch.device("cuda", torch.cuda.current_device()) if on_gpu else None
        store = distributed.PrefixStore(f"training {next(_TRAININGS)}", _store())  # type: ignore[attr-defined]
        backend = "nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank(), world_size=size, device_id=at)
    try:
        yield World(rank(), size)
        if mine:
            # Who leaves first takes away what the others still talk to.
            distributed.barrier()
    finally:
        if mine:
            distributed.destroy_process_group()


def local_device(device: str) -> str:
    """``cuda`` means the GPU of this process's LOCAL_RANK; everything else is taken as it is."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device


def _spread(flat: Tensor, values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for part, value in zip(torch.split(flat, [value.numel() for value in values]), values, strict=True):
            value.copy_(part.reshape(value.shape))
