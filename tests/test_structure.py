"""The borders between the folders (CONTRIBUTING.md), and what the base install needs."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
OURS = {"toolchain", "search", "export", "hw_sim"}
MAY_IMPORT = {"toolchain": OURS, "search": {"search"}, "export": {"export", "hw_sim"}, "hw_sim": {"hw_sim"}}
HEAVY = {"torch", "spikingjelly", "tonic", "sklearn", "safetensors", "matplotlib", "torchvision"}
HEAVY |= {"onnx", "onnxruntime", "pymoo"}
# Torch stands at module level only where a module is about torch; the command line imports these inside functions.
NEEDS_SEARCH_EXTRA = {
    "export/deployed.py",
    "toolchain/baselines/train_loop.py",
    *(str(path.relative_to(ROOT)) for path in (ROOT / "toolchain/training").glob("*.py")),
    *(f"toolchain/finetuning/{name}.py" for name in ("exported", "integers", "module", "neurons", "synapses", "tune")),
}


def modules() -> list[Path]:
    return [path for folder in sorted(OURS) for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path, *, top_level: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    assert imports(path, top_level=False) & OURS <= MAY_IMPORT[folder]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_heavy_at_module_level(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if not name.startswith("search/") and name not in NEEDS_SEARCH_EXTRA:
        assert not imports(path, top_level=True) & HEAVY


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_imports_no_torch_and_none_of_the_heavy_rest() -> None:
    code = (
        "import sys; from toolchain.cli import run_command; code = run_command(['--help'])\n"
        f"heavy = sorted(({HEAVY!r} | {{'numpy', 'nir', 'h5py'}}) & set(sys.modules)); sys.exit(code or heavy or 0)"
    )
    done = _python(code)
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_the_base_install_imports_all_that_needs_no_torch() -> None:
    names = [
        str(p.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for p in modules()
        if not str(p.relative_to(ROOT)).startswith("search/")
        and str(p.relative_to(ROOT)) not in NEEDS_SEARCH_EXTRA | {"export/hdf5_child.py"}
    ]
    assert len(names) > 20
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
    path = ROOT / "hw_sim/lava_worker/run_lava.py"
    known = set(sys.stdlib_module_names) | {"numpy", "lava", "scipy", "__future__"}  # scipy comes with lava-nc
    assert imports(path, top_level=False) <= known


def test_the_file_that_travels_says_in_a_line_what_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "run_lava.py"
    script.write_bytes((ROOT / "hw_sim/lava_worker/run_lava.py").read_bytes())
    done = subprocess.run([sys.executable, "-S", "-I", str(script)], capture_output=True, text=True, timeout=60)
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
    for path in modules():
        assert not imports(path, top_level=False) & {"pickle", "dill", "joblib", "cloudpickle", "shelve"}, path
        assert "allow_pickle=True" not in path.read_text(), path
