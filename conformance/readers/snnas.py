"""snnas: its NumPy interpreter, through its own reader of .nir files. The one import of snnas in this folder."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np

from conformance.conventions import BASE, CONVENTIONS, DT
from conformance.graphs import KEY
from snnas.export.dialects.conventions import Convention
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import graph_of
from snnas.export.graph.graph import Threshold
from snnas.toolchain.bench.foreign.road import tree_of

VERSIONS = ("nir",)  # its own changes with every release


def read(path: str, x: np.ndarray, convention: str = BASE) -> dict[str, np.ndarray]:
    """What the graph means under one of our conventions; a cycle's waiting edge comes from the metadata."""
    raw = nir.read(path, type_check=False)
    kept = raw.metadata.get(KEY)
    waiting = json.loads(kept if isinstance(kept, str) else kept.decode())["delayed"] if kept is not None else []
    leaky = any(hasattr(node, "tau") or hasattr(node, "tau_mem") for node in raw.nodes.values())
    at = CONVENTIONS[convention]
    if at.start != "zero":
        raise ValueError(
            f"{convention}: the interpreter's membranes begin at 0; `snnas whose` knows other tools' starts"
        )
    asked = Convention(
        # a float32 tau of two timesteps is exactly two of float32's dt; an IF's r is the reciprocal of the plain one
        dt=float(np.float32(DT)) if leaky else DT,
        compare=at.compare, reset=at.reset, decay=at.decay, current=at.current,  # type: ignore[arg-type]
    )  # fmt: skip
    delayed = frozenset((s, d) for s, d in waiting)
    graph = graph_of(tree_of(Path(path)), Path(path), delayed=delayed, convention=asked)
    run = interpreter.run(graph, x.reshape(*x.shape[:2], *graph.shapes()[graph.input]), x.shape[1], membranes=True)
    found = {"output": run.output}
    found |= {f"spikes/{n}": s for n, s in run.spikes.items()}
    thresholds = graph.of_type(Threshold)  # which have no membrane
    return found | {f"membrane/{n}": v for n, v in run.membranes.items() if n not in thresholds}
