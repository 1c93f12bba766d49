"""Cross-validation of one cell on a data set too small for its test split to say much.

All samples of the three splits are dealt into folds, stratified, from the seed. Each fold is the test split once: the
cell is trained from new weights on the others (a share of which chooses the epoch), compiled, and run on target. So
every sample is judged once, by a network that never saw it. Figures of a fold are lines of an append-only log beside
``--out``; a bench that was killed goes on where it stopped.
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
from snnas.toolchain.cli.options import AsJson, Quiet, RunsDir
from snnas.toolchain.data.seeds import stream
from snnas.toolchain.data.statistics import wilson
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run, directory, find
from tests.studies.command import main, tell

if TYPE_CHECKING:
    from snnas.toolchain.data.load import Dataset

SCHEMA = "snnas.bench.folds/1"
VALIDATION_SHARE = 0.08
FIGURES = ("correct", "correct_on_target", "sar", "spikes", "synops", "energy_low", "energy", "energy_high")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsOptions:
    """What is measured: folds of them, recipe a name or file, epochs None for the recipe's, seed of the folds."""

    folds: int = 10
    recipe: str | None = None
    epochs: int | None = None
    profile: str = "loihi1"
    seed: int = 0

    def check(self) -> None:
        if not 2 <= self.folds <= 1000:
            raise UsageError(f"--folds {self.folds}: expected 2 to 1000")


def cross_validate(run: Run, options: FoldsOptions, narrator: Narrator, out: Path | None) -> dict[str, Any]:
    """Train and measure the cell of ``run`` on every fold of its data set; ``out`` gets the figures as JSON."""
    from snnas.toolchain.runs.dataset import dataset_of

    options.check()
    data = dataset_of(run)
    deal = dealt(np.concatenate([data.y_train, data.y_val, data.y_test]), options.folds, options.seed)
    about = f"{options} {sha256(run.genotype)} {run.network_json()} {data.digest}"
    key = hashlib.sha256(about.encode()).hexdigest()[:16]
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    done = _remembered(log, key) if log is not None else {}
    with narrator.progress(f"{options.folds} folds of {len(deal)} samples") as advance:
        for fold in range(options.folds):
            if fold not in done:
                done[fold] = _measure(run, _fold(data, deal, fold, options), options)
                narrator.say(f"  fold {fold + 1}: {done[fold]['correct'] / done[fold]['samples']:.1%}")
                if log is not None:
                    log.append({"settings": key, "fold": fold, **done[fold]})
            advance(len(done), options.folds)
    result = {"schema": SCHEMA, "run": run.name, **asdict(options), **summary(list(done.values()))}
    if out is not None:
        write_json(out, result)
    return result


