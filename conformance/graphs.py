"""The graphs, built with nir and numpy alone: what each is about, in words, and what it is made of.

Weights are multiples of 1/8, so that sums of them are exact in float32 and int8 holds them. A graph is ``exact`` where
its time constants are powers of two of a timestep too: then no tool's rounding can excuse a difference.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from conformance.conventions import DT

Edge = tuple[str, str]
Shape = tuple[int, ...]
KEY = "nir-conformance"  # of the graph's metadata: a JSON string, {"delayed": [[source, target], ...]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A graph. words: what it is about. group: the table's heading. analogue: inputs in sixteenths, not 0 and 1."""

    name: str
    words: str
    group: str
    graph: Any
    shape: Shape
    exact: bool = False
    analogue: bool = False
    delayed: tuple[Edge, ...] = ()
    steps: int = 10
    samples: int = 3


def full(shape: Shape | int, value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def tau(shape: Shape | int, steps: float) -> np.ndarray:
    """A time constant in timesteps, as float32 seconds: of two timesteps it is exactly twice float32(1e-4)."""
    return full(shape, 1) * np.float32(steps) * np.float32(DT)


def weights(*shape: int, seed: int, low: int = -5, high: int = 9) -> np.ndarray:
    """Multiples of 1/8."""
    return (np.random.default_rng(seed).integers(low, high, shape) / 8).astype(np.float32)


def lif(
    shape: Shape | int, *, steps: Any = 2.0, r: Any = 1.0, leak: float = 0, at: Any = 0.57, reset: float = 0
) -> Any:
    """steps: tau in timesteps; at: the threshold. Arrays give each neuron its own."""
    one = full(shape, 1)
    return nir.LIF(
        tau=one * np.float32(steps) * np.float32(DT),
        r=one * np.float32(r),
        v_leak=full(shape, leak),
        v_threshold=one * np.float32(at),
        v_reset=full(shape, reset),
    )


def integrating(shape: Shape | int, *, r: float = 1 / DT, at: float = 1.3, reset: float = 0) -> Any:
    return nir.IF(r=full(shape, r), v_threshold=full(shape, at), v_reset=full(shape, reset))


def cuba(
    shape: Shape | int, *, syn: float = 4, mem: float = 2, r: float = 2, into: float = 4, leak: float = 0,
    at: float = 0.97, reset: float = 0,
) -> Any:  # fmt: skip
    """Of unit gain, unless r or ``into`` (w_in) say otherwise."""
    return nir.CubaLIF(
        tau_syn=tau(shape, syn), tau_mem=tau(shape, mem), r=full(shape, r), v_leak=full(shape, leak),
        w_in=full(shape, into), v_threshold=full(shape, at), v_reset=full(shape, reset),
    )  # fmt: skip


def linear(out: int, into: int, *, seed: int = 1, low: int = -5, bias: bool = False) -> Any:
    weight = weights(out, into, seed=seed, low=low)
    return nir.Affine(weight=weight, bias=weights(out, seed=seed) / 2) if bias else nir.Linear(weight=weight)


def conv(o: int, i: int, *kernel: int, seed: int = 2, at: Shape = (6, 6), **given: Any) -> Any:
    """With a bias; of one kernel axis a Conv1d. at: the input's height and width."""
    geometry = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **given}
    kind = nir.Conv1d if len(kernel) == 1 else nir.Conv2d
    size = at[0] if len(kernel) == 1 else at
    bias = weights(o, seed=seed) / 4
    return kind(input_shape=size, weight=weights(o, i, *kernel, seed=seed), bias=bias, **geometry)


def pool(kind: Any, kernel: int, stride: int, padding: int = 0) -> Any:
    size, step, edge = (np.array([n, n]) for n in (kernel, stride, padding))
    return kind(kernel_size=size, stride=step, padding=edge)


def flatten(shape: Shape, *, start: int = 0) -> Any:
    return nir.Flatten({"input": np.array(shape)}, start_dim=start, end_dim=-1)


