"""Graphs that nir itself lets through, or writes: each is refused in one line that names the node and the mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.dialects.conventions import Convention
from snnas.hw_sim.errors import InvalidFileError, SnnasError, UnsupportedError
from tests.export.nir_nets import DT, conv, cuba, full, graph_of, integrate_and_fire, lif, read


def chain(node: Any = None, *, shape: int = 4, out: int = 4, **more: Any) -> nir.NIRGraph:
    nodes = {"w": nir.Linear(weight=full((4, 4), 0.5)), "n": lif(4) if node is None else node, **more}
    return graph_of((shape,), nodes, (out,))


def wired(edges: list[tuple[str, str]], **nodes: Any) -> nir.NIRGraph:
    plain = {"w": nir.Linear(weight=full((4, 4), 0.5)), "n": lif(4), **nodes}
    return graph_of((4,), plain, (4,), [("input", "w"), ("w", "n"), ("n", "output"), *edges])


def changed(node: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(node, name, value)
    return node


def image(node: Any, out: tuple[int, ...] = (3, 6, 6)) -> nir.NIRGraph:
    return graph_of((2, 6, 6), {"c": node, "n": lif(*out)}, out)


def nested(**inner: Any) -> nir.NIRGraph:
    every = {"in": nir.Input(input_type={"input": np.array([4])}), "lif": lif(4), **inner}
    graph = nir.NIRGraph(nodes=every, edges=[("in", "lif")], type_check=False)
    return chain(sub=graph)


KERNEL, BLUR = full((3, 2, 3, 3), 0.25), full((8, 8, 3, 3), 0.1)
SAME = {"padding": "same"}
NAN = np.array([1, np.nan, 1, 1], np.float32)

INVALID: dict[str, tuple[Callable[[], nir.NIRGraph], str]] = {
    "a NaN weight": (lambda: chain(changed(lif(4), r=NAN)), "node n: r holds NaN or infinity; every parameter must be"),
    "an infinite weight": (
        lambda: image(conv(KERNEL * np.float32(np.inf), padding=1)),
        "node c: weight holds NaN or infinity",
    ),
    "a negative tau": (lambda: chain(lif(4, tau=-2)), "node n: tau -0.0002 s; a time constant must be > 0"),
    "a tau of zero": (lambda: chain(lif(4, tau=0)), "node n: tau 0 s; a time constant must be > 0"),
    "a tau below a timestep": (
        lambda: chain(cuba(4, syn=0.5)),
        "node n: tau_syn 5e-05 s is below a timestep of 0.0001 s; give the dt and the decay",
    ),
    "a bias of the wrong length": (
        lambda: chain(a=nir.Affine(weight=full((4, 4), 1), bias=full((3,), 1))),
        r"node a: bias \(3,\); expected \(4,\), one per output",
    ),
    "a convolution's bias": (
        lambda: image(conv(KERNEL, bias=full((2,), 0), padding=1)),
        r"node c: bias \(2,\); expected \(3,\)",
    ),
    "groups that do not divide": (lambda: image(conv(KERNEL, groups=2)), "node c: 2 groups do not divide 3 output"),
    "groups that do not fit": (
        lambda: image(conv(KERNEL, groups=3, padding=1)),
        "node c: weight .* in 3 groups does not fit 2 channels; correct",
    ),
    "a weight of wrong rank": (
        lambda: image(changed(conv(KERNEL), weight=KERNEL[0])),
        r"node c: weight \(2, 3, 3\); expected \(O, I/groups, kH, kW\)",
    ),
    "padding of another word": (
        lambda: image(changed(conv(KERNEL), padding="full")),
        "node c: padding 'full'; expected numbers",
    ),
    "same with a stride": (
        lambda: image(conv(KERNEL, stride=2, **SAME)),
        r"node c: padding 'same' with stride \(2, 2\); torch has none",
    ),
    "a window that does not fit": (
        lambda: image(conv(full((3, 2, 7, 7), 1))),
        r"node c: a \(7, 7\) window does not fit an input of \(2, 6, 6\); make it smaller",
    ),
    "shapes that differ along an edge": (
        lambda: chain(lif(5)),
        r"edge w -> n carries \(4,\), expected \(5,\); correct the shape",
    ),
    "a Linear on an image": (
        lambda: image(nir.Linear(weight=full((5, 72), 1)), (5,)),
        r"node c: weight \(5, 72\) does not fit an input of \(2, 6, 6\); put a Flatten node before it",
    ),
    "parameters of two shapes": (
        lambda: chain(changed(lif(4), v_threshold=full((3,), 1))),
        "node n: its parameters do not have one shape: .*v_threshold",
    ),
    "a batch axis": (
        lambda: graph_of((4, 2, 6, 6), {"c": conv(KERNEL, padding=1), "n": lif(3, 6, 6)}, (3, 6, 6)),
        r"node input has shape \(4, 2, 6, 6\).*leave the batch axis out",
    ),
    "a stateless loop": (
        lambda: wired([("w", "v"), ("v", "w")], v=nir.Linear(weight=full((4, 4), 1))),
        "the cycle through v, w holds no spiking neuron; put one into it",
    ),
    "a loop whose late edge is not named": (
        lambda: wired([("n", "v"), ("v", "n")], v=nir.Linear(weight=full((4, 4), 1))),
        "a cycle through n, v does not say which edge waits a timestep; name it with --delayed",
    ),
    "an edge listed twice": (lambda: wired([("w", "n")]), "edge w -> n: an edge is listed twice; list it once"),
    "an edge to nowhere": (lambda: wired([("n", "x")]), "edge n -> x: there is no node x; add the node or remove"),
    "an edge into the input": (lambda: wired([("n", "input")]), "edge n -> input leads into an Input"),
    "a node that nothing reads": (lambda: wired([("w", "m")], m=lif(4)), "nothing reads node m; connect it or remove"),
    "a node that nothing feeds": (lambda: wired([("m", "n")], m=lif(4)), "node m has no input; connect it or remove"),
    "an island": (
        lambda: wired([("a", "b"), ("b", "a")], a=lif(4), b=lif(4)),
        "no way leads from the input input to node a; connect it or remove it",
    ),
    "a dead end": (
        lambda: wired([("w", "a"), ("a", "b"), ("b", "a")], a=lif(4), b=lif(4)),
        "no way leads from node a to the output output; connect it or remove it",
    ),
    "an input that nir added": (
        lambda: wired([("input_m", "m"), ("m", "n")], m=lif(4), input_m=nir.Input(input_type={"input": np.array([4])})),
        "2 Input nodes; input_m was added because nothing feeds m: connect m, or remove it",
    ),
    "an output that nir added": (
        lambda: wired([("w", "m"), ("m", "output_m")], m=lif(4), output_m=nir.Output({"output": np.array([4])})),
        "2 Output nodes; output_m was added because nothing reads m: connect m, or remove it",
    ),
    "two outputs": (
        lambda: wired([("n", "second")], second=nir.Output({"output": np.array([4])})),
        r"2 Output nodes \(output, second\); expected exactly one: join them into one",
    ),
    "no output": (
        lambda: nir.NIRGraph(
            nodes={"input": nir.Input({"input": np.array([4])}), "n": lif(4)}, edges=[("input", "n")], type_check=False
        ),
        "0 Output nodes; expected exactly one: add an Output node and an edge",
    ),
    "a scale of another shape": (
        lambda: chain(s=nir.Scale(scale=full((3,), 2))),
        r"node s: scale \(3,\) does not fit an input of \(4,\); give both the same shape",
    ),
    "a subgraph without an output": (nested, "the nested graph sub has 0 Output nodes; exactly one is taken"),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_broken_graph_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, match = INVALID[name]
    with pytest.raises(InvalidFileError, match=match) as caught:
        read(tmp_path, make())
    assert "\n" not in str(caught.value)


UNSUPPORTED: dict[str, tuple[Callable[[], nir.NIRGraph], dict[str, Any], str]] = {
    "a soft reset": (
        chain,
        {"convention": Convention(reset="subtract")},
        "node n: a soft reset .* has no counterpart in Loihi's LIF, which resets to zero; fine-tune the network with",
    ),
    "a reset to elsewhere": (
        lambda: chain(lif(4, v_reset=full((4,), 0.25))),
        {},
        "node n: resets to 0.25; Loihi's LIF resets to zero: where the membrane also starts there, subtract it",
    ),
    "a threshold of zero": (lambda: chain(lif(4, threshold=0)), {}, "node n: threshold 0; a neuron of Loihi needs one"),
    "too many taus of its own": (
        lambda: graph_of(
            (4,),
            {
                "w": nir.Linear(weight=full((70, 4), 0.5)),
                "n": changed(lif(70), tau=np.linspace(2, 4, 70, dtype=np.float32) * np.float32(DT)),
            },
            (70,),
        ),
        {},
        "node n: 70 different values of tau; a population leaks alike, and at most 64 populations are made of one node",
    ),
    "an integrator inside": (
        lambda: graph_of((4,), {"i": nir.I(r=full((4,), 1)), "n": lif(4)}, (4,)),
        {},
        "node i: I does not spike, and what it holds cannot travel on to n; let it end the graph",
    ),
    "a bias that waits": (
        lambda: wired([("n", "v"), ("v", "n")], v=nir.Affine(weight=full((4, 4), 0.5), bias=full((4,), 1))),
        {"delayed": frozenset({("v", "n")})},
        "edge v -> n: a bias would have to wait with the spikes",
    ),
    "a bias before a Delay": (
        lambda: graph_of(
            (4,),
            {
                "a": nir.Affine(weight=full((4, 4), 0.5), bias=full((4,), 1)),
                "d": nir.Delay(delay=full((4,), DT)),
                "n": lif(4),
            },
            (4,),
        ),
        {},
        "node d: a bias would have to wait with the spikes, and come at no first timestep; let the spikes",
    ),
    "an input to read": (
        lambda: wired([("w", "output")]),
        {},
        "node output: the input input reaches the output without a neuron",
    ),
    "a current with memory in a long loop": (
        lambda: graph_of(
            (4,),
            {"a": cuba(4), "b": integrate_and_fire(4)},
            (4,),
            [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
        ),
        {"delayed": frozenset({("b", "a")})},
        r"population a: its current decays by itself \(CubaLIF\).*make it a LIF, or the loops self-loops",
    ),
    "a matrix that is too large": (
        lambda: graph_of(
            (8, 32, 32),
            {
                "c": conv(BLUR, padding=1),
                "s": nir.Scale(np.linspace(1, 2, 8192).reshape(8, 32, 32)),
                "d": conv(BLUR, padding=1),
                "n": lif(8, 32, 32),
            },
            (8, 32, 32),
        ),
        {},
        "node d: c, s, d make one matrix of 8192 x 8192, over .* put a neuron between them",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_no_chip_can_do_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, options, match = UNSUPPORTED[name]
    graph = read(tmp_path, make(), **options)
    with pytest.raises(UnsupportedError, match=match) as caught:
        compile_graph(graph, timesteps=4, input_kind="spikes")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("node", "match"),
    [
        (nir.Delay(delay=full((4,), 1.5 * DT)), "node n: delays of 1.5..1.5 timesteps of 0.0001 s; whole numbers are"),
        (nir.Delay(delay=full((4,), -DT)), "node n: delays of -1..-1 timesteps of 0.0001 s; whole numbers are"),
    ],
)
def test_a_node_of_no_counterpart_is_named_as_it_is_read(node: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(SnnasError, match=match) as caught:
        read(tmp_path, chain(node))
    assert caught.value.exit_code == 4
