"""nir-conformance: it needs numpy and nir alone, ours gives every value, and a fault in a reader is named."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nir
import numpy as np
import pytest

from conformance import graphs, known, make, reference, results, table, vectors
from conformance.__main__ import main
from conformance.badge import badge
from conformance.conventions import BASE, CONVENTIONS
from conformance.judge import DIFFERS, EQUAL, OTHER, STOPS, Verdict, judged
from conformance.readers import snnas as ours
from conformance.results import BadResultError, Result
from conformance.vectors import BadVectorsError, Vector
from snnas.toolchain.bench.foreign import literal

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "conformance"
KNOWN = vectors.load()
BY_NAME = {case.name: case for case in KNOWN.cases}
OF_OURS = [name for name, c in CONVENTIONS.items() if c.start == "zero"]
Read = Callable[[str, np.ndarray], dict[str, np.ndarray]]


def toy(change: Callable[[Any], None] = lambda graph: None, convention: str = BASE) -> Read:
    """A reader that plays the reference on a graph that ``change`` has spoilt."""

    def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
        graph = nir.read(path, type_check=False)
        change(graph)
        delayed = frozenset(BY_NAME[Path(path).stem].delayed)
        played = reference.play(graph, x, CONVENTIONS[convention], delayed)
        return {"output": played.output} | {f"spikes/{n}": s for n, s in played.spikes.items()}

    return read


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """main() with a reader that stands in a module of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(read: object, *options: str) -> tuple[int, str, str]:
        module = type(sys)("toy_reader")
        module.read = read  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "toy_reader", module)
        code = main(["--reader", "toy_reader:read", *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# ---------------------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize("convention", OF_OURS)
def test_our_interpreter_gives_every_value(convention: str, tmp_path: Path) -> None:
    """Of graphs that the convention changes; the plain one of all. Two programs that share nothing."""
    for case in KNOWN.cases:
        if convention in case.expected:
            given = ours.read(str(_written(case, tmp_path)), case.x, convention)
            assert set(given) == set(case.under(convention)), case.name
            verdict = judged(lambda _path, _x, given=given: given, case, tmp_path, convention)
            assert verdict.outcome == EQUAL, (case.name, verdict.found)


def _written(case: Vector, folder: Path) -> Path:
    path = folder / f"{case.name}.nir"
    path.write_bytes(case.nir)
    return path


def test_the_literal_interpreter_of_the_package_gives_the_plain_spikes(tmp_path: Path) -> None:
    for case in KNOWN.matching(["neurons", "cycles", "shapes"]):
        graph = reference.opened(nir.read(_written(case, tmp_path), type_check=False))
        played = literal.play(graph, case.x, frozenset(case.delayed))
        for name, spikes in played.spikes.items():
            assert np.array_equal(spikes, case.under(BASE)[f"spikes/{name}"]), (case.name, name)


def test_the_vectors_are_what_the_generator_makes() -> None:
    names = ("lif-met", "cuba-leak", "conv2d-same-even", "delays", "loop-two", "nested", "analogue")
    for case in graphs.cases():
        if case.name in names:
            arrays = make.arrays_of(make.recorded(case))
            kept = BY_NAME[case.name]
            assert np.array_equal(arrays.pop("x"), kept.x)
            assert {k.partition("/")[0] for k in arrays} == set(kept.expected), case.name
            for key, array in arrays.items():
                convention, _, what = key.partition("/")
                assert np.array_equal(array, kept.expected[convention][what]), (case.name, key)


def test_graphs_cover_every_node_type_and_every_convention() -> None:
    every = [node for case in graphs.cases() for node in reference.opened(case.graph).nodes.values()]
    wanted = {"Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten"}
    wanted |= {"Delay", "Threshold", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF"}
    assert {type(node).__name__ for node in every} == wanted
    assert [case.name for case in graphs.cases()] == [case.name for case in KNOWN.cases]
    assert {name for case in KNOWN.cases for name in case.expected} == set(CONVENTIONS)


def test_in_an_exact_graph_no_rounding_is_forgiven(tmp_path: Path) -> None:
    def late_bit(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
        found = ours.read(path, x)
        return found | {"membrane/n": found["membrane/n"] + 1e-7}

    assert judged(late_bit, BY_NAME["lif-met"], tmp_path, BASE).outcome == DIFFERS
    assert judged(late_bit, BY_NAME["lif"], tmp_path, BASE).outcome == EQUAL


# ------------------------------------------------------------------------------------------------- what is alone


def test_numpy_and_nir_are_all_it_needs(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(
        textwrap.dedent("""
            import nir
            from conformance.conventions import CONVENTIONS
            from conformance.reference import play

            def read(path, x):
                return {"output": play(nir.read(path, type_check=False), x, CONVENTIONS["nir"]).output}
        """)
    )
    (tmp_path / "alone.py").write_text(
        textwrap.dedent(f"""
            import sys
            ALLOWED = {{"numpy", "nir", "h5py", "conformance", "toy", *sys.stdlib_module_names}}

            class Only:
                def find_spec(self, name, path=None, target=None):
                    top = name.partition(".")[0]
                    if top not in ALLOWED and not top.startswith("_"):
                        raise ImportError(f"{{name}} is not to be needed")

            sys.meta_path.insert(0, Only())
            sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]
            from conformance.__main__ import main
            sys.exit(main(["--reader", "toy:read", "--only", "neurons", "--only", "maps", "--json", "out.json"]))
        """)
    )
    done = subprocess.run(
        [sys.executable, "alone.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert results.read(tmp_path / "out.json").counts[EQUAL] == len(KNOWN.matching(["neurons", "maps"]))


def test_the_folder_and_the_package_do_not_import_each_other() -> None:
    inside = {p.relative_to(FOLDER).as_posix(): _imported(p) for p in FOLDER.rglob("*.py")}
    assert [p for p, names in inside.items() if "snnas" in names] == ["readers/snnas.py"]
    outside = [
        p for folder in ("snnas", "toolchain", "search", "export", "hw_sim") for p in (ROOT / folder).rglob("*.py")
    ]
    assert len(outside) > 100
    assert [p for p in outside if "conformance" in _imported(p)] == []


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found |= {name.partition(".")[0] for name in names}
    return found


# --------------------------------------------------------------------------------------------- faults and readers


def _no_reset(graph: Any) -> None:
    for node in graph.nodes.values():
        if hasattr(node, "v_reset"):
            node.v_reset = 0 * node.v_reset


def test_a_planted_fault_is_named(run: Any) -> None:
    code, out, _ = run(toy(_no_reset), "--only", "neurons")
    assert code == 1
    named = {line.split()[0] for line in out.splitlines()[:-1]}
    assert named == {"lif-reset", "lif-reset-negative", "lif-leak-reset", "if-reset", "cuba-reset"}
    assert "lif-reset           differs: output: " in out
    assert "sample 0, timestep " in out


def test_another_convention_is_recognised(run: Any, tmp_path: Path) -> None:
    code, out, _ = run(toy(convention="ge"), "--only", "exact fractions", "--json", "ge.json")
    assert code == 1
    assert "lif-met             as ge: output: " in out
    assert "nearest convention: ge" in out
    assert results.read(tmp_path / "ge.json").counts[OTHER] == 10
    assert run(toy(convention="ge"), "--only", "exact fractions", "--convention", "ge")[0] == 0


class Tensor:
    """As torch's, which requires grad."""

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on\na Tensor that requires grad")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output": Tensor()}, "output: cannot be made an array: RuntimeError: Can't call numpy() on a Tensor that"),
        (None, "the reader returned NoneType; expected a dict with 'output'"),
        ({"spikes/n": np.zeros(3)}, "the reader returned keys ['spikes/n']"),
        ({"output": np.full((3, 10, 3), np.nan)}, "output holds NaN or infinity"),
        ({"output": np.array(["a"])}, "output holds <U1; expected numbers"),
        ({"output": np.zeros((8, 16, 8, 8))}, "output has shape (8, 16, 8, 8), expected (3, 10, 3)"),
    ],
)
def test_a_readers_nonsense_is_a_line(given: Any, said: str, run: Any) -> None:
    code, out, err = run(lambda path, x: given, "--only", "lif")
    assert (code, err) == (1, "")
    assert out.startswith(f"lif                 differs: {said}")


def test_a_node_that_is_not_there_is_named(run: Any) -> None:
    def misnamed(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"output": toy()(path, x)["output"], "spikes/lif_1": x}

    assert (
        "spikes/lif_1 is no neuron of the graph; it has membrane/n, output, spikes/n"
        in run(misnamed, "--only", "lif")[1]
    )


def test_an_exception_stops_and_the_reader_cannot_spoil_the_inputs(run: Any) -> None:
    def read(path: str, x: np.ndarray) -> dict[str, np.ndarray]:
        x[:] = 7
        raise SystemExit("I exit")

    before = BY_NAME["lif"].x.copy()
    code, out, _ = run(read, "--only", "lif")
    assert code == 1
    assert "stops: SystemExit: I exit" in out
    assert np.array_equal(KNOWN.cases[0].x, before)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--reader", "nowhere"], 2, "expected MODULE:FUNCTION"),
        (["--reader", "not_here:read"], 2, "cannot import not_here (ModuleNotFoundError"),
        (["--reader", "json:read"], 2, "read is not in it; json has "),
        (["--reader", "json:__doc__"], 2, "__doc__ is no function"),
        (["--reader", "json:loads"], 2, "it is called with a path and the inputs, read(path, x)"),
        (["--reader", "json:loads", "--only", "nothing*"], 2, "names no graph and no group; --list shows them"),
        (["--reader", "json:loads", "--json", "no/such/out.json"], 2, "its folder is not there"),
        (["--list", "--only", "nothing*"], 2, "names no graph and no group"),
        (["--table", "missing.json"], 3, "missing.json: not a result (FileNotFoundError"),
    ],
)
def test_bad_use_is_one_line(
    options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(options) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_damaged_vectors_and_results_are_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "vectors.zip"
    bad.write_bytes(vectors.FILE.read_bytes()[:1000])
    with pytest.raises(BadVectorsError, match="no vectors"):
        vectors.load(bad)
    for text in ("[]", "{}", '{"format": "nir-conformance.result/2"}', '{"format": "nir-conformance.result/1"}', "{"):
        (tmp_path / "r.json").write_text(text)
        with pytest.raises(BadResultError, match=r"r\.json"):
            results.read(tmp_path / "r.json")


@pytest.mark.parametrize(
    "damage",
    [
        {"versions": []},
        {"versions": {"nir": 1}},
        {"name": 5},
        {"verdicts": {"lif": {"outcome": "other", "found": "", "conventions": [], "shown": 0}}},
        {"verdicts": {"lif": {"outcome": "equal", "found": "", "conventions": "nir", "shown": 0}}},
        {"verdicts": {"lif": {"outcome": "equal", "found": "", "conventions": [], "shown": None}}},
        None,  # too deep to be read
    ],
)
def test_a_result_of_wrong_types_is_one_line(
    damage: dict[str, Any] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.loads((FOLDER / "results" / "snnas.json").read_text())
    (tmp_path / "r.json").write_text("[" * 100000 if damage is None else json.dumps(good | damage))
    with pytest.raises(BadResultError, match=r"r\.json: not a result"):
        results.read(tmp_path / "r.json")
    assert main(["--table", str(tmp_path / "r.json")]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_our_own_result_does_not_go_stale_with_a_release() -> None:
    assert set(_published()["snnas"].versions) == set(results.versions_of(ours.VERSIONS)) == {"python", "nir", "numpy"}


# ------------------------------------------------------------------------------------------------ what is published


def _published() -> dict[str, Result]:
    return {path.stem: results.read(path) for path in sorted((FOLDER / "results").glob("*.json"))}


def test_the_published_results_are_of_these_vectors_and_ours_is_all_equal() -> None:
    found = _published()
    assert len(found) >= 6
    assert table.table(KNOWN, list(found.values())).count("\n") == len(KNOWN.cases) + 6
    assert found["snnas"].counts[EQUAL] == len(KNOWN.cases)


def test_our_published_result_is_what_comes_out_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Graph by graph, every verdict, and what is said of it."""
    reader = ["--reader", "conformance.readers.snnas:read", "--name", "snnas"]
    assert main([*reader, "--json", str(tmp_path / "again.json")]) == 0
    again, published = results.read(tmp_path / "again.json"), _published()["snnas"]
    assert replace(again, versions={}) == replace(published, versions={})


def test_runs_of_a_reader_that_varies_are_one_result(run: Any, tmp_path: Path) -> None:
    run(toy(), "--only", "lif*", "--json", "a.json")
    first = results.read(tmp_path / "a.json")
    name = next(iter(first.verdicts))
    stopped = Verdict("stops", "KeyError", (), 0)
    other = replace(first, verdicts={**first.verdicts, name: stopped})
    differing = replace(first, verdicts={**first.verdicts, name: Verdict("differs", "output, timestep 1", (), 2)})
    for number, result in enumerate((other, differing, other)):
        results.write(tmp_path / f"{number}.json", result)
    runs = [str(tmp_path / f"{number}.json") for number in range(3)]
    assert main(["--merge", *runs, "--json", str(tmp_path / "merged.json")]) == 0
    found = results.read(tmp_path / "merged.json")
    varying = found.verdicts[name]
    assert varying.outcome == "differs"
    assert varying.found == "varies from run to run (differs 1 of 3, stops 2 of 3): output, timestep 1"
    assert replace(found, verdicts={**found.verdicts, name: first.verdicts[name]}) == first
    results.write(tmp_path / "0.json", replace(other, versions={"python": "2.7"}))
    assert main(["--merge", *runs, "--json", str(tmp_path / "again.json")]) == 3
    assert not (tmp_path / "again.json").exists()


def test_every_silent_difference_has_its_deviation() -> None:
    explained = {(tool, graph) for d in known.deviations() for tool in d.tools for graph in d.graphs}
    for result in _published().values():
        tool = result.name.partition(",")[0]
        silent = {name for name, v in result.verdicts.items() if v.outcome in (DIFFERS, OTHER)}
        assert {(tool, name) for name in silent} <= explained, (tool, silent - {g for t, g in explained if t == tool})


def test_a_minimal_case_is_short_and_says_what_it_means() -> None:
    found = known.deviations()
    assert sum(d.new for d in found) >= 2
    for deviation in found:
        assert set(deviation.graphs) <= set(BY_NAME), deviation.name
        assert len(deviation.words) > 60, deviation.name
        code = [line for line in deviation.code.splitlines() if line and not line.startswith(("import ", "from "))]
        assert 4 <= len(code) <= 12, deviation.name


def test_a_result_is_the_same_file_twice_and_old_vectors_are_refused(run: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(toy(), "--only", "lif*", "--json", f"{name}.json", "--badge", f"{name}.svg")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["format"] == "nir-conformance.result/1"
    document["vectors"] = "0" * 64
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(BadResultError, match="other vectors"):
        table.table(KNOWN, [results.read(tmp_path / "a.json")])
    with pytest.raises(BadResultError, match=f"of {len(KNOWN.cases)} graphs"):
        table.table(KNOWN, [results.read(tmp_path / "b.json")])


def test_the_badge_says_how_many_and_warns_of_silence() -> None:
    make_result = partial(Result, reader="a:b", convention=BASE, vectors="", versions={})
    good = badge(make_result(name="<tool>", verdicts={"a": Verdict(EQUAL)}))
    assert "1/1 equal" in "".join(ElementTree.parse(io.StringIO(good)).getroot().itertext())
    quiet = badge(make_result(name="t", verdicts={"a": Verdict(EQUAL), "b": Verdict(STOPS)}))
    wrong = badge(make_result(name="t", verdicts={"a": Verdict(EQUAL), "b": Verdict(DIFFERS)}))
    assert "silently" not in quiet
    assert "1/2 equal, 1 silently not" in wrong
    assert len({text.partition('fill="#444"/>')[2][:80] for text in (good, quiet, wrong)}) == 3


def test_files_can_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--extract", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(KNOWN.cases)
    with np.load(tmp_path / "out" / "lif.npz") as arrays:
        assert np.array_equal(arrays["nir/output"], BY_NAME["lif"].under(BASE)["output"])
    assert main(["--list", "--only", "cycles"]) == 0
    assert "loop-two" in capsys.readouterr().out
