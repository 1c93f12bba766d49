"""Does a single-path supernet rank networks better than short trainings, in the same CPU seconds?

The networks are those of ``docs/data/deploy_digits.csv.gz`` at one width and T: every functionally distinct cell that
holds a convolution. ``alone`` trains each shortly by itself. ``shared`` trains one set of weights that holds them all,
a path drawn for every batch (Guo et al., ECCV 2020), in as many steps as fit the seconds that ``alone`` took; BN
statistics of each path are measured anew before it is judged. Both judge by the validation split; the truth is the
table's mean accuracy on target over its seeds, on test samples. Told are Spearman's correlation with it, and the regret
of who is ranked first: points behind the best.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_json
from snnas.search.network.design import SPACE, Design, DesignSizes
from snnas.search.network.genotype import FORWARD_EDGES, Cell
from snnas.toolchain.bench.deploy_table import Table
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.data.statistics import bootstrap, spearman
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, numbers, tell
from tests.studies.deploy_table import cells, digits, split

if TYPE_CHECKING:
    from snnas.search.network.network import Backbone
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.training import TrainingConfig

SCHEMA = "snnas.bench.weight_sharing/1"
TABLE = Path(__file__).parents[2] / "docs" / "data" / "deploy_digits.csv.gz"
ARMS = ("alone", "shared")
TRIED = 40  # steps by which the seconds of one are known
CALIBRATED = 4  # batches that BN statistics of a path are measured over


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingOptions:
    """What is measured. epochs: of each training alone. forms: how many of the cells, 0 for all."""

    channels: int = 8
    timesteps: int = 2
    epochs: tuple[int, ...] = (1, 2, 4)
    seeds: tuple[int, ...] = (10, 11, 12, 13, 14)
    forms: int = 0

    def check(self) -> None:
        if not self.epochs or min(self.epochs) < 1:
            raise UsageError(f"--epochs {self.epochs}: expected whole numbers >= 1")

    def design(self, cell: Cell) -> Design:
        return Design(SPACE, (cell,), self.channels, self.timesteps, 0, "linear", "max")


def study(options: SharingOptions, narrator: Narrator, out: Path | None) -> dict[str, Any]:
    """Rank all networks in both ways, for every seed and length; ``out`` gets the figures, its log every ranking."""
    options.check()
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    if log is not None:
        log.mend()
    about = {"channels": options.channels, "timesteps": options.timesteps, "forms": options.forms}
    lines = [] if log is None else [one for one in log.read() if about.items() <= one.items()]
    known = {(one["seed"], one["epochs"]): one for one in lines}
    truth, jobs = true_accuracies(options), [(seed, epochs) for seed in options.seeds for epochs in options.epochs]
    with narrator.progress("ranking") as advance:
        for at, (seed, epochs) in enumerate(jobs):
            if (seed, epochs) not in known:
                found = {**about, "seed": seed, "epochs": epochs, **ranked(options, seed, epochs)}
                known[seed, epochs] = found
                if log is not None:
                    log.append(found)
            advance(at + 1, len(jobs))
    result = {"schema": SCHEMA, **asdict(options), "rows": summary([known[job] for job in jobs], truth, options)}
    if out is not None:
        write_json(out, result)
    return result


def forms(options: SharingOptions) -> list[Cell]:
    """The cells that are ranked."""
    return cells()[: options.forms or None]


def true_accuracies(options: SharingOptions) -> list[float]:
    """Of each cell, the table's."""
    table = Table(TABLE)
    names = [(digits(cell), options.channels, options.timesteps) for cell in forms(options)]
    if not table.rows.keys() >= set(names):
        raise UsageError(
            f"--channels {options.channels} --timesteps {options.timesteps}: not in {TABLE.name}; expected 4, 8, 16 or "
            "32 channels and 1, 2 or 4 timesteps"
        )
    return [table.mean(name, "target_test") for name in names]


def ranked(options: SharingOptions, seed: int, epochs: int) -> dict[str, Any]:
    """Accuracies on the validation split by both ways, and the CPU seconds of each."""
    from snnas.toolchain.training import load_recipe

    data, sizes = split(seed)
    recipe = replace(load_recipe("digits"), epochs=epochs)
    begun = time.process_time()
    alone = [_alone(options.design(cell), data, sizes, recipe, seed) for cell in forms(options)]
    seconds = time.process_time() - begun
    begun = time.process_time()
    shared = _shared(options, data, sizes, recipe, seed, seconds)
    return {"alone": alone, "shared": shared, "seconds": [seconds, time.process_time() - begun]}


def _alone(design: Design, data: Dataset, sizes: DesignSizes, recipe: TrainingConfig, seed: int) -> float:
    from snnas.toolchain.training import build, train

    return float(train(build(design, sizes, seed=seed), data, recipe, seed=seed).validation_accuracy)


def _shared(
    options: SharingOptions, data: Dataset, sizes: DesignSizes, recipe: TrainingConfig, seed: int, seconds: float
) -> list[float]:
    """Train the supernet for so long, less what judging takes; its paths' accuracies."""
    begun = time.process_time()
    _walk(options, data, sizes, recipe, seed, TRIED)
    step = (time.process_time() - begun) / TRIED
    begun = time.process_time()
    judge(_supernet(options, sizes, seed), options, data, recipe.batch)
    judging = time.process_time() - begun
    network = _walk(options, data, sizes, recipe, seed, max(1, round((seconds - judging) / step)))
    return judge(network, options, data, recipe.batch)


