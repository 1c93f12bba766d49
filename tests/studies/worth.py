"""Is a searched cell worth more than a random one, and than a plain chain of convolutions?

Every arm is a way to get a genotype of the space ``lightsnn``: its pruning by a proxy, a draw from the valid cells, the
chain 0-1-2-3 of three convolutions, and one convolution alone. Each is trained at several widths with one recipe (the
same epochs on the same samples), compiled, and run on target over the test split. Wider is better and dearer, so arms
are compared where they cost the same: per seed, accuracy on target is interpolated in the logarithm of the energy of
one inference, inside what was measured, never beyond. Differences are paired by seed; their intervals are 95 %
bootstraps over seeds. Two energies are matched: what the work costs (dynamic), and the total with the floor that the
chip draws anyway, where small networks hardly differ.

A seed draws its own split, initial weights, proxy batch and random cells. Each training is a line of an append-only
log beside ``--out``: a bench that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import InvalidFileError, UnsupportedError, UsageError
from snnas.hw_sim.files import write_json
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.data.statistics import percentiles
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.arm_log import settings_key
from tests.studies.command import main, numbers, tell

if TYPE_CHECKING:
    from snnas.search.network.config import NetworkConfig
    from snnas.search.network.genotype import Genotype
    from snnas.toolchain.data.load import Dataset

SCHEMA = "snnas.bench.worth/1"
SPACE = "lightsnn"
PROFILE = "loihi1"
# What every other arm is compared with.
PLAIN = ("chain", "random")
ENERGIES = ("dynamic", "total")
# The width at which the proxies see the supernet: that of ``snnas search``.
SEARCH_CHANNELS, SEARCH_BATCH = 16, 64

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthOptions:
    """What is measured. widths: channels of the first cell, ascending. random: cells drawn per seed. train, test:
    samples taken of each split, 0 for all. draws: of the bootstrap.
    """

    dataset: str = "digits"
    widths: tuple[int, ...] = (2, 4, 8)
    seeds: int = 5
    random: int = 2
    epochs: int = 15
    timesteps: int = 5
    hidden: int = 64
    train: int = 0
    test: int = 0
    seed: int = 0
    draws: int = 2000

    def check(self) -> None:
        limits = {
            "seeds": 1,
            "random": 1,
            "epochs": 1,
            "timesteps": 1,
            "hidden": 1,
            "train": 0,
            "test": 0,
            "draws": 100,
        }
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")
        if len(self.widths) < 2 or min(self.widths) < 1 or list(self.widths) != sorted(set(self.widths)):
            raise UsageError(f"--widths {','.join(map(str, self.widths))}: expected at least two, ascending, from 1")


def worth(options: WorthOptions, narrator: Narrator, out: Path | None) -> dict[str, Any]:
    """Train and measure every arm at every width, and return the figures; ``out`` gets them as JSON."""
    options.check()
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    key = _key(options)
    done = _remembered(log, key) if log is not None else {}
    jobs = [(seed, arm, width) for seed in _seeds(options) for arm in _arms(options) for width in options.widths]
    with narrator.progress(f"{len(jobs)} trainings of {options.epochs} epochs") as advance:
        for seed in _seeds(options):
            data: Dataset | None = None
            genotypes: dict[str, Genotype] = {}
            for arm in _arms(options):
                for width in options.widths:
                    if (seed, arm, width) not in done:
                        data = data or _data(options, seed)
                        genotypes = genotypes or _genotypes(options, data, seed)
                        found = _measure(genotypes[arm], data, options, seed, width)
                        done[seed, arm, width] = found
                        if log is not None:
                            log.append({"settings": key, "seed": seed, "arm": arm, "width": width, **found})
                    advance(sum(job in done for job in jobs), len(jobs))
    result = {"schema": SCHEMA, **asdict(options), "profile": PROFILE, **summary(done, options)}
    if out is not None:
        write_json(out, result)
    return result


def _seeds(options: WorthOptions) -> range:
    return range(options.seed, options.seed + options.seeds)


def _arms(options: WorthOptions) -> tuple[str, ...]:
    drawn = tuple(f"random {k}" for k in range(1, options.random + 1))
    return ("lightsnn sahd", *drawn, "chain", "single")


def group(arm: str) -> str:
    """The name under which an arm is counted: all random cells of a seed are one arm."""
    return "random" if arm.startswith("random ") else arm


def _key(options: WorthOptions) -> str:
    measured = replace(options, seeds=1, random=1, seed=0, draws=100, widths=(1, 2))
    return settings_key(measured)


def _remembered(log: JsonLines, key: str) -> dict[tuple[int, str, int], dict[str, Any]]:
    log.mend()
    done = {}
    for number, record in enumerate(log.read(), start=1):
        if record.get("settings") == key:
            try:
                at = int(record["seed"]), str(record["arm"]), int(record["width"])
                figures = {name: float(record[name]) for name in ("training", "on_target", *ENERGIES, "sar")}
                done[at] = {**figures, **{name: record[name] for name in ("architecture", "neurons", "cores")}}
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidFileError(
                    f"{log.path}: line {number} is no measurement ({error!r}); move the file away to start again"
                ) from None
    return done


def _data(options: WorthOptions, seed: int) -> Dataset:
    from snnas.toolchain.data.load import load

    data = load(options.dataset, seed=seed)
    train, test = options.train or len(data.y_train), options.test or len(data.y_test)
    return replace(
        data,
        x_train=data.x_train[:train],
        y_train=data.y_train[:train],
        x_test=data.x_test[:test],
        y_test=data.y_test[:test],
    )


def _config(options: WorthOptions, data: Dataset, channels: int) -> NetworkConfig:
    from snnas.search.network.config import NetworkConfig

    return NetworkConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=channels,
        hidden=options.hidden,
        timesteps=options.timesteps,
    )


def _genotypes(options: WorthOptions, data: Dataset, seed: int) -> dict[str, Genotype]:
    """Every arm's cell, used twice."""
    import torch

    from snnas.search.methods import lightsnn
    from snnas.search.network import space as spaces
    from snnas.search.network.genotype import Cell, Genotype
    from snnas.search.scoring.batched import BatchedScorer
    from snnas.search.scoring.supernet import Supernet

    space = spaces.get(SPACE)
    supernet = Supernet(space, _config(options, data, SEARCH_CHANNELS), seed=torch_seed(seed, "supernet"))
    picked = stream(seed, "proxy").permutation(len(data.x_train))[:SEARCH_BATCH]
    batch = torch.from_numpy(data.x_train[picked])
    searched = lightsnn.run(space, BatchedScorer(supernet, batch), log=lambda record: None)
    found = {"lightsnn sahd": searched.genotype}
    rng = stream(seed, "random cells")
    found |= {f"random {k}": space.random_genotype(rng) for k in range(1, options.random + 1)}
    for name, edges in (("chain", ((0, 1), (1, 2), (2, 3))), ("single", ((0, 3),))):
        found[name] = Genotype(SPACE, (Cell.of(dict.fromkeys(edges, "conv3x3")),) * 2)
    return found


