"""As ``test_by_value_folder``: figures made again of other programs and chips, and what is said of odd exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.export.executors import interpreter
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import integers_of
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import CLOCK, INPUT, LinearMap, Program, Synapse
from snnas.toolchain.checking import folder_runs, remake
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.folder_runs import Recorded
from snnas.toolchain.checking.made import OF_SAMPLES
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.exporting.on_target import reference, run_program
from snnas.toolchain.models.pricing import Pricing
from tests.hw_sim.simulate.test_counts import dense, population, program
from tests.mutants.test_by_value_folder import NUMBER, STEPS, Export, _failed, _made, _verdicts, export
from tests.programs import random_program

__all__ = ["export"]  # the fixture


# ------------------------------------------------------------------------------------------------- figures made again


def test_how_much_is_run() -> None:
    assert (remake.WORK, remake.TORCH_WORTH, remake.SEED) == (5e11, 2e10, 0)
    made = program([population("a", (3, 1, 1)), population("b", (2, 1, 1))],
                   [(INPUT, "a", dense(3, 1)), ("a", "b", dense(2, 3))], timesteps=7)  # fmt: skip
    assert remake.work_of(made) == 7 * (3 + 6 + 3 + 2)


@pytest.mark.parametrize(
    ("work", "number", "run"), [(5e11, 9, 1), (6e11, 9, 1), (2.4e11, 9, 2), (1e11, 9, 5), (1e11, 4, 4), (0.0, 3, 3)]
)
def test_as_many_samples_as_the_work_allows(
    work: float, number: int, run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remake, "work_of", lambda made: work)
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))])
    assert remake.affordable(made, number) == run


def test_a_program_without_work_is_run_on_5e11_samples_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remake, "work_of", lambda made: 0.0)
    made = program([population("a", (3, 1, 1))], [(INPUT, "a", dense(3, 1))])
    assert remake.affordable(made, 10**12) == 5 * 10**11


def test_neurons_are_those_that_are_no_relays(export: Export) -> None:
    made = random_program(4)
    assert {p.role for p in made.populations} > {"neuron"}
    x = np.random.default_rng(0).random((3, *made.input_shape)).astype(np.float32)
    samples = Samples(x=x, y=None)
    found = remake.remake(export.graph, made, samples, Pricing(), {})
    neurons = sum(p.size for p in made.populations if p.role == "neuron")
    assert found.figures["neurons"] == neurons < sum(p.size for p in made.populations)
    low, high = (end / neurons / made.timesteps for end in found.intervals["spikes"])
    assert found.intervals["sar"] == (pytest.approx(low), pytest.approx(high))
    assert (found.claimed, found.reported, found.samples, found.recorded) == ({}, 0, 3, None)
    assert found.judged is samples


def test_figures_are_shares_of_the_samples(export: Export) -> None:
    """Of seven, whose sums no seventh part of is a whole number."""
    assert export.samples.y is not None
    made = _made(export, export.report, x=export.samples.x[:7], y=export.samples.y[:7])
    for name, each in (("spikes", export.counts.sample_spikes), ("synops", export.counts.sample_synops)):
        assert sum(each[:7]) % 7
        assert made.figures[name] == pytest.approx(sum(each[:7]) / 7)


def test_one_neuron_has_one_slot_in_a_timestep(export: Export) -> None:
    made = program([population("a", (1, 1, 1), bias=1)], [(INPUT, "a", dense(1, 1))], timesteps=1)
    samples = Samples(x=np.ones((3, 1, 1, 1, 1), np.float32), y=None)
    found = remake.remake(export.graph, made, samples, Pricing(), {})
    assert (found.figures["spikes"], found.intervals["sar"]) == (1.0, (1.0, 1.0))


@pytest.mark.parametrize("name", ["a chip", "my chip"])
def test_a_chip_of_another_name_is_not_the_reports(name: str, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = replace(load_system("loihi1"), name=name)
    monkeypatch.setattr(remake, "load_system", lambda given: chip)
    made = _made(export, {**export.report, "timesteps": 1})
    assert (made.elsewhere, made.recorded) == (True, None)


def test_a_report_of_many_samples_is_compared(export: Export) -> None:
    """Beyond 256, where equal numbers are other objects."""
    assert export.samples.y is not None
    many = {"x": np.tile(export.samples.x, (25, 1, 1, 1)), "y": np.tile(export.samples.y, 25)}
    report = {**export.report, "timesteps": STEPS + 1, "accuracy": {**export.report["accuracy"], "samples": 300}}
    made = _made(export, report, **many)
    assert (made.samples, made.reported) == (300, 300)
    assert str(made.recorded).startswith("timesteps is ")


def test_without_neurons_there_is_one_slot(export: Export) -> None:
    """Gates alone: their spikes are none of a network's."""
    gates = replace(export.program, populations=tuple(replace(p, role="or") for p in export.program.populations))
    made = remake.remake(export.graph, gates, export.samples, Pricing(), {})
    assert (made.figures["neurons"], made.figures["spikes"]) == (0.0, 0.0)
    assert made.intervals["sar"] == (0.0, 0.0)


