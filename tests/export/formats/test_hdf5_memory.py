"""Reading HDF5 where there is little memory: the file is not blamed, and no more is taken than there is to read."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from snnas.export.formats import hdf5_guard
from snnas.export.formats.hdf5_child import NOT_STARTED
from snnas.hw_sim.errors import UnsupportedError

ROOT = Path(__file__).parents[3]
READ = (
    "import sys; from pathlib import Path; "
    "from snnas.export.formats.hdf5_guard import read_hdf5; print(read_hdf5(Path(sys.argv[1])))"
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "small.nir", "w") as f:
        f["value"] = 7
    return tmp_path / "small.nir"


@pytest.mark.parametrize("mib", [1024, 3072], ids=["less than the answer may take", "less than the child's own limit"])
def test_a_lower_limit_is_kept_and_reading_goes_on(small: Path, mib: int) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))

    command = [sys.executable, "-c", READ, str(small)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited, check=False)
    assert done.stdout == "{'value': array(7)}\n", done.stderr[-300:]


def test_a_reader_that_does_not_start_is_not_the_files_fault(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(f"raise SystemExit({NOT_STARTED})")
    monkeypatch.setattr(hdf5_guard, "CHILD", child)
    with pytest.raises(UnsupportedError, match=r"does not start here.*ulimit"):
        hdf5_guard.read_hdf5(small)
