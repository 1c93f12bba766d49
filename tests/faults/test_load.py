"""The load campaign at a size of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from snnas.export.formats.program_file import read_program, write_program
from tests.faults import load


@pytest.mark.slow
def test_a_small_load(tmp_path: Path) -> None:
    records = [*load.search(tmp_path, 20), *load.neurons(tmp_path, 1 << 16), *load.together(tmp_path, 2)]
    assert [record for record in records if not record["as_expected"]] == []
    assert all(record.get("peak_mib", 11) > 10 for record in records)


def test_the_large_program_is_one(tmp_path: Path) -> None:
    program = load.layers(channels=2, side=16, timesteps=3)
    write_program(tmp_path / "program.npz", program)
    assert sum(p.size for p in read_program(tmp_path / "program.npz").populations) == 2 * 2 * 16 * 16