def test_who_has_no_labels_has_a_label_that_no_answer_is(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[list[int]]()

    def run(made: Program, x: np.ndarray, labels: np.ndarray, *given: Any, torch: bool) -> None:
        asked.append(labels.tolist())
        raise UnsupportedError("not here")

    monkeypatch.setattr(remake, "run_program", run)
    _made(export, export.report, y=None)
    _made(export, export.report)
    assert export.samples.y is not None
    assert asked == [[-1] * NUMBER, export.samples.y.tolist()]


def test_what_is_not_priced_is_no_figure(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bill, or one without a line; no latency."""
    ran = run_program

    def run(change: dict[str, Any]) -> Any:
        def runs(*given: Any, torch: bool) -> Any:
            found = ran(*given, torch=torch)
            assert found.bill is not None
            assert found.latency is not None
            none = replace(found.bill, dynamic=None, total=None)
            return replace(found, **{"bill": none, **change})

        return runs

    for change in ({}, {"bill": None}, {"bill": None, "latency": None}):
        monkeypatch.setattr(remake, "run_program", run(change))
        made = _made(export, export.report)
        assert made.figures["energy_total"] is made.figures["energy_dynamic"] is None
        assert (made.figures["latency"] is None) == ("latency" in change)
        assert made.figures["spikes"] == pytest.approx(export.counts.spikes / NUMBER)


def test_what_no_sample_tells_is_no_accuracy(export: Export) -> None:
    """Where nothing fires all answers tie."""
    still = replace(export.program, populations=tuple(
        replace(p, vth=131071, bias=np.zeros_like(p.bias)) for p in export.program.populations
    ))  # fmt: skip
    made = remake.remake(export.graph, still, export.samples, Pricing(), {})
    assert made.figures["spikes"] == 0
    assert made.figures["accuracy"] is None
    assert "accuracy" not in made.intervals


def test_a_device_has_memory_and_instructions(export: Export) -> None:
    made = _made(export, export.report, "cortex-m4")
    pricing = Pricing(system="cortex-m4")
    system = load_system("cortex-m4")
    labels = export.samples.y
    assert labels is not None
    run = run_program(export.program, export.samples.x, labels, remake.profile_of(pricing), system, torch=False)
    assert run.device is not None
    assert run.device.instructions is not None
    assert made.figures["flash"] == run.device.footprint.flash > 0
    assert made.figures["ram"] == run.device.footprint.ram > 0
    assert made.figures["instructions"] == run.device.instructions.high > 0
    assert made.figures["latency"] == (run.latency.inference_us.high if run.latency else None)
    assert made.figures["energy_total"] == (run.bill.total.high if run.bill and run.bill.total else None)
    assert made.figures["energy_dynamic"] == (run.bill.dynamic.high if run.bill and run.bill.dynamic else None)
    assert (made.elsewhere, made.recorded, made.samples) == (True, None, NUMBER)


def test_what_does_not_fit_has_no_cores(export: Export) -> None:
    mapping = map_program(export.program, load_system())
    assert mapping.fits
    assert remake._placed(mapping) == {"cores": mapping.cores, "chips": mapping.chips}
    wide = SimpleNamespace(fits=False, cores=3, chips=2)
    assert remake._placed(wide) == {"cores": None, "chips": None}
    assert remake._placed(SimpleNamespace(fits=True, cores=3, chips=2)) == {"cores": 3.0, "chips": 2.0}


def test_a_number_of_a_report() -> None:
    report = {"a": {"b": 7, "c": 7.9, "d": "7", "e": True}}
    assert [remake._number(report, "a", key) for key in "bcdef"] == [7, 7, 0, 0, 0]
    claimed = remake._claimed({"accuracy": {"on_target": 0.0}, "sar": {"on_target": "x"}, "synops_per_inference": 5})
    assert claimed == {"accuracy": 0.0, "synops": 5.0}
    assert set(remake._claimed({})) == set()
    assert {"instructions"} < OF_SAMPLES


@pytest.mark.parametrize("profile", ["loihi1_davies2018", "analytic45_int8", "loihi1_board2019"])
def test_a_report_by_another_profile_is_compared_by_it(profile: str, export: Export) -> None:
    """Its latency, its energy, and what that rests on: loihi1's are none of them."""
    report = {**export.report, "energy_uJ": {**export.report["energy_uJ"], "profile": profile}}
    said = _made(export, report).recorded
    assert said is not None
    assert said.split(".")[0] in ("latency_us", "energy_uJ")


def test_each_end_of_a_band_is_compared() -> None:
    band = remake.Band(low=1.0, nominal=2.0, high=3.0)
    good = {"a": {"low": 1.0, "nominal": 2.0, "high": 3.0}}
    assert remake._band(good, ("a",), band) is None
    assert remake._band({"a": {}}, ("a",), None) is None
    for end in ("low", "nominal", "high"):
        said = remake._band({"a": {**good["a"], end: 9.0}}, ("a",), band)
        assert said == f"a.{end} is {good['a'][end]:g}, the report says 9"
    assert str(remake._band(good, ("a",), None)).startswith("a.low is ")


# ------------------------------------------------------------------------------------------------- an export's own runs


def test_limits_of_a_folder() -> None:
    assert (folder_runs.LIMIT_BYTES, folder_runs.STATE_BITS) == (1 << 30, 24)


def test_samples_are_run_in_parts(export: Export) -> None:
    whole, currents = folder_runs.simulate(export.program, export.samples.x)
    parts, again = folder_runs.simulate(export.program, export.samples.x, batch=5)
    assert list(whole.spikes) == [p.id for p in export.program.in_order]
    assert whole.answers.tolist() == parts.answers.tolist() == export.golden["logits"].tolist()
    assert all(np.array_equal(whole.spikes[name], fired) for name, fired in parts.spikes.items())
    assert currents.keys() == again.keys() == {"edges"}
    assert np.array_equal(currents["edges"], again["edges"])
    assert len(again["edges"]) == NUMBER


def test_what_a_sound_recording_is_said_to_be(export: Export) -> None:
    recorded = Recorded(export.golden, export.samples)
    said = _verdicts(lambda book: folder_runs.check_program(book, export.program, recorded))
    assert said[:3] == [
        ("SN303", "passed", f"0 of {NUMBER * STEPS * 260:,} differ, {NUMBER} samples"),
        ("SN309", "passed", "all fire"),
        ("SN310", "passed", f"{NUMBER} of {NUMBER} are no ties"),
    ]
    assert [(code, status) for code, status, _ in said[3:]] == [("SN601", "passed"), ("SN602", "passed")]


def test_spikes_that_came_in_are_those_of_the_samples() -> None:
    made = random_program(4, kind="spikes")
    x = (np.random.default_rng(0).random((3, made.timesteps, *made.input_shape)) < 0.4).astype(np.float32)
    golden, samples = reference(made, x), Samples(x=x, y=None)

    def of(**changed: np.ndarray) -> list[tuple[str, str]]:
        recorded = Recorded({**golden, **changed}, samples)
        return [
            (code, said)
            for code, said in _failed(lambda book: folder_runs.check_program(book, made, recorded))
            if code < "SN306"
        ]

    assert of() == []
    for was in (0, 1):  # one spike more, or one less
        spikes = golden["input.spikes"].copy()
        spikes[tuple(np.argwhere(spikes == was)[-1])] ^= 1
        said = "the recorded input spikes are not those of stimulus.npz"
        assert of(**{"input.spikes": spikes}) == [("SN304", said)]


@pytest.mark.parametrize("off", [-1, 1])
def test_currents_and_answers_are_equal_or_they_are_not(off: int, export: Export) -> None:
    for name, code in (("currents.edges", "SN304"), ("logits", "SN305")):
        array = export.golden[name].copy()
        array[-1, -1] += off
        recorded = Recorded({**export.golden, name: array}, export.samples)
        said = _failed(lambda book, recorded=recorded: folder_runs.check_program(book, export.program, recorded))  # type: ignore[misc]
        assert [each for each, _ in said] == [code]


def test_a_long_name_that_is_no_neuron_of_the_graph_is_cut(export: Export) -> None:
    run = interpreter.run(export.graph, export.samples.x, STEPS)
    known = {**interpreter.spikes_per_timestep(run.spikes), "z" * 50: [1], "zz" * 30: [1]}
    recorded = Recorded(export.golden, export.samples)
    assert _failed(lambda book: folder_runs.check_graph(
        book, export.graph, export.program, {"graph_spikes": known}, recorded, None
    )) == [("SN302", f"spikes are recorded of {'z' * 40}, which is no neuron of the graph")]  # fmt: skip


def test_of_what_is_unlike_the_first_is_named(export: Export) -> None:
    p = export.program
    every = replace(p, populations=tuple(replace(each, dv=each.dv ^ 1) for each in p.populations))
    first = min(each.id for each in p.populations)
    said = f"population {first} is not the same in graph and program; export again"
    assert folder_runs._unlike(p, every) == folder_runs._unlike(every, p) == said
    named = replace(p, meta={**p.meta, "node_of": {"a": "b"}})
    for ours, theirs in ((p, named), (named, p)):
        assert str(folder_runs._unlike(ours, theirs)).startswith("which node of the graph each population is of")


def test_a_manifests_tables_are_counted() -> None:
    names = ("accuracy", "sar", "energy_uJ", "latency_us", "resources")
    report: dict[str, Any] = {name: {"x": k} for k, name in enumerate(names)} | {"schedule": {}, "checks": {}}
    report["finetune"] = {"epochs": 2, "zeal": 3}
    manifest = {"schedule": {}, "checks": {}, "figures": {name: report[name] for name in names} | {"none": None}}
    manifest["finetune"] = {"epochs": 2, "zeal": 3, "note": "on purpose"}
    said = _verdicts(lambda book: folder_runs.check_tables(book, report, manifest))
    assert said == [("SN307", "passed", "8 tables as in report.json")]
    manifest["finetune"] = {"epochs": 2, "note": "on purpose"}
    assert _failed(lambda book: folder_runs.check_tables(book, report, manifest))


@pytest.mark.parametrize(("labels", "status"), [(True, "failed"), (False, "warned")])
def test_a_program_that_nobody_hears(labels: bool, status: str, export: Export) -> None:
    still = replace(export.program, populations=tuple(
        replace(p, vth=131071, bias=np.zeros_like(p.bias)) for p in export.program.populations
    ))  # fmt: skip
    fired, _ = folder_runs.simulate(still, export.samples.x)
    said = _verdicts(lambda book: folder_runs._check_life(book, still, fired, labels=labels))
    assert [(code, each) for code, each, _ in said] == [("SN309", "failed"), ("SN310", status)]
    assert said[0][2].endswith("; nothing that the readout reads fires: it is the same answer whatever comes in")
    fired, _ = folder_runs.simulate(export.program, export.samples.x)
    said = _verdicts(lambda book: folder_runs._check_life(book, export.program, fired, labels=labels))
    assert [(code, each) for code, each, _ in said] == [("SN309", "passed"), ("SN310", "passed")]
    assert said[0][2] == "all fire"


def test_gates_that_are_silent_are_no_matter() -> None:
    """A relay and an OR pass on what neurons fire; of those alone it is said that they never do."""
    made = program(
        [population("n", (2, 1, 1)), population("r", (2, 1, 1), role="relay"), population("o", (2, 1, 1), role="or")],
        [(INPUT, "n", dense(2, 1)), ("n", "r", dense(2, 2)), ("r", "o", dense(2, 2))],
    )
    fires = np.ones((9, 2, 2, 1, 1), bool)
    for silent, status in (("n", "warned"), ("r", "passed"), ("o", "failed")):  # the readout reads o
        spikes = {name: fires & (name != silent) for name in "nro"}
        fired = folder_runs.Fired(spikes, np.arange(18).reshape(9, 2))
        said = _verdicts(lambda book, fired=fired: folder_runs._check_life(book, made, fired, labels=False))  # type: ignore[misc]
        assert [each for code, each, _ in said if code == "SN309"] == [status]


def test_a_synapse_that_one_side_lacks_is_unlike_whatever_its_source_is_called() -> None:
    made = program([population("a", (2, 1, 1)), population("z", (2, 1, 1))],
                   [(INPUT, "a", dense(2, 1)), ("a", "z", dense(2, 2)), ("a", "z", dense(2, 2))])  # fmt: skip
    fewer = replace(made, synapses=made.synapses[:-1])
    said = f"synapse {made.synapses[-1].id} is not the same in graph and program; export again"
    assert folder_runs._unlike(made, fewer) == folder_runs._unlike(fewer, made) == said


def test_the_graphs_spikes_are_compared_with_the_programs(export: Export) -> None:
    """SN311 where it is known what the program fires."""
    recorded = Recorded(export.golden, export.samples)
    run = interpreter.run(export.graph, export.samples.x, STEPS)
    manifest = {"graph_spikes": interpreter.spikes_per_timestep(run.spikes)}
    fired, _ = folder_runs.simulate(export.program, export.samples.x)

    def of(fires: Any) -> list[str]:
        found = list[Any]()
        said = _verdicts(lambda book: found.append(
            folder_runs.check_graph(book, export.graph, export.program, manifest, recorded, fires)
        ))  # fmt: skip
        assert {n: s.tolist() for n, s in found[0].spikes.items()} == {n: s.tolist() for n, s in run.spikes.items()}
        return [code for code, *_ in said]

    assert of(None) == ["SN302"]
    assert of(fired)[:2] == ["SN302", "SN311"]


def test_bits_that_are_left(export: Export) -> None:
    def of(p: Program) -> list[tuple[str, str, str]]:
        return _verdicts(lambda book: folder_runs.check_resolution(book, export.graph, p))

    found = folder_runs.resolutions(
        folder_runs.schedule(folder_runs.trace(export.graph, "analogue", soft_reset=True)).circuit.links, export.program
    )
    least = min(r.bits for r in found.values())
    assert of(export.program) == [("SN209", "passed", f"{least} of 8 bits left at least")]
    (ballot,) = [s for s in export.program.synapses if s.dst == "ballot" and s.src != CLOCK]
    coarse = replace(ballot, map=replace(ballot.map, weight=np.sign(ballot.map.weight).astype(np.int8)))
    few = replace(export.program, synapses=tuple(coarse if s is ballot else s for s in export.program.synapses))
    ((code, status, detail),) = of(few)
    assert (code, status) == ("SN209", "warned")
    assert detail.startswith("population ballot: 2 of 8 bits left: largest weight 1, ")
    soft = replace(export.graph, convention=replace(export.graph.convention, reset="subtract"))
    assert _verdicts(lambda book: folder_runs.check_resolution(book, soft, export.program)) == of(export.program)
    none = replace(export.program, synapses=(), host=())
    assert of(none) == [("SN209", "passed", "8 of 8 bits left at least")]


def test_a_bias_of_the_clock_may_be_on_one_side_alone(export: Export) -> None:
    """Fine or coarse: which of them are all zeros depends on rounding. Where both sides have it, it is the same."""
    p = export.program
    src = "".join([*CLOCK])  # equal to it and another object, as of a file
    clock = Synapse(id="c", src=src, dst="ballot", map=LinearMap(kind="dense", weight=np.ones((4, 1), np.int8)))
    with_it = replace(p, synapses=(*p.synapses, clock))
    assert folder_runs._unlike(p, with_it) is None
    assert folder_runs._unlike(with_it, p) is None
    late = replace(p, synapses=(*p.synapses, replace(clock, distance=1)))
    said = "synapse c is not the same in graph and program; export again"
    assert folder_runs._unlike(with_it, late) == said
    elsewhere = replace(p, synapses=(*p.synapses, replace(clock, src=INPUT)))
    assert folder_runs._unlike(with_it, elsewhere) == said


def test_pixels_that_are_finer_cut_nothing(export: Export) -> None:
    pixels = integers_of(export.program.input_range)
    finer = replace(pixels, finer=(1,) * export.samples.x.shape[1])
    made = replace(export.program, host_integers=finer)
    assert pixels.finer != finer.finer
    assert folder_runs._unlike(export.program, made) is None
    wide = np.abs(export.samples.x) + 1e3
    assert folder_runs._unlike(export.program, made, wide) == (
        "the integer host stage cuts off calibration samples in channel 0; export again"
    )
    plain = replace(export.program, host_integers=pixels)
    assert folder_runs._unlike(export.program, plain, wide) is None, "an export's own range is not asked"


def test_an_observed_program_is_compiled_by_its_samples(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the calibration where there is one; else by the samples, where a register is watched on any."""
    asked = list[Any]()

    def compiled(graph: Any, **given: Any) -> Program:
        asked.append(given)
        return export.program

    def spiked(graph: Any, x: np.ndarray, *rest: Any) -> tuple[Any, ...]:
        return len(x), *rest

    monkeypatch.setattr(folder_runs, "compile_graph", compiled)
    monkeypatch.setattr(folder_runs, "calibration_spikes", spiked)
    monkeypatch.setattr(folder_runs.determinism, "check_compile", lambda book, again, first: None)
    p = export.program
    watched = replace(p, meta={**p.meta, "observed": ["ballot"]})
    for given, calibration, spikes, ranges in (
        (p, None, None, "auto"),
        (p, export.samples.x[:5], (5, STEPS, "analogue"), "observed"),
        (watched, None, (NUMBER, STEPS, "analogue"), "observed"),
        (watched, export.samples.x[:5], (5, STEPS, "analogue"), "observed"),
    ):
        said = _verdicts(lambda book, given=given, calibration=calibration: folder_runs.check_structure(  # type: ignore[misc]
            book, export.graph, given, export.samples, calibration, "observed"
        ))  # fmt: skip
        assert asked.pop() == {
            "timesteps": STEPS, "input_kind": "analogue", "input_range": p.input_range, "bits": 8, "spikes": spikes,
            "ranges": ranges,
        }  # fmt: skip
        assert said == [("SN207", "passed", f"{folder_runs.described(p)}, T = {STEPS}")]


def test_a_verdict_says_the_file_that_it_is_of(export: Export, tmp_path: Path) -> None:
    """Of a folder; what has none, a graph by itself, is its own place."""
    graph, p, samples = export.graph, export.program, export.samples
    recorded = Recorded(export.golden, samples)
    spikes = {"graph_spikes": interpreter.spikes_per_timestep(interpreter.run(graph, samples.x, STEPS).spikes)}
    names = ("accuracy", "sar", "energy_uJ", "latency_us", "resources")
    report: dict[str, Any] = {name: {} for name in names} | {"schedule": {}, "checks": {}}
    manifest = {"schedule": {}, "checks": {}, "figures": {name: {} for name in names}}
    (tmp_path / "alone").touch()

    def places(work: Callable[[Book], object], subject: Path = tmp_path) -> dict[str, str]:
        book = Book(subject, "export")
        work(book)
        return {f.code: f.place for f in book.findings if not f.code.startswith("SN6")}

    for work, codes, name in (
        (lambda book: folder_runs.check_program(book, p, recorded), ("SN303", "SN309", "SN310"), "golden.npz"),
        (lambda book: folder_runs.check_graph(book, graph, p, spikes, recorded, None), ("SN302",), "model.nir"),
        (lambda book: folder_runs.check_ranges(book, p, samples), ("SN208",), "program.npz"),
        (lambda book: folder_runs.check_resolution(book, graph, p), ("SN209",), "program.npz"),
        (lambda book: folder_runs.check_structure(book, graph, p, samples, None, "auto"), ("SN207",), "program.npz"),
        (lambda book: folder_runs.check_resources(book, p, {}), ("SN307",), "manifest.json"),
        (lambda book: folder_runs.check_tables(book, report, manifest), ("SN307",), "manifest.json"),
    ):  # fmt: skip
        assert places(work) == dict.fromkeys(codes, str(tmp_path / name))
    alone = tmp_path / "alone"
    assert places(lambda book: folder_runs.check_resolution(book, graph, p), alone) == {"SN209": str(alone)}


def test_labels_of_the_samples_are_labels(export: Export) -> None:
    """Whether the recording repeats them or not: answers that all tie are no accuracy."""
    still = replace(export.program, populations=tuple(
        replace(p, vth=131071, bias=np.zeros_like(p.bias)) for p in export.program.populations
    ))  # fmt: skip
    golden = reference(still, export.samples.x)
    for y, status in ((export.samples.y, "failed"), (None, "warned")):
        recorded = Recorded(golden, replace(export.samples, y=y))
        said = _verdicts(lambda book, recorded=recorded: folder_runs.check_program(book, still, recorded))  # type: ignore[misc]
        assert [each for code, each, _ in said if code == "SN310"] == [status]


def test_the_order_of_names_is_no_matter(export: Export) -> None:
    first, second = (replace(export.program, meta={"node_of": dict(each)}) for each in (["ab", "cd"], ["cd", "ab"]))
    assert list(first.meta["node_of"]) != list(second.meta["node_of"])
    assert folder_runs._unlike(first, second) is None
