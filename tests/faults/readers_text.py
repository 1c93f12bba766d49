"""The readers of JSON, logs, TOML and CSV, each with a healthy file of its own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from snnas.hw_sim.energy.profile import load_profile
from snnas.hw_sim.files import read_json
from snnas.hw_sim.map.mapping import load_system, map_program
from snnas.hw_sim.simulate.counter import Counter
from snnas.hw_sim.simulate.counts import Counts
from snnas.hw_sim.tables import shipped
from snnas.search.methods.journal import Journal
from snnas.search.mse_nas.config import MseConfig
from snnas.search.mse_nas.genome import Genome
from snnas.search.mse_nas.motifs import NAMES
from snnas.search.network.config import NetworkConfig
from snnas.search.network.genotype import Genotype
from snnas.toolchain import training
from snnas.toolchain.checking import export_folder
from snnas.toolchain.checking.drift import read_baseline
from snnas.toolchain.data.datasets import recordings
from snnas.toolchain.html.material import Material
from snnas.toolchain.output import report
from snnas.toolchain.runs.log import JsonLines
from snnas.toolchain.runs.run import Run
from snnas.toolchain.searching import budgets, front
from snnas.toolchain.searching.budgets import check_limits
from snnas.toolchain.searching.within_budget import trials_of
from tests.faults.hostile_csv import csv_text
from tests.faults.hostile_trees import json_lines, json_text, toml_text
from tests.faults.judge import Target
from tests.programs import random_program, recorded
from tests.studies.spikenas_table import read_table

OPS = ("zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3")
CONFIGURATION = (2, 3)  # a recipe or a budget is part of a command's configuration


def counts_of(seed: int = 5) -> dict[str, Any]:
    """counts.json of a small program."""
    program = random_program(seed)
    golden, trace = recorded(program, 2)
    counter = Counter(program, map_program(program, load_system()))
    counter.add(
        trace, currents={k.removeprefix("currents."): v for k, v in golden.items() if k.startswith("currents.")}
    )
    found: dict[str, Any] = json.loads(json.dumps(counter.result().to_json()))
    return found


def healthy_report() -> dict[str, Any]:
    from tests.documents import REPORT

    found: dict[str, Any] = json.loads(json.dumps(REPORT))
    return found


def genotype_tree() -> dict[str, Any]:
    ops = [
        {e: OPS[(k + c) % 5] for k, e in enumerate(("0->1", "0->2", "0->3", "1->2", "1->3", "2->3"))} for c in (0, 1)
    ]
    cells = [{"forward": forward, "backward": {"3->1": "conv1x1"}} for forward in ops]
    return {"format": "snnas-genotype", "version": 1, "space": "lightsnn", "cells": cells}


def genome_tree() -> dict[str, Any]:
    from snnas.search.mse_nas.genome import MotifCell
    from snnas.search.mse_nas.motifs import MOTIFS

    cells = tuple(MotifCell(name, (3,) * len(MOTIFS[name].edges(2))) for name in NAMES[:3])
    found: dict[str, Any] = json.loads(Genome(2, cells).to_json())
    return found


def manifest() -> dict[str, Any]:
    return {
        "format": "snnas.export/1",
        "target": "lava",
        "files": {name: "0" * 64 for name in export_folder.FILES},
        "figures": {
            "energy_uJ": {"total": {"low": 1.0, "nominal": 2.0, "high": 3.0}},
            "latency_us": {"high": 5.0},
            "sar": {"on_target": 0.1},
            "resources": {"cores": 3, "chips": 1, "neurons": 40, "parameters": 100},
        },
        "graph_spikes": {"lif": [1, 2, 3]},
    }


def baseline() -> dict[str, Any]:
    return {"schema": "snnas.baseline/1", "stimulus": "0" * 64, "figures": {"accuracy": 0.9, "cores": 3, "sar": 0.1}}


def front_tree() -> dict[str, Any]:
    point = {"n": 1, "path": "front/01", "architecture": "a" * 12, "genotype": genotype_tree(), "score": 1.5,
             "predicted": {}, "validation_accuracy": None, "measured": None, "beaten": None}  # fmt: skip
    return {"schema": "snnas.front/1", "run": "r", "objectives": ["score", "energy_total"], "priced": 3, "unpriced": 0,
            "on_front": 1, "candidates": [[1.0, 2.0]], "points": [point], "rank_correlation": None}  # fmt: skip


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _checked(path: Path) -> None:
    """As ``check`` reads a manifest and the hashes in it."""
    from snnas.toolchain.checking.findings import Book

    book = Book(subject=path.parent, kind="export folder")
    export_folder._check_files(book, export_folder.read_manifest(path.parent))


def _front(path: Path) -> None:
    front.read_front(Run(path.parent))


def json_targets() -> list[Target]:
    config = NetworkConfig(input_shape=(1, 8, 8), classes=10)
    mse = MseConfig(input_shape=(1, 8, 8), classes=10)

    def target(name: str, file: str, tree: Any, read: Callable[[Path], Any]) -> Target:
        return Target(name=name, file=file, make=partial(json_text, tree=tree), read=read)

    return [
        target("genotype", "genotype.json", genotype_tree(), lambda p: Genotype.from_json(_text(p), where=str(p))),
        target("genome", "genotype.json", genome_tree(), lambda p: Genome.from_json(_text(p), where=str(p))),
        target("network", "network.json", json.loads(config.to_json()), lambda p: NetworkConfig.from_json(_text(p))),
        target("mse network", "network.json", json.loads(mse.to_json()), lambda p: MseConfig.from_json(_text(p))),
        target("report", "report.json", healthy_report(), _report),
        target("counts", "counts.json", counts_of(), lambda p: Counts.from_json(read_json(p))),
        target("manifest", "manifest.json", manifest(), _checked),
        target("front", "front.json", front_tree(), _front),
        target("baseline", "baseline.json", baseline(), read_baseline),
    ]


def _report(path: Path) -> None:
    """Read and shown, as ``snnas report`` does."""
    from rich.console import Console

    from snnas.toolchain.output.stderr import harmless

    figures = report.read_report(path)
    json.dumps(figures, allow_nan=False)
    with Path("/dev/null").open("w") as nowhere:
        Console(file=nowhere, width=120, markup=False, highlight=False).print(harmless(report.table(figures)))


# ----------------------------------------------------------------------------------------------------------------- logs


def search_records() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {"event": "evaluation", "round": r, "edge": "0->1", "op": op, "score": 1.5 * r,
         "silent_layers": 0, "firing": {"stem": 0.1, "head": 0.2}, "seconds": 0.01, "attempt": 1}
        for r in (1, 2) for op in OPS
    ]  # fmt: skip
    records.append(
        {"event": "guard", "round": 1, "edge": "0->1", "op": "skip", "guard": "alive", "text": "x is silent"}
    )
    cost = {"figures": {"energy_total": 5.0, "sar": 0.1}}
    records.append({"event": "trial", "round": "trial", "edge": None, "op": "a" * 12, "attempt": 1,
                    "architecture": "a" * 12, "genotype": json.dumps(genotype_tree()), "predicted": cost,
                    "measured": cost, "ratios": {"sar": 1.1}, "ratio": 1.2, "over": ["sar 0.2"]})  # fmt: skip
    return records


def train_records() -> list[dict[str, Any]]:
    return [{"epoch": k, "loss": 1.0 / k, "train_accuracy": 0.5, "validation_accuracy": 0.4, "validation_loss": 1.0,
             "sar": 0.1, "seconds": 1.5, "learning_rate": 0.01} for k in range(1, 5)]  # fmt: skip


def _resumed(path: Path) -> None:
    """A search that goes on from this log."""
    records = JsonLines(path).read()
    journal = Journal("lightsnn", lambda record: None, records)
    keys: dict[Any, Any] = {op: ("evaluation", 1, "0->1", op) for op in OPS}
    from snnas.search.scoring.proxies import Score

    journal.evaluate(keys, {op: op for op in OPS}, lambda missing: [Score(0.0, {})] * len(missing))
    journal.finish()


def _trials(path: Path) -> None:
    from snnas.toolchain.searching.within_budget import _key, below, calibrated

    trials = trials_of(Run(path.parent))
    calibrated({"sar": 0.1, "energy_total": 5.0}, trials)
    below({"sar": 0.1, "energy_total": 5.0}, trials)
    for trial in trials:
        _key(trial)


def _mended(path: Path) -> None:
    log = JsonLines(path)
    log.mend()
    log.read()


def _drawn(path: Path) -> None:
    """As the page of a run shows it: a damaged log costs its section, and nothing else."""
    from snnas.toolchain.html import figures_search
    from snnas.toolchain.html.page import guarded

    material = Material(Run(path.parent))
    guarded(figures_search.section, material)
    guarded(figures_search.training, material)


def jsonl_targets() -> list[Target]:
    search, train = search_records(), train_records()
    return [
        Target(name="log", file="search.jsonl", make=partial(json_lines, records=search), read=_mended),
        Target(
            name="resumed search", file="search.jsonl", make=partial(json_lines, records=search[:-1]), read=_resumed
        ),
        Target(name="trials", file="search.jsonl", make=partial(json_lines, records=search), read=_trials),
        Target(name="training drawn", file="train.jsonl", make=partial(json_lines, records=train), read=_drawn),
        Target(name="search drawn", file="search.jsonl", make=partial(json_lines, records=search), read=_drawn),
    ]


# ----------------------------------------------------------------------------------------------------------------- TOML


def run_tree() -> dict[str, Any]:
    from tests.documents import RUN, SEARCHED, TRAINED

    return RUN | {
        "data": RUN["data"] | {"options": {"frames": 4}},
        "method": RUN["method"] | {"candidates": 4, "widths": {"weight": 8, "state": 24}},
        "network": json.loads(NetworkConfig(input_shape=(1, 8, 8), classes=10).to_json()),
        "train": training.recipe_of({}, where="it").plain(),
        "search": SEARCHED,
        "training": TRAINED,
        "budget": {"energy_total": 60.0, "sar": 0.1},
        "chip": {"system": "loihi1", "profile": "loihi1"},
    }


def _run(path: Path) -> None:
    """All that commands take from a run.toml before they compute."""
    run = Run(path.parent)
    run.config()
    NetworkConfig.from_json(run.network_json(), where=str(path))
    check_limits(run.section("budget"), f"{path}: [budget]")
    run.table("search")
    training.recipe_of(run.section("train"), where=f"{path}: [train]")


def toml_targets() -> list[Target]:
    profile = tomllib.loads(shipped("loihi1", "profiles").read_text())
    short = {
        key: table if not isinstance(table, dict) else dict(list(table.items())[:3]) for key, table in profile.items()
    }
    system = tomllib.loads(shipped("loihi1", "systems").read_text())
    recipe = training.recipe_of({}, where="it").plain()
    budget = {"energy_total": "60uJ", "cores": 8, "sar": "10%", "params": "1M"}

    def target(
        name: str, file: str, tree: dict[str, Any], read: Callable[[Path], Any], codes: tuple[int, ...]
    ) -> Target:
        return Target(name=name, file=file, make=partial(toml_text, tree=tree), read=read, codes=codes)

    return [
        target("run", "run.toml", run_tree(), _run, CONFIGURATION),
        target("profile", "profile.toml", short, lambda p: load_profile(str(p)), (3,)),
        target("system", "system.toml", system, lambda p: load_system(str(p)), (3,)),
        target("recipe", "recipe.toml", recipe, lambda p: training.load_recipe(str(p)), CONFIGURATION),
        target("budget", "budget.toml", budget, lambda p: budgets.parse_budgets([str(p)]), CONFIGURATION),
        target(
            "budget table", "budget.toml", {"budget": budget}, lambda p: budgets.parse_budgets([str(p)]), CONFIGURATION
        ),
    ]


# ------------------------------------------------------------------------------------------------------------------ CSV


def csv_targets() -> list[Target]:
    rng = np.random.default_rng(0)
    digits = ["".join(map(str, rng.integers(0, 5, 6))) for _ in range(20)]
    by_ops = "ops,test_acc,epochs\n" + "".join(f"{d},{50 + k},{100 if k % 2 else 9}\n" for k, d in enumerate(digits))
    by_id = "id,test_acc\n" + "".join(f"{k * 7},{50 + k}\n" for k in range(20))
    index = "split,path\n" + "".join(f"train,Train/{k % 10}/{k:05d}.bin\n" for k in range(20))
    labels = "class,startTime_usec,endTime_usec\n" + "".join(
        f"{k + 1},{k * 1000},{k * 1000 + 900}\n" for k in range(11)
    )

    def target(name: str, file: str, text: str, read: Callable[[Path], Any]) -> Target:
        return Target(name=name, file=file, make=partial(csv_text, text=text), read=read)

    return [
        target("bench by ops", "bench.csv", by_ops, lambda p: read_table(p, epochs=100)),
        target("bench by id", "bench.csv", by_id, lambda p: read_table(p, epochs=0)),
        target("N-MNIST index", "index.csv", index, recordings._index),
        target("gesture labels", "user01_labels.csv", labels, _gesture),
    ]


def _gesture(path: Path) -> None:
    from snnas.toolchain.data.datasets.catalogue import SETS

    text = path.read_bytes().decode("utf-8", "replace")
    recordings._trials({"user01_labels.csv": text}, "user01.aedat", path, SETS["dvs128_gesture"])