def chain(
    shape: Shape, nodes: dict[str, Any], out: Shape, *, more: dict[str, Any] | None = None, edges: tuple[Edge, ...] = ()
) -> Any:
    """Input -> nodes -> output; further nodes, and the edges that no chain has."""
    every = {"input": nir.Input({"input": np.array(shape)}), **nodes, "output": nir.Output({"output": np.array(out)})}
    line = list(itertools.pairwise(every))
    return nir.NIRGraph(nodes={**every, **(more or {})}, edges=[*line, *edges], type_check=False)


# --------------------------------------------------------------------------------------------------------- the groups


def _neurons() -> list[Case]:
    """Affine, the neuron, a linear readout."""
    own = np.linspace(0.5, 0.9, 8)
    found = [
        ("lif", "LIF, the plain one", lif(8)),
        ("lif-gain", "LIF with r = tau / dt: the input comes in whole", lif(8, r=2, at=0.9)),
        ("lif-r", "LIF with r = 3 and tau of 4 timesteps", lif(8, steps=4, r=3)),
        ("lif-leak", "LIF that rests at v_leak = 0.25", lif(8, steps=4, leak=0.25, at=0.44)),
        ("lif-reset", "LIF with v_reset = 0.25", lif(8, reset=0.25)),
        ("lif-reset-negative", "LIF with v_reset = -0.5", lif(8, reset=-0.5)),
        ("lif-leak-reset", "LIF with v_leak = v_reset = 0.25", lif(8, leak=0.25, reset=0.25, at=0.71)),
        ("lif-one-step", "LIF whose tau is one timestep: no memory", lif(8, steps=1, at=0.7)),
        ("lif-slow", "LIF whose tau is 64 timesteps", lif(8, steps=64, r=16, at=0.8)),
        ("lif-thresholds", "LIF, a threshold for each neuron", lif(8, at=own + 0.01)),
        ("lif-two-taus", "LIF, half of it twice as slow", lif(8, steps=np.resize((2.0, 4.0), 8))),
        ("lif-taus", "LIF, a tau for each neuron", lif(8, steps=4 * own)),
        ("lif-rs", "LIF, an r for each neuron", lif(8, r=2 * own)),
        ("if", "IF with r = 1 / dt: the input comes in whole", integrating(8)),
        ("if-half", "IF with r = 0.5 / dt", integrating(8, r=0.5 / DT, at=0.8)),
        ("if-reset", "IF with v_reset = 0.25", integrating(8, reset=0.25, at=1.31)),
        ("cuba", "CubaLIF of unit gain", cuba(8)),
        ("cuba-plain", "CubaLIF with r = 1, w_in = 1", cuba(8, r=1, into=1, at=0.23)),
        ("cuba-w-in", "CubaLIF with w_in = 6, r = 1.5", cuba(8, r=1.5, into=6)),
        ("cuba-leak", "CubaLIF that rests at v_leak = 0.25", cuba(8, leak=0.25)),
        ("cuba-reset", "CubaLIF with v_reset = -1.5", cuba(8, reset=-1.5)),
        ("cuba-equal-taus", "CubaLIF with tau_syn = tau_mem", cuba(8, syn=4, mem=4, r=4, into=4)),
        ("threshold", "Threshold: no memory, 1 where the input is above", nir.Threshold(threshold=full(8, 0.55))),
    ]  # fmt: skip
    return [Case(name=n, words=w, group="neurons", shape=(6,), graph=_behind_affine(node)) for n, w, node in found]


def _behind_affine(node: Any) -> Any:
    return chain((6,), {"w": linear(8, 6, bias=True), "n": node, "v": linear(3, 8)}, (3,))


def _met(node: Any, *, leaky: bool = True) -> Any:
    """Weights of halves: membranes meet the threshold exactly, and often."""
    weight = (np.random.default_rng(3).integers(-1, 4, (8, 6)) / (2 if leaky else 4)).astype(np.float32)
    return chain((6,), {"w": nir.Linear(weight=weight), "n": node}, (8,))


