"""The tools that write and read NIR, each in an environment of its own: where it is, and how its worker is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

WRITERS = ("snntorch", "norse", "sinabs", "spikingjelly", "rockpool")


def interpreter_of(tool: str) -> str:
    """The Python that has the tool; the test is skipped where SNNAS_<TOOL>_PYTHON names none."""
    variable = f"SNNAS_{tool.upper()}_PYTHON"
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{tool}: set {variable} to a Python that has it and nirtorch (make oracles)")
    return python


def worker(tool: str, *arguments: object) -> None:
    """Runs ``<tool>_nir_worker.py``; skips as ``interpreter_of``."""
    script = Path(__file__).with_name(f"{tool}_nir_worker.py")
    command = [interpreter_of(tool), str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
