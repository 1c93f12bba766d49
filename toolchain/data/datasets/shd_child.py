"""The guarded child that reads the Spiking Heidelberg Digits: ``python -I shd_child.py PATH LIMIT_BYTES SECONDS``.

As ``hdf5_child``, and the answer is in its form; but the rows of ``spikes/times`` and ``spikes/units`` are of
different lengths, which that reader refuses: they come as a group of ``lengths`` and ``values``, one after the other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # -I leaves out the working folder and the script's own
    sys.path.insert(0, str(Path(__file__).absolute().parents[4]))

from snnas.export.formats.hdf5_child import Reader, Refused, main

MAX_ROWS = 100_000


class RaggedReader(Reader):
    """Takes one-dimensional datasets of rows of numbers too."""

    def dataset(self, name: str, item: Any) -> dict[str, Any]:
        import h5py
        import numpy as np

        base = h5py.check_vlen_dtype(item.dtype)
        if base is None or np.dtype(base).kind not in "fiu":
            return super().dataset(name, item)
        item = h5py.Dataset(item)
        if item.is_virtual or item.external is not None or item.ndim != 1 or item.shape[0] > MAX_ROWS:
            raise Refused(f"{name!r} has shape {item.shape}, expected one row for each sample, in the file itself")
        rows = item[()]
        total = sum(row.nbytes for row in rows)
        if total > self.limit_bytes - self.offset:
            raise Refused(f"{name!r} holds {total} bytes; at most {self.limit_bytes} are read")
        lengths = np.array([len(row) for row in rows], dtype="<i8")
        values = np.concatenate(rows) if len(rows) else np.zeros(0, base)
        return {"group": {"lengths": self.array(lengths, [len(lengths)]), "values": self.array(values, [len(values)])}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), RaggedReader))
