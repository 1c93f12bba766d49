"""As ``test_by_value``, of an export folder's runs: what is said of one that is sound, and of one number changed."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.export.compiler.compile import calibration_spikes, compile_graph
from snnas.export.executors import interpreter
from snnas.export.formats.npz_file import write_npz
from snnas.export.graph.graph import Graph, parameters_of
from snnas.hw_sim.energy.latency import estimate_latency
from snnas.hw_sim.energy.price import price
from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.errors import InvalidFileError, UnsupportedError
from snnas.hw_sim.host_stage import integers_of
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.program import INPUT, Program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.simulate.simulator import simulate_input
from snnas.toolchain.checking import folder_runs, remake, same_network
from snnas.toolchain.checking.findings import Book
from snnas.toolchain.checking.folder_runs import Recorded
from snnas.toolchain.checking.made import OF_SAMPLES
from snnas.toolchain.checking.samples import Samples
from snnas.toolchain.data.statistics import bootstrap, wilson
from snnas.toolchain.exporting.on_target import reference
from snnas.toolchain.exporting.report import on_chip
from snnas.toolchain.models.pricing import Pricing
from tests.hw_sim.simulate.test_counts import dense, population, program
from tests.toolchain.checking.check_subjects import example

STEPS, NUMBER = 6, 12
FOLDER = Path("e")


@dataclass(frozen=True)
class Export:
    graph: Graph
    program: Program
    samples: Samples
    golden: dict[str, np.ndarray]
    counts: Counts
    report: dict[str, Any]


@pytest.fixture(scope="module")
def export() -> Export:
    """The example's graph, compiled; what its samples give, counted and priced here."""
    made = example()
    graph, (x, y) = made.graph(), made.bars(NUMBER, seed=3)
    y = (y + np.array([1, 3] + [0] * (NUMBER - 2))) % 4  # one too high, one too low
    fired = calibration_spikes(graph, x, STEPS, "analogue")
    compiled = compile_graph(graph, timesteps=STEPS, spikes=fired)
    golden = {**reference(compiled, x), "labels": y}
    mapping = map_program(compiled, load_system())
    counter = Counter(compiled, mapping)
    for trace, currents in simulate_input(compiled, x):
        counter.add(trace, currents=currents)
    counts, profile = counter.result(), load_profile("loihi1")
    latency = estimate_latency(counts, profile)
    assert latency is not None
    bill = price(counts, profile, latency)
    right = int((golden["logits"].argmax(1) == y).sum())
    assert 0 < right < NUMBER
    report = {
        "timesteps": STEPS,
        "accuracy": {"on_target": right / NUMBER, "samples": NUMBER, "interval": list(wilson(right, NUMBER))},
        "sar": {
            "on_target": counts.sar,
            "per_population": {
                p.id: {"on_target": sum(p.spikes) / p.neurons / STEPS / NUMBER, "neurons": p.neurons}
                for p in counts.populations
                if p.role == "neuron"
            },
        },
        "spikes_per_inference": {"on_target": counts.spikes / NUMBER, "overhead": counts.overhead_spikes / NUMBER},
        "synops_per_inference": counts.synops / NUMBER,
        "latency_us": asdict(latency.inference_us),
        "energy_uJ": {
            "profile": "loihi1",
            "evidence": bill.evidence,
            "unpriced": [name for name, _ in bill.unpriced],
            **{p: b and asdict(b) for p in ("encode", "dynamic", "floor", "total") for b in [getattr(bill, p)]},
        },
        **on_chip(graph, compiled, mapping, counts),
    }
    return Export(graph, compiled, Samples(x=x, y=y), golden, counts, report)


def _made(export: Export, report: dict[str, Any], system: str = "loihi1", **samples: Any) -> Any:
    given = replace(export.samples, **samples)
    return remake.remake(export.graph, export.program, given, Pricing(system=system), report)


