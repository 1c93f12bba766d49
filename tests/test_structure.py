"""The borders between the folders and the rooms (CONTRIBUTING.md), and what the base install needs.

A check that reads no file passes as well as one that finds no fault, so each planted fault here must be found.
"""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
FOLDERS = ("toolchain", "search", "export", "hw_sim")
MAY_IMPORT = {
    "snnas": {"snnas"},
    "snnas.toolchain": {f"snnas.{folder}" for folder in FOLDERS},
    "snnas.search": {"snnas.search"},
    "snnas.export": {"snnas.export", "snnas.hw_sim"},
    "snnas.hw_sim": {"snnas.hw_sim"},
}
EVERYBODYS = {"snnas.hw_sim.errors"}  # one tree of errors, with the exit codes that they mean
# From the door of the house down: a room imports what stands below its own floor.
FLOORS = (
    ("cli",),
    ("commands",),
    ("checking", "bench", "html"),
    ("searching", "diagnosing"),
    ("exporting",),
    ("finetuning",),
    ("training",),
    ("models",),
    ("output",),
    ("runs",),
    ("results",),
    ("data",),
)
MODULE_LINES, TOOLCHAIN_ENTRIES = 400, 16
HEAVY = {"torch", "spikingjelly", "tonic", "sklearn", "safetensors", "matplotlib", "torchvision"}
HEAVY |= {"onnx", "onnxruntime", "pymoo", "scipy"}
# Torch stands at module level only where a module is about torch; the command line imports these inside functions.
NEEDS_SEARCH_EXTRA = {
    "export/executors/deployed.py",
    "toolchain/bench/plain_training.py",
    *(f"toolchain/training/{path.name}" for path in (ROOT / "toolchain/training").glob("*.py")),
    *(f"toolchain/finetuning/{name}.py" for name in ("exported", "integers", "module", "neurons", "synapses", "tune")),
}
TRAVELS = "hw_sim/lava/run_lava.py"


Source = dict[str, str]  # path from the root -> text: a fault is planted in a copy


@cache
def files() -> tuple[tuple[str, str], ...]:
    """Every module of the package: path from the root, and text. The links in snnas/ are not followed."""
    paths = [path for folder in ("snnas", *FOLDERS) for path in sorted((ROOT / folder).rglob("*.py"))]
    return tuple((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths)


def source() -> Source:
    return dict(files())


def name_of(path: str) -> str:
    """'export/graph/graph.py' -> 'snnas.export.graph.graph'."""
    plain = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return plain if plain.split(".")[0] == "snnas" else f"snnas.{plain}"


def imports(text: str, known: Iterable[str] = (), *, top_level: bool = False) -> set[str]:
    """The modules that a text imports by their full names; of ``known`` ones also those named behind a from."""
    names = set()
    for node in import_lines(text, top_level):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"relative import in line {node.lineno}"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(known)
            names |= inner | ({node.module or ""} if len(inner) < len(node.names) else set())
    return names


@cache
def import_lines(text: str, top_level: bool) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Of a text, parsed once for all tests."""
    tree = ast.parse(text)
    return tuple(n for n in (tree.body if top_level else ast.walk(tree)) if isinstance(n, ast.Import | ast.ImportFrom))


def tops(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def arrows(tree: Source, *, top_level: bool = False) -> dict[str, set[str]]:
    """module -> the modules of ours that it imports."""
    known = {name_of(path) for path in tree}
    return {name_of(p): imports(text, known, top_level=top_level) & known for p, text in tree.items()}


def borders_crossed(tree: Source) -> list[str]:
    """Imports between the folders that MAY_IMPORT does not allow."""
    found = []
    for module, targets in arrows(tree).items():
        folder = (
            ".".join(module.split(".")[:2]) if module.split(".")[1:2] and module.split(".")[1] in FOLDERS else "snnas"
        )
        for target in targets - EVERYBODYS:
            if not any(target == allowed or target.startswith(f"{allowed}.") for allowed in MAY_IMPORT[folder]):
                found.append(f"{module} imports {target}")
    return found


def climbs(tree: Source) -> list[str]:
    """Imports from a room of toolchain/ into one on its own floor or above."""
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    found = []
    for module, targets in arrows(tree).items():
        room = module.split(".")[2:3] if module.startswith("snnas.toolchain.") else []
        for target in targets if room else ():
            other = target.split(".")[2:3] if target.startswith("snnas.toolchain.") else []
            if other and other != room and floor[other[0]] <= floor[room[0]]:
                found.append(f"{module} imports {target}")
    return found


def circles(tree: Source) -> list[list[str]]:
    """Groups of modules that import each other in a loop (Tarjan's strongly connected components)."""
    graph = arrows(tree)
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for target in graph[module]:
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            found.append(group)

    for module in graph:
        if module not in order:
            visit(module)
    return [sorted(group) for group in found if len(group) > 1 or group[0] in graph[group[0]]]


def too_long(tree: Source) -> list[str]:
    return [path for path, text in tree.items() if text.count("\n") > MODULE_LINES and path != TRAVELS]


def with_fault(path: str, line: str) -> Source:
    tree = source()
    assert path in tree
    return {**tree, path: f"{tree[path]}\n{line}\n"}


def test_all_of_the_package_is_looked_at() -> None:
    tree = source()
    assert len(tree) > 250
    assert all(len([p for p in tree if p.startswith(f"{folder}/")]) > 20 for folder in FOLDERS)
    assert sum(map(len, arrows(tree).values())) > 800  # and its imports are seen
    rooms = {path.split("/")[1] for path in tree if path.startswith("toolchain/") and path.count("/") > 1}
    assert rooms == {room for floor in FLOORS for room in floor}


def test_folders_import_what_they_may() -> None:
    assert borders_crossed(source()) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("hw_sim/kernels.py", "from snnas.export.graph.graph import Graph"),
        ("export/compiler/fold.py", "from snnas import search"),
        ("search/network/lif.py", "def f(): import snnas.hw_sim.kernels"),
        ("search/network/lif.py", "from snnas.toolchain.data.seeds import stream"),
    ],
)
def test_a_crossed_border_is_found(path: str, line: str) -> None:
    assert len(borders_crossed(with_fault(path, line))) == 1


