"""What the figures of a run depend on besides its seed: versions, machine, device."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata


def fingerprint(device: str) -> dict[str, str]:
    """What the figures of a run depend on besides its seed.

    The number of threads and the instructions that torch uses decide the order of its sums, so the last bits of trained
    weights (measured: the digits trained with one thread and with two end 1.1 points apart in test accuracy).
    """
    versions = {"python": platform.python_version(), "machine": platform.machine(), "device": device}
    with contextlib.suppress(ImportError):
        import torch

        versions |= {"instructions": torch.backends.cpu.get_cpu_capability(), "threads": str(torch.get_num_threads())}
    return versions | versions_of("snnas", "numpy", "torch", "spikingjelly", "nir")


def versions_of(*names: str) -> dict[str, str]:
    """Of those packages that are installed; nothing is imported for it."""
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
