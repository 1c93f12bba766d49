"""program.npz and .npz files: what is written comes back, and nothing hostile gets past the reader."""

from __future__ import annotations

import copy
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.simulate.simulator import simulate
from tests.programs import random_program, recorded

RECURRENT = ((2, 0), (3, 2))


def same(a: object, b: object) -> bool:
    """Deep equality of programs: dataclasses, tuples, arrays with their dtypes."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))  # type: ignore[arg-type]
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def refused(path: Path) -> str:
    """The one line with which the reader refuses ``path``."""
    with pytest.raises(InvalidFileError) as caught:
        read_program(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    assert len(text) < 1000
    return text


def accepted(path: Path) -> bool:
    """Whether the reader takes ``path``; any refusal but an InvalidFileError of one line fails the test."""
    try:
        read_program(path).verify()
    except InvalidFileError as error:
        text = str(error)
    else:
        return True
    assert "\n" not in text
    return False


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "program.npz"
    write_program(path, random_program(3, back=RECURRENT))
    return path


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), back=st.sampled_from([(), ((1, 1),), RECURRENT]), spikes=st.booleans())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, back: Any, spikes: bool) -> None:
    program = random_program(seed, back=back, kind="spikes" if spikes else "analogue")
    path = tmp_path_factory.mktemp("p") / "program.npz"
    write_program(path, program)
    again = read_program(path)
    assert same(program, again)
    first = path.read_bytes()
    write_program(path, again)
    assert path.read_bytes() == first
    assert os.listdir(path.parent) == ["program.npz"]


def test_a_read_program_runs_as_the_written_one(good: Path) -> None:
    program = random_program(3, back=RECURRENT)
    golden, trace = recorded(program, 2)
    currents = {k.removeprefix("currents."): v.astype(np.int64) for k, v in golden.items() if k.startswith("currents.")}
    again = simulate(read_program(good), currents=currents)
    assert np.array_equal(again.logits, trace.logits)
    assert all(np.array_equal(again.spikes[name], trace.spikes[name]) for name in trace.spikes)


def test_a_failed_write_leaves_the_old_file(good: Path) -> None:
    before = good.read_bytes()
    program = random_program(1)
    wide = program.populations[0].bias.astype(np.int64) + 40_000
    first, *rest = program.populations
    with pytest.raises(UnsupportedError, match="bias"):
        write_program(good, replace(program, populations=(replace(first, bias=wide), *rest)))
    fraction = first.bias.astype(np.float64) + 0.5
    with pytest.raises(ValueError, match="int16"):
        write_program(good, replace(program, populations=(replace(first, bias=fraction), *rest)))
    with pytest.raises(TypeError):
        write_npz(good, {"objects": np.array([{}], dtype=object)})
    assert good.read_bytes() == before
    assert os.listdir(good.parent) == [good.name]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated(good: Path, part: float) -> None:
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * part)])
    refused(good)


def test_mutated_bytes(good: Path) -> None:
    data = good.read_bytes()
    rng = np.random.default_rng(0)
    valid = 0
    for _ in range(300):
        mutant = bytearray(data)
        for _ in range(int(rng.integers(1, 6))):
            mutant[int(rng.integers(len(mutant)))] = int(rng.integers(256))
        if rng.random() < 0.2:
            start = int(rng.integers(len(mutant)))
            del mutant[start : start + int(rng.integers(1, 40))]
        good.write_bytes(mutant)
        valid += accepted(good)
    assert valid < 150


HOSTILE: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, 10**30, -(10**30), "", "x", "../../etc", "p0", [], [0], [1, 1, 1], [0, 0, 0],
    [10**9, 10**9, 10**9], [1 << 20, 1 << 20], {}, {"id": "p0"}, [[]], [{}], "NaN",
]  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON document."""
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        found += leaves(inner, (*path, key))
    return found


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> None:
    """Applies ``change`` to the JSON and the arrays of a program file and writes them back unchecked."""
    arrays = read_npz(path)
    document = json.loads(arrays["program.json"].tobytes())
    change(document, arrays)
    if "program.json" in arrays:
        arrays["program.json"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    write_npz(path, arrays)


def test_mutated_json(good: Path) -> None:
    original = good.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        good.write_bytes(original)

        def change(document: dict[str, Any], _: dict[str, np.ndarray]) -> None:
            places = leaves(document)
            place = places[int(rng.integers(len(places)))]
            inner: Any = document
            for key in place[:-1]:
                inner = inner[key]
            if isinstance(inner, dict) and rng.random() < 0.2:
                del inner[place[-1]]
            else:
                inner[place[-1]] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])

        rewrite(good, change)
        accepted(good)


