"""Fine-tuning: the module is the program, its gradients are those of training, and a kill changes nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from snnas.export.compiler.fold import fold  # noqa: E402
from snnas.export.compiler.ranges import prove, verify_ranges  # noqa: E402
from snnas.export.formats.program_file import read_program  # noqa: E402
from snnas.hw_sim.entries import added, equal, values_of, with_values  # noqa: E402
from snnas.hw_sim.errors import UnsupportedError, UsageError  # noqa: E402
from snnas.hw_sim.program import LinearMap, Population, Program, Schedule, Synapse  # noqa: E402
from snnas.hw_sim.readout import Reading, Readout, summed  # noqa: E402
from snnas.hw_sim.simulate.simulator import simulate_input  # noqa: E402
from snnas.hw_sim.simulate.torch_simulator import TorchSimulator  # noqa: E402
from snnas.search.network.genotype import Genotype  # noqa: E402
from snnas.search.network.space import get  # noqa: E402
from snnas.toolchain.cli.app import run_command  # noqa: E402
from snnas.toolchain.data.load import Dataset  # noqa: E402
from snnas.toolchain.exporting.on_target import compile_calibrated  # noqa: E402
from snnas.toolchain.finetuning.exported import drawn  # noqa: E402
from snnas.toolchain.finetuning.integers import Integers  # noqa: E402
from snnas.toolchain.finetuning.module import TrainableProgram  # noqa: E402
from snnas.toolchain.finetuning.neurons import Neurons  # noqa: E402
from snnas.toolchain.finetuning.options import Finetuning, asked  # noqa: E402
from snnas.toolchain.finetuning.tune import Tuned, finetune, predictions, real_values, recipe_for  # noqa: E402
from snnas.toolchain.training import TrainingConfig  # noqa: E402
from snnas.toolchain.training.evaluation import logits  # noqa: E402
from tests.networks import network  # noqa: E402
from tests.programs import random_program  # noqa: E402


def inputs(program: Program, seed: int, *, frames: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (3, program.timesteps, *program.input_shape)
    if program.input_kind == "analogue":
        return rng.random(shape if frames else (3, *program.input_shape), dtype=np.float32)
    return (rng.random(shape) < 0.4).astype(np.float32)


@pytest.mark.parametrize("kind", ["analogue", "spikes"])
@pytest.mark.parametrize("back", [(), ((2, 0),), ((1, 1), (0, 2)), ((3, 1), (2, 0))])
@pytest.mark.parametrize("seed", range(4))
def test_the_module_fires_as_the_simulator(seed: int, back: tuple[tuple[int, int], ...], kind: Any) -> None:
    program = random_program(seed, back=back, kind=kind)
    if seed % 2 and program.schedule.period == 1:  # currents with memory
        neurons = [replace(p, du=1000) if p.role == "neuron" else p for p in program.populations]
        program = replace(program, populations=tuple(neurons))
    x = inputs(program, seed, frames=bool(seed & 2))
    trace = next(TorchSimulator(program).run_input(x))[0]
    module = TrainableProgram(program).eval()
    with torch.no_grad():
        spikes, out = module.run(torch.from_numpy(x)), module(torch.from_numpy(x))
    for name, fired in trace.spikes.items():
        assert np.array_equal(spikes[name].numpy().transpose(1, 0, 2, 3, 4).astype(bool), fired), name
    whole = np.rint(out.numpy() * 64 * program.readout.scale * program.timesteps)
    assert np.array_equal(whole, trace.logits)
    assert sum(int(fired.sum()) for fired in trace.spikes.values()) > 0


@pytest.mark.parametrize("read", ["sum", "last", "max"])
@pytest.mark.parametrize("memory", [False, True])
def test_the_module_reads_as_the_simulator(read: Any, memory: bool) -> None:
    """Three readings, one of them late and by its entries, with and without a membrane that holds what it has read."""
    program, rng = replace(random_program(6), timesteps=5), np.random.default_rng(2)
    steps, sizes = program.timesteps, {p.id: p.size for p in program.populations}
    readings = tuple(
        Reading(src=name, weight=rng.integers(-90, 90, (3, sizes[name])).astype(np.int8), distance=late)
        for name, late in (("p1", 0), ("p2", 1), (program.readout.readings[0].src, 0))
    )
    some = values_of(readings[1].weight) * (rng.random(readings[1].weight.shape) < 0.4)
    by_entries = added(*np.nonzero(some), some[np.nonzero(some)].astype(np.float64), some.shape)
    kept = with_values(by_entries, by_entries.values.astype(np.int8))
    readings = (readings[0], replace(readings[1], weight=kept), readings[2])
    rows = steps if memory else 1
    response = np.array([[7 >> j, 9 >> j, -8 >> j] for j in range(rows)], np.int64)
    readout = Readout(
        readings=readings, bias=rng.integers(-900, 900, (rows, 3)), scale=11.0, response=response, read=read
    )
    program = replace(program, readout=readout)
    program.verify()
    x = inputs(program, 0, frames=True)
    trace = next(TorchSimulator(program).run_input(x))[0]
    assert np.array_equal(next(simulate_input(program, x))[0].logits, trace.logits)
    module = TrainableProgram(program).eval()
    out = module(torch.from_numpy(x))
    per = steps if read == "sum" else 1
    assert np.array_equal(np.rint(out.detach().numpy() * 64 * 11.0 * per), trace.logits)
    out.sum().backward()
    assert all(w.shadow.grad is not None and w.shadow.grad.abs().sum() > 0 for w in module.readings)
    again = module.program().readout
    assert all(equal(a.weight, b.weight) for a, b in zip(again.readings, readings, strict=True))


def test_a_new_module_is_its_program() -> None:
    program = random_program(3, back=((2, 0),))
    again = TrainableProgram(program).eval().program()
    for a, b in zip(program.synapses, again.synapses, strict=True):
        assert np.array_equal(a.map.weight, b.map.weight)
    for p, q in zip(program.populations, again.populations, strict=True):
        assert (p.vth, p.dv) == (q.vth, q.dv)
        assert np.array_equal(p.bias, q.bias)
    assert np.array_equal(program.readout.readings[0].weight, again.readout.readings[0].weight)


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, fires: Any) -> Any:
        ctx.save_for_backward(x)
        return fires

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] / (1 + (math.pi * x) ** 2), None


@pytest.mark.parametrize(("du", "leaks"), [(4095, 1), (4095, 3), (1500, 1)])
def test_gradients_are_those_of_the_unrounded_neuron(du: int, leaks: int) -> None:
    """Autograd through a neuron of real numbers that holds, at each step, the state of the integer one."""
    p = Population(
        id="p", shape=(2, 3, 3), dv=900, du=du, vth=40, scale=1.0, bias=np.array([300, -200], np.int16).reshape(2, 1, 1)
    )
    steps, theta = 5, 40 << 6
    neurons = Neurons(p, leaks=leaks, timesteps=steps, real_bias=None)
    generator = torch.Generator().manual_seed(0)
    current = torch.randint(-20, 40, (steps, 4, *p.shape), generator=generator).float() * 64
    weight = torch.randn((steps, 4, *p.shape), generator=generator)
    current.requires_grad_()
    spikes = neurons(current)
    (spikes * weight).sum().backward()
    found = current.grad.clone()  # type: ignore[union-attr]

    ratio, bias = torch.ones((), requires_grad=True), torch.tensor([300.0, -200.0]).reshape(2, 1, 1).requires_grad_()
    real = current.detach().clone().requires_grad_()
    v = u = torch.zeros((4, *p.shape))
    held_v = held_u = torch.zeros((4, *p.shape))
    loss = torch.zeros(())
    for t in range(steps):
        held_u = torch.trunc(held_u * (4095 - du) / 4096) + real[t].detach()
        u = u * (4095 - du) / 4096 + real[t]
        for _ in range(leaks):
            held_v = torch.trunc(held_v * (4096 - 900) / 4096)
        held_v = held_v + held_u + bias.detach()
        v = v * ((4096 - 900) / 4096) ** leaks + u + bias
        v = v + (held_v - v).detach()
        fires = (held_v > theta).float()
        loss = loss + (Surrogate.apply((v - theta * ratio) / theta, fires) * weight[t]).sum()
        held_v, v = held_v * (1 - fires), v * (1 - fires)
    loss.backward()
    assert spikes.sum() > 20
    torch.testing.assert_close(found, real.grad, rtol=1e-4, atol=1e-9)
    of_bias = neurons.bias.shadow.grad / neurons.bias.unit  # type: ignore[operator]
    torch.testing.assert_close(of_bias, bias.grad, rtol=1e-4, atol=1e-9)
    of_ratio = neurons.threshold.shadow.grad * 40 / neurons.threshold.unit  # type: ignore[operator]
    torch.testing.assert_close(of_ratio, ratio.grad, rtol=1e-4, atol=1e-7)


def test_a_start_keeps_what_rounding_has_lost_and_is_the_integers_given() -> None:
    start, real = np.array([1, -3, 0, 7]), np.array([1.4, -1.2, 0.1, 9.0])
    numbers = Integers(start, real, -8, 7)
    assert numbers.numbers().tolist() == [1, -3, 0, 7]
    kept = (numbers.shadow * numbers.unit).detach().numpy()
    assert np.allclose(kept, [1.4, -2.51, 0.1, 7.49], atol=1e-5)
    numbers.clamp()
    assert float((numbers.shadow * numbers.unit).detach().max()) <= 7.0001


def wide_program() -> Program:
    """Two neurons of which the first one's input can reach 30,000 of 32,767."""
    weight = np.zeros((2, 30), np.int8)
    weight[0, :] = 125
    weight[1, :3] = 20
    return Program(
        timesteps=2,
        input_shape=(30, 1, 1),
        input_kind="spikes",
        populations=(
            Population(id="p", shape=(2, 1, 1), dv=1000, vth=500, scale=1.0, bias=np.zeros((2, 1, 1), np.int16)),
        ),
        synapses=(Synapse(id="s", src="input", dst="p", map=LinearMap(kind="dense", weight=weight), exponent=3),),
        host=(),
        readout=summed(src="p", weight=np.array([[1, -1], [-1, 1]], np.int8), bias=np.zeros(2, np.int64), scale=1.0),
        schedule=Schedule(period=1, depth={"p": 0}),
    )


