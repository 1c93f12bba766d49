"""Why SN311 lets 60 % of a population's spikes differ, and how it tells rounding that adds up from another network."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.parts import own_spikes
from snnas.export.executors import interpreter
from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.formats.program_file import read_program, write_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.program import CLOCK, InputKind, Program, Synapse
from snnas.hw_sim.simulate import simulator
from snnas.toolchain.checking.findings import Book, Finding
from snnas.toolchain.checking.folder_runs import simulate
from snnas.toolchain.checking.layer_by_layer import driven_by
from snnas.toolchain.checking.same_network import SPIKES, check_spikes
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting.on_target import reference
from tests.export.nir_nets import read
from tests.programs import random_program, reread
from tests.studies.growth import graph_of_size
from tests.toolchain.checking.check_subjects import checked, sign
from tests.toolchain.checking.test_check_fooled import failing, fine_tuned, record_rounding, shuffled

STEPS, SAMPLES, SIDE = 8, 16, 12


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Two layers of convolutions with weights that no integers are, and a readout."""
    return read(tmp_path_factory.mktemp("graph"), graph_of_size("neurons", SIDE))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Four of them, small: of thousands of spikes a dozen come through."""
    return read(tmp_path_factory.mktemp("deep"), graph_of_size("populations", 4))


X = (np.random.default_rng(1).random((SAMPLES, STEPS, 4, SIDE, SIDE)) < 0.3).astype(np.float32)
FEW = (np.random.default_rng(1).random((64, STEPS, 4, 4, 4)) < 0.3).astype(np.float32)


def program_of(graph: Graph, bits: int, x: np.ndarray = X[:16]) -> Program:
    spikes = calibration_spikes(graph, x, STEPS, "spikes")
    return compile_graph(graph, timesteps=STEPS, input_kind="spikes", bits=bits, spikes=spikes)


def judged(graph: Graph, program: Program, x: np.ndarray = X, *, proved: bool = False) -> Finding:
    book = Book(Path("export"), "export")
    fired, _ = simulate(program, x)
    check_spikes(book, program, fired, interpreter.run(graph, x, STEPS), x if proved else None)
    (finding,) = book.findings
    assert finding.code == "SN311"
    return finding


def most(detail: str) -> float:
    """The largest share of a population's spikes that are one side's alone, by the rule's words."""
    found = re.search(r"most of \w+: ([\d.]+)%", detail)
    assert found is not None
    return float(found[1]) / 100


@pytest.mark.parametrize(("bits", "limit"), [(8, 0.05), (6, 0.15), (4, 0.4)])
def test_rounding_stays_well_below_the_tolerance(graph: Graph, bits: int, limit: float) -> None:
    assert most(judged(graph, program_of(graph, bits)).detail) < limit < SPIKES


def test_the_weights_of_other_neurons_come_out_above_it(graph: Graph) -> None:
    assert most(judged(graph, shuffled(program_of(graph, 8))).detail) > SPIKES


@pytest.mark.parametrize("bits", [6, 4])
def test_rounding_that_adds_up_through_layers_is_no_failure(deep: Graph, bits: int) -> None:
    """Next to nothing that the last layer fires is the graph's, and yet every population by itself is the graph's."""
    program = program_of(deep, bits, FEW)
    found = judged(deep, program, FEW)
    assert (found.status, most(found.detail) > SPIKES) == ("failed", True)
    found = judged(deep, program, FEW, proved=True)
    assert (found.status, found.fails) == ("warned", False)
    whole, _, alone = found.detail.partition("each population by itself")
    assert "rounding alone" in whole
    assert most(whole) > SPIKES
    assert "100.0% of the samples are classified alike" in alone


