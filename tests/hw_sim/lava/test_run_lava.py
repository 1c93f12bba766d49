"""The script's parts without Lava: what it computes, and what it asks of a Lava that only notes it."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snnas.hw_sim.lava import run_lava
from snnas.hw_sim.lava.run_lava import BadFile, Timing, check_files, compare, report
from snnas.hw_sim.linear import apply
from snnas.hw_sim.program import LinearMap, Pool

# ------------------------------------------------------------------------------------------------ time, and comparing


def test_hardware_steps_by_hand() -> None:
    """Three timesteps and a blank of period 2: eight steps from sample to sample, the first at step 2."""
    timing = Timing(timesteps=3, period=2, blank=1, depth={"a": 0, "b": 4})
    assert timing.interval == 8
    assert timing.at(2, 1, 4) == 2 + 16 + 2 + 4
    assert timing.steps(1) == 2 + 4 + 4 + 1
    assert timing.steps(3) == timing.at(2, 2, 4) + 1
    assert timing.grid(2, 1).tolist() == [[3, 5, 7], [11, 13, 15]]
    assert timing.grid(2, 1, 1).tolist() == [[5, 7], [13, 15]]
    assert timing.grid(1, 0).dtype == np.int64
    document = {"timesteps": 3, "schedule": {"period": 2, "blank": 1, "depth": {"a": 0, "b": 4}}}
    assert run_lava.timing_of(document) == timing


def test_the_first_difference_is_told_with_its_place() -> None:
    expected = np.zeros((2, 3, 2), np.uint8)
    assert compare(expected, expected, (1, 2, 5)) == (0, None)
    recorded = expected.copy()
    recorded[1, 0, 0], recorded[0, 2, 1] = 0b1000_0001, 0b0100_0000
    first = {"sample": 0, "timestep": 2, "neuron": [0, 1, 4]}
    assert compare(recorded, expected, (1, 2, 5)) == (3, first)
    assert compare(expected, recorded, (1, 2, 5)) == (3, first)
    recorded[0, 0, 1] = 0b0010_0000  # the eleventh of ten neurons
    assert compare(recorded, expected, (1, 2, 5))[0] == 3


def test_what_was_not_run_took_nothing() -> None:
    assert run_lava.Run(spikes={}) == run_lava.Run({}, steps=0, processes=0, build_seconds=0.0, run_seconds=0.0)


def test_a_report_by_hand() -> None:
    program = {"timesteps": 3, "populations": [{"id": "a", "shape": [1, 2, 5]}, {"id": "b", "shape": [3, 1, 1]}]}
    spikes = {"a": np.zeros((2, 3, 2), np.uint8), "b": np.full((2, 3, 1), 0b1010_0000, np.uint8)}
    golden = {"spikes.a": np.zeros((5, 3, 2), np.uint8), "spikes.b": np.full((5, 3, 1), 0b1000_0000, np.uint8)}
    run = run_lava.Run(spikes=spikes, steps=7, processes=5, build_seconds=1.23456, run_seconds=2.34567)
    made = report(program, golden, run, 2)
    versions = made.pop("versions")
    assert made == {
        "samples": 2,
        "hardware_steps": 7,
        "processes": 5,
        "differing_spikes": 6,
        "spikes": 2 * 3 * 10 + 2 * 3 * 3,
        "per_population": {
            "a": {"differing": 0, "spikes": 60, "fired": 0, "first": None},
            "b": {
                "differing": 6,
                "spikes": 18,
                "fired": 12,
                "first": {"sample": 0, "timestep": 0, "neuron": [2, 0, 0]},
            },
        },
        "build_seconds": 1.235,
        "run_seconds": 2.346,
    }
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["lava"]


# ------------------------------------------------------------------------------------ a program and what was recorded


def document(**change: Any) -> dict[str, Any]:
    """Input -> a (2, 1, 2) -> b (3, 1, 1), which reads itself a timestep late; the host drives b; period 1."""
    made: dict[str, Any] = {
        "timesteps": 2,
        "input": {"shape": [1, 2, 3]},
        "schedule": {"period": 1, "blank": 1, "depth": {"a": 0, "b": 1}},
        "populations": [
            {"id": "a", "shape": [2, 1, 2], "dv": 7, "vth": 9, "bias_exponent": 2},
            {"id": "b", "shape": [3, 1, 1], "dv": 5, "vth": 4, "bias_exponent": 0, "du": 11},
        ],
        "synapses": [
            {"id": "s0", "src": "input", "dst": "a", "kind": "conv", "exponent": 3, "distance": 0, "stride": [2, 1],
             "pad": [0, 0], "groups": 1, "pre": [], "post": []},
            {"id": "s1", "src": "a", "dst": "b", "kind": "dense", "exponent": 1, "distance": 0},
            {"id": "s2", "src": "b", "dst": "b", "kind": "sparse", "exponent": 0, "distance": 1},
            {"id": "s3", "src": "clock", "dst": "b", "kind": "dense", "exponent": 0, "distance": 0},
        ],
        "host": [{"dst": "b"}],
        "readout": {"readings": [{"src": "b", "distance": 0}]},
    }  # fmt: skip
    return made | change


def weights() -> dict[str, np.ndarray]:
    return {
        "a.bias": np.array([1, -2], np.int16).reshape(2, 1, 1),
        "b.bias": np.array([3, 4, 5], np.int16).reshape(3, 1, 1),
        "s0.weight": np.arange(8, dtype=np.int8).reshape(2, 1, 2, 2),
        "s1.weight": np.arange(12, dtype=np.int8).reshape(3, 4),
        "s2.weight": np.array([100, 100, -3], np.int8),
        "s2.indices": np.array([0, 0, 2], np.int32),
        "s2.indptr": np.array([0, 2, 2, 3], np.int32),
        "s3.weight": np.array([[1], [2], [3]], np.int8),
    }


def recorded(samples: int = 2) -> dict[str, np.ndarray]:
    return {
        "spikes.a": np.zeros((samples, 2, 1), np.uint8),
        "spikes.b": np.zeros((samples, 2, 1), np.uint8),
        "currents.b": np.arange(samples * 3).reshape(samples, 1, 3, 1, 1).astype(np.int32),
        "input.spikes": (np.arange(samples * 12) % 3).reshape(samples, 2, 1, 2, 3).astype(np.uint8),
    }


def test_a_recording_fits_its_program() -> None:
    assert check_files(document(), weights(), recorded(1)) == 1
    assert check_files(document(), weights(), recorded(5)) == 5
    moving = recorded() | {"currents.b": np.zeros((2, 2, 3, 1, 1), np.int32)}
    assert check_files(document(), weights(), moving) == 2


def without(key: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in recorded().items() if name != key}


SLOW = {"period": 2, "blank": 1, "depth": {"a": 0, "b": 1}}
BIASED = "population a has a bias, period 2 needs biases as clock synapses"
MISFITS: dict[str, tuple[dict[str, Any], dict[str, np.ndarray], str]] = {
    "no spikes": ({}, without("spikes.b"), "it holds no spikes.b"),
    "no currents": ({}, without("currents.b"), "it holds no currents.b"),
    "no input": ({}, without("input.spikes"), "it holds no input.spikes"),
    "other size": (
        {}, recorded() | {"spikes.a": np.zeros((2, 2, 2))}, "spikes.a has shape (2, 2, 2); expected (samples, *(2, 1))"
    ),
    "other time": (
        {}, recorded() | {"currents.b": np.zeros((2, 3, 3, 1, 1))},
        "currents.b has shape (2, 3, 3, 1, 1); expected (samples, *(2, 3, 1, 1))",
    ),
    "other input": (
        {}, recorded() | {"input.spikes": np.zeros((2, 2, 1, 3, 2))},
        "input.spikes has shape (2, 2, 1, 3, 2); expected (samples, *(2, 1, 2, 3))",
    ),
    "two numbers": (
        {}, recorded() | {"spikes.a": np.zeros((3, 2, 1))}, "its arrays hold [2, 3] samples; expected one number >= 1"
    ),
    "none": ({}, recorded(0), "its arrays hold [0] samples; expected one number >= 1"),
    "a bias": ({"schedule": SLOW}, recorded(), BIASED),
    "no blank": (
        {"schedule": SLOW | {"period": 1, "blank": 0}}, recorded(),
        "a program with delayed synapses needs a blank timestep between samples (schedule.blank)",
    ),
    "an early exit of entries": (
        {"meta": {"early_exit": {}}, "readout": {"readings": [{"columns": 1}]}}, recorded(),
        "it has an early exit, and a readout by its entries, which can have none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", MISFITS)
def test_what_does_not_belong_together_is_refused(fault: str) -> None:
    change, golden, said = MISFITS[fault]
    with pytest.raises(BadFile) as caught:
        check_files(document(**change), weights(), golden)
    assert str(caught.value) == said


def test_what_is_allowed_is_not_refused() -> None:
    still = weights() | {"a.bias": np.zeros((2, 1, 1)), "b.bias": np.zeros((3, 1, 1))}
    assert check_files(document(schedule=SLOW), still, recorded()) == 2
    late_input = [dict(s, distance=int(s["src"] in ("input", "clock"))) for s in document()["synapses"]]
    unblanked = document(synapses=late_input, schedule=SLOW | {"period": 1, "blank": 0})
    assert check_files(unblanked, weights(), recorded()) == 2
    assert check_files(document(schedule=SLOW | {"period": 1, "blank": 2}), weights(), recorded()) == 2
    assert check_files(document(meta={"early_exit": {}}), weights(), recorded()) == 2
    entries = {"readings": [{"src": "b", "distance": 0, "columns": 1}]}
    assert check_files(document(readout=entries, meta={}), weights(), recorded()) == 2
    turned = document(populations=document()["populations"][::-1], host=[{"dst": "a"}])
    assert check_files(turned, weights(), without("currents.b") | {"currents.a": np.zeros((2, 1, 2, 1, 2))}) == 2
    alone = document(synapses=document()["synapses"][1:], host=[])
    assert check_files(alone, weights(), {k: v for k, v in recorded().items() if k.startswith("spikes.")}) == 2


# ----------------------------------------------------------------------------------------------- what Lava is asked for


class Port:
    def __init__(self, owner: Any, path: str, wires: list[tuple[str, str]]) -> None:
        self.owner, self.path, self.wires = owner, path, wires

    def _by(self, how: str) -> Port:
        return Port(self.owner, f"{self.path}.{how}", self.wires)

    def reshape(self, shape: Any) -> Port:
        return self._by(f"reshape{tuple(shape)}")

    def transpose(self, axes: Any) -> Port:
        return self._by(f"transpose{tuple(axes)}")

    def flatten(self) -> Port:
        return self._by("flatten")

    def connect(self, other: Port) -> None:
        self.wires.append((f"{self.owner.name}.{self.path}", f"{other.owner.name}.{other.path}"))


class Made:
    """A process of the Lava that notes: its kind, numbered, what it was given, and its ports."""

    def __init__(self, kind: str, number: int, given: dict[str, Any], wires: list[tuple[str, str]]) -> None:
        self.kind, self.name, self.given = kind, f"{kind}{number}", given
        for port in ("s_in", "s_out", "a_in", "a_out", "spikes_a", "spikes_b"):
            setattr(self, port, Port(self, port, wires))


@pytest.fixture
def lava(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Made], list[tuple[str, str]]]:
    made, wires = list[Made](), list[tuple[str, str]]()

    def imported(module: str, name: str) -> Any:
        if module.startswith("scipy"):
            return getattr(pytest.importorskip(module), name)
        if name == "SignMode":
            return type("SignMode", (), {"MIXED": f"{module}.MIXED"})

        def make(**given: Any) -> Made:
            made.append(Made(f"{module}.{name}".removeprefix("lava.proc."), len(made), given, wires))
            return made[-1]

        return type(name, (), {"__new__": lambda _, **given: make(**given)})

    monkeypatch.setattr(run_lava, "imported", imported)
    return made, wires


def sink(made: list[Made], wires: list[tuple[str, str]]) -> Callable[..., Made]:
    def make(shapes: Any, files: Any) -> Made:
        made.append(Made("sink", len(made), {"shapes": shapes, "files": files}, wires))
        return made[-1]

    return make


def test_the_network_that_lava_is_asked_to_build(lava: tuple[list[Made], list[tuple[str, str]]]) -> None:
    """Samples 1 and 2 of three: an interval of 3 steps, a at 2, 3 and 5, 6; b one step later."""
    made, wires = lava
    network = run_lava.Network(document(), weights(), recorded(3), 1, 2)
    assert (network.steps, network.timing.interval, network.samples, network.start) == (8, 3, 2, 1)
    network.build(sink(made, wires), ["fa", "fb"])
    a, b, host, conv, ring, one, loop, high, brought, clock, pulse, silence, sunk = made
    assert network.processes == len(made) == 13

    assert a.kind == b.kind == "lif.process.LIFReset"
    bias = np.broadcast_to(np.array([1, -2])[None, None, :], (2, 1, 2))
    assert a.given.pop("bias_mant").tolist() == bias.tolist()
    assert b.given.pop("bias_mant").tolist() == [[[3, 4, 5]]]
    timed = {"reset_interval": 3}
    assert a.given == {"shape": (2, 1, 2), "du": 4095, "dv": 7, "vth": 9, "bias_exp": 2, "reset_offset": 3} | timed
    assert b.given == {"shape": (1, 1, 3), "du": 11, "dv": 5, "vth": 4, "bias_exp": 0, "reset_offset": 4} | timed

    def sent(process: Made) -> dict[int, list[int]]:
        assert process.kind == "io.source.RingBuffer"
        data = process.given["data"]
        assert data.dtype == np.int32
        assert data.shape[-1] == 8
        return {t: data[..., t].ravel().tolist() for t in range(8) if data[..., t].any()}

    assert sent(host) == {3: [3, 4, 5], 4: [3, 4, 5], 6: [6, 7, 8], 7: [6, 7, 8]}
    frames = recorded(3)["input.spikes"] != 0
    inputs = {
        t: frames[s, k].transpose(2, 1, 0).ravel().tolist() for t, s, k in ((1, 1, 0), (2, 1, 1), (4, 2, 0), (5, 2, 1))
    }
    assert sent(ring) == inputs
    assert ring.given["data"].shape == (3, 2, 1, 8)

    assert conv.kind == "conv.process.Conv"
    flipped = weights()["s0.weight"].astype(int)[:, :, ::-1, ::-1] * 8
    assert conv.given.pop("weight").tolist() == flipped.transpose(0, 3, 2, 1).tolist()
    assert conv.given == {"input_shape": (3, 2, 1), "stride": (1, 2), "padding": (0, 0), "groups": 1}

    mixed = "lava.utils.weightutils.MIXED"
    assert one.kind == brought.kind == silence.kind == "dense.process.Dense"
    assert one.given.pop("weights").tolist() == (np.arange(12).reshape(3, 4) * 2).tolist()
    assert one.given == {"weight_exp": 0, "sign_mode": mixed}
    # 200 and -3 in digits of base 128: 72 - 128 = -56 and 2, -3
    assert loop.kind == high.kind == "sparse.process.Sparse"
    assert loop.given.pop("weights").toarray().tolist() == [[-112, 0, 0], [0, 0, 0], [0, 0, -6]]
    assert high.given.pop("weights").toarray().tolist() == [[4, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (loop.given, high.given) == ({"weight_exp": -1, "sign_mode": mixed}, {"weight_exp": 6, "sign_mode": mixed})
    assert sent(clock) == {2: [1], 3: [1], 5: [1], 6: [1]}
    assert brought.given["weights"].tolist() == [[2], [4], [6]]
    assert sent(pulse) == {1: [1], 4: [1]}  # a step before the timestep before the first one of each sample
    assert silence.given.pop("weights").tolist() == [[-192]] * 3
    assert silence.given == {"weight_exp": 8, "sign_mode": mixed}
    assert sunk.given == {"shapes": [(2, 1, 2), (1, 1, 3)], "files": ["fa", "fb"]}

    there = "s_out.transpose(2, 1, 0).flatten"
    back = "a_out.reshape(3, 1, 1).transpose(2, 1, 0)"
    assert wires == [
        (f"{host.name}.s_out", f"{b.name}.a_in"),
        (f"{ring.name}.s_out", f"{conv.name}.s_in"),
        (f"{conv.name}.a_out", f"{a.name}.a_in"),
        (f"{a.name}.{there}", f"{one.name}.s_in"),
        (f"{one.name}.{back}", f"{b.name}.a_in"),
        (f"{b.name}.{there}", f"{loop.name}.s_in"),
        (f"{loop.name}.{back}", f"{b.name}.a_in"),
        (f"{b.name}.{there}", f"{high.name}.s_in"),
        (f"{high.name}.{back}", f"{b.name}.a_in"),
        (f"{clock.name}.{there}", f"{brought.name}.s_in"),
        (f"{brought.name}.{back}", f"{b.name}.a_in"),
        (f"{pulse.name}.s_out.flatten", f"{silence.name}.s_in"),
        (f"{silence.name}.a_out.reshape(1, 1, 3)", f"{b.name}.a_in"),
        (f"{a.name}.s_out", f"{sunk.name}.spikes_a"),
        (f"{b.name}.s_out", f"{sunk.name}.spikes_b"),
    ]


def test_sources_are_shared_by_readers_of_one_depth(lava: tuple[list[Made], list[tuple[str, str]]]) -> None:
    made, wires = lava
    first, *_ = document()["synapses"]
    dense = {"kind": "dense", "exponent": 0, "src": "input"}
    late = [dict(dense, id="s1", dst="b", distance=1), dict(dense, id="s4", dst="b", distance=1),
            dict(dense, id="s5", dst="b", distance=0)]  # fmt: skip
    arrays = weights() | {name: np.ones((3, 6), np.int8) for name in ("s1.weight", "s4.weight", "s5.weight")}
    network = run_lava.Network(document(synapses=[first, *late], host=[]), arrays, recorded(3), 0, 2)
    network.build(sink(made, wires), ["fa", "fb"])
    rings = [m for m in made if m.kind == "io.source.RingBuffer"]
    assert len(rings) == 3
    frames = recorded(3)["input.spikes"] != 0
    data = rings[1].given["data"]  # a timestep late: what belongs to the last one is not sent
    assert [t for t in range(8) if data[..., t].any()] == [3, 6]
    for t, sample in ((3, 0), (6, 1)):
        assert data[..., t].tolist() == frames[sample, 0].transpose(2, 1, 0).astype(int).tolist()


def test_a_convolution_that_lavas_int8_does_not_hold_is_a_matrix() -> None:
    network = run_lava.Network(document(), weights(), recorded(), 0, 1)
    (conv, *_) = document()["synapses"]
    assert network.fits_conv(dict(conv, groups=127))
    for change in ({"groups": 128}, {"stride": [128, 1]}, {"stride": [1, 128]}, {"pad": [0, 128]}, {"pad": [128, 0]}):
        assert not network.fits_conv(dict(conv, **change))
    network.arrays["s0.weight"] = np.zeros((1, 1, 128, 1))
    assert not network.fits_conv(conv)


def test_a_soft_reset_is_refused(lava: tuple[list[Made], list[tuple[str, str]]]) -> None:
    network = run_lava.Network(document(), weights(), recorded(), 0, 1)
    with pytest.raises(RuntimeError, match="population a: its reset subtracts, which Lava's LIF does not"):
        network.neurons(document()["populations"][0] | {"taken": 1})


def test_runs_are_as_many_as_samples_need(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[int, int]] = []

    def run_once(program: Any, arrays: Any, golden: Any, span: tuple[int, int], *rest: Any) -> dict[str, np.ndarray]:
        spans.append(span)
        return {name: np.full((span[1], 1), span[0]) for name in "ab"}

    monkeypatch.setattr(run_lava, "run_once", run_once)
    monkeypatch.setattr(run_lava, "samples_per_run", lambda program, samples: 3)
    found = run_lava.run_all(document(), {}, {}, 7, "out", print)
    assert spans == [(0, 3), (3, 3), (6, 1)]
    assert found.spikes["a"].ravel().tolist() == found.spikes["b"].ravel().tolist() == [0, 0, 0, 3, 3, 3, 6]


def test_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = run_lava.parse([])
    assert options.folder == str(Path(run_lava.__file__).parent)
    assert (options.samples, options.out, options.quiet, options.parent) == (0, "", False, 0)
    options = run_lava.parse(["f", "--samples", "3", "--out", "o", "--quiet", "--parent", "9"])
    assert (options.folder, options.samples, options.out, options.quiet, options.parent) == ("f", 3, "o", True, 9)
    with pytest.raises(SystemExit) as caught:
        run_lava.parse(["--samples", "-1"])
    assert caught.value.code == 2
    assert "--samples -1: expected a number >= 1, or 0 for all" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- its matrices


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    pad=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    groups=st.integers(1, 3),
    channels=st.integers(1, 3),
)
def test_expanded_maps_equal_the_simulators(
    seed: int, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], groups: int, channels: int
) -> None:
    pytest.importorskip("scipy")
    rng = np.random.default_rng(seed)
    shape = (channels * groups, 6, 5)
    pool = Pool((2, 3), (1, 2), (1, 1))
    linear = LinearMap(
        kind="pooled_conv",
        weight=rng.integers(-128, 128, (groups * (1 + seed // 7 % 2), channels, *kernel)).astype(np.int8),
        stride=stride,
        pad=pad,
        groups=groups,
        pre=(pool,) if seed % 2 else (),
        post=(pool,) if seed % 3 else (),
    )
    try:
        target = linear.out_shape(shape)
    except ValueError:
        return
    pools = {
        end: [{"kernel": p.kernel, "stride": p.stride, "pad": p.pad} for p in getattr(linear, end)]
        for end in ("pre", "post")
    }
    synapse = {"id": "s", "kind": "pooled_conv", "stride": stride, "pad": pad, "groups": groups, **pools}
    matrix = run_lava.synapse_matrix(synapse, {"s.weight": linear.weight}, shape)
    x = rng.random((3, *shape)) < 0.5
    expected = apply(linear, x, target).reshape(3, -1)
    assert np.array_equal((matrix @ x.reshape(3, -1).T).T, expected)
    parts = run_lava.digits(matrix)
    assert all(p.data.min() >= -128 and p.data.max() <= 127 for p in parts)
    whole = sum((p.toarray() << (7 * k) for k, p in enumerate(parts)), np.zeros(matrix.shape, dtype=np.int64))
    assert np.array_equal(whole, matrix.toarray())


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20))
@example([100, -127])
def test_digits_add_up(values: list[int]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.array([values], dtype=np.int64))
    parts = run_lava.digits(matrix)
    assert len(parts) <= 1 or max(map(abs, values)) > 127  # what fits a byte is one
    assert [sum(int(p.toarray()[0, i]) << (7 * k) for k, p in enumerate(parts)) for i in range(len(values))] == values


# ----------------------------------------------------------------------------------------------------- an early exit


def exits(mode: str, *, margin: int = 0, bias: list[list[int]] | None = None, weight: int = 5) -> dict[str, Any] | None:
    """Two classes read three neurons of a and one of b over four timesteps; a response of 2."""
    rule = {"mode": mode, "margin": margin}
    program = {"timesteps": 4, "meta": {"early_exit": rule},
               "readout": {"readings": [{"src": "a", "distance": 0}, {"src": "b", "distance": 0}]}}  # fmt: skip
    arrays = {
        "readout.bias": np.array(bias or [[0, 0]], np.int64),
        "readout.response": np.array([[2]]),
        "readout.a.0": np.array([[3, 1, 0], [1, 1, 2]], np.int8),
        "readout.b.0": np.array([[0], [weight]], np.int8),
    }
    fired = {
        "a": [[[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]],
        "b": [[[0], [0], [0], [0]], [[1], [1], [0], [0]]],
    }
    spikes = {name: np.packbits(np.array(each, np.uint8), axis=-1) for name, each in fired.items()}
    return run_lava.early_exit(program, arrays, spikes)


def test_where_an_inference_could_have_ended_by_hand() -> None:
    """Of sample 0 the sums are 3, 7, 10, 13 against 1, 3, 4, 5; of sample 1 they are 0, 1, 1, 4 against 7, 13, 13, 14.

    Class 1 gains at most 2 + 5 on class 0 in a timestep, class 0 at most 2 on class 1: 0 leads by 2, 4, 6, 8 and is
    never safe before the end; 1 leads by 7, 12, 12, 10, of which more than 6 are enough at once. All of it times 128.
    """
    assert exits("exact") == {"mode": "exact", "timesteps": [4, 1], "changed": 0}
    for margin, ends in ((2 * 128, 1), (2 * 128 + 1, 2), (4 * 128 + 1, 3), (6 * 128, 3), (6 * 128 + 1, 4), (9999, 4)):
        found = exits("confidence", margin=margin)
        assert found is not None
        assert found["timesteps"][0] == ends, margin
    assert exits("confidence", margin=9 * 128) == {"mode": "confidence", "timesteps": [4, 2], "changed": 0}
    assert exits("confidence", margin=12 * 128) == {"mode": "confidence", "timesteps": [4, 2], "changed": 0}
    assert exits("confidence", margin=12 * 128 + 1) == {"mode": "confidence", "timesteps": [4, 4], "changed": 0}
    assert exits("another") is None
    assert run_lava.early_exit({"meta": {"early_exit": "exact"}}, {}, {}) is None


def test_gains_of_two_readings_are_added() -> None:
    """By a weight of 3 of b's neuron class 1 gains at most 2 + 3, and leads by 5, 8, 8, 6."""
    assert exits("exact", weight=3) == {"mode": "exact", "timesteps": [3, 2], "changed": 0}


