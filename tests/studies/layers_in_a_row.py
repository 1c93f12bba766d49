"""Two convolutions with no neuron between them, as one kernel and as two: python -m tests.studies.layers_in_a_row

The compiler multiplies them out to one kernel (and a border, where the second one pads). Two factors stored side by
side would be fewer weights, and less flash in C; but a chip has no place for what comes between them: its synapses are
the product's, and products of two int8 factors have more bits than a synapse. So cores, synaptic operations and energy
are the kernel's whatever is stored, and are held here against those of the same synapses written out one by one. On a
core that runs C two factors would have to multiply wherever the middle is not zero: that is counted as well.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
import typer

from snnas.export.compiler.adjoint import entries_of
from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.compiler.paths import ungrouped
from snnas.export.executors import interpreter
from snnas.export.formats.c.footprint import footprint
from snnas.export.graph.graph import Conv, Flatten, Graph, If, Input, Linear, Output, Pool
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.entries import total
from snnas.hw_sim.limits import WEIGHT_MAX
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.map.wiring import wirings
from snnas.hw_sim.program import LinearMap, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.models.in_c import prepare
from snnas.toolchain.output.stderr import Narrator
from tests.studies.command import main, tell

SCHEMA = "snnas.study.layers_in_a_row/1"
TIMESTEPS, SAMPLES = 4, 4
CORE = "cortex-m4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """channels in, between and out of two layers on a square image; depthwise: 3x3 on each channel, then 1x1."""

    side: int
    channels: int
    between: int
    out: int
    depthwise: bool

    def layers(self, rng: np.random.Generator) -> tuple[Conv, Conv]:
        def conv(out: int, into: int, kernel: int, groups: int = 1) -> Conv:
            weight = rng.normal(0, 1 / np.sqrt(into * kernel**2), (out, into, kernel, kernel)).astype(np.float32)
            return Conv(weight=weight, bias=None, pad=(kernel // 2, kernel // 2), groups=groups)

        if self.depthwise:
            return conv(self.between, 1, 3, self.channels), conv(self.out, self.between, 1)
        return conv(self.between, self.channels, 3), conv(self.out, self.between, 3)

    def __str__(self) -> str:
        what = "depthwise 3x3, then 1x1" if self.depthwise else "3x3, then 3x3"
        return f"{self.channels}x{self.side}x{self.side} -> {self.out} channels, {what}"


PAIRS = (
    Pair(side=34, channels=16, between=16, out=64, depthwise=True),
    Pair(side=16, channels=64, between=64, out=128, depthwise=True),
    Pair(side=34, channels=16, between=16, out=16, depthwise=False),
)


def network(layers: tuple[Conv, Conv], pair: Pair, *, apart: bool = False) -> Graph:
    """The layers between spikes and IFs, read through a count per channel. apart: neurons between them."""
    whole = (pair.side, pair.side)

    def fires(threshold: float, *shape: int) -> If:
        one = np.ones(shape, np.float32)
        return If(r=one / np.float32(1e-4), v_threshold=one * np.float32(threshold), v_reset=0 * one)

    nodes = {
        "input": Input(shape=(pair.channels, *whole)), "a": layers[0],
        **({"between": fires(1, pair.between, *whole)} if apart else {}), "b": layers[1],
        "n": fires(1, pair.out, *whole), "pool": Pool(kernel=whole, stride=whole),
        "counts": fires(100, pair.out, 1, 1), "flat": Flatten(),
        "w": Linear(weight=np.eye(2, pair.out, dtype=np.float32), bias=None), "output": Output(shape=(2,)),
    }  # fmt: skip
    return Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))


def one(pair: Pair, rate: float, seed: int) -> dict[str, Any]:
    """The figures of one pair on random spikes of that rate."""
    rng = stream(seed, f"layers in a row {pair}")
    layers = pair.layers(rng)
    graph = network(layers, pair)
    x = (rng.random((SAMPLES, TIMESTEPS, pair.channels, pair.side, pair.side)) < rate).astype(np.float32)
    program = compile_graph(
        graph, timesteps=TIMESTEPS, input_kind="spikes", spikes=calibration_spikes(graph, x, TIMESTEPS, "spikes")
    )
    made = prepare(program, x)
    apart = compile_graph(network(layers, pair, apart=True), timesteps=TIMESTEPS, input_kind="spikes")
    weights = {s.id: int(s.map.weight.size) for s in program.synapses if s.dst == "n"}
    factors = sum(layer.weight.size for layer in layers)
    written_out = unrolled(graph, program)
    run = interpreter.run(graph, x, TIMESTEPS).spikes["n"]
    return {
        "layers": str(pair),
        **asdict(pair),
        "weights": weights,
        "factors": factors,
        "firing": float(run.mean()),
        "spikes_differing": float((made.trace.spikes["n"] != run).mean()),
        "on_chip": costs(program, x),
        "unrolled": {"weights": written_out.synapses[-1].map.weight.size, **costs(written_out, x)},
        "flash": footprint(made.model, CORE).flash,
        "flash_apart": footprint(prepare(apart, x).model, CORE).flash,
        "additions": additions(pair, rate),
        "rounding": rounding(layers),
    }


def unrolled(graph: Graph, program: Program) -> Program:
    """The program with the synapses of the layers written out one by one, at its end: one sparse matrix, all of 1."""
    source, target = program.input_shape, program.population("n").shape
    matrix = total([entries_of(k.map, source, target) for k in trace(graph, "spikes").links if k.dst == "n"])
    assert not isinstance(matrix, np.ndarray)
    there = np.abs(matrix.values) > 1e-9  # where the border takes back what the kernel brings nothing is left
    counts = np.bincount(matrix.rows[there], minlength=int(np.prod(target)))
    sparse = LinearMap(
        kind="sparse", weight=np.ones(int(there.sum()), np.int8), indices=matrix.indices[there],
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
    )  # fmt: skip
    first = next(s for s in program.synapses if s.dst == "n")
    others = tuple(s for s in program.synapses if s.dst != "n")
    return replace(program, synapses=(*others, replace(first, map=sparse, exponent=0)))


def costs(program: Program, x: np.ndarray) -> dict[str, Any]:
    """On Loihi 1: cores, bytes of synaptic memory, and of one inference synaptic operations and dynamic energy."""
    mapping = map_program(program, load_system())
    counter, done = Counter(program, mapping), 0
    for ran, _ in simulate_input(program, x):
        counter.add(ran, spikes_in=x[done : done + len(ran.logits)] > 0)
        done += len(ran.logits)
    counts = counter.result()
    profile = load_profile("loihi1")
    bill = price(counts, profile, estimate_latency(counts, profile))
    joined = wirings(program)
    into = {s.id for s in program.synapses if s.dst == "n"}
    memory = sum(joined[piece].memory(cut.box) for cut in mapping.of("n") for piece in into)
    return {
        "cores": mapping.cores,
        "memory": memory,
        "synops": sum(s.synops for s in counts.synapses if s.id in into) / counts.samples,
        "energy_uJ": bill.dynamic.nominal,
    }


def additions(pair: Pair, rate: float) -> dict[str, float]:
    """Of a timestep, borders left out: additions of the kernel, of both factors, and the latter's multiplications.

    A core that runs two factors adds for each spike of the first, and multiplies wherever the middle is not zero.
    """
    pixels, seen = pair.side**2, 9 * (1 if pair.depthwise else pair.channels)
    between = 1 - (1 - rate) ** seen
    first = 9 if pair.depthwise else 9 * pair.between
    second = pair.out * (1 if pair.depthwise else 9)
    wide = 9 if pair.depthwise else 25
    return {
        "kernel": pixels * pair.channels * rate * wide * pair.out,
        "factors": pixels * pair.channels * rate * first,
        "multiplications": pixels * pair.between * between * second,
    }


def rounding(layers: tuple[Conv, Conv]) -> dict[str, float]:
    """What 8 bits change of the product, RMS over its own, and the bits of a product of two int8 factors."""
    a, b = (ungrouped(layer.weight, layer.groups) for layer in layers)

    def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        whole = np.zeros((len(second), first.shape[1], *(first.shape[2] + second.shape[2] - 1,) * 2))
        for y, x in np.ndindex(*second.shape[2:]):
            part = np.tensordot(second[:, :, y, x], first, axes=1)
            whole[:, :, y : y + first.shape[2], x : x + first.shape[3]] += part
        return whole

    def whole_steps(values: np.ndarray) -> tuple[np.ndarray, float]:
        step = float(np.abs(values).max()) / WEIGHT_MAX
        return np.rint(values / step), step

    real = product(a, b)
    once, step = whole_steps(real)
    (first, one_step), (second, other_step) = whole_steps(a), whole_steps(b)
    twice = product(first, second)

    def off(found: np.ndarray) -> float:
        return float(np.sqrt(np.square(found - real).mean() / np.square(real).mean()))

    bits = int(np.abs(twice).max()).bit_length() + 1
    return {"once": off(once * step), "twice": off(twice * (one_step * other_step)), "bits_of_products": bits}


def measure(rate: float, seed: int, narrator: Narrator) -> dict[str, Any]:
    """Every pair of ``PAIRS``."""
    found = []
    with narrator.progress(f"{len(PAIRS)} pairs of layers", "pairs") as advance:
        for pair in PAIRS:
            found.append(one(pair, rate, seed))
            advance(len(found), len(PAIRS))
    return {"schema": SCHEMA, "seed": seed, "rate": rate, "pairs": found}


def _print(result: dict[str, Any]) -> None:
    print(f"spikes of rate {result['rate']}, {SAMPLES} samples of {TIMESTEPS} timesteps, seed {result['seed']}")
    for f in result["pairs"]:
        stored = " + ".join(f"{n:,}" for n in f["weights"].values())
        print(f"\n{f['layers']}")
        for name, weights, cost in (
            ("one kernel", stored, f["on_chip"]),
            ("written out", f"{f['unrolled']['weights']:,}", f["unrolled"]),
        ):
            print(
                f"  {name:12} weights {weights}; {cost['cores']:,} cores, {cost['memory'] / 1000:,.0f} kB of synapses, "
                f"{cost['synops']:,.0f} synops, {cost['energy_uJ']:,.1f} uJ dynamic"
            )
        print(
            f"  two factors  weights {f['factors']:,}; in C {f['flash'] / 1000:,.1f} kB of flash for the network, "
            f"{f['flash_apart'] / 1000:,.1f} with neurons between the layers"
        )
        a, r = f["additions"], f["rounding"]
        print(
            f"  a timestep: {a['kernel']:,.0f} additions; of factors {a['factors']:,.0f} and "
            f"{a['multiplications']:,.0f} multiplications"
        )
        print(
            f"  8 bits: weights off by {r['once']:.2%} rounded once, {r['twice']:.2%} twice, whose products have "
            f"{r['bits_of_products']:.0f} bits; {f['spikes_differing']:.2%} of spikes differ, {f['firing']:.0%} fire"
        )


def command(
    rate: Annotated[float, typer.Option(min=0.001, max=1, help="Of the spikes that come in.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and spikes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """What one kernel of two convolutions costs, beside two factors and beside every synapse by itself."""
    tell(measure(rate, seed, Narrator()), as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
