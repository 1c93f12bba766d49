"""What is found, and what is said where nothing is."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from snnas.hw_sim.c import compilers, elf
from snnas.hw_sim.c.model import CModel, decoded
from snnas.hw_sim.errors import UsageError


@pytest.fixture
def bare(monkeypatch):
    """A machine without anything on its PATH, whose Python has neither ziglang nor unicorn."""
    for name in ("CC", compilers.PYTHON, compilers.CROSS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compilers.shutil, "which", lambda name: None)
    monkeypatch.setattr(compilers, "_has", lambda python, package: None)
    return monkeypatch


def test_without_anything_each_says_what_to_install(bare) -> None:
    found, why = compilers.native()
    assert found is None
    assert "install one, or pip install ziglang" in why
    for core in compilers.CORES.values():
        found, why = compilers.cross(core)
        assert found is None
        assert core.gcc in why
        assert "pip install ziglang unicorn" in why
    python, why = compilers.emulator()
    assert python is None
    assert "unicorn is not installed" in why


def test_cc_goes_before_gcc_and_the_vendors_compiler_before_zig(bare) -> None:
    bare.setattr(compilers.shutil, "which", lambda name: f"/opt/{name}")
    assert compilers.native()[0].command == ("/opt/cc",)
    bare.setenv("CC", "tcc")
    assert compilers.native()[0].command == ("/opt/tcc",)
    m4 = compilers.CORES["cortex-m4"]
    assert compilers.cross(m4)[0].command == ("/opt/arm-none-eabi-gcc", *m4.gcc_flags)


def test_which_cross_compiler_may_be_chosen(bare, tmp_path: Path) -> None:
    m4 = compilers.CORES["cortex-m4"]
    bare.setattr(compilers.shutil, "which", lambda name: f"/opt/{name}")
    assert compilers.cross(m4)[0].name == "arm-none-eabi-gcc"
    assert compilers.cross(m4, only="zig")[0].name == "zig cc"
    with pytest.raises(UsageError, match="only = 'clang': expected gcc or zig"):
        compilers.cross(m4, only="clang")
    bare.setenv(compilers.CROSS, "zig")
    assert compilers.cross(m4)[0].name == "zig cc"
    bare.setattr(compilers.shutil, "which", lambda name: None)
    found, why = compilers.cross(m4)
    assert found is None
    assert why.startswith("no compiler for Arm Cortex-M4: zig is asked for (SNNAS_C_CROSS)")
    assert "gcc is asked for (only = 'gcc') and is not there" in compilers.cross(m4, only="gcc")[1]
    bare.setenv(compilers.CROSS, "icc")
    with pytest.raises(UsageError, match="SNNAS_C_CROSS=icc: expected gcc or zig"):
        compilers.cross(m4)


def test_an_interpreter_of_its_own_is_asked_for_zig_and_unicorn(bare, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.touch()
    bare.setenv(compilers.PYTHON, str(python))
    bare.setattr(compilers, "_has", lambda found, package: "1.2" if found == python else None)
    core = compilers.CORES["rv32imc"]
    assert compilers.cross(core)[0].command == (str(python), "-m", "ziglang", "cc", *core.zig_flags)
    assert compilers.emulator() == (python, f"unicorn 1.2 ({python})")


def test_what_an_interpreter_has() -> None:
    assert compilers._has(Path(sys.executable), "numpy") == np.__version__
    assert compilers._has(Path(sys.executable), "no-such-package") is None


def test_elf(tmp_path: Path) -> None:
    """A file of one segment, two kept sections, and a symbol table, written by hand."""
    names = b"\0device_step\0memset\0"
    symbols = struct.pack("<IIIBBH", 1, 0x10001, 6, 0, 0, 1) + struct.pack("<IIIBBH", 13, 0, 0, 0, 0, 0)
    at = 52 + 32
    fields = (2, 40, 1, 0, 52, at + 200, 0, 52, 32, 1, 40, 5, 0)
    header = b"\x7fELF\x01\x01" + bytes(10) + struct.pack("<HHIIIIIHHHHHH", *fields)
    program = struct.pack("<8I", 1, at, 0x10000, 0x10000, 100, 120, 5, 4)
    sections = [
        struct.pack("<10I", *(0,) * 10),
        struct.pack("<10I", 0, 1, 2, 0x10000, at, 100, 0, 0, 0, 0),
        struct.pack("<10I", 0, 8, 3, 0x20000000, 0, 64, 0, 0, 0, 0),
        struct.pack("<10I", 0, 2, 0, 0, at + 100, len(symbols), 4, 0, 0, 16),
        struct.pack("<10I", 0, 3, 0, 0, at + 150, len(names), 0, 0, 0, 0),
    ]
    body = bytearray(200)
    body[100 : 100 + len(symbols)] = symbols
    body[150 : 150 + len(names)] = names
    path = tmp_path / "image.elf"
    path.write_bytes(header + program + bytes(body) + b"".join(sections))
    found = elf.read(path)
    assert found.segments == (elf.Segment(0x10000, 120, at, 100),)
    assert found.symbols == {"device_step": (0x10001, 6)}
    assert found.undefined == ("memset",)
    assert (found.flash, found.ram) == (100, 64)
    path.write_bytes(b"\x7fELF\x02\x01" + bytes(60))
    with pytest.raises(ValueError, match="no little-endian 32-bit ELF"):
        elf.read(path)


def test_output_is_taken_whole_or_not_at_all() -> None:
    model = CModel(header="", source="", timesteps=2, classes=1, frame=1, value=np.uint8, words=(1, 2))
    raw = np.arange(6, dtype="<u4").tobytes() + np.array([-5], "<i8").tobytes()
    found = decoded(model, raw * 3, 3)
    assert found is not None
    assert found.spikes[1].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.logits.tolist() == [[-5]] * 3
    assert decoded(model, raw[:-1], 1) is None
    assert decoded(model, raw, 2) is None