def test_what_leaves_its_range_is_brought_back_and_nothing_else() -> None:
    program = wide_program()
    module = TrainableProgram(program)
    shadow = module._map(program.synapses[0]).weights.shadow
    before = shadow.detach().clone()
    with torch.no_grad():
        shadow.mul_(10)  # 127 each: 30 * 127 * 8 fits; ten times the threshold's neuron does not count
    module.eval()
    assert np.array_equal(module.program().synapses[0].map.weight[0], np.full(30, 127))
    tight = replace(program, synapses=(replace(program.synapses[0], exponent=3),))
    module = TrainableProgram(tight)
    module.start = replace(tight, synapses=(replace(tight.synapses[0], exponent=4),))
    module._map(tight.synapses[0]).synapse = module.start.synapses[0]
    module.eval()
    settled = module.program()
    verify_ranges(settled)
    assert all(found.status == "proved" for found in prove(settled).values())
    weight = settled.synapses[0].map.weight
    assert 60 < int(weight[0].max()) < 70  # 32767 / (30 * 16) = 68.3
    assert np.array_equal(weight[1], program.synapses[0].map.weight[1])
    assert torch.equal(module._map(program.synapses[0]).weights.shadow[1], before[1])


def test_a_program_outside_its_ranges_is_refused() -> None:
    program = wide_program()
    wide = replace(program, synapses=(replace(program.synapses[0], exponent=7),))
    with pytest.raises(UnsupportedError, match="population p"):
        TrainableProgram(wide)


