"""The period of whole graphs: what waits in a feed-forward graph costs relays, not hardware steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.compiler.compile import compile_graph
from snnas.export.executors import interpreter
from snnas.hw_sim.simulate.simulator import simulate_input
from tests.export.nir_nets import DT, cuba, dyadic, full, graph_of, lif, read

STEPS, WIDTH = 12, 8


def delayed_chain(last: Any) -> nir.NIRGraph:
    """Three LIF layers, a Delay of one timestep, and a last layer."""
    rng = np.random.default_rng(3)
    nodes: dict[str, Any] = {}
    for k in range(3):
        nodes |= {f"w{k}": nir.Linear(weight=dyadic(rng, WIDTH, WIDTH, low=-3)), f"n{k}": lif(WIDTH)}
    nodes |= {"late": nir.Delay(delay=full((WIDTH,), DT)), "w": nir.Linear(weight=dyadic(rng, WIDTH, WIDTH, low=-3))}
    return graph_of((WIDTH,), {**nodes, "last": last}, (WIDTH,))


@pytest.mark.parametrize("last", [lif(WIDTH), cuba(WIDTH)], ids=["lif", "cuba"])
def test_a_delay_behind_three_layers_costs_no_second_hardware_step(last: Any, tmp_path: Path) -> None:
    """It had a period of 3, twice the energy and latency, and behind it a CubaLIF was refused for loops."""
    graph = read(tmp_path, delayed_chain(last))
    x = (np.random.default_rng(4).random((6, STEPS, WIDTH, 1, 1)) < 0.4).astype(np.float32)
    run = interpreter.run(graph, x, STEPS)
    program = compile_graph(graph, timesteps=STEPS, input_kind="spikes", input_range=(0.0, 1.0), spikes=run.spikes)
    assert program.schedule.period == 1
    [(trace, _)] = list(simulate_input(program, x))
    fired = {program.meta["node_of"][name]: s for name, s in trace.spikes.items() if name in program.meta["node_of"]}
    for name in ("n0", "n1", "n2"):
        assert np.array_equal(fired[name].reshape(run.spikes[name].shape), run.spikes[name]), name
    differing = fired["last"].reshape(run.spikes["last"].shape) != run.spikes["last"]
    assert all(s.any() for s in run.spikes.values())
    assert differing.mean() < (0.02 if isinstance(last, nir.CubaLIF) else 1e-9)
