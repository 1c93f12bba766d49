"""Values that mutants of ``rest`` once got wrong unseen: each test says what, by value."""

from __future__ import annotations

import io
import itertools
import json
import struct
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.quantisation_error import quantisation_errors
from snnas.export.dialects.table import TABLE, _table
from snnas.export.executors import interpreter
from snnas.export.formats import hdf5_child
from snnas.export.graph import digest
from snnas.export.graph.graph import Conv, Flatten, Graph, Input, Lif, Linear, Output
from snnas.export.graph.waiting_edges import read_choices
from snnas.hw_sim.c import emulate, emulator
from snnas.hw_sim.calibrate.plan import simulated
from snnas.hw_sim.calibrate.probes import build, pool, sample
from snnas.hw_sim.calibrate.readings import parse
from snnas.hw_sim.commands import Answer
from snnas.hw_sim.energy.compare_ann import program_macs
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.lava import environment
from snnas.hw_sim.map.fitting import advice
from snnas.hw_sim.map.mapping import Misfit, load_system, map_program
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.expected import SAMPLES, expected_counts
from tests.export.nir_nets import graph_of, lif, written
from tests.hw_sim.simulate.test_counts import TINY, conv, count, dense, population, program, silent

# ------------------------------------------------------------------------------------------------------ export: graphs


def neuron(*shape: int, decay: float = 0.5) -> Lif:
    one = np.ones(shape, np.float32)
    return Lif(tau=one * 1e-4 / decay, r=one, v_leak=one * 0, v_threshold=one * 0.5, v_reset=one * 0)


def test_a_leak_of_several_steps_is_all_of_them() -> None:
    """Two layers, of which the second comes back: a period of 2, in which a membrane decays twice a timestep."""
    rng = np.random.default_rng(3)
    nodes: dict[str, Any] = {
        "input": Input(shape=(4,)),
        "w": Linear(weight=rng.normal(0.3, 0.3, (4, 4)).astype(np.float32), bias=None),
        "a": neuron(4),
        "v": Linear(weight=rng.normal(0.3, 0.3, (4, 4)).astype(np.float32), bias=None),
        "b": neuron(4),
        "back": Linear(weight=rng.normal(0, 0.3, (4, 4)).astype(np.float32), bias=None),
        "out": Linear(weight=np.eye(4, dtype=np.float32), bias=None),
        "output": Output(shape=(4,)),
    }
    edges = (*itertools.pairwise(("input", "w", "a", "v", "b", "out", "output")), ("b", "back"), ("back", "a"))
    graph = Graph(nodes=nodes, edges=edges, delayed=frozenset({("b", "back")}))
    made = compile_graph(graph, timesteps=4, input_kind="spikes")
    assert made.schedule.period == 2
    errors = quantisation_errors(graph, made)
    for name in ("a", "b"):
        kept = (1 - made.population(name).dv / 4096) ** 2
        assert errors[name].leak == pytest.approx(kept - 0.5, abs=1e-6)
        assert abs(errors[name].leak) < 4e-4


def test_the_tools_whose_neurons_fire_more_than_once_a_timestep() -> None:
    many = {"rockpool", "sinabs", "sinabs-raw", "sinabs-raw-zero", "sinabs-zero"}
    assert {row.name for row in _table() if row.many} == many
    assert {name for name, row in TABLE.items() if row.many} == many


def test_digests_are_compared_by_what_they_say() -> None:
    now = {"a.weight": "ab", "b": "c"}
    assert digest.changed({"a.weight": "".join("ab"), "b": "c"}, now) is None
    assert digest.changed({"a.weight": "ax", "b": "c"}, now) == "1 of 2 entries is not the recorded one: a.weight"


def test_cycles_that_no_single_edge_opens_are_named(tmp_path: Path) -> None:
    """Two loops through one neuron: an edge opens its own alone."""
    nodes = {name: lif(4) for name in ("a", "b", "c")}
    joins = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("a", "output")]
    path = written(tmp_path, graph_of((4,), nodes, (4,), joins))
    with pytest.raises(UnsupportedError, match="no single edge out of a neuron opens the cycles through a, b, c; name"):
        read_choices(path)
    one = [edge for edge in joins if "c" not in edge]
    path = written(tmp_path, graph_of((4,), {name: lif(4) for name in ("a", "b")}, (4,), one))
    assert set(read_choices(path)) == {frozenset({("a", "b")}), frozenset({("b", "a")})}


# ----------------------------------------------------------------------------------------------------- export: formats


