"""docs/conformance.md: what tools make of the graphs of conformance/, and which node and shape runs where in snnas.

    python -m tests.studies.conformance_matrix > docs/conformance.md

The first half is what the result files of conformance/ hold. Of the second, every case is a small graph whose weights
are short binary fractions, so that int8 holds them and no spike may differ between any two columns. A cell that does
not say so carries its reason. The Lava column is what the tests marked ``lava`` assert; the page itself needs no Lava.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance import known, results, table, vectors
from conformance.conventions import CONVENTIONS
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.parts import differing
from snnas.export.dialects.conventions import DT, Convention
from snnas.export.executors import interpreter
from snnas.export.graph.graph import (
    Conv,
    CubaLi,
    CubaLif,
    Delay,
    Flatten,
    Graph,
    I,
    If,
    Input,
    Li,
    Lif,
    Linear,
    Node,
    Output,
    Pool,
    Scale,
    Threshold,
)
from snnas.export.graph.membrane import read_by_membrane
from snnas.export.graph.reshaping import Delays, by_delay
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate

STEPS, SAMPLES = 10, 3
COLUMNS = ("deployed (torch)", "interpreter (NumPy)", "integer simulator", "Lava")
EQUAL = "equal"
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row. graph: builds it anew; ours: what to know of it."""

    name: str
    graph: Callable[[], Graph]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case gave. program: None where it has none, ``refusal`` says why. x: its samples."""

    cells: tuple[str, ...]
    program: Program | None
    refusal: str
    x: np.ndarray


# ------------------------------------------------------------------------------------------------------------- pieces


def _weights(*shape: int, seed: int = 0, low: int = -5, high: int = 9) -> np.ndarray:
    """Multiples of 1/8."""
    return (np.random.default_rng(seed).integers(low, high, shape) / 8).astype(np.float32)


def _full(shape: tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def _lif(*shape: int, tau: float = 2, r: float = 1, leak: float = 0, threshold: float = 0.57, reset: float = 0) -> Lif:
    full = {"tau": tau * DT, "r": r, "v_leak": leak, "v_threshold": threshold, "v_reset": reset}
    return Lif(**{k: _full(shape, v) for k, v in full.items()})


def _if(*shape: int, threshold: float = 1.3) -> If:
    return If(r=_full(shape, 1 / DT), v_threshold=_full(shape, threshold), v_reset=_full(shape, 0))


def _cuba(*shape: int) -> CubaLif:
    full = {"tau_syn": 4 * DT, "tau_mem": 2 * DT, "r": 2, "v_leak": 0, "w_in": 4, "v_threshold": 0.97, "v_reset": 0}
    return CubaLif(**{k: _full(shape, v) for k, v in full.items()})


def _linear(out: int, into: int, *, bias: bool = False, seed: int = 1, low: int = -5) -> Linear:
    return Linear(weight=_weights(out, into, seed=seed, low=low), bias=_weights(out, seed=seed) / 2 if bias else None)


def _conv(o: int, i: int, *kernel: int, seed: int = 2, **geometry: Any) -> Conv:
    return Conv(weight=_weights(o, i, *kernel, seed=seed), bias=_weights(o, seed=seed) / 4, **geometry)


def _dilated(conv: Conv) -> Conv:
    """The kernel with a zero between its taps, as a file's dilation of 2 is read."""
    o, i, kh, kw = conv.weight.shape
    weight = np.zeros((o, i, 2 * kh - 1, 2 * kw - 1), np.float32)
    weight[:, :, ::2, ::2] = conv.weight
    return replace(conv, weight=weight)


def _graph(
    shape: tuple[int, ...],
    nodes: dict[str, Node],
    out: tuple[int, ...],
    edges: tuple[Edge, ...] = (),
    delayed: tuple[Edge, ...] = (),
    more: dict[str, Node] | None = None,
    **given: Any,
) -> Graph:
    """A chain from the input to the output, and further edges."""
    every: dict[str, Node] = {"input": Input(shape=shape), **nodes, "output": Output(shape=out)}
    names = list(every)
    chain = tuple(itertools.pairwise(names))
    every |= more or {}
    return Graph(nodes=every, edges=(*chain, *edges), delayed=frozenset(delayed), **given)


def _neuron(node: Any, **more: Any) -> Callable[[], Graph]:
    """Affine, the node, and a linear readout."""
    size = node.shape[0]
    return lambda: _graph((6,), {"w": _linear(size, 6, bias=True), "n": node, "v": _linear(3, size)}, (3,), **more)


