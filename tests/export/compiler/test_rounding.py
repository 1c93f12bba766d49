"""Rounding with error feedback: what a neuron feels on calibration spikes is nearer than with plain rounding."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler import rounding
from snnas.export.compiler.rounding import BLOCK, CLIPS, DAMPING, formerly_plain, round_readout, round_weights
from snnas.hw_sim.entries import Entries
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import LinearMap, Pool


def correlated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Spikes that come in groups, as a layer's do."""
    common = rng.random((*shape[:2], 1, *shape[3:])) < 0.3
    return (rng.random(shape) < 0.1) | (common & (rng.random(shape) < 0.7))


def felt(linear: LinearMap, integers: np.ndarray, step: float, spikes: np.ndarray) -> float:
    """Mean squared error in current."""
    x = spikes.reshape(-1, *spikes.shape[2:])
    error = LinearMap(kind=linear.kind, weight=integers * step - linear.weight, pad=linear.pad, pre=linear.pre)
    return float(np.square(apply(error, x, error.out_shape(spikes.shape[2:]))).mean())  # type: ignore[arg-type]


@settings(max_examples=20, derandomize=True)
@given(st.sampled_from(["conv", "dense", "pooled_conv"]), st.integers(0, 1000))
def test_the_current_is_kept_better_than_by_plain_rounding(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    spikes = correlated(rng, (24, 4, 6, 6, 6))
    step = 0.05
    if kind == "dense":
        linear = LinearMap(kind="dense", weight=rng.normal(size=(5, 216)) * 0.3)
    else:
        pre = (Pool((2, 2), (1, 1)),) if kind == "pooled_conv" else ()
        linear = LinearMap(kind=kind, weight=rng.normal(size=(5, 6, 3, 3)) * 0.3, pad=(1, 1), pre=pre)  # type: ignore[arg-type]
    integers = round_weights(linear, step, spikes)
    plain = round_weights(linear, step, None)
    assert integers.shape == linear.weight.shape
    assert (integers == np.rint(integers)).all()
    assert np.abs(integers).max() <= 128
    assert (plain == np.rint(linear.weight / step)).all()
    assert felt(linear, integers, step, spikes) < felt(linear, plain, step, spikes)


@pytest.mark.parametrize("inputs", [BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_errors_are_handed_on_as_one_by_one(inputs: int) -> None:
    """Against GPTQ's sequential form, written out: the busiest input first, each error to all that are left."""
    rng = np.random.default_rng(inputs)
    spikes = correlated(rng, (40, 4, inputs, 1, 1)) & (rng.random(inputs) < np.linspace(1, 0.2, inputs))[:, None, None]
    weight, step = rng.normal(size=(7, inputs)), 0.05
    x = spikes.reshape(-1, inputs).astype(float)
    moments = x.T @ x / len(x)
    moments += DAMPING * np.diag(moments).mean() * np.eye(inputs)
    order = np.argsort(-np.diag(moments), kind="stable")
    upper = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    expected, left = np.empty_like(weight), weight[:, order] / step
    for k, at in enumerate(order):
        expected[:, at] = np.rint(left[:, k])
        left[:, k + 1 :] -= np.outer((left[:, k] - expected[:, at]) / upper[k, k], upper[k, k + 1 :])
    integers = round_weights(LinearMap(kind="dense", weight=weight), step, spikes)
    assert (integers == expected).all()
    assert (integers != np.rint(weight / step)).any()


@pytest.mark.parametrize("inputs", [54, 55])
def test_layers_of_more_inputs_are_rounded_weight_by_weight(inputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "MAX_INPUTS", 54)
    rng = np.random.default_rng(0)
    linear = LinearMap(kind="dense", weight=rng.normal(size=(5, inputs)))
    integers = round_weights(linear, 0.05, correlated(rng, (40, 4, inputs, 1, 1)))
    assert (integers == np.rint(linear.weight / 0.05)).all() == (inputs > 54)
    readout = rng.normal(size=(5, inputs))
    integers, units = round_readout(readout, rng.poisson(2.0, (60, inputs)).astype(np.float64))
    assert (integers == np.rint(readout * units)).all() == (inputs > 54)


def read(weight: object, *maps: LinearMap) -> Any:
    """What of a program says how it was rounded."""
    return SimpleNamespace(
        synapses=[SimpleNamespace(map=each) for each in maps],
        readout=SimpleNamespace(readings=[SimpleNamespace(weight=weight), SimpleNamespace(weight=np.zeros((2, 96)))]),
    )


@pytest.mark.parametrize(("inputs", "plain"), [(4096, False), (4097, True), (4608, True), (4609, False)])
def test_which_programs_older_versions_rounded_otherwise(inputs: int, plain: bool) -> None:
    narrow, few = np.zeros((2, 4), np.int8), LinearMap(kind="dense", weight=np.zeros((3, 9)))
    wide = LinearMap(kind="dense", weight=np.zeros((1, inputs)))
    deep = LinearMap(kind="conv", weight=np.zeros((1, inputs, 1, 1)))
    assert formerly_plain(read(narrow, few, wide)) == plain
    assert formerly_plain(read(narrow, deep, few)) == plain
    assert formerly_plain(read(np.zeros((2, inputs - 96), np.int8), few)) == plain
    assert not formerly_plain(read(narrow, replace(deep, groups=2)))
    one, first = np.ones(1, np.int8), np.zeros(1, np.int32)
    entries = Entries(values=one, indices=first, indptr=np.array([0, 1, 1], np.int32), columns=inputs - 96)
    assert not formerly_plain(read(entries, few))


@pytest.mark.parametrize("what", ["silent", "grouped"])
def test_without_anything_to_learn_from_it_is_plain_rounding(what: str) -> None:
    rng = np.random.default_rng(0)
    spikes = np.zeros((4, 3, 4, 5, 5), dtype=bool) if what == "silent" else rng.random((4, 3, 4, 5, 5)) < 0.5
    groups = 4 if what == "grouped" else 1
    linear = LinearMap(kind="conv", weight=rng.normal(size=(4, 4 // groups, 3, 3)), groups=groups)
    assert (round_weights(linear, 0.1, spikes) == np.rint(linear.weight / 0.1)).all()


def overfitted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A readout as few samples leave it (large weights that nearly cancel), and spike counts to round and judge by."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20 * rng.random((300, 6)) @ rng.random((6, 40))).astype(np.float64)
    return rng.normal(size=(10, 40)) ** 3, counts[:32], counts[32:]


def lost(weights: np.ndarray, integers: np.ndarray, scale: float, counts: np.ndarray) -> float:
    off = counts @ (integers / scale - weights).T
    return float(np.square(off - off.mean(axis=1, keepdims=True)).mean())


@pytest.mark.parametrize("seed", range(4))
def test_a_readouts_answers_are_kept_on_samples_that_it_was_not_rounded_by(seed: int) -> None:
    weights, seen, others = overfitted(seed)
    plain, unit = round_readout(weights, None)
    assert (plain == np.rint(weights * unit)).all()
    assert np.abs(plain).max() == 127
    integers, scale = round_readout(weights, seen)
    assert (integers == np.rint(integers)).all()
    assert -128 <= integers.min() <= integers.max() <= 127
    assert unit * CLIPS[0] - 1e-9 <= scale <= unit * CLIPS[-1]
    assert lost(weights, integers, scale, others) < lost(weights, plain, unit, others) / 4


def test_a_readouts_largest_weights_are_clipped_only_where_that_pays() -> None:
    weights, seen, _ = overfitted(0)
    even = np.random.default_rng(1).choice([-1.0, 1.0], weights.shape) * np.linspace(0.9, 1, weights.shape[1])
    _, scale = round_readout(even, seen)
    assert scale == pytest.approx(127 / np.abs(even).max())
    even[3, 7], seen[:, 7] = 2 * np.abs(even).max(), 0  # no spike of these samples feels it
    integers, scale = round_readout(even, seen)
    assert scale == pytest.approx(CLIPS[-1] * 127 / np.abs(even).max())
    assert integers[3, 7] == 127


def test_a_readout_that_never_saw_a_spike_or_saw_one_sample_is_rounded_all_the_same() -> None:
    weights, seen, _ = overfitted(0)
    plain, unit = round_readout(weights, None)
    silent, scale = round_readout(weights, np.zeros_like(seen))
    assert scale == unit
    assert (silent == plain).all()
    _, scale = round_readout(weights, seen[:1])
    assert scale == unit