def _supernet(options: SharingOptions, sizes: DesignSizes, seed: int) -> Backbone:
    import torch

    from snnas.search.network.network import Backbone

    every = {edge: ("skip", "conv3x3") for edge in FORWARD_EDGES}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "supernet"))
        return Backbone(sizes.of(options.design(forms(options)[0])), [every])


def _walk(
    options: SharingOptions, data: Dataset, sizes: DesignSizes, recipe: TrainingConfig, seed: int, steps: int
) -> Backbone:
    """The supernet after so many steps, each of a path drawn anew; weights of other paths are left as they are."""
    import torch

    from snnas.toolchain.training.evaluation import inputs
    from snnas.toolchain.training.optimisation import learning_rate, loss_sum, make_optimizer
    from snnas.toolchain.training.step import set_rate

    network, rng, every = _supernet(options, sizes, seed), stream(seed, "paths"), forms(options)
    per_epoch = max(1, len(data.x_train) // recipe.batch)
    recipe = replace(recipe, epochs=max(1, -(-steps // per_epoch)))
    optimizer, x, y = make_optimizer(network, recipe), torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    network.train()
    order = np.empty(0, np.int64)
    for step in range(steps):
        order = order if len(order) >= recipe.batch else rng.permutation(len(y))
        index, order = torch.from_numpy(order[: recipe.batch]), order[recipe.batch :]
        set_rate(optimizer, learning_rate(recipe, step, per_epoch))
        optimizer.zero_grad(set_to_none=True)
        path = _path(every[rng.integers(len(every))])
        logits = network.run(inputs(x[index], data.unit), [path], None)
        (loss_sum(logits, y[index], recipe) / len(index)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
    return network


def judge(network: Backbone, options: SharingOptions, data: Dataset, batch: int) -> list[float]:
    """The accuracy of every path on the validation split, with BN statistics of its own."""
    import torch

    from snnas.search.network.batch_norm import BatchNorm
    from snnas.toolchain.training.evaluation import inputs

    norms, found = [m for m in network.modules() if isinstance(m, BatchNorm)], []
    for norm in norms:
        norm.momentum = None  # an average over all batches
    with torch.no_grad():
        for cell in forms(options):
            for norm in norms:
                norm.reset_running_stats()
            network.train()
            for at in range(CALIBRATED):
                part = torch.from_numpy(data.x_train[at * batch : (at + 1) * batch])
                network.run(inputs(part, data.unit), [_path(cell)], None)
            network.eval()
            logits = network.run(inputs(torch.from_numpy(data.x_val), data.unit), [_path(cell)], None)
            found.append(float((logits.argmax(1).numpy() == data.y_val).mean()))
    return found


def _path(cell: Cell) -> dict[Any, tuple[str, ...]]:
    return {edge: (op,) for edge, op in cell.live().items()}


def summary(found: Sequence[dict[str, Any]], truth: Sequence[float], options: SharingOptions) -> list[dict[str, Any]]:
    """By length and way: correlation and regret, means over seeds; and what ``shared`` is ahead by, paired by seed."""
    rows = []
    for epochs in options.epochs:
        mine = [one for one in found if one["epochs"] == epochs]
        ranks = {arm: [spearman(one[arm], truth) for one in mine] for arm in ARMS}
        gaps = np.array(ranks["shared"]) - np.array(ranks["alone"])
        low, high = bootstrap(gaps, seed=0)
        for at, arm in enumerate(ARMS):
            regrets = [max(truth) - truth[int(np.argmax(one[arm]))] for one in mine]
            rows.append({
                "epochs": epochs, "arm": arm, "seconds": float(np.mean([one["seconds"][at] for one in mine])),
                "spearman": float(np.mean(ranks[arm])), "regret": float(np.mean(regrets)),
                "ahead": {"mean": float(gaps.mean()), "low": low, "high": high} if arm == "shared" else None,
            })  # fmt: skip
    return rows


def print_result(result: dict[str, Any]) -> None:
    """A row per length and way."""
    from rich.table import Table as Printed

    title = f"{result['channels']} channels, T = {result['timesteps']}, {len(result['seeds'])} seeds"
    out = Printed("epochs alone", "weights", "CPU s", "Spearman", "ahead by", "regret, points", title=title)
    for row in result["rows"]:
        ahead = row["ahead"]
        said = f"{ahead['mean']:+.3f} ({ahead['low']:+.3f} .. {ahead['high']:+.3f})" if ahead else ""
        figures = f"{row['seconds']:.1f}", f"{row['spearman']:+.3f}", said, f"{100 * row['regret']:.2f}"
        out.add_row(str(row["epochs"]), row["arm"], *figures)
    print_table(out)


def command(
    channels: Annotated[int, typer.Option(help="Of the cell: 4, 8, 16 or 32.")] = 8,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="1, 2 or 4.")] = 2,
    epochs: Annotated[str, typer.Option(help="Of each training alone, with commas between.")] = "1,2,4",
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between.")] = "10,11,12,13,14",
    out: Annotated[Path | None, typer.Option(help="JSON of the figures; the log beside it lets a study go on.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank networks by short trainings and by shared weights, in the same CPU seconds."""
    options = SharingOptions(
        channels=channels,
        timesteps=timesteps,
        epochs=numbers(epochs, "--epochs", "1,2"),
        seeds=numbers(seeds, "--seeds", "10,11"),
    )
    tell(study(options, Narrator(quiet=quiet), out), as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
