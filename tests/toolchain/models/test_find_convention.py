"""The detective on recordings that the tools made (tests/data/whose), and on what goes wrong with recordings."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from snnas.export.dialects.conventions import OURS, Convention
from snnas.export.dialects.run import play, run
from snnas.export.dialects.steps import read_dialect, steps
from snnas.export.dialects.table import TABLE, Dialect, elementary
from snnas.export.executors import interpreter
from snnas.export.formats.nir_file import write_nir, written_by
from snnas.export.formats.npz_file import write_npz
from snnas.export.graph.graph import CubaLif, Graph, If, Input, Lif, Linear, Output
from snnas.export.graph.membrane import by_membrane
from snnas.export.graph.waiting_edges import read_choices
from snnas.hw_sim.errors import GateError, InvalidFileError, SnnasError, UnsupportedError, UsageError
from snnas.toolchain.models import dialect_rows, find_convention
from snnas.toolchain.models.dialect_rows import Row
from snnas.toolchain.models.find_convention import ADVICE, Verdict, as_table, whose
from snnas.toolchain.models.open import open_graph
from snnas.toolchain.models.reading_options import ReadingOptions
from snnas.toolchain.models.recording import Recording, read_recording
from tests.export import nir_nets

DATA = Path(__file__).parents[2] / "data/whose"
RECORDED = {
    "snntorch": "snntorch",
    "snntorch-recurrent": "snntorch",
    "norse": "norse",
    "sinabs": "sinabs-single",
    "spikingjelly": "spikingjelly",
    "rockpool": "rockpool-single",
}


def unpacked(tmp_path: Path, name: str) -> tuple[Path, Path]:
    model = tmp_path / "model.nir"
    model.write_bytes(gzip.decompress((DATA / f"{name}.nir.gz").read_bytes()))
    return model, DATA / f"{name}.npz"


@pytest.mark.parametrize("name", RECORDED)
def test_the_tool_that_made_the_recording_is_named(tmp_path: Path, name: str) -> None:
    verdict = whose(*unpacked(tmp_path, name))
    assert (verdict.status, verdict.exit_code) == ("named", 0)
    assert RECORDED[name] in [r.dialect.name for r in verdict.fitting]
    assert verdict.headline.startswith(verdict.fitting[0].dialect.name)
    assert set(verdict.open) <= {"compare", "many"}
    best = verdict.rows[0].played
    assert best is not None
    assert best.compared > 300
    others = [r for r in verdict.rows if not r.fits and r.played]
    assert all(r.played and r.played.differing for r in others)


@pytest.mark.parametrize("name", ["norse", "sinabs", "spikingjelly", "rockpool"])
def test_a_named_file_is_read_as_its_tool_runs_it(tmp_path: Path, name: str) -> None:
    model, recorded = unpacked(tmp_path, name)
    graph = read_dialect(model, TABLE[RECORDED[name]])
    recording = read_recording(recorded, graph)
    found = interpreter.run(graph, recording.x, recording.timesteps).spikes
    assert recording.spikes
    for node, spikes in recording.spikes.items():
        np.testing.assert_array_equal(found[node], spikes > 0)


def test_a_late_reset_is_refused_with_its_mend(tmp_path: Path) -> None:
    """By subtraction it can be told, to a level it cannot."""
    model, recorded = unpacked(tmp_path, "snntorch")
    graph = read_dialect(model, TABLE["snntorch"])
    recording = read_recording(recorded, graph)
    run = interpreter.run(graph, recording.x, recording.timesteps)
    assert recording.spikes
    for node, spikes in recording.spikes.items():
        np.testing.assert_array_equal(run.spikes[node], spikes > 0)
    with pytest.raises(UnsupportedError, match=r"node 1: its reset acts a timestep later.*reset_mechanism='zero'"):
        read_dialect(model, TABLE["snntorch-zero-late"])
    with pytest.raises(UnsupportedError, match="node 1: its reset acts twice"):
        read_dialect(model, TABLE["snntorch-now"])


def test_exact_ties_in_the_recording_settle_the_comparison(tmp_path: Path) -> None:
    verdict = whose(*unpacked(tmp_path, "spikingjelly"))
    assert [r.dialect.name for r in verdict.fitting] == ["spikingjelly"]
    assert verdict.rows[0].played
    assert verdict.rows[0].played.ties > 0
    assert "compare" not in verdict.open


def test_the_edge_that_waits_is_named(tmp_path: Path) -> None:
    verdict = whose(*unpacked(tmp_path, "snntorch-recurrent"))
    assert "waits a timestep: " in verdict.headline
    assert len({r.delayed for r in verdict.fitting}) == 1


def mixed(tmp_path: Path, own: dict[str, str], tau: float = 3) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """Two layers whose nodes have conventions of their own, recorded; and what was recorded. tau: of the first."""
    rng = np.random.default_rng(5)
    weights = [(rng.normal(0.2, 0.5, (8, 8))).astype(np.float32) for _ in range(2)]
    nodes = {
        "w1": nir.Linear(weight=weights[0]), "one": nir_nets.lif(8, tau=tau, threshold=0.6),
        "w2": nir.Linear(weight=weights[1]), "two": nir_nets.lif(8, tau=5, threshold=0.6),
    }  # fmt: skip
    nir.write(tmp_path / "mixed.nir", nir_nets.graph_of((8,), nodes, (8,)))
    [graph] = read_choices(tmp_path / "mixed.nir").values()
    x = (rng.random((6, 24, 8)) < 0.5).astype(np.float32)
    played = play(graph, steps(graph, TABLE["nir"], {n: TABLE[name] for n, name in own.items()}), x, 24)
    arrays = {"x": x, **{f"spikes.{n}": s.astype(np.uint8) for n, s in played.spikes.items()}}
    write_npz(tmp_path / "mixed.npz", arrays)
    return tmp_path / "mixed.nir", tmp_path / "mixed.npz", arrays


def test_nodes_of_different_conventions_are_named_each(tmp_path: Path) -> None:
    """As of snntorch's Leaky and Synaptic with reset_mechanism='zero' in one network."""
    verdict = whose(*mixed(tmp_path, {"one": "snntorch-zero-late", "two": "snntorch-zero"})[:2])
    assert (verdict.status, verdict.exit_code) == ("named", 0)
    assert {node: "snntorch-zero-late" in [r.dialect.name for r in rows] for node, rows in verdict.nodes.items()} == {
        "one": True,
        "two": False,
    }
    assert "snntorch-zero" in [r.dialect.name for r in verdict.nodes["two"]]
    assert verdict.headline.startswith("each node by itself: one: snntorch-zero-late; two: snntorch-zero")