def _between(shape: tuple[int, ...], *nodes: Node, out: tuple[int, ...]) -> Callable[[], Graph]:
    """The nodes between an input of spikes and a LIF."""
    return lambda: _graph(shape, {f"a{k}": n for k, n in enumerate(nodes)} | {"n": _lif(*out)}, out)


def _readout(node: Node, **more: Any) -> Callable[[], Graph]:
    return lambda: _graph((6,), {"w": _linear(8, 6), "n": _lif(8), "v": _linear(3, 8), "read": node}, (3,), **more)


def _own_delays() -> Graph:
    steps = np.array([0, 2, 1, 2, 0, 3])
    chain = {"input": Input(shape=(6,)), "a": _lif(6, threshold=0.45), "d": Delays(steps=steps),
             "n": _lif(6, threshold=0.45), "output": Output(shape=(6,))}  # fmt: skip
    nodes, edges, _ = by_delay(chain, list(itertools.pairwise(chain)), frozenset(), "the case")
    return Graph(nodes=nodes, edges=tuple(edges))


def _loop(*nodes: Node, width: int = 5) -> Callable[[], Graph]:
    """A chain of neurons whose last feeds the first through weights, one timestep late."""
    chain: dict[str, Node] = {"w": _linear(width, 5, low=-2)}
    for k, node in enumerate(nodes):
        chain |= {f"n{k}": node} | ({f"w{k}": _linear(width, width, seed=k, low=-2)} if k < len(nodes) - 1 else {})
    last = f"n{len(nodes) - 1}"
    every: dict[str, Node] = {"input": Input(shape=(5,)), **chain, "output": Output(shape=(width,))}
    names = list(every)
    edges = (*itertools.pairwise(names), (last, "back"), ("back", "n0"))
    every["back"] = _linear(width, width, seed=9, low=-3)
    return lambda: Graph(nodes=every, edges=edges, delayed=frozenset({(last, "back")}))


_HALF = Pool(kernel=(2, 2), stride=(2, 2))
_MEAN = replace(_HALF, average=True)
_PER_NEURON = replace(_lif(8), v_threshold=np.linspace(0.5, 0.9, 8, dtype=np.float32))
_LI = Li(tau=_full((3,), 4 * DT), r=_full((3,), 1), v_leak=_full((3,), 0))
_TWO_TAUS = replace(_lif(8), tau=np.resize(np.float32((2, 4)), 8) * np.float32(DT))
_OWN_TAU = replace(_lif(8), tau=np.linspace(2, 4, 8, dtype=np.float32) * np.float32(DT))

