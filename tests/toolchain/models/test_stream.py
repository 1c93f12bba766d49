"""Time to a decision, and samples in a row without a reset."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.hw_sim.program import HostMap, LinearMap, Population, Program, Schedule
from snnas.hw_sim.readout import summed
from snnas.toolchain.models.simulate import simulate
from snnas.toolchain.models.stream import decided, in_a_row
from snnas.toolchain.output.estimate import simulated
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.results.records.simulate import Simulation

STEPS = 4


def one_neuron() -> Program:
    """A neuron without leak, threshold 10; a spike of it speaks for class 1, and without one it is class 0."""
    host = HostMap(id="h", dst="p", map=LinearMap(kind="conv", weight=np.ones((1, 1, 1, 1), np.float32)), gain=1.0)
    zero = np.zeros((1, 1, 1), dtype=np.int16)
    program = Program(
        timesteps=STEPS,
        input_shape=(1, 1, 1),
        input_kind="analogue",
        populations=(Population(id="p", shape=(1, 1, 1), dv=0, vth=10, scale=1.0, bias=zero),),
        synapses=(),
        host=(host,),
        readout=summed(src="p", weight=np.array([[0], [1]], dtype=np.int8), bias=np.zeros(2, int), scale=1.0),
        schedule=Schedule(period=2, depth={"p": 3}),
    )
    program.verify()
    return program


def samples(*currents: int) -> np.ndarray:
    return np.array(currents, np.float32).reshape(-1, 1, 1, 1)


def test_a_decision_is_when_the_answer_stays() -> None:
    program = one_neuron()
    fired = np.zeros((3, STEPS, 1, 1, 1), dtype=bool)
    fired[1, 2] = fired[2, 0] = True
    assert decided(program, {"p": fired}).tolist() == [1, 3, 1]


def test_a_neuron_carries_over_what_it_has_heard() -> None:
    """2 at each of 4 timesteps is 8, under the threshold; the next sample reaches 12 at its second timestep."""
    x = samples(2, 2, 3, 0, 2)
    (streamed,) = in_a_row(one_neuron(), x, 2, 128)
    assert streamed.predictions.tolist() == [0, 1, 1, 0]  # a lone sample behind the last row is left out
    assert streamed.timesteps.tolist() == [1, 2, 4, 1]
    frames = np.repeat(x[:, None], STEPS, axis=1)
    parts = list(in_a_row(one_neuron(), frames, 2, 1))  # as frames, and a row at a time
    assert [part.predictions.tolist() for part in parts] == [[0, 1], [1, 0]]


def test_the_figures_of_simulate(tmp_path: Path) -> None:
    (tmp_path / "program.npz").touch()
    x = samples(2, 2, 3, 0, 2)
    about = {"x": x, "samples": x, "y": np.array([0, 1, 1, 0, 0]), "program": one_neuron(), "batch": 8, "seed": 0}
    names = {"path": tmp_path, "data": "none", "confirmed": False, "verified": True, "notes": (), "graph": None}
    subject = SimpleNamespace(label="", **about, **names)
    found = simulate(subject, Narrator(quiet=True), stream=2)
    Simulation.model_validate(found)
    assert found["decision"]["timesteps"]["mean"] == pytest.approx((1 + 1 + 4 + 1 + 1) / 5)
    assert found["decision"]["hardware_steps"] == pytest.approx(8 / 5 * 2 + subject.program.schedule.total_depth)
    stream = found["stream"]
    assert (stream["row"], stream["samples"], stream["changed"]) == (2, 4, 1)
    assert (found["accuracy"]["on_target"], stream["accuracy"]["on_target"]) == (0.8, 1.0)
    assert "stream" not in simulate(subject, Narrator(quiet=True))
    assert "balanced" not in found["accuracy"]


def test_of_uneven_classes_the_balanced_accuracy_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "program.npz").touch()
    x, y = samples(*[2] * 18, 2, 3), np.repeat([0, 1], [18, 2])  # 0 is said of all but the last
    about = {"x": x, "samples": x, "y": y, "program": one_neuron(), "batch": 8, "seed": 0}
    names = {"path": tmp_path, "data": "none", "confirmed": False, "verified": True, "notes": (), "graph": None}
    found = simulate(SimpleNamespace(label="", **about, **names), Narrator(quiet=True))
    Simulation.model_validate(found)
    assert (found["accuracy"]["on_target"], found["accuracy"]["balanced"]) == (0.95, 0.75)
    cells = [list(column.cells) for column in next(iter(simulated(found))).columns]
    assert ("  balanced", "75.00%") in list(zip(*cells[:2], strict=True))


def test_rows_that_cannot_be() -> None:
    for row in (0, 1, 6):
        with pytest.raises(UsageError, match=f"--stream {row}: expected 2 to 5 samples in a row"):
            list(in_a_row(one_neuron(), samples(1, 1, 1, 1, 1), row, 8))
    program = one_neuron()
    object.__setattr__(program.readout, "read", "last")
    with pytest.raises(UnsupportedError, match="only sums of spikes begin anew"):
        list(in_a_row(program, samples(1, 1), 2, 8))
    assert decided(program, {"p": np.zeros((1, STEPS, 1, 1, 1), dtype=bool)}) is None
