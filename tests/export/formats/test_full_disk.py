"""Files of export on a disk that becomes full: one error that names the file, an older one stays."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from snnas.export.formats.npz_file import read_npz

ROOT = Path(__file__).parents[3]
WRITE = """
import sys
from pathlib import Path
import numpy as np
from snnas.export.graph.graph import Graph, Input, Linear, Output
from snnas.export.formats.nir_file import write_nir
from snnas.export.formats.npz_file import write_npz
path = Path(sys.argv[1])
weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
try:
    if path.suffix == ".nir":
        nodes = {"a": Input(shape=(64,)), "b": Linear(weight=weight, bias=None), "c": Output(shape=(64,))}
        write_nir(path, Graph(nodes=nodes, edges=(("a", "b"), ("b", "c"))))
    else:
        write_npz(path, {"weight": weight})
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("name", ["a.nir", "a.npz"])
@pytest.mark.parametrize("size", [0, 3000], ids=lambda size: f"{size} bytes fit")
def test_no_room_is_one_error_and_no_crash(tmp_path: Path, name: str, size: int) -> None:
    """libhdf5 ends the process by signal 11 where it meets such a disk itself."""
    (tmp_path / name).write_text("older")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    command = [sys.executable, "-c", WRITE, str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{errno.EFBIG} {tmp_path / name}\n"
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "older"


def test_arrays_are_written(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "a.npz")], cwd=ROOT, check=True)
    assert read_npz(tmp_path / "a.npz")["weight"].shape == (64, 64)
