"""What is usable on this machine, and the Lava worker's environment."""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.output.stderr import SILENT, Narrator
from snnas.toolchain.runs.extras import EXTRAS, MODULES, USES, install

SCHEMA = "snnas.doctor/1"
BASE = ("numpy", "h5py", "nir", "typer", "rich", "tomli-w", "networkx", "pydantic")
LOADED = ("torch", "spikingjelly")  # that they are there does not say that they load


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is usable, or not."""

    name: str
    """python, a package, cuda, lava-nc, lava-dl, a C compiler or the emulator."""
    status: str
    """ok, missing or broken."""
    detail: str
    """Its version; or why it is not usable, and the mend."""


def examine_installation() -> list[Item]:
    """What is usable here: Python, packages of every extra, CUDA, Lava; of what is not, the reason and the mend."""
    items = [
        Item("python", "ok", f"{platform.python_version()} ({sys.executable})"),
        _package("snnas", install()),
    ]
    items += [_package(name, f"pip install {name}") for name in BASE]
    for extra, names in EXTRAS.items():
        items += [_package(name, install(extra), use=f"for {USES[extra]}; ", load=name in LOADED) for name in names]
    return [*items, _cuda(), *_lava(), *_c()]


def set_up_lava(python: Path | None = None, *, with_dl: bool = False, narrator: Narrator = SILENT) -> Path:
    """Makes the worker's environment with lava-nc (about 20 s, 320 MB) and returns its interpreter.

    python: the Python 3.10 to build it on; None: looked for. with_dl: lava-dl too, which brings torch 2.3 (5.6 GB).
    UnsupportedError (4) where there is no Python 3.10.
    """
    from snnas.hw_sim.lava import environment

    return environment.setup(python, with_dl, narrator.say)


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


def _c() -> list[Item]:
    """What --target c compiles with, and runs on."""
    from snnas.hw_sim.c import compilers

    native, why = compilers.native()
    items = [
        Item("c compiler", "missing", why) if native is None else Item("c compiler", "ok", compilers.version(native))
    ]
    for core in compilers.CORES.values():
        try:
            found, why = compilers.cross(core)
        except UsageError as error:
            items.append(Item(core.name, "broken", str(error)))
            continue
        said = Item(core.name, "missing", why) if found is None else Item(core.name, "ok", compilers.version(found))
        items.append(said)
    python, why = compilers.emulator()
    return [*items, Item("emulator", "missing" if python is None else "ok", why)]


def _lava() -> list[Item]:
    from snnas.hw_sim.lava import environment

    python, why = environment.find_python()
    if python is None:
        base, base_why = environment.find_base_python()
        mend = "mend: snnas lava setup" if base is not None else f"and no Python 3.10 to build it on: {base_why}"
        return [
            Item("lava-nc", "missing", f"{why.split(';')[0]}; {mend}"),
            Item("lava-dl", "missing", "needs lava-nc's environment"),
        ]
    found = environment.probe(python)
    if not found["usable"]:
        return [Item("lava-nc", "broken", f"{python}: {found['reason']}; mend: snnas lava setup")]
    dl = found["lava_dl"]
    return [
        Item("lava-nc", "ok", f"{found['lava']} on Python {found['python']} ({python})"),
        Item("lava-dl", "ok", str(dl))
        if dl
        else Item("lava-dl", "missing", "optional; mend: snnas lava setup --with-dl"),
    ]
