"""Builds ``guard.cpp`` once for each torch, and loads it before torch."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")
FLAGS = ("-std=c++20", "-O1", "-shared", "-fPIC")


def missing() -> str | None:
    """Why it cannot be built here, or None."""
    if not sys.platform.startswith("linux"):
        return f"the guard is built for Linux, this is {sys.platform}"
    if "+cpu" not in metadata.version("torch"):
        return f"torch {metadata.version('torch')} is not a CPU build: it brings a guard of its own"
    return None if shutil.which("g++") else "no g++ to build the device guard with"


def torch_folder() -> Path:
    """Where torch is installed; it is not imported."""
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def built() -> Path:
    """The library; built in half a minute where it is not there yet."""
    key = hashlib.sha256(f"{metadata.version('torch')} {FLAGS} {SOURCE.read_text()}".encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnas"
    path, torch = folder / f"fake_cuda-{key}.so", torch_folder()
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            part = Path(made, path.name)
            include = [f"-I{torch / 'include'}", f"-I{torch / 'include/torch/csrc/api/include'}"]
            libraries = [f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu"]
            command = ["g++", *FLAGS, str(SOURCE), *include, "-o", str(part), *libraries]
            subprocess.run(command, check=True, timeout=600)
            part.replace(path)
    return path


def load() -> None:
    """Load torch's libraries and the guard into this process, which must not have imported torch."""
    assert "torch" not in sys.modules
    lib = torch_folder() / "lib"
    for path in (lib / "libc10.so", lib / "libtorch_cpu.so", built()):
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