def test_synapses_of_one_sign_keep_it() -> None:
    program = wide_program()
    real = {"s": program.synapses[0].map.weight.astype(float) * 8}
    module = TrainableProgram(program, real)
    with torch.no_grad():
        module._map(program.synapses[0]).weights.shadow.mul_(-1)
    assert int(module.eval().program().synapses[0].map.weight.min()) == 0


# ------------------------------------------------------------------------------------------------------ whole trainings


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    """A settled network whose own answers are the labels, its graph, and its program at 4 bits."""
    genotype: Genotype = get("lightsnn").random_genotype(np.random.default_rng(5))
    net = network(genotype, 5, timesteps=3)
    rng = np.random.default_rng(0)
    x = {part: rng.random((n, 1, 8, 8), dtype=np.float32) for part, n in (("train", 96), ("test", 2))}
    x["val"] = x["train"][:48]  # so that what is learnt shows
    y = {part: logits(net, values, "cpu", 64, 1).argmax(1).numpy() for part, values in x.items()}
    data = Dataset(
        name="own",
        classes=10,
        digest="own",
        **{f"x_{part}": values for part, values in x.items()},
        **{f"y_{part}": values for part, values in y.items()},
    )
    graph = fold(net.layers())
    program = compile_calibrated(graph, data, 3, bits=4)
    recipe = recipe_for(TrainingConfig(batch=32), Finetuning(epochs=3, rate=0.05))
    return {"program": program, "graph": graph, "data": data, "recipe": recipe}


