"""How well training-free proxies rank architectures whose trained accuracy is known.

The table is SpikeNAS-Bench (IEEE TAI 6(6), 2025), or a part of it: a user's own copy, none is shipped. Every proxy sees
the same untrained networks and images; each seed draws both anew, and a proxy's score is its mean rank over seeds.
Intervals are 95 % bootstraps over architectures and seeds; against the plain baselines the differences are taken draw
by draw. Values go to an append-only log beside ``--out``, so that a bench that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import sha256, write_json
from snnas.search.scoring.ranks import ranks
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.data.statistics import kendall, percentiles, spearman
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, tell
from tests.studies.rank_bootstrap import bootstrap_spearman, top_mean
from tests.studies.spikenas_table import Row, choose, read_images, read_table

SCHEMA = "snnas.bench.spikenas/1"
TOP_SHARE = 0.05

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikenasOptions:
    """What is measured. rows: drawn at random, 0 takes all. size: images are averaged down to it. draws: bootstrap.

    gradients: the proxies that need a backward pass too; they more than double the time.
    """

    rows: int = 400
    seeds: int = 5
    channels: int = 8
    batch: int = 64
    size: int = 16
    epochs: int = 100
    seed: int = 0
    draws: int = 1000
    gradients: bool = True

    def names(self) -> tuple[str, ...]:
        """Return the proxies that are measured."""
        from snnas.search.scoring.bench_proxies import FORWARD_PROXIES, PROXIES

        return PROXIES if self.gradients else FORWARD_PROXIES

    def check(self) -> None:
        limits = {"rows": 0, "seeds": 1, "channels": 1, "batch": 4, "size": 4, "epochs": 0, "seed": 0, "draws": 100}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")


def spikenas_bench(
    table: Path, images: Path, options: SpikenasOptions, narrator: Narrator, out: Path | None
) -> dict[str, Any]:
    """Measure every proxy on the connected rows of ``table`` and return the figures; ``out`` gets them as JSON."""
    from snnas.search.scoring.bench_network import parse_ops
    from snnas.search.scoring.bench_proxies import HEADLINE, PLAIN

    options.check()
    known = read_table(table, epochs=options.epochs)
    connected = [row for row in known if parse_ops(row.ops)]
    rows = choose(connected, options.rows, seed=options.seed)
    if len(rows) < 4:
        raise UsageError(
            f"{table} has {len(rows)} connected rows of {options.epochs} epochs, expected at least 4; see --epochs"
        )
    values, seconds = _measure(rows, images, options, narrator, out)
    truth = np.array([row.test_acc for row in rows])
    # Ranks within the rows, seed by seed: proxies have no common unit, and a singular kernel (-inf) of one seed must
    # not decide the mean over seeds.
    values = {name: np.array([ranks(seed) for seed in found]) for name, found in values.items()}
    narrator.say("bootstrap ...")
    draws = bootstrap_spearman(values, truth, rng=stream(options.seed, "bootstrap"), draws=options.draws)
    proxies = {name: _figures(values[name], truth, draws[name], seconds[name]) for name in options.names()}
    over = {name: percentiles(draws[HEADLINE] - draws[name]) for name in PLAIN}
    result = {
        "schema": SCHEMA,
        **asdict(options),
        "rows": len(rows),
        "rows_in_table": len(known),
        "rows_without_a_path": len(known) - len(connected),
        "proxies": dict(sorted(proxies.items(), key=lambda item: -item[1]["spearman"])),
        "methods": _methods(rows, truth, values, seconds),
        "gate": {
            "proxy": HEADLINE,
            "margin_over": {name: {"low": low, "high": high} for name, (low, high) in over.items()},
            "passed": all(low > 0 for low, _ in over.values()),
        },
    }
    if out is not None:
        write_json(out, result)
    return result


def _measure(
    rows: list[Row], images: Path, options: SpikenasOptions, narrator: Narrator, out: Path | None
) -> tuple[dict[str, Array], dict[str, float]]:
    """Return per proxy its values (seeds, rows), -inf where singular, and its mean seconds per architecture."""
    import torch

    from snnas.search.scoring.bench_network import BenchSizes
    from snnas.search.scoring.bench_proxies import VERSION, measure

    names = options.names()
    x, y = read_images(images, size=options.size)
    if len(x) < options.batch:
        raise UsageError(f"{images} has {len(x)} images, expected at least --batch {options.batch}")
    sizes = BenchSizes(
        input_shape=(x.shape[1], options.size, options.size), channels=options.channels, classes=int(y.max()) + 1
    )
    key = hashlib.sha256(f"{VERSION} {sizes} {options.batch} {options.seed} {sha256(images)}".encode()).hexdigest()[:16]
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    done: dict[tuple[str, int], tuple[dict[str, float], dict[str, float]]] = {}
    if log is not None:
        log.mend()
        done.update(_remembered(log, key, names))
    with narrator.progress(f"{len(rows)} architectures, {options.seeds} seeds, {len(names)} proxies") as advance:
        for seed in range(options.seeds):
            drawn = stream(options.seed, f"images/{seed}").permutation(len(x))[: options.batch]
            batch = torch.from_numpy(x[drawn]), torch.from_numpy(y[drawn])
            for number, row in enumerate(rows):
                if (row.ops, seed) not in done:
                    weights = torch_seed(options.seed, f"weights/{seed}")
                    found = measure(row.ops, sizes, batch, seed=weights, names=names)
                    done[row.ops, seed] = dict(found.values), dict(found.seconds)
                    if log is not None:
                        finite = {k: v if math.isfinite(v) else None for k, v in found.values.items()}
                        log.append(
                            {"settings": key, "ops": row.ops, "seed": seed, "values": finite, "seconds": found.seconds}
                        )
                advance(seed * len(rows) + number + 1, options.seeds * len(rows))
    seeds = range(options.seeds)
    values = {name: np.array([[done[row.ops, seed][0][name] for row in rows] for seed in seeds]) for name in names}
    cost = {name: float(np.mean([done[row.ops, seed][1][name] for row in rows for seed in seeds])) for name in names}
    return values, cost


def _remembered(
    log: JsonLines, key: str, names: tuple[str, ...]
) -> dict[tuple[str, int], tuple[dict[str, float], dict[str, float]]]:
    """Return what the log of an earlier run with the same settings holds, by architecture and seed."""
    done = {}
    for number, record in enumerate(log.read(), start=1):
        if record.get("settings") != key:
            continue
        try:
            if not set(names) <= record["values"].keys():
                continue
            values = {name: record["values"][name] for name in names}
            values = {name: -math.inf if value is None else float(value) for name, value in values.items()}
            seconds = {name: float(record["seconds"][name]) for name in names}
            done[str(record["ops"]), int(record["seed"])] = values, seconds
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidFileError(
                f"{log.path}: line {number} is no measurement ({error!r}); move the file away to start again"
            ) from None
    return done


def _figures(values: Array, truth: Array, draws: Array, seconds: float) -> dict[str, float]:
    score = values.mean(0)
    low, high = percentiles(draws)
    by_seed = [spearman(seed, truth) for seed in values]
    return {
        "spearman": spearman(score, truth),
        "low": low,
        "high": high,
        "kendall": kendall(score, truth),
        "spearman_one_seed": float(np.mean(by_seed)),
        "top5pct_mean": top_mean(score, truth, TOP_SHARE),
        "seconds": seconds,
    }


def _methods(
    rows: list[Row], truth: Array, values: dict[str, Array], seconds: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """Return what each method picks among the rows: the best by its proxy, each seed choosing for itself."""
    from snnas.search.scoring.bench_proxies import METHODS

    middle = int(np.argsort(truth, kind="stable")[len(truth) // 2])
    methods: dict[str, dict[str, Any]] = {
        "random": {"test_acc": float(truth.mean()), "ops": rows[middle].ops, "seconds": 0.0},
        "oracle": {"test_acc": float(truth.max()), "ops": rows[int(truth.argmax())].ops, "seconds": 0.0},
    }
    for method, proxy in METHODS.items():
        picks = [top_mean(seed, truth, 1 / len(truth)) for seed in values[proxy]]
        best = rows[int(values[proxy].mean(0).argmax())].ops
        cost = seconds[proxy] * len(rows)
        methods[method] = {"test_acc": float(np.mean(picks)), "ops": best, "seconds": cost}
    return methods


# --------------------------------------------------------------------------------------------------------- the command


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"{result['rows']} architectures, {result['seeds']} seeds, seed {result['seed']} (measured)"
    figures = Table("proxy", "Spearman", "95 %", "Kendall", "top 5 %", "ms", title=title, title_justify="left")
    for name, found in result["proxies"].items():
        figures.add_row(
            name,
            f"{found['spearman']:.3f}",
            f"{found['low']:.3f} .. {found['high']:.3f}",
            f"{found['kendall']:.3f}",
            f"{found['top5pct_mean']:.2f}",
            f"{1e3 * found['seconds']:.1f}",
        )
    print_table(figures)
    picks = Table("method", "picks", "test accuracy", "seconds")
    for name, found in result["methods"].items():
        picks.add_row(name, found["ops"], f"{found['test_acc']:.2f}", f"{found['seconds']:.1f}")
    print_table(picks)
    gate = result["gate"]
    worst = min(gate["margin_over"], key=lambda name: gate["margin_over"][name]["low"])
    margin = gate["margin_over"][worst]
    print_table(
        f"{gate['proxy']} over {worst}: {margin['low']:+.3f} .. {margin['high']:+.3f} (95 %), "
        f"{'above every plain baseline' if gate['passed'] else 'NOT above every plain baseline'}"
    )


def command(
    table: Annotated[Path, typer.Option(help="SpikeNAS-Bench as .csv: ops (six digits) or id, test_acc, epochs.")],
    images: Annotated[Path, typer.Option(help="Images of its data set: an .npz with x and y.")],
    rows: Annotated[int, typer.Option(help="Connected rows, drawn at random; 0 takes all.")] = 400,
    seeds: Annotated[int, typer.Option(help="Draws of weights and images.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 8,
    batch: Annotated[int, typer.Option(help="Images per architecture and seed.")] = 64,
    size: Annotated[int, typer.Option(help="Images are averaged down to this width.")] = 16,
    epochs: Annotated[int, typer.Option(help="Only rows trained so long; 0 takes all.")] = 100,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of rows, weights, images and bootstrap.")] = 0,
    no_gradients: Annotated[bool, typer.Option("--no-gradients", help="Leave out what needs a backward pass.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here, and a log beside it that resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank trained architectures by training-free proxies; exit 1 where ours is not above every plain one."""
    options = SpikenasOptions(
        rows=rows,
        seeds=seeds,
        channels=channels,
        batch=batch,
        size=size,
        epochs=epochs,
        seed=seed,
        draws=draws,
        gradients=not no_gradients,
    )
    result = spikenas_bench(table, images, options, Narrator(quiet=quiet), out)
    tell(result, as_json, print_result, good=result["gate"]["passed"])


if __name__ == "__main__":
    main(command)
