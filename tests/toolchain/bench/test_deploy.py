"""``snnas bench deploy`` on a table whose accuracies and energies are made up, so that what is best is known."""

import gzip
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.search.network.design import SPACE, Design
from snnas.toolchain.bench.deploy import DeployBenchOptions, bench_deploy, print_result, proxies
from snnas.toolchain.bench.deploy_published import play, rules
from snnas.toolchain.bench.deploy_table import COLUMNS, KEY, SCORES, Table, read_table, write_table
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.results.records.bench.deploy import DeployBench
from snnas.toolchain.searching.cost import Chip
from tests.studies import deploy_table
from tests.studies.deploy_table import TableOptions, cells, digits, measure_all

SEEDS = (0, 1)
TORCH = "2.13.0"  # of the shipped table
SHIPPED = Path(__file__).parents[3] / "docs/data/deploy_digits.csv.gz"


def row(cell: str, channels: int, timesteps: int, seed: int) -> dict[str, Any]:
    """Wider is better and dearer; of equal width a convolution more costs, and gains nothing."""
    convolutions = cell.count("2")
    energy = channels * timesteps * (1 + convolutions / 4)
    accuracy = 0.5 + 0.02 * channels - 0.001 * convolutions + 0.001 * seed
    return dict.fromkeys(COLUMNS, 0.0) | {
        "cell": cell, "channels": channels, "timesteps": timesteps, "seed": seed, "epochs": 8,
        "target_val": accuracy, "target_test": accuracy, "float_test": accuracy,
        "energy_high_uJ": energy, "energy_nominal_uJ": energy / 3, "sahd": float(convolutions),
    }  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deploy") / "table.csv.gz"
    every = itertools.product(map(digits, cells()), (2, 4, 8), (1, 2), SEEDS)
    write_table(path, [row(*one) for one in every])
    return path


def test_a_search_is_played_and_regret_is_what_the_best_is_ahead_by(table: Path) -> None:
    found = bench_deploy(DeployBenchOptions(table=table, budgets=(6.0, 100.0), trainings=24, games=12))
    assert (found["networks"], found["seeds"]) == (47 * 6, 2)
    tight, free = found["budgets"]
    best = {"cell": "002000", "channels": 4, "timesteps": 1}  # 5 uJ; of 8 channels the cheapest takes 10
    assert {name: tight["best"][name] for name in best} == best
    assert tight["best"]["accuracy"] == pytest.approx(0.5 + 0.08 - 0.001 + 0.0005)
    assert free["best"]["channels"] == 8
    regret = {of["method"]: of["regret"] for of in tight["methods"]}
    assert regret["widest convolution"] == pytest.approx(0)
    assert regret["sahd"] > 0.002, "it takes what has the most convolutions"
    assert regret["trained"] <= regret["random"] < regret["one draw"]
    ranked = {of["proxy"]: of for of in found["proxies"]}
    assert ranked["float accuracy"]["at_equal_energy"] == pytest.approx(1)
    assert ranked["energy"]["at_equal_energy"] < ranked["energy"]["spearman"]
    assert found == bench_deploy(DeployBenchOptions(table=table, budgets=(6.0, 100.0), trainings=24, games=12))
    unknown = next(of for of in free["methods"] if of["method"] == "lightsnn")
    assert unknown == {"method": "lightsnn", "games": 0, "regret": None, "low": None, "high": None}


def test_each_published_method_is_played_by_its_own_rule(tmp_path: Path) -> None:
    """Scores that differ by rule, in a table whose networks of width 4 judge better with seed 0, of 2 with seed 1."""

    def scored(cell: str, channels: int, seed: int) -> dict[str, Any]:
        # The most SAHD: without an edge 0->3 in any spelling, then with one, then without an empty edge (two of these).
        sahd = {"200202": 9.0, "202222": 5.0, "222222": 3.0, "222221": 3.0}.get(cell, 0.0)
        return row(cell, channels, 1, seed) | {
            "sahd": sahd,
            "parameters": 1.0 + (cell == "222222"),
            "rdm": float(cell == "112112"),
            "lightsnn": float(cell == "002000" and channels == 4),
            "target_val": 0.9 + 0.01 * (channels == (4, 2)[seed]),
        }

    every = [digits(cell) for cell in cells()]
    assert {"200202", "202222", "112112", "002000"} <= set(every)
    complete = [name for name in every if name in ("222222", "222221")]
    assert complete
    path = tmp_path / "t.csv.gz"
    write_table(path, [scored(*one) for one in itertools.product(every, (2, 4), SEEDS)])
    table, rule = Table(path), rules(0)
    free = table.within(100.0)
    assert [play(table, free, rule["snasnet"], game) for game in SEEDS] == [("202222", 4, 1), ("202222", 2, 1)]
    assert play(table, free, rule["spikenas"], 0) == (complete[0], 4, 1)
    assert play(table, free, rule["mse_nas"], 1) == ("112112", 2, 1)
    assert [play(table, free, rule["lightsnn"], game) for game in SEEDS] == [("002000", 4, 1)] * 2
    assert play(table, table.within(4.0), rule["lightsnn"], 0) is None, "its cell of width 4 takes 5 uJ"
    assert play(table, table.within(3.0), rule["snasnet"], 0) == ("002000", 2, 1), "of equal ones the cheapest"
    draws = {play(table, free, rule["random cell"], game) for game in range(24)}
    assert len(draws) > 12
    assert draws <= set(free)


