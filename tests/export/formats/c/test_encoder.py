"""encoder.c: the spikes of hw_sim/signals.py, each of them, natively and on emulated cores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.c import encoder_trial
from snnas.export.formats.c.encoder import SOURCES, edges, encoder_texts
from snnas.export.formats.c.encoder_trial import INSTANCE, Trial, instructions_of
from snnas.export.formats.signal_probes import probes
from snnas.hw_sim.c import compilers, emulate, native
from snnas.hw_sim.errors import GateError, InvalidFileError, UsageError
from snnas.hw_sim.signals import SignalInput, fires_at
from snnas.toolchain.models.in_c import encoder_in_c
from snnas.toolchain.output.stderr import SILENT
from snnas.toolchain.results.reading import hold
from snnas.toolchain.results.records.c import CEncoder

WALKS = np.random.default_rng(1).normal(size=(5, 25, 3)).cumsum(axis=1).astype(np.float32) * (1, 700, 0.01)
KINDS: dict[str, dict[str, Any]] = {
    "delta": {"encoding": "delta"},
    "delta, frames that overlap": {"encoding": "delta", "window": 8, "hop": 3},
    "delta, frames with gaps": {"encoding": "delta", "window": 4, "hop": 6},
    "level": {"encoding": "level", "levels": 3},
    "level in frames": {"encoding": "level", "levels": 2, "window": 8, "hop": 8},
    "latency": {"encoding": "latency", "window": 8, "hop": 5, "steps": 6},
    "latency of one frame": {"encoding": "latency", "window": 25, "steps": 40},
    "latency of a frame that is longer": {"encoding": "latency", "window": 31, "steps": 2},
}


def program(**said: Any) -> Any:
    """As much of one as an encoder is written from."""
    signal = SignalInput(**{"window": 0, "length": 25, **said}).fitted(WALKS)
    _, lines, *_ = signal.shape(3)
    return SimpleNamespace(meta={"signal": signal.to_json()}, input_shape=(lines, 1, max(1, signal.window)))


def trial(**said: Any) -> Trial:
    made = encoder_trial(program(**said))
    assert made is not None
    return made


def run(made: Trial) -> np.ndarray:
    compiler, why = compilers.native()
    if compiler is None:
        pytest.skip(why)
    return native.run(made.model, made.given, compiler, sanitize=True).spikes


@pytest.mark.parametrize("kind", KINDS)
def test_every_spike_is_the_same(kind: str) -> None:
    made = trial(**KINDS[kind])
    frames = made.said[:, :, 0].sum()
    assert made.spikes > 300
    assert 0.02 < np.bitwise_count(made.said[:, :, 1:]).sum() / made.spikes < 0.98
    assert frames == len(made.said) * SignalInput(**{"window": 0, "length": 25, **KINDS[kind]}).shape(3)[0] / (
        KINDS[kind].get("steps", 1)
    )
    found = run(made)
    made.require_equal(found, "natively")
    assert np.array_equal(found, made.said)


@pytest.mark.parametrize("kind", ["delta", "level in frames", "latency"])
@pytest.mark.parametrize("core", compilers.CORES)
def test_on_a_core_without_a_unit_for_floats(kind: str, core: str) -> None:
    compiler, why = compilers.cross(compilers.CORES[core])
    python, no_emulator = compilers.emulator()
    if compiler is None or python is None:
        pytest.skip(why if compiler is None else no_emulator)
    made = trial(**KINDS[kind])
    image = emulate.emulate(made.model, made.given, compilers.CORES[core], compiler, python)
    assert np.array_equal(image.ran.spikes, made.said)
    assert {"snnas_encoder_init", "snnas_encoder_push", "snnas_encoder_frame"} <= image.functions.keys()
    flash, state = emulate.sizes(made.alone, INSTANCE, compiler)
    assert 100 < flash < image.flash
    assert state == {"delta": 36, "level in frames": 60, "latency": 108}[kind], "as its members add up"
    assert instructions_of(image.functions) > made.given.shape[1] * 10


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("delta", "above >= threshold", "above > threshold"),
        ("delta", "*reference -= threshold[c]", "*reference = sample[c]"),
        ("delta", "encoder->begun = 0;\n", "encoder->begun = 1;\n    for (uint32_t c = 0; c < 3u; c++) "
         "encoder->reference[c] = 0.0f;\n"),
        ("level", "sample[c] >= level", "sample[c] > level"),
        ("latency", "value >= edge[c][step];", "value > edge[c][step];"),
        ("latency", "step + 1u >= SNNAS_FRAME_STEPS || ", "step + 1u < SNNAS_FRAME_STEPS && "),
        ("level in frames", "encoder->due = 8u;\n    return 1;", "encoder->due = 7u;\n    return 1;"),
        ("delta, frames that overlap", "uint32_t at = encoder->next;", "uint32_t at = 0;"),
        ("delta, frames that overlap", "encoder->rows[encoder->last][k]", "0"),
    ],
)  # fmt: skip
def test_a_fault_is_seen(kind: str, right: str, wrong: str) -> None:
    made = trial(**KINDS[kind])
    assert made.model.source.count(right) == 1
    object.__setattr__(made.model, "source", made.model.source.replace(right, wrong))
    with pytest.raises(GateError, match=r"encoder\.c: [1-9]\d* of \d+ spikes differ natively"):
        made.require_equal(run(made), "natively")


def test_the_report_has_what_an_encoder_takes_on_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    python, no_emulator = compilers.emulator()
    whys = [no_emulator if python is None else "", *(compilers.cross(core)[1] for core in compilers.CORES.values())]
    if python is None or None in [compilers.cross(core)[0] for core in compilers.CORES.values()]:
        pytest.skip("; ".join(whys))
    monkeypatch.setattr(compilers, "native", lambda: (None, "not in this test"))
    found = encoder_in_c(program(**KINDS["delta"]), SILENT)
    assert found is not None
    hold(CEncoder, found, "c", "")
    assert [(core["core"], core["state_bytes"]) for core in found["cores"]] == [("cortex-m4", 36), ("rv32imc", 36)]
    assert found["places"] == ["cortex-m4", "rv32imc"]
    for core in found["cores"]:
        assert core["instructions"] > 25 * 3 * 20, "two differences of each value, by functions: no unit for floats"
        assert 100 < core["flash_bytes"] < 1000


def test_what_tries_an_encoder_is_not_counted() -> None:
    taken = {"device_step": 1, "snnas_step": 20, "snnas_init": 300, "snnas_logits": 4000}
    assert instructions_of({**taken, "snnas_encoder_push": 5, "snnas_encoder_init": 60, "__addsf3": 700}) == 765


@pytest.mark.parametrize("steps", [2, 3, 8, 100])
def test_edges_part_what_has_fired(steps: int) -> None:
    signal = SignalInput(window=5, length=5, encoding="latency", steps=steps, ends=((-3.0, 0.1), (7e-9, 9e30)))
    found = edges(signal, 2)
    low, high = (np.repeat(np.array(signal.ends, np.float32)[:, k : k + 1], steps - 1, axis=1) for k in (0, 1))
    before = np.nextafter(found, np.float32(-np.inf))
    assert found.shape == (2, steps - 1)
    assert (fires_at(found, low, high, steps) <= np.arange(steps - 1)).all()
    assert (fires_at(before, low, high, steps) > np.arange(steps - 1)).all()


def test_a_constant_channel_of_large_values_has_two_ends() -> None:
    still = np.full((2, 9, 1), 3e8, np.float32)
    signal = SignalInput(window=3, length=9, encoding="latency").fitted(still)
    ((low, high),) = signal.ends
    assert low == 3e8
    assert low < high < 3.1e8
    assert signal.apply(still).sum() == 18, "each value fires once"
    far = np.array([-3e38, 3e38], np.float32).reshape(1, 2, 1)
    with pytest.raises(UsageError, match="farther apart than float32 reaches"):
        SignalInput(window=2, length=2, encoding="latency").fitted(far)


def test_probes_meet_every_constant() -> None:
    level = SignalInput(window=0, length=25, encoding="level", levels=3).fitted(WALKS)
    delta = SignalInput(window=0, length=25, encoding="delta").fitted(WALKS)
    assert set(np.array(level.reached, np.float32).ravel()) < set(probes(level, 3, 8).ravel())
    x, threshold = probes(delta, 3, 8), np.array(delta.thresholds, np.float32)
    assert (np.abs(np.diff(x[::4], axis=1)) == threshold).any()


def test_values_need_no_encoder() -> None:
    direct = program(encoding="direct")
    assert encoder_texts(direct) == {}
    assert encoder_trial(direct) is None
    assert encoder_texts(SimpleNamespace(meta={})) == {}  # type: ignore[arg-type]
    assert set(encoder_texts(program(encoding="delta"))) == set(SOURCES)


def test_constants_of_other_channels_are_refused() -> None:
    made = program(encoding="level", levels=2)
    made.input_shape = (8, 1, 1)
    with pytest.raises(InvalidFileError, match="constants of 3 channels, expected 4"):
        encoder_texts(made)


def test_the_header_says_what_a_sample_is() -> None:
    header = encoder_texts(program(**KINDS["latency"]))["encoder.h"]
    assert "#define SNNAS_CHANNELS 3u\n#define SNNAS_SIGNAL 25u" in header
    assert "#define SNNAS_FRAME_STEPS 6u\n" in header
    assert "float rows[8][3];" in header