def test_every_figure_is_that_of_the_samples(export: Export) -> None:
    made, counts, report = _made(export, export.report), export.counts, export.report
    assert (made.samples, made.reported, made.recorded, made.elsewhere, made.why) == (NUMBER, NUMBER, None, False, "")
    assert made.figures == pytest.approx({
        "accuracy": report["accuracy"]["on_target"],
        "energy_total": report["energy_uJ"]["total"]["high"],
        "energy_dynamic": report["energy_uJ"]["dynamic"]["high"],
        "latency": report["latency_us"]["high"],
        "sar": counts.spikes / NUMBER / STEPS / 260,
        "spikes": counts.spikes / NUMBER,
        "synops": counts.synops / NUMBER,
        "cores": 1.0, "chips": 1.0, "neurons": 260.0,
        "parameters": float(parameters_of(export.graph)),
        "memory": folder_runs.memory_of(export.program),
    })  # fmt: skip
    fired = sum(np.unpackbits(export.golden[f"spikes.{p.id}"], axis=-1).sum((1, 2)) for p in export.program.populations)
    assert made.intervals["spikes"] == bootstrap(np.asarray(fired, np.float64), 0)
    assert made.intervals["sar"] == tuple(pytest.approx(end / 260 / STEPS) for end in made.intervals["spikes"])
    assert made.intervals["synops"] == bootstrap(np.array(counts.sample_synops, np.float64), 0)
    assert made.intervals["accuracy"] == wilson(round(report["accuracy"]["on_target"] * NUMBER), NUMBER)
    assert set(made.claimed) == OF_SAMPLES - {"instructions"}
    assert made.claimed["accuracy"] == report["accuracy"]["on_target"]


def test_without_labels_there_is_no_accuracy(export: Export) -> None:
    made = _made(export, export.report, y=None)
    assert made.figures["accuracy"] is None
    assert "accuracy" not in made.intervals
    assert (made.samples, made.recorded) == (NUMBER, None)


@pytest.mark.parametrize(
    "path",
    [
        ("timesteps",), ("accuracy", "on_target"), ("sar", "on_target"), ("spikes_per_inference", "on_target"),
        ("synops_per_inference",), ("latency_us", "low"), ("latency_us", "high"), ("energy_uJ", "dynamic", "nominal"),
        ("energy_uJ", "floor", "low"), ("energy_uJ", "total", "high"), ("resources", "synapses"),
        ("sar", "per_population", "edges", "on_target"), ("sar", "per_population", "ballot", "neurons"),
        ("schedule", "depth"), ("accuracy", "interval", 0),
    ],
)  # fmt: skip
def test_a_figure_that_is_not_measured_is_named(path: tuple[Any, ...], export: Export) -> None:
    for factor in (1 + 1.1e-6, 1 - 1.1e-6, 1 + 0.9e-6):
        report = copy.deepcopy(export.report)
        place = report
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] *= factor
        said = _made(export, report).recorded
        assert said is None if abs(factor - 1) < 1e-6 else str(said).startswith(f"{'.'.join(k for k in path if k)} is ")
        for other in (
            _made(export, {**report, "accuracy": {**report["accuracy"], "samples": NUMBER + 1}}),
            _made(export, {**report, "accuracy": {**report["accuracy"], "samples": NUMBER - 1}}),
            _made(export, report, given="mine.npz"),
        ):
            assert other.recorded is None, "of other samples"


def test_another_chip_or_profile_is_not_compared(export: Export) -> None:
    wrong = copy.deepcopy(export.report)
    wrong["energy_uJ"]["total"]["high"] /= 2
    assert _made(export, wrong).recorded is not None
    wrong["energy_uJ"]["profile"] = "mine"
    assert _made(export, wrong).recorded is None
    for name in ("generic", "cortex-m4", "rv32imc"):
        elsewhere = _made(export, {**wrong, "timesteps": 1}, name)
        assert (elsewhere.recorded, elsewhere.elsewhere) == (None, True)


def test_fewer_samples_than_can_be_afforded(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remake, "WORK", remake.work_of(export.program) * 5)
    made = _made(export, export.report)
    assert (made.samples, made.reported, len(made.judged)) == (5, NUMBER, NUMBER)
    assert made.figures["accuracy"] == (export.golden["logits"][:5].argmax(1) == export.samples.y[:5]).mean()