def test_mutated_arrays(good: Path) -> None:
    original = good.read_bytes()
    names = [n for n in read_npz(good) if n != "program.json"]
    mutations: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda a: a.astype(np.float64),
        lambda a: a[:0],
        lambda a: a[..., None],
        lambda a: a[:-1],
        lambda a: a.reshape(-1),
    ]
    for name in names:
        for mutate in mutations:
            good.write_bytes(original)
            before = read_npz(good)[name]
            after = mutate(before)
            if after.shape == before.shape and after.dtype == before.dtype:
                continue
            rewrite(good, lambda _, arrays, n=name, a=after: arrays.update({n: a}))  # type: ignore[misc]
            refused(good)
        good.write_bytes(original)
        rewrite(good, lambda _, arrays, n=name: arrays.__delitem__(n))  # type: ignore[misc]
        assert "missing" in refused(good)


def spoiled(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, np.ndarray]], None]:
    def change(document: dict[str, Any], _: dict[str, np.ndarray]) -> None:
        inner: Any = document
        *path, last = key.split(".")
        for part in path:
            inner = inner[int(part)] if part.isdigit() else inner[part]
        inner[last] = value

    return change


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "snnas.program/1", "snnas.program/2"),
        ("timesteps", 0, "timesteps"),
        ("populations.0.scale", float("nan"), "not JSON"),
        ("populations.0.scale", 0, "positive"),
        ("populations.0.vth", 131072, "vth"),
        ("populations.0.dv", 5000, "dv"),
        ("populations.0.id", "a/b", "letters"),
        ("populations.0.role", "spy", "one of"),
        ("populations.1.id", "p0", "p0"),
        ("synapses.0.pre", [{"kernel": [1, 1], "stride": [0, 1], "pad": [0, 0]}], "stride"),
        ("synapses.0.exponent", 9, "exponent"),
        ("synapses.0.src", "nobody", "nobody"),
        ("host.0.pad", [1 << 30, 1], "pad"),
        ("host", [], "no host map reads it"),
        ("input.shape", [1 << 20, 1 << 20, 1], "at most"),
        ("schedule.period", 2, "spare"),
        ("schedule.depth", {}, "schedule"),
        ("readout.readings.0.src", "nobody", "nobody"),
        ("readout.readings.0.distance", -1, "distance"),
        ("readout.read", "median", "one of"),
    ],
)
def test_refusals_name_the_cause(good: Path, key: str, value: Any, message: str) -> None:
    rewrite(good, spoiled(key, value))
    assert message in refused(good)


def test_nested_json(good: Path) -> None:
    for bomb in (b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 10_000, b"NaN"):
        write_npz(good, {"program.json": np.frombuffer(bomb, dtype=np.uint8)})
        refused(good)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "entry",
    [
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04K\x01."),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }", b"x" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,), }"),
        npy("{'descr': '<f7', 'fortran_order': False, 'shape': (1,), }", b"x" * 7),
        npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", b"x" * 8),
        npy("__import__('os').abort()"),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"",
        b"hello",
    ],
)
def test_hostile_entries(tmp_path: Path, entry: bytes) -> None:
    path = tmp_path / "program.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program.json.npy", entry)
    refused(path)


def test_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    header = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 26},), }}")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header + bytes(1 << 26))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InvalidFileError, match="at most"):
        read_npz(path, limit_bytes=1 << 25, what="golden record")
    assert len(read_npz(path, limit_bytes=1 << 27)["a"]) == 1 << 26


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    refused(tmp_path)
    refused(tmp_path / "absent.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz")
    (tmp_path / "text.npz").write_text("hello")
    refused(tmp_path / "text.npz")


def test_repeated_and_strange_entries(tmp_path: Path) -> None:
    path = tmp_path / "program.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, dtype=np.uint8))
    for names in (["a.npy", "a.npy"], ["a.txt"]):
        with zipfile.ZipFile(path, "w") as archive:
            for k, name in enumerate(names):
                archive.writestr(zipfile.ZipInfo(f"{k}{name}"), buffer.getvalue())
        path.write_bytes(path.read_bytes().replace(b"1a.npy", b"0a.npy"))
        refused(path)


@settings(max_examples=40)
@given(
    array=hnp.arrays(
        st.sampled_from([np.int8, np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64, np.bool_, ">i4"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=st.integers(0, 1),
    ),
    fortran=st.booleans(),
)
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, fortran: bool) -> None:
    path = tmp_path_factory.mktemp("n") / "a.npz"
    given_ = np.asfortranarray(array) if fortran and array.ndim else array
    write_npz(path, {"a": given_, "b.c": np.arange(3)})
    back = read_npz(path)
    assert list(back) == ["a", "b.c"]
    assert back["a"].shape == array.shape
    assert back["a"].dtype == array.dtype.newbyteorder("<")
    assert np.array_equal(back["a"], array)
    back["a"][...] = 0  # its own memory
    np.savez(path, a=given_)  # what numpy itself writes is read too
    assert np.array_equal(read_npz(path)["a"], array)
