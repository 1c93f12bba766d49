"""The device that a command works on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from snnas.hw_sim.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

    from snnas.toolchain.data.load import Array


def resolve_device(device: str) -> str:
    """``auto`` is CUDA where torch sees it, else the CPU. UsageError for a device that torch cannot use."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0][:120]}); try --device cpu"
        ) from None
    return device


def on_device(array: Array, device: str) -> Tensor:
    """Return the array as a tensor there. A GPU's copy does not wait for it; on a CPU the memory is shared."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor


@functools.cache
def has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in units of its own: a CPU with AVX512_BF16 or AMX, an Ampere GPU on.

    Measured with AVX512_BF16, four cells on 32 x 32, one thread: convolutions 1.9 times as fast, a whole training step
    1.45 times. Without such units torch computes it 13 times slower than float32.
    """
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = (getattr(torch.cpu, f"_is_{units}_supported", None) for units in ("avx512_bf16", "amx_tile"))
    return kind == "cpu" and any(ask() for ask in asked if ask is not None)


def settled_amp(amp: str, device: str) -> str:
    """Return 'bf16' or 'none': what a recipe's ``amp`` is on the device."""
    return ("bf16" if has_bf16(device) else "none") if amp == "auto" else amp


def autocast(device: str, amp: str) -> AbstractContextManager[object]:
    """Return the context of a forward pass: with ``amp`` 'bf16' convolutions and linear layers compute so."""
    import torch

    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=settled_amp(amp, device) == "bf16")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Holds torch to one thread: the order of its sums, and so the last bits of what is trained, depend on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
