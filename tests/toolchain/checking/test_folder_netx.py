"""SN316: model.net is what the program gives; a file of another library with the same content is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py")

import h5py

from snnas.export.formats.nir_file import write_nir
from snnas.export.graph.graph import Graph, Linear
from snnas.hw_sim.files import read_json, write_json
from snnas.toolchain.cli.app import run_command
from tests.toolchain.checking.check_subjects import checked, sign, to_spoil
from tests.toolchain.checking.test_check_fooled import failing
from tests.toolchain.checking.test_check_kinds import looped
from tests.without_lava import without_lava

LAVA = Path("lava")
NET = LAVA / "model.net"


def chain(**changed: Any) -> Graph:
    """The looped graph without its loop."""
    whole = looped()
    nodes = {name: node for name, node in whole.nodes.items() if name != "back"}
    edges = tuple(edge for edge in whole.edges if "back" not in edge)
    return replace(whole, nodes={**nodes, **changed}, edges=edges, delayed=frozenset())


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export to Lava, with a model.net."""
    folder = tmp_path_factory.mktemp("netx")
    write_nir(folder / "chain.nir", chain())
    x = (np.random.default_rng(4).random((40, 5, 2, 6, 6)) < 0.3).astype(np.uint8)
    np.savez(folder / "events.npz", x=x, y=np.arange(40) % 3)
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        asked = ["--data", str(folder / "events.npz"), "--target", "lava", "--out", str(folder / "lava"), "-q"]
        assert run_command(["export", str(folder / "chain.nir"), *asked, "--samples", "6"]) == 0
    assert (folder / NET).is_file()
    return folder


@pytest.fixture
def there(held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return to_spoil(held, tmp_path / "there", monkeypatch)


def of_netx(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f["status"], f["detail"]) for f in findings if f["code"] == "SN316"]


def test_a_healthy_one_passes(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, findings = checked(capsys, "lava")
    assert (code, of_netx(findings)) == (0, [("passed", "2 layers as written again")])


def put(path: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[path]
        file[path] = value

    return change


def changed(path: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    return lambda file: put(path, change(np.asarray(file[path])))(file)


def one_more(weights: np.ndarray) -> np.ndarray:
    weights[0, 0, 0, 0] += 1
    return weights


EDITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "one weight": (changed("layer/1/weight", one_more), "layer/1/weight"),
    "classes of a layer in another order": (changed("layer/2/weight", lambda w: np.roll(w, 1, 0)), "layer/2/weight"),
    "a threshold": (changed("layer/1/neuron/vThMant", lambda v: v - 1), "layer/1/neuron/vThMant"),
    "a leak": (changed("layer/2/neuron/vDecay", lambda v: v // 2), "layer/2/neuron/vDecay"),
    "another neuron": (put("layer/1/neuron/type", np.bytes_("LOIHI")), "layer/1/neuron/type"),
    "a bias that was none": (lambda f: f["layer/1"].create_dataset("bias", data=np.ones((6, 6, 3))), "layer/1/bias"),
    "a padding": (put("layer/1/padding", np.array((0, 0))), "layer/1/padding"),
    "numbers of another kind": (changed("layer/1/weight", lambda w: w.astype(np.int32)), "layer/1/weight"),
    "a layer less": (lambda f: f["layer"].pop("2"), "layer/2, layer/2/"),
    "a layer more": (lambda f: f.copy(f["layer/2"], "layer/3"), "layer/3, layer/3/"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_one_is_named(name: str, there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, where = EDITS[name]
    with h5py.File(NET, "a") as file:
        change(file)
    sign(LAVA, "model.net")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN316"}), findings
    ((status, detail),) = of_netx(findings)
    assert status == "failed"
    assert detail.startswith(where)
    assert detail.endswith(
        ": not what program.npz gives; it was edited, or is of another state of this version: snnas export --force"
    )


def test_the_same_content_of_another_writer_is_the_same(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = NET.read_bytes()
    with h5py.File(NET) as old, h5py.File(LAVA / "again", "w", libver="latest") as new:
        old.copy(old["layer"], new, "layer")
    (LAVA / "again").replace(NET)
    assert NET.read_bytes() != before
    sign(LAVA, "model.net")
    code, findings = checked(capsys, "lava")
    assert (code, of_netx(findings)) == (0, [("passed", "2 layers as written again")])


def test_one_of_another_version_names_it(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(NET, "a") as file:
        put("layer/1/padding", np.array((0, 0)))(file)
    sign(LAVA, "model.net")
    manifest = read_json(LAVA / "manifest.json")
    manifest["versions"]["snnas"] = "0.0.9"
    write_json(LAVA / "manifest.json", manifest)
    ((_, detail),) = of_netx(checked(capsys, "lava")[1])
    assert detail.endswith("; the export is of version 0.0.9: check it there, or snnas export --force")


def test_one_that_is_no_hdf5_is_invalid(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    NET.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    sign(LAVA, "model.net")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (3, {"SN101"})


def test_one_that_is_said_and_not_there_is_named(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    NET.unlink()
    manifest = read_json(LAVA / "manifest.json")
    del manifest["files"]["model.net"]
    write_json(LAVA / "manifest.json", manifest)
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN316"})
    assert of_netx(findings) == [("failed", "report.json says that it is there; export again")]


def test_one_of_a_program_that_netx_cannot_hold_is_named(
    held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bias finer than netx's whole units; the model.net is that of the graph without it."""
    fine = Linear(weight=chain().nodes["joined"].weight, bias=np.full(8, 1e-3, np.float32))  # type: ignore[union-attr]
    write_nir(tmp_path / "fine.nir", chain(joined=fine))
    without_lava(monkeypatch)
    asked = ["--data", str(held / "events.npz"), "--target", "lava", "--out", str(tmp_path / "lava"), "-q"]
    assert run_command(["export", str(tmp_path / "fine.nir"), *asked, "--samples", "6"]) == 0
    monkeypatch.chdir(tmp_path)
    assert not NET.exists()
    assert checked(capsys, "lava")[0] == 0
    NET.write_bytes((held / NET).read_bytes())
    sign(LAVA, "model.net")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN316"})
    ((_, detail),) = of_netx(findings)
    assert detail.startswith("netx cannot hold the program (population second")
    assert detail.endswith("so that nothing gives it; export again")