def tuned(task: dict[str, Any], **changes: Any) -> Tuned:
    return finetune(**{**task, "seed": 0, **changes})


def same(a: Program, b: Program) -> bool:
    weights = all(np.array_equal(s.map.weight, t.map.weight) for s, t in zip(a.synapses, b.synapses, strict=True))
    biases = all(np.array_equal(p.bias, q.bias) for p, q in zip(a.populations, b.populations, strict=True))
    return weights and biases and [p.vth for p in a.populations] == [p.vth for p in b.populations]


def test_fine_tuning_gets_nearer_to_the_float_network(task: dict[str, Any]) -> None:
    records: list[dict[str, Any]] = []
    result = tuned(task, log=records.append)
    assert records[-1]["loss"] < records[0]["loss"]
    assert result.after > result.before
    assert 0 < result.weights_changed < result.weights
    assert result.best_epoch > 0
    result.program.verify()
    verify_ranges(result.program)
    assert result.program.weight_bits == 4
    low, high = min(s.map.weight.min() for s in result.program.synapses), 7
    assert low >= -8
    assert max(s.map.weight.max() for s in result.program.synapses) <= high
    assert [p.scale for p in result.program.populations] == [p.scale for p in task["program"].populations]
    assert [s.exponent for s in result.program.synapses] == [s.exponent for s in task["program"].synapses]
    assert result.to_json()["bits"] == 4


def test_a_teacher_is_learnt_in_place_of_the_labels(task: dict[str, Any]) -> None:
    """Told that every sample is a 3, the program says so."""
    told = 8 * np.eye(10, dtype=np.float32)[np.full(len(task["data"].y_train), 3)]
    threes = replace(task["data"], y_val=np.full(len(task["data"].y_val), 3))
    recipe = recipe_for(TrainingConfig(batch=32), Finetuning(epochs=6, rate=0.1))
    result = tuned(task, data=threes, recipe=recipe, teacher=told)
    assert result.before < 0.5
    assert result.after > 0.9


def test_the_seed_is_all_that_is_drawn_from(task: dict[str, Any]) -> None:
    first, again, other = tuned(task), tuned(task), tuned(task, seed=1)
    assert same(first.program, again.program)
    assert not same(first.program, other.program)


class Ended(Exception):
    pass


def test_a_fine_tuning_that_was_ended_goes_on_to_the_same_program(task: dict[str, Any], tmp_path: Path) -> None:
    whole = tuned(task)

    def end(done: int, total: int) -> None:
        if done == 5:  # in the second of three epochs of three steps
            raise Ended

    with pytest.raises(Ended):
        tuned(task, checkpoint=tmp_path, on_step=end)
    steps: list[int] = []
    again = tuned(task, checkpoint=tmp_path, on_step=lambda done, total: steps.append(done))
    assert steps[0] == 4
    assert same(whole.program, again.program)
    other = tuned({**task, "program": TrainableProgram(task["program"]).program()}, checkpoint=tmp_path)
    assert other.best_epoch == whole.best_epoch  # an equal program is the same one
    steps.clear()
    tuned(
        task,
        teacher=np.eye(10, dtype=np.float32)[task["data"].y_train],
        checkpoint=tmp_path,
        on_step=lambda done, total: steps.append(done),
    )
    assert steps[0] == 1  # another loss begins anew


def test_what_gets_no_better_stays(task: dict[str, Any]) -> None:
    """Right on no more validation samples: the program as it was compiled, though the loss has fallen."""
    data: Dataset = task["data"]
    keep = predictions(task["program"], data.x_val) == data.y_val
    easy = replace(data, x_val=data.x_val[keep], y_val=data.y_val[keep])
    result = tuned(task, data=easy)
    assert result.before == result.after == 1
    assert (result.best_epoch, result.weights_changed) == (0, 0)
    assert result.program is task["program"]


