"""Cheats on exports of other kinds: C, ONNX, recurrent, of events and signals; all that they record made again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnx

from snnas.export.formats.c import texts_of
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import read_npz
from snnas.export.formats.program_file import read_program
from snnas.export.graph.graph import Conv, Flatten, Graph, Input, Linear, Output
from snnas.hw_sim.c import compilers
from snnas.hw_sim.files import read_json, sha256, write_json, write_text
from snnas.hw_sim.program import Program, Synapse
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.models.in_c import prepare
from tests.toolchain.checking.check_subjects import (  # noqa: F401
    change_arrays,
    checked,
    example,
    healthy,
    here,
    onnx_report,
    sign,
    to_spoil,
)
from tests.toolchain.checking.test_check_cheats import remade
from tests.toolchain.checking.test_check_fooled import LAVA, failing
from tests.without_lava import without_lava

ONNX = Path("onnx")
T = 5


def looped() -> Graph:
    """Events of two polarities; what fires in the second layer comes back to it a timestep later."""
    rng, lif = np.random.default_rng(3), example().lif
    nodes = {
        "input": Input(shape=(2, 6, 6)),
        "seen": Conv(weight=rng.normal(0.2, 0.3, (3, 2, 3, 3)).astype(np.float32), bias=None, pad=(1, 1)),
        "first": lif((3, 6, 6), 0.5),
        "flat": Flatten(),
        "joined": Linear(weight=rng.normal(0.02, 0.1, (8, 108)).astype(np.float32), bias=None),
        "second": lif((8,), 0.5),
        "back": Linear(weight=rng.normal(0, 0.4, (8, 8)).astype(np.float32), bias=None),
        "readout": Linear(weight=rng.normal(0, 1, (3, 8)).astype(np.float32), bias=np.zeros(3, np.float32)),
        "output": Output(shape=(3,)),
    }
    order = ("input", "seen", "first", "flat", "joined", "second", "readout", "output")
    edges = (*pairwise(order), ("second", "back"), ("back", "second"))
    meta = {"timesteps": T, "input_kind": "spikes", "input_range": [0.0, 1.0], "verified": True}
    return Graph(nodes=nodes, edges=edges, delayed=frozenset({("second", "back")}), meta=meta)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of the looped graph: lava, c and onnx."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("kinds")
    write_nir(folder / "looped.nir", looped())
    rng = np.random.default_rng(4)
    x = (rng.random((40, T, 2, 6, 6)) < 0.3).astype(np.uint8)
    np.savez(folder / "events.npz", x=x, y=np.arange(40) % 3)
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        patch.delenv("CI", raising=False)
        patch.setattr(compilers, "native", lambda: (None, "not in this test"))
        patch.setattr(compilers, "emulator", lambda: (None, "not in this test"))
        for target in ("lava", "c", "onnx"):
            asked = ["--data", str(folder / "events.npz"), "--target", target, "--out", str(folder / target)]
            more = ["--float64"] if target == "onnx" else []
            assert run_command(["export", str(folder / "looped.nir"), *asked, *more, "--samples", "6", "-q"]) == 0
    return folder


@pytest.fixture
def there(kinds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return to_spoil(kinds, tmp_path / "there", monkeypatch)


def said_again(folder: Path = ONNX) -> None:
    """report.json as the model that is there now gives it, and every hash."""
    about = json.loads(onnx.load(str(folder / "model.onnx")).metadata_props[0].value)
    write_json(folder / "report.json", {**onnx_report(folder), **{k: about[k] for k in ("precision", "timesteps")}})
    manifest = read_json(folder / "manifest.json")
    manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
    write_json(folder / "manifest.json", manifest)


def edit_onnx(change: Callable[[Any], None]) -> None:
    model = onnx.load(str(ONNX / "model.onnx"))
    change(model)
    (ONNX / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))


def tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        (old,) = (t for t in model.graph.initializer if t.name == name)
        old.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(change(onnx.numpy_helper.to_array(old))), name))

    return edit


def metadata(**changes: Any) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        (entry,) = model.metadata_props
        entry.value = json.dumps({**json.loads(entry.value), **changes})

    return edit


def renamed(model: Any) -> None:
    """Classes in another order, and labels with them."""
    tensor("readout_weight", lambda w: np.roll(w, 1, axis=1))(model)
    change_arrays(ONNX / "stimulus.npz", y=lambda y: (y + 1) % 4)


# What is done to model.onnx of the graph of ci_gate; none fires another spike on the samples of the folder.
ONNX_EDITS: dict[str, Callable[[Any], None]] = {
    "classes in another order, and labels": renamed,
    "a threshold off by one float": tensor("edges_threshold", lambda v: np.nextafter(v, np.float32(9))),
    "a readout of twice the size": tensor("readout_weight", lambda w: w * 2),
    "a class that is favoured": tensor("readout_bias", lambda b: b + np.array([100, 0, 0, 0], b.dtype)),
    "fewer timesteps": metadata(timesteps=2),
    "an answer of the last timestep": metadata(read="last"),
    "another input": metadata(input_kind="spikes"),
    "a wider input": metadata(input_range=[0.0, 255.0]),
    "another note of the readout": metadata(readout="y: its smallest value; argmin"),
    "another decay in words": metadata(dt=1.0),
}


@pytest.mark.parametrize("name", ONNX_EDITS)
def test_a_model_that_is_not_the_graphs_is_named(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys, "onnx", "--max", "sar=1", "--trust-report")[0] == 0
    edit_onnx(ONNX_EDITS[name])
    said_again()
    code, findings = checked(capsys, "onnx", "--max", "sar=1", "--trust-report")
    assert (code, failing(findings)) == (1, {"SN315"}), findings
    (wrong,) = (f["detail"] for f in findings if f["status"] == "failed")
    assert re.search(
        r"not what model\.nir gives: .*; the manifest names no version of snnas: snnas export --force", wrong
    )


LOOPED_EDITS: dict[str, Callable[[Any], None]] = {
    "states that feed each other": lambda m: _crossed(m),
    "a recurrent connection cut": tensor("back_weight", lambda w: w * 0),
    "an edge that does not wait, in words": metadata(delayed=[]),
    "two layers' leaks exchanged": tensor("second_decay", lambda v: v * 0.5),
}


def _crossed(model: Any) -> None:
    """The past of the recurrent layer is fed with its membrane, which has the same shape."""
    (entry,) = model.metadata_props
    about = json.loads(entry.value)
    by = {pair["input"]: pair for pair in about["state"]}
    a, b = by["second_v"], by["second_past_1"]
    a["output"], b["output"] = b["output"], a["output"]
    entry.value = json.dumps(about)


@pytest.mark.parametrize("name", LOOPED_EDITS)
def test_a_recurrent_model_that_is_not_the_graphs_is_named(
    name: str, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(capsys, "onnx", "--max", "sar=1", "--trust-report")[0] == 0
    edit_onnx(LOOPED_EDITS[name])
    said_again()
    code, findings = checked(capsys, "onnx", "--max", "sar=1", "--trust-report")
    assert code == 1
    assert "SN315" in failing(findings)


def in_c(program: Program) -> None:
    """The folder with this program, its C and its records, as an export of it would hold them."""
    remade(program)
    c = prepare(program, read_npz(LAVA / "stimulus.npz", what="stimulus")["x"][:6].astype(np.float32))
    for name, text in texts_of(c.plan, c.model, c.given, c.trace).items():
        write_text(LAVA / name, text)
        sign(LAVA, name)


@pytest.fixture
def of_c(there: Path) -> Path:
    """The C export, where the helpers of other tests look for one to Lava."""
    shutil.rmtree(LAVA)
    Path("c").rename(LAVA)
    return there


def _loop(p: Program, **change: Any) -> Program:
    def other(s: Synapse) -> Synapse:
        return replace(s, **change) if s.src == s.dst == "second" else s

    assert any(s.src == s.dst == "second" for s in p.synapses), [(s.src, s.dst) for s in p.synapses]
    return replace(p, synapses=tuple(map(other, p.synapses)))


def _cut(p: Program) -> Program:
    return replace(p, synapses=tuple(s for s in p.synapses if not s.src == s.dst == "second"))


def _weak(p: Program) -> Program:
    (loop,) = (s for s in p.synapses if s.src == s.dst == "second")
    return _loop(p, map=replace(loop.map, weight=loop.map.weight * 0))


SIGNAL = {"window": 0, "hop": 0, "length": T, "encoding": "level", "levels": 2, "reached": [[0.1, 0.2]]}
# What is done to the program; its C, recordings, rounding and hashes are made again.
LOOPED_PROGRAMS: dict[str, tuple[Callable[[Program], Program], str]] = {
    "a recurrent connection cut": (_cut, "SN207"),
    "a recurrent connection of zeros": (_weak, "SN211"),
    "an encoder of signals": (lambda p: replace(p, meta={**p.meta, "signal": SIGNAL}), "SN207"),
    "another leak": (lambda p: replace(p, populations=tuple(replace(q, dv=q.dv // 2) for q in p.populations)), "SN207"),
    "an input that is told otherwise": (lambda p: replace(p, input_range=(0.0, 2.0)), "SN207"),
    "answers in another order": (
        lambda p: replace(p, readout=replace(p.readout, readings=tuple(
            replace(k, weight=np.roll(np.asarray(k.weight), 1, axis=0)) for k in p.readout.readings))), "SN211"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPED_PROGRAMS)
def test_a_recurrent_program_and_its_c_are_the_graphs(
    name: str, of_c: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, code = LOOPED_PROGRAMS[name]
    in_c(edit(read_program(LAVA / "program.npz")))
    exit_code, findings = checked(capsys, "lava")
    assert exit_code == 1
    assert code in failing(findings)
    assert "SN313" not in failing(findings)


def _text(name: str, old: str, new: str) -> Callable[[], None]:
    def edit() -> None:
        text = (LAVA / name).read_text()
        assert old in text
        (LAVA / name).write_bytes(text.replace(old, new, 1).encode())

    return edit


def _weight_in_c() -> None:
    text = (LAVA / "model.c").read_text()
    at = next(m for m in re.finditer(r"(?<=[{ ,\n])(\d+),", text) if m.group(1) != "0")
    (LAVA / "model.c").write_text(text[: at.start()] + str(int(at.group(1)) - 1) + text[at.end(1) :])


C_EDITS: dict[str, tuple[Callable[[], None], str]] = {
    "a number of the C": (_weight_in_c, "SN313"),
    "a line that ends otherwise": (_text("model.c", "\n", "\r"), "SN313"),
    "fewer timesteps in the header": (_text("model.h", f"TIMESTEPS {T}", "TIMESTEPS 2"), "SN313"),
    "a test that always passes": (_text("Makefile", "\t./test_model\n", "\ttrue\n"), "SN313"),
    "another interface in words": (_text("README.md", "not 0 is a spike", "above 127 is a spike"), "SN313"),
    "a script that agrees": (_text("run_lava.py", "import os", "print('equal'); import os"), "SN120"),
}


@pytest.mark.parametrize("name", C_EDITS)
def test_c_that_was_edited_is_named(name: str, of_c: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, code = C_EDITS[name]
    edit()
    for file in ("model.c", "model.h", "Makefile", "README.md", "run_lava.py"):
        sign(LAVA, file)
    exit_code, findings = checked(capsys, "lava")
    assert (exit_code, failing(findings)) == (1, {code})


STRAYS = [
    *(("lava", name) for name in ("model.c", "encoder.c", "model.onnx")),
    *(("c", name) for name in ("GNUmakefile", "model.onnx")),
    *(("onnx", name) for name in ("program.npz", "run_lava.py", "model.net")),
]


@pytest.mark.parametrize("listed", [False, True])
def test_what_no_such_export_has_is_named(listed: bool, there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two exports in one folder, or what make takes before a Makefile: nothing compares it with anything."""
    for target, name in STRAYS:
        place, manifest = Path(target, name), Path(target, "manifest.json")
        before = manifest.read_text()
        assert not place.exists()
        place.write_text("all: ;\n")
        if listed:
            sign(Path(target), name)
        code, findings = checked(capsys, target)
        assert (code, failing(findings)) == (3, {"SN103"}), (target, name)
        place.unlink()
        manifest.write_text(before)