def test_a_per_node_convention_is_read_so_and_confirmed(tmp_path: Path) -> None:
    model, recorded, arrays = mixed(tmp_path, {"one": "norse-seconds", "two": "snntorch-zero"}, tau=30)
    assert whose(model, recorded).nodes["one"][0].dialect.name == "norse-seconds"
    wanted = ReadingOptions(
        convention="snntorch-zero,one=norse-seconds", expect=recorded, timesteps=24, input_kind="spikes", samples=False
    )
    opened = open_graph(model, wanted)
    assert opened.verified
    assert wanted.said == "snntorch-zero, one: norse-seconds"
    found = interpreter.run(opened.graph, arrays["x"], 24).spikes
    for node in ("one", "two"):
        np.testing.assert_array_equal(found[node], arrays[f"spikes.{node}"] > 0)
    with pytest.raises(GateError, match="is not what"):
        open_graph(model, replace(wanted, convention="snntorch-zero"))
    with pytest.raises(UsageError, match="--convention three=norse: the graph's neurons are one, two"):
        open_graph(model, replace(wanted, convention="snntorch-zero,three=norse"))


def test_what_one_graph_cannot_say_of_its_nodes_is_refused(tmp_path: Path) -> None:
    model = mixed(tmp_path, {})[0]
    with pytest.raises(UnsupportedError, match="node two: resets to a level while others subtract"):
        read_dialect(model, TABLE["snntorch-zero"], own={"one": TABLE["snntorch"]})


@pytest.mark.parametrize("lag", [1, 3])
def test_a_recording_that_is_late_is_named_as_such(tmp_path: Path, lag: int) -> None:
    """As of a chip, whose trace comes a timestep later: without this the nearest row is a silent one."""
    model, recorded, arrays = mixed(tmp_path, {})
    late = {n: np.roll(a, lag, axis=1) if n.startswith("spikes.") else a for n, a in arrays.items()}
    for name, values in late.items():
        if name.startswith("spikes."):
            values[:, :lag] = 0
    write_npz(recorded, late)
    verdict = whose(model, recorded)
    assert (verdict.status, verdict.lag) == ("named", lag)
    assert "nir" in [r.dialect.name for r in verdict.fitting]
    assert f"recorded {lag} timestep" in verdict.headline
    assert open_graph(
        model, ReadingOptions(expect=recorded, timesteps=24, input_kind="spikes", dt=1e-4, samples=False)
    ).verified


