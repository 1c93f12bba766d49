"""The float side of an export does not depend on how many threads there are, or on what is begun ahead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snnas.hw_sim.errors import GateError

pytest.importorskip("torch")

import torch

from snnas.export.compiler.fold import fold
from snnas.export.executors import deployed as executor
from snnas.export.graph.graph import Conv, Delay
from snnas.toolchain.exporting import float_run
from snnas.toolchain.output.stderr import Narrator
from tests.networks import images, random_network

X = images(11)


def _run(network: Any, graph: Any, other: Any = None) -> Any:
    return float_run.run_floats(network, graph, other or graph, X, 3, 7, Narrator(quiet=True))


@pytest.mark.parametrize("backward", [False, True])
def test_threads_change_nothing(backward: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network("lightsnn", 3, backward=backward, channels=3, timesteps=3)
    graph = fold(net.layers())
    assert bool(graph.delayed or graph.of_type(Delay)) == backward
    monkeypatch.setattr(float_run, "CHUNK", 2)
    seen, before = [], torch.get_num_threads()
    for threads, ahead in ((1, 0), (8, 0), (8, 1 << 28)):
        monkeypatch.setattr(float_run, "AHEAD", ahead)
        torch.set_num_threads(threads)
        try:
            seen.append(_run(net, graph))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    whole = executor.run_deployed(graph, X, 3)
    for trained, nir in seen:
        assert trained.spikes == {name: int(whole[0][name].sum()) for name in trained.spikes}
        assert all(trained.spikes.values())
        assert (trained.predictions == whole[1].argmax(1)).all()
        assert (nir.predictions == trained.predictions).all()
        assert {name: fired.shape[0] for name, fired in nir.spikes.items()} == dict.fromkeys(whole[0], 7)
        assert all((fired == whole[0][name][:7]).all() for name, fired in nir.spikes.items())
        assert trained.first == seen[0][0].first


def test_the_sample_that_differs_is_named_whatever_was_begun_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network("lightsnn", 3, channels=3, timesteps=3)
    graph = fold(net.layers())
    name = next(name for name, node in graph.nodes.items() if isinstance(node, Conv))
    changed: Any = graph.nodes[name]
    other = replace(graph, nodes={**graph.nodes, name: replace(changed, weight=-changed.weight)})
    monkeypatch.setattr(float_run, "CHUNK", 2)
    monkeypatch.setattr(executor, "run_deployed", lambda g, x, t, run=executor.run_deployed: run(
        other if (x == X[6:8]).all() else g, x, t))  # fmt: skip
    with pytest.raises(GateError, match=r"differ: first at population \w+, sample [67],"):
        _run(net, graph)
