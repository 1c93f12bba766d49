"""norse: ``from_nir`` as it comes, with the graphs' timestep; ``sorted_first`` mends the order of its nodes."""

from __future__ import annotations

import warnings
from typing import Any

import norse.torch as norse
import numpy as np
from norse.torch.utils.import_nir import CubaLIF

from conformance.conventions import DT
from conformance.readers.torch_readers import graph_of, stepped

VERSIONS = ("norse", "nirtorch", "torch")


def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    return _run(graph_of(path), x, mend=False)


def sorted_first(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """With every node after all that feed it, which norse 1.1.0 does not see to by itself."""
    return _run(graph_of(path), x, mend=True)


def _run(graph: Any, x: np.ndarray, *, mend: bool) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = norse.from_nir(graph, dt=DT)
    if mend:
        nodes, done = {n.name: n for n in net.execution_order}, list[str]()
        while len(done) < len(nodes):
            ready = [n for n in nodes if n not in done and all(s in done for s, d in graph.edges if d == n)]
            done += ready or [n for n in nodes if n not in done]
        net.execution_order = [nodes[n] for n in sorted(done, key="output".__eq__)]
    kinds = (norse.LIFBoxCell, norse.IAFCell, CubaLIF)
    return stepped(net, {n: m for n, m in net.named_children() if isinstance(m, kinds)}, x)