def test_what_a_dialect_makes_of_the_graph_is_found_once_for_all_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recorded, arrays = mixed(tmp_path, {"one": "snntorch", "two": "norse"})
    rng = np.random.default_rng(0)
    noise = {n: rng.permuted(a, axis=0) if n.startswith("spikes.") else a for n, a in arrays.items()}
    for name, values in noise.items():
        if name.startswith("spikes."):
            values[:, :3] = 0
    write_npz(recorded, noise)
    asked: Counter[Any] = Counter()

    def counted(graph: Graph, dialect: Any) -> Any:
        asked[dialect] += 1
        return steps(graph, dialect)

    few = [replace(TABLE["nir"], name="", tool="", convention=replace(OURS, dt=dt)) for dt in (1e-3, 1e-2)]
    monkeypatch.setattr(dialect_rows, "steps", counted)
    monkeypatch.setattr(find_convention, "elementary", lambda graph: few)
    read = list(read_recording(recorded, read_dialect(model, TABLE["nir"])).read_otherwise())
    assert len(read) == 4  # time first; a timestep late, two, three
    assert whose(model, recorded).status == "none"
    assert set(asked.values()) == {1}
    assert set(few) <= set(asked)


def test_the_tool_that_wrote_the_file_is_answered_first(tmp_path: Path) -> None:
    rows = [Row(TABLE["nir"]), Row(TABLE["spikingjelly"]), Row(TABLE["norse"])]
    found = Verdict("named", rows, rows, [], writer="norse")
    assert found.headline.startswith("norse (")
    assert found.lines == ["the file says that norse wrote it; nir, spikingjelly do the same here"]
    assert replace(found, writer="").headline.startswith("nir, spikingjelly, norse (")
    other = replace(found, writer="sinabs")
    assert other.headline.startswith("nir, spikingjelly, norse (")
    assert other.lines == ["the file says that sinabs wrote it, of which no dialect fits"]


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({}, ""),
        ({"exporter": "Norse 1.1.0"}, "norse"),
        ({"norse_version": "1.1.0"}, "norse"),
        ({"comment": "snntorch, to be read by norse"}, ""),
        ({"exporter": "mine"}, ""),
    ],
)
def test_who_wrote_a_file_is_read_in_its_metadata(metadata: dict[str, str], tool: str, tmp_path: Path) -> None:
    graph = nir_nets.graph_of((3,), {"snntorch": nir_nets.lif(3)}, (3,))  # a node's name says nothing
    graph.metadata = metadata
    nir.write(tmp_path / "m.nir", graph)
    assert written_by(tmp_path / "m.nir", {"norse", "snntorch"}) == tool


def test_what_stays_open_is_said_in_plain_words(tmp_path: Path) -> None:
    verdict = whose(*mixed(tmp_path, {})[:2])
    assert verdict.status == "named"
    said = "\n".join(verdict.lines)
    assert "compare" not in verdict.open or "matters only where a membrane meets its threshold exactly" in said


# ------------------------------------------------------------------------------------------------ recordings of our own

N, T, B = 6, 16, 4


def full(value: float) -> np.ndarray:
    return np.full(N, value, np.float32)


def lif(tau: float, r: float = 1.0) -> Lif:
    return Lif(tau=full(tau), r=full(r), v_leak=full(0), v_threshold=full(0.5), v_reset=full(0))


def chain(first: Any, second: Any) -> Graph:
    weight = np.random.default_rng(1).normal(0.4, 0.6, (N, N)).astype(np.float32)
    nodes = {"in": Input(shape=(N,)), "a": first, "w": Linear(weight=weight, bias=full(0.1)), "b": second}
    names = ["in", "a", "w", "b", "out"]
    return Graph(nodes={**nodes, "out": Output(shape=(N,))}, edges=tuple(itertools.pairwise(names)))


