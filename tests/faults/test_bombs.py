"""Bombs made by hand, through the commands: exit 3 and one line, nothing followed, nothing unpacked, nothing run."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as Xml

import h5py
import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import write_program
from snnas.hw_sim.program import HostMap, LinearMap, Population, Program, Schedule
from snnas.hw_sim.readout import summed
from snnas.toolchain.cli.app import run_command
from tests.faults.hostile_npz import Member, Pickled, lying_zip, zipped
from tests.faults.judge import STEERS
from tests.faults.readers_arrays import small_graph
from tests.official_files import gesture_members, nmnist_members, tar
from tests.official_files import zipped as zip_of
from tests.programs import random_program
from tests.toolchain.html.test_html_page import make_run


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from snnas.export.formats.nir_file import write_nir

    folder = tmp_path_factory.mktemp("healthy")
    write_nir(folder / "model.nir", small_graph())
    write_npz(folder / "samples.npz", {"x": np.ones((2, 4), np.float32), "y": np.zeros(2, np.int64)})
    write_npz(folder / "recorded.npz", {"x": np.ones((2, 4), np.float32), "output": np.ones((2, 3, 4))})
    write_program(folder / "program.npz", random_program(1, layers=3))
    make_run(folder / "runs", "run")
    return folder


@pytest.fixture
def place(healthy: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(healthy, tmp_path / "place"))


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *words: str, code: int = 3) -> str:
    """The command ends with ``code`` and says why in one line that steers no terminal."""
    capsys.readouterr()
    assert run_command(arguments) == code
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("snnas: ")]
    if arguments[0] != "check":  # whose findings are its result, on stdout
        assert len(lines) == 1, said.err
        assert len(lines[0]) < 1200
    text = said.out + said.err
    assert not STEERS.search(text.replace("\n", ""))
    for word in words:
        assert word in text, text
    return text


# ----------------------------------------------------------------------------------------------------------------- HDF5


def _external_link(f: Any, place: Path) -> None:
    with h5py.File(place / "secret.h5", "w") as secret:
        secret["weight"] = np.full((4, 4), 42, np.float32)
    del f["node/nodes/fc/weight"]
    f["node/nodes/fc/weight"] = h5py.ExternalLink(str(place / "secret.h5"), "/weight")


def _soft_link(f: Any, place: Path) -> None:
    del f["node/nodes/fc/weight"]
    f["node/nodes/fc/weight"] = h5py.SoftLink("/node/nodes/lif/tau")


def _external_data(f: Any, place: Path) -> None:
    (place / "secret").write_bytes(bytes(64))
    del f["node/nodes/fc/weight"]
    f.create_dataset("node/nodes/fc/weight", shape=(4, 4), dtype="f4", external=[(str(place / "secret"), 0, 64)])


def _virtual(f: Any, place: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4, 4), dtype="f4")
    layout[...] = h5py.VirtualSource(str(place / "secret.h5"), "weight", shape=(4, 4))
    del f["node/nodes/fc/weight"]
    f.create_virtual_dataset("node/nodes/fc/weight", layout)


def _huge(f: Any, place: Path) -> None:
    del f["node/nodes/fc/weight"]
    f.create_dataset("node/nodes/fc/weight", shape=(1 << 30, 1 << 30), dtype="f4", chunks=(64, 64), compression="gzip")


def _strings(f: Any, place: Path) -> None:
    """Sixty million empty strings, none of them written: a kilobyte that would take gigabytes."""
    f.create_dataset("node/names", shape=(60_000_000,), dtype=h5py.string_dtype(), chunks=(1 << 14,))


def _stride(f: Any, place: Path) -> None:
    """A stride of twenty million numbers, none of them written."""
    f["node/nodes/fc/type"][()] = "SumPool2d"
    for name in ("kernel_size", "padding"):
        f[f"node/nodes/fc/{name}"] = np.ones(2, np.int64)
    f.create_dataset("node/nodes/fc/stride", shape=(20_000_000,), dtype="i8", chunks=(1 << 16,))


def _cycle(f: Any, place: Path) -> None:
    for name in "abc":
        f[f"node/{name}"] = f["node"]


def _nested(f: Any, place: Path) -> None:
    group = f
    for _ in range(2000):
        group = group.create_group("d")


def _names(f: Any, place: Path) -> None:
    f["node/nodes/\x1b]0;owned\x07\u202e"] = h5py.SoftLink("/nowhere")


HDF5: dict[str, tuple[Callable[[Any, Path], None], str]] = {
    "external link": (_external_link, "is a soft or external link"),
    "soft link": (_soft_link, "is a soft or external link"),
    "external storage": (_external_data, "outside the file"),
    "virtual dataset": (_virtual, "outside the file"),
    "huge shape": (_huge, "declares 4611686018427387904 bytes"),
    "strings": (_strings, "over 1048576 strings"),
    "stride": (_stride, "stride holds"),
    "cycle": (_cycle, "nested over 32 deep"),
    "nesting": (_nested, "nested over 32 deep"),
    "names": (_names, "is a soft or external link"),
}


def _commands(place: Path) -> dict[str, list[str]]:
    model, data = str(place / "model.nir"), ["--data", str(place / "samples.npz"), "-T", "3"]
    return {
        "simulate": ["simulate", model, *data],
        "estimate": ["estimate", model, *data],
        "whose": ["whose", model, "--expect", str(place / "recorded.npz")],
        "export": ["export", model, *data, "--out", str(place / "out")],
        "check": ["check", model, "--json"],
    }


@pytest.mark.parametrize("bomb", HDF5)
def test_hdf5(bomb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, word = HDF5[bomb]
    with h5py.File(place / "model.nir", "r+") as f:
        make(f, place)
    refused(capsys, _commands(place)["simulate"], word)


@pytest.mark.parametrize("command", ["estimate", "whose", "export", "check"])
def test_hdf5_in_every_command(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(place / "model.nir", "r+") as f:
        _external_link(f, place)
    refused(capsys, _commands(place)[command], "is a soft or external link")
    assert not (place / "out").exists()


# ------------------------------------------------------------------------------------------------------------------ npz


def _npz(place: Path, member: Member) -> bytes:
    return zipped(Random(0), [member, Member("y.npy", "'<i8'", "False", "(2,)", bytes(16))])


def _lying(place: Path) -> bytes:
    """Small members that are declared to hold more than 4 GB together."""
    data = bytearray(_npz(place, Member("x.npy", "'|u1'", "False", "(4294967000,)", bytes(100))))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
    return bytes(data)


def _encrypted(place: Path) -> bytes:
    data = bytearray(_npz(place, Member("x.npy", "'<f4'", "False", "(2, 4)", bytes(32))))
    for signature, shift in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + shift] |= 1
    return bytes(data)


NPZ: dict[str, Callable[[Path], bytes]] = {
    # 32 MiB of zeros in 33 kB, which the header says are 16 bytes.
    "bomb": lambda p: _npz(p, Member("x.npy", "'|u1'", "False", "(16,)", bytes(1 << 25))),
    "declared": _lying,
    "shape": lambda p: _npz(p, Member("x.npy", "'<f8'", "False", "(4294967296, 4294967296, 4)", bytes(64))),
    "pickle": lambda p: _npz(p, Member("x.npy", "'|O'", "False", "(1,)", pickle.dumps(Pickled(str(p / "canary"))))),
    "bare pickle": lambda p: _npz(
        p, Member("x.npy", "", "", "", b"", content=pickle.dumps(Pickled(str(p / "canary"))))
    ),
    "expression": lambda p: _npz(p, Member("x.npy", "'<f4'", "False", "__import__('os').abort()", bytes(32))),
    "encrypted": _encrypted,
    "twice": lambda p: zipped(Random(0), [Member("x.npy", "'<f4'", "False", "(2, 4)", bytes(32))] * 2),
    "traversal": lambda p: _npz(p, Member("../../escaped.npy", "'<f4'", "False", "(2, 4)", bytes(32))),
    "absolute": lambda p: _npz(p, Member(f"{p}/escaped.npy", "'<f4'", "False", "(2, 4)", bytes(32))),
    "controls": lambda p: _npz(p, Member("\x1b]0;owned\x07\u202e\n", "'|O'", "False", "(2, 4)", bytes(32))),
}


@pytest.mark.parametrize("bomb", NPZ)
def test_npz(bomb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "bomb.npz"
    path.write_bytes(NPZ[bomb](place))
    assert path.stat().st_size < 1 << 20
    name, model = str(path), str(place / "model.nir")
    refused(capsys, ["simulate", model, "--data", name, "-T", "3"])
    refused(capsys, ["estimate", str(place / "program.npz"), "--data", name])
    refused(capsys, ["simulate", name, "--data", name])
    refused(capsys, ["whose", model, "--expect", name])
    refused(capsys, ["search", "--dataset", name, "--runs-dir", str(place / "searched")])
    assert not (place / "canary").exists()
    assert not list(place.parent.rglob("escaped*"))


def test_a_small_program_that_declares_a_huge_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zero = np.zeros((1, 1, 1), np.int16)
    small = LinearMap(kind="sparse", weight=np.ones(1, np.int8), indices=np.zeros(1, np.int32),
                      indptr=np.array([0, 1], np.int32))  # fmt: skip

    def program(side: int, timesteps: int) -> Program:
        from snnas.hw_sim.program import Synapse

        return Program(
            timesteps=timesteps,
            input_shape=(1, side, side),
            input_kind="analogue",
            populations=(
                Population(id="p", shape=(1, side, side), dv=0, vth=10, scale=1.0, bias=zero),
                Population(id="q", shape=(1, 1, 1), dv=0, vth=10, scale=1.0, bias=zero),
            ),
            synapses=(Synapse(id="s", src="p", dst="q", map=small),),
            host=(HostMap(id="h", dst="p", map=LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1), np.float32))),),
            readout=summed(src="q", weight=np.ones((2, 1), np.int8), bias=np.zeros(2, np.int64), scale=1.0),
            schedule=Schedule(period=1, depth={"p": 0, "q": 1}),
        )

    path, data = place / "huge.npz", place / "samples.npz"
    write_program(path, program(8192, 1 << 16))
    refused(capsys, ["simulate", str(path), "--data", str(data)], "at most 68719476736")
    write_program(path, program(512, 1 << 16))
    write_npz(data, {"x": np.zeros((1, 1, 512, 512), np.uint8)})
    refused(capsys, ["simulate", str(path), "--data", str(data)], "in the simulator", code=4)


# ----------------------------------------------------------------------------------------------------- nesting and text

DEEP = "[" * 100_000
OBJECTS = '{"a":' * 970 + "1" + "}" * 970
TABLES = ".".join(["a"] * 3000)
ARRAYS = "[" * 900 + "]" * 900


@pytest.mark.parametrize("text", [DEEP, OBJECTS, '{"schema": "snnas.report/1", "run": NaN}', "\ufeff{}", '"\\ud800"'])
def test_json(text: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, at = place / "runs/run", ["--runs-dir", str(place / "runs")]
    (run / "report.json").write_text(text)
    refused(capsys, ["report", "run", *at])
    (run / "export/lava/manifest.json").write_text(text)
    refused(capsys, ["check", str(run / "export/lava")])
    (place / "cell.json").write_text(text)
    refused(capsys, ["train", "--genotype", str(place / "cell.json"), "--dataset", "digits", *at])


@pytest.mark.parametrize(
    "text",
    [f"x = {DEEP}", f"{TABLES} = 1", f"[{TABLES}]", f"x = {ARRAYS}", f"x = 0x{'F' * 5000}", "seed = 1\nseed = 2", "\0"],
    ids=["deep", "dotted", "header", "arrays", "digits", "twice", "zero"],
)
def test_toml(text: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "table.toml"
    path.write_text(text)
    program, data = str(place / "program.npz"), ["--data", str(place / "samples.npz")]
    refused(capsys, ["estimate", program, *data, "--profile", str(path)])
    refused(capsys, ["estimate", program, *data, "--system", str(path)])
    refused(capsys, ["search", "--dataset", "digits", "--budget", str(path), "--runs-dir", str(place / "new")])
    shutil.copy(path, place / "runs/run/run.toml")
    at = ["--runs-dir", str(place / "runs")]
    refused(capsys, ["report", "run", "--html", *at])
    refused(capsys, ["search", "--resume", "run", *at])
    capsys.readouterr()
    assert run_command(["runs", *at]) == 0  # a damaged run costs its own line
    assert "damaged" in capsys.readouterr().out


def test_a_run_starts_no_download(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / "runs/run"
    text = (run / "run.toml").read_text()
    (run / "run.toml").write_text(text + "\n[data.options]\ndownload = true\n")
    (run / "genotype.json").unlink()
    refused(capsys, ["search", "--resume", "run", "--runs-dir", str(place / "runs")], "[data.options]")


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ("[chip]\nsystem = 5\n", "[chip]"),
        ("[chip]\nmore = 'x'\n", "[chip]"),
        ("[objectives]\ntrain = 3\n", "[objectives]"),
        ("[objectives]\nnames = ['x']\ntrain = 3\n", "[objectives]"),
        ("[method.widths]\nmore = 3\n", "[method] widths"),
    ],
)
def test_what_a_search_takes_from_a_run(table: str, word: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / "runs/run"
    (run / "run.toml").write_text((run / "run.toml").read_text() + table)
    (run / "genotype.json").unlink()
    refused(capsys, ["search", "--resume", "run", "--runs-dir", str(place / "runs")], word)


# ------------------------------------------------------------------------------------------------------------- archives


@pytest.mark.parametrize(
    "name", ["../escaped.bin", "/tmp/escaped.bin", "..\\escaped.bin", "Train/1/\x1b]0;x\x07../../../e"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_of_data_sets(kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "zip":
        folder, dataset = tmp_path / "nmnist", "nmnist"
        folder.mkdir()
        zip_of(folder / "nmnist.zip", {**nmnist_members("Train", each=1), name: b"x"})
    else:
        folder, dataset = tmp_path / "dvs128_gesture", "dvs128_gesture"
        folder.mkdir()
        tar(folder / "DvsGesture.tar.gz", {**gesture_members(users=1)[0], name: b"x"})
    refused(
        capsys,
        ["search", "--dataset", dataset, "--data", f"data_dir={tmp_path}", "--runs-dir", str(tmp_path / "runs")],
        "outside the archive",
    )
    assert not list(tmp_path.parent.rglob("escaped*"))


def test_a_tar_that_unpacks_to_terabytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = tarfile.TarInfo("DvsGesture/trials_to_train.txt")
    info.size = 1 << 42
    (tmp_path / "dvs128_gesture").mkdir()
    (tmp_path / "dvs128_gesture/DvsGesture.tar.gz").write_bytes(
        gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
    )
    refused(
        capsys,
        [
            "search",
            "--dataset",
            "dvs128_gesture",
            "--data",
            f"data_dir={tmp_path}",
            "--runs-dir",
            str(tmp_path / "runs"),
        ],
        "declares 1 members of 4398046511104 bytes",
    )


# ------------------------------------------------------------------------------------------- what reaches other readers

NAME = '"><script>alert(1)</script>\x1b]0;owned\x07\u202e'


def test_names_in_reports(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, at = place / "runs/run", ["--runs-dir", str(place / "runs")]
    for name in ("report.json", "genotype.json", "export/lava/manifest.json", "front.json"):
        if (run / name).is_file():
            tree = json.loads((run / name).read_text())
            (run / name).write_text(json.dumps(_renamed(tree)))
    logs = [json.loads(line) for line in (run / "search.jsonl").read_text().splitlines()]
    (run / "search.jsonl").write_text("".join(json.dumps(_renamed(r)) + "\n" for r in logs))
    text = (run / "run.toml").read_text()
    (run / "run.toml").write_text(text.replace('name = "digits"', f"name = {json.dumps(NAME)}"))
    for command in (["report", "run"], ["report", "run", "--html"], ["runs"], ["check", str(run / "export/lava")]):
        capsys.readouterr()
        assert run_command([*command, *(at if command[0] != "check" else [])]) in (0, 1, 3)
        said = capsys.readouterr()
        assert not STEERS.search((said.out + said.err).replace("\n", "")), command
    page = (run / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def _renamed(tree: Any, depth: int = 0) -> Any:
    """Every text but those that say what the file is."""
    if isinstance(tree, dict):
        kept = ("schema", "format", "event", "space", "files", "profile")
        return {k: v if k in kept or (k == "forward") else _renamed(v, depth + 1) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_renamed(v, depth + 1) for v in tree]
    return NAME if isinstance(tree, str) else tree


def test_names_in_junit_and_the_other_formats(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = place / "model.nir"
    with h5py.File(model, "r+") as f:
        f["node/nodes/fc/weight"][0, 0] = np.nan
        f["node/nodes"].move("fc", NAME.replace("/", "|"))
    for name in ("text", "json", "junit", "markdown", "github"):
        capsys.readouterr()
        code = run_command(["check", str(model), "--format", name])
        out = capsys.readouterr().out
        assert code == 3
        assert not STEERS.search(out.replace("\n", "")), name
        assert "weight holds NaN" in " ".join(out.replace("\\", "").split())
        if name == "junit":
            assert Xml.fromstring(out).tag == "testsuites"
        if name == "markdown":
            assert "<script>" not in out


def test_a_run_folder_whose_name_steers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "runs/run", place / "runs/evil\x1b]0;owned\x07\u202e")
    for command in (["runs"], ["report", "nobody"]):
        capsys.readouterr()
        run_command([*command, "--runs-dir", str(place / "runs")])
        said = capsys.readouterr()
        assert not STEERS.search((said.out + said.err).replace("\n", ""))


def test_the_makers_of_bombs_make_what_is_readable_without_the_bomb(tmp_path: Path) -> None:
    """Else every refusal above might be one of the maker."""
    path = tmp_path / "plain.npz"
    path.write_bytes(zipped(Random(0), [Member("x.npy", "'<f4'", "False", "(2, 4)", bytes(32))]))
    assert read_npz(path)["x"].shape == (2, 4)
    assert np.load(path)["x"].shape == (2, 4)
    assert zipfile.is_zipfile(io.BytesIO(lying_zip(Random(1), path.read_bytes()))) in (True, False)
