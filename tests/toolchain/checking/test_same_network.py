"""A readout that was rounded by calibration samples is told from one that is not the graph's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest

from snnas.export.compiler.circuit import trace
from snnas.export.compiler.compile import compile_graph
from snnas.export.compiler.quantisation_error import quantisation_errors
from snnas.export.compiler.readout import RealReading, RealReadout, quantise_readout
from snnas.export.compiler.schedule import schedule
from snnas.hw_sim.entries import Entries, added
from snnas.hw_sim.program import Program
from snnas.hw_sim.readout import Reading, Readout
from snnas.toolchain.checking.same_network import _beyond_rounding, _readout_off
from tests.export.nir_nets import graph_of, lif
from tests.export.nir_nets import read as read_graph
from tests.programs import reread

TIMESTEPS = 6


@pytest.fixture(scope="module")
def readouts() -> tuple[RealReadout, Readout, Readout]:
    """The graph's, as compiled without samples, and as compiled with them; one weight is clipped."""
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(10, 40))
    spikes = rng.random((32, TIMESTEPS, 40, 1, 1)) < 0.3
    weight[3, 7], spikes[:, :, 7] = 8.0, False
    real = RealReadout(
        readings=(RealReading(src="a", weight=weight),), constant=rng.normal(size=10), membrane=None, read="sum"
    )
    return real, quantise_readout(real, TIMESTEPS), quantise_readout(real, TIMESTEPS, {"a": spikes})


def test_a_readout_rounded_by_samples_is_the_graphs(readouts: tuple[RealReadout, Readout, Readout]) -> None:
    real, plain, rounded = readouts
    assert rounded.scale == pytest.approx(2 * plain.scale)
    assert not np.array_equal(plain.readings[0].weight, rounded.readings[0].weight)
    for read in (plain, rounded):
        assert _readout_off(real, plain, read, TIMESTEPS) is None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("classes", "weights are .* steps"),
        ("bias", "bias or response is .* steps"),
        ("response", "largest weight is 84.*expected 127 to 254"),
        ("scale", "bias or response is .* steps"),
        ("coarse", "largest weight is 50.* expected 127 to 254"),
        ("clipped", "weights are 137 steps"),
    ],
)
def test_what_is_not_the_graphs_is_said(fault: str, said: str, readouts: tuple[RealReadout, Readout, Readout]) -> None:
    real, plain, r = readouts
    weight = r.readings[0].weight.copy()
    if fault == "classes":
        weight = weight[::-1]
    elif fault == "clipped":
        weight[3, 7] = -10
    elif fault == "bias":
        r = replace(r, bias=r.bias + 2)
    elif fault == "response":
        r = replace(r, response=r.response * 3)
    elif fault == "scale":
        r = replace(r, scale=r.scale * 1.1)
    elif fault == "coarse":
        r, weight = replace(plain, scale=50 / 8, bias=np.rint(real.constant * 400)[None].astype(np.int64)), weight // 5
    found = _readout_off(real, plain, replace(r, readings=(replace(r.readings[0], weight=weight),)), TIMESTEPS)
    assert found is not None
    assert re.search(said, found), found


def test_weights_of_whole_steps_have_to_be_kept_as_they_are() -> None:
    weight = np.random.default_rng(0).integers(-8, 9, (4, 12)) / 8
    real = RealReadout(readings=(RealReading(src="a", weight=weight),), constant=np.zeros(4), membrane=None, read="sum")
    made = quantise_readout(real, TIMESTEPS)
    other = made.readings[0].weight.copy()
    other[0, 0] += 1
    assert _readout_off(real, made, made, TIMESTEPS) is None
    wrong = replace(made, readings=(replace(made.readings[0], weight=other),))
    assert _readout_off(real, made, wrong, TIMESTEPS) == "the readout's weights are not the graph's; export again"