def _exact() -> list[Case]:
    """Short binary fractions throughout."""
    one = {"v": lif(6, at=0.5), "u": linear(6, 6, seed=5, low=-2), "n": lif(6, at=0.75)}
    deep = chain((6,), {"w": linear(6, 6, low=-2), **one, "q": linear(4, 6, seed=6), "m": lif(4, r=2, at=1)}, (4,))
    small = {"c": conv(2, 2, 3, 3, padding=1, seed=4), "n": lif((2, 6, 6), at=0.5), "s": pool(nir.SumPool2d, 2, 2)}
    image = chain((2, 6, 6), {**small, "d": conv(2, 2, 2, 2, seed=5, at=(3, 3)), "m": lif((2, 2, 2), at=1)}, (2, 2, 2))
    quiet = chain((6,), {"n": lif(6, at=0)}, (6,))
    found = [
        ("lif-met", "LIF whose membrane meets its threshold exactly", (6,), _met(lif(8, at=0.5))),
        ("lif-gain-met", "the same with r = tau / dt", (6,), _met(lif(8, r=2, at=1))),
        ("lif-zero-threshold", "LIF with a threshold of 0: silent without input", (6,), quiet),
        ("lif-strong", "LIF driven to several times its threshold", (6,), _met(lif(8, r=4, at=0.5))),
        ("if-met", "IF whose membrane meets its threshold exactly", (6,), _met(integrating(8, at=1), leaky=False)),
        ("if-strong", "IF driven to several times its threshold", (6,), _met(integrating(8, at=0.5))),
        ("cuba-met", "CubaLIF whose membrane meets its threshold exactly", (6,), _met(cuba(8, syn=2, into=2, at=1))),
        ("threshold-met", "Threshold whose input meets it exactly", (6,), _met(nir.Threshold(threshold=full(8, 0.5)))),
        ("deep-met", "three layers of LIF, all in binary fractions", (6,), deep),
        ("image-met", "convolutions and a pool, all in binary fractions", (2, 6, 6), image),
    ]
    return [Case(name=n, words=w, group="exact fractions", shape=s, graph=g, exact=True) for n, w, s, g in found]


def _readouts() -> list[Case]:
    slow = {"tau": tau(3, 4), "r": full(3, 1), "v_leak": full(3, 0)}
    late = {"tau_syn": tau(3, 4), "tau_mem": tau(3, 2), "r": full(3, 2), "v_leak": full(3, 0), "w_in": full(3, 4)}
    found = [
        ("i-readout", "I as the readout: the sum over time", nir.I(r=full(3, 1 / DT))),
        ("li-readout", "LI as the readout", nir.LI(**slow)),
        ("li-leak-readout", "LI that rests at v_leak = 0.5", nir.LI(**{**slow, "v_leak": full(3, 0.5)})),
        ("cubali-readout", "CubaLI as the readout", nir.CubaLI(**late)),
    ]
    cases = [
        Case(name=n, words=w, group="readouts", shape=(6,), graph=chain(
            (6,), {"w": linear(8, 6), "n": lif(8), "v": linear(3, 8), "read": node}, (3,)))
        for n, w, node in found
    ]  # fmt: skip
    between = {"li-between": nir.LI(tau=tau(6, 4), r=full(6, 2), v_leak=full(6, 0)), "i-between": nir.I(full(6, 4000))}
    cases += [
        Case(name=n, words=f"{type(node).__name__} between the input and a LIF", group="readouts", shape=(6,),
             graph=chain((6,), {"a": node, "n": lif(6, at=0.43)}, (6,)))
        for n, node in between.items()
    ]  # fmt: skip
    return cases