def test_the_command_prints_both(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "deploy", str(table), "--budgets", "6", "--trainings", "8", "--games", "2"]
    assert run_command([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    DeployBench.model_validate(found)
    print_result(found)
    shown = capsys.readouterr().out
    assert "6 uJ: the best of" in shown
    assert "at equal energy" in shown
    assert run_command([*arguments[:3], "--budgets", "6,x"]) == 2
    assert "--budgets 6,x: expected energies in uJ" in capsys.readouterr().err
    assert run_command([*arguments[:3], "--budgets", "0.1"]) == 2
    assert "no network of the table keeps it" in capsys.readouterr().err


def test_what_is_no_table_is_refused(table: Path, tmp_path: Path) -> None:
    rows = gzip.decompress(table.read_bytes()).decode().splitlines()

    def written(*lines: str) -> Path:
        path = tmp_path / "bad.csv.gz"
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        return path

    with pytest.raises(InvalidFileError, match="no such file"):
        read_table(tmp_path / "none.csv.gz")
    (tmp_path / "plain.csv").write_text(rows[0])
    with pytest.raises(InvalidFileError, match="not a gzipped table"):
        read_table(tmp_path / "plain.csv")
    with pytest.raises(InvalidFileError, match="expected the columns cell, channels"):
        read_table(written("a,b", "1,2"))
    with pytest.raises(InvalidFileError, match="no rows"):
        read_table(written(rows[0]))
    with pytest.raises(InvalidFileError, match=r"line 3: cell '902000', expected six digits 0 to 2"):
        read_table(written(rows[0], rows[1], rows[2].replace(rows[2][:6], "902000")))
    with pytest.raises(InvalidFileError, match="line 2"):
        read_table(written(rows[0], rows[1].replace(",2,", ",two,", 1)))
    with pytest.raises(InvalidFileError, match="no table"):
        read_table(written(rows[0], '"1'))
    with pytest.raises(InvalidFileError, match="line 2: a figure that is not finite"):
        read_table(written(rows[0], ",".join([*rows[1].split(",")[:-1], "nan"])))
    with pytest.raises(InvalidFileError, match="has 1 rows, expected one for each of 2 seeds"):
        Table(written(rows[0], *rows[2:]))
    with pytest.raises(UsageError, match="--games 1"):
        bench_deploy(DeployBenchOptions(table=table, games=1))


def test_the_study_goes_on_and_writes_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def trained(design: Any, data: Any, sizes: Any, chip: Any, seed: int, epochs: int) -> dict[str, Any]:
        asked.append((design.architecture_id, seed))
        found = row(digits(design.cells[0]), design.channels, design.timesteps, seed)
        return {name: value for name, value in found.items() if name not in SCORES}

    monkeypatch.setattr(deploy_table, "trained", trained)
    options = TableOptions(channels=(2,), timesteps=(1,), seeds=(0, 1), epochs=8)
    narrator, out = deploy_table.Narrator(quiet=True), tmp_path / "t.csv.gz"
    assert len(measure_all(options, narrator, out, most=50)) == 50
    rows = measure_all(options, narrator, out)
    assert len(rows) == len(asked) == len(set(asked)) == 94
    assert all(one["sahd"] != 0 for one in rows if one["cell"] == "002000")
    write_table(out, [{name: one[name] for name in COLUMNS} for one in rows])
    assert len(Table(out).rows) == 47
    with pytest.raises(UsageError, match="--channels"):
        measure_all(TableOptions(channels=(0,)), narrator, out)
    log = out.with_name("t.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    first = {name: value for name, value in lines[0].items() if name != "rdm"} | {"sahd": -1.0}
    log.write_text(json.dumps(first) + "\n" + "".join(json.dumps(line) + "\n" for line in lines[1:]))
    again = measure_all(options, narrator, out)
    assert len(asked) == 94, "a line that lacks a score is not trained again"
    assert [one["rdm"] for one in again] == [one["rdm"] for one in rows]
    assert sum(one["sahd"] == -1.0 for one in again) == 1, "what it has stays"


def test_what_stands_in_the_shipped_table() -> None:
    """Every function of the space once per setting and seed, and figures that cannot contradict each other."""
    rows = read_table(SHIPPED)
    assert len(rows) == len({tuple(one[name] for name in KEY) for one in rows}) == len(cells()) * 4 * 3 * 3
    assert {one["cell"] for one in rows} == set(map(digits, cells()))
    for one in rows:
        assert one["energy_low_uJ"] <= one["energy_nominal_uJ"] <= one["energy_high_uJ"]
        assert one["energy_dynamic"] < one["energy_high_uJ"]
        assert 0 < one["sar"] < 1
        assert one["spikes"] == pytest.approx(one["sar"] * one["neurons"] * one["timesteps"], rel=1e-4)
        assert abs(one["target_test"] - one["float_test"]) < 0.02


def test_no_figure_of_the_shipped_table_moves_unseen() -> None:
    """Rows among which accuracies were exchanged contradict nothing: whoever makes the table anew says so here."""
    text = gzip.decompress(SHIPPED.read_bytes())
    assert hashlib.sha256(text).hexdigest() == "1c6265b571eed0e94c1c6cbf33f4ccdde44032b4e3a6849ddd1921130e66656e"


def test_rows_of_the_shipped_table_trained_again() -> None:
    """Five of the cheapest, 4 channels and one timestep, on the torch that made the table.

    Another processor adds up in another order, and now and then a training goes another way (two rows of these, by at
    most 1.4 points and 1.2 % of the spikes; three were the same to the last digit). Sizes are equal; all else is near.
    """
    torch = pytest.importorskip("torch")
    if torch.__version__.partition("+")[0] != TORCH:
        pytest.skip(f"the table was trained with torch {TORCH}; here is {torch.__version__}, which adds up otherwise")
    kept = {deploy_table.key(one): one for one in read_table(SHIPPED)}
    by_name, chip = {digits(cell): cell for cell in cells()}, Chip.load()
    for seed, names in ((0, list(by_name)[1:4]), (2, list(by_name)[30:32])):
        data, sizes = deploy_table.split(seed)
        for name in names:
            design = Design(SPACE, (by_name[name],), 4, 1, 0, "linear", "max")
            again, row = deploy_table.trained(design, data, sizes, chip, seed, epochs=8), kept[name, 4, 1, seed]
            for figure, value in again.items():
                if figure in ("cores", "neurons", "parameters"):
                    near = 0.0
                elif figure.endswith(("_val", "_test")):
                    near = 0.03
                else:
                    near = row[figure] * (0.04 if figure in ("spikes", "synops", "sar") else 0.02)
                assert value == pytest.approx(row[figure], abs=near), (name, figure)


def test_scores_of_the_shipped_table_computed_again() -> None:
    """Of untrained networks, so that only the order of sums is another on another processor."""
    kept = {deploy_table.key(one): one for one in read_table(SHIPPED)}
    for channels, timesteps, seed in ((4, 1, 0), (8, 2, 2)):
        scores = deploy_table.scored(*deploy_table.split(seed), channels, timesteps, seed)
        assert len(scores) == 47
        assert sum(score["lightsnn"] for score in scores.values()) == 1
        for name, score in scores.items():
            row = kept[name, channels, timesteps, seed]
            assert score["lightsnn"] == row["lightsnn"]
            for column in ("sahd", "live_depth", "temporal_code", "rdm"):
                assert score[column] == pytest.approx(row[column], rel=0.02, abs=0.02), (name, column)


def test_methods_against_the_shipped_table() -> None:
    """A search that trains loses less than a point to the best of all; a score of size, and one draw, lose more.

    At equal energy SAHD ranks nothing: the reason why ``trained`` is the default. What a published rule takes, with 12
    trainings that choose width and T, is no better than random cells in its place; LightSNN's pruning is far worse.
    """
    table = Table(SHIPPED)
    found = bench_deploy(DeployBenchOptions(table=SHIPPED, budgets=(30.0,), games=6))
    regret = {of["method"]: of["regret"] for of in found["budgets"][0]["methods"]}
    assert regret["trained"] <= regret["random"] + 0.001
    assert regret["trained"] < 0.01 < regret["sahd"] < regret["one draw"]
    assert abs(regret["snasnet"] - regret["random cell"]) < 0.005
    assert abs(regret["spikenas"] - regret["random cell"]) < 0.005
    assert abs(regret["mse_nas"] - regret["random cell"]) < 0.005
    assert regret["lightsnn"] > regret["one draw"]
    ranked = {of["proxy"]: of for of in proxies(table)}
    assert ranked["rdm"]["at_equal_energy"] > 0.6
    assert ranked["sahd"]["spearman"] > 0.8
    assert abs(ranked["sahd"]["at_equal_energy"]) < 0.2
    assert ranked["convolutions"]["at_equal_energy"] < -0.2