def _in_last(program: Program, change: str) -> Program:
    """One fault in the last population alone, or before the readout."""
    last = program.in_order[-1]
    mine = next(s for s in program.synapses if s.dst == last.id and s.src != CLOCK)

    def synapse(s: Synapse) -> Program:
        return replace(program, synapses=tuple(s if one is mine else one for one in program.synapses))

    match change:
        case "weights":
            return synapse(replace(mine, map=replace(mine.map, weight=np.roll(mine.map.weight, 1, axis=0))))
        case "signs":
            return synapse(replace(mine, map=replace(mine.map, weight=-mine.map.weight)))
        case "delay":
            return synapse(replace(mine, distance=mine.distance + 1))
        case "threshold":
            low = replace(last, vth=last.vth // 3)
            return replace(program, populations=tuple(low if p is last else p for p in program.populations))
    (reading,) = program.readout.readings
    other = replace(reading, weight=np.roll(np.asarray(reading.weight), 1, axis=0))
    return replace(program, readout=replace(program.readout, readings=(other,)))


@pytest.mark.parametrize("change", ["weights", "signs", "delay", "threshold", "readout"])
def test_a_fault_in_one_population_shows_however_deep_it_lies(deep: Graph, change: str) -> None:
    """Whatever is said to be proved, and though nothing of what goes before differs by more than rounding."""
    x = np.ones_like(FEW) * (np.random.default_rng(3).random(FEW.shape) < 0.6)
    program = program_of(deep, 4, x)
    good = judged(deep, program, x, proved=True)
    assert good.status in ("passed", "warned")
    wrong = judged(deep, _in_last(program, change), x, proved=True)
    assert wrong.status == "failed", wrong.detail
    assert "each population by itself" in wrong.detail


@pytest.mark.parametrize("back", [(), ((3, 1),)])
@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_what_each_population_fires_by_itself(
    kind: InputKind, back: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    """Driven by what the program fires itself, it fires just that: with relays, delays, joints and cycles."""
    for seed in range(6):
        program = reread(random_program(seed, back=back, kind=kind), tmp_path)
        shape = program.input_shape if kind == "analogue" else (program.timesteps, *program.input_shape)
        x = np.random.default_rng(seed).random((3, *shape)).astype(np.float32) - 0.25
        ((trace, _),) = simulator.simulate_input(program, x)
        neurons = {p.id: trace.spikes[p.id] for p in program.populations if p.role == "neuron"}
        for known in (neurons, *([{}] if not back else [])):  # where nothing comes back each may hand on its own
            alone, handed = driven_by(program, x, known)
            for name, spikes in trace.spikes.items():
                assert (alone[name] == spikes).all(), (seed, name)
                assert (handed[name] == spikes).all()


def test_by_itself_a_population_does_not_see_what_those_before_it_do(deep: Graph) -> None:
    program = program_of(deep, 4, FEW)
    run = interpreter.run(deep, FEW, STEPS)
    graphs = {p.id: own_spikes(program, p.id, run.spikes[program.meta["node_of"][p.id]]) for p in program.in_order}
    graphs = {name: spikes.reshape(len(FEW), STEPS, 4, 4, 4) for name, spikes in graphs.items()}
    sound, _ = driven_by(program, FEW, graphs)
    first, second, *_ = program.in_order
    mine = next(s for s in program.synapses if s.dst == first.id and s.src != CLOCK)
    other = replace(mine, map=replace(mine.map, weight=-mine.map.weight))
    broken = replace(program, synapses=tuple(other if s is mine else s for s in program.synapses))
    found, handed = driven_by(broken, FEW, graphs)
    assert (found[first.id] != sound[first.id]).any()
    assert (found[second.id] == sound[second.id]).all()
    assert handed[first.id] is graphs[first.id]


def test_populations_that_wait_for_one_another_are_refused() -> None:
    program = random_program(1, back=((3, 1),))
    x = np.zeros((1, *program.input_shape), np.float32)
    with pytest.raises(InvalidFileError, match="wait for one another"):
        driven_by(program, x, {})


@pytest.mark.usefixtures("no_lava")
def test_an_honest_export_of_few_bits_passes_and_no_other_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nir.write("deep.nir", graph_of_size("populations", 4))
    np.savez("few.npz", x=FEW, y=np.arange(len(FEW)) % 4)
    how = ["--data", "few.npz", "--input-kind", "spikes", "--bits", "4", "--samples", "64", "--out", "lava", "-q"]
    assert run_command(["export", "deep.nir", *how]) == 0
    code, findings = checked(capsys, "lava")
    (found,) = [f for f in findings if f["code"] == "SN311"]
    assert (code, found["status"], failing(findings)) == (0, "warned", set())
    assert checked(capsys, "lava", "--strict")[0] == 1

    shutil.copytree("lava", "kept")
    record_rounding(finetune=fine_tuned(0))  # whose weights are its own, and prove nothing
    code, findings = checked(capsys, "lava")
    assert "SN211" not in failing(findings)
    assert (code, "SN311" in failing(findings)) == (1, True)

    shutil.rmtree("lava")
    shutil.move("kept", "lava")
    program = read_program(Path("lava/program.npz"))
    x = read_npz(Path("lava/stimulus.npz"), what="stimulus")["x"]
    write_program(Path("lava/program.npz"), shuffled(program))
    golden = read_npz(Path("lava/golden.npz"), what="golden")
    write_npz(Path("lava/golden.npz"), {**reference(shuffled(program), x), "labels": golden["labels"]})
    record_rounding()
    for name in ("program.npz", "golden.npz"):
        sign(Path("lava"), name)
    assert failing(checked(capsys, "lava")[1]) >= {"SN211", "SN311"}
