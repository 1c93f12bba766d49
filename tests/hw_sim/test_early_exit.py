"""The early exit: what it proves, against every spike that could still come; and in C and run_lava."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from snnas.hw_sim import early_exit
from snnas.hw_sim.early_exit import Rule, choose, rule_of, slack, so_far, stops
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.program import Program
from snnas.hw_sim.readout import Reading, summed
from snnas.hw_sim.simulate.simulator import simulate
from tests.programs import random_program

EXACT = Rule(mode="exact")
NEURONS, STEPS = 3, 4


def reading(weight: np.ndarray, bias: tuple[int, ...] = (0, 0, 0)) -> Program:
    """A program of which the readout alone matters."""
    program = random_program(0, kind="spikes")
    last = replace(program.populations[-1], shape=(weight.shape[1], 1, 1))
    readout = summed(src=last.id, weight=weight.astype(np.int8), bias=np.array(bias, dtype=np.int64), scale=1.0)
    return replace(program, timesteps=STEPS, populations=(*program.populations[:-1], last), readout=readout)


def trains(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.random((count, STEPS, NEURONS, 1, 1)) < rng.random((count, 1, NEURONS, 1, 1))


@pytest.mark.parametrize("seed", range(6))
def test_exact_ends_at_the_first_timestep_that_is_settled(seed: int) -> None:
    """Against all 2 ** (neurons x timesteps left) continuations: neither earlier nor later."""
    rng = np.random.default_rng(seed)
    program = reading(rng.integers(-3, 4, (3, NEURONS)), tuple(rng.integers(-64, 64, 3)))
    name = program.readout.readings[0].src
    spikes = trains(rng, 12)
    exits = stops(program, EXACT, {name: spikes})
    early = 0
    for train, end, said in zip(spikes, exits.timesteps, exits.predictions, strict=True):
        for t in range(1, STEPS):
            rest = np.array(list(itertools.product((False, True), repeat=(STEPS - t) * NEURONS)))
            every = np.repeat(train[None], len(rest), axis=0)
            every[:, t:] = rest.reshape(-1, STEPS - t, NEURONS, 1, 1)
            answers = set(so_far(program, {name: every})[:, -1].argmax(axis=1).tolist())
            settled = len(answers) == 1
            assert settled == (t >= end), (t, end)
            if t == end:
                assert answers == {int(said)}
        early += end < STEPS
    assert early > 0


def test_a_tie_goes_to_the_lower_class() -> None:
    """Class 0 keeps a lead that can be caught up with, not passed; class 1 must lead by more."""
    for first, expected in (((3, 0), 1), ((0, 3), 2)):
        weight = np.array([[first[0], 1], [first[1], 1]])
        weight[1 - int(np.argmax(first))] += (0, 3)
        program = reading(np.concatenate([weight, [[-9, -9]]]))
        program = replace(program, timesteps=2)
        spikes = np.zeros((1, 2, 2, 1, 1), dtype=bool)
        spikes[0, 0, 0] = True
        exits = stops(program, EXACT, {program.readout.readings[0].src: spikes})
        assert exits.timesteps.tolist() == [expected]


def test_slack_is_what_one_timestep_can_bring() -> None:
    program = reading(np.array([[1, -2, 3], [0, 0, 0], [5, 1, 1]]))
    found = slack(program.readout)
    assert found.tolist() == [[0, 64 * 2, 64 * 7], [64 * 4, 0, 64 * 7], [64 * 2, 0, 0]]


def test_a_margin_is_the_least_that_keeps_its_level() -> None:
    """Ten samples: two of them lead wrongly at first, by 5 and by 9."""
    answers = np.zeros((10, 2, 2), dtype=np.int64)
    answers[:, 0, 0] = range(10, 20)
    answers[:, 1, 0] = 30
    answers[0, 0] = (0, 5)
    answers[1, 0] = (0, 9)
    margins = {level: choose(level, answers).margin for level in (0.75, 0.85, 0.9)}
    assert margins == {0.75: 5, 0.85: 9, 0.9: 9}
    for level, margin in margins.items():
        assert margin is not None
        lead = answers.max(axis=2) - answers.min(axis=2)
        first = np.where(lead[:, 0] >= margin, 0, 1)
        same = answers[np.arange(10), first].argmax(axis=1) == answers[:, 1].argmax(axis=1)
        assert same.mean() >= level
    with pytest.raises(UnsupportedError, match=r"there are 10 samples .* 100 are needed"):
        choose(0.99, answers)


def test_a_confidence_ends_where_the_lead_reaches_the_margin() -> None:
    program = reading(np.array([[2, 0, 0], [0, 1, 0], [0, 0, 1]]))
    name = program.readout.readings[0].src
    spikes = np.zeros((2, STEPS, NEURONS, 1, 1), dtype=bool)
    spikes[0, :, 0] = True
    rule = Rule(mode="confidence", level=0.9, margin=4 * 64, chosen_on=10)
    exits = stops(program, rule, {name: spikes})
    assert exits.timesteps.tolist() == [2, STEPS]
    assert exits.predictions.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_run_lava_stops_where_the_simulator_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(seed, kind="spikes")
    x = rng.random((9, program.timesteps, *program.input_shape)) < 0.4
    trace = simulate(program, spikes_in=x)
    packed = {name: np.packbits(s.reshape(*s.shape[:2], -1), axis=-1) for name, s in trace.spikes.items()}
    arrays = {"readout.bias": program.readout.bias, "readout.response": program.readout.response}
    arrays |= {f"readout.{r.src}.{r.distance}": r.weight for r in program.readout.readings}
    readings = [{"src": r.src, "distance": r.distance} for r in program.readout.readings]
    for rule in (EXACT, Rule(mode="confidence", level=0.9, margin=int(rng.integers(64, 9000)), chosen_on=10)):
        plain = {
            "timesteps": program.timesteps,
            "readout": {"readings": readings},
            "meta": {"early_exit": rule.to_json()},
        }
        found = run_lava.early_exit(json.loads(json.dumps(plain)), arrays, packed)
        exits = stops(program, rule, trace.spikes)
        assert found is not None
        assert found["timesteps"] == exits.timesteps.tolist()
        assert found["changed"] == int((exits.predictions != trace.predictions).sum())
    assert run_lava.early_exit({"meta": {}}, arrays, packed) is None


@pytest.mark.parametrize(
    "meta",
    [
        "exact",
        {"mode": "exactly"},
        {"mode": "confidence", "level": 0.9},
        {"mode": "confidence", "level": 2.0, "margin": 5, "chosen_on": 9},
        {"mode": "confidence", "level": 0.9, "margin": 0, "chosen_on": 9},
        {"mode": "confidence", "level": 0.9, "margin": True, "chosen_on": 9},
    ],
)
def test_a_rule_that_is_none_is_refused(meta: object) -> None:
    program = replace(random_program(0, kind="spikes"), meta={"early_exit": meta})
    with pytest.raises(InvalidFileError, match="export again"):
        rule_of(program)


def test_what_is_asked_for() -> None:
    assert early_exit.level_of("exact") is None
    assert early_exit.level_of("0.99") == 0.99
    assert early_exit.level_of(0.9) == 0.9, "as Python has it"
    for asked in ("0.5", "1", "99", "exakt", "nan", True, 1, [0.9], 0.3):
        with pytest.raises(UsageError, match="expected exact, or a share"):
            early_exit.level_of(asked)


def test_readouts_that_sum_nothing_are_refused() -> None:
    program = random_program(0, kind="spikes")
    last = replace(program.readout, read="last")
    late = replace(program.readout, readings=(*program.readout.readings[:-1], _late(program)))
    one = replace(
        program.readout,
        readings=tuple(replace(r, weight=r.weight[:1]) for r in program.readout.readings),
        bias=program.readout.bias[:, :1],
    )
    with pytest.raises(UnsupportedError, match="one output"):
        early_exit.require_sum(replace(program, readout=one))
    for readout in (last, late):
        with pytest.raises(UnsupportedError, match="only a plain sum"):
            rule_of(replace(program, readout=readout, meta={"early_exit": {"mode": "exact"}}))


def _late(program: Program) -> Reading:
    return replace(program.readout.readings[-1], distance=1)
