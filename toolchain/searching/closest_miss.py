"""The network that misses a budget by the least, kept with its weights while the search tries others."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from snnas.hw_sim.errors import GateError
from snnas.hw_sim.files import copy
from snnas.toolchain.runs.run import Run
from snnas.toolchain.runs.staging import staged
from snnas.toolchain.searching.budgets import METRICS, Limits, amounts

FOLDER = "nearest"
# What other samples change, the rest is settled by the architecture; so much of a limit is kept for them.
OF_DATA = frozenset({"energy_total", "energy_dynamic", "latency", "sar", "spikes", "synops", "instructions"})
MARGIN = 0.02
# What a run has of its network; run.toml holds the figures of its search and training.
FILES = ("genotype.json", "weights.safetensors", "train.jsonl", "run.toml")
OF_NETWORK = ("search", "train", "training")


def reserved(limits: Mapping[str, float]) -> Limits:
    """The limits with a margin for samples that were not seen."""
    return {name: limit / (1 + MARGIN) if name in OF_DATA else limit for name, limit in limits.items()}


def keep(run: Run) -> None:
    """Put the network that the run has now aside, whole, in place of the one before it."""
    with staged(run.path / FOLDER) as folder:
        for name in FILES:
            shutil.copyfile(run.path / name, folder / name)


def drop(run: Run) -> None:
    """Remove what was put aside, where there is something."""
    shutil.rmtree(run.path / FOLDER, ignore_errors=True)


def give_back(run: Run) -> None:
    """Make what was put aside the run's network again; nothing is done where that is done already."""
    aside = Run(run.path / FOLDER)
    if not aside.path.is_dir():
        return
    about = aside.config()
    run.write_config({**run.config(), **{name: about[name] for name in OF_NETWORK if name in about}})
    for name in FILES[:-1]:
        copy(aside.path / name, run.path / name)
    drop(run)


def miss(run: Run, trials: Sequence[Mapping[str, Any]], limits: Limits, why: str, options: str) -> GateError:
    """Fail the run for good with the nearest of ``trials`` as its network; the error says how to go on from there.

    why: no other network is tried. options: that make networks smaller.
    """
    best = min(trials, key=lambda trial: float(trial["ratio"]))
    figures, ratio = best["measured"]["figures"], float(best["ratio"])
    missed = {name: figures.get(name) for name in limits if any(text.startswith(f"{name} ") for text in best["over"])}
    shown = amounts(missed, measured=True) if missed else "; ".join(best["over"])
    share = f" by {ratio - 1:.1%}" if ratio < 1e9 else ""
    spare = f", of which {MARGIN:.0%} is kept for other samples" if OF_DATA & missed.keys() else ""
    text = (
        f"search: {why}; the nearest of {len(trials)} trained, {best['architecture']}, misses it{share}: {shown} "
        f"on target against {amounts({name: limits[name] for name in missed or limits})}{spare}; it is kept, export it "
        f"with: snnas export {run.spoken}; or search again {_again(missed, options)}"
    )
    run.fail(text)
    give_back(run)
    return GateError(text)


def _again(missed: Mapping[str, float | None], options: str) -> str:
    """With the budgets that the network would have kept, where all figures are known, or for smaller ones."""
    found = []
    for name, value in missed.items():
        above = _above(value * (1 + MARGIN) if name in OF_DATA else value) if value else 0.0
        found.append(f"--budget {name}={above:.12g}{METRICS[name].unit}")
    ways = [f"with {' '.join(found)}"] if found and all(missed.values()) else []
    ways += [f"for smaller networks with {options}"] if options else []
    return ", or ".join(ways or ["with a larger budget"])


def _above(value: float) -> float:
    """The next number above that has three digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    return math.ceil(value / unit - 1e-9) * unit