def test_a_bias_counts_for_all_timesteps_from_the_first_on() -> None:
    """Class 0 wins by 8 times 128 at the end; at first class 1 has 3 more for each timestep or once."""
    early = exits("confidence", margin=128, bias=[[0, 3 * 128]])
    assert early == {"mode": "confidence", "timesteps": [1, 1], "changed": 0}  # 13 against 5 + 12
    early = exits("confidence", margin=128, bias=[[0, 5 * 128], [0, 0], [0, 0], [0, 0]])
    assert early == {"mode": "confidence", "timesteps": [1, 1], "changed": 1}  # 3 against 6 at first, 13 against 10


def test_a_tie_is_the_lower_classs() -> None:
    """By one more 0 leads by 3, 5, 7 and 9, and 7 can be lost; 1 by 6, 11 and more, and 6 could be lost at first."""
    bias = [[128, 0], [0, 0], [0, 0], [0, 0]]
    assert exits("exact", bias=bias) == {"mode": "exact", "timesteps": [3, 2], "changed": 0}


# ------------------------------------------------------------------------------------------------------ a run of Lava


def test_a_run_by_a_lava_that_only_notes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight steps of both populations' bits; what is recorded are those of their own steps."""
    rows = {"a": np.arange(8, dtype=np.uint8) + 10, "b": np.arange(8, dtype=np.uint8) + 20}
    said, asked, clock = list[str](), list[Any](), iter([100.0, 103.0, 110.0])
    quarantined: list[str] = []

    class Sink:
        def create_runtime(self, run_cfg: Any) -> None:
            asked.append(("create", run_cfg))

        def run(self, condition: Any, run_cfg: Any) -> None:
            asked.append(("run", condition, run_cfg))
            for name, data in rows.items():
                (tmp_path / f"spikes.{name}.bits").write_bytes(data.tobytes())

        def stop(self) -> None:
            asked.append("stop")

    def classes(names: list[str], quarantine: str) -> tuple[str, str]:
        assert Path(quarantine).is_dir()
        quarantined.append(quarantine)
        return f"process of {names}", "model"

    def build(network: run_lava.Network, process: str, files: list[str]) -> Sink:
        assert process == "process of ['a', 'b']"
        assert files == [str(tmp_path / "spikes.a.bits"), str(tmp_path / "spikes.b.bits")]
        network.processes = 5
        return Sink()

    monkeypatch.setattr(run_lava, "imported", lambda module, name: lambda **given: (module, name, given))
    monkeypatch.setattr(run_lava, "sink_classes", classes)
    monkeypatch.setattr(run_lava.Network, "build", build)
    monkeypatch.setattr(run_lava.time, "perf_counter", lambda: next(clock))
    result = run_lava.Run(spikes={}, steps=3, build_seconds=0.5, run_seconds=0.25)
    found = run_lava.run_once(document(), weights(), recorded(3), (1, 2), str(tmp_path), result, said.append)
    assert {name: each[..., 0].tolist() for name, each in found.items()} == {
        "a": [[12, 13], [15, 16]], "b": [[23, 24], [26, 27]]
    }  # fmt: skip
    assert (result.steps, result.processes, result.build_seconds, result.run_seconds) == (3 + 8, 5, 3.5, 7.25)
    given = {"select_tag": "fixed_pt", "exception_proc_model_map": {"process of ['a', 'b']": "model"}}
    configuration = ("lava.magma.core.run_configs", "Loihi2SimCfg", given)
    condition = ("lava.magma.core.run_conditions", "RunSteps", {"num_steps": 8})
    assert asked == [("create", configuration), ("run", condition, configuration), "stop"]
    assert said == ["built 5 Lava processes; running 8 hardware steps for 2 samples"]
    assert not any(Path(each).exists() for each in quarantined)
    assert list(tmp_path.iterdir()) == []
    rows["b"] = rows["b"][:7]
    clock = iter([0.0, 0.0, 0.0])
    with pytest.raises(RuntimeError, match=r"recorded 7 bytes of b; expected 8: is the disk full\?"):
        run_lava.run_once(document(), weights(), recorded(3), (1, 2), str(tmp_path), result, said.append)


def test_without_numpy_the_script_says_so() -> None:
    command = [sys.executable, "-I", "-S", run_lava.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"numpy is not installed for {sys.executable}; run it by a Python 3.10 with lava-nc=="
    )
    assert done.stdout == ""


def test_channels_go_last_in_lava() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    assert run_lava.whc(array).shape == (4, 3, 2)
    assert run_lava.whc(array)[3, 1, 0] == array[0, 1, 3]
    assert run_lava.whc(array).flags.c_contiguous