def test_an_image_is_fed_at_every_timestep(tmp_path: Path) -> None:
    """(B, C, H, W) has no time; (B, T, C, H, W) has."""
    pytest.importorskip("onnxruntime")
    from snnas.export.executors.onnx_runner import OnnxModel
    from snnas.export.formats.onnx_file import write_onnx

    rng = np.random.default_rng(1)
    nodes: dict[str, Any] = {
        "input": Input(shape=(2, 3, 3)),
        "seen": Conv(weight=rng.normal(0.2, 0.4, (3, 2, 2, 2)).astype(np.float32), bias=None),
        "n": neuron(3, 2, 2),
        "flat": Flatten(),
        "out": Linear(weight=rng.normal(0, 1, (2, 12)).astype(np.float32), bias=None),
        "output": Output(shape=(2,)),
    }
    graph = Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))
    write_onnx(tmp_path / "m.onnx", graph, timesteps=4, precision="float32", inline=True)
    image = rng.random((5, 2, 3, 3)).astype(np.float32)
    moving = rng.random((5, 4, 2, 3, 3)).astype(np.float32)
    for x in (image, moving, np.repeat(image[:, None], 4, axis=1)):
        spikes, _ = OnnxModel(tmp_path / "m.onnx").run(x)
        wanted = interpreter.run(graph, x, 4).spikes["n"]
        assert 0 < wanted.mean() < 1
        assert np.array_equal(spikes["n"], wanted)


def test_the_reader_of_hdf5_may_take_twice_its_data_and_two_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resource")
    import resource

    limits: dict[int, tuple[int, ...]] = {}
    monkeypatch.setattr(hdf5_child, "lower", lambda kind, *given: limits.update({kind: given}))
    hdf5_child.limit(1_000_000, 15)
    assert limits == {
        resource.RLIMIT_CPU: (15, 1),
        resource.RLIMIT_CORE: (0,),
        resource.RLIMIT_FSIZE: (2_000_000,),
        resource.RLIMIT_AS: (2_000_000 + 2_147_483_648,),
    }


# ------------------------------------------------------------------------------------------------------- hw_sim: C


class Machine:
    """A stand-in for an emulated core: it notes what it is asked, and each call runs one block of two instructions."""

    def __init__(self, *_: Any) -> None:
        self.started: list[tuple[int, int]] = []
        self.memory = bytearray(1 << 16)
        self.block: Any = None

    def ctl_set_cpu_model(self, _: int) -> None: ...
    def mem_map(self, *_: int) -> None: ...
    def reg_write(self, *_: int) -> None: ...
    def hook_del(self, _: object) -> None: ...

    def hook_add(self, _: int, call: Any) -> int:
        self.block = call
        return 1

    def mem_write(self, at: int, data: bytes) -> None:
        if at + len(data) <= len(self.memory):
            self.memory[at : at + len(data)] = data

    def mem_read(self, at: int, size: int) -> bytes:
        return bytes(self.memory[at : at + size]) if at + size <= len(self.memory) else b"\xa5" * size

    def emu_start(self, at: int, until: int) -> None:
        self.started.append((at, until))
        self.block(self, at & ~1, 4, None)


