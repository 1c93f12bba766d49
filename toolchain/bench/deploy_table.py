"""The table of networks on target that ``bench deploy`` plays: its columns, its file, what it says of a network."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snnas.hw_sim.errors import InvalidFileError, UsageError
from snnas.hw_sim.files import read_bytes, write_bytes

if TYPE_CHECKING:
    from snnas.search.methods.trials import Trained, Trial
    from snnas.search.network.design import Design

OPS = ("zeroize", "skip", "conv3x3")  # of an edge, by the digit in the column cell
KEY = ("cell", "channels", "timesteps", "seed", "epochs")
FIGURES = ("energy_dynamic", "sar", "cores", "neurons", "parameters")
SCORES = ("sahd", "live_depth", "temporal_code", "rdm", "lightsnn")  # before training; lightsnn: its pruning's end
COLUMNS = (
    *KEY,
    *("float_val", "float_test", "target_val", "target_test", "spikes", "synops"),
    *FIGURES,
    *(f"energy_{end}_uJ" for end in ("low", "nominal", "high")),
    *(f"latency_{end}_us" for end in ("low", "nominal", "high")),
    *SCORES,
)
MAX_BYTES = 1 << 26
Row = Mapping[str, Any]
Name = tuple[str, int, int]  # of a network: its cell, channels and timesteps


class Table:
    """The rows by design and seed. Raises InvalidFileError for a file that is no such table."""

    def __init__(self, path: Path) -> None:
        rows = read_table(path)
        self.seeds = sorted({row["seed"] for row in rows})
        self.epochs = rows[0]["epochs"]
        of: dict[Name, dict[int, Row]] = {}
        for row in rows:
            of.setdefault((row["cell"], row["channels"], row["timesteps"]), {})[row["seed"]] = row
        lacking = [name for name, found in of.items() if len(found) < len(self.seeds)]
        if lacking:
            raise InvalidFileError(
                f"{path}: {'/'.join(map(str, lacking[0]))} has {len(of[lacking[0]])} rows, expected one for each of "
                f"{len(self.seeds)} seeds"
            )
        self.rows = of
        self.designs = {name: _design(*name) for name in of}
        self.names = {design.architecture_id: name for name, design in self.designs.items()}

    def mean(self, name: Name, column: str) -> float:
        """The mean over the seeds."""
        return float(np.mean([row[column] for row in self.rows[name].values()]))

    def within(self, budget: float) -> list[Name]:
        """The designs whose mean energy, upper end of the band, keeps the budget."""
        return [name for name in self.rows if self.mean(name, "energy_high_uJ") <= budget]

    def trained(self, trial: Trial) -> Trained:
        """What a training came to: its accuracy is one seed's on the samples that judge, its energy the mean."""
        from snnas.search.methods.trials import Trained

        found = self.rows[self.names[trial.design.architecture_id]]
        row = found[self.seeds[trial.seed % len(self.seeds)]]
        energy = self.mean(self.names[trial.design.architecture_id], "energy_high_uJ")
        return Trained(row["target_val"], {"figures": {"energy_total": energy}, "seconds": 0.0})


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a table; InvalidFileError names file and line."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_bytes(path, MAX_BYTES))) as file:
            text = file.read(MAX_BYTES + 1).decode()
    except FileNotFoundError:
        raise InvalidFileError(f"{path}: no such file; make one with python -m tests.studies.deploy_table") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidFileError(f"{path}: not a gzipped table ({error}); expected one of deploy_table") from None
    if len(text) > MAX_BYTES:
        raise InvalidFileError(f"{path}: more than {MAX_BYTES} bytes unpacked, expected a table")
    try:
        names, *table = csv.reader(io.StringIO(text), strict=True)
    except (csv.Error, ValueError) as error:
        raise InvalidFileError(f"{path}: no table ({error}); make it again with deploy_table") from None
    if tuple(names) != COLUMNS:
        raise InvalidFileError(f"{path}: expected the columns {', '.join(COLUMNS)}; make it with deploy_table")
    rows = []
    for line, values in enumerate(table, start=2):
        try:
            row = dict(zip(COLUMNS, values, strict=True))
            found: dict[str, Any] = {name: float(row[name]) for name in COLUMNS if name not in KEY}
            if not all(map(math.isfinite, found.values())):
                raise ValueError("a figure that is not finite")
            found |= {name: int(row[name]) for name in KEY if name != "cell"} | {"cell": row["cell"]}
            _design(found["cell"], found["channels"], found["timesteps"])
        except (TypeError, ValueError, UsageError, KeyError) as error:
            raise InvalidFileError(f"{path}, line {line}: {error}; make it again with deploy_table") from None
        rows.append(found)
    if not rows:
        raise InvalidFileError(f"{path}: no rows, expected some")
    return rows


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the COLUMNS as a gzipped .csv; equal rows give equal bytes."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{row[name]:.6g}" if isinstance(row[name], float) else row[name] for name in COLUMNS})
    write_bytes(path, gzip.compress(out.getvalue().encode(), mtime=0))


def _design(cell: str, channels: int, timesteps: int) -> Design:
    from snnas.search.network.design import SPACE, Design
    from snnas.search.network.genotype import FORWARD_EDGES, Cell

    if len(cell) != len(FORWARD_EDGES) or not set(cell) <= set("012"):
        raise ValueError(f"cell {cell[:20]!r}, expected six digits 0 to 2")
    ops = {edge: OPS[int(digit)] for edge, digit in zip(FORWARD_EDGES, cell, strict=True)}
    return Design(SPACE, (Cell.of(ops),), channels, timesteps, 0, "linear", "max")