def _measure(genotype: Genotype, data: Dataset, options: WorthOptions, seed: int, width: int) -> dict[str, Any]:
    from snnas.hw_sim.energy.profile import load_profile
    from snnas.toolchain.exporting.on_target import measure
    from snnas.toolchain.training import TrainingConfig, build, evaluate, train

    network = build(genotype, _config(options, data, width), seed=seed)
    train(network, data, TrainingConfig(epochs=options.epochs), seed=seed)
    accuracy, _ = evaluate(network, data.x_test, data.y_test)
    target = measure(network, data, data.x_test, data.y_test, load_profile(PROFILE))
    bill = target.bill
    if bill is None or bill.dynamic is None or bill.total is None:
        raise UnsupportedError(f"width {width} of {options.dataset} has no energy on {PROFILE}; take smaller --widths")
    return {
        "architecture": genotype.architecture_id,
        "training": accuracy,
        "on_target": target.accuracy,
        "dynamic": bill.dynamic.nominal,
        "total": bill.total.nominal,
        "sar": target.counts.sar,
        "neurons": sum(p.neurons for p in target.counts.populations if p.role == "neuron"),
        "cores": target.mapping.cores,
    }


# --------------------------------------------------------------------------------------------------------- the figures


def summary(done: dict[tuple[int, str, int], dict[str, Any]], options: WorthOptions) -> dict[str, Any]:
    """Return every arm at every width, the differences at equal width, and those at equal energies."""
    seeds, names = list(_seeds(options)), list(dict.fromkeys(map(group, _arms(options))))
    arms = {name: [arm for arm in _arms(options) if group(arm) == name] for name in names}

    def means(value: Callable[[int, str], float | None]) -> dict[tuple[str, int], float]:
        """By name and seed, the mean over the arms of that name, where all of them have a value."""
        found = {(name, seed): [value(seed, arm) for arm in arms[name]] for name in names for seed in seeds}
        return {at: float(np.mean([v for v in vs if v is not None])) for at, vs in found.items() if None not in vs}

    table = [
        {
            "arm": name,
            "width": width,
            **{
                figure: float(np.mean([done[seed, arm, width][figure] for seed in seeds for arm in arms[name]]))
                for figure in ("training", "on_target", *ENERGIES, "sar", "neurons", "cores")
            },
        }
        for name in names
        for width in options.widths
    ]
    equal_width = {}
    for width in options.widths:
        at_width = means(lambda seed, arm, width=width: done[seed, arm, width]["on_target"])  # type: ignore[misc]
        equal_width[str(width)] = _differences(names, seeds, at_width, options)
    equal_energy = {}
    for energy in ENERGIES:
        uj = _middle(done, options, energy)
        at_energy = means(partial(_at, done, options, energy, uj))
        equal_energy[energy] = {"uJ": uj, **_differences(names, seeds, at_energy, options)}
    return {"arms": table, "equal_width": equal_width, "equal_energy": equal_energy}