def _maps() -> list[Case]:
    """The nodes between an input of spikes and a LIF."""
    up = weights(6, seed=8, low=2)
    found: list[tuple[str, str, Shape, dict[str, Any], Shape]] = [
        ("neuron-alone", "no weights at all: the input is the current", (6,), {}, (6,)),
        ("linear", "Linear", (6,), {"a": linear(5, 6)}, (5,)),
        ("affine", "Affine: a bias", (6,), {"a": linear(5, 6, bias=True)}, (5,)),
        ("affine-chain", "Linear behind Affine", (6,), {"a": linear(4, 6, bias=True), "b": linear(5, 4, seed=3)}, (5,)),
        ("scale", "Scale, a factor for each element", (6,), {"a": nir.Scale(scale=up), "b": linear(5, 6)}, (5,)),
        ("scale-image", "Scale per pixel behind Conv2d", (2, 4, 4),
         {"a": conv(2, 2, 3, 3, at=(4, 4)), "b": nir.Scale(scale=4 * weights(2, 2, 2, seed=8, low=2))}, (2, 2, 2)),
        ("conv1d", "Conv1d", (2, 9), {"a": conv(3, 2, 3, at=(9,))}, (3, 7)),
        ("conv1d-stride", "Conv1d, strided and padded", (2, 9),
         {"a": conv(3, 2, 3, at=(9,), stride=2, padding=1)}, (3, 5)),
        ("conv1d-dilation", "Conv1d, dilated, in groups", (2, 9),
         {"a": conv(4, 1, 3, at=(9,), dilation=2, groups=2)}, (4, 5)),
        ("conv1d-same", "Conv1d, padding 'same'", (2, 9), {"a": conv(3, 2, 3, at=(9,), padding="same")}, (3, 9)),
        ("conv2d", "Conv2d", (2, 6, 6), {"a": conv(3, 2, 3, 3)}, (3, 4, 4)),
        ("conv2d-stride", "Conv2d, strides (2, 1), padded", (2, 6, 6),
         {"a": conv(3, 2, 3, 3, stride=(2, 1), padding=(1, 1))}, (3, 3, 6)),
        ("conv2d-dilation", "Conv2d, dilated", (2, 6, 6), {"a": conv(2, 2, 3, 3, dilation=2, padding=2)}, (2, 6, 6)),
        ("conv2d-groups", "Conv2d in two groups", (4, 5, 5), {"a": conv(6, 2, 3, 3, at=(5, 5), groups=2)}, (6, 3, 3)),
        ("conv2d-depthwise", "Conv2d, depthwise, then 1 x 1", (4, 6, 6),
         {"a": conv(4, 1, 3, 3, groups=4, padding=1), "b": conv(2, 4, 1, 1, seed=4)}, (2, 6, 6)),
        ("conv2d-same", "Conv2d, padding 'same'", (2, 6, 6), {"a": conv(2, 2, 3, 3, padding="same")}, (2, 6, 6)),
        ("conv2d-same-even", "Conv2d, padding 'same' of an even kernel", (2, 6, 6),
         {"a": conv(2, 2, 2, 2, padding="same")}, (2, 6, 6)),
        ("conv2d-valid", "Conv2d, padding 'valid'", (2, 6, 6), {"a": conv(3, 2, 3, 3, padding="valid")}, (3, 4, 4)),
        ("conv2d-tall", "Conv2d whose kernel is 3 x 1", (2, 6, 6), {"a": conv(2, 2, 3, 1, padding=(1, 0))}, (2, 6, 6)),
        ("sumpool", "SumPool2d", (2, 6, 6), {"a": pool(nir.SumPool2d, 2, 2)}, (2, 3, 3)),
        ("sumpool-overlap", "SumPool2d whose windows overlap, padded", (2, 6, 6),
         {"a": pool(nir.SumPool2d, 3, 2, 1)}, (2, 3, 3)),
        ("avgpool", "AvgPool2d", (2, 6, 6), {"a": pool(nir.AvgPool2d, 2, 2)}, (2, 3, 3)),
        ("avgpool-padded", "AvgPool2d, padded: the padding counts", (2, 6, 6),
         {"a": pool(nir.AvgPool2d, 3, 2, 1)}, (2, 3, 3)),
        ("pool-conv-pool", "pool, Conv2d, pool", (2, 8, 8),
         {"a": pool(nir.AvgPool2d, 2, 2), "b": conv(3, 2, 3, 3, at=(4, 4), padding=1), "c": pool(nir.AvgPool2d, 2, 2)},
         (3, 2, 2)),
        ("flatten", "Flatten from dimension 0, as NIR counts, then Linear", (2, 3, 3),
         {"a": flatten((2, 3, 3)), "b": linear(5, 18)}, (5,)),
        ("flatten-counted", "Flatten from dimension 1, as writers do that count the batch", (2, 3, 3),
         {"a": flatten((2, 3, 3), start=1), "b": linear(5, 18)}, (5,)),
        ("flatten-alone", "Flatten in front of a LIF", (2, 2, 2), {"a": flatten((2, 2, 2))}, (8,)),
    ]  # fmt: skip
    thresholds = {"sumpool": 0.79, "sumpool-overlap": 1.31, "avgpool": 0.21, "avgpool-padded": 0.19}
    return [
        Case(
            name=n,
            words=w,
            group="maps",
            shape=s,
            graph=chain(s, {**nodes, "n": lif(out, at=thresholds.get(n, 0.57))}, out),
        )
        for n, w, s, nodes, out in found
    ]


