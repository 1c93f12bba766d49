"""Which C compilers and which emulator there are: whatever is installed is used.

A cross compiler is the vendor's gcc, or Zig's ``zig cc`` (pip install ziglang), which compiles for every core. unicorn
emulates the cores. Both may live in an interpreter of their own, which SNNAS_C_PYTHON names: unicorn is GPL, and runs
in a process of its own in any case.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from snnas.hw_sim.commands import answer
from snnas.hw_sim.errors import UsageError, brief

PYTHON = "SNNAS_C_PYTHON"
CROSS = "SNNAS_C_CROSS"  # gcc or zig, where both are there
ASKING = 60.0  # seconds
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic")
SANITIZED = ("-Og", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MEND = "pip install ziglang unicorn (in an interpreter of its own where you like: name it in SNNAS_C_PYTHON)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """A processor core that images are built for."""

    name: str
    title: str
    gcc: str
    """The vendor's compiler."""
    gcc_flags: tuple[str, ...]
    zig_flags: tuple[str, ...]


CORES = {
    core.name: core
    for core in (
        Core(
            name="cortex-m4",
            title="Arm Cortex-M4",
            gcc="arm-none-eabi-gcc",
            gcc_flags=("-mcpu=cortex-m4", "-mthumb", "-fno-tree-loop-distribute-patterns"),
            # Loops over windows turn two or three times: unrolled by four, they took up to a fourth more.
            zig_flags=(
                *("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"),
                *("-mllvm", "-unroll-runtime=false"),
            ),
        ),
        Core(
            name="rv32imc",
            title="RISC-V RV32IMC",
            gcc="riscv64-unknown-elf-gcc",
            gcc_flags=("-march=rv32imc", "-mabi=ilp32", "-fno-tree-loop-distribute-patterns"),
            zig_flags=("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c"),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """A command that compiles, with what it must always be given."""

    command: tuple[str, ...]
    name: str
    """As a person knows it."""


def native() -> tuple[Compiler | None, str]:
    """The compiler of this machine, or None and why there is none: $CC, cc, gcc, clang, zig."""
    named = os.environ.get("CC")
    for name in [*([named] if named else []), "cc", "gcc", "clang"]:
        if found := shutil.which(name):
            return Compiler(command=(found,), name=name), found
    if zig := _zig():
        return Compiler(command=(*zig, "cc"), name="zig cc"), " ".join(zig)
    return None, "no C compiler: neither $CC nor cc, gcc, clang or zig is there; install one, or pip install ziglang"


def asked() -> str | None:
    """The cross compiler that SNNAS_C_CROSS names, gcc or zig; UsageError where it names another."""
    wanted = os.environ.get(CROSS) or None
    return _known(wanted, f"{CROSS}={wanted}")


def _known(wanted: str | None, said: str) -> str | None:
    if wanted not in (None, "gcc", "zig"):
        raise UsageError(f"{said}: expected gcc or zig")
    return wanted


def cross(core: Core, only: Literal["gcc", "zig"] | None = None) -> tuple[Compiler | None, str]:
    """A compiler for a core, or None and why there is none: the vendor's gcc, else zig.

    only: one of the two; else what SNNAS_C_CROSS names, if anything. UsageError for another.
    """
    wanted = _known(only, f"only = {brief(only)}") or asked()
    if wanted != "zig" and (found := shutil.which(core.gcc)):
        return Compiler(command=(found, *core.gcc_flags), name=core.gcc), found
    if wanted != "gcc" and (zig := _zig()):
        return Compiler(command=(*zig, "cc", *core.zig_flags), name="zig cc"), " ".join(zig)
    if wanted:
        by = f"only = {only!r}" if only else CROSS
        return None, f"no compiler for {core.title}: {wanted} is asked for ({by}) and is not there; {MEND}"
    lacking = [c.gcc for c in CORES.values() if not shutil.which(c.gcc)]
    of = "microcontrollers" if len(lacking) == len(CORES) else core.title
    return None, f"no compiler for {of}: neither zig nor {' nor '.join(lacking)} is there; {MEND}"


def emulator() -> tuple[Path | None, str]:
    """An interpreter that has unicorn, and its version; or None and why there is none."""
    for python in _interpreters():
        if version := _has(python, "unicorn"):
            return python, f"unicorn {version} ({python})"
    return None, f"no emulator: unicorn is not installed; {MEND}"


def version(compiler: Compiler) -> str:
    """The first line of what a compiler says of itself, after its name."""
    said = _said(
        (*compiler.command[:1], "--version") if compiler.name != "zig cc" else (*compiler.command[:3], "version")
    )
    return f"{compiler.name}: {said}" if said else compiler.name


def _zig() -> tuple[str, ...] | None:
    if found := shutil.which("zig"):
        return (found,)
    for python in _interpreters():
        if _has(python, "ziglang"):
            return (str(python), "-m", "ziglang")
    return None


def _interpreters() -> list[Path]:
    named = os.environ.get(PYTHON)
    return [Path(p) for p in ([named] if named else []) + [sys.executable] if p and Path(p).is_file()]


@cache
def _has(python: Path, package: str) -> str | None:
    """The version of a package in an interpreter, None where it is not there."""
    return _said((str(python), "-I", "-c", f"from importlib.metadata import version; print(version({package!r}))"))


@cache
def _said(command: tuple[str, ...]) -> str | None:
    """The first line that a command prints; None where it fails."""
    line = answer(command, ASKING).text.split("\n")[0].strip()
    return line[:200] or None
