"""``snnas export --target onnx`` on a small trained run: files, figures, reuse, and what is refused."""

import json

import nir
import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from snnas.export.executors.onnx_runner import OnnxModel
from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.exporting import lava, pipeline
from tests.export.nir_nets import graph_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    small = ["--channels", "2", "--hidden", "16", "--epochs", "1", "-T", "3", "--batch", "8", "--quiet", "--json"]
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(runs), "--name", "tiny", *small]) == 0
    return runs


def export(folder, capsys, *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run_command(["export", "tiny", "--target", "onnx", "--runs-dir", str(folder), *options])
    return code, capsys.readouterr().out


def test_every_spike_of_the_test_split_is_the_same(folder, capsys) -> None:
    code, out = export(folder, capsys, "--json", "--quiet")
    assert code == 0
    report = json.loads(out)
    assert report["spikes_differing"] == 0
    assert report["samples"] == 360
    assert report["accuracy"]["deployed"] == report["accuracy"]["onnxruntime"]
    files = folder / "tiny" / "export" / "onnx"
    assert {p.name for p in files.iterdir()} == {
        "manifest.json", "model.nir", "model.onnx", "report.json", "stimulus.npz"
    }  # fmt: skip
    # Two cells' neurons without the ORs of the max-pools behind them, as on a chip.
    assert run_command(["export", "tiny", "--target", "lava", "--samples", "2", "--runs-dir", str(folder), "-q"]) == 0
    sar = json.loads((folder / "tiny/export/lava/report.json").read_text())["sar"]["training"]
    assert report["sar"] == pytest.approx(sar, rel=1e-9)
    assert run_command(["check", str(files), "--max", f"sar={sar * 1.0001}", "--trust-report", "-q"]) == 0
    assert run_command(["check", str(files), "--max", f"sar={sar * 0.9999}", "--trust-report", "-q"]) == 1
    model = OnnxModel(files / "model.onnx")
    with np.load(files / "stimulus.npz") as stimulus:
        assert model.run(stimulus["x"])[1].shape == (360, 10)
    before = (files / "model.onnx").stat().st_mtime_ns
    assert export(folder, capsys, "--json", "--quiet") == (0, out)
    assert (files / "model.onnx").stat().st_mtime_ns == before


@pytest.mark.parametrize("backward", [False, True])
def test_a_network_of_event_frames_fires_alike_on_its_whole_test_split(backward, tmp_path, capsys) -> None:
    """Two polarities, a frame of 0 and 1 per timestep, as N-MNIST has them."""
    rng = np.random.default_rng(5)
    y = np.arange(120) % 4
    rate = np.zeros((4, 1, 2, 8, 8))
    rate[np.arange(4), :, np.arange(4) % 2] = 0.3
    rate[:2] += 0.2
    np.savez(tmp_path / "event_frames.npz", x=(rng.random((120, 5, 2, 8, 8)) < rate[y]).astype(np.uint8), y=y)
    small = ["--channels", "3", "--hidden", "16", "--epochs", "1", "-T", "5", "--batch", "8", "--quiet", "--json"]
    small += ["--backward"] * backward
    data = ["--dataset", str(tmp_path / "event_frames.npz"), "--runs-dir", str(tmp_path), "--name", "tiny"]
    assert run_command(["search", "--method", "lightsnn", *data, *small]) == 0
    code, out = export(tmp_path, capsys, "--json", "--quiet")
    assert code == 0
    report = json.loads(out)
    assert (report["spikes_differing"], report["sar"] > 0) == (0, True)
    model = tmp_path / "tiny/export/onnx/model.onnx"
    assert OnnxModel(model).about["input_kind"] == "spikes"
    assert run_command(["check", str(model.parent)]) == 0
    assert run_command(["export", "tiny", "--target", "onnx", "--runs-dir", str(tmp_path), "-T", "3"]) == 2
    assert "sequences of 5 frames" in capsys.readouterr().err


def test_a_network_is_exported_at_another_t(folder, capsys, monkeypatch) -> None:
    assert export(folder, capsys, "--quiet", "--force")[0] == 0
    assert export(folder, capsys, "--quiet", "-T", "5")[0] == 2  # another export stands there
    code, out = export(folder, capsys, "--json", "--quiet", "-T", "5", "--force")
    assert code == 0
    report = json.loads(out)
    assert (report["timesteps"], report["spikes_differing"]) == (5, 0)
    assert report["sar"] > 0
    inputs = json.loads((folder / "tiny/export/onnx/manifest.json").read_text())["inputs"]
    assert inputs["timesteps"] == 5
    monkeypatch.setattr(pipeline, "lava_python", lambda options: (None, "not asked for here"))
    monkeypatch.setattr(lava, "lava_python", lambda options: (None, "not asked for here"))
    asked = ["export", "tiny", "--runs-dir", str(folder), "--json", "--quiet", "--samples", "4"]
    assert run_command([*asked, "-T", "5", "--force"]) == 0
    five = json.loads(capsys.readouterr().out)
    assert run_command([*asked, "--force"]) == 0
    three = json.loads(capsys.readouterr().out)
    assert (five["timesteps"], three["timesteps"]) == (5, 3)
    assert five["accuracy"]["training"] != three["accuracy"]["training"]
    assert run_command([*asked, "-T", "0"]) == 2
    assert "timesteps = 0" in capsys.readouterr().err


def test_another_precision_needs_force(folder, capsys) -> None:
    assert export(folder, capsys, "--quiet", "--force")[0] == 0
    assert export(folder, capsys, "--float64", "--quiet")[0] == 2
    code, out = export(folder, capsys, "--float64", "--inline", "--force", "--quiet")
    assert code == 0
    assert "float64, LIF inlined" in out


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"\x08\x0a\x12\x05snnas"])
def test_what_is_no_model_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"expected a model\.onnx") as error:
        OnnxModel(path)
    assert "\n" not in str(error.value)