CASES = (
    Case(name="LIF", graph=_neuron(_lif(8))),
    Case(name="LIF, r = 3, v_leak = 0.25", graph=_neuron(_lif(8, tau=4, r=3, leak=0.25))),
    Case(name="LIF, tau of one timestep", graph=_neuron(_lif(8, tau=1))),
    Case(name="LIF, a threshold per neuron", graph=_neuron(_PER_NEURON), note="weights are rounded, thresholds not"),
    Case(name="LIF, two taus", graph=_neuron(_TWO_TAUS), note="two populations"),
    Case(name="LIF, a tau per neuron", graph=_neuron(_OWN_TAU), note="a population for each"),
    Case(name="LIF, v_reset = 0.25", graph=_neuron(_lif(8, reset=0.25))),
    Case(name="LIF, reset by subtraction", graph=_neuron(_lif(8), convention=Convention(reset="subtract"))),
    Case(
        name="LIF, reset by subtraction, late",
        graph=_neuron(_lif(8), convention=Convention(reset="late")),
        note="a timestep later, as snntorch has it",
    ),
    Case(name="LIF, exact decay", graph=_neuron(_lif(8, tau=1 / np.log(2)), convention=Convention(decay="exact"))),
    Case(name="IF", graph=_neuron(_if(8))),
    Case(
        name="IF, a spike iff v >= threshold", graph=_neuron(_if(8, threshold=1), convention=Convention(compare=">="))
    ),
    Case(name="CubaLIF", graph=_neuron(_cuba(8))),
    Case(
        name="CubaLIF, the current before",
        graph=_neuron(_cuba(8), convention=Convention(current="late")),
        note="its membrane sees the current of the timestep before",
    ),
    Case(name="Threshold", graph=_neuron(Threshold(threshold=_full((8,), 0.55)))),
    Case(name="I as the readout", graph=_readout(I(r=_full((3,), 1 / DT)))),
    Case(
        name="LI as the readout",
        graph=_readout(_LI),
    ),
    Case(
        name="LI, its largest value",
        graph=_readout(_LI, convention=Convention(readout="max")),
        note="the graph's convention says what is read",
    ),
    Case(
        name="CubaLI as the readout",
        graph=_readout(CubaLi(**{k: v for k, v in asdict(_cuba(3)).items() if k not in ("v_threshold", "v_reset")})),
    ),
    Case(
        name="LIF read by its membrane",
        graph=lambda: read_by_membrane(_readout(_lif(3), convention=Convention(readout="membrane-last"))()),
        note="it never resets: snntorch's reset_mechanism='none'",
    ),
    Case(
        name="two paths into the output",
        graph=lambda: _graph(
            (6,),
            {"w": _linear(8, 6), "n": _lif(8), "v": _linear(4, 8, low=-2), "m": _lif(4), "u": _linear(3, 4)},
            (3,),
            edges=(("n", "s"), ("s", "output")),
            more={"s": _linear(3, 8, seed=7)},
        ),
        note="added on the host",
    ),
    Case(name="I between neurons", graph=_between((6,), I(r=_full((6,), 1 / DT)), out=(6,))),
    Case(name="Linear, Affine", graph=_between((6,), _linear(5, 6, bias=True), out=(5,))),
    Case(
        name="two layers in a row", graph=_between((6,), _linear(4, 6), _linear(5, 4), out=(5,)), note="multiplied out"
    ),
    Case(name="Conv1d", graph=_between((2, 1, 9), _conv(3, 2, 1, 3, pad=(0, 1)), out=(3, 1, 9)), note="height 1"),
    Case(
        name="Conv2d, strided", graph=_between((2, 6, 6), _conv(3, 2, 3, 3, stride=(2, 1), pad=(1, 1)), out=(3, 3, 6))
    ),
    Case(
        name="Conv2d, dilated",
        graph=_between((2, 6, 6), _dilated(_conv(3, 2, 3, 3, pad=(2, 2))), out=(3, 6, 6)),
        note="zeros written out",
    ),
    Case(
        name="Conv2d, depthwise, then Conv2d",
        graph=_between((4, 6, 6), _conv(4, 1, 3, 3, groups=4, pad=(1, 1)), _conv(3, 4, 1, 1), out=(3, 6, 6)),
        note="one kernel",
    ),
    Case(name="Conv2d in groups", graph=_between((4, 5, 5), _conv(6, 2, 3, 3, groups=2), out=(6, 3, 3))),
    Case(name="SumPool2d", graph=_between((2, 6, 6), _HALF, out=(2, 3, 3))),
    Case(name="AvgPool2d", graph=_between((2, 6, 6), _MEAN, out=(2, 3, 3))),
    Case(
        name="pool, Conv2d, pool",
        graph=_between((2, 8, 8), _MEAN, _conv(3, 2, 3, 3, pad=(1, 1)), _MEAN, out=(3, 2, 2)),
    ),
    Case(name="Flatten, Linear", graph=_between((2, 3, 3), Flatten(), _linear(5, 18), out=(5,))),
    Case(name="Flatten alone", graph=_between((2, 2, 2), Flatten(), out=(8,))),
    Case(name="Scale", graph=_between((6,), Scale(scale=_weights(6, low=1)), _linear(5, 6), out=(5,))),
    Case(
        name="Scale per pixel behind Conv2d",
        graph=_between((2, 4, 4), _conv(2, 2, 3, 3), Scale(scale=_weights(2, 2, 2, low=4) * 4), out=(2, 2, 2)),
        note="multiplied out",
    ),
    Case(
        name="Delay of 3 timesteps",
        graph=lambda: _graph(
            (6,), {"a": _lif(6, threshold=0.45), "d": Delay(steps=3), "n": _lif(6, threshold=0.45)}, (6,)
        ),
        note="two relays",
    ),
    Case(name="Delay, another for each neuron", graph=_own_delays, note="a path for each"),
    Case(
        name="a skip over two populations",
        graph=lambda: _graph(
            (6,),
            {"a": _lif(6, threshold=0.45), "w": _linear(6, 6), "b": _lif(6), "v": _linear(6, 6, seed=4), "n": _lif(6)},
            (6,),
            edges=(("a", "n"),),
        ),
        note="several edges into one node are summed",
    ),
    Case(name="a self-loop", graph=_loop(_lif(5))),
    Case(name="a self-loop of a CubaLIF", graph=_loop(_cuba(5))),
    Case(name="a loop of two populations", graph=_loop(_lif(5), _lif(5)), note="two hardware steps per timestep"),
    Case(name="a loop with a CubaLIF and another", graph=_loop(_cuba(5), _if(5))),
)


# ------------------------------------------------------------------------------------------------------------ running