def files(tmp_path: Path, made: Graph, dialect: Dialect, scale: float = 3.0, **more: Any) -> tuple[Path, Path]:
    x = (scale * np.random.default_rng(2).normal(0.4, 0.6, (B, T, N))).astype(np.float32)
    played = run(made, x, dialect, T)
    write_nir(tmp_path / "m.nir", made)
    arrays = {"x": x, **{f"spikes.{n}": s.astype(np.uint8) for n, s in played.spikes.items()}, **more}
    write_npz(tmp_path / "r.npz", arrays)
    return tmp_path / "m.nir", tmp_path / "r.npz"


def test_a_convention_of_no_tool_is_found_by_its_choices(tmp_path: Path) -> None:
    unknown = Dialect(convention=Convention(dt=1e-3, decay="exact", reset="subtract"), drive="unit")
    verdict = whose(*files(tmp_path, chain(lif(5e-3, 2.0), lif(8e-3, 2.0)), unknown))
    assert verdict.status == "named"
    assert verdict.fitting[0].dialect.choices == unknown.choices
    assert verdict.headline.startswith("no tool of the table (dt = 0.001, exact decay, input as it comes")


def test_several_spikes_that_never_came_stay_ambiguous(tmp_path: Path) -> None:
    """Weak input: no membrane reaches twice its threshold, and sinabs may have counted or not."""
    verdict = whose(*files(tmp_path, chain(lif(6.0), lif(9.0)), TABLE["sinabs-single"], scale=1.0))
    assert (verdict.status, verdict.exit_code) == ("ambiguous", 1)
    assert {"sinabs", "sinabs-single"} <= {r.dialect.name for r in verdict.fitting}
    assert "many" in verdict.open
    assert any(ADVICE["many"] in line for line in verdict.lines)


def test_two_timesteps_settle_little(tmp_path: Path) -> None:
    """One dialect of the table is left, but combinations of no tool fit as well: its name would be a guess."""
    model, recorded = unpacked(tmp_path, "norse")
    with np.load(recorded) as held:
        write_npz(tmp_path / "cut.npz", {n: a[:, :2] for n, a in held.items()})
    verdict = whose(model, tmp_path / "cut.npz")
    assert verdict.status == "ambiguous"
    assert set(verdict.open) - {"compare", "many"}
    assert len(verdict.lines) == len(verdict.open)


def test_the_table_shows_every_dialect(tmp_path: Path) -> None:
    verdict = whose(*unpacked(tmp_path, "sinabs"))
    assert as_table(verdict).row_count == len(verdict.rows) == len(TABLE)


def test_silence_names_nobody(tmp_path: Path) -> None:
    verdict = whose(*files(tmp_path, chain(lif(6.0), lif(9.0)), TABLE["sinabs"], scale=1e-3))
    assert (verdict.status, verdict.exit_code) == ("ambiguous", 1)
    assert "no spike" in verdict.lines[0]


def test_no_convention_fits_a_changed_recording(tmp_path: Path) -> None:
    model, recorded = files(tmp_path, chain(lif(3e-4), lif(5e-4)), TABLE["spikingjelly"])
    with np.load(recorded) as held:
        arrays = dict(held)
    arrays["spikes.b"][:, 3] ^= 1
    write_npz(recorded, arrays)
    calls: list[tuple[int, int]] = []
    verdict = whose(model, recorded, lambda done, total: calls.append((done, total)))
    assert (verdict.status, verdict.exit_code) == ("none", 1)
    assert calls[-1] == (calls[-1][1] - 1, calls[-1][1])
    assert verdict.headline.startswith("none: the nearest is ")
    assert verdict.rows[0].dialect.name in {"spikingjelly", "nir", "snntorch-zero"}
    assert "state was reset" in verdict.lines[-1]


def test_the_result_is_plain_json(tmp_path: Path) -> None:
    verdict = whose(*files(tmp_path, chain(lif(3e-4), lif(5e-4)), TABLE["spikingjelly"]))
    said = json.loads(json.dumps(verdict.to_json()))
    assert said["status"] == "named"
    assert {r["name"] for r in said["dialects"]} == set(TABLE)
    refused = next(r for r in said["dialects"] if r["name"] == "norse-seconds")
    assert refused["not_run"].startswith("node a: tau 0.0003 is too short")


def test_output_stands_for_the_last_neurons_spikes(tmp_path: Path) -> None:
    made = chain(lif(3e-4), lif(5e-4))
    model, recorded = files(tmp_path, made, TABLE["spikingjelly"])
    with np.load(recorded) as held:
        write_npz(recorded, {"x": held["x"], "output": held["spikes.b"]})
    verdict = whose(model, recorded)
    assert verdict.status == "named"
    assert verdict.rows[0].played
    assert verdict.rows[0].played.compared + verdict.rows[0].played.doubtful == B * T * N


