"""A search says what it is doing and how long it takes; what cannot be reached is refused before anything is scored."""

from __future__ import annotations

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
from snnas.toolchain.searching.least import EARLY, PRICED, least, refuse_hopeless
from snnas.toolchain.searching.methods import RUNNERS
from snnas.toolchain.searching.options import SearchOptions
from snnas.toolchain.searching.runner import Spec
from snnas.toolchain.searching.session import spec_of

SMALL = ["--channels", "2", "--hidden", "16", "-T", "2", "--batch", "8", "--no-train", "--name", "one"]


def drawn(method: str, spec: Spec, rng: np.random.Generator) -> list[Any]:
    """A few candidates of a method, small ones among them."""
    if method == "mse_nas":
        genomes = GenomeSpace(len(spec.network.motif_cells), fan_ins=(2,))
        plain = [Genome(2, (MotifCell(n, (3,) * len(m.edges(2))),) * genomes.cells) for n, m in MOTIFS.items()]
        return [*plain, GenomeSpace(genomes.cells).random(rng)]
    if method == "trained":
        designs = DesignSpace.of(spec.settings["axes"])
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
    refuse_hopeless({name: bound * 1.01}, floors, spec.predictor)
    with pytest.raises(GateError, match=f"no network of these sizes keeps {name}"):
        refuse_hopeless({name: bound * 0.99}, floors, spec.predictor)
    refuse_hopeless({"sar": 1e-9}, floors, spec.predictor)  # of which nothing is bounded


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
    for word in (f"keeps {name} {limit}", "with empty cells and not a single spike", "--channels, --cells and -T"):
        assert word in error
    run = find(tmp_path, "one")
    assert run.stage() == "failed"
    assert run.search_log.read() == []  # nothing was priced, nothing scored


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
    assert run_command(["search", "--runs-dir", str(tmp_path), *SMALL, *budget]) == 0
    lines = capsys.readouterr().err.splitlines()
    number = next(int(line.split()[1]) for line in lines if line.startswith("pricing "))
    assert f"pricing {number} networks ..." in lines
    assert f"  pricing {number} networks: 1 of {number}; about {3 * (number - 1)} s left" in lines


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
