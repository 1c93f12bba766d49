"""The text dumps, against golden files small enough to be followed by hand.

``pytest tests/export/formats/test_dump.py --update-golden`` writes them anew; the diff is for a person to read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.fold import fold
from snnas.export.executors import interpreter
from snnas.export.formats.dump import COLUMNS, dump, dump_graph
from snnas.hw_sim.program import Program
from snnas.hw_sim.simulate.simulator import simulate_input
from tests.programs import random_program

GOLDEN = Path(__file__).parents[2] / "golden"
TIMESTEPS = 4
IMAGE = np.array([[[[1.0, 0.75], [0.25, 0.0]]]], np.float32)
Layers = list[dict[str, Any]]

# A cross that looks at the pixel itself (weight 2) and its four neighbours (weight 1).
CROSS = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]], np.float32)


def layer(name: str, op: str, *inputs: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "inputs": list(inputs), **values}


def conv(name: str, source: str, weight: Any) -> dict[str, Any]:
    """A square, odd kernel, padded so that the size stays."""
    w = np.asarray(weight, np.float32)
    pad = w.shape[-1] // 2
    return layer(name, "conv", source, weight=w, bias=None, stride=(1, 1), pad=(pad, pad))


def bn(name: str, source: str, gamma: list[float], beta: list[float]) -> dict[str, Any]:
    """Statistics 0 and 1, so that it is gamma x + beta."""
    zero, one = np.zeros(len(gamma), np.float32), np.ones(len(gamma), np.float32)
    arrays = {"gamma": np.array(gamma, np.float32), "beta": np.array(beta, np.float32), "mean": zero, "var": one}
    return layer(name, "bn", source, **arrays, eps=0.0)


def lif(name: str, *inputs: str) -> dict[str, Any]:
    """tau = 2: v goes half of the way to its input."""
    return layer(name, "lif", *inputs, tau=2.0, threshold=1.0, decay_input=True, reset="zero")


def stem() -> Layers:
    """Two channels: the image three times and its complement, 3.5 - 4 x."""
    return [
        layer("input", "input", shape=(1, 2, 2), kind="analogue", range=(0.0, 1.0)),
        conv("stem", "input", [[[[3]]], [[[-4]]]]),
        bn("stem_bn", "stem", [1, 1], [0, 3.5]),
    ]


def head(source: str) -> Layers:
    """An OR over each channel, then two votes for each of two classes."""
    weight = np.array([[1, 0], [3, 0], [0, 2], [0, 4]], np.float32)
    return [
        layer("pool", "maxpool", source, kernel=(2, 2), stride=(2, 2), pad=(0, 0)),
        layer("last", "linear", "pool", weight=weight, bias=None),
        layer("vote", "vote", "last", group=2),
        layer("output", "output", "vote"),
    ]


def chain() -> Layers:
    """stem -> a -> conv -> b -> max-pool."""
    mixed = np.stack([np.stack([CROSS, 0 * CROSS]), np.stack([-CROSS, 2 * CROSS])])
    return [
        *stem(),
        lif("a", "stem_bn"),
        conv("ab", "a", mixed),
        bn("ab_bn", "ab", [0.5, 1], [0, 0.25]),
        lif("b", "ab_bn"),
        *head("b"),
    ]


def skip() -> Layers:
    """Node 0 is added to node 1 and both to node 2, so stem and a feed b and c directly; a needs a relay to c."""
    return [
        *stem(),
        lif("a", "stem_bn"),
        conv("ab", "a", [[[[1]], [[0]]], [[[0.5]], [[-1]]]]),
        lif("b", "ab", "stem_bn"),
        conv("bc", "b", [[[[0]], [[2]]], [[[1]], [[0]]]]),
        lif("c", "bc", "ab", "stem_bn"),
        *head("c"),
    ]


def recurrent() -> Layers:
    """a -> b -> c, and back from the last timestep: c acts on a through a convolution, b excites itself."""
    return [
        *stem(),
        layer("b_late", "delay", "b"),
        layer("c_late", "delay", "c"),
        conv("ca", "c_late", [[[[-2]], [[0.5]]], [[[0]], [[-1]]]]),
        lif("a", "stem_bn", "ca"),
        conv("ab", "a", [[[[3]], [[0]]], [[[1]], [[3]]]]),
        lif("b", "ab", "b_late"),
        conv("bc", "b", [[[[2]], [[1]]], [[[-1]], [[4]]]]),
        bn("bc_bn", "bc", [1, 1], [0.5, 0]),
        lif("c", "bc_bn"),
        *head("c"),
    ]


NETS = {"chain": chain, "skip": skip, "recurrent": recurrent}


def compiled(name: str) -> tuple[str, Program]:
    """The golden text of a net, and its program."""
    graph = fold(NETS[name]())
    program = compile_graph(graph, timesteps=TIMESTEPS)
    trace, currents = next(simulate_input(program, IMAGE))
    lines = ["", "the image 1 .75 | .25 0, at every timestep; rows of channels are apart by /", ""]
    for place, current in currents.items():
        lines.append(
            f"host current into {place}: {' / '.join(' '.join(str(v) for v in c.flat) for c in current[0, 0])}"
        )
    for p in program.in_order:
        for t, fired in enumerate(trace.spikes[p.id][0]):
            row = " / ".join(" ".join(str(int(s)) for s in channel.flat) for channel in fired)
            lines.append(f"{p.id if t == 0 else '':<10} t={t}  {row}")
    lines.append(f"readout {' '.join(str(v) for v in trace.logits[0])}, class {trace.predictions[0]}")
    return dump_graph(graph) + "\n" + dump(program) + "\n".join(lines) + "\n", program


@pytest.mark.parametrize("name", NETS)
def test_a_dump_is_the_golden_one(name: str, update_golden: bool) -> None:
    text, _ = compiled(name)
    path = GOLDEN / f"{name}.txt"
    if update_golden:
        path.write_text(text)
    assert path.read_text() == text, f"{path.name} differs; if that is meant: pytest --update-golden, and read the diff"


@pytest.mark.parametrize("name", NETS)
def test_the_golden_nets_spike_alike_in_program_and_graph(name: str) -> None:
    """Small whole weights lose nothing in int8, so what the golden file shows is what the network means."""
    _, program = compiled(name)
    run = interpreter.run(fold(NETS[name]()), IMAGE, TIMESTEPS)
    trace, _ = next(simulate_input(program, IMAGE))
    for population, node in program.meta["node_of"].items():
        assert (trace.spikes[population] == run.spikes[node].reshape(trace.spikes[population].shape)).all(), population
    fired = [spikes.any() and not spikes.all() for spikes in trace.spikes.values()]
    assert sum(fired) >= 2, "a golden net whose neurons do nothing shows nothing"


@pytest.mark.parametrize("name", NETS)
def test_the_timetable_is_the_schedule(name: str) -> None:
    text, program = compiled(name)
    table = text.split("\nstep ")[1].split("\n\n")[0].splitlines()
    depth, period = program.schedule.depth, program.schedule.period
    columns = {int(k): table[0].index(k, len(table[0]) - len(table[0].lstrip())) for k in table[0].split()}
    assert len(table) == len(program.populations) + 1
    for row in table[1:]:
        name_ = row.split()[0]
        for t in range(program.timesteps):
            step = t * period + depth[name_]
            assert row[columns[step] + len("step ") + len(str(step)) - 1] == str(t), (name_, t)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("back", [(), ((2, 1), (3, 3))])
@pytest.mark.parametrize("kind", ["analogue", "spikes"])
def test_any_program_has_a_dump_that_names_all_its_parts(seed: int, back: Any, kind: Any) -> None:
    program = random_program(seed, back=back, kind=kind)
    text = dump(program)
    assert text == dump(program)
    assert max(map(len, text.splitlines())) <= COLUMNS
    for p in program.populations:
        assert f"\n{p.id}: {p.role} " in text
        assert f"\n{p.id} " in text.split("\nstep ")[1]
    assert text.count("  <- ") == len(program.synapses) + len(program.host)
