"""The neuron and synapse arithmetic against two independent witnesses: nengo-loihi 1.1's emulator, brian2-loihi 0.5.

``SNNAS_NENGO_LOIHI_PYTHON`` and ``SNNAS_BRIAN2_LOIHI_PYTHON`` name interpreters that have them (``pip install
"numpy<1.24" nengo-loihi``, Python 3.10; ``pip install brian2-loihi``). Random inputs inside the registers must give
equal u, v and spikes at every step. Every known class of difference has a case of its own below the fuzz, asserted on
both sides, so that a change on either side shows.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim import kernels, limits
from snnas.hw_sim.program import INPUT, LinearMap, Population, Program, Schedule, Shape, Synapse
from snnas.hw_sim.readout import summed
from snnas.hw_sim.simulate.simulator import simulate
from tests.oracles.test_sanafe import unrolled_weights

pytestmark = pytest.mark.oracle
CEILING = limits.STATE_LIMIT - 1
NENGO, BRIAN2 = "nengo_loihi", "brian2_loihi"
INPUT_DELAY = {NENGO: 1, BRIAN2: 0}  # steps that input spikes take to arrive; neurons' own take one in both
both = pytest.mark.parametrize("name", [NENGO, BRIAN2])


def ask(name: str, question: dict[str, Any]) -> Any:
    """A witness's answer; skips where it is not to be had."""
    variable = f"SNNAS_{name.upper()}_PYTHON"
    python = os.environ.get(variable)
    if not python:
        package = name.replace("_", "-")
        pytest.skip(f"{package}: set {variable} to a Python that has it (pip install {package})")
    worker = Path(__file__).with_name(f"{name}_worker.py")
    done = subprocess.run(
        [python, str(worker)], input=json.dumps(question), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def neuron(name: str, a: list[int], **given: Any) -> dict[str, list[int]]:
    """One neuron that is given ``a`` weight units step by step. dv, bias (1/64), vth, refractory, vmin."""
    group = {"dv": 0, "vth": 100, "current": [[64 * n] for n in a]} | given
    group["bias"] = [given.get("bias", 0)]
    (found,) = ask(name, {"neurons": [group]})
    return {k: [row[0] for row in rows] for k, rows in found.items()}


def ours(a: list[int], *, dv: int = 0, bias: int = 0, vth: int = 100) -> dict[str, list[int]]:
    v, found = np.zeros(1, np.int64), {"v": [], "spikes": []}
    for n in a:
        v, spikes = kernels.neuron_step(v, np.array([n]), np.array([bias]), dv, vth)
        found["v"].append(int(v[0]))
        found["spikes"].append(int(spikes[0]))
    return found


# ---- the fuzz: inside the registers, no difference --------------------------------------------------------------


def random_group(rng: np.random.Generator, steps: int, leaks: int, size: int = 8) -> dict[str, Any]:
    """Registers and currents over their whole ranges; every fifth current brings v near, or onto, the threshold."""
    vth = int(rng.integers(0, 1 << int(rng.integers(1, 18))))
    dv = int(rng.choice([0, 1, limits.DECAY_MAX, rng.integers(0, 4096), rng.integers(0, 300)]))
    bias = np.zeros(size, np.int64)
    if leaks == 1:  # a bias in the register acts on every hardware step
        low = limits.BIAS_MANTISSA_MAX
        bias = rng.integers(-low, low + 1, size) << int(rng.integers(0, limits.BIAS_EXPONENT_MAX + 1))
        bias *= rng.random(size) < 0.6
    reach = min(int(rng.choice([4 * vth + 8, 1 << int(rng.integers(1, 15)), limits.CURRENT_MAX])), limits.CURRENT_MAX)
    a = rng.integers(-reach, reach + 1, (steps, size))
    a[rng.random(a.shape) < 0.3] = 0
    near = rng.random(a.shape) < 0.2
    a[near] = np.clip(vth + rng.integers(-1, 2, int(near.sum())), -limits.CURRENT_MAX, limits.CURRENT_MAX)
    if rng.random() < 0.2:  # down to the clip
        a = -abs(a)
    return {"dv": dv, "vth": vth, "bias": bias, "a": a}


@both
@pytest.mark.parametrize(("seed", "leaks"), [(0, 1), (1, 1), (2, 1), (3, 3)])
def test_neurons_are_equal_at_every_step(name: str, seed: int, leaks: int) -> None:
    """u, v and spikes. Of brian2-loihi, which has no clip, neurons count until they reach the clip from above."""
    rng = np.random.default_rng(seed)
    steps = 120
    groups = [random_group(rng, steps, leaks) for _ in range(40)]
    asked = []
    for g in groups:
        current = np.zeros((steps * leaks, g["a"].shape[1]), np.int64)
        current[leaks - 1 :: leaks] = g["a"] << limits.STATE_SHIFT
        asked.append(
            {"dv": g["dv"], "vth": g["vth"], "bias": g["bias"].tolist(), "current": current.tolist()},
        )
    compared = fired = exact = clipped = 0
    for g, theirs in zip(groups, ask(name, {"neurons": asked}), strict=True):
        rows = {k: np.array(x) for k, x in theirs.items()}
        assert rows["spikes"].sum() == rows["spikes"][leaks - 1 :: leaks].sum(), "a spike between timesteps"
        v, equal = np.zeros(g["bias"].shape, np.int64), np.ones(g["bias"].shape, bool)
        for t in range(steps):
            before = v
            v, spikes = kernels.neuron_step(v, g["a"][t], g["bias"], g["dv"], g["vth"], leaks)
            clipped += int((v == -CEILING).sum())
            exact += int(((v == g["vth"] << limits.STATE_SHIFT) & (v != 0)).sum())
            if name == BRIAN2:
                equal &= v > -CEILING
            u = kernels.wrap_current(g["a"][t] << limits.STATE_SHIFT) + (g["bias"] if name == BRIAN2 else 0)
            for what, value in (("u", u), ("v", v), ("spikes", spikes)):
                at = (rows[what][leaks * t + leaks - 1] != value) & equal
                assert not at.any(), (what, t, g["dv"], g["vth"], before[at], g["a"][t][at], g["bias"][at])
            compared += int(equal.sum())
            fired += int(spikes.sum())
    print(f"{name}, {leaks} leaks: {compared} neuron steps, {fired} spikes, {exact} on vth, {clipped} at the clip")
    assert compared > 0.8 * 40 * 8 * steps
    assert min(fired, exact, clipped) > 30


def random_program(rng: np.random.Generator) -> Program:
    """Convolution, sparse, dense and a population that feeds itself; mixed signs, leaks, exponents; no bias."""

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-100, 128, shape).astype(np.int8)

    rows = rng.random((9, 3 * 5 * 4)) < 0.3
    rows[:, 0] = True  # no row is empty
    sparse = LinearMap(
        kind="sparse",
        weight=weights(int(rows.sum())),
        indices=np.nonzero(rows)[1].astype(np.int32),
        indptr=np.concatenate([[0], rows.sum(axis=1).cumsum()]).astype(np.int32),
    )
    maps = [
        LinearMap(kind="conv", weight=weights(3, 2, 3, 3), pad=(1, 1)),
        sparse,
        LinearMap(kind="dense", weight=weights(12, 9)),
        LinearMap(kind="dense", weight=weights(12, 12)),
    ]
    shapes: list[Shape] = [(3, 5, 4), (9, 1, 1), (12, 1, 1)]
    names = ["a", "b", "c"]
    exponents = rng.integers(0, 3, 4).tolist()
    ends = [(INPUT, "a", 0), ("a", "b", 0), ("b", "c", 0), ("c", "c", 1)]
    made = Program(
        timesteps=25,
        input_shape=(2, 5, 4),
        input_kind="spikes",
        populations=tuple(
            Population(
                id=n,
                shape=s,
                dv=int(rng.integers(0, 2000)),
                vth=int(rng.integers(50, 300)),
                scale=1.0,
                bias=np.zeros((s[0], 1, 1), dtype=np.int16),
            )
            for n, s in zip(names, shapes, strict=True)
        ),
        synapses=tuple(
            Synapse(id=f"s{k}", src=src, dst=dst, map=m, exponent=e, distance=distance)
            for k, ((src, dst, distance), m, e) in enumerate(zip(ends, maps, exponents, strict=True))
        ),
        host=(),
        readout=summed(src="c", weight=weights(2, 12), bias=np.zeros(2, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={n: i for i, n in enumerate(names)}, blank=1),
    )
    made.verify()
    return made


@both
@pytest.mark.parametrize("seed", range(4))
def test_networks_fire_equally(name: str, seed: int) -> None:
    """Synapses of every kind, unrolled there; a population of depth d fires d steps later."""
    rng = np.random.default_rng(seed)
    made = random_program(rng)
    spikes_in = rng.random((1, made.timesteps, *made.input_shape)) < 0.3
    exponents = {s.id: s.exponent for s in made.synapses}
    unrolled = unrolled_weights(made, {s.id: s.map for s in made.synapses} | {"@readout": readout(made)})
    question = {
        "steps": made.timesteps + 4,
        "inputs": int(np.prod(made.input_shape)),
        "spikes": np.argwhere(spikes_in[0].reshape(made.timesteps, -1)).tolist(),
        "populations": [{"name": p.id, "size": p.size, "dv": p.dv, "vth": p.vth} for p in made.populations],
        "synapses": [
            {"src": src, "dst": dst, "weight": matrix.tolist(), "exponent": exponents[key]}
            for key, (src, dst, matrix) in unrolled.items()
            if key in exponents
        ],
    }
    theirs = ask(name, {"network": question})
    trace = simulate(made, spikes_in=spikes_in)
    for p in made.populations:
        late = made.schedule.depth[p.id] + INPUT_DELAY[name]
        rows = {k: np.array(x) for k, x in theirs[p.id].items()}
        mine = trace.spikes[p.id][0].reshape(made.timesteps, -1)
        assert not rows["spikes"][:late].any()
        v = np.zeros(p.size, np.int64)
        for t in range(made.timesteps):
            a = np.zeros(p.size, np.int64)
            for s in made.into(p.id):
                if t >= s.distance:
                    source = spikes_in if s.src == INPUT else trace.spikes[s.src]
                    a += unrolled[s.id][2] @ source[0, t - s.distance].ravel().astype(int) << s.exponent
            assert abs(a).max() <= limits.CURRENT_MAX
            v, spikes = kernels.neuron_step(v, a, np.zeros(1, np.int64), p.dv, p.vth)
            assert (rows["v"][late + t] == v).all(), (p.id, t)
            assert (rows["spikes"][late + t] == mine[t]).all(), (p.id, t)
            assert (mine[t] == spikes).all()
        print(f"{name}: {p.id}, {mine.size} neuron steps, {mine.sum()} spikes")
        assert 10 < mine.sum() < mine.size - 10


def readout(made: Program) -> LinearMap:
    return LinearMap(kind="dense", weight=made.readout.readings[0].weight)


# ---- corners on which all agree ---------------------------------------------------------------------------------


@both
def test_a_threshold_met_exactly_does_not_fire(name: str) -> None:
    """Strictly above, in all three."""
    a = [100, 0, 1, 101]
    assert neuron(name, a)["spikes"] == ours(a)["spikes"] == [0, 0, 1, 1]


@both
def test_a_leak_truncates_toward_zero(name: str) -> None:
    """A quarter leaks: 3 keeps 2, 5 keeps 3, 6 keeps 4, from both sides of zero."""
    for sign in (1, -1):
        a, given = [0] * 5, {"bias": 3 * sign, "dv": 1024}
        assert neuron(name, a, **given)["v"] == ours(a, **given)["v"] == [sign * n for n in (3, 5, 6, 7, 8)]


@both
def test_refractory_counts_from_one_and_ours_is_that(name: str) -> None:
    """1 is no refractory period in both, which is what we compute; 2 loses the input of one step."""
    a = [101, 101, 50, 101]
    assert neuron(name, a, refractory=1)["spikes"] == ours(a)["spikes"] == [1, 1, 0, 1]
    assert neuron(name, a, refractory=2)["spikes"] == [1, 0, 0, 1]
    assert neuron(name, a, refractory=2)["v"] == [0, 0, 3200, 0]


# ---- known differences, nengo-loihi -----------------------------------------------------------------------------


def test_nengo_wraps_the_accumulator_at_21_bits() -> None:
    """q0 is 21 bits and a sign there: 32768 weight units come out negative. Lava sums into 24 bits, and so do we;

    ``limits.CURRENT_MAX``, which the compiler keeps to, is the last input on which all agree.
    """
    assert neuron(NENGO, [limits.CURRENT_MAX], vth=131071)["u"] == [limits.CURRENT_MAX << 6]
    assert neuron(NENGO, [limits.CURRENT_MAX + 1], vth=131071)["u"] == [-(1 << 21)]
    assert ours([limits.CURRENT_MAX + 1], vth=131071)["v"] == [1 << 21]


def test_nengo_wraps_the_current_a_unit_earlier_and_by_any_number_of_turns() -> None:
    """Two's complement there: +2**23 becomes -2**23, and -2**23 stays. In Lava, and here, +2**23 survives, -2**23

    becomes +2**23, and a second turn is not undone. Between those, equal.
    """
    top = limits.STATE_LIMIT
    inside = np.random.default_rng(0).integers(-3 * top + 1, 3 * top, 2000)
    theirs = ask(NENGO, {"overflow": inside.tolist(), "bits": 23})
    same = (inside != top) & (inside != -top)
    assert (kernels.wrap_current(inside)[same] == np.array(theirs)[same]).all()
    ends = [top, -top, 3 * top + 64]
    assert ask(NENGO, {"overflow": ends, "bits": 23}) == [-top, -top, -top + 64]
    assert kernels.wrap_current(np.array(ends)).tolist() == [top, top, top + 64]


def test_nengo_wraps_current_and_bias_together() -> None:
    """u + bias wraps at 23 bits there; here it is added to v, which clips. Out of reach of the bias register."""
    bias = CEILING - 63
    assert bias > limits.BIAS_MANTISSA_MAX << limits.BIAS_EXPONENT_MAX
    assert neuron(NENGO, [-1, 1], bias=bias, vth=131071)["v"] == [bias - 64, bias - 64 - limits.STATE_LIMIT]
    assert ours([-1, 1], bias=bias, vth=131071) == {"v": [bias - 64, 0], "spikes": [0, 1]}


def test_nengo_may_clip_v_at_zero() -> None:
    """vmin is 0 in the neurons that nengo builds (LIF, rectified linear); Lava's register ends at -(2**23 - 1)."""
    a = [-50, 101]
    assert neuron(NENGO, a, vmin=0)["spikes"] == [0, 1]
    assert neuron(NENGO, a)["spikes"] == ours(a)["spikes"] == [0, 0]


def test_nengo_delivers_input_spikes_a_step_later() -> None:
    """What stands at a neuron in the step of the spike here and in brian2-loihi arrives in the next one there."""
    question = {
        "steps": 3,
        "inputs": 1,
        "spikes": [[0, 0]],
        "populations": [{"name": "a", "size": 1, "dv": 0, "vth": 100}],
        "synapses": [{"src": "input", "dst": "a", "weight": [[5]], "exponent": 0}],
    }
    assert ask(NENGO, {"network": question})["a"]["v"] == [[0], [320], [320]]
    assert ask(BRIAN2, {"network": question})["a"]["v"] == [[320], [320], [320]]


# ---- known differences, brian2-loihi ----------------------------------------------------------------------------


def test_brian2_has_no_clip() -> None:
    """v goes on below -(2**23 - 1) there. Above, the highest threshold fires before the clip is met."""
    a = [-limits.CURRENT_MAX] * 5
    assert neuron(BRIAN2, a)["v"][-2:] == [-4 * 64 * limits.CURRENT_MAX, -5 * 64 * limits.CURRENT_MAX]
    assert ours(a)["v"][-2:] == neuron(NENGO, a)["v"][-2:] == [-4 * 64 * limits.CURRENT_MAX, -CEILING]


def test_brian2_has_no_overflow() -> None:
    """A current beyond 24 bits is itself there; Lava's, and ours, wraps. Out of reach within CURRENT_MAX."""
    assert neuron(BRIAN2, [131073])["u"] == [131073 * 64]
    assert kernels.wrap_current(np.array([131073 * 64])).tolist() == [131073 * 64 - (1 << 24)]


def test_brian2_sees_the_bias_in_the_current() -> None:
    """It has no bias: added to I, the sum is the same, and v too; the u that one reads there is u + bias."""
    theirs = neuron(BRIAN2, [3, 0], bias=7)
    assert theirs["u"] == [3 * 64 + 7, 7]
    assert theirs["v"] == ours([3, 0], bias=7)["v"] == [199, 206]


def test_brian2_counts_the_decay_of_the_current_from_one() -> None:
    """The register's 4095 forgets all (the chip adds one: Lava, nengo-loihi); there that is 4096, and 4095 is not."""
    assert neuron(BRIAN2, [2048, 0])["u"] == neuron(NENGO, [2048, 0])["u"] == [1 << 17, 0]
    assert neuron(BRIAN2, [2048, 0], decay_current=4095)["u"] == [1 << 17, 1 << 5]


# ---- known differences, weights ---------------------------------------------------------------------------------


@both
def test_a_weight_is_stored_doubled(name: str) -> None:
    """Int8 w stands as mantissa 2w with one exponent less, because mixed signs cost the lowest bit: nothing is lost."""
    w = np.arange(-127, 128)
    for exponent in (0, 3):
        acting = ask(name, {"mantissas": (2 * w).tolist(), "exponent": exponent - 1})
        assert acting == (w << (6 + exponent)).tolist()


def test_nengo_has_no_weight_of_minus_128() -> None:
    """Its mantissas are clipped symmetrically; Lava's and brian2-loihi's reach -256."""
    question = {"mantissas": [-256], "exponent": -1}
    assert ask(NENGO, question) == [-127 * 64]
    assert ask(BRIAN2, question) == [-128 * 64]


def test_odd_mantissas_lose_their_bit_in_three_ways() -> None:
    """nengo-loihi rounds half to even, brian2-loihi toward zero, Lava down (4, 2, -4 and -2): our builder has none."""
    question = {"mantissas": [5, 3, -3, -1], "exponent": 0}
    assert ask(NENGO, question) == [4 * 64, 4 * 64, -4 * 64, 0]
    assert ask(BRIAN2, question) == [4 * 64, 2 * 64, -2 * 64, 0]
