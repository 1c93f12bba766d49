"""What two common classifiers make of the signals that aeon ships: python -m tests.studies.signal_baselines

1-NN with dynamic time warping and MiniRocket, both by aeon with its defaults, on the sets' own split: the figures that
stand beside ours in docs/signals.md and docs/results.md. Recordings of unequal length are read from aeon's ``_eq``
files. Needs aeon (pip install -e '.[aeon]') and no network: its wheel holds the sets. Exit code 1 where a figure is
another one than the pages have (of seed 0).
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snnas.hw_sim.errors import UnsupportedError, UsageError
from snnas.toolchain.cli.options import AsJson
from snnas.toolchain.output.stderr import Narrator
from tests.studies.command import main, tell

SCHEMA = "snnas.study.signal_baselines/1"
# Per cent correct of the test split, by DTW and MiniRocket, as the pages have them.
DOCUMENTED = {
    "BasicMotions": (97.5, 100.0),
    "JapaneseVowels": (95.9, 98.6),
    "GunPoint": (90.7, 99.3),
    "ItalyPowerDemand": (95.0, 96.3),
    "PickupGestureWiimoteZ": (74.0, 88.0),
}
UNEQUAL = ("JapaneseVowels", "PickupGestureWiimoteZ")  # recordings of several lengths


def shipped(name: str) -> Path | None:
    """The folder of a set in aeon's installation, without importing it; None where it is not there."""
    found = find_spec("aeon")
    places = [] if found is None else [Path(place) for place in found.submodule_search_locations or ()]
    return next((place / "datasets/data" / name for place in places if (place / "datasets/data" / name).is_dir()), None)


def one(name: str, folder: Path, seed: int) -> dict[str, Any]:
    """Both accuracies on a set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what aeon imports
        from aeon.classification.convolution_based import MiniRocketClassifier
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier
        from aeon.datasets import load_from_ts_file

        file = f"{name}_eq" if name in UNEQUAL else name
        x, y = load_from_ts_file(str(folder / f"{file}_TRAIN.ts"))
        x_test, y_test = load_from_ts_file(str(folder / f"{file}_TEST.ts"))
        result: dict[str, Any] = {"set": name, "train": len(y), "test": len(y_test), "classes": len(np.unique(y))}
        for key, made in (
            ("dtw", KNeighborsTimeSeriesClassifier(distance="dtw", n_neighbors=1)),
            ("minirocket", MiniRocketClassifier(random_state=seed)),
        ):
            began = time.process_time()
            result[key] = float(np.mean(made.fit(x, y).predict(x_test) == y_test))
            result[f"{key}_cpu_seconds"] = time.process_time() - began
    return result


def measure(names: tuple[str, ...], seed: int, narrator: Narrator) -> dict[str, Any]:
    """All sets; UnsupportedError without aeon, UsageError for a set that is none of them."""
    for name in names:
        if name not in DOCUMENTED:
            raise UsageError(f"--sets {name[:60]}: expected some of {', '.join(DOCUMENTED)}")
    folders = {name: shipped(name) for name in names}
    rows = []
    with narrator.progress("two classifiers of aeon", "sets") as advance:
        for name, folder in folders.items():
            if folder is None:
                raise UnsupportedError(
                    "this needs aeon, whose wheel holds the sets; it is not installed here: pip install -e '.[aeon]'"
                )
            rows.append(one(name, folder, seed))
            advance(len(rows), len(names))
    return {"schema": SCHEMA, "seed": seed, "sets": rows}


def differing(result: dict[str, Any]) -> list[str]:
    """What is another figure than the pages have; nothing of another seed, which MiniRocket draws by."""
    if result["seed"]:
        return []
    return [
        f"{row['set']} {key}"
        for row in result["sets"]
        for key, said in zip(("dtw", "minirocket"), DOCUMENTED[row["set"]], strict=True)
        if abs(100 * row[key] - said) > 0.0501
    ]


def _print(result: dict[str, Any]) -> None:
    print(f"{'set':22} {'train':>5} {'test':>5} {'classes':>7} {'1-NN DTW':>9} {'MiniRocket':>10}")
    for row in result["sets"]:
        counts = f"{row['train']:5} {row['test']:5} {row['classes']:7}"
        print(f"{row['set']:22} {counts} {row['dtw']:9.2%} {row['minirocket']:10.2%}")
    found = differing(result)
    if result["seed"]:
        return
    print(f"other than docs/signals.md has it: {', '.join(found)}" if found else "as docs/signals.md has it")


def command(
    sets: Annotated[str, typer.Option(help="Sets that aeon ships, parted by commas.")] = ",".join(DOCUMENTED),
    seed: Annotated[int, typer.Option(min=0, help="Of MiniRocket's draws; the pages have 0.")] = 0,
    as_json: AsJson = False,
) -> None:
    """1-NN DTW and MiniRocket on real signals; exit 1 where a figure of the pages does not come out."""
    result = measure(tuple(sets.split(",")), seed, Narrator())
    tell(result, as_json, _print, good=not differing(result))


if __name__ == "__main__":
    main(command)