def _shapes() -> list[Case]:
    """Delays, branches, the order of names and edges, nesting."""
    a, n = lif(6, at=0.47), lif(6, at=0.47)
    own = np.array([0, 2, 1, 2, 0, 3]) * DT
    skip = {"a": lif(6, at=0.47), "w": linear(6, 6), "b": lif(6), "v": linear(6, 6, seed=4), "n": lif(6)}
    two = {"w": linear(8, 6), "n": lif(8), "v": linear(4, 8, low=-2), "m": lif(4), "u": linear(3, 4)}
    names = {"z": linear(6, 6), "y": lif(6), "x": linear(6, 6, seed=4), "b": lif(6), "a": linear(3, 6, seed=5)}
    small = {"c": conv(2, 1, 3, 3, at=(8, 8), padding=1), "l": lif((2, 8, 8), at=0.97), "p": pool(nir.SumPool2d, 2, 2)}
    small |= {
        "d": conv(4, 2, 3, 3, at=(4, 4), seed=5),
        "m": lif((4, 2, 2), at=2.3),
        "f": flatten((4, 2, 2)),
        "w": linear(5, 16, seed=7),
        "n": lif(5),
    }
    shuffled = chain((6,), dict(skip), (6,), edges=(("a", "n"),))
    shuffled.edges = [shuffled.edges[k] for k in (6, 4, 2, 5, 0, 3, 1)]
    joined = chain((6,), {"a": lif(6, at=0.47), "w": linear(6, 6), "n": lif(6)}, (6,),
                   more={"p": linear(6, 6, seed=4), "q": linear(6, 6, seed=6)},
                   edges=(("a", "p"), ("p", "n"), ("input", "q"), ("q", "n")))  # fmt: skip
    noted = chain((6,), {"w": linear(8, 6, bias=True), "n": lif(8), "v": linear(3, 8)}, (3,))
    noted.metadata = {"somebody": '{"else": "wrote this"}'}
    found: list[tuple[str, str, Shape, Any]] = [
        ("delay", "Delay of 3 timesteps", (6,), chain((6,), {"a": a, "d": nir.Delay(full(6, 3 * DT)), "n": n}, (6,))),
        ("delays", "Delay, another for each element", (6,), chain((6,), {"a": a, "d": nir.Delay(own), "n": n}, (6,))),
        ("delay-zero", "Delay of nothing", (6,), chain((6,), {"a": a, "d": nir.Delay(full(6, 0)), "n": n}, (6,))),
        ("skip", "a skip over two layers: edges into one node are summed", (6,),
         chain((6,), dict(skip), (6,), edges=(("a", "n"),))),
        ("input-skip", "the input by two ways", (6,), chain((6,), {"w": linear(6, 6), "n": lif(6)}, (6,),
                                                           edges=(("input", "n"),))),
        ("three-ways", "three ways into one neuron", (6,), joined),
        ("two-outputs", "two ways into the output: summed", (6,),
         chain((6,), dict(two), (3,), more={"s": linear(3, 8, seed=7)}, edges=(("n", "s"), ("s", "output")))),
        ("names", "names whose order is not the graph's", (6,), chain((6,), names, (3,))),
        ("edges", "edges listed in no order", (6,), shuffled),
        ("nested", "a graph inside the graph", (6,), _nested()),
        ("metadata", "metadata that nobody knows", (6,), noted),
        ("classifier", "a small image classifier, Flatten included", (1, 8, 8), chain((1, 8, 8), small, (5,))),
    ]  # fmt: skip
    return [Case(name=k, words=w, group="shapes", shape=s, graph=g) for k, w, s, g in found]


