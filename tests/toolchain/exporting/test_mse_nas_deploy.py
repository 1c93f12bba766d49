"""An MSE-NAS network on its way to the chip: network, deployed network, .nir, program, Lava; each joint by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.executors.deployed import run_deployed
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.export.formats.npz_file import write_npz
from snnas.export.formats.program_file import write_program
from snnas.export.graph.graph import Conv, Lif
from snnas.hw_sim.kernels import neuron_step
from snnas.hw_sim.lava import run as lava
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import Trace, simulate_input
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.mse_nas.motifs import NAMES
from snnas.search.mse_nas.network import MseNetwork
from snnas.toolchain.bench.random_networks import settle_batch_norms

TIMESTEPS = 4
# Without a reduction (motifs see the whole image), with one, with two that a motif reads across, and with sides that
# differ and are odd.
SKELETONS = (
    {"cells": 1, "reductions": ()},
    {"cells": 3, "reductions": (2,)},
    {"cells": 4, "reductions": (2, 3)},
    {"cells": 2, "reductions": (2,), "input_shape": (2, 9, 7), "input_kind": "spikes"},
)


def network(motifs: tuple[str, ...], seed: int, **sizes) -> MseNetwork:
    """A network in eval mode, of random kernels and weights, whose batch norms have statistics of their own."""
    config = MseConfig(
        **{"input_shape": (1, 8, 8), "classes": 5, "channels": 3, "timesteps": TIMESTEPS, **SKELETONS[0], **sizes}
    )
    genome = GenomeSpace(len(config.motif_cells), motifs).random(np.random.default_rng(seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return settle_batch_norms(MseNetwork(genome, config))


def inputs(net: MseNetwork, count: int, seed: int = 0) -> np.ndarray:
    rng, shape = np.random.default_rng(seed), net.config.input_shape
    if net.config.input_kind == "spikes":
        return (rng.random((count, TIMESTEPS, *shape)) < 0.3).astype(np.float32)
    return rng.random((count, *shape), dtype=np.float32)


def compiled(net: MseNetwork, x: np.ndarray) -> tuple[Program, interpreter.Run]:
    graph = fold(net.layers())
    run = interpreter.run(graph, x, TIMESTEPS)
    program = compile_graph(graph, timesteps=TIMESTEPS, input_kind=net.config.input_kind, spikes=run.spikes)
    return program, run


def origin(program: Program, name: str) -> str:
    """The population whose spikes a relay passes on, late."""
    roles = {p.id: p.role for p in program.populations}
    while roles.get(name) == "relay":
        (name,) = (s.src for s in program.synapses if s.dst == name)
    return name


@pytest.mark.parametrize("skeleton", SKELETONS)
@settings(max_examples=5, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_network_deployed_network_and_nir_fire_the_same_spikes(
    skeleton: dict, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    net = network(NAMES, seed, **skeleton)
    x, seen = inputs(net, 5, seed), {}
    with torch.no_grad():
        logits = net(torch.from_numpy(x), spikes=seen)
    graph = fold(net.layers())
    spikes, total = run_deployed(graph, x, TIMESTEPS)
    assert not graph.delayed
    merged = graph.meta.get("merged", {})
    differing = 0
    for name, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        differing += int((ours != spikes[merged.get(name, name)].reshape(ours.shape)).sum())
    # float32 with a batch norm against folded float64: a membrane within rounding of the threshold may differ.
    assert differing < 1e-4 * sum(value.numel() for value in seen.values())
    assert np.isclose(total / TIMESTEPS, logits.numpy(), atol=1e-4).all() or differing
    path = tmp_path_factory.mktemp("nir") / "model.nir"
    write_nir(path, graph)
    run = interpreter.run(read_nir(path, use_metadata=False), x, TIMESTEPS)
    assert set(run.spikes) == set(spikes)
    assert all((value == run.spikes[name]).all() for name, value in spikes.items())
    assert np.allclose(run.output.sum(axis=1).reshape(len(x), -1), total, atol=1e-9)


def linked(seed: int, *links: int, motifs: tuple[str, ...] = NAMES, timesteps: int = TIMESTEPS) -> MseNetwork:
    """A motif cell for each of the links."""
    sizes = {"cells": len(links), "reductions": (), "channels": 2, "input_shape": (1, 6, 6), "timesteps": timesteps}
    config = MseConfig(**{"classes": 3, **sizes})
    genome = GenomeSpace(len(links), motifs, fan_ins=(2,)).random(np.random.default_rng(seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return settle_batch_norms(MseNetwork(replace(genome, links=links), config))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_link_waits_a_timestep_in_the_network_in_its_nir_and_in_its_program(seed: int, tmp_path: Path) -> None:
    net = linked(seed, 2, 1)
    x, seen = inputs(net, 5, seed), {}
    with torch.no_grad():
        net(torch.from_numpy(x), spikes=seen)
    graph = fold(net.layers())
    assert graph.delayed
    spikes, _ = run_deployed(graph, x, TIMESTEPS)
    merged, differing = graph.meta.get("merged", {}), 0
    for name, value in seen.items():
        ours = value.transpose(0, 1).bool().numpy()
        differing += int((ours != spikes[merged.get(name, name)].reshape(ours.shape)).sum())
    assert differing < 1e-4 * sum(value.numel() for value in seen.values())
    write_nir(tmp_path / "model.nir", graph)
    run = interpreter.run(read_nir(tmp_path / "model.nir"), x, TIMESTEPS)
    assert all((value == run.spikes[name]).all() for name, value in spikes.items())
    program = compile_graph(graph, timesteps=TIMESTEPS, input_kind="analogue", spikes=run.spikes)
    assert program.schedule.period > 1
    assert {s.dst for s in program.synapses if s.distance} == {"cell1_in1_lif", "cell2_in1_lif"}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_each_motif_compiles_to_a_program_close_to_its_graph(name: str, seed: int) -> None:
    net = network((name,), seed)
    program, run = compiled(net, inputs(net, 16, seed))
    trace, _ = next(simulate_input(program, inputs(net, 16, seed)))
    differing = total = 0
    for population, node in program.meta["node_of"].items():
        ours = trace.spikes[population]
        differing += int((ours != run.spikes[node].reshape(ours.shape)).sum())
        total += ours.size
        assert ours.any(), f"{population} is silent, which compares nothing"
    assert differing < 0.06 * total
    assert program.schedule.period == 1
    assert all(synapse.distance == 0 for synapse in program.synapses if synapse.src.startswith("cell1"))


@settings(max_examples=8, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_signs_hold_in_the_deployed_graph_and_in_the_program(seed: int) -> None:
    net = network(NAMES, seed, **SKELETONS[1])
    signs = {
        (f"{source.name}_lif", f"{population.name}_lif"): synapse.sign
        for population in net.populations
        for synapse in population.synapses
        for source in synapse.sources
        if synapse.sign
    }
    graph = fold(net.layers())
    merged = graph.meta.get("merged", {})
    signs = {(merged.get(a, a), merged.get(b, b)): sign for (a, b), sign in signs.items()}
    program, _ = compiled(net, inputs(net, 8, seed))
    quantised = {(origin(program, s.src), s.dst): s.map.weight for s in program.synapses}
    for (source, target), sign in signs.items():
        convs = [graph.nodes[n] for n in graph.sources(target) if source in graph.sources(n)]
        assert len(convs) == 1
        assert isinstance(convs[0], Conv)
        assert (sign * convs[0].weight >= 0).all()
        assert (sign * quantised[source, target].astype(int) >= 0).all()
        assert quantised[source, target].any()
    assert isinstance(graph.nodes["stem_lif"], Lif)
    assert float(graph.nodes["stem_lif"].v_threshold.flat[0]) == 0.5  # strict, as `>` reads it


@settings(max_examples=200)
@given(
    current=st.lists(st.integers(-2000, 3000), min_size=1, max_size=30),
    inhibition=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 3000)), min_size=1, max_size=6),
    dv=st.integers(0, 4095),
    vth=st.integers(1, 2000),
)
def test_more_inhibition_never_adds_a_spike_on_target(
    current: list[int], inhibition: list[tuple[int, int]], dv: int, vth: int
) -> None:
    held = list(current)
    for at, amount in inhibition:
        held[at % len(held)] -= amount
    a = np.array([current, held], dtype=np.int64).T
    v, fired = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
    for step in a:
        v, spikes = neuron_step(v, step, np.zeros(2, dtype=np.int64), dv, vth)
        fired += spikes
        assert fired[1] <= fired[0]


def in_lava(program: Program, x: np.ndarray, folder: Path, python: Path) -> tuple[Trace, Any]:
    """Our simulator's run of the samples, and its comparison with Lava's, in which no spike may differ."""
    from snnas.toolchain.exporting.on_target import recorded

    trace, currents = next(simulate_input(program, x))
    golden = recorded(trace.spikes, trace.logits, currents, None, len(x))
    write_program(folder / "program.npz", program)
    write_npz(folder / "golden.npz", golden)
    result = lava.run_worker(folder, folder / "lava", samples=len(x), python=python)
    comparison = lava.compare(golden, result["arrays"], program, len(x))
    assert comparison.first is None
    assert comparison.differing_spikes == 0
    return trace, comparison


@pytest.mark.lava
@pytest.mark.parametrize("name", NAMES)
def test_lava_fires_exactly_the_programs_spikes(name: str, tmp_path: Path, lava_python: Path) -> None:
    net = network((name,), NAMES.index(name), channels=2)
    x = inputs(net, 4)
    program, _ = compiled(net, x)
    trace, comparison = in_lava(program, x, tmp_path, lava_python)
    assert comparison.spikes == len(x) * TIMESTEPS * sum(p.size for p in program.populations)
    inhibited = {p.id for p in program.populations} & {"cell1_D_lif", "cell1_Bi_lif", "cell1_O1_lif"}
    assert all(trace.spikes[p].any() for p in inhibited)


@pytest.mark.lava
def test_lava_fires_exactly_the_spikes_of_a_program_with_links(tmp_path: Path, lava_python: Path) -> None:
    net = linked(1, 1, motifs=("FE",), timesteps=3)  # few: Lava runs a process for each part
    x = inputs(net, 2)
    graph = fold(net.layers())
    run = interpreter.run(graph, x, 3)
    program = compile_graph(graph, timesteps=3, input_kind="analogue", spikes=run.spikes)
    trace, _ = in_lava(program, x, tmp_path, lava_python)
    returned = {s.src for s in program.synapses if s.distance}
    assert returned
    assert all(trace.spikes[name].any() for name in returned)


def test_the_bench_measures_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnas.toolchain.output.stderr import Narrator
    from tests.studies import mse_nas as bench_mse

    options = bench_mse.MseNasOptions(genomes=4, epochs=1, channels=1, cells=1, timesteps=2, batch=8, draws=100)
    result = bench_mse.correlate(options, Narrator(quiet=True), tmp_path / "found.json")
    assert set(result["measures"]) == set(bench_mse.MEASURES)
    assert all(-1 <= m["low"] <= m["high"] <= 1 for m in result["measures"].values())
    assert len({row["architecture"] for row in result["rows"]}) == 4
    monkeypatch.setattr(bench_mse, "_row", None)  # nothing is measured twice
    again = bench_mse.correlate(options, Narrator(quiet=True), tmp_path / "found.json")
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    bench_mse.print_result(result)
