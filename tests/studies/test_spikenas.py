import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from scipy import stats
from typer.testing import CliRunner

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.scoring import bench_proxies
from snnas.toolchain.data.statistics import percentiles, spearman
from snnas.toolchain.output.stderr import Narrator
from tests.studies.rank_bootstrap import bootstrap_spearman, top_mean
from tests.studies.spikenas import SpikenasOptions, command, spikenas_bench
from tests.studies.spikenas_table import choose, digits, read_images, read_table

torch.set_num_threads(1)

OPTIONS = SpikenasOptions(rows=0, seeds=2, channels=2, batch=6, size=8, draws=100)
QUIET = Narrator(quiet=True)
ROWS = [("222222", 88.0), ("001000", 80.5), ("200010", 85.0), ("430002", 87.0), ("324324", 88.2), ("011004", 86.0)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    lines = [f"{ops},{acc},100" for ops, acc in ROWS] + ["440000,10.0,100", "333333,89.0,200"]
    path.write_text("ops,test_acc,epochs\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(path, x=rng.integers(0, 256, (16, 3, 16, 16), dtype=np.uint8), y=np.arange(16, dtype=np.int64) % 4)
    return path


def test_top_mean_shares_ties() -> None:
    scores, values = np.array([3.0, 2, 2, 1]), np.array([10.0, 6, 8, 0])
    assert top_mean(scores, values, 0.25) == 10
    assert top_mean(scores, values, 0.5) == pytest.approx((10 + 7) / 2)
    assert top_mean(scores, values, 0.01) == 10


def test_bootstrap_covers_and_is_paired() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)
    good = np.stack([truth + rng.normal(size=300) for _ in range(3)])
    draws = bootstrap_spearman(
        {"good": good, "same": good, "noise": rng.normal(size=(3, 300))}, truth, rng=rng, draws=200
    )
    low, high = percentiles(draws["good"])
    assert low < spearman(good.mean(0), truth) < high
    assert (draws["good"] == draws["same"]).all()
    low, high = percentiles(draws["noise"])
    assert low < 0.1
    assert high > -0.1


def test_table(table: Path) -> None:
    rows = read_table(table, epochs=100)
    assert [(row.ops, row.test_acc) for row in rows] == [*ROWS, ("440000", 10.0)]
    assert len(read_table(table, epochs=0)) == 8
    assert [row.ops for row in choose(rows, 5, seed=1)][:3] == [row.ops for row in choose(rows, 3, seed=1)]
    assert digits(9) == "410000"
    table.write_text("id,test_acc\n9,81.5\n")
    assert read_table(table, epochs=100)[0].ops == "410000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ops,accuracy\n000000,1\n", "expected test_acc and ops"),
        ("", "has the columns none"),
        ("ops,test_acc\n00000,1\n", "six digits"),
        ("ops,test_acc\n000005,1\n", "six digits"),
        ("ops,test_acc\n001000,nan\n", "expected percent"),
        ("ops,test_acc\n001000,fast\n", "line 2"),
        ("id,test_acc\n99999,1\n", "99999"),
        ("ops,test_acc\n001000,1\n001000,2\n", "stands twice"),
        ("ops,test_acc\n\udcff,1\n", "not a table"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidFileError, match=said) as caught:
        read_table(path, epochs=0)
    assert "\n" not in str(caught.value)


def test_images(images: Path) -> None:
    x, y = read_images(images, size=8)
    assert x.shape == (16, 3, 8, 8)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 2, 3)), 1, rtol=1e-5)
    assert len(y) == 16
    with pytest.raises(UsageError, match="multiple of the size"):
        read_images(images, size=12)


def test_bench_writes_its_figures_and_resumes(
    table: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.json"
    result = spikenas_bench(table, images, OPTIONS, QUIET, out)
    assert json.loads(out.read_text()) == result
    assert (result["rows"], result["rows_in_table"], result["rows_without_a_path"]) == (6, 7, 1)
    assert set(result["proxies"]) == set(bench_proxies.PROXIES)
    for figures in result["proxies"].values():
        assert {"spearman", "kendall", "low", "high", "top5pct_mean", "seconds"} <= figures.keys()
        assert figures["low"] <= figures["high"]
    truth = [acc for _, acc in ROWS]
    depth = [bench_proxies.lif_depth(ops) for ops, _ in ROWS]
    assert result["proxies"]["lif_depth"]["spearman"] == pytest.approx(stats.spearmanr(depth, truth).statistic)
    assert result["methods"]["oracle"] == {"test_acc": 88.2, "ops": "324324", "seconds": 0.0}
    assert result["methods"]["random"]["test_acc"] == pytest.approx(np.mean(truth))
    assert {"snasnet", "mse_nas", "asc"} <= result["methods"].keys()

    log = out.with_suffix(".jsonl")
    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12
    log.write_bytes(b"".join(lines[:7]) + lines[7][:20])  # killed while writing
    calls: list[str] = []
    measure = bench_proxies.measure
    monkeypatch.setattr(bench_proxies, "measure", lambda ops, *a, **k: calls.append(ops) or measure(ops, *a, **k))
    again = spikenas_bench(table, images, OPTIONS, QUIET, out)
    assert len(calls) == 5
    assert _without_times(again) == _without_times(result)
    # Other settings share no measurement.
    spikenas_bench(table, images, SpikenasOptions(**{**_fields(OPTIONS), "seeds": 1, "seed": 1}), QUIET, out)
    assert len(calls) == 5 + 6


def _fields(options: SpikenasOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in SpikenasOptions.__slots__}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(part) for name, part in value.items() if name != "seconds"}
    return value


def test_what_it_refuses(table: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch 2"):
        spikenas_bench(table, images, SpikenasOptions(batch=2), QUIET, None)
    with pytest.raises(UsageError, match="16 images"):
        spikenas_bench(table, images, SpikenasOptions(batch=17, size=8), QUIET, None)
    with pytest.raises(UsageError, match="0 connected rows"):
        spikenas_bench(table, images, SpikenasOptions(epochs=7, size=8, batch=4), QUIET, None)
    out = tmp_path / "out.json"
    out.with_suffix(".jsonl").write_text("[1]\n")
    with pytest.raises(InvalidFileError, match="line 1"):
        spikenas_bench(table, images, OPTIONS, QUIET, out)
    log = out.with_suffix(".jsonl")
    log.unlink()
    spikenas_bench(table, images, OPTIONS, QUIET, out)
    record = json.loads(log.read_text().splitlines()[0])
    log.write_text(json.dumps({**record, "values": 3}) + "\n")
    with pytest.raises(InvalidFileError, match="line 1 is no measurement"):
        spikenas_bench(table, images, OPTIONS, QUIET, out)


def test_command(table: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(command)
    small = ["--rows", "4", "--seeds", "1", "--channels", "2", "--batch", "4", "--size", "8", "--draws", "100", "-q"]
    arguments = ["--table", str(table), "--images", str(images), *small]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    result = json.loads(done.stdout)
    assert done.exit_code == (0 if result["gate"]["passed"] else 1)
    assert result["gate"]["proxy"] == "asc"
    assert result["gate"]["margin_over"].keys() == set(bench_proxies.PLAIN)
    assert "jacobian" in result["proxies"]
    shown = CliRunner().invoke(app, [*arguments, "--no-gradients"])
    assert "jacobian" not in shown.stdout
    assert "lif_depth" in shown.stdout
    assert "plain baseline" in shown.stdout