def _nested() -> Any:
    inner = chain((6,), {"w": linear(8, 6), "n": lif(8)}, (8,))
    return chain((6,), {"g": inner, "v": linear(4, 8, seed=4), "m": lif(4)}, (4,))


def _cycles() -> list[Case]:
    """A chain of neurons whose last feeds the first through weights, a timestep late."""
    found: list[tuple[str, str, tuple[Any, ...]]] = [
        ("loop", "a LIF that feeds itself", (lif(5),)),
        ("loop-cuba", "a CubaLIF that feeds itself", (cuba(5),)),
        ("loop-if", "an IF that feeds itself", (integrating(5),)),
        ("loop-two", "a loop of two LIFs: the metadata name the edge that waits", (lif(5), lif(5))),
        ("loop-mixed", "a loop of a CubaLIF and an IF", (cuba(5), integrating(5))),
    ]
    cases = []
    for name, words, nodes in found:
        line: dict[str, Any] = {"w": linear(5, 5, low=-2)}
        for k, node in enumerate(nodes):
            line |= {f"n{k}": node} | ({f"w{k}": linear(5, 5, seed=k, low=-2)} if k < len(nodes) - 1 else {})
        last = f"n{len(nodes) - 1}"
        graph = chain((5,), line, (5,), more={"back": linear(5, 5, seed=9, low=-3)},
                      edges=((last, "back"), ("back", "n0")))  # fmt: skip
        cases.append(Case(name=name, words=words, group="cycles", shape=(5,), graph=graph, delayed=((last, "back"),)))
    line = {"w": linear(5, 5, low=-2), "n": lif(5)}
    more = {"d": nir.Delay(full(5, 2 * DT)), "back": linear(5, 5, seed=9, low=-3)}
    graph = chain((5,), line, (5,), more=more, edges=(("n", "d"), ("d", "back"), ("back", "n")))
    cases.append(Case(name="loop-delay", words="a loop through a Delay of two timesteps: nothing is left open",
                      group="cycles", shape=(5,), graph=graph))  # fmt: skip
    return cases


def _inputs() -> list[Case]:
    rng = np.random.default_rng(12)
    rough = {
        "w": nir.Affine(weight=rng.normal(0.1, 0.5, (8, 6)).astype(np.float32),
                        bias=rng.normal(0, 0.1, 8).astype(np.float32)),
        "n": lif(8, steps=3.7, at=0.43),
        "v": nir.Linear(weight=rng.normal(0, 0.5, (3, 8)).astype(np.float32)),
    }  # fmt: skip
    bias = {"w": nir.Affine(weight=full((6, 4), 0), bias=(np.arange(6) / 8 + 0.5).astype(np.float32)), "n": lif(6)}
    common: dict[str, Any] = {"group": "inputs", "shape": (6,)}
    return [
        Case(name="analogue", words="an input of fractions, as an image is", analogue=True,
             graph=chain((6,), {"w": linear(8, 6, bias=True), "n": lif(8), "v": linear(3, 8)}, (3,)), **common),
        Case(name="rough", words="weights and time constants of no short fraction", analogue=True,
             graph=chain((6,), rough, (3,)), **common),
        Case(name="long", words="100 timesteps of a slow LIF", steps=100, samples=1, graph=chain(
            (6,), {"w": linear(8, 6), "n": lif(8, steps=16, r=8, at=0.83), "v": linear(3, 8)}, (3,)), **common),
        Case(name="bias", words="a bias and nothing else: it acts from the first timestep", group="inputs", shape=(4,),
             graph=chain((4,), bias, (6,))),
    ]  # fmt: skip


def cases() -> list[Case]:
    """Every graph, in the table's order, built anew. Of images two samples of six timesteps are enough."""
    every = [*_neurons(), *_exact(), *_readouts(), *_maps(), *_shapes(), *_cycles(), *_inputs()]
    return [replace(case, samples=2, steps=6) if len(case.shape) > 1 else case for case in every]
