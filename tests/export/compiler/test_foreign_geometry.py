"""Convolutions of any stride, padding, dilation and groups: graph, file and program against torch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snnas.export.compiler.compile import compile_graph
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import read_nir, write_nir
from snnas.hw_sim.simulate.simulator import simulate
from tests.export.nir_nets import conv, dyadic, graph_of, integrate_and_fire, written

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
padding = st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.sampled_from(["same", "valid"]))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=40, derandomize=True)
@given(kernel=pair, stride=pair, dilation=pair, pad=padding, groups=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99))
def test_any_convolution(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], pad: Any, groups: int, seed: int
) -> None:
    import torch
    import torch.nn.functional as F

    if pad == "same":
        stride = (1, 1)
    rng = np.random.default_rng(seed)
    shape = (4, 6, 7)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sides = (0, 0) if isinstance(pad, str) else pad
    assume(pad == "same" or all(r <= n + 2 * p for r, n, p in zip(reach, shape[1:], sides, strict=True)))
    weight, bias = dyadic(rng, 4, 4 // groups, *kernel), dyadic(rng, 4)
    x = (rng.random((2, 3, *shape)) < 0.4).astype(np.float32)
    images, w, b = (torch.from_numpy(a) for a in (x.reshape(6, *shape), weight, bias))
    current = F.conv2d(images, w, b, stride, pad, dilation, groups).numpy()
    current = current.reshape(2, 3, *current.shape[1:])
    node = conv(weight, bias=bias, stride=stride, padding=pad, dilation=dilation, groups=groups)
    neurons = integrate_and_fire(*current.shape[2:], threshold=0.7)
    with tempfile.TemporaryDirectory() as place:
        path = written(Path(place), graph_of(shape, {"c": node, "n": neurons}, current.shape[2:]))
        graph = read_nir(path)
        write_nir(path, graph)
        again = read_nir(path, use_metadata=False)
    v, expected = np.zeros(current[:, 0].shape), np.zeros(current.shape, dtype=bool)
    for t in range(3):
        v = v + current[:, t]
        expected[:, t] = v > np.float32(0.7)
        v[expected[:, t]] = 0
    for each in (graph, again):
        assert np.array_equal(interpreter.run(each, x, 3).spikes["n"], expected)
        trace = simulate(compile_graph(each, timesteps=3, input_kind="spikes"), spikes_in=x > 0)
        assert np.array_equal(trace.spikes["n"], expected)