def _middle(done: dict[tuple[int, str, int], dict[str, Any]], options: WorthOptions, energy: str) -> float:
    """The energy, in uJ, that the most (seed, arm) pairs bracket with their widths; of several the middle one."""
    spans = np.array(
        [
            [done[seed, arm, width][energy] for width in (options.widths[0], options.widths[-1])]
            for seed in _seeds(options)
            for arm in _arms(options)
        ]
    )
    grid = np.geomspace(spans.min(), spans.max(), 401)
    inside = ((grid[:, None] >= spans[:, 0]) & (grid[:, None] <= spans[:, 1])).sum(1)
    best = np.flatnonzero(inside == inside.max())
    return float(grid[best[len(best) // 2]])


def _at(
    done: dict[tuple[int, str, int], dict[str, Any]], options: WorthOptions, energy: str, uj: float, seed: int, arm: str
) -> float | None:
    """Accuracy on target of one arm at ``uj``, between the widths that it was measured at; None outside of them."""
    points = sorted((done[seed, arm, width][energy], done[seed, arm, width]["on_target"]) for width in options.widths)
    x, y = np.array(points).T
    return float(np.interp(np.log(uj), np.log(x), y)) if x[0] <= uj <= x[-1] else None


def _differences(
    names: list[str], seeds: list[int], values: dict[tuple[str, int], float], options: WorthOptions
) -> dict[str, Any]:
    """Each name's mean over seeds, and its paired difference to the plain ones where both have a value."""
    found: dict[str, Any] = {}
    for name in names:
        own = [values[name, seed] for seed in seeds if (name, seed) in values]
        entry: dict[str, Any] = {"on_target": float(np.mean(own)) if own else None, "seeds": len(own)}
        for plain in PLAIN:
            if plain != name:
                both = [s for s in seeds if (name, s) in values and (plain, s) in values]
                entry[f"minus_{plain}"] = _paired([values[name, s] - values[plain, s] for s in both], options)
        found[name] = entry
    return found


def _paired(differences: list[float], options: WorthOptions) -> dict[str, Any]:
    if len(differences) < 2:  # no interval from one
        return {"mean": None, "low": None, "high": None, "seeds": len(differences)}
    gaps = np.array(differences)
    drawn = stream(options.seed, "bootstrap").integers(len(gaps), size=(options.draws, len(gaps)))
    low, high = percentiles(gaps[drawn].mean(1))
    return {"mean": float(gaps.mean()), "low": low, "high": high, "seeds": len(gaps)}


# --------------------------------------------------------------------------------------------------------- the command


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"{result['dataset']}, {result['seeds']} seeds from {result['seed']}, {result['epochs']} epochs: means"
    arms = Table("arm", "channels", "training", "on target", "dynamic uJ", "total uJ", "SAR", "cores", title=title)
    for row in result["arms"]:
        arms.add_row(
            row["arm"],
            str(row["width"]),
            f"{row['training']:.2%}",
            f"{row['on_target']:.2%}",
            f"{row['dynamic']:.2f}",
            f"{row['total']:.2f}",
            f"{row['sar']:.3f}",
            f"{row['cores']:.1f}",
        )
    print_table(arms)
    for energy, found in result["equal_energy"].items():
        _print_differences(f"at equal {energy} energy, {found['uJ']:.3g} uJ, estimated by {PROFILE}", found)
    for width, found in result["equal_width"].items():
        _print_differences(f"at {width} channels", found)


def _print_differences(title: str, found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("arm", "on target", "seeds", *(f"minus {plain}, points" for plain in PLAIN), title=title)
    for name, entry in found.items():
        if isinstance(entry, dict):
            accuracy = "" if entry["on_target"] is None else f"{entry['on_target']:.2%}"
            table.add_row(name, accuracy, str(entry["seeds"]), *(_gap(entry.get(f"minus_{plain}")) for plain in PLAIN))
    print_table(table)


def _gap(entry: dict[str, Any] | None) -> str:
    if entry is None or entry["mean"] is None:
        return ""
    return f"{100 * entry['mean']:+.2f} ({100 * entry['low']:+.2f} .. {100 * entry['high']:+.2f}; {entry['seeds']})"


def command(
    dataset: Annotated[str, typer.Option(help="A data set, as snnas search takes it.")] = "digits",
    widths: Annotated[str, typer.Option(help="Channels of the first cell, ascending.")] = "2,4,8",
    seeds: Annotated[int, typer.Option(help="How many seeds, counted from --seed.")] = 5,
    random: Annotated[int, typer.Option(help="Random valid cells per seed.")] = 2,
    epochs: Annotated[int, typer.Option(help="Epochs of every training.")] = 15,
    timesteps: Annotated[int, typer.Option("--timesteps", "-T", help="Timesteps per sample.")] = 5,
    hidden: Annotated[int, typer.Option(help="Spiking neurons of the classifier.")] = 64,
    train: Annotated[int, typer.Option(help="Training samples taken; 0 takes all.")] = 0,
    test: Annotated[int, typer.Option(help="Test samples taken; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap.")] = 2000,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare searched cells with random ones and a plain chain, at equal training and equal energy on target."""
    channels = numbers(widths, "--widths", "2,4,8")
    options = WorthOptions(
        dataset=dataset,
        widths=channels,
        seeds=seeds,
        random=random,
        epochs=epochs,
        timesteps=timesteps,
        hidden=hidden,
        train=train,
        test=test,
        seed=seed,
        draws=draws,
    )
    result = worth(options, Narrator(quiet=quiet), out)
    tell(result, as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
