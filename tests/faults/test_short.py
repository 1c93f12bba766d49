"""A few hundred hostile files for every reader; the campaign proper is ``python -m tests.faults.campaign``."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import campaign, readers
from tests.faults.chunks import run_chunk, seeds
from tests.faults.judge import Target

# Python warns of a fork beside threads, which numerical libraries start; what is forked here ends without them.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

INPUTS = {**dict.fromkeys(readers.OWN, 300), "hdf5": 50, "onnx": 60, "safetensors": 200, "events": 90, "commands": 20}
NEEDS = {
    "onnx": ("onnx", "onnxruntime"),
    "safetensors": ("torch",),
    "hdf5": ("torch",),
    "json": (),
    "commands": ("torch",),
}


@pytest.mark.parametrize("reader", INPUTS)
def test_no_file_is_worse_than_refused(reader: str, tmp_path: Path) -> None:
    missing = [name for name in NEEDS.get(reader, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    targets = readers.targets(reader, tmp_path)
    tally, found = run_chunk(reader, targets, tmp_path, seed=1, chunk=0, inputs=INPUTS[reader])
    assert not tally.defects, [record["detail"] for record in found]
    assert sum(tally.codes.values()) == INPUTS[reader]
    assert set(tally.codes) <= {"0", "1", "2", "3", "4", "unmade"}
    assert tally.codes.get("3", 0) > INPUTS[reader] // 20 or reader == "commands"  # else nothing hostile was made
    assert not (tmp_path / "canary").exists()


# ------------------------------------------------------------------------------------- the campaign finds what is wrong


def _reader(path: Path) -> None:
    """Wrong in as many ways as its files say."""
    import ctypes
    import mmap
    import os
    import time
    import warnings

    match path.read_bytes()[:1]:
        case b"e":
            raise KeyError("x")
        case b"w":
            warnings.warn("look", RuntimeWarning, stacklevel=1)
        case b"s":
            from snnas.hw_sim.errors import InvalidFileError

            raise InvalidFileError("x" * 30_000)
        case b"o":
            (path.parent.parent / "outside.txt").write_text("x")
        case b"p":
            os.system("true")
        case b"l":
            time.sleep(60)
        case b"c":
            ctypes.string_at(0)
        case b"m":
            pages = mmap.mmap(-1, 300 << 20)  # not of a heap that an earlier test has grown: training keeps its pages
            for _ in range(300):
                pages.write(bytes(1 << 20))
        case b"k":
            raise MemoryError


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (b"e", "exit 70: KeyError"),
        (b"w", "warns: RuntimeWarning: look"),
        (b"s", "a message of over 20,000 characters"),
        (b"o", "acts"),
        (b"p", "acts"),
        (b"l", "takes over 1 s"),
        (b"c", "crash, signal 11"),
        (b"m", "takes memory"),
        (b"k", "exit 70: MemoryError"),
        (b"", ""),
    ],
)
def test_defects_are_found(content: bytes, defect: str, tmp_path: Path) -> None:
    seconds = 1 if content == b"l" else 60  # of the clock on the wall: a busy machine takes its time for the others
    wrong = Target(name="wrong", file="x.bin", make=lambda rng: content, read=_reader, seconds=seconds, mib=200)
    tally, found = run_chunk("wrong", [wrong], tmp_path, seed=0, chunk=0, inputs=1)
    assert len(found) == bool(defect)
    assert all(defect in name for name in tally.defects)


def test_inputs_can_be_made_again(tmp_path: Path) -> None:
    first, second = (readers.targets("csv", tmp_path) for _ in range(2))
    from random import Random

    drawn = seeds(0, "csv", 3, 20)
    assert drawn == seeds(0, "csv", 3, 20) != seeds(0, "csv", 4, 20)
    assert [first[k % 4].make(Random(s)) for k, s in enumerate(drawn)] == [
        second[k % 4].make(Random(s)) for k, s in enumerate(drawn)
    ]


def test_the_campaign_resumes_and_keeps_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Target(name="wrong", file="x.bin", make=lambda rng: b"e" * 50, read=_reader)
    monkeypatch.setattr(readers, "targets", lambda reader, work: [wrong])
    monkeypatch.setattr(campaign, "CHUNK", 2)
    done: list[int] = []
    real = campaign.run_chunk

    def counted(*arguments: Any, **options: Any) -> Any:
        done.append(options["chunk"])
        return real(*arguments, **options)

    monkeypatch.setattr(campaign, "run_chunk", counted)
    assert campaign.main(["--reader", "csv", "--inputs", "4", "--out", str(tmp_path)]) == 1
    assert campaign.main(["--reader", "csv", "--inputs", "6", "--out", str(tmp_path)]) == 1
    assert done == [0, 1, 2]
    summary = campaign.summarise(tmp_path, "csv")
    assert (summary["inputs"], sum(summary["defects"].values())) == (6, 6)
    kept = sorted((tmp_path / "found/csv").glob("*.bin"))
    assert len(kept) == campaign.KEPT
    assert kept[0].read_bytes() == b"e"  # made smaller
    assert "KeyError" in json.loads(kept[0].with_suffix(".json").read_text())["detail"]