def test_rooms_import_what_stands_below() -> None:
    assert climbs(source()) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("toolchain/data/load.py", "from snnas.toolchain.runs.run import Run"),
        ("toolchain/data/load.py", "def f(): from snnas.toolchain import runs"),
        ("toolchain/checking/check.py", "from snnas.toolchain.html import page"),
    ],
)
def test_a_climb_is_found(path: str, line: str) -> None:
    assert len(climbs(with_fault(path, line))) == 1


def test_no_import_circle() -> None:
    assert circles(source()) == []


def test_a_circle_is_found() -> None:
    line = "def f(): from snnas.hw_sim.simulate.simulator import simulate"
    (group,) = circles(with_fault("hw_sim/program.py", line))
    assert {"snnas.hw_sim.program", "snnas.hw_sim.simulate.simulator"} <= set(group)


def test_no_module_is_too_long() -> None:
    assert too_long(source()) == []
    assert too_long(with_fault("hw_sim/limits.py", "#\n" * MODULE_LINES)) == ["hw_sim/limits.py"]


def test_toolchain_can_be_looked_over() -> None:
    entries = sorted(path.name for path in (ROOT / "toolchain").iterdir() if path.name != "__pycache__")
    assert len(entries) <= TOOLCHAIN_ENTRIES, entries


def test_every_room_says_what_it_is_for() -> None:
    silent = [p for p, text in files() if p.endswith("/__init__.py") and not ast.get_docstring(ast.parse(text))]
    assert silent == []


def test_nothing_heavy_at_module_level() -> None:
    known = {path for path in source() if not path.startswith("search/") and path not in NEEDS_SEARCH_EXTRA}
    assert len(known) > 150
    found = {p: tops(imports(text, top_level=True)) & HEAVY for p, text in files() if p in known}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_bare_names_are_not_the_package() -> None:
    with pytest.raises(ImportError, match=r"snnas\.hw_sim"):
        __import__("hw_sim.errors")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_imports_no_torch_and_none_of_the_heavy_rest() -> None:
    code = (
        "import sys; from snnas.toolchain.cli.app import run_command; code = run_command(['--help'])\n"
        f"heavy = sorted(({HEAVY!r} | {{'numpy', 'nir', 'h5py', 'pydantic'}}) & set(sys.modules))\n"
        "sys.exit(code or heavy or 0)"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_the_base_install_imports_all_that_needs_no_torch() -> None:
    left_out = NEEDS_SEARCH_EXTRA | {"export/formats/hdf5_child.py"}
    names = [name_of(path) for path in source() if not path.startswith("search/") and path not in left_out]
    assert len(names) > 150
    code = (
        f"import importlib, sys\nblocked = {HEAVY!r}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked: raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr


def test_the_file_that_travels_needs_numpy_and_lava_alone() -> None:
    known = set(sys.stdlib_module_names) | {"numpy", "lava", "scipy", "__future__"}  # scipy comes with lava-nc
    assert tops(imports(source()[TRAVELS])) <= known


def test_the_file_that_travels_says_in_a_line_what_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "run_lava.py"
    script.write_bytes((ROOT / TRAVELS).read_bytes())
    done = subprocess.run([sys.executable, "-S", "-I", str(script)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "numpy is not installed for" in done.stderr


def test_every_pin_can_be_installed_on_the_oldest_python() -> None:
    checked = 0
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = metadata.distribution(name)
            wanted = found.metadata.get("Requires-Python")
            if version == found.version and wanted:
                assert "3.11.0" in SpecifierSet(wanted), f"{line} takes Python {wanted}"
                checked += 1
    assert checked > 20


def test_no_pickle_anywhere() -> None:
    for path, text in files():
        assert not tops(imports(text)) & {"pickle", "dill", "joblib", "cloudpickle", "shelve"}, path
        assert "allow_pickle=True" not in text, path
