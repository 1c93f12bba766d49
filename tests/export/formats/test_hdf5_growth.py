"""A graph of many layers is read in work that grows as it does: counted, so that it is the same on a busy machine."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from snnas.export.formats.hdf5_child import Reader
from snnas.export.formats.hdf5_guard import LIMIT_BYTES, decode
from tests.export.nir_nets import conv, graph_of, lif
from tests.studies.growth import counted_work, exponent

LAYERS = (40, 80, 160)


class Watched(io.FileIO):
    """A file that counts how often HDF5 reads of it, and how much: what its own calls do is in no profile."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self.reads = self.amount = 0

    def readinto(self, buffer: Any, /) -> int:
        got = super().readinto(buffer) or 0
        self.reads, self.amount = self.reads + 1, self.amount + got
        return got


def graph(layers: int) -> nir.NIRGraph:
    nodes: dict[str, Any] = {}
    for k in range(layers):
        nodes[f"c{k}"] = conv(np.ones((2, 2, 3, 3), np.float32), padding=1, input_shape=(3, 3))
        nodes[f"n{k}"] = lif(2, 3, 3)
    return graph_of((2, 3, 3), nodes, (2, 3, 3))


def test_what_a_file_of_many_layers_costs_grows_as_the_layers_do(tmp_path: Path) -> None:
    found = []
    for layers in LAYERS:
        path = tmp_path / f"{layers}.nir"
        nir.write(path, graph(layers))
        with Watched(path) as file:

            def read(file: Watched = file) -> Any:
                reader = Reader(LIMIT_BYTES)
                with h5py.File(file, "r") as f:
                    text = json.dumps({"tree": reader.group(f, 0)}).encode()
                return decode(b"".join([len(text).to_bytes(8, "little"), text, *reader.chunks]), "x.nir")

            assert len(read()["node"]["nodes"]) == 2 * layers + 2
            file.reads = file.amount = 0
            calls, written = counted_work(read)
            found.append((calls, written, file.reads, file.amount))
    slopes = {
        name: exponent(LAYERS, values)
        for name, values in zip(("calls", "bytes", "reads", "bytes read"), zip(*found, strict=True), strict=True)
    }
    assert all(0.7 < slope < 1.1 for slope in slopes.values()), slopes
