"""The float run of one target's export serves the next: exactly the same figures, and only of the same thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.files import sha256, write_json

pytest.importorskip("torch")

from snnas.toolchain.exporting import kept_floats, of_run
from snnas.toolchain.exporting.of_run import OfRun
from snnas.toolchain.exporting.options import ExportOptions
from snnas.toolchain.output.stderr import Narrator
from tests.networks import images, random_network

QUIET = Narrator(quiet=True)
X = images(70)


def source(tmp_path: Path, target: str, x: np.ndarray = X, timesteps: int = 3, **inputs: Any) -> OfRun:
    """Of a small run that is not on disk."""
    of = object.__new__(OfRun)
    of.network = random_network("lightsnn", 3, channels=3, timesteps=timesteps)
    of.run = SimpleNamespace(name="small", export=lambda target: tmp_path / target)  # type: ignore[assignment]
    of.timesteps, of.inputs = timesteps, {"weights": "w", "genotype": "g", "data": "d", "seed": 0, **inputs}
    data = {"x_test": x, "y_test": np.zeros(len(x)), "input_kind": "analogue", "range": (0.0, 1.0), "signal": None}
    of.data = SimpleNamespace(**data)
    (tmp_path / target).mkdir(exist_ok=True)
    return of


def exported(of: OfRun, target: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, bool]:
    """The float side of an export, and whether anything was run for it."""
    folder, runs = of.run.export(target), []
    run_floats = of_run.run_floats
    with monkeypatch.context() as patch:
        patch.setattr(of_run, "run_floats", lambda *given: runs.append(given) or run_floats(*given))
        found = of.floats(folder, ExportOptions(target=target, **{"samples": 5, **options}), QUIET)
    write_json(folder / "manifest.json", {"files": {p.name: sha256(p) for p in folder.iterdir() if p.suffix == ".npz"}})
    return found, bool(runs)


def same(one: Any, other: Any) -> None:
    """Every figure of two float sides."""
    assert one.trained.silence == other.trained.silence
    assert (one.trained.predictions == other.trained.predictions).all()
    for name in ("spikes", "sizes", "first", "differing_from_deployed", "first_batch_sar"):
        assert getattr(one.trained, name) == getattr(other.trained, name)
    assert list(one.trained.spikes) == list(other.trained.spikes), "in order, which silence names them by"
    assert one.nir.margin == other.nir.margin
    assert (one.nir.predictions == other.nir.predictions).all()
    assert list(one.nir.spikes) == list(other.nir.spikes)
    for name, fired in one.nir.spikes.items():
        np.testing.assert_array_equal(fired, other.nir.spikes[name], strict=True)


def test_the_second_target_takes_up_the_first_ones_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, ran = exported(source(tmp_path, "lava"), "lava", monkeypatch)
    assert ran
    assert sum(first.trained.spikes.values()) > 0
    second, ran = exported(source(tmp_path, "c"), "c", monkeypatch)
    assert not ran
    same(first, second)
    assert not exported(source(tmp_path, "lava"), "lava", monkeypatch)[1], "nor from the second to the first"
    fewer, ran = exported(source(tmp_path, "c"), "c", monkeypatch, samples=2)
    assert not ran
    assert {len(fired) for fired in fewer.nir.spikes.values()} == {2}
    assert exported(source(tmp_path, "c"), "c", monkeypatch, samples=6)[1], "whose spikes are not kept"
    assert exported(source(tmp_path, "lava"), "lava", monkeypatch, force=True)[1]


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "v"},
        {"genotype": "h"},
        {"data": "e"},
        {"seed": 1},
        {"network": {}},
        {"timesteps": 4},
        {"x": X + 1e-7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_it_is_run_again_where_anything_is_other(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(source(tmp_path, "lava"), "lava", monkeypatch)
    assert exported(source(tmp_path, "c", **change), "c", monkeypatch)[1]


def test_other_versions_graphs_and_damage_run_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(source(tmp_path, "lava"), "lava", monkeypatch)
    kept, manifest = tmp_path / "lava" / kept_floats.NAME, tmp_path / "lava" / "manifest.json"
    before = kept.read_bytes(), manifest.read_bytes()

    def other_device() -> None:
        monkeypatch.setattr(kept_floats, "fingerprint", lambda device: {"device": "another"})

    def other_graph() -> None:
        of_array = kept_floats.digest.of_array
        monkeypatch.setattr(kept_floats.digest, "of_array", lambda value: of_array(value + 1))

    def other_bytes() -> None:
        kept.write_bytes(before[0][:-1] + b"x")

    spoils: tuple[Callable[[], object], ...] = (other_device, other_graph, other_bytes, kept.unlink, manifest.unlink)
    for spoil in spoils:
        kept.write_bytes(before[0])
        manifest.write_bytes(before[1])
        spoil()
        ran = exported(source(tmp_path, "c"), "c", monkeypatch)[1]
        monkeypatch.undo()
        assert ran, spoil