def test_torch_runs_what_is_much(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[bool]()

    def run(*given: Any, torch: bool) -> None:
        asked.append(torch)
        raise UnsupportedError("not here")

    monkeypatch.setattr(remake, "run_program", run)
    for share in (1 + 1e-9, 1.0, 1 - 1e-9):
        monkeypatch.setattr(remake, "TORCH_WORTH", NUMBER * remake.work_of(export.program) * share)
        made = _made(export, export.report)
    assert asked == [False, False, True]
    assert (made.why, made.samples, made.reported) == ("not here", 0, NUMBER)
    assert {name for name, value in made.figures.items() if value is None} == OF_SAMPLES - {"instructions"}
    assert (made.figures["cores"], made.figures["neurons"]) == (1.0, 260.0)


def test_what_a_report_says_otherwise_is_told() -> None:
    unlike = remake.unlike
    assert unlike({"a": [1, 2.0], "b": "x", "c": 1}, {"a": [1, 2.0], "b": "x"}, "p") is None
    assert unlike({"a": [1, 3]}, {"a": [1, 2]}, "p") == "p.a is 2, the report says 3"
    assert unlike({"a": [1]}, {"a": [1, 2]}, "p") == "p.a is [1, 2], the report says [1]"
    assert unlike({}, {"a": None}, "p") is None
    assert unlike([], {"a": None}, "p") == "p is no table; export again"
    assert unlike({"a": "y" * 50}, {"a": None}, "p") == f"p.a is nothing, the report says {'y' * 40}"
    assert unlike(-1.0, 1.0, "p") == "p is 1, the report says -1"
    assert unlike(0, 0.0, "p") is None
    assert unlike([1.0] * 300, [1.0 + 0.9e-6] * 300, "p") is None
    assert unlike([1.0] * 300, [1.0] * 299 + [2.0], "p") == "p is 2, the report says 1"


def test_a_profile_that_is_shipped_is_found() -> None:
    found = remake.profile_in({"energy_uJ": {"profile": "loihi1"}})
    assert found is not None
    assert found.name == "loihi1"
    for report in ({}, {"energy_uJ": None}, {"energy_uJ": {"profile": "mine"}}, {"energy_uJ": {"profile": None}}):
        assert remake.profile_in(report) is None


def _verdicts(work: Callable[[Book], object]) -> list[tuple[str, str, str]]:
    book = Book(FOLDER, "export")
    work(book)
    return [(f.code, f.status, f.detail) for f in book.findings]


def _failed(work: Callable[[Book], object]) -> list[tuple[str, str]]:
    return [(code, detail) for code, status, detail in _verdicts(work) if status != "passed"]


def test_a_recording_has_one_to_all_samples(tmp_path: Path, export: Export) -> None:
    for number, good in ((0, False), (1, True), (NUMBER, True), (NUMBER + 1, False)):
        write_npz(tmp_path / "golden.npz", {"logits": np.zeros((number, 4), np.int64)})
        if good:
            assert len(folder_runs.read_recorded(tmp_path, export.samples).samples) == number
        else:
            with pytest.raises(InvalidFileError, match=f"records {number} samples?, stimulus.npz holds {NUMBER}; exp"):
                folder_runs.read_recorded(tmp_path, export.samples)
    for arrays in ({"x": np.zeros(3)}, {"logits": np.array(3)}):
        write_npz(tmp_path / "golden.npz", arrays)
        with pytest.raises(InvalidFileError, match="records 0 samples"):
            folder_runs.read_recorded(tmp_path, export.samples)


def test_an_array_of_a_recording_has_shape_and_type() -> None:
    like, held = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    assert folder_runs._recorded(FOLDER, {"a": held}, "a", like) is not None
    long = np.ones((2, 3), np.longlong)  # where it has 64 bits, equal to int64 and another object
    assert long.itemsize != 8 or folder_runs._recorded(FOLDER, {"a": long}, "a", like.astype(np.int64)) is not None
    for golden, said in (
        ({}, "missing"), ({"a": held[:1]}, r"uint8 \(1, 3\)"), ({"a": held.astype(np.int8)}, r"int8 \(2, 3\)"),
        ({"a": held.astype(np.int64)}, r"int64 \(2, 3\)"),
        ({"a": np.ones((3, 3), np.uint8)}, r"uint8 \(3, 3\)"),
    ):  # fmt: skip
        with pytest.raises(InvalidFileError, match=rf"golden.npz: a is {said}, expected uint8 \(2, 3\); export again"):
            folder_runs._recorded(FOLDER, golden, "a", like)


def test_what_the_program_fires_is_what_was_recorded(export: Export) -> None:
    def of(**changed: np.ndarray) -> list[tuple[str, str]]:
        recorded = Recorded({**export.golden, **changed}, export.samples)
        return _failed(lambda book: folder_runs.check_program(book, export.program, recorded))

    assert of() == []
    spikes = export.golden["spikes.ballot"].copy()
    spikes[3, 2] ^= 0b0100_0000
    ((code, detail),) = of(**{"spikes.ballot": spikes})
    assert (code, detail[:52]) == ("SN303", "1 spike of population ballot differs; first at sampl")
    assert of(logits=export.golden["logits"][:, ::-1]) == [
        ("SN305", "every spike is equal but the logits differ: the readout was changed")
    ]
    currents = export.golden["currents.edges"].copy()
    currents[-1, 0, 0, 0, 0] += 1
    said = "the currents that the host injects into edges differ"
    assert of(**{"currents.edges": currents}) == [("SN304", said)]
    said = "the recorded labels are not those of stimulus.npz"
    assert of(labels=export.golden["labels"][::-1]) == [("SN304", said)]


def test_what_the_graph_fires_is_what_was_recorded(export: Export) -> None:
    recorded = Recorded(export.golden, export.samples)
    run = interpreter.run(export.graph, export.samples.x, STEPS)
    counted = interpreter.spikes_per_timestep(run.spikes)

    def of(known: object) -> list[tuple[str, str, str]]:
        manifest = {"graph_spikes": known}
        return _verdicts(
            lambda book: folder_runs.check_graph(book, export.graph, export.program, manifest, recorded, None)
        )

    total = sum(sum(each) for each in counted.values())
    assert of(counted) == [("SN302", "passed", f"{total} spikes of 2 LIFs as recorded")]
    more = [*counted["ballot"][:-1], counted["ballot"][-1] + 1]
    told = f"LIF ballot fires {counted['ballot']} spikes at each timestep, recorded were {more}"
    assert of({**counted, "ballot": more}) == [("SN302", "failed", told)]
    told = "spikes are recorded of z, which is no neuron of the graph"
    assert of({**counted, "z": [1]}) == [("SN302", "failed", told)]
    both = of({name: [] for name in counted})
    assert both[0][2].startswith("LIF edges fires")
    with pytest.raises(InvalidFileError, match="no graph_spikes; export again"):
        of([])


def test_a_program_is_held_to_its_samples_where_its_numbers_are_proved(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, asked = Recorded(export.golden, export.samples), list[object]()
    known = {
        "graph_spikes": interpreter.spikes_per_timestep(interpreter.run(export.graph, export.samples.x, STEPS).spikes)
    }
    monkeypatch.setattr(same_network, "check_spikes", lambda *given: asked.append(given[4]))
    fired, _ = folder_runs.simulate(export.program, export.samples.x)
    about = (Book(Path("e"), "export"), export.graph, export.program, known, recorded, fired)
    folder_runs.check_graph(*about)
    folder_runs.check_graph(*about, proved=False)
    folder_runs.check_graph(*about, proved=True)
    assert asked[:2] == [None, None]
    assert asked[2] is export.samples.x


def test_a_program_is_counted_in_words_and_bytes(export: Export) -> None:
    made = program([population("a", (3, 1, 1)), population("b", (2, 1, 1))],
                   [(INPUT, "a", dense(3, 1)), ("a", "b", dense(2, 3))])  # fmt: skip
    assert folder_runs.described(made) == "2 populations, 2 synapses"
    assert folder_runs.memory_of(made) == math.ceil(((3 + 6) * 8 + 5 * 24) / 8)
    assert folder_runs.memory_of(replace(made, meta={"bits": 6})) == math.ceil(((3 + 6) * 6 + 5 * 24) / 8)


def test_resources_are_counted_again(export: Export) -> None:
    def of(**changed: object) -> list[tuple[str, str, str]]:
        tables = {"figures": {"resources": {"neurons": 260, "cores": 1, "chips": 1, **changed}}}
        return _verdicts(lambda book: folder_runs.check_resources(book, export.program, tables))

    assert of() == [("SN307", "passed", "260 neurons, 1 core, 1 chip")]
    long = "9" * 50
    for name, value, said in (
        ("neurons", 259, "260 neurons, the manifest says '259'"), ("cores", 2, "1 core, the manifest says '2'"),
        ("chips", True, "1 chip, the manifest says 'True'"), ("cores", 1.0, "1 core, the manifest says '1.0'"),
        ("neurons", long, f"260 neurons, the manifest says '{long[:40]}'"),
    ):  # fmt: skip
        assert of(**{name: value}) == [("SN307", "failed", f"{said}; export again")]
    assert of(neurons=1, cores=7)[0][2].startswith("260 neurons")


def test_registers_are_proved_or_watched(export: Export) -> None:
    def of(p: Program, x: np.ndarray = export.samples.x) -> list[tuple[str, str, str]]:
        return _verdicts(lambda book: folder_runs.check_ranges(book, p, Samples(x=x, y=None)))

    proved = folder_runs.prove(export.program)
    good = sum(r.status == "proved" for r in proved.values())
    assert good == 2
    assert of(export.program) == [("SN208", "passed", "2 of 2 populations proved")]
    wide = replace(export.program, synapses=tuple(
        replace(s, exponent=7, map=replace(s.map, weight=np.full_like(s.map.weight, 127))) if s.dst == "ballot" else s
        for s in export.program.synapses
    ))  # fmt: skip
    ((_, status, detail),) = of(wide)
    assert status == "failed"
    assert re.fullmatch(r"population ballot: its .* may reach \d+, the limit is \d+", detail)
    watched = replace(wide, meta={**wide.meta, "observed": ["ballot"]})
    still = of(watched, np.zeros_like(export.samples.x))
    assert still == [("SN208", "passed", "1 of 2 populations proved, the rest observed")]
    ((_, status, detail),) = of(watched)
    assert (status, " may reach " in detail) == ("failed", False), "a sample overflows it"


def test_of_what_may_overflow_the_first_is_named(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    may = SimpleNamespace(status="may overflow", worst=("v", SimpleNamespace(value=9, limit=8)))
    monkeypatch.setattr(folder_runs, "prove", lambda program: {"a": may, "b": may})
    samples = Samples(x=export.samples.x, y=None)
    ((_, status, detail),) = _verdicts(lambda book: folder_runs.check_ranges(book, export.program, samples))
    assert status == "failed"
    assert re.fullmatch(r"population a: its .* may reach 9, the limit is 8", detail)
    watched = replace(export.program, meta={**export.program.meta, "observed": ["b"]})
    monkeypatch.setattr(folder_runs, "prove_or_observe", None)  # what samples do is no matter then
    assert _verdicts(lambda book: folder_runs.check_ranges(book, watched, samples))[0][2] == detail


def test_another_network_is_none_of_the_graphs(export: Export) -> None:
    p = export.program

    def of(given: Program) -> list[tuple[str, str]]:
        found = list[object]()
        failed = _failed(lambda book: found.append(folder_runs.check_structure(
            book, export.graph, given, export.samples, export.samples.x, "auto"
        )))  # fmt: skip
        assert (found[0] is None) == bool(failed)
        return failed

    pixels = integers_of(p.input_range)
    assert of(p) == of(replace(p, host_integers=pixels)) == []
    first, *others = p.populations
    deeper = replace(p.schedule, blank=p.schedule.blank + 1)
    for changed, said in (
        (replace(p, populations=(replace(first, dv=first.dv ^ 1), *others)), f"population {first.id} is not the same"),
        (replace(p, schedule=deeper), "the schedule or the readout is not the same"),
        (replace(p, readout=replace(p.readout, read="last")), "the schedule or the readout is not the same"),
        (replace(p, meta={**p.meta, "node_of": {}}), "which node of the graph each population is of"),
        (replace(p, host_integers=replace(pixels, zero=1)), "the integer host stage does not see pixels as"),
    ):
        ((code, detail),) = of(changed)
        assert code == "SN207"
        assert detail.startswith(said)
    ((_, detail),) = of(replace(p, meta={**p.meta, "signal": {"window": 8}}))
    assert detail.startswith("signal is not the same in the metadata of graph and program")
    *kept, gone = p.synapses
    fewer = replace(p, synapses=tuple(kept))
    for ours, theirs in ((p, fewer), (fewer, p)):
        assert folder_runs._unlike(ours, theirs) == (
            f"synapse {gone.id} is not the same in graph and program; export again"
        )  # fmt: skip


def test_tables_of_the_manifest_are_the_reports() -> None:
    names = ("accuracy", "sar", "energy_uJ", "latency_us", "resources")
    report: dict[str, Any] = {name: {"x": k} for k, name in enumerate(names)} | {"schedule": {}, "checks": {}}
    figures = {name: dict(report[name]) for name in names}  # equal, as read from another file

    def of(tables: object, **more: Any) -> list[tuple[str, str, str]]:
        manifest = {"schedule": {}, "checks": {}, "figures": tables} | more
        return _verdicts(lambda book: folder_runs.check_tables(book, report, manifest))

    assert of(figures) == [("SN307", "passed", "7 tables as in report.json")]
    for name in ("schedule", "checks", "finetune"):
        said = f"{name} of the manifest is not that of report.json; export again"
        assert of(figures, **{name: {"x": 1}}) == [("SN307", "failed", said)]
    report["finetune"] = {"epochs": 2}
    assert of(figures, finetune={"epochs": 2, "note": "on purpose"})[0][1] == "passed"
    assert of(figures)[0][1] == "failed"
    del report["finetune"]
    for wrong in ({**figures, "sar": {"x": 9}}, {k: v for k, v in figures.items() if k != "sar"}):
        assert of(wrong) == [("SN307", "failed", "sar of the manifest is not that of report.json; export again")]
    assert of({**figures, "more": 1})[0][1] == "failed"
    with pytest.raises(InvalidFileError, match="no figures; export again"):
        of(None)
