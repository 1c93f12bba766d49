"""The device that a command works on."""

from __future__ import annotations

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


def autocast(device: str, amp: str) -> AbstractContextManager[object]:
    """Return the context of a forward pass: with ``amp`` 'bf16' convolutions and linear layers compute so."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp == "bf16")
