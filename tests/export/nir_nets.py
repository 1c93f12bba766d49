"""Small foreign graphs, written with nir itself: what other tools would hand us."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nir
import numpy as np

from snnas.export.formats.nir_file import read_nir
from snnas.export.graph.graph import Graph

DT = 1e-4


def dyadic(rng: np.random.Generator, *shape: int, step: float = 0.125, low: int = -6, high: int = 9) -> np.ndarray:
    """Random float32 multiples of ``step``: sums of them are exact, and int8 holds them."""
    return (rng.integers(low, high, shape) * step).astype(np.float32)


def full(shape: tuple[int, ...], value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def lif(
    *shape: int, tau: float = 2, threshold: float = 0.97, r: float = 1.0, leak: float = 0.0, **more: Any
) -> nir.LIF:
    """tau in timesteps."""
    return nir.LIF(
        tau=full(shape, tau * DT),
        r=full(shape, r),
        v_leak=full(shape, leak),
        v_threshold=full(shape, threshold),
        **more,
    )


def integrate_and_fire(*shape: int, threshold: float = 1.3) -> nir.IF:
    return nir.IF(r=full(shape, 1 / DT), v_threshold=full(shape, threshold))


def cuba(*shape: int, syn: float = 4, mem: float = 2, threshold: float = 0.97, leak: float = 0.0) -> nir.CubaLIF:
    """Of unit gain."""
    return nir.CubaLIF(
        tau_syn=full(shape, syn * DT),
        tau_mem=full(shape, mem * DT),
        r=full(shape, mem),
        v_leak=full(shape, leak),
        w_in=full(shape, syn),
        v_threshold=full(shape, threshold),
    )


def conv(weight: np.ndarray, *, bias: np.ndarray | None = None, **geometry: Any) -> nir.Conv2d:
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    plain = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "input_shape": (8, 8)}  # nobody may rely on it
    return nir.Conv2d(weight=weight, bias=bias, **{**plain, **geometry})


def graph_of(
    shape: tuple[int, ...], nodes: dict[str, Any], out: tuple[int, ...], edges: list[tuple[str, str]] | None = None
) -> nir.NIRGraph:
    """A chain input -> nodes -> output, or what ``edges`` say; no check of nir's own."""
    names = ["input", *nodes, "output"]
    every = {
        "input": nir.Input(input_type={"input": np.array(shape)}),
        **nodes,
        "output": nir.Output(output_type={"output": np.array(out)}),
    }
    chain = list(itertools.pairwise(names))
    return nir.NIRGraph(nodes=every, edges=chain if edges is None else edges, type_check=False)


def written(folder: Path, graph: nir.NIRGraph) -> Path:
    path = folder / "foreign.nir"
    nir.write(path, graph)
    return path


def read(folder: Path, graph: nir.NIRGraph, **options: Any) -> Graph:
    return read_nir(written(folder, graph), **options)