def loop(bias: float) -> Graph:
    """Two neurons that excite one another, both driven: which of the edges between them waits changes the spikes."""
    made = chain(lif(3e-4), lif(3e-4))
    back = Linear(weight=np.random.default_rng(5).normal(-0.6, 0.5, (N, N)).astype(np.float32), bias=full(bias))
    edges = (*made.edges, ("in", "b"), ("b", "back"), ("back", "a"))
    return Graph(nodes={**made.nodes, "back": back}, edges=edges, delayed=frozenset({("b", "back")}))


@pytest.mark.parametrize("waits", [("b", "back"), ("a", "w")])
def test_either_edge_of_a_loop_may_be_the_one_that_waits(tmp_path: Path, waits: tuple[str, str]) -> None:
    made = Graph(nodes=loop(0.2).nodes, edges=loop(0.2).edges, delayed=frozenset({waits}))
    model, recorded = files(tmp_path, made, TABLE["nir"])
    _without_metadata(model)
    assert set(read_choices(model)) == {frozenset({("b", "back")}), frozenset({("a", "w")})}
    verdict = whose(model, recorded)
    assert verdict.status == "named"
    assert verdict.fitting[0].delayed == frozenset({waits})


def _without_metadata(model: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(model, "a") as f:
        del f["node/metadata"]


def test_the_metadata_of_our_own_files_settles_the_edge(tmp_path: Path) -> None:
    model, _ = files(tmp_path, loop(0.2), TABLE["nir"])
    assert set(read_choices(model)) == {frozenset({("b", "back")})}


def test_a_loop_without_one_edge_to_open_it_is_refused(tmp_path: Path) -> None:
    """Two loops through one Linear node, with two neurons: no single neuron's edge is on both."""
    made = chain(lif(3e-4), lif(3e-4))
    nodes = {**made.nodes, "w2": Linear(weight=np.eye(N, dtype=np.float32), bias=None)}
    edges = (("in", "a"), ("in", "b"), ("a", "w"), ("b", "w"), ("w", "w2"), ("w2", "a"), ("w2", "b"), ("w", "out"))
    write_nir(tmp_path / "m.nir", Graph(nodes=nodes, edges=edges, delayed=frozenset({("w", "w2")})))
    _without_metadata(tmp_path / "m.nir")
    with pytest.raises(UnsupportedError, match=r"no single edge out of a neuron opens .*--delayed"):
        read_choices(tmp_path / "m.nir")


@pytest.mark.parametrize("name", ["norse", "spikingjelly"])
def test_time_first_is_tried_where_nothing_fits_and_said(tmp_path: Path, name: str) -> None:
    """As many samples as timesteps, or frames that are time first throughout: no shape gives it away."""
    model, recorded = unpacked(tmp_path, name)
    with np.load(recorded) as held:
        swapped = {n: np.ascontiguousarray(a.swapaxes(0, 1)) for n, a in held.items()}
    write_npz(tmp_path / "swapped.npz", swapped)
    right, verdict = whose(model, recorded), whose(model, tmp_path / "swapped.npz")
    assert verdict.status == right.status == "named"
    assert [r.dialect.name for r in verdict.fitting] == [r.dialect.name for r in right.fitting]
    assert "read with time first" in verdict.headline
    assert any("put it second" in line for line in verdict.lines)
    assert "time first" not in right.headline
    assert (verdict.timesteps, verdict.framed) == (right.timesteps, True)


def test_other_arrays_are_left_alone_and_a_recording_of_a_check_is_read(tmp_path: Path) -> None:
    made = chain(lif(3e-4), lif(5e-4))
    model, recorded = files(tmp_path, made, TABLE["nir"])
    with np.load(recorded) as held:
        arrays = dict(held)
    write_npz(recorded, {**arrays, "labels": np.arange(B), "note": np.zeros(3)})
    assert whose(model, recorded).status == "named"
    packed = {n: np.packbits(a, axis=-1) for n, a in arrays.items() if n != "x"}
    about = {"recording.json": np.frombuffer(b"{}", np.uint8), "counts.a": np.zeros(T), "answers": np.zeros((B, N))}
    write_npz(recorded, {**about, **packed, "x": arrays["x"][..., None, None]})
    assert whose(model, recorded).status == "named"
    arrays["spikes.b"][2, 5] ^= 1
    write_npz(recorded, {**about, "x": arrays["x"], "spikes.b": np.packbits(arrays["spikes.b"], axis=-1)})
    assert whose(model, recorded).status == "none"


def test_a_folder_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a folder; name a \.nir"):
        whose(tmp_path, tmp_path / "r.npz")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no x": ({"spikes.a": np.zeros((B, T, N))}, "expected x, and output or spikes.NODE"),
    "x alone": ({"x": np.zeros((B, T, N))}, "expected x, and output or spikes.NODE"),
    "no such node": ({"x": np.zeros((B, T, N)), "spikes.w": np.zeros((B, T, N))}, "spikes.w: expected .*one of a, b"),
    "time first": (
        {"x": np.zeros((B, T, N)), "output": np.zeros((T, B, N))},
        r"expected \(4, timesteps, 6\); put time",
    ),
    "shape": ({"x": np.zeros((B, T, N)), "output": np.zeros((B, T, 5))}, r"output \(4, 16, 5\); expected \(4, timest"),
    "x's shape": ({"x": np.zeros((B, 7)), "output": np.zeros((B, T, N))}, r"x \(4, 7\); expected \(samples, 6\) or"),
    "x's time": ({"x": np.zeros((B, 9, N)), "output": np.zeros((B, T, N))}, r"x \(4, 9, 6\); expected"),
    "lengths": (
        {"x": np.zeros((B, T, N)), "spikes.a": np.zeros((B, T, N)), "spikes.b": np.zeros((B, 9, N))},
        r"records of \[9, 16\] timesteps",
    ),
    "membranes": ({"x": np.zeros((B, T, N)), "spikes.a": np.full((B, T, N), 0.3)}, "not whole numbers"),
    "NaN": ({"x": np.full((B, T, N), np.nan), "output": np.zeros((B, T, N))}, "x is float64; expected finite"),
    "a number": ({"x": np.zeros(()), "output": np.zeros((B, T, N))}, r"output \(4, 16, 6\); expected \(0,"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_recording_is_one_clear_line(tmp_path: Path, what: str) -> None:
    arrays, message = WRONG[what]
    write_npz(tmp_path / "r.npz", arrays)
    with pytest.raises(InvalidFileError, match=message) as caught:
        read_recording(tmp_path / "r.npz", chain(lif(3e-4), lif(3e-4)))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "r.npz") in str(caught.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model, recorded = unpacked(tmp_path, "norse")
    (tmp_path / "cut.npz").write_bytes(recorded.read_bytes()[:300])
    with pytest.raises(InvalidFileError):
        whose(model, tmp_path / "cut.npz")
    (tmp_path / "cut.nir").write_bytes(model.read_bytes()[:3000])
    with pytest.raises(SnnasError):
        whose(tmp_path / "cut.nir", recorded)


def test_cuba_files_are_told_apart_by_their_synapses(tmp_path: Path) -> None:
    def cuba(tau_syn: float, tau_mem: float) -> CubaLif:
        mem = {"tau_mem": full(tau_mem), "r": full(1), "v_leak": full(0), "v_threshold": full(0.3), "v_reset": full(0)}
        return CubaLif(tau_syn=full(tau_syn), w_in=full(1), **mem)

    made = chain(cuba(4e-6, 5e-6), cuba(3e-6, 7e-6))
    verdict = whose(*files(tmp_path, made, TABLE["norse"]))
    assert [r.dialect.name for r in verdict.fitting] == ["norse"]
    assert "synapse" not in verdict.open


# ------------------------------------------------------------------------------------ membranes, and no reset at all


def weights(rng: np.random.Generator, mean: float) -> Linear:
    return Linear(weight=rng.normal(mean, 0.7, (N, N)).astype(np.float32), bias=None)


def read_out(tmp_path: Path, dialect: Dialect, *, current: bool = False) -> tuple[Path, Path]:
    """Two layers; what is recorded is the first one's spikes and the membrane of the second, which never resets."""
    rng = np.random.default_rng(6)
    end = (
        CubaLif(tau_syn=full(3e-4), tau_mem=full(5e-4), r=full(1), v_leak=full(0), w_in=full(1), v_threshold=full(0.5),
                v_reset=full(0)) if current else lif(4e-4)
    )  # fmt: skip
    graph = Graph(
        nodes={"input": Input(shape=(N,)), "w": weights(rng, 0.5), "a": lif(3e-4), "v": weights(rng, 0.2), "b": end,
               "output": Output(shape=(N,))},
        edges=(("input", "w"), ("w", "a"), ("a", "v"), ("v", "b"), ("b", "output")),
    )  # fmt: skip
    x = (rng.random((B, T, N)) < 0.5).astype(np.float32)
    played = run(by_membrane(graph), x, dialect, T)
    write_nir(tmp_path / "m.nir", graph)
    write_npz(tmp_path / "m.npz", {"x": x, "output": played.output, "spikes.a": played.spikes["a"]})
    return tmp_path / "m.nir", tmp_path / "m.npz"


@pytest.mark.parametrize("name", ["snntorch-zero", "spikingjelly"])
def test_a_recording_may_hold_membranes(tmp_path: Path, name: str) -> None:
    verdict = whose(*read_out(tmp_path, TABLE[name]))
    assert name in [r.dialect.name for r in verdict.fitting]
    assert verdict.status == "named"
    assert "the output is the membrane of the last neurons" in verdict.headline
    row = TABLE[name]
    graph = read_dialect(tmp_path / "m.nir", replace(row, convention=replace(row.convention, readout="membrane-last")))
    recording = read_recording(tmp_path / "m.npz", graph)
    assert recording.output is not None
    found = interpreter.run(graph, recording.x, T)
    assert found.read == "last"
    np.testing.assert_allclose(found.output, recording.output, atol=1e-5)


def test_the_current_that_a_membrane_sees_is_told(tmp_path: Path) -> None:
    verdict = whose(*read_out(tmp_path, TABLE["nir-late"], current=True))
    assert [r.dialect.name for r in verdict.fitting] == ["nir-late"]
    assert "current" not in verdict.open
    (tmp_path / "now").mkdir()
    now = whose(*read_out(tmp_path / "now", TABLE["nir"], current=True))
    assert "nir-late" not in [r.dialect.name for r in now.fitting]
    assert "nir" in [r.dialect.name for r in now.fitting]


def test_no_reset_at_all_has_a_row(tmp_path: Path) -> None:
    model, _ = read_out(tmp_path, TABLE["nir"])
    graph = next(iter(read_choices(model).values()))
    x = (np.random.default_rng(1).random((B, T, N)) < 0.6).astype(np.float32)
    played = run(graph, x, TABLE["snntorch-none"], T)
    write_npz(tmp_path / "r.npz", {"x": x, **{f"spikes.{n}": s for n, s in played.spikes.items()}})
    verdict = whose(model, tmp_path / "r.npz")
    assert [r.dialect.name for r in verdict.fitting] == ["snntorch-none"]
    assert "no reset" in verdict.headline
    with pytest.raises(UnsupportedError, match=r"node a: never resets.*--readout membrane-last"):
        read_dialect(model, TABLE["snntorch-none"])


def test_what_is_not_run_again_would_have_given_the_same(tmp_path: Path) -> None:
    """Membranes that meet their thresholds, and twice of them: there > and >=, one spike and many, part."""
    rng = np.random.default_rng(4)
    weight = (rng.integers(-4, 9, (5, 6)) / 4).astype(np.float32)
    neuron = If(
        r=np.full(5, 1 / OURS.dt, np.float32), v_threshold=np.ones(5, np.float32), v_reset=np.zeros(5, np.float32)
    )
    nodes = {
        "input": Input(shape=(6,)),
        "w": Linear(weight=weight, bias=None),
        "n": neuron,
        "output": Output(shape=(5,)),
    }
    graph = Graph(nodes=nodes, edges=tuple(itertools.pairwise(nodes)))
    for share in (0.02, 0.5):
        x = (rng.random((3, 6, 6)) < share).astype(np.float32)
        found = run(graph, x, TABLE["nir"], 6)
        recording = Recording(x, 6, {"n": found.spikes["n"]}, framed=True)
        trial, reused = find_convention._Trial({frozenset(): graph}, recording), 0
        for dialect in elementary(graph):
            reused += trial.as_simpler(dialect, frozenset()) is not None
            (row,) = trial.rows([dialect], stop=True)
            assert row.played is not None
            again = play(graph, row.found, x, 6, recorded=recording.spikes, stop=True)
            assert (row.played.compared, row.played.differing) == (again.compared, again.differing), dialect.choices
        assert reused > 0 if share < 0.1 else reused == 0
