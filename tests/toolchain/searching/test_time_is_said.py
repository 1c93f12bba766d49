"""A search says what it is doing and how long it takes; what cannot be reached is refused before anything is scored."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnas.hw_sim.errors import GateError
from snnas.search.mse_nas.encoding import GenomeSpace
from snnas.search.mse_nas.genome import Genome, MotifCell
from snnas.search.mse_nas.motifs import MOTIFS
from snnas.search.network import space
from snnas.search.network.design_space import DesignSpace
from snnas.search.network.genotype import Genotype
from snnas.toolchain.cli.app import run_command
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.runs import find
from snnas.toolchain.runs.dataset import dataset_of
from snnas.toolchain.searching.begin import begin_search
from snnas.toolchain.searching.cost import Cost, Predictor
from snnas.toolchain.searching.least import EARLY, FAR, PRICED, least, refuse_hopeless, refuse_unlikely
from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import Spec
from snnas.toolchain.searching.session import spec_of
from snnas.toolchain.searching.smaller import shrinking, ways_out

SMALL = ["--channels", "2", "--hidden", "16", "-T", "2", "--batch", "8", "--no-train", "--name", "one"]


def drawn(method: str, spec: Spec, rng: np.random.Generator) -> list[Any]:
    """A few candidates of a method, small ones among them."""
    if method == "mse_nas":
        genomes = GenomeSpace(len(spec.network.motif_cells), fan_ins=(2,))
        plain = [Genome(2, (MotifCell(n, (3,) * len(m.edges(2))),) * genomes.cells) for n, m in MOTIFS.items()]
        return [*plain, GenomeSpace(genomes.cells).random(rng)]
    if method == "trained":
        designs = replace(DesignSpace.of(spec.settings["axes"]), ops=("skip", "conv3x3"))  # forms are counted soon
        plainest = [replace(designs.draw_plain(rng), channels=2, timesteps=1) for _ in range(3)]
        return [*plainest, designs.draw(rng)]
    cells = space.get(spec.settings["space"])
    return [cells.random_genotype(rng, cells=2, backward=backward) for backward in (False, True)]


# Of every space: images, a signal, and its own of each method.
SPACES = {
    "lightsnn": ("lightsnn", "image"),
    "lightsnn of a signal": ("lightsnn", "signal"),
    "snasnet": ("snasnet", "image"),
    "spikenas": ("spikenas", "image"),
    "mse_nas": ("mse_nas", "image"),
    "trained": ("trained", "image"),
    "trained on a signal": ("trained", "signal"),
}


@pytest.mark.parametrize(("method", "kind"), SPACES.values(), ids=SPACES)
def test_no_network_takes_less_than_the_bound(method: str, kind: str, tmp_path: Path) -> None:
    shape = {"image": (60, 1, 8, 8), "signal": (60, 2, 1, 32)}[kind]
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random(shape, np.float32), y=np.arange(60) % 3)
    pinned = {} if method == "trained" else {"channels": 2, "timesteps": 2}
    if method not in ("trained", "mse_nas"):
        pinned["hidden"] = 8
    options = SearchOptions(dataset=str(tmp_path / "d.npz"), method=method, batch=8, **pinned)
    run = begin_search(tmp_path, "one", options, "test")
    spec = spec_of(run, dataset_of(run))
    spec = replace(spec, predictor=replace(spec.predictor, x=spec.predictor.x[:4]))
    floors, every = RUNNERS[method].floors(spec), {*EARLY, *PRICED}
    floor = least(floors, spec.predictor, every)
    assert floor.keys() == every
    for candidate in drawn(method, spec, np.random.default_rng(1)):
        (cost,) = spec.predictor([candidate])
        assert isinstance(cost, Cost)
        for name, bound in floor.items():
            assert 0 < bound <= (cost.figures[name] or 0.0), (name, candidate)
    name, bound = "energy_total", floor["energy_total"]
    refuse_hopeless({name: bound * 1.01}, floors, spec.predictor, "raise it")
    with pytest.raises(GateError, match=f"no network of these sizes keeps {name} .*; raise it"):
        refuse_hopeless({name: bound * 0.99}, floors, spec.predictor, "raise it")
    refuse_hopeless({"sar": 1e-9}, floors, spec.predictor, "")  # of which nothing is bounded
    # The smallest candidates lie between: a budget that they miss by far is refused, one that is near is searched.
    smallest = [*RUNNERS[method].smallest(spec)]
    least_of_them = min(c.figures[name] for c in spec.predictor(smallest) if isinstance(c, Cost))  # type: ignore[type-var]
    assert bound < least_of_them
    refuse_unlikely({name: least_of_them / FAR * 1.01}, smallest, spec.predictor, "raise it")
    with pytest.raises(GateError, match=f"is likely to keep {name} .*; raise it"):
        refuse_unlikely({name: least_of_them / FAR * 0.99}, smallest, spec.predictor, "raise it")
    refuse_unlikely({"sar": 1e-9}, smallest, spec.predictor, "")


@pytest.mark.parametrize("budget", ["energy_total=0.1uJ", "neurons=20"])
@pytest.mark.parametrize("method", ["lightsnn", "mse_nas", "trained"])
def test_a_hopeless_budget_is_refused_at_once(
    method: str, budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [option for option in SMALL if method != "mse_nas" or option not in ("--hidden", "16")]
    arguments = ["search", "--runs-dir", str(tmp_path), "-q", "--method", method, *small, "--budget", budget]
    assert run_command(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    name, limit = budget.removesuffix("uJ").split("=")
    ways = {"trained": "--channels, --hidden and -T", "mse_nas": "--channels, --cells and -T"}
    way = f"search smaller networks with {ways.get(method, '--channels, --hidden, --cells and -T')}"
    for word in (f"keeps {name} {limit}", "with empty cells and not a single spike", way):
        assert word in error
    assert not any(tmp_path.iterdir())  # no run that would fail for good


def test_a_budget_that_the_smallest_networks_miss_by_far_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["search", "--runs-dir", str(tmp_path), "-q", "--method", "trained", "--budget", "energy_total=1.2uJ"]
    assert run_command(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is likely to keep energy_total 1.2 uJ: of the smallest the cheapest is predicted to take" in error
    assert error.endswith(
        "search smaller networks with --channels and --hidden\n"
    )  # one cell and one timestep are least
    assert not any(tmp_path.iterdir())


def test_what_makes_networks_smaller_is_what_the_data_leave_open(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).random((60, 4, 1, 8, 8), np.float32)
    np.savez(tmp_path / "d.npz", x=frames, y=np.arange(60) % 3)
    options = SearchOptions(dataset=str(tmp_path / "d.npz"), method="snasnet", batch=8, channels=2, hidden=1)
    run = begin_search(tmp_path, "one", options, "test")
    data = dataset_of(run)
    spec = spec_of(run, data)
    assert shrinking(spec, data) == "--channels and --cells"
    recordings = replace(data, options={"frames": 4})
    assert shrinking(spec, recordings) == "--channels, --cells and fewer --data frames="
    windows = replace(data, options={"window": 4, "hop": 2})
    assert shrinking(spec, windows) == "--channels, --cells and a longer --data hop="
    still = replace(data, x_train=data.x_train[:, 0])
    assert shrinking(spec, still) == "--channels, --cells and -T"
    least_one = replace(spec, network=replace(spec.network, channels=1, cells=1))
    assert ways_out(least_one, data) == "raise the budget"


def test_pricing_shows_itself_and_says_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, priced = [0.0], Predictor._one

    def slow(self: Predictor, genotype: Genotype) -> Cost | str:
        now[0] += 3.0
        return priced(self, genotype)

    monkeypatch.setattr(Predictor, "_one", slow)
    monkeypatch.setattr("snnas.toolchain.output.stderr.time.monotonic", lambda: now[0])
    budget = ["--method", "snasnet", "--candidates", "6", "--budget", "energy_total=500uJ"]
    assert run_command(["search", "--method", "lightsnn", "--runs-dir", str(tmp_path), *SMALL, *budget]) == 0
    lines = capsys.readouterr().err.splitlines()
    number = next(int(line.split()[1]) for line in lines if line.startswith("pricing "))
    assert f"pricing {number} networks ..." in lines
    assert f"  pricing {number} networks: 1 of {number}; about {3 * (number - 1)} s left" in lines


class Clock:
    """A clock on which everything that is timed takes 100 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = itertools.count(0, 100)
        for module in ("training.outlook", "searching.runner"):
            monkeypatch.setattr(f"snnas.toolchain.{module}.time.perf_counter", lambda: float(next(now)))


