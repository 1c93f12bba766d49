"""The published methods as arms of ``trained_search``: in the CPU seconds of ``trained``, within the same budget.

What someone would do who has the method: ``snnas search --method M --budget B --channels W`` at one width after the
other, as shipped (candidates, T, head, recipe), until the seconds are spent; of what is within the budget on the
validation split that network which is the most accurate there, on target. A width begun in time is finished.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnas.hw_sim.errors import GateError
from snnas.toolchain.searching.budgets import parse_limits

if TYPE_CHECKING:
    from snnas.search.methods.memory import Widths
    from snnas.search.network.network import Network
    from snnas.toolchain.data.load import Dataset
    from snnas.toolchain.output.stderr import Narrator
    from snnas.toolchain.searching.cost import Chip

METHODS = ("lightsnn", "snasnet", "spikenas", "mse_nas")
WIDTHS = (8, 16, 4, 24, 12, 6, 32, 3, 2)  # channels of the first cell, in the order in which they are tried


def searched(
    method: str,
    dataset: str,
    budget: str,
    seed: int,
    seconds: float,
    narrator: Narrator,
    *,
    data: tuple[str, ...] = (),
    epochs: int = 0,
) -> dict[str, Any]:
    """The arm's network as ``trained_search`` keeps it; on_target None where no width came to one.

    seconds: of CPU, that may be spent. data: NAME=VALUE of the data set. epochs: of a training, 0 for the recipe's.
    """
    begun, tried, reason = time.process_time(), list[dict[str, Any]](), ""
    for at, width in enumerate(WIDTHS):
        if at and time.process_time() - begun >= seconds:
            break
        try:
            tried.append(_at_width(method, dataset, data, budget, seed, width, epochs))
        except GateError as error:  # nothing that wide keeps the budget
            reason = str(error)
            continue
        narrator.say(f"  {method}, {width} channels: {tried[-1]['judged']:.2%} on target, validation")
    base = {"arm": method, "seed": seed, "seconds": time.process_time() - begun, "tried": len(tried)}
    kept = [one for one in tried if not one["over"]]
    if not kept:
        return {**base, "on_target": None, "reason": reason or f"none of {len(tried)} widths keeps the budget"}
    best = max(kept, key=lambda one: one["judged"])
    test = best.pop("test")
    return {**base, **best, **test()}


def _at_width(
    method: str, dataset: str, data: tuple[str, ...], budget: str, seed: int, width: int, epochs: int
) -> dict[str, Any]:
    """One search and training. judged: accuracy on target, validation; test: what measures it on the test split."""
    from snnas.search.methods.memory import Widths
    from snnas.toolchain.commands.search import run_search
    from snnas.toolchain.runs.dataset import dataset_of
    from snnas.toolchain.searching.cost import Chip, measure
    from snnas.toolchain.searching.options import SearchOptions
    from snnas.toolchain.searching.within_budget import over_budget
    from snnas.toolchain.training.restore import network_of

    with tempfile.TemporaryDirectory() as folder:
        run = run_search(
            SearchOptions(
                dataset=dataset, data=data, method=method, budget=(budget,), channels=width, seed=seed,
                epochs=epochs or None, runs_dir=Path(folder), device="cpu",
            )
        )  # fmt: skip
        network, loaded = network_of(run), dataset_of(run)
    chip, widths = Chip.load(), Widths()
    cost = measure(network, loaded, chip, widths)

    return {
        "architecture": network.genotype.architecture_id,
        "channels": width,
        "judged": cost.accuracy,
        "over": [str(excess) for excess in over_budget(parse_limits(budget), cost)],
        "test": lambda: on_test(network, loaded, chip, widths),
    }


def on_test(network: Network, data: Dataset, chip: Chip, widths: Widths) -> dict[str, Any]:
    """Accuracy, energy and figures of a trained network on target, on the test split."""
    from snnas.toolchain.searching.cost import measure

    found = measure(network, replace(data, x_val=data.x_test, y_val=data.y_test), chip, widths).to_json()
    return {"on_target": found["accuracy"], "energy_uJ": found["energy_uJ"], "figures": found["figures"]}
