"""The guarded child that reads the Spiking Heidelberg Digits: ``python -I shd_child.py PATH LIMIT_BYTES SECONDS``.

As ``export/hdf5_child.py``, and the answer is in its form; but the rows of ``spikes/times`` and ``spikes/units`` are of
different lengths, which that reader refuses: they come as a group of ``lengths`` and ``values``, one after the other.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # -I leaves out the working folder and the script's own
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from export.hdf5_child import Reader, Refused, limit

MAX_ROWS = 100_000


class RaggedReader(Reader):
    """Takes one-dimensional datasets of rows of numbers too."""

    def dataset(self, name: str, item: Any) -> dict[str, Any]:
        import h5py
        import numpy as np

        base = h5py.check_vlen_dtype(item.dtype)
        if base is None or np.dtype(base).kind not in "fiu":
            return super().dataset(name, item)
        if item.is_virtual or item.external is not None or item.ndim != 1 or item.shape[0] > MAX_ROWS:
            raise Refused(f"{name!r} has shape {item.shape}, expected one row for each sample, in the file itself")
        rows = item[()]
        total = sum(row.nbytes for row in rows)
        if total > self.limit_bytes - self.offset:
            raise Refused(f"{name!r} holds {total} bytes; at most {self.limit_bytes} are read")
        lengths = np.array([len(row) for row in rows], dtype="<i8")
        values = np.concatenate(rows) if len(rows) else np.zeros(0, base)
        return {"group": {"lengths": self.array(lengths), "values": self.array(values)}}

    def array(self, value: Any) -> dict[str, Any]:
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        entry = {"dtype": value.dtype.newbyteorder("<").str, "shape": list(value.shape), "offset": self.offset}
        self.chunks.append(data)
        self.offset += len(data)
        return entry


def main(path: str, limit_bytes: int, seconds: int) -> None:
    import h5py  # before the limits: importing it is not the file's doing

    limit(limit_bytes, seconds)
    reader = RaggedReader(limit_bytes)
    try:
        with h5py.File(path, "r") as f:
            header: dict[str, Any] = {"tree": reader.group(f, 0)}
    except Refused as error:
        header, reader.chunks = {"error": str(error)}, []
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, UnicodeError) as error:
        header, reader.chunks = {"error": f"not a readable HDF5 file ({type(error).__name__}: {error})"}, []
    text = json.dumps(header).encode()
    out = sys.stdout.buffer
    out.write(len(text).to_bytes(8, "little") + text)
    for chunk in reader.chunks:
        out.write(chunk)
    out.flush()
    os._exit(0)  # closing a damaged file at exit may crash; everything is written


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