def test_an_encoder_that_no_program_asks_for_is_named(of_c: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("encoder.c", "encoder.h"):
        (LAVA / name).write_text("/* levels of another sensor */\n")
        sign(LAVA, name)
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN313"})


def test_a_persons_own_files_are_no_part_of_an_export(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("lava", "c", "onnx"):
        for name in ("README.md", "Makefile", "notes.txt", "main.c", "mine.npz"):
            if not Path(target, name).exists():
                Path(target, name).write_text("mine\n")
        assert checked(capsys, target)[0] == 0


@pytest.mark.parametrize(
    "said",
    [{"timesteps": 50}, {"input_range": [0.0, 255.0]}, {"signal": {"window": 8}}, {"input_kind": "counts"}],
)
def test_time_and_input_are_what_the_graph_says(
    said: dict[str, Any], there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = read_nir(LAVA / "model.nir")
    write_nir(LAVA / "model.nir", replace(graph, meta={**graph.meta, **said}))
    sign(LAVA, "model.nir")
    code, findings = checked(capsys, "lava")
    assert (code, failing(findings)) == (1, {"SN207"})
    assert next(f["detail"] for f in findings if f["code"] == "SN207").startswith(next(iter(said)))


def test_a_name_that_stands_twice_is_refused(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads the first value, a parser takes the last."""
    text = (LAVA / "report.json").read_text()
    (LAVA / "report.json").write_text(text.replace("{", '{\n  "accuracy": {"on_target": 1.0},', 1))
    sign(LAVA, "report.json")
    code, findings = checked(capsys, "lava")
    assert code == 3
    assert "'accuracy' stands twice in one object" in next(f["detail"] for f in findings if f["status"] == "invalid")