def outcome(case: Case) -> Outcome:
    """Runs a case in torch, NumPy and the integer simulator; the interpreter is what the others are compared with."""
    from snnas.export.executors.deployed import run_deployed

    graph = case.graph()
    graph.verify()
    shape = graph.nodes[graph.input].shape  # type: ignore[union-attr]
    x = (np.random.default_rng(0).random((SAMPLES, STEPS, *shape)) < 0.4).astype(np.float32)
    run = interpreter.run(graph, x, STEPS)
    spikes, answers = run_deployed(graph, x, STEPS)
    agree = np.allclose(answers, run.answers, rtol=0, atol=1e-9)
    torch_cell = _compared(spikes, run.spikes) if agree else "outputs differ"
    try:
        program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", soft_reset=True)
    except UnsupportedError as error:
        refusal = str(error)
        return Outcome((torch_cell, EQUAL, f"refused: {refusal}", "no program"), None, refusal, x)
    boxed = x.reshape(SAMPLES, STEPS, *program.input_shape)
    trace = simulate(program, spikes_in=boxed > 0)
    wrong, total = differing(program, trace.spikes, run.spikes)
    cell = f"{wrong} of {total} spikes differ" if wrong else EQUAL
    return Outcome((torch_cell, EQUAL, cell, _on_lava(graph)), program, "", boxed)


def _on_lava(graph: Graph) -> str:
    try:
        compile_graph(graph, timesteps=STEPS, input_kind="spikes")
    except UnsupportedError as error:
        return f"refused: {error}"
    return EQUAL


def _compared(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str:
    differing = sum(int((ours[n].reshape(s.shape) != s).sum()) for n, s in theirs.items())
    total = sum(s.size for s in theirs.values())
    return EQUAL if not differing else f"{differing} of {total} spikes differ"


RESULTS = Path(vectors.__file__).with_name("results")
READERS = (
    "snnas", "snntorch", "norse", "norse_sorted", "spikingjelly", "sinabs", "sinabs_without_reset", "rockpool",
    "snn_mlir",
)  # fmt: skip


def page() -> str:
    """The page, Markdown."""
    found = [results.read(RESULTS / f"{name}.json") for name in READERS]
    graphs = vectors.load()
    conventions = "\n".join(f"- `{name}`: {c.words}" for name, c in CONVENTIONS.items())
    head = _HEAD.format(
        graphs=len(graphs.cases), versions=table.versions(found).strip(), table=table.table(graphs, found),
        conventions=conventions, deviations=known.page(),
    )  # fmt: skip
    lines = [
        _OURS.format(samples=SAMPLES, steps=STEPS),
        f"| node or shape | {' | '.join(COLUMNS)} | |",
        f"|---|{'---|' * len(COLUMNS)}---|",
    ]
    lines += [f"| {case.name} | {' | '.join(outcome(case).cells)} | {case.note} |" for case in CASES]
    return head + "\n".join(lines) + "\n" + _FOOT


_HEAD = """\
# Which graph runs where

Generated by `python -m tests.studies.conformance_matrix`.

## What tools make of a NIR graph

{graphs} small graphs, their inputs and what must come out lie in [conformance/](../conformance/README.md), with a
runner for any tool and the one command that makes each column again. *equal*: everything that the tool shows is what is
expected. *as C*: it is what convention C gives. *differs*: it is not, and nothing was said. *stops*: an exception. In a
graph marked *exact* every number is a short binary fraction, so that no rounding may differ.

{versions}

"norse, sorted" has every node run after all that feed it, which norse does not see to. Of a graph of which norse or
sinabs leaves out a node, *differs* and *stops* vary from run to run. sinabs reads nothing that
nir > 1.0.4 wrote; "no v_reset" is a copy of the file without that field, and its time constants stay seconds where
sinabs counts timesteps. rockpool's importer knows Linear, Affine and CubaLIF; its LIF cannot be read. snn-mlir stands
for its parser, each parsed layer run as its lowering says: its compiler is on no package index.

{table}
{conventions}

## What each deviation means

Each with its minimal case, to be run where the tool is installed. Where a tool stops, its exception says why.

{deviations}
"""
_OURS = """\
## Which node and shape runs where in snnas

Each row is a small graph of that kind, run on {samples} samples of {steps} timesteps. *equal*: every spike of every
population is that of the NumPy interpreter (for Lava: that of the integer simulator, asserted by the tests marked
`lava`). Weights are short binary fractions, which int8 holds exactly; of other weights quantisation changes some
spikes, and the report of an export says how many.
"""
_FOOT = """
Nested graphs are laid open as they are read, so they need no row.
"""


if __name__ == "__main__":
    sys.stdout.write(page())
