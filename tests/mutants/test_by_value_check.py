"""As ``test_by_value``, of the rules of check: what each says of one number that is not the graph's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.circuit import Link
from snnas.export.compiler.quantisation_error import PopulationError
from snnas.export.executors.interpreter import Run
from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Program, Synapse
from snnas.toolchain.checking import same_network
from snnas.toolchain.checking.equivalence import Fired
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.rules.rules import GROUPS, RULES, find
from snnas.toolchain.checking.same_network import TUNED, check_rounding, check_spikes, other_number
from tests.hw_sim.simulate.test_counts import dense, population, program
from tests.programs import random_program

AGAIN = "export again"


def _off_by_one(values: np.ndarray) -> np.ndarray:
    """The last number one larger."""
    changed = np.array(values)
    changed.reshape(-1)[-1] += 1
    return changed


def _changes(p: Program) -> dict[str, tuple[Program, tuple[int, ...]]]:
    """Programs of which one number is one larger, by its name, and the number's place."""
    first, *others = p.populations
    synapse, *synapses = p.synapses
    host, *hosts = p.host
    reading, *readings = p.readout.readings

    def population_with(**change: Any) -> Program:
        return replace(p, populations=(replace(first, **change), *others))

    def synapse_with(**change: Any) -> Program:
        return replace(p, synapses=(replace(synapse, **change), *synapses))

    def host_with(**change: Any) -> Program:
        return replace(p, host=(replace(host, **change), *hosts))

    def readout_with(**change: Any) -> Program:
        return replace(p, readout=replace(p.readout, **change))

    def last(values: np.ndarray) -> tuple[int, ...]:
        return tuple(n - 1 for n in values.shape)

    weight = replace(synapse.map, weight=_off_by_one(synapse.map.weight))
    seen = replace(host.map, weight=_off_by_one(host.map.weight))
    read = replace(reading, weight=_off_by_one(reading.weight))
    own, said = f"population {first.id}", f"synapse {synapse.id}"
    return {
        f"scale of {own}": (population_with(scale=first.scale + 1), ()),
        f"threshold of {own}": (population_with(vth=first.vth + 1), ()),
        f"leaks of {own}": (population_with(du=first.du + 1), (1,)),
        f"what a spike of {own} takes": (population_with(taken=first.taken + 1), ()),
        f"exponent of {own}'s bias": (population_with(bias_exponent=first.bias_exponent + 1), ()),
        f"bias of {own}": (population_with(bias=_off_by_one(first.bias)), last(first.bias)),
        f"exponent of {said}": (synapse_with(exponent=synapse.exponent + 1), ()),
        f"weights of {said}": (synapse_with(map=weight), last(synapse.map.weight)),
        f"gain of host map {host.id}": (host_with(gain=host.gain + 1), ()),
        f"weights of host map {host.id}": (host_with(map=seen), last(host.map.weight)),
        f"the readout's weights of {reading.src} at distance 0": (
            readout_with(readings=(read, *readings)), last(reading.weight)
        ),
        "the readout's scale": (readout_with(scale=p.readout.scale + 1), ()),
        "the readout's bias": (readout_with(bias=_off_by_one(p.readout.bias)), last(p.readout.bias)),
        "the readout's response": (readout_with(response=_off_by_one(p.readout.response)), last(p.readout.response)),
    }  # fmt: skip


def test_every_number_of_a_program_is_named_with_its_place() -> None:
    made = random_program(1)
    assert other_number(made, made) is None
    for name, (changed, place) in _changes(made).items():
        said = other_number(made, changed)
        assert said is not None, name
        where = f" at {place}" if place else ""
        assert said.startswith(f"{name}: 1 of "), said
        assert f"are not what the graph compiles to; the first{where} is " in said
        assert said.endswith(f"; {AGAIN}")
        wrong, right = said.partition(" is ")[2].partition(";")[0].split(" and should be ")
        assert float(wrong) == pytest.approx(float(right) + 1)
        assert (other_number(made, changed, but=TUNED) is None) == name.startswith(TUNED)


def test_where_a_sparse_weight_stands_is_a_number_too() -> None:
    def with_places(columns: list[int], rows: list[int]) -> Program:
        linear = LinearMap(kind="sparse", weight=np.ones(2, np.int8), indices=np.array(columns, np.int32),
                           indptr=np.array(rows, np.int32))  # fmt: skip
        return program([population("a", (2, 1, 1))], [(INPUT, "a", linear)], input_shape=(2, 1, 1))

    made = with_places([0, 1], [0, 1, 2])
    assert str(other_number(made, with_places([0, 0], [0, 1, 2]))).startswith("columns of synapse s0: 1 of 2")
    assert str(other_number(made, with_places([0, 1], [0, 2, 2]))).startswith("rows of synapse s0: 1 of 3")
    less = program([population("a", (2, 1, 1))], [(INPUT, "a", dense(2, 2))], input_shape=(2, 1, 1))
    for ours, theirs in ((made, less), (less, made)):
        assert other_number(ours, theirs) == f"weights of synapse s0 is not what the graph compiles to; {AGAIN}"


