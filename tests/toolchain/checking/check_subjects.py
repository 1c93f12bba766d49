"""Healthy subjects of ``snnas check``, made once: the graph of examples/ci_gate as .nir, .onnx and export folder."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.hw_sim.files import sha256, write_json
from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.cli.app import run_command
from tests.without_lava import without_lava

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "ci_gate"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_graph", EXAMPLE / "make_graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sign(folder: Path, name: str) -> None:
    """Makes the manifest agree with a changed file, as somebody who hides a change would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256(folder / name)
    write_json(folder / "manifest.json", manifest)


def change_arrays(path: Path, **changes: Any) -> None:
    """Arrays of an .npz by name: a new value, a function of the old one, or None to leave it out."""
    arrays = read_npz(path, what="test file")
    for key, change in changes.items():
        value = change(arrays[key].copy()) if callable(change) else change
        arrays = {k: v for k, v in arrays.items() if k != key} | ({} if value is None else {key: value})
    write_npz(path, arrays)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of ``snnas check ... --json``."""
    capsys.readouterr()
    code = run_command(["check", *arguments, "--json"])
    out = capsys.readouterr().out
    found = json.loads(out) if out else {"exit_code": code, "findings": []}
    assert found["exit_code"] == code
    return code, found["findings"]


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """graph.nir and model.onnx with their recordings, lava and onnx (two exports), baseline.json."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from snnas.export.formats.onnx_file import write_onnx

    folder = tmp_path_factory.mktemp("healthy")
    with pytest.MonkeyPatch.context() as patch:
        without_lava(patch)
        patch.delenv("CI", raising=False)
        made = example()
        from snnas.export.formats.nir_file import write_nir

        write_nir(folder / "graph.nir", made.graph())
        x, y = made.bars(40, seed=7)
        np.savez(folder / "bars.npz", x=x, y=y)
        write_onnx(folder / "model.onnx", made.graph(), timesteps=made.TIMESTEPS)
        data = ["--record", "auto", "--data", str(folder / "bars.npz"), "--limit", "16"]
        for name in ("graph.nir", "model.onnx"):
            assert run_command(["check", str(folder / name), *data]) == 0
        assert run_command(["check", str(folder / "graph.nir"), "--update-baseline"]) == 0
        arguments = ["--data", str(folder / "bars.npz"), "--out", str(folder / "lava"), "--samples", "8", "-q"]
        assert run_command(["export", str(folder / "graph.nir"), *arguments]) == 0
        _onnx_folder(folder, x[:8], y[:8])
    return folder


def _onnx_folder(folder: Path, x: np.ndarray, y: np.ndarray) -> None:
    """What ``snnas export --target onnx`` leaves behind."""
    onnx = folder / "onnx"
    onnx.mkdir()
    shutil.copy(folder / "graph.nir", onnx / "model.nir")
    shutil.copy(folder / "model.onnx", onnx / "model.onnx")
    write_npz(onnx / "stimulus.npz", {"x": x, "y": y})
    write_json(onnx / "report.json", onnx_report(onnx))
    files = {p.name: sha256(p) for p in sorted(onnx.iterdir())}
    write_json(onnx / "manifest.json", {"format": "snnas.export.onnx/2", "target": "onnx", "files": files})


def onnx_report(folder: Path) -> dict[str, Any]:
    """The report.json of an export folder's model.onnx, run on its stimulus.npz."""
    from snnas.export.executors.onnx_runner import OnnxModel
    from snnas.toolchain.checking.lone_onnx import onnx_figures, run_onnx

    arrays = read_npz(folder / "stimulus.npz", what="stimulus")
    fired = run_onnx(OnnxModel(folder / "model.onnx"), arrays["x"])
    figures, compared = onnx_figures(fired, arrays["y"]), sum(v.size for v in fired.spikes.values())
    watch = Answers()
    watch.add(fired.answers)
    return {
        "silence": watch.with_spikes({name: int(v.sum()) for name, v in fired.spikes.items()}).to_json(),
        **{"schema": "snnas.export.onnx/2", "run": "bars", "precision": "float32", "inlined": False, "timesteps": 6},
        **{"samples": len(arrays["x"]), "spikes_compared": compared, "spikes_differing": 0, "output_difference": 0.0},
        "accuracy": {"deployed": figures["accuracy"], "onnxruntime": figures["accuracy"]},
        **{"sar": figures["sar"], "bytes": (folder / "model.onnx").stat().st_size},
    }


@pytest.fixture
def here(healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return to_spoil(healthy, tmp_path / "here", monkeypatch)


def to_spoil(folder: Path, copy: Path, patch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may spoil; the working folder, outside of any pipeline."""
    shutil.copytree(folder, copy)
    patch.chdir(copy)
    patch.delenv("CI", raising=False)
    return copy
