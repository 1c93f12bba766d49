"""``snnas doctor``: what is usable here, and for what is missing the reason and the mend."""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import dataclass
from importlib import metadata

from snnas.toolchain.runs.extras import EXTRAS, MODULES, USES, install

SCHEMA = "snnas.doctor/1"
BASE = ("numpy", "h5py", "nir", "typer", "rich", "tomli-w")
LOADED = ("torch", "spikingjelly")  # that they are there does not say that they load


@dataclass(frozen=True, slots=True)
class Item:
    """One line. status: ok, missing or broken."""

    name: str
    status: str
    detail: str


def examine() -> list[Item]:
    items = [
        Item("python", "ok", f"{platform.python_version()} ({sys.executable})"),
        _package("snnas", install()),
    ]
    items += [_package(name, f"pip install {name}") for name in BASE]
    for extra, names in EXTRAS.items():
        items += [_package(name, install(extra), use=f"for {USES[extra]}; ", load=name in LOADED) for name in names]
    return [*items, _cuda(), *_lava()]


def _package(name: str, mend: str, *, use: str = "", load: bool = False) -> Item:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Item(name, "missing", f"not installed; {use}mend: {mend}")
    if load:
        try:
            importlib.import_module(MODULES.get(name, name))
        except Exception as error:  # whatever a broken package raises is the answer here
            return Item(
                name,
                "broken",
                f"{version} does not import ({type(error).__name__}: {error}); mend: with --force-reinstall, {mend}",
            )
    return Item(name, "ok", version)


def _cuda() -> Item:
    try:
        import torch
    except ImportError:
        return Item("cuda", "missing", "needs torch; search and training are not available")
    if torch.cuda.is_available():
        return Item("cuda", "ok", f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    why = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no device"
    return Item("cuda", "missing", f"{why}; everything runs on the CPU ({torch.get_num_threads()} threads)")


def _lava() -> list[Item]:
    from snnas.hw_sim.lava import environment as lava_environment

    python, why = lava_environment.find_python()
    if python is None:
        base, base_why = lava_environment.find_base_python()
        mend = "mend: snnas lava setup" if base is not None else f"and no Python 3.10 to build it on: {base_why}"
        return [
            Item("lava-nc", "missing", f"{why.split(';')[0]}; {mend}"),
            Item("lava-dl", "missing", "needs lava-nc's environment"),
        ]
    found = lava_environment.probe(python)
    if not found["usable"]:
        return [Item("lava-nc", "broken", f"{python}: {found['reason']}; mend: snnas lava setup")]
    dl = found["lava_dl"]
    return [
        Item("lava-nc", "ok", f"{found['lava']} on Python {found['python']} ({python})"),
        Item("lava-dl", "ok", str(dl))
        if dl
        else Item("lava-dl", "missing", "optional; mend: snnas lava setup --with-dl"),
    ]