def _two(weight: list[list[int]]) -> Program:
    linear = LinearMap(kind="dense", weight=np.array(weight, np.int8))
    return program([population("a", (2, 1, 1))], [(INPUT, "a", linear)], input_shape=(len(weight[0]), 1, 1))


def test_fine_tuning_changed_as_many_weights_as_it_says() -> None:
    before, after = _two([[1, 2, 3], [4, 5, 6]]), _two([[1, 9, 3], [0, 5, 8]])
    assert same_network._otherwise_tuned(before, after, {"weights_changed": 3}) is None
    wrong = f"3 weights are not what the graph compiles to; fine-tuning changed 2; {AGAIN}"
    assert same_network._otherwise_tuned(before, after, {"weights_changed": 2}) == wrong
    long = same_network._otherwise_tuned(before, after, {"weights_changed": "n" * 50})
    assert str(long).endswith(f"fine-tuning changed {'n' * 20}; {AGAIN}")
    assert same_network._otherwise_tuned(before, _two([[9], [9]]), {"weights_changed": 2}) is None, "of another shape"
    other = replace(after, synapses=(replace(after.synapses[0], id="new"),))
    assert same_network._otherwise_tuned(before, other, {"weights_changed": 6}) is None


def test_a_synapses_rounding_is_told_in_steps_without_what_was_clipped() -> None:
    linear = LinearMap(kind="dense", weight=np.array([[10, -7, 127, -128]], np.int8))
    p = replace(population("a", (1, 1, 1)), scale=8.0)
    real = np.array([[5.1, -3.6, 70.0, -90.0]])  # at two a step: 10.2, -7.2, and two beyond the ends
    synapse = Synapse(id="s", src=INPUT, dst="a", map=linear, exponent=2)
    link = Link(id="s", src=INPUT, dst="a", map=replace(linear, weight=real))
    assert same_network._steps_off(synapse, link, p, 8) == pytest.approx(0.2)
    ends = replace(link, map=replace(linear, weight=np.array([[63.5, -64.0, 70.0, -90.0]])))
    assert same_network._steps_off(synapse, ends, p, 8) == 0.0
    assert same_network._steps_off(replace(synapse, exponent=1), link, p, 4) == 0.0  # 20.4 and -14.4: all clipped


def test_a_biases_error_is_told_in_steps_of_what_brings_it() -> None:
    """A register's steps are of its exponent; a clock's of a weight unit, which is 64 of the register's finest."""
    made = program([replace(population("a", (1, 1, 1), bias=5), bias_exponent=2)], [(INPUT, "a", dense(1, 1))])
    assert same_network._bias_off(made, made.populations[0], np.array(26 / 64)) == pytest.approx((26 - 20) / 4)
    double = replace(made, populations=(replace(made.populations[0], scale=2.0),))
    assert same_network._bias_off(double, double.populations[0], np.array(0.5)) == pytest.approx((64 - 20) / 4)
    clock = Synapse(id="c", src=CLOCK, dst="a", map=dense(1, 1))
    clocked = replace(made, synapses=(*made.synapses, clock))
    assert same_network._bias_off(clocked, made.populations[0], np.array(2.0)) == pytest.approx((128 - 84) / 64)


def _error(**change: float) -> PopulationError:
    return replace(PopulationError(weight=0.5, threshold=0.25, leak=0.0, current_decay=0.0, bias=4.0), **change)


def _recorded(**change: object) -> Mapping[str, object]:
    return {"weight": 0.5, "threshold": 0.25, "bias": 4.0, **change}


def test_a_recorded_error_is_the_measured_one() -> None:
    errors = {"a": _error()}
    assert same_network._not_recorded(errors, {"a": _recorded()}) is None
    assert same_network._not_recorded({"a": _error(weight=0.0)}, {"a": _recorded(weight=1e-6)}) is None
    assert same_network._not_recorded(errors, {"a": _recorded(bias=4.0 + 3.9e-6, weight=0.5 + 0.9e-6)}) is None
    for key, was in (("weight", 0.5 + 1.1e-6), ("bias", 4.0 - 4.1e-6), ("threshold", True), ("bias", None)):
        said = same_network._not_recorded(errors, {"a": _recorded(**{key: was})})
        assert said == f"population a: its {key} is {getattr(_error(), key):.6g} off the graph's, recorded was {was}"
    assert str(same_network._not_recorded(errors, {"a": _recorded(bias="n" * 50)})).endswith(f"was {'n' * 20}")
    assert same_network._not_recorded(errors, {}) is not None


