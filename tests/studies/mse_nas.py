"""Whether the fitness of MSE-NAS ranks motif genomes as a short training does.

Random genomes are scored untrained, then trained from the same seed on one half of the data set's training and
validation samples and judged on the other half; the test split is not touched. Kendall's tau with a 95 % bootstrap
over genomes. Values go to an append-only log beside ``--out``: a bench that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UsageError
from snnas.hw_sim.files import write_json
from snnas.toolchain.cli.options import AsJson, Quiet
from snnas.toolchain.data.seeds import stream, torch_seed
from snnas.toolchain.data.statistics import kendall, percentiles
from snnas.toolchain.output.stderr import Narrator
from snnas.toolchain.output.stdout import print_table
from snnas.toolchain.runs.log import JsonLines
from tests.studies.command import main, tell

if TYPE_CHECKING:
    from snnas.search.mse_nas.config import MseConfig
    from snnas.search.mse_nas.genome import Genome
    from snnas.toolchain.data.load import Dataset

SCHEMA = "snnas.bench.mse_nas/1"
MEASURES = ("per_neuron", "total", "sahd", "parameters", "depth")
RDM_BATCHES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MseNasOptions:
    """What is measured. channels, cells, timesteps: of the networks. batch: of the fitness. draws: bootstrap."""

    dataset: str = "digits"
    genomes: int = 40
    epochs: int = 5
    channels: int = 6
    cells: int = 4
    timesteps: int = 4
    batch: int = 64
    seed: int = 0
    draws: int = 1000

    def __post_init__(self) -> None:
        limits = {"genomes": 4, "epochs": 1, "channels": 1, "cells": 1, "timesteps": 1, "batch": 2, "draws": 100}
        for name, least in limits.items():
            if getattr(self, name) < least:
                raise UsageError(f"--{name} {getattr(self, name)}: expected a whole number >= {least}")


def correlate(options: MseNasOptions, narrator: Narrator, out: Path | None = None) -> dict[str, Any]:
    """Measure and return the figures; ``out`` gets them as JSON."""
    began = time.perf_counter()
    rows = _measured(options, narrator, out)
    accuracy = np.array([row["accuracy"] for row in rows])
    rng = stream(options.seed, "bootstrap")
    drawn = rng.integers(len(rows), size=(options.draws, len(rows)))
    figures = {}
    for name in MEASURES:
        values = np.array([-np.inf if row[name] is None else row[name] for row in rows], dtype=np.float64)
        low, high = percentiles(np.array([kendall(values[draw], accuracy[draw]) for draw in drawn]))
        figures[name] = {"kendall": kendall(values, accuracy), "low": low, "high": high}
    result = {
        "schema": SCHEMA,
        **asdict(options),
        "measures": figures,
        "accuracy": {"low": float(accuracy.min()), "mean": float(accuracy.mean()), "high": float(accuracy.max())},
        "motifs": _by_motif(rows),
        "seconds": round(time.perf_counter() - began, 1),
        "rows": rows,
    }
    if out is not None:
        write_json(out, result)
    return result


def _by_motif(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean accuracy of the genomes that hold each motif, once per cell that holds it."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name in row["motifs"]:
            found.setdefault(name, []).append(row["accuracy"])
    return {name: float(np.mean(values)) for name, values in sorted(found.items())}


def _measured(options: MseNasOptions, narrator: Narrator, out: Path | None) -> list[dict[str, Any]]:
    """One row per genome, in the order in which they were drawn."""
    from snnas.search.mse_nas.config import MseConfig, reductions_for
    from snnas.search.mse_nas.encoding import GenomeSpace
    from snnas.toolchain.data.load import load

    data = _halved(load(options.dataset, seed=options.seed), options.seed)
    config = MseConfig(
        input_shape=data.input_shape,
        input_kind=data.input_kind,
        classes=data.classes,
        channels=options.channels,
        timesteps=options.timesteps,
        cells=options.cells,
        reductions=reductions_for(data.input_shape, options.cells),
    )
    space, rng = GenomeSpace(len(config.motif_cells)), stream(options.seed, "genomes")
    genomes: dict[str, Genome] = {}
    for _ in range(100 * options.genomes):
        if len(genomes) < options.genomes:
            genome = space.random(rng)
            genomes.setdefault(genome.architecture_id, genome)
    asked = {name: value for name, value in asdict(options).items() if name not in ("genomes", "draws")}
    key = hashlib.sha256(f"{sorted(asked.items())} {data.digest}".encode()).hexdigest()[:16]
    log = JsonLines(out.with_suffix(".jsonl")) if out is not None else None
    if log is not None:
        log.mend()
    done = {row["architecture"]: row for row in (log.read() if log else ()) if row.get("key") == key}
    with narrator.progress(f"{len(genomes)} genomes, {options.epochs} epochs each") as advance:
        for number, (name, genome) in enumerate(genomes.items(), start=1):
            if name not in done:
                done[name] = {"key": key, "architecture": name, **_row(genome, config, data, options)}
                if log is not None:
                    log.append(done[name])
            advance(number, len(genomes))
    return [done[name] for name in genomes]


def _halved(data: Dataset, seed: int) -> Dataset:
    """Training and validation samples in two halves, so that accuracies are finer than a small validation split."""
    x, y = np.concatenate([data.x_train, data.x_val]), np.concatenate([data.y_train, data.y_val])
    order = stream(seed, "halves").permutation(len(x))
    train, val = order[: len(x) // 2], order[len(x) // 2 :]
    return replace(data, x_train=x[train], y_train=y[train], x_val=x[val], y_val=y[val])


def _row(genome: Genome, config: MseConfig, data: Dataset, options: MseNasOptions) -> dict[str, Any]:
    import torch

    from snnas.search.methods.journal import finite
    from snnas.search.mse_nas.network import MseNetwork
    from snnas.search.mse_nas.plan import depth
    from snnas.search.mse_nas.rdm import RdmScorer
    from snnas.search.scoring.proxies import sahd
    from snnas.toolchain.training import TrainingConfig, train

    weights, count = torch_seed(options.seed, "weights"), min(options.batch, len(data.x_train) // RDM_BATCHES)
    order = stream(options.seed, "proxy").permutation(len(data.x_train))
    batches = [torch.from_numpy(data.x_train[order[k * count : (k + 1) * count]]) for k in range(RDM_BATCHES)]
    fitness = RdmScorer(config, batches, seed=weights)([genome])[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights)
        network = MseNetwork(genome, config)
        seen: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            network.train()(batches[0], spikes=seen)
        torch.manual_seed(weights)
        network = MseNetwork(genome, config)
    trained = train(network, data, TrainingConfig(epochs=options.epochs), seed=options.seed)
    return {
        "motifs": [cell.motif for cell in genome.cells],
        "fan_in": genome.fan_in,
        "per_neuron": finite(fitness.value),
        "total": fitness.total,
        "sahd": finite(sahd(seen).value),
        "parameters": sum(p.numel() for p in network.parameters()),
        "depth": depth(network.populations),
        "silent_layers": fitness.silent_layers,
        "accuracy": trained.validation_accuracy,
    }


# --------------------------------------------------------------------------------------------------------- the command


def print_result(result: dict[str, Any]) -> None:
    from rich.table import Table

    reach = result["accuracy"]
    title = (
        f"{result['genomes']} genomes, {result['epochs']} epochs, accuracy {reach['low']:.1%} .. {reach['high']:.1%}, "
        f"seed {result['seed']} (measured)"
    )
    table = Table("measure", "Kendall", "95 %", title=title, title_justify="left")
    for name, found in result["measures"].items():
        table.add_row(name, f"{found['kendall']:+.3f}", f"{found['low']:+.3f} .. {found['high']:+.3f}")
    print_table(table)


def command(
    dataset: Annotated[str, typer.Option(help="A data set, as snnas search takes it.")] = "digits",
    genomes: Annotated[int, typer.Option(help="Random genomes, all different.")] = 40,
    epochs: Annotated[int, typer.Option(help="Epochs of each one's training.")] = 5,
    channels: Annotated[int, typer.Option(help="Channels of the first cell.")] = 6,
    cells: Annotated[int, typer.Option(help="Cells, reductions included.")] = 4,
    timesteps: Annotated[int, typer.Option(help="T.")] = 4,
    batch: Annotated[int, typer.Option(help="Samples of each of the two batches of the fitness.")] = 64,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The one seed of genomes, weights, samples and bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here, and a log beside it that resumes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Correlate the training-free fitness of motif genomes with their accuracy after a short training."""
    options = MseNasOptions(
        dataset=dataset,
        genomes=genomes,
        epochs=epochs,
        channels=channels,
        cells=cells,
        timesteps=timesteps,
        batch=batch,
        seed=seed,
        draws=draws,
    )
    result = correlate(options, Narrator(quiet=quiet), out)
    tell(result, as_json, print_result, good=True)


if __name__ == "__main__":
    main(command)