def test_one_sample_more_is_no_gain(task: dict[str, Any]) -> None:
    """The best epoch is right on one sample more, which chance does as easily; on enough of them it is kept."""
    data: Dataset = task["data"]
    right = [predictions(p, data.x_val) == data.y_val for p in (task["program"], tuned(task).program)]
    same, gained = np.flatnonzero(right[0] & right[1])[:12], np.flatnonzero(right[1] & ~right[0])
    for count, kept in ((1, False), (2, True)):
        chosen = np.concatenate([same, gained[:count]])
        found = tuned(task, data=replace(data, x_val=data.x_val[chosen], y_val=data.y_val[chosen]))
        assert (found.samples, found.gained, found.lost) == (len(same) + count, count, 0)
        assert bool(found.best_epoch) is kept
        assert (found.after > found.before) is kept


def test_the_reals_are_what_the_integers_were_rounded_from(task: dict[str, Any]) -> None:
    program, real = task["program"], real_values(task["graph"], task["program"])
    for s in program.synapses:
        if program.population(s.dst).role == "neuron":
            units = real[s.id] * program.population(s.dst).scale / (1 << s.exponent)
            assert np.abs(units - s.map.weight).mean() < 1


def test_options() -> None:
    assert asked(None, None) is None
    assert asked(4, None) == Finetuning(epochs=4)
    assert asked(4, 0.1) == Finetuning(epochs=4, rate=0.1)
    with pytest.raises(UsageError, match="--finetune-lr"):
        asked(None, 0.1)
    for bad in (Finetuning(epochs=0), Finetuning(epochs=1, rate=0.0), Finetuning(epochs=1, rate=float("nan"))):
        with pytest.raises(UsageError, match="--finetune"):
            bad.check()


def test_samples_of_a_user_are_split_once() -> None:
    train, val, rest = drawn(200, 3)
    assert sorted([*train, *val, *rest]) == list(range(200))
    assert (len(train), len(val)) == (120, 40)
    assert np.array_equal(train, drawn(200, 3)[0])
    with pytest.raises(UsageError, match="at least 100"):
        drawn(90, 0)


# ------------------------------------------------------------------------------------------------------ the command


def told(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = run_command([*line, "--json", "-q"] if line[0] != "check" else [*line, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else {}, err


def test_an_export_that_is_fine_tuned_is_whole_checked_and_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNAS_LAVA_PYTHON", str(tmp_path / "none"))
    small = ["--channels", "2", "--hidden", "16", "--batch", "8", "-T", "2", "--epochs", "2", "--device", "cpu"]
    assert told(capsys, "search", "--method", "lightsnn", "--dataset", "digits", "--name", "a", *small)[0] == 0
    asking = ["export", "a", "--bits", "4", "--finetune", "2", "--finetune-lr", "0.02", "--samples", "4"]
    code, report, err = told(capsys, *asking)
    assert code == 0, err
    found = report["finetune"]
    assert (found["epochs"], found["bits"]) == (2, 4)
    assert found["test"]["after"] == report["accuracy"]["on_target"]
    assert found["validation"]["after"] >= found["validation"]["before"]
    assert bool(found["weights_changed"]) == bool(found["best_epoch"])
    folder = tmp_path / "runs/a/export/lava"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["inputs"]["finetune"] == {"epochs": 2, "rate": 0.02}
    assert "model.nir" in manifest["finetune"]["note"]
    assert not (tmp_path / "runs/a/finetune").exists()
    program = read_program(folder / "program.npz")
    assert ("finetuned" in program.meta) == bool(found["best_epoch"])
    assert told(capsys, "check", str(folder))[0] == 0
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert told(capsys, *asking)[1]["finetune"] == found
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    code, _, err = told(capsys, "export", "a", "--bits", "4", "--samples", "4")
    assert code == 2
    assert "other inputs" in err
    code, _, err = told(capsys, "export", "a", "--target", "onnx", "--finetune", "1")
    assert code == 2
    assert "--finetune: of an integer program" in err
    graph = str(folder / "model.nir")
    code, report, err = told(
        capsys, "export", graph, "--data", "digits", "--finetune", "1", "--samples", "2", "--out", str(tmp_path / "of")
    )
    assert code == 0, err
    assert report["finetune"]["bits"] == 8
    assert told(capsys, "check", str(tmp_path / "of"))[0] == 0