def test_weights_by_their_entries_are_held_to_the_graphs() -> None:
    """Of one number each, in a diagonal: another number, and the same numbers in other places."""
    at = np.arange(5)
    diagonal = added(at, at, np.sqrt([0.31, 0.2, 0.17, 0.09, 0.4]) * [1, -1, 1, 1, 1], (5, 5))
    real = RealReadout(
        readings=(RealReading(src="a", weight=diagonal),), constant=np.zeros(5), membrane=None, read="sum"
    )
    made = quantise_readout(real, TIMESTEPS)
    (reading,) = made.readings
    assert isinstance(reading.weight, Entries)
    assert np.array_equal(reading.weight.values, np.rint(diagonal.values * 127 / np.sqrt(0.4)))
    assert _readout_off(real, made, made, TIMESTEPS) is None

    def of(weight: Entries) -> str:
        return str(_readout_off(real, made, replace(made, readings=(replace(reading, weight=weight),)), TIMESTEPS))

    moved = replace(reading.weight, indices=reading.weight.indices[::-1].copy())
    assert "join other neurons" in of(moved)
    assert "steps from the graph's" in of(replace(reading.weight, values=-reading.weight.values))


def test_a_readouts_weights_are_told_in_steps_on_either_side(readouts: tuple[RealReadout, Readout, Readout]) -> None:
    """Every weight within the range two steps off; a largest weight beyond what clipping allows; a reading too few."""
    real, plain, r = readouts
    units = real.weights * (r.scale / float(np.abs(r.response).max()))
    inside = (units > -128) & (units < 127)
    weight = np.where(inside, np.clip(r.readings[0].weight.astype(int) + 2, -128, 127), r.readings[0].weight)
    two = replace(r, readings=(replace(r.readings[0], weight=weight.astype(np.int8)),))
    assert re.search(r"weights are (1\.[89]|2)\S* steps", str(_readout_off(real, plain, two, TIMESTEPS)))
    large = replace(r, scale=2.5 * r.scale, bias=np.rint(real.still(TIMESTEPS) * 64 * 2.5 * r.scale).astype(np.int64))
    assert re.search(
        r"largest weight is \d+\.?\d* steps, expected 127 to 254", str(_readout_off(real, plain, large, TIMESTEPS))
    )
    with pytest.raises(ValueError, match="zip"):
        _readout_off(real, plain, replace(plain, readings=plain.readings * 2), TIMESTEPS)


def test_an_older_exports_numbers_are_the_graphs_on_the_whole(tmp_path: Path) -> None:
    """One number of a kind that is further off than rounding takes it."""
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(0, 1, (5, 6)).astype(np.float32), rng.normal(0, 0.3, 5).astype(np.float32)
    nodes = {
        "w": nir.Affine(weight=weight, bias=bias),
        "a": lif(5),
        "out": nir.Linear(weight=np.eye(5, dtype=np.float32)),
    }
    graph = read_graph(tmp_path, graph_of((6,), nodes, (5,)))
    program = compile_graph(graph, timesteps=4, input_kind="spikes")

    def said(p: Program) -> str:
        return str(_beyond_rounding(graph, p, program, quantisation_errors(graph, p)))

    assert said(program) == "None"
    (p,), (s, *others) = program.populations, program.synapses
    for off, word in ((3, "its threshold is +"), (-3, "its threshold is -")):
        assert word in said(replace(program, populations=(replace(p, vth=p.vth + off),)))
    assert said(replace(program, populations=(replace(p, vth=p.vth + 1),))) == "None"  # half a step, as rounding goes
    turned = replace(s, map=replace(s.map, weight=s.map.weight[::-1].copy()))
    assert "its weights are" in said(replace(program, synapses=(turned, *others)))
    assert not others
    moved = np.array(p.bias)
    moved.reshape(-1)[0] += 2
    told = said(replace(program, populations=(replace(p, bias=moved),)))
    assert re.search(r"its bias is (1\.[5-9]|2)\S* steps", told), told


