"""The lines of the pages on data are read as a new user types them, on small files that lie as the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.toolchain.data.load import Dataset, load
from snnas.toolchain.data.options import parse_options
from tests.official_files import aedat3, draw_events, written
from tests.test_snippets import ROOT, shown

LETTERS = {"W": "16", "H": "8", "L": "24", "M": "6"}  # what the pages call numbers
FOLDERS = "groups=folder"


def page(name: str) -> str:
    return (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")


def arrays(line: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8), np.arange(40) % 2
    np.savez("mine.npz", x=x, y=y, subject=np.repeat(np.arange(10), 4))
    Path("mine").mkdir()
    for part, rows in {"train": slice(0, 20), "val": slice(20, 30), "test": slice(30, 40)}.items():
        np.savez(f"mine/{part}.npz", x=x[rows], y=y[rows])


def recordings(line: str) -> None:
    """Of a DVS128, 4,100 events in .1 s each; with labels.csv where a column of it is named."""
    rows = ["path,label,split,subject"]
    for label in ("left", "right"):
        for k in range(6):
            drawn = draw_events(k, 4100, 128)
            written(Path("mine"), {f"{label}/{k}.aedat": aedat3(drawn)})
            rows.append(f"{label}/{k}.aedat,{label},,subject {k}")
    if "groups=" in line:
        Path("mine/labels.csv").write_text("\n".join(rows))


def pictures(line: str) -> None:
    image = pytest.importorskip("PIL.Image")
    for label in ("cat", "dog"):
        for k in range(10):
            place = Path("mine", label, *([f"person {k}"] if FOLDERS in line else []), f"{k}.png")
            place.parent.mkdir(parents=True, exist_ok=True)
            image.fromarray(np.full((4, 4), 9 * k + (label == "dog"), np.uint8)).save(place)


def gait(line: str) -> None:
    x = np.random.default_rng(0).normal(9.81, 2, (40, 24 if "NCL" in line else 64, 64 if "NCL" in line else 3))
    np.savez("gait.npz", x=x, y=np.arange(40) % 2, subject=np.repeat(np.arange(10), 4))


OF: dict[str, Callable[[str], None]] = {
    "data_arrays": arrays,
    "data_events": recordings,
    "data_pictures": pictures,
    "signals": gait,
}


def searches(name: str) -> list[str]:
    """Of a page; tonic's sets are read in tests/toolchain/data/test_tonic_sets.py."""
    lines = [line.strip() for line in shown(page(name)) if line.startswith("snnas search --dataset")]
    return [line for line in lines if "tonic:" not in line]


def read(line: str) -> Dataset:
    """What ``snnas search`` would be given."""
    words = shlex.split(line)
    said = [words[k + 1] for k, word in enumerate(words[:-1]) if word == "--data"]
    options: dict[str, Any] = parse_options(said)
    if "--timesteps" in words:
        options["frames"] = int(words[words.index("--timesteps") + 1])
    return load(words[words.index("--dataset") + 1], seed=0, **options)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in OF for line in searches(name)])
def test_a_line_is_read(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "transform=" in line or "augment=" in line:
        pytest.importorskip("tonic")
    monkeypatch.chdir(tmp_path)
    OF[name](line)
    found = read(line)
    assert min(len(found.y_train), len(found.y_val), len(found.y_test)) > 0
    assert found.classes == 2
    assert found.summary.startswith(("mine: ", "mine/: ", "gait: ", "mine.npz: ", "gait.npz: "))


def rows(name: str, heading: str) -> list[list[str]]:
    """What the literals in the first cell of each row of a page's table say, without ``--data``."""
    part = page(name).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [re.findall("`([^`]+)`", line.split("|")[1]) for line in part.splitlines() if line.startswith("| `")]
    return [[option for literal in cell for option in re.split(" ?--data ", literal) if option] for cell in cells]


def test_options_of_recordings_are_taken_as_their_table_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recordings("")
    beside = {"overlap": ["split_by=duration", "duration=5000"], "slice_overlap": ["slice=500000"]}
    plain, seen = read("snnas search --dataset mine"), 0
    for said in rows("data", "What a sample becomes"):
        options = [*said, *beside.get(said[0].partition("=")[0], [])]
        found = load("mine", seed=0, **parse_options(options))
        default = said[0] in ("frames=16", "split_by=count", "slice=500000", "slice_overlap=100000", "hot_pixels=5")
        assert (found.digest == plain.digest) == default, said
        seen += 1
    assert seen >= 13


def test_options_of_signals_are_taken_as_their_table_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    beside = {"encoder=latency": ["window=16"], "fit=stretch": ["axis=time", "length=24"]}
    found, seen = [], 0
    table = page("signals").partition("## Options\n")[2].partition("\n## ")[0]
    for line in (line for line in table.splitlines() if re.match(r"\| `\w+=", line)):
        said = [part for literal in re.findall("`([^`]+)`", line) for part in literal.split(",") if "=" in part]
        said = [re.sub(r"=([WHLM])$", lambda match: f"={LETTERS[match[1]]}", option) for option in said]
        if "groups=folder" in said:
            said.remove("groups=folder")  # of .csv files
        if said[0] not in beside and not said[0].startswith(("axis=", "window=")):
            said.append("axis=time")
        if "encoder=latency" in said and "axis=length" in said:
            said.remove("axis=length")
        gait(line)
        options = parse_options([*said, *beside.get(said[0], [])])
        found.append(load("gait.npz", seed=0, **options).input_shape)
        seen += 1
    assert seen >= 10
    assert {(3, 1, 1), (3, 1, 16), (3, 1, 64), (6, 1, 1), (24, 1, 1)} <= set(found)
