"""As ``test_by_value``, of the Lava worker's script: what Lava is given, and who ends whom."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.lava import run_lava

STEPS = 4


# ------------------------------------------------------------------------------------------- its own classes for Lava


class Meta(type):
    """Of Lava's processes."""


class Process(metaclass=Meta):
    def __init__(self, **given: Any) -> None:
        self.given = given


class Model:
    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params


def lava(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of Lava that note what they are given."""

    def marks(**given: Any) -> Any:
        def mark(model: type) -> type:
            model.marks = [*getattr(model, "marks", []), given]  # type: ignore[attr-defined]
            return model

        return mark

    known: dict[tuple[str, str], Any] = {
        ("lava.magma.core.decorator", "implements"): marks,
        ("lava.magma.core.decorator", "requires"): lambda resource: marks(requires=resource),
        ("lava.magma.core.model.py.model", "PyLoihiProcessModel"): Model,
        ("lava.magma.core.model.py.ports", "PyInPort"): SimpleNamespace(VEC_DENSE="dense"),
        ("lava.magma.core.model.py.type", "LavaPyType"): lambda *given: given,
        ("lava.magma.core.process.ports.ports", "InPort"): lambda **given: given,
        ("lava.magma.core.process.process", "AbstractProcess"): Process,
        ("lava.magma.core.resources", "CPU"): "CPU",
        ("lava.magma.core.sync.protocols.loihi_protocol", "LoihiProtocol"): "Loihi",
    }
    monkeypatch.setattr(run_lava, "imported", lambda module, name: known[module, name])


def test_the_recorder_is_a_process_of_its_own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of each population; its module claims to lie in the empty folder, where Lava looks for models."""
    lava(monkeypatch)
    monkeypatch.setitem(sys.modules, "snnas_spike_sink", None)  # type: ignore[arg-type]
    process, model = run_lava.sink_classes(["a", "b"], str(tmp_path))
    module = sys.modules["snnas_spike_sink"]
    assert module.__spec__ is not None
    assert (module.__name__, module.__spec__.name, module.__spec__.loader) == (*["snnas_spike_sink"] * 2, None)
    assert module.__file__ == str(tmp_path / "snnas_spike_sink.py")
    assert (module.SpikeSink, module.SpikeSinkModel) == (process, model)
    assert (process.__name__, process.__module__, type(process)) == ("SpikeSink", module.__name__, Meta)
    assert issubclass(process, Process)
    made = process([(2, 1, 5), (1, 1, 3)], ["fa", "fb"])
    assert made.given == {"files": ["fa", "fb"]}
    assert (made.spikes_a, made.spikes_b) == ({"shape": (2, 1, 5)}, {"shape": (1, 1, 3)})
    with pytest.raises(ValueError, match="zip"):
        process([(2, 1, 5)], ["fa", "fb"])
    assert (model.__name__, model.__module__) == ("SpikeSinkModel", module.__name__)
    assert issubclass(model, Model)
    assert model.spikes_a == model.spikes_b == ("dense", np.int32)
    assert model.marks == [{"requires": "CPU"}, {"proc": process, "protocol": "Loihi"}]


def test_the_recorder_writes_a_row_of_bits_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not 0 has fired; (W, H, C) as (C, H, W); a disk that is full is noticed afterwards, by the size."""
    lava(monkeypatch)
    monkeypatch.setitem(sys.modules, "snnas_spike_sink", None)  # type: ignore[arg-type]
    _, model = run_lava.sink_classes(["a", "b"], str(tmp_path))
    paths = [str(tmp_path / "fa"), str(tmp_path / "fb")]
    made = model({"files": paths})
    assert (made.params, made.paths, made.opened) == ({"files": paths}, paths, None)
    sent = np.zeros((2, 1, 5), np.int32)  # (W, H, C): ten neurons
    sent[0, 0, 0], sent[1, 0, 0], sent[1, 0, 4] = 7, -1, 1
    made.spikes_a = SimpleNamespace(recv=lambda: sent)
    made.spikes_b = SimpleNamespace(recv=lambda: np.ones((1, 1, 3)))
    made.run_spk()
    assert Path(paths[0]).read_bytes() == bytes([0b1100_0000, 0b0100_0000]), "written at once"
    sent[...] = 0
    made.run_spk()
    assert Path(paths[0]).read_bytes() == bytes([0b1100_0000, 0b0100_0000, 0, 0])
    assert Path(paths[1]).read_bytes() == bytes([0b1110_0000] * 2)

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    for file in made.opened:
        file.close()
    made.opened = [Full(), Full()]
    made.run_spk()
    made.opened = made.opened[:1]
    with pytest.raises(ValueError, match="zip"):
        made.run_spk()


# --------------------------------------------------------------------------------------------------- who ends whom


class Ended(BaseException):
    """Of a process that is put in place of the one that would end."""


@pytest.mark.parametrize("gone", [False, True])
def test_a_worker_whose_parent_is_gone_ends_its_group(gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks each half second; a child in a session of its own says TERM, and KILL three seconds later."""
    done: list[Any] = []
    parents = iter([70_001, 70_001, 1])

    def killpg(group: int, number: int) -> None:
        done.append((group, number))
        if gone and number == signal.SIGKILL:
            raise ProcessLookupError

    def leaves(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "getpid", lambda: 70_005)
    monkeypatch.setattr(os, "getppid", lambda: next(parents) + 0)
    monkeypatch.setattr(os, "fork", lambda: done.append("fork") or 0)
    monkeypatch.setattr(os, "setsid", lambda: done.append("setsid"))
    monkeypatch.setattr(os, "killpg", killpg)
    monkeypatch.setattr(os, "_exit", leaves)
    monkeypatch.setattr(run_lava.time, "sleep", done.append)
    with pytest.raises(Ended) as caught:
        run_lava.end_with(70_001)
    assert caught.value.args == (0,)
    assert done == [0.5, 0.5, "fork", "setsid", (70_005, signal.SIGTERM), 3.0, (70_005, signal.SIGKILL)]


def test_the_worker_itself_is_ended_by_its_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(os, "fork", lambda: 4321)

    def never(*given: Any) -> None:
        raise AssertionError

    for name in ("setsid", "killpg", "_exit"):
        monkeypatch.setattr(os, name, never)
    monkeypatch.setattr(run_lava.time, "sleep", never)
    run_lava.end_with(70_001)


# ------------------------------------------------------------------------------------------------- sizes, and samples


def single(size: int, **more: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A population of so many neurons, nothing else; four timesteps."""
    document: dict[str, Any] = {
        "timesteps": STEPS, "input": {"shape": [1, 1, 2]}, "schedule": {"period": 1, "blank": 1, "depth": {"a": 0}},
        "populations": [{"id": "a", "shape": [size, 1, 1]}], "synapses": [], "host": [], "readout": {"readings": []},
    }  # fmt: skip
    return document | more, {"a.bias": np.zeros((size, 1, 1), np.int16)}


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 72, 73])
def test_bits_take_as_many_bytes_as_they_need(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a recording, and of what the recorder leaves of a run."""
    document, arrays = single(size)
    need = -(-size // 8)
    assert run_lava.check_files(document, arrays, {"spikes.a": np.zeros((3, STEPS, need), np.uint8)}) == 3
    for other in (need - 1, need + 1):
        with pytest.raises(run_lava.BadFile, match=r"spikes\.a has shape"):
            run_lava.check_files(document, arrays, {"spikes.a": np.zeros((3, STEPS, other), np.uint8)})
    timing = run_lava.timing_of(document)
    rows = np.arange(timing.steps(2) * need, dtype=np.uint8).reshape(-1, need)

    class Sink(SimpleNamespace):
        def run(self, **given: Any) -> None:
            (tmp_path / "spikes.a.bits").write_bytes(rows.tobytes())

    sink = Sink(create_runtime=lambda **given: None, stop=lambda: None)
    monkeypatch.setattr(run_lava, "imported", lambda module, name: lambda **given: None)
    monkeypatch.setattr(run_lava, "sink_classes", lambda names, quarantine: (None, None))
    monkeypatch.setattr(run_lava.Network, "build", lambda *given: sink)
    ran = run_lava.Run(spikes={}), print
    found = run_lava.run_once(document, arrays, {}, (0, 2), str(tmp_path), *ran)
    assert found["a"].tolist() == rows[[[2, 3, 4, 5], [7, 8, 9, 10]]].tolist()


def test_samples_from_the_third_on_reach_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples 2 and 3 of six over four timesteps; a late reader misses the last one."""
    document, arrays = single(2, host=[{"dst": "a"}])
    rng = np.random.default_rng(0)
    golden = {
        "input.spikes": rng.integers(0, 2, (6, STEPS, 1, 1, 2)).astype(np.uint8),
        "currents.a": rng.integers(1, 99, (6, STEPS, 2, 1, 1)).astype(np.int32),
    }
    rings: list[Any] = []
    network = run_lava.Network(document, arrays, golden, 2, 2)
    port = SimpleNamespace(connect=lambda other: None)

    def ring(shape: Any, grid: np.ndarray, values: np.ndarray) -> Any:
        rings.append((shape, grid.tolist(), np.asarray(values).tolist()))
        return port

    monkeypatch.setattr(network, "ring", ring)
    network.lif["a"] = SimpleNamespace(a_in=port)
    network.inject("a")
    for distance in (0, 1, 1):
        network.source({"src": "input", "dst": "a", "distance": distance})
    spikes = golden["input.spikes"][2:4] != 0
    assert rings == [
        ((2, 1, 1), [[2, 3, 4, 5], [7, 8, 9, 10]], golden["currents.a"][2:4].tolist()),
        ((1, 1, 2), [[1, 2, 3, 4], [6, 7, 8, 9]], spikes.tolist()),
        ((1, 1, 2), [[2, 3, 4], [7, 8, 9]], spikes[:, :3].tolist()),
    ]