def _held(units: list[float], weight: list[int], *, constant: float = 0.0, bias: int = 0) -> str | None:
    """What is said of one class's weights, in steps, and of its bias, in 64ths, at a scale of 8 and a response of 4."""
    real = RealReadout(
        readings=(RealReading(src="a", weight=np.array([units]) / 2),), constant=np.array([constant]), membrane=None,
        read="sum",
    )  # fmt: skip
    reading = Reading(src="a", weight=np.array([weight], np.int8))
    read = Readout(readings=(reading,), bias=np.array([[bias]]), scale=8.0, response=np.array([[4]]))
    plain = replace(read, readings=(replace(reading, weight=np.zeros_like(reading.weight)),))
    return _readout_off(real, plain, read, TIMESTEPS)


WEIGHTS = "the readout's weights are {} steps from the graph's; export again"
LARGEST = "the readout's largest weight is {} steps, expected 127 to 254; export again"
BIAS = "the readout's bias or response is {} steps from the graph's; export again"


@pytest.mark.parametrize(
    ("units", "weight", "said"),
    [
        ([126.99, 10.3123, -20.7654], [127, 10, -21], None),
        ([126.97, 10.3123, -20.7654], [127, 10, -21], LARGEST.format("127")),
        ([-126.97, 10.3123, -20.7654], [-127, 10, -21], LARGEST.format("127")),
        ([254.03, 10.3123, -20.7654], [127, 10, -21], None),
        ([-254.03, 10.3123, -20.7654], [-128, 10, -21], None),
        ([127 - 0.02, 10.3123, -20.7654], [127, 10, -21], None),
        ([2 * (127 + 0.02), 10.3123, -20.7654], [127, 10, -21], None),
        ([254.06, 10.3123, -20.7654], [127, 10, -21], LARGEST.format("254.1")),
        ([127.7, 10.99, -20.01], [127, 10, -21], None),  # each 0.99 off
        ([127.7, 11.01, -19.99], [127, 10, -21], WEIGHTS.format("1.01")),
        ([127.7, 13.0001, -22.0, 5.4999], [127, 10, -21, 6], WEIGHTS.format("1.85")),  # sqrt((9 + 1 + .25) / 3)
        ([127.7, 8.65, -20.8], [127, 10, -21], None),  # sqrt((1.8225 + 0.04) / 2)
        ([200.1, 10.3123, -20.7654], [121, 10, -21], None),
        ([200.1, 10.3123, -20.7654], [120, 10, -21], WEIGHTS.format("7")),
        ([-200.1, 10.3123, -20.7654], [-122, 10, -21], None),
        ([-200.1, 10.3123, -20.7654], [-121, 10, -21], WEIGHTS.format("7")),
        ([127.0, -128.0, 10.3123], [124, -125, 10], None),  # at the ends, where either may have been clipped
        ([126.99, -127.9, 10.3123], [124, -125, 10], WEIGHTS.format("2.41")),
        ([150.123, -180.456], [127, -128], None),
        ([150.123, -180.456], [119, -128], WEIGHTS.format("8")),
    ],
)
def test_a_readouts_weights_may_be_off_so_far(units: list[float], weight: list[int], said: str | None) -> None:
    assert _held(units, weight) == said


@pytest.mark.parametrize(
    ("bias", "said"), [(10, None), (11, None), (9, None), (12, BIAS.format("1.5")), (8, BIAS.format("2.5"))]
)
def test_a_readouts_bias_may_be_a_step_off(bias: int, said: str | None) -> None:
    """At 10 steps and at 10.5, of 1 / (64 times 8)."""
    constant = (10 if said is None else 10.5) / 512
    assert _held([127.7, 10.3123], [127, 10], constant=constant, bias=bias) == said


class Halves:
    """A membrane that halves each timestep, without a leak of its own."""

    def run(self, x: np.ndarray, *, leaks: bool) -> np.ndarray:
        return np.zeros_like(x) if leaks else 0.5 ** np.arange(len(x))[:, None] * np.ones_like(x)


