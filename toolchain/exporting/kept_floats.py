"""floats.npz of a run's export: what the float network did on the measured samples, for the next target's export.

It is taken up again where everything that it came from is the same: weights, genotype, network and seed of the run,
both graphs, every value of the samples, T, versions of what computes, device and threads. Half of an export is this.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz, write_npz
from snnas.export.graph import digest
from snnas.export.graph.graph import Graph
from snnas.hw_sim.errors import SnnasError
from snnas.hw_sim.files import read_json, sha256
from snnas.hw_sim.simulate.silence import Answers
from snnas.toolchain.exporting.float_run import NirRun, Trained
from snnas.toolchain.runs.versions import fingerprint

NAME = "floats.npz"
FORMAT = "snnas.floats/1"
LIMIT_BYTES = 1 << 30
Found = tuple[Trained, NirRun]


def came_from(inputs: dict[str, Any], deployed: Graph, read: Graph, x: np.ndarray, timesteps: int) -> str:
    """A hash of all that decides what the float run gives. inputs: of the run. x: the samples that are measured."""
    of = {
        "format": FORMAT,
        "inputs": inputs,
        "graphs": [digest.of_graph(deployed), digest.of_graph(read)],
        "samples": [x.dtype.str, x.shape, hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()],
        "timesteps": timesteps,
        "versions": fingerprint("cpu"),
    }
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def find(folders: Iterable[Path], key: str, keep: int) -> Found | None:
    """What an export in one of the folders keeps of the same float run, its spikes of the first ``keep`` samples.

    None where none does, or keeps the spikes of fewer samples, or where its file is not as it was written.
    """
    for folder in folders:
        try:
            if read_json(folder / "manifest.json")["files"][NAME] == sha256(folder / NAME):
                found = _read(folder / NAME, key, keep)
                if found is not None:
                    return found
        except (SnnasError, OSError, KeyError, TypeError, ValueError, AttributeError):
            continue  # damaged: it is run again
    return None


def write(folder: Path, key: str, trained: Trained, nir: NirRun) -> None:
    about = {
        "key": key,
        "spikes": trained.spikes,
        "sizes": trained.sizes,
        "first": trained.first,
        "differing": trained.differing_from_deployed,
        "answers": [trained.answers.same, trained.answers.ties, trained.answers.samples],
        "shapes": {name: value.shape for name, value in nir.spikes.items()},
    }
    arrays: dict[str, np.ndarray] = {
        "floats.json": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "trained": trained.predictions.astype(np.int64),
        "nir": nir.predictions.astype(np.int64),
        "margin": np.array(nir.margin),
        **{f"spikes.{name}": np.packbits(value) for name, value in nir.spikes.items()},
    }
    write_npz(folder / NAME, arrays)


def _read(path: Path, key: str, keep: int) -> Found | None:
    arrays = read_npz(path, limit_bytes=LIMIT_BYTES, what="float run")
    about = json.loads(arrays["floats.json"].tobytes())
    recorded = min((shape[0] for shape in about["shapes"].values()), default=0)
    if about["key"] != key or recorded < min(keep, len(arrays["nir"])):
        return None
    same, ties, samples = about["answers"]
    trained = Trained(
        predictions=arrays["trained"],
        spikes=about["spikes"],
        sizes=about["sizes"],
        first={name: (fired, of) for name, (fired, of) in about["first"].items()},
        differing_from_deployed=about["differing"],
        answers=Answers(same=same, ties=ties, samples=samples),
    )
    spikes = {
        name: np.unpackbits(arrays[f"spikes.{name}"], count=math.prod(shape)).astype(bool).reshape(shape)[:keep]
        for name, shape in about["shapes"].items()
    }
    return trained, NirRun(keep, predictions=arrays["nir"], spikes=spikes, margin=float(arrays["margin"]))
