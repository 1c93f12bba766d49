"""What weights of 8, 6 and 4 bits cost in accuracy on target, before and after fine-tuning.

Of trained runs (or of networks that it searches and trains first, one per seed): the float network, the program as it
is compiled at each width, and the program fine-tuned, all on the whole test split. Losses are points of accuracy below
the float network on the same samples. Two 95 % intervals, since two things are drawn: over networks and fine-tunings
(bootstrap over the measurements), and over test samples (bootstrap over samples, the same draw for all that share a
split). Each measurement is a line of an append-only log beside ``--out``; a bench that was killed goes on.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import sha256, write_json
from snnas.hw_sim.limits import WEIGHT_WIDTHS
from snnas.toolchain.cli.options import AsJson, Quiet, RunsDir
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import percentiles
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run, directory, find
from tests.studies.command import main, numbers, tell

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset

SCHEMA = "snnas.bench.bits/1"
GATE_BITS, GATE = 4, 0.01
FLOAT, COMPILED = 0, -1  # in place of a width, and of a seed: what has none

NOT_OF_ONE = ("widths", "seeds", "seed", "draws", "dataset")  # of a bench, not of a measurement

Array = np.ndarray[Any, np.dtype[Any]]
Job = tuple[str, int, int]  # run, bits, seed


@dataclass(frozen=True, slots=True, kw_only=True)
class BitsOptions:
    """What is measured. seeds: networks where no run is given, else fine-tunings of each run, counted from ``seed``.

    widths: bits of a weight. epochs, rate: of a fine-tuning. train, test: samples taken of each split, 0 for all.
    draws: of the bootstrap.
    """

    dataset: str = "digits"
    widths: tuple[int, ...] = WEIGHT_WIDTHS
    seeds: int = 5
    epochs: int = 8
    rate: float = 3e-3
    train: int = 0
    test: int = 0
    seed: int = 0
    draws: int = 2000

    def check(self) -> None:
        for name, least in {"seeds": 1, "epochs": 1, "train": 0, "test": 0, "draws": 100}.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")
        if not self.widths or not set(self.widths) <= set(WEIGHT_WIDTHS) or len(set(self.widths)) != len(self.widths):
            widths = ",".join(map(str, self.widths))
            raise UsageError(f"--widths {widths}: expected some of {', '.join(map(str, WEIGHT_WIDTHS))}")


def bits(runs: list[Run], options: BitsOptions, narrator: Narrator, out: Path | None, folder: Path) -> dict[str, Any]:
    """Measure the runs, or where there are none ``options.seeds`` new ones in ``folder``; ``out`` gets the figures."""
    options.check()
    given = bool(runs)
    runs = runs or [_made(options.dataset, options.seed + k, folder, narrator) for k in range(options.seeds)]
    seeds = {r.name: [options.seed + k for k in range(options.seeds)] if given else [_seed(r)] for r in runs}
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    found: dict[Job, dict[str, Any]] = {}
    jobs = sum(1 + len(options.widths) * (1 + len(seeds[r.name])) for r in runs)
    with narrator.progress(f"{jobs} measurements") as advance:
        for run in runs:
            keys = _keys(run, options)
            found |= _remembered(log, keys, run.name) if log is not None else {}
            wanted: list[Job] = [(run.name, FLOAT, COMPILED)]
            wanted += [(run.name, b, s) for b in options.widths for s in (COMPILED, *seeds[run.name])]
            bench: _Bench | None = None
            for job in wanted:
                if job not in found:
                    bench = bench or _Bench(run, options)
                    found[job] = bench.measure(job)
                    narrator.say(f"  {_words(job)}: {_accuracy(found[job]):.2%} in {found[job]['seconds']:.0f} s")
                    if log is not None:
                        log.append({"settings": keys[job[2] != COMPILED], "job": list(job), **found[job]})
                advance(len(found), jobs)
    result = {"schema": SCHEMA, **asdict(options), "runs": [r.name for r in runs], **summary(found, seeds, options)}
    result["provenance"] = {"float": "measured", "compiled": "simulated", "finetuned": "simulated"}
    if out is not None:
        write_json(out, result)
    return result


def _seed(run: Run) -> int:
    seed: int = run.config()["seed"]
    return seed


def _made(dataset: str, seed: int, folder: Path, narrator: Narrator) -> Run:
    """The run of that seed: found where an earlier bench left it, else searched and trained as by ``snnas search``."""
    from snnas.toolchain.searching import SearchOptions, begin_search, find_network

    name = f"bits-{Path(dataset).stem}-{seed}"
    path = folder / name
    if path.exists():
        run = find(folder, name)
    else:
        options = SearchOptions(dataset=dataset, method="lightsnn", seed=seed)
        run = begin_search(
            folder, name, options, f"snnas search --method lightsnn --dataset {dataset} --seed {seed} --name {name}"
        )
    if not run.trained:
        with run.lock():
            find_network(run, narrator)
    return run


class _Bench:
    """A run, opened."""

    def __init__(self, run: Run, options: BitsOptions) -> None:
        from snnas.export.compiler.fold import fold
        from snnas.toolchain import training
        from snnas.toolchain.runs.dataset import dataset_of
        from snnas.toolchain.training.evaluation import logits
        from snnas.toolchain.training.restore import network_of

        data = dataset_of(run)
        train, test = options.train or len(data.y_train), options.test or len(data.y_test)
        self.data: Dataset = replace(
            data,
            x_train=data.x_train[:train],
            y_train=data.y_train[:train],
            x_test=data.x_test[:test],
            y_test=data.y_test[:test],
        )
        self.options, self.network = options, network_of(run)
        self.recipe = training.recipe_of(run.section("train"), where="[train]")
        self.graph = fold(self.network.layers())
        self.teacher: Array = logits(self.network, self.data.x_train, "cpu", 256, data.unit).numpy()

    def measure(self, job: Job) -> dict[str, Any]:
        """What one job gives: which test samples are right, and of a fine-tuning what it did."""
        import time

        from snnas.toolchain import training
        from snnas.toolchain.exporting.on_target import compile_calibrated
        from snnas.toolchain.finetuning import tune
        from snnas.toolchain.finetuning.options import Finetuning

        _, width, seed = job
        data, begun = self.data, time.perf_counter()
        about: dict[str, Any] = {}
        if width == FLOAT:
            _, predicted = training.evaluate(self.network, data.x_test, data.y_test, unit=data.unit)
        else:
            program = compile_calibrated(self.graph, data, int(self.network.config.timesteps), bits=width)
            if seed != COMPILED:
                asked = Finetuning(epochs=self.options.epochs, rate=self.options.rate)
                recipe = tune.recipe_for(self.recipe, asked)
                tuned = tune.finetune(program, self.graph, data, recipe, seed=seed, teacher=self.teacher)
                program, about = tuned.program, tuned.to_json()
            predicted = tune.predictions(program, data.batch(data.x_test))
        right = np.packbits(predicted == data.y_test).tobytes().hex()
        return {"samples": len(data.y_test), "right": right, "seconds": time.perf_counter() - begun, **about}


def _words(job: Job) -> str:
    run, width, seed = job
    if width == FLOAT:
        return f"{run}, float"
    return f"{run}, {width} bits, " + ("as compiled" if seed == COMPILED else f"fine-tuned with seed {seed}")


def _right(record: dict[str, Any]) -> Array:
    """Which samples are right, bool (N,)."""
    packed = np.frombuffer(bytes.fromhex(record["right"]), dtype=np.uint8)
    return np.unpackbits(packed, count=record["samples"]).astype(bool)


def _accuracy(record: dict[str, Any]) -> float:
    return float(_right(record).mean())


def _keys(run: Run, options: BitsOptions) -> dict[bool, str]:
    """What measurements depend on, beside run, width and seed; True: those of a fine-tuning."""
    plain = {name: value for name, value in asdict(options).items() if name not in NOT_OF_ONE}
    about = f"{sha256(run.weights)} {sha256(run.genotype)} {run.section('data').get('sha256')}"
    keys = {}
    for tuned in (False, True):
        mine = {name: value for name, value in plain.items() if tuned or name not in ("epochs", "rate")}
        keys[tuned] = hashlib.sha256(f"{mine} {about}".encode()).hexdigest()[:16]
    return keys


def _remembered(log: JsonLines, keys: dict[bool, str], run: str) -> dict[Job, dict[str, Any]]:
    log.mend()
    done: dict[Job, dict[str, Any]] = {}
    for number, record in enumerate(log.read(), start=1):
        try:
            _, width, seed = record.pop("job")
            if record.pop("settings") == keys[int(seed) != COMPILED]:
                _right(record)
                done[run, int(width), int(seed)] = record
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidFileError(
                f"{log.path}: line {number} is no measurement ({error!r}); move the file away to start again"
            ) from None
    return done


# --------------------------------------------------------------------------------------------------------- the figures


def summary(found: dict[Job, dict[str, Any]], seeds: dict[str, list[int]], options: BitsOptions) -> dict[str, Any]:
    """Accuracies and losses by width, and whether the fine-tuned loss at 4 bits, if measured, is within the gate."""
    right = {job: _right(record) for job, record in found.items()}
    table = []
    for width in options.widths:
        pairs = [(run, seed) for run in seeds for seed in seeds[run]]
        row: dict[str, Any] = {"bits": width, "measurements": len(pairs)}
        row["float"] = float(np.mean([right[run, FLOAT, COMPILED].mean() for run, _ in pairs]))
        for name in ("compiled", "finetuned"):
            mine = [(run, right[run, width, seed if name == "finetuned" else COMPILED]) for run, seed in pairs]
            lost = [(run, right[run, FLOAT, COMPILED].astype(float) - ours) for run, ours in mine]
            row[name] = {"accuracy": float(np.mean([ours.mean() for _, ours in mine])), **_loss(lost, options)}
        tuned = [found[run, width, seed] for run, seed in pairs]
        row["weights_changed"] = float(np.mean([t["weights_changed"] / t["weights"] for t in tuned]))
        row["seconds"] = float(np.mean([t["seconds"] for t in tuned]))
        table.append(row)
    good = all(row["finetuned"]["loss"] <= GATE for row in table if row["bits"] == GATE_BITS)
    return {"table": table, "gate": GATE, "good": good}


def _loss(lost: list[tuple[str, Array]], options: BitsOptions) -> dict[str, Any]:
    """The mean loss and its two intervals; lost: per measurement its run and, per sample, float minus on target."""
    means = np.array([values.mean() for _, values in lost])
    rng = stream(options.seed, "bootstrap")
    runs = list(dict.fromkeys(run for run, _ in lost))
    by_run = {run: np.mean([values for name, values in lost if name == run], axis=0) for run in runs}
    weights = {run: sum(name == run for name, _ in lost) / len(lost) for run in runs}
    drawn = np.zeros(options.draws)
    for run, values in by_run.items():
        # Losses of a sample are few different numbers: drawing their counts draws the samples.
        numbers, counts = np.unique(values, return_counts=True)
        drawn += (
            weights[run] * (rng.multinomial(len(values), counts / len(values), options.draws) @ numbers) / len(values)
        )
    over_seeds = None
    if len(means) > 1:
        over_seeds = percentiles(means[rng.integers(len(means), size=(options.draws, len(means)))].mean(1))
    return {"loss": float(means.mean()), "over_measurements": over_seeds, "over_samples": percentiles(drawn)}


# --------------------------------------------------------------------------------------------------------- the command


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"{', '.join(result['runs'])}: {result['epochs']} epochs of fine-tuning at {result['rate']:g}; means"
    table = Table(title=title, title_justify="left")
    for name in ("bits", "", "accuracy", "points lost", "95 % over seeds", "95 % over samples", "weights changed"):
        table.add_column(name)
    for row in result["table"]:
        table.add_row(str(row["bits"]), "float", f"{row['float']:.2%}", "", "", "", "")
        for name, words in (("compiled", "as compiled"), ("finetuned", "fine-tuned")):
            ours = row[name]
            changed = f"{row['weights_changed']:.1%}" if name == "finetuned" else ""
            spans = [_span(ours["over_measurements"]), _span(ours["over_samples"])]
            table.add_row("", words, f"{ours['accuracy']:.2%}", f"{100 * ours['loss']:+.2f}", *spans, changed)
    judged = any(row["bits"] == GATE_BITS for row in result["table"])
    verdict = "not measured, so not held to" if not judged else "within" if result["good"] else "above"
    gate = f"at {GATE_BITS} bits fine-tuned: {verdict} the gate of {100 * GATE:g} point"
    table.caption = f"{gate}; float measured, on target simulated"
    print_table(table)


def _span(ends: list[float] | tuple[float, float] | None) -> str:
    return "" if ends is None else f"{100 * ends[0]:+.2f} .. {100 * ends[1]:+.2f}"


def command(
    runs: Annotated[list[str] | None, typer.Argument(help="Trained runs; new ones, one per seed, without.")] = None,
    dataset: Annotated[str, typer.Option(help="Without runs: the data set to search and train on.")] = "digits",
    widths: Annotated[str, typer.Option(help="Bits of a weight, some of 8, 6 and 4.")] = "8,6,4",
    seeds: Annotated[int, typer.Option(help="New networks, or fine-tunings of each given run.")] = 5,
    epochs: Annotated[int, typer.Option(help="Epochs of every fine-tuning.")] = 8,
    rate: Annotated[float, typer.Option("--finetune-lr", help="Learning rate of the fine-tuning.")] = 3e-3,
    train: Annotated[int, typer.Option(help="Training samples taken; 0 takes all.")] = 0,
    test: Annotated[int, typer.Option(help="Test samples taken; 0 takes all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    draws: Annotated[int, typer.Option(help="Draws of the bootstrap.")] = 2000,
    runs_dir: RunsDir = None,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure what weights of 8, 6 and 4 bits cost, before and after fine-tuning; exit 1 above the gate."""
    folder = directory(runs_dir)
    several = numbers(widths, "--widths", "8,4")
    options = BitsOptions(
        dataset=dataset,
        widths=several,
        seeds=seeds,
        epochs=epochs,
        rate=rate,
        train=train,
        test=test,
        seed=seed,
        draws=draws,
    )
    given = [find(folder, name) for name in runs or []]
    result = bits(given, options, Narrator(quiet=quiet), out, folder)
    tell(result, as_json, print_result, good=result["good"])


if __name__ == "__main__":
    main(command)
