"""The one lossy step: what it must keep exactly, and how far off the rest may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnas.export.compiler.circuit import Circuit, Group, Link
from snnas.export.compiler.grids import exact_scale
from snnas.export.compiler.quantise import quantise
from snnas.export.compiler.ranges import input_bounds
from snnas.export.compiler.readout import RealReading, RealReadout
from snnas.export.compiler.schedule import schedule
from snnas.export.dialects.conventions import deployed_threshold
from snnas.hw_sim import limits
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import INPUT, LinearMap, Program
from snnas.hw_sim.simulate.simulator import simulate


def dense(
    weights: np.ndarray, *, threshold: float = 1.0, bias: np.ndarray | None = None, kind: str = "spikes"
) -> Circuit:
    """One population behind the input, read out as it is."""
    out, inputs = weights.shape
    link = Link(id="w", src=INPUT, dst="p", map=LinearMap(kind="dense", weight=weights))
    shape = (out, 1, 1)
    return Circuit(
        groups=(
            Group(
                id="p",
                shape=shape,
                alpha=0.75,
                threshold=threshold / 0.75,
                bias=(np.zeros(out) if bias is None else bias).reshape(shape),
            ),
        ),
        links=(link,) if kind == "spikes" else (),
        host=(link,) if kind == "analogue" else (),
        input_shape=(inputs, 1, 1),
        input_kind=kind,  # type: ignore[arg-type]
        readout=RealReadout(
            readings=(RealReading(src="p", weight=np.eye(out)),), constant=np.zeros(out), membrane=None, read="sum"
        ),
        node_of={"p": "p"},
    )


def program_of(circuit: Circuit) -> Program:
    return quantise(schedule(circuit), timesteps=4)


weights = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(st.floats(-3, 3, width=32), min_size=n, max_size=n), min_size=1, max_size=5)
)


@settings(max_examples=150, derandomize=True)
@given(weights, st.integers(0, 1000))
def test_weights_are_within_half_a_step_and_no_register_overflows(rows: list[list[float]], seed: int) -> None:
    real = np.array(rows)
    program = program_of(dense(real))
    p, (s,) = program.populations[0], program.synapses
    step = (1 << s.exponent) / p.scale
    assert np.abs(s.map.weight * step - real).max() <= step / 2 + 1e-9
    if exact_scale([real], 1 / 0.75, 0.75, p.scale * (1 + 1e-9)) != (p.scale, p.vth):
        assert (p.vth << 6) + 33 == pytest.approx(64 * p.scale / 0.75, rel=1e-12)  # met exactly, not rounded
    else:
        assert s.map.weight * step == pytest.approx(real, rel=1e-5)
        assert abs(p.vth - p.scale / 0.75) <= 1
    low, high = input_bounds(p, [(s, program.input_shape)], [], program.input_shape, (0.0, 1.0))
    assert max(high.max(), -low.min()) <= limits.CURRENT_MAX
    spikes = np.random.default_rng(seed).random((3, 4, *program.input_shape)) < 0.5
    simulate(program, spikes_in=spikes)


def test_a_current_that_meets_the_threshold_exactly_fires() -> None:
    # v = .75 * x >= 1 for x = 4/3: one spike of weight 4/3 is enough, one of weight 1.3 is not.
    program = program_of(dense(np.array([[4 / 3], [1.3]]), threshold=float(deployed_threshold(1.0))))
    trace = simulate(program, spikes_in=np.ones((1, 4, 1, 1, 1), dtype=bool))
    assert trace.spikes["p"][0, 0, 0, 0, 0]
    assert not trace.spikes["p"][0, 0, 1, 0, 0]


def test_a_current_that_meets_a_strict_threshold_does_not_fire_where_no_weight_is_rounded() -> None:
    program = program_of(dense(np.array([[4 / 3], [1.375], [0.125]]) * 0.75, threshold=0.75))
    trace = simulate(program, spikes_in=np.ones((1, 4, 1, 1, 1), dtype=bool))
    assert trace.spikes["p"][0, 0].ravel().tolist() == [False, True, False]


def test_scales_use_the_registers_well() -> None:
    program = program_of(dense(np.random.default_rng(0).normal(size=(20, 40)) * 0.2))
    p, (s,) = program.populations[0], program.synapses
    assert np.abs(s.map.weight).max() >= 64  # seven bits of the largest weight, at least
    low, high = input_bounds(p, [(s, program.input_shape)], [], program.input_shape, (0.0, 1.0))
    assert max(high.max(), -low.min()) > limits.CURRENT_MAX / 3


def test_a_bias_out_of_reach_shrinks_the_scale_and_fits() -> None:
    program = program_of(dense(np.array([[0.5]]), bias=np.array([200.0])))
    p = program.populations[0]
    assert int(p.bias[0, 0, 0]) << p.bias_exponent == pytest.approx(200 * 64 * p.scale, rel=1e-3)


def test_currents_that_no_scale_can_hold_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="population p: its currents are too large"):
        program_of(dense(np.full((1, 1), 1e6)))


def test_an_analogue_input_is_bounded_by_its_range() -> None:
    circuit = dense(np.full((1, 1), 8.0), kind="analogue")
    narrow = quantise(schedule(circuit), timesteps=4, input_range=(0.0, 1.0))
    wide = quantise(schedule(circuit), timesteps=4, input_range=(-255.0, 255.0))
    assert wide.populations[0].scale < narrow.populations[0].scale / 100