@pytest.mark.parametrize(
    ("report", "lacks", "trusted", "detail"),
    [
        ({}, None, False, "every number is the one that the graph compiles to"),
        ({}, None, True, "every number is the one that the graph compiles to"),
        ({}, "x", True, "within rounding on the whole (--trust-report)"),
        ({}, "x", False, "an export of an older version, x: its numbers cannot be made again"),
        ({"finetune": {"best_epoch": 0}}, None, False, "every number is the one that the graph compiles to"),
        ({"finetune": {"best_epoch": 2, "weights_changed": 0}}, None, False, "fine-tuned, as recorded"),
        ({"finetune": {"best_epoch": 2, "weights_changed": 1}}, None, False, "0 weights are not"),
        ({"finetune": {"best_epoch": 2, "weights_changed": 1}}, "x", False, "an export of an older version, x"),
        ({"finetune": {"best_epoch": 2, "weights_changed": 1}}, "x", True, "fine-tuned by an older version, held to"),
        ({"quantisation": {"a": {"weight": 1.0}}}, None, False, "population a: its weight is 0.5 off"),
        ({"quantisation": {"a": {"weight": 1.0}}}, "x", False, "an export of an older version"),
    ],
)
def test_what_numbers_are_held_to(
    report: Mapping[str, object], lacks: str | None, trusted: bool, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, graph = _two([[1, 2, 3], [4, 5, 6]]), object()
    monkeypatch.setattr(same_network, "quantisation_errors", lambda graph, program: {"a": _error()})
    monkeypatch.setattr(same_network, "_beyond_rounding", lambda *given: None)
    book = Book(Path("e"), "export")
    check_rounding(book, graph, made, made, report, lacks=lacks, trusted=trusted)  # type: ignore[arg-type]
    (found,) = book.findings
    assert found.code == "SN211"
    assert found.detail.startswith(detail)
    assert (found.status == "passed") == detail.startswith(("every", "fine-tuned", "within"))


def _judged(
    ours: np.ndarray, graph: np.ndarray, answers: list[list[int]], theirs: list[list[float]]
) -> tuple[str, str]:
    """SN311's status and detail of one population's spikes (B, T, 2) and of what both answer."""
    made = replace(_two([[1, 2, 3], [4, 5, 6]]), meta={"node_of": {"a": "n"}})
    book = Book(Path("e"), "export")
    fired = Fired(spikes={"a": ours.reshape(*ours.shape, 1, 1)}, answers=np.array(answers))
    run = Run(spikes={"n": graph}, output=np.array(theirs)[:, None], margin=0.0)
    check_spikes(book, made, fired, run)
    (found,) = book.findings
    assert found.code == "SN311"
    return found.status, found.detail


def test_spikes_may_differ_so_far() -> None:
    ours, graph = np.zeros((1, 5, 2), bool), np.zeros((1, 5, 2), bool)
    ours.reshape(-1)[:5], graph.reshape(-1)[3:8] = True, True  # two in common, three of each its own: 6 of 10
    agree: Any = ([[1, 0]], [[0.5, 0.1]])
    told = "60.00% of the spikes fired are missing on the other side, 100.0% of the samples are classified alike"
    told += "; most of a: 60.00%"
    assert _judged(ours, graph, *agree) == ("passed", told)
    graph.reshape(-1)[8] = True
    status, detail = _judged(ours, graph, *agree)
    assert status == "failed"
    assert detail.startswith("63.64% of the spikes fired are missing")
    assert detail.endswith("; at most 60% may, at least 50% must")
    few = np.zeros((1, 5, 2), bool)
    few[0, :4, 0] = True  # 4 and 3: too few to say anything
    fewer = np.zeros((1, 5, 2), bool)
    fewer[0, :3, 1] = True
    assert _judged(few, fewer, *agree) == ("passed", told.replace("60.00", "100.00").partition(";")[0])
    few[0, 4, 0] = True  # 8 of both do
    assert _judged(few, fewer, *agree)[0] == "failed"
    lone = np.zeros((1, 5, 2), bool)
    lone[0, 0, 0] = True
    assert _judged(lone, ~lone & lone, *agree)[1].startswith("100.00% of the spikes fired are missing")
    nothing = np.zeros((2, 5, 2), bool)
    apart: Any = ([[1, 0], [1, 0]], [[0.5, 0.1], [0.1, 0.5]])
    told = "0.00% of the spikes fired are missing on the other side, 50.0% of the samples are classified alike"
    assert _judged(nothing, nothing, *apart) == ("passed", told)
    assert _judged(nothing, nothing, [[0, 1], [1, 0]], apart[1])[0] == "failed"


def _alone(
    monkeypatch: pytest.MonkeyPatch, apart: int, common: int, classes: list[list[int]], whole: Any = ((1, 0), (0, 1))
) -> tuple[str, str]:
    """SN311 of a proved program that fires nothing as the graph does, where by itself it fires apart + common spikes.

    apart: spikes of either side that the other has not; common: spikes of both. classes: what it answers by itself, of
    two samples that the graph calls 0 and 1; whole: what it answers.
    """
    made = replace(_two([[1, 2, 3], [4, 5, 6]]), meta={"node_of": {"a": "n"}})
    graph = np.zeros((2, 20, 2), bool)
    graph.reshape(-1)[: apart // 2 + common] = True
    mine = np.roll(graph.reshape(-1), apart // 2).reshape(2, 20, 2, 1, 1)
    x = np.zeros((2, 3), np.float32)
    handed = {"a": mine}

    def driven(program: Program, samples: np.ndarray, graphs: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
        assert samples is x
        assert graphs["a"].shape == mine.shape
        return {"a": mine}, handed

    def answered(readout: Any, spikes: Any, timesteps: int) -> np.ndarray:
        assert (spikes is handed, timesteps) == (True, made.timesteps)
        return np.array(classes)

    monkeypatch.setattr(same_network, "driven_by", driven)
    monkeypatch.setattr(same_network, "answers", answered)
    book = Book(Path("e"), "export")
    fired = Fired(spikes={"a": ~graph[..., None, None]}, answers=np.array(whole))
    run = Run(spikes={"n": graph}, output=np.array([[0.5, 0.1], [0.1, 0.5]])[:, None], margin=0.0)
    check_spikes(book, made, fired, run, x)
    (found,) = book.findings
    assert (found.code, found.place) == ("SN311", "e/program.npz")
    return found.status, found.detail


def test_by_itself_a_populations_spikes_may_differ_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [[1, 0], [0, 1]]
    by_itself = "each population by itself, driven by the graph's spikes: "
    status, detail = _alone(monkeypatch, 10, 5, alike)  # of 20 spikes 10, which may be 29.93 %
    assert status == "warned"
    assert detail.startswith("100.00% of the spikes fired are missing on the other side, 100.0% of the samples")
    assert "; rounding alone, which adds up from layer to layer: " in detail
    assert detail.endswith(
        f"; {by_itself}50.00% of the spikes fired are missing on the other side, 100.0% of the samples are classified "
        "alike; most of a: 50.00%"
    )
    status, detail = _alone(monkeypatch, 12, 6, alike)  # of 24 spikes 12, which are 31.43 % at least
    assert status == "failed"
    assert f"; at most 60% may, at least 50% must; {by_itself}" in detail
    assert _alone(monkeypatch, 0, 5, [[1, 0], [1, 0]])[0] == "warned"  # one of two samples
    assert _alone(monkeypatch, 0, 5, [[0, 1], [1, 0]])[0] == "failed"
    assert _alone(monkeypatch, 6, 0, alike)[0] == "warned"  # 6 spikes say nothing
    status, detail = _alone(monkeypatch, 0, 5, alike, [[0, 1], [1, 0]])
    assert (status, by_itself in detail) == ("failed", True)


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("SN21", "'SN210'"),
        ("sn3", "'SN301'"),
        ("SN0", None),
        ("SN099", "'SN101'"),
        ("SN317", "'SN316'"),
        ("SN325", "'SN316'"),
        ("SN326", None),
        ("SN2011", None),
        ("two", None),
    ],
)
def test_a_code_that_is_none_names_the_nearest(given: str, near: str | None) -> None:
    """Nine numbers away at most; of fewer than three digits one that begins so."""
    with pytest.raises(UsageError) as caught:
        find(given)
    said = str(caught.value)
    assert said.startswith(f"{given!r} is no code of a rule")
    assert (f"did you mean {near}?" in said) if near else ("did you mean" not in said)


def test_a_rule_is_found_and_says_all() -> None:
    rule = find(" sn405 ")
    assert (rule.code, rule.group, rule.severity) == ("SN405", "budgets", "failed")
    head, empty, why, mend = str(rule).splitlines()[0:1] + str(rule).splitlines()[2:]
    assert head == "SN405  energy is within its limit"
    assert (empty, why[:5], mend[:6]) == ("", "Why: ", "Mend: ")
    assert str(rule).splitlines()[1] == "group: budgets; a breach is: failed"
    assert {code[:3] for code in RULES} == set(GROUPS)
    with pytest.raises(UsageError, match=r"^'x{40}' is no code"):
        find("x" * 60)