def test_a_model_of_others_is_refused(tmp_path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidFileError, match="metadata cannot be used"):
        OnnxModel(path)
    helper.set_model_props(
        model,
        {"snnas": json.dumps({"timesteps": 2, "precision": "float32", "state": [], "spikes": ["a_z"], "read": "sum"})},
    )
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidFileError, match="does not have"):
        OnnxModel(path)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("options", [[], ["--readout", "membrane-max"], ["--reset", "subtract", "--compare", "ge"]])
def test_a_foreign_graph_goes_to_onnx(options, labels, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    x = (rng.random((20, 8, 6)) < 0.5).astype(np.float32)
    np.savez("data.npz", x=x, **({"y": np.arange(20) % 4} if labels else {}))
    full = lambda size, value: np.full(size, value, np.float32)  # noqa: E731

    def neurons(size: int) -> nir.LIF:
        values = {"tau": 4e-4, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0}
        return nir.LIF(**{name: full(size, value) for name, value in values.items()})

    weights = [rng.normal(0.3, 0.6, shape).astype(np.float32) for shape in ((7, 6), (4, 7))]
    nodes = {"w": nir.Linear(weight=weights[0]), "a": neurons(7), "v": nir.Linear(weight=weights[1]), "b": neurons(4)}
    nir.write("m.nir", graph_of((6,), nodes, (4,)))
    command = [
        "export",
        "m.nir",
        "--target",
        "onnx",
        "--data",
        "data.npz",
        "-T",
        "8",
        "--input-kind",
        "spikes",
        *options,
    ]
    assert run_command([*command, "--json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["spikes_differing"], report["samples"], report["run"]) == (0, 20, "m")
    assert report["sar"] > 0.02
    assert ("agreement" in report["accuracy"]) is not labels
    with np.load("m-onnx/stimulus.npz") as stimulus:
        assert set(stimulus) == ({"x", "y"} if labels else {"x"})
    assert OnnxModel(tmp_path / "m-onnx/model.onnx").read == ("max" if "--readout" in options else "sum")
    assert run_command(["check", "m-onnx"]) == 0
    assert run_command([*command, "-q"]) == 0  # up to date
    assert run_command([*command, "-q", "--float64"]) == 2
    assert run_command([*command, "-q", "--float64", "--force"]) == 0