@pytest.mark.parametrize(("last", "off"), [(1, None), (2, None), (0, None), (3, 2), (-2, 3)])
def test_a_readouts_response_may_be_a_step_off_at_any_timestep(last: int, off: int | None) -> None:
    """4, 2 and 1 for a half of what was there before."""
    units = np.array([[127.7, 10.3123]])
    real = RealReadout(
        readings=(RealReading(src="a", weight=units / 2),), constant=np.zeros(1), membrane=Halves(), read="sum"  # type: ignore[arg-type]
    )  # fmt: skip
    reading = Reading(src="a", weight=np.array([[127, 10]], np.int8))
    response = np.array([[4], [2], [last]])
    read = Readout(readings=(reading,), bias=np.zeros((3, 1), np.int64), scale=8.0, response=response)
    plain = replace(read, readings=(replace(reading, weight=np.zeros_like(reading.weight)),))
    assert _readout_off(real, plain, read, 3) == (None if off is None else BIAS.format(off))


@pytest.mark.parametrize(("off", "said"), [(1.01, False), (-1.01, False), (1.03, True), (-1.03, True)])
def test_a_threshold_may_be_a_step_off(off: float, said: bool, tmp_path: Path) -> None:
    nodes = {"w": nir.Linear(weight=np.eye(3, dtype=np.float32)), "a": lif(3)}
    graph = read_graph(tmp_path, graph_of((3,), nodes, (3,)))
    program = compile_graph(graph, timesteps=4, input_kind="spikes")
    (p,) = program.populations
    threshold = schedule(trace(graph, "spikes")).circuit.group(p.id).threshold
    (error,) = quantisation_errors(graph, program).values()
    errors = {p.id: replace(error, threshold=off / p.scale / threshold)}
    told = f"population {p.id}: its threshold is {off:+.3g} steps from the graph's; export again"
    assert _beyond_rounding(graph, program, program, errors) == (told if said else None)
    assert _beyond_rounding(graph, program, program, {}) is None


def test_equal_weights_need_an_equal_bias_and_response(readouts: tuple[RealReadout, Readout, Readout]) -> None:
    real, plain, _ = readouts
    said = "the readout's bias or response is not the graph's; export again"
    assert _readout_off(real, plain, plain, TIMESTEPS) is None
    assert _readout_off(real, plain, replace(plain, bias=plain.bias + 1), TIMESTEPS) == said
    assert _readout_off(real, plain, replace(plain, response=plain.response + 1), TIMESTEPS) == said


def test_an_older_exports_host_and_its_steps_are_the_graphs(tmp_path: Path) -> None:
    """Of a network behind the host, one behind spikes: a map's gain and weights; the RMS of a synapse's steps."""
    rng = np.random.default_rng(4)
    nodes = {
        "w": nir.Linear(weight=rng.normal(0, 1, (5, 6)).astype(np.float32)),
        "a": lif(5),
        "x": nir.Linear(weight=rng.normal(0, 1, (4, 5)).astype(np.float32)),
        "b": lif(4),
        "out": nir.Linear(weight=np.eye(4, dtype=np.float32)),
    }
    graph = read_graph(tmp_path, graph_of((6,), nodes, (4,)))
    program = compile_graph(graph, timesteps=4, input_kind="analogue")
    (h,), (s,) = program.host, program.synapses

    def said(p: Program) -> str:
        return str(_beyond_rounding(graph, p, program, quantisation_errors(graph, p)))

    for named in (program, reread(program, tmp_path)):
        assert said(named) == "None"
    assert (
        said(replace(program, host=(replace(h, gain=2 * h.gain),)))
        == f"host map {h.id} is not the graph's; export again"
    )
    other = replace(h, map=replace(h.map, weight=h.map.weight + np.float32(1e-3)))
    assert said(replace(program, host=(other,))) == f"host map {h.id} is not the graph's; export again"
    moved = replace(s, map=replace(s.map, weight=np.clip(s.map.weight.astype(int) + 2, -128, 127).astype(np.int8)))
    assert re.match(
        rf"synapse {s.id}: its weights are [12]\.\d+ steps \(RMS\)", said(replace(program, synapses=(moved,)))
    )