def test_what_takes_long_is_announced_and_what_was_tried_counts_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        "search",
        "--method",
        "lightsnn",
        "--runs-dir",
        str(tmp_path),
        "-T",
        "2",
        "--batch",
        "8",
        "--channels",
        "2",
        "--hidden",
        "8",
    ]
    assert run_command([*command, "--epochs", "1", "--name", "plain", "-q"]) == 0
    Clock(monkeypatch)
    capsys.readouterr()
    assert run_command([*command, "--epochs", "1", "--name", "told"]) == 0
    lines = capsys.readouterr().err.splitlines()
    said = [k for k, line in enumerate(lines) if re.fullmatch(r"  about \d.* at these sizes: .*", line)]
    assert "searching lightsnn: 31 evaluations" in lines[said[0]]
    assert "training 1 epoch of 1,293 samples, T = 2" in lines[said[1]]
    assert lines[said[0] + 1] == "searching lightsnn: 31 evaluations ..."
    one, other = (find(tmp_path, name) for name in ("plain", "told"))
    assert one.genotype.read_bytes() == other.genotype.read_bytes()
    assert one.weights.read_bytes() == other.weights.read_bytes()


@pytest.mark.parametrize(("method", "words"), [("mse_nas", "evolving 12 genomes"), ("trained", "training 8 designs")])
def test_every_method_says_how_long(
    method: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    told = []

    def ahead(self: Narrator, seconds: float, what: str) -> None:
        told.append((seconds, what))
        raise GateError("that is enough")

    monkeypatch.setattr(Narrator, "ahead", ahead)
    more = ["--trainings", "8", "--short-epochs", "1", "--hidden", "8"] if method == "trained" else []
    small = ["-T", "1", "--batch", "8", "--channels", "2", *more]
    assert run_command(["search", "--runs-dir", str(tmp_path), "--method", method, *small]) == 1
    assert told[0][1].startswith(words)
    assert told[0][0] > 1000


def test_many_that_are_scored_at_once_mislead_no_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records come one by one behind a round that took its time: the first of them is no measure of the rest."""
    command = ["search", "--runs-dir", str(tmp_path), *SMALL, "--method", "snasnet", "--candidates", "8", "-v"]
    assert run_command(command) == 0
    counts = [line for line in capsys.readouterr().err.splitlines() if "evaluations: " in line and " of " in line]
    assert len(counts) == 1  # all of one round


def test_a_stage_within_a_stage_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    narrator = Narrator()
    with narrator.progress("searching") as outer:
        outer(1, 3)
        with narrator.progress("pricing", "networks") as inner:
            inner(120, 256)
            assert narrator._bars is not None
            tasks = [(task.description, task.completed, task.total) for task in narrator._bars.tasks]
            assert tasks == [("searching", 1, 3), ("pricing", 120, 256)]
        assert [task.description for task in narrator._bars.tasks] == ["searching"]
    assert narrator._bars is None
