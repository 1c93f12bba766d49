"""A figure that is gone from report.json or the manifest weakens no rule: the check fails as of one that is wrong."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.nir_file import write_nir
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.checking import CheckOptions, check, export_folder
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.report import read_report
from tests.toolchain.checking.check_subjects import example, healthy, here, sign  # noqa: F401
from tests.without_lava import without_lava

Path_ = tuple[str, ...]
JUDGED = CheckOptions(limits={"accuracy": 0.5}, trust_report=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export to C that ends early: what has most in its report."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("deleted")
    made = example()
    write_nir(folder / "graph.nir", made.graph())
    x, y = made.bars(16, seed=7)
    np.savez(folder / "bars.npz", x=x, y=y)
    out = folder / "out"
    asked = ["--data", str(folder / "bars.npz"), "--samples", "2", "--target", "c", "--early-exit", "exact", "-q"]
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        assert run_command(["export", str(folder / "graph.nir"), *asked, "--out", str(out)]) == 0
    return out


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "c"))


class Seen(dict[str, Any]):
    """A table that notes which of its entries are looked at."""

    def __init__(self, plain: dict[str, Any], seen: set[Path_], at: Path_ = ()) -> None:
        super().__init__({k: Seen(v, seen, (*at, k)) if isinstance(v, dict) else v for k, v in plain.items()})
        self.seen, self.at = seen, at

    def __getitem__(self, key: str) -> Any:
        self.seen.add((*self.at, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add((*self.at, key))
        return super().get(key, default)


def paths(tree: dict[str, Any], at: Path_ = ()) -> Iterator[Path_]:
    for key, value in tree.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from paths(value, (*at, key))


def changed(tree: dict[str, Any], path: Path_, **to: Any) -> dict[str, Any]:
    """The tree without what is at the path, or with ``value`` there."""
    tree = copy.deepcopy(tree)
    table = tree
    for key in path[:-1]:
        table = table[key]
    del table[path[-1]]
    table |= {path[-1]: to["value"]} if to else {}
    return tree


def accepted(folder: Path, report: dict[str, Any]) -> bool:
    """Whether such a report.json passes the check."""
    write_json(folder / "report.json", report)
    sign(folder, "report.json")
    return check(folder, JUDGED).exit_code == 0


def test_no_field_that_a_rule_reads_may_be_gone_or_null(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, read = read_json(folder / "report.json"), set[Path_]()
    with monkeypatch.context() as patch:
        patch.setattr(export_folder, "read_report", lambda path: Seen(read_report(path), read))
        assert check(folder, JUDGED).exit_code == 0
    assert {("accuracy", "samples"), ("energy_uJ", "profile"), ("early_exit", "accuracy"), ("c",)} <= read
    gone = [path for path in paths(whole) if path in read and readable(folder, changed(whole, path))]
    assert not [path for path in gone if accepted(folder, changed(whole, path))]
    assert ("early_exit",) in gone, "which the schema lets be absent"
    null = [p for p in paths(whole) if p in read and readable(folder, changed(whole, p, value=None))]
    null = [p for p in null if p not in gone and changed(whole, p, value=None) != whole]
    assert ("early_exit", "accuracy") in null
    assert not [path for path in null if accepted(folder, changed(whole, path, value=None))]


def readable(folder: Path, report: dict[str, Any]) -> bool:
    """Whether report.json keeps to its record; where it does not, the check finds it by SN307."""
    write_json(folder / "report.json", report)
    try:
        read_report(folder / "report.json")
    except InvalidFileError:
        return False
    return True


def test_a_report_that_keeps_to_no_record_is_named(folder: Path) -> None:
    whole = read_json(folder / "report.json")
    for path in (("accuracy", "samples"), ("energy_uJ", "profile"), ("quantisation",), ("early_exit", "accuracy")):
        assert not accepted(folder, changed(whole, path))
        (found,) = [f for f in check(folder, JUDGED).findings if f.fails and f.code == "SN307"]
        assert f"{'.'.join(path)} is missing" in found.detail


@pytest.mark.parametrize(
    "path", [("target",), ("figures", "accuracy"), ("figures", "sar"), ("figures",), ("files", "report.json")]
)
def test_no_entry_of_the_manifest_may_be_gone(folder: Path, path: Path_) -> None:
    write_json(folder / "manifest.json", changed(read_json(folder / "manifest.json"), path))
    if path[0] == "files":
        (folder / "report.json").unlink()
    assert check(folder, JUDGED).exit_code != 0


@pytest.mark.parametrize("path", [("accuracy", "onnxruntime"), ("sar",), ("samples",)])
def test_no_figure_of_an_onnx_export_may_be_gone(here: Path, path: Path_) -> None:
    onnx = here / "onnx"
    assert check(onnx, JUDGED).exit_code == 0
    whole = read_json(onnx / "report.json")
    assert not accepted(onnx, changed(whole, path))
    assert not accepted(onnx, changed(whole, path, value=None))
