"""What backward edges cost and what they buy: python -m tests.studies.recurrent

One forward cell (0->1 and 1->3 convolutions, 0->3 skip) on the bundled digits, and the same with one backward edge:

- ``ff``: the cell. ``stepwise``: its numbers one timestep after the other through StepwiseBatchNorm (an edge 3->0 whose
  convolution is held at 0). ``conv``, ``skip``: with that operation on 3->0. Cures stand behind a plus: ``conv+zero``.
- Task ``digits``: a static image, T = 5. Task ``first``: two different digits one after the other, blank frames about
  them, and the label is the first. The readout adds over T, so a network that remembers nothing may tell which two they
  were, but not their order: one half is its best. (Neurons remember a little: what is left of a membrane after two
  blank frames, and in which of them a neuron fires that its bias drives.)

Networks are paired: a seed draws the split, the samples, the shuffles, and the weights that all of them have. 360
digits (500 pairs) validate, and those choose; the test split is shown with --test alone. The recipe is ``digits`` with
fewer epochs. A training is a line of --out, and is not done again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from snnas.hw_sim.errors import UsageError
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, numbers, tell

SCHEMA = "snnas.study.recurrent/1"
TASKS = {"digits": 6, "first": 8}  # and their epochs
# Student's t at 97.5 %, by degrees of freedom.
T_QUANTILE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
Line = dict[str, Any]


def measure(
    task: str,
    names: Sequence[str],
    seeds: Sequence[int],
    sizes: Line,
    log: JsonLines,
    narrator: Narrator,
    *,
    split: str = "validation",
) -> Line:
    """Train what ``log`` lacks; the means of every network, and its differences from the first of ``names``.

    sizes: epochs, channels, cells and blank (of task 'first').
    """
    import torch

    torch.set_num_threads(1)  # the order of sums, so the last bits of the weights, depends on it
    log.mend()
    done = {(line["network"], line["seed"]): line for line in log.read() if _key(line) == _key({"task": task, **sizes})}
    with narrator.progress(f"{len(names) * len(seeds)} trainings", "trainings") as advance:
        for number, (seed, name) in enumerate([(seed, name) for seed in seeds for name in names], start=1):
            if (name, seed) not in done:
                line = {"task": task, "network": name, "seed": seed, **sizes, **train_one(task, name, seed, sizes)}
                log.append(line)
                done[name, seed] = line
            advance(number, len(names) * len(seeds))
    rows = summary(done, names, seeds, split)
    return {"schema": SCHEMA, "task": task, **sizes, "seeds": list(seeds), "split": split, "networks": rows}


def train_one(task: str, name: str, seed: int, sizes: Line) -> Line:
    """The figures of one training: accuracies in [0, 1], of the network as it is shipped; the least validation loss."""
    from snnas.toolchain import training
    from tests.studies import recurrent_networks as networks

    data = networks.digits(seed) if task == "digits" else networks.first_of_two(seed, blank=sizes["blank"])
    network = networks.network_of(name, data, seed=seed, channels=sizes["channels"], cells=sizes["cells"])
    recipe, log = training.load_recipe("digits", {"epochs": sizes["epochs"]}), list[Line]()
    started = time.process_time()
    with networks.optimiser_of(name):
        found = training.train(network, data, recipe, seed=seed, log=log.append)
    seconds = time.process_time() - started
    return {
        "validation": found.validation_accuracy,
        "loss": min(line["val_loss"] for line in log),
        "sar": found.sar,
        "test": training.evaluate(network, data.x_test, data.y_test)[0],
        "cpu_seconds": round(seconds, 2),
    }


def summary(lines: dict[tuple[str, int], Line], names: Sequence[str], seeds: Sequence[int], split: str) -> list[Line]:
    """Per network: means over the seeds, and (mean, low, high) of the differences from the first network.

    split: 'validation' or 'test', whose accuracy is shown. The interval is Student's at 95 % over the seeds; None of a
    single one.
    """
    rows = []
    for name in names:
        of_seeds = [lines[name, seed] for seed in seeds]
        row: Line = {"network": name}
        for key in (split, "loss", "sar", "cpu_seconds"):
            row[key] = statistics.fmean(line[key] for line in of_seeds)
        for key in (split, "loss"):
            row[f"{key}_gain"] = interval([lines[name, s][key] - lines[names[0], s][key] for s in seeds])
        rows.append(row)
    return rows


def interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean, low and high of Student's 95 % interval; None of fewer than two values or more than ten."""
    if not 2 <= len(values) <= len(T_QUANTILE) + 1:
        return None
    mean = statistics.fmean(values)
    half = T_QUANTILE[len(values) - 2] * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def _key(line: Line) -> tuple[Any, ...]:
    blank = line["blank"] if line["task"] == "first" else None
    return line["task"], line["epochs"], line["channels"], line["cells"], blank


def _print(result: Line) -> None:
    from rich.table import Table

    split = result["split"]
    columns = (
        "network",
        split,
        f"against {result['networks'][0]['network']} (95 %)",
        "validation loss",
        "SAR",
        "CPU s",
    )
    table = Table(*columns, title=f"task {result['task']}, seeds {', '.join(map(str, result['seeds']))}")
    for row in result["networks"]:
        found = row[f"{split}_gain"]
        change = "" if found is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * part for part in found))
        figures = f"{row[split]:.2%}", change, f"{row['loss']:.3f}", f"{row['sar']:.3f}", f"{row['cpu_seconds']:.1f}"
        table.add_row(row["network"], *figures)
    print_table(table)


def command(
    out: Annotated[Path, typer.Option(help="Log of trainings, .jsonl; what stands there is not trained again.")],
    task: Annotated[str, typer.Option(help="digits or first.")] = "digits",
    networks: Annotated[str, typer.Option(help="The first is the reference.")] = "ff,stepwise,conv,skip",
    seeds: Annotated[str, typer.Option(help="One split and set of weights each.")] = "0,1,2,3,4",
    epochs: Annotated[int | None, typer.Option(min=1, help="6 of digits, 8 of first.")] = None,
    channels: Annotated[int, typer.Option(min=1, help="Of the first cell.")] = 8,
    cells: Annotated[int, typer.Option(min=1, max=2, help="All alike.")] = 1,
    blank: Annotated[int, typer.Option(min=0, help="Blank frames between the digits of task first.")] = 2,
    test: Annotated[bool, typer.Option("--test", help="Show the test split instead of the validation split.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Matched feed-forward and recurrent cells, on a static task and on one that needs memory."""
    if task not in TASKS:
        raise UsageError(f"--task {task}: expected {' or '.join(TASKS)}")
    sizes = {"epochs": epochs or TASKS[task], "channels": channels, "cells": cells, "blank": blank}
    asked = numbers(seeds, "--seeds", "0,1,2,3,4")
    split = "test" if test else "validation"
    result = measure(task, networks.split(","), asked, sizes, JsonLines(out), Narrator(quiet=quiet), split=split)
    tell(result, as_json, _print, good=True)


if __name__ == "__main__":
    main(command)