def dealt(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of every sample, int64 (N,): of each class, folds differ by at most one sample."""
    rng = stream(seed, "folds")
    fold = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in np.unique(labels):
        places = rng.permutation(np.flatnonzero(labels == label))
        # Each class goes on dealing where the last one stopped, so that the folds are of one size too.
        fold[places] = (start + np.arange(len(places))) % folds
        start += len(places)
    smallest = int(np.bincount(fold, minlength=folds).min())
    if smallest < 1:
        raise UsageError(f"--folds {folds}: expected at most the {len(labels)} samples")
    return fold


def _fold(data: Dataset, deal: np.ndarray, fold: int, options: FoldsOptions) -> Dataset:
    x = np.concatenate([data.x_train, data.x_val, data.x_test])
    y = np.concatenate([data.y_train, data.y_val, data.y_test])
    rest = stream(options.seed, f"fold {fold}").permutation(np.flatnonzero(deal != fold))
    held = max(data.classes, round(VALIDATION_SHARE * len(rest)))
    val, train, test = rest[:held], rest[held:], np.flatnonzero(deal == fold)
    return replace(data, x_train=x[train], y_train=y[train], x_val=x[val], y_val=y[val], x_test=x[test], y_test=y[test])


def _measure(run: Run, data: Dataset, options: FoldsOptions) -> dict[str, Any]:
    from snnas.hw_sim.energy.profile import load_profile
    from snnas.toolchain import training
    from snnas.toolchain.exporting.on_target import measure
    from snnas.toolchain.training.restore import network_of

    network = network_of(run, trained=False)
    changes = {"epochs": options.epochs}
    recipe = (
        training.load_recipe(options.recipe, changes)
        if options.recipe
        else training.recipe_of(run.section("train"), where="[train]", overrides=changes)
    )
    training.train(network, data, recipe, seed=options.seed)
    _, predictions = training.evaluate(network, data.x_test, data.y_test)
    target = measure(network, data, data.x_test, data.y_test, load_profile(options.profile))
    total = target.bill.total if target.bill else None
    return {
        "samples": len(data.y_test),
        "correct": int((predictions == data.y_test).sum()),
        "correct_on_target": int((target.predictions == data.y_test).sum()),
        "sar": target.counts.sar,
        "spikes": target.counts.spikes / target.counts.samples,
        "synops": target.counts.synops / target.counts.samples,
        "energy_low": total.low if total else None,
        "energy": total.nominal if total else None,
        "energy_high": total.high if total else None,
    }


def _remembered(log: JsonLines, key: str) -> dict[int, dict[str, Any]]:
    log.mend()
    done = {}
    for number, record in enumerate(log.read(), start=1):
        if record.get("settings") == key:
            try:
                done[int(record["fold"])] = {name: record[name] for name in ("samples", *FIGURES)}
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidFileError(
                    f"{log.path}: line {number} is no measurement ({error!r}); move the file away to start again"
                ) from None
    return done


def summary(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracies over all samples with their 95 % Wilson intervals, the rest as means over folds."""
    samples = sum(fold["samples"] for fold in folds)
    found: dict[str, Any] = {"samples": samples}
    for name, key in (("accuracy", "correct"), ("accuracy_on_target", "correct_on_target")):
        hits = sum(fold[key] for fold in folds)
        low, high = wilson(hits, samples)
        found[name] = {"value": hits / samples, "low": low, "high": high}
    for key in FIGURES[2:]:
        values = [fold[key] for fold in folds]
        found[key] = None if None in values else float(np.mean(values))
    found["by_fold"] = [fold["correct"] / fold["samples"] for fold in folds]
    return found


# --------------------------------------------------------------------------------------------------------- the command


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"{result['run']}: {result['folds']} folds, {result['samples']} samples, seed {result['seed']}"
    table = Table(title=title, title_justify="left", show_header=False)
    for name, text in (("accuracy", "accuracy, training"), ("accuracy_on_target", "accuracy, on target")):
        found = result[name]
        table.add_row(text, f"{found['value']:.2%} ({found['low']:.2%} .. {found['high']:.2%})", "95 % Wilson")
    folds = result["by_fold"]
    table.add_row("  by fold", f"{min(folds):.1%} .. {max(folds):.1%}", "measured")
    table.add_row("spiking activity rate", f"{result['sar']:.4f}", "simulated")
    table.add_row("spikes / inference", f"{result['spikes']:,.0f}", "simulated")
    table.add_row("synops / inference", f"{result['synops']:,.0f}", "simulated")
    if result["energy"] is not None:
        band = " .. ".join(f"{result[key]:.3g}" for key in ("energy_low", "energy", "energy_high"))
        table.add_row("energy (uJ / inference)", band, f"estimated, profile {result['profile']}")
    print_table(table)


def command(
    run: Annotated[str | None, typer.Argument(help="A searched run; the newest one where left out.")] = None,
    runs_dir: RunsDir = None,
    folds: Annotated[int, typer.Option(help="How many folds.")] = 10,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or a .toml file [the run's own].")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every fold [the recipe's].")] = None,
    profile: Annotated[str, typer.Option(help="Energy profile: a name or a .toml file.")] = "loihi1",
    seed: Annotated[int, typer.Option(min=0, help="The one seed of folds and trainings.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A .json for the figures; a log beside it resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cross-validate a run's cell on its data set: every sample judged once, by a network that never saw it."""
    found = find(directory(runs_dir), run)
    options = FoldsOptions(folds=folds, recipe=recipe, epochs=epochs, profile=profile, seed=seed)
    result = cross_validate(found, options, Narrator(quiet=quiet), out)
    tell(result, as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