@pytest.mark.parametrize(("arch", "thumb", "each"), [("arm", 1, 2), ("riscv", 0, 2)])
def test_a_core_is_started_at_its_functions(
    arch: str, thumb: int, each: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thumb code is called at its address plus one; every call is an init, a timestep or the logits."""
    made: list[Machine] = []
    unicorn: Any = ModuleType("unicorn")

    def machine(*given: int) -> Machine:
        made.append(Machine(*given))
        return made[-1]

    unicorn.Uc = machine
    for name in ("UC_ARCH_ARM", "UC_MODE_THUMB", "UC_MODE_MCLASS", "UC_ARCH_RISCV", "UC_MODE_RISCV32", "UC_HOOK_BLOCK"):
        setattr(unicorn, name, 1)
    unicorn.__version__ = "0"
    unicorn.arm_const = ModuleType("arm_const")
    unicorn.riscv_const = ModuleType("riscv_const")
    for module, names in (
        (unicorn.arm_const, ("UC_CPU_ARM_CORTEX_M4", "UC_ARM_REG_SP", "UC_ARM_REG_LR")),
        (unicorn.riscv_const, ("UC_RISCV_REG_SP", "UC_RISCV_REG_RA")),
    ):
        for name in names:
            setattr(module, name, 1)
    monkeypatch.setitem(sys.modules, "unicorn", unicorn)
    code = struct.pack("<HH", 0x4601, 0x4602) if thumb else struct.pack("<HH", 1, 1)  # two short instructions
    image = tmp_path / "image"
    image.write_bytes(code * 64)
    symbols = {
        "device_init": [0, 4], "device_step": [8, 4], "device_logits_out": [16, 4],
        "device_frame": [1024, 2], "device_logits": [2048, 8],
    }  # fmt: skip
    job = {
        "arch": arch, "image": str(image), "segments": [[0, 256, 0, 256]], "symbols": symbols, "samples": 2,
        "timesteps": 3, "frame_bytes": 2, "counted": 2, "result": str(tmp_path / "result.json"),
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(2 * 3 * 2))))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    emulator.main(str(tmp_path / "job.json"))
    calls = [0, 8, 8, 8, 16]
    assert made[0].started == [(at | thumb, 0x7F000000) for at in calls * 2]
    assert out.getvalue() == bytes(2 * 8)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["instructions"] == [[each, 3 * each, each]] * 2
    assert dict(result["blocks"]) == {0: 2 * each, 8: 6 * each, 16: 2 * each}


def test_the_emulator_is_the_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.hw_sim.c import elf
    from snnas.hw_sim.c.compilers import CORES
    from snnas.toolchain.models.in_c import prepare
    from tests.c_programs import random_variant, samples

    made = random_variant(3)
    c = prepare(made, samples(made))
    asked: list[list[str]] = []

    def answer(command: list[str], *_: Any) -> Answer:
        asked.append(command)
        (tmp_path / "result.json").write_text("{}")
        return Answer(code=0, out=b"spikes")

    monkeypatch.setattr(elf, "read", lambda _: elf.Elf(segments=(), symbols={}, flash=0, ram=0, undefined=()))
    monkeypatch.setattr(emulate, "answer", answer)
    python = Path("/a/python")
    found = emulate._emulated(c.model, tmp_path, tmp_path / "image", c.given, CORES["cortex-m4"], python, counted=2)
    assert found == (b"spikes", {})
    assert asked == [[str(python), "-I", emulator.__file__, str(tmp_path / "job.json")]]


# ------------------------------------------------------------------------------------------------- hw_sim: calibration


def test_the_input_of_a_probe_is_what_is_counted() -> None:
    recipe = replace(
        pool(1, 0, small=True, hosted=False)[0], populations=1, shape=(4, 8, 8), link="none", rate=0.1, timesteps=4
    )
    counts = simulated(recipe, load_system("generic"))
    assert counts is not None
    spikes = int(sample(recipe).sum())
    assert 0.05 < spikes / (4 * 4 * 8 * 8) < 0.2
    assert {s.id: s.spikes for s in counts.sources}[INPUT] == spikes


def test_a_hosted_probe_convolves_its_channels() -> None:
    recipe = replace(pool(1, 0, small=True, hosted=True)[0], shape=(4, 8, 6), hosted=True, link="none", populations=1)
    made = build(recipe)
    assert made.host[0].map.weight.shape == (4, 4, 3, 3)
    assert made.readout.readings[0].weight.shape == (2, 4 * 8 * 6)
    assert made.readout.scale == 1.0


def test_probes_fill_a_core_and_do_not() -> None:
    """4 x 64, 16 x 64 = 1,024 neurons, as many as a core of Loihi's has, and a channel fewer."""
    assert {r.shape for r in pool(400, 0, small=False, hosted=False)} == {(4, 8, 8), (16, 8, 8), (15, 8, 8)}
    assert {r.shape for r in pool(100, 0, small=True, hosted=False)} == {(4, 4, 4), (4, 8, 8)}


ROWS = "probe,repeat,inferences,energy_uJ,power_W,time_us\n"


def test_micro_is_a_millionth() -> None:
    (reading,) = parse(ROWS + "p01,1,100,2000,,50000\n", "log.csv", ["p01"])
    assert (reading.energy_uJ, reading.time_us) == pytest.approx((20, 500))


def test_a_log_has_a_hundred_thousand_rows_at_most() -> None:
    """Its header is one of them; rows without a figure are no readings."""
    assert parse(ROWS + "p01,1,100,,,\n" * 99_999, "log.csv", ["p01"]) == []
    with pytest.raises(InvalidFileError, match="100001 rows; expected a header and at most 100000 of them"):
        parse(ROWS + "p01,1,100,,,\n" * 100_000, "log.csv", ["p01"])


# ------------------------------------------------------------------------------------------- hw_sim: counts and the map


def test_clocks_alone_multiply_nothing() -> None:
    """Whatever the name of what is read: some stand before 'clock' in the alphabet, and some behind it."""
    made = program(
        [population("a", (2, 1, 1)), population("z", (3, 1, 1)), population("y", (5, 1, 1))],
        [(INPUT, "a", dense(2, 1)), ("a", "z", dense(3, 2)), ("z", "y", dense(5, 3)), (CLOCK, "z", dense(3, 1))],
    )
    assert program_macs(made) == 2 * 1 + 3 * 2 + 5 * 3 + 2 * 5


def test_expected_spikes_are_those_of_neurons() -> None:
    """An OR's are overhead: 32 neurons at .5 and 3 at .25, for 2 timesteps."""
    joined = LinearMap(kind="conv", weight=np.full((2, 1, 2, 2), 2, np.int8), stride=(2, 2), groups=2)
    made = program(
        [population("a", (2, 4, 4)), population("o", (2, 2, 2), role="or"), population("b", (3, 1, 1))],
        [(INPUT, "a", conv(2, 1, 1)), ("a", "o", joined), ("o", "b", dense(3, 8))],
        input_shape=(1, 4, 4),
    )
    counts = expected_counts(made, map_program(made, load_system()), {"a": 0.5, "o": 1.0, "b": 0.25, INPUT: 1.0})
    assert counts.sample_spikes == (round(2 * (32 * 0.5 + 3 * 0.25)),) * SAMPLES


def test_entries_that_are_missing_or_unknown_are_named() -> None:
    made = program([population("a", (1, 1, 1))], [(INPUT, "a", dense(1, 1))])
    data = count(made, silent(made)).to_json()
    (row,) = data["synapses"][:1]
    data["synapses"] = [{**{k: v for k, v in row.items() if k != "synops"}, "more": 1}]
    with pytest.raises(InvalidFileError, match=r"synapses\[0\]: entries \['more', 'synops'\] are missing or unknown"):
        Counts.from_json(data)


def test_a_folder_and_a_file_that_does_not_run_are_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNNAS_LAVA_PYTHON", raising=False)
    plain = tmp_path / "python"
    plain.write_text("#!/bin/sh\n")
    for path in (tmp_path, plain):
        assert environment.find_python(path) == (None, f"--python names {path}, which is not an executable file")
    plain.chmod(0o755)
    assert environment.find_python(plain) == (plain, "--python")


def test_what_reaches_a_neuron_can_be_less_by_channels_by_pools_and_by_groups() -> None:
    """A neuron with 36 words of 64 bits, of which a core takes 25; and one of as many inputs without a plane."""
    tiny = replace(TINY, in_axons=1000, synapse_bytes=200, compartments=64)
    made = program(
        [population("a", (4, 3, 3)), population("b", (2, 1, 1))],
        [(INPUT, "a", conv(4, 1, 1)), ("a", "b", dense(2, 36))],
        input_shape=(1, 3, 3),
    )
    mapping = map_program(made, tiny)
    assert mapping.misfits == (Misfit(place="b", resource="synapse_bytes", used=288, limit=200),)
    assert advice(made, mapping) == [
        "channels: let b read at most 2 of its 4 channels, or max-pool its 3x3 input by 2 (to 4 neurons)",
        "bits: not enough (288 bytes at 4, 288 bytes at 2, 288 bytes at 1; a source's list takes a word of 64 bits, "
        "however short)",
        "tiles: more cores do not help, one neuron's fan-in lies on one core; put a population between, 2 groups that "
        "read 1/2 of the inputs each",
    ]
    flat = program(
        [population("a", (36, 1, 1)), population("b", (2, 1, 1))],
        [(INPUT, "a", dense(36, 1)), ("a", "b", dense(2, 36))],
    )
    assert advice(flat, map_program(flat, tiny))[0] == "channels: let b read at most 25 of its 36 channels"


def test_the_bytes_of_one_neuron_are_those_of_a_whole_kernel() -> None:
    """9 weights of 8 channels: 18 bits each and a word at 8, 14 at 4 and 12 at 2, in words of 64 bits."""
    made = program(
        [population("a", (8, 3, 3)), population("b", (1, 3, 3))],
        [(INPUT, "a", conv(8, 1, 1)), ("a", "b", conv(1, 8, 3, pad=1))],
        input_shape=(1, 3, 3),
    )
    mapping = map_program(made, replace(TINY, synapse_bytes=100, in_axons=1000, compartments=64))
    assert mapping.misfits == (Misfit(place="b", resource="synapse_bytes", used=8 * 24, limit=100),)
    assert advice(made, mapping)[1].startswith("bits: not enough (192 bytes at 4, 128 bytes at 2, 128 bytes at 1;")
