"""The guarded child that reads event recordings by their libraries.

``python -I recording_child.py LIST BYTES SECONDS``; LIST is a JSON file: rows of [path, format]. The answer is in the
form of ``hdf5_child``: a group for each row, with x, y, p and t. Such libraries crash on damaged files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # -I leaves out the working folder and the script's own
    sys.path.insert(0, str(Path(__file__).absolute().parents[4]))

from snnas.export.formats.hdf5_child import Reader, Refused, respond

ECF = 36559  # the registered number of Prophesee's event compression
NAMES = {
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "t": ("t", "ts", "timestamp", "timestamps"),
    "p": ("p", "ps", "on", "pol", "polarity", "polarities"),
}


def fields(names: Any) -> dict[str, str] | None:
    """{'x': its name among ``names``, ...} of all four, or None."""
    found = {key: next((name for name in known if name in names), None) for key, known in NAMES.items()}
    return None if None in found.values() else {key: str(name) for key, name in found.items()}


def read(path: str, kind: str, limit_bytes: int) -> dict[str, Any]:
    """Arrays x, y, p, t as the library gives them."""
    import numpy as np

    if kind in ("dat", "evt2"):
        from expelliarmus import Wizard

        events = Wizard(encoding=kind).read(path)
        return {key: events[key] for key in "xypt"}
    if kind == "aedat4":
        import aedat  # pyright: ignore[reportMissingImports]

        decoder = aedat.Decoder(path)
        streams = [number for number, about in decoder.id_to_stream().items() if about["type"] == "events"]
        if not streams:
            raise Refused("it has no stream of events")
        packets = [packet["events"] for packet in decoder if packet["stream_id"] == min(streams)]
        if not packets:
            raise Refused("it holds no events")
        events = np.concatenate(packets)
        names = fields(events.dtype.names)
        if names is None:
            raise Refused(f"its events have fields {events.dtype.names}")
        return {key: events[name] for key, name in names.items()}
    return _hdf5(path, limit_bytes)


def missing_filter(column: Any) -> str:
    """The name of the HDF5 filter that a dataset is packed by and this machine lacks, '' where there is none."""
    import h5py

    how = column.id.get_create_plist()
    for number in range(how.get_nfilters()):
        code, _, _, name = how.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            return "ECF of Prophesee" if code == ECF else name.decode("ascii", "replace")[:40] or f"filter {code}"
    return ""


def _hdf5(path: str, limit_bytes: int) -> dict[str, Any]:
    """The first group, or table, that holds x, y, t and p; hard links and storage in the file itself alone."""
    import h5py

    found: list[dict[str, Any]] = []

    def look(name: str, item: Any) -> int | None:
        names = fields(list(item)) if isinstance(item, h5py.Group) else fields(item.dtype.names or ())
        if names is None:
            return None
        columns = [item[n] for n in names.values()] if isinstance(item, h5py.Group) else [item]
        for column in columns:
            if not isinstance(column, h5py.Dataset) or column.is_virtual or column.external is not None:
                raise Refused(f"{name!r} keeps its data outside the file")
            packed = missing_filter(column)
            if packed:
                raise Refused(f"{name!r} is packed by {packed}, which is not installed; repack it: h5repack -f NONE")
            if column.ndim != 1 or column.size * column.dtype.itemsize > limit_bytes:
                raise Refused(f"{name!r} has shape {column.shape} of {column.dtype}; expected one value per event")
        if isinstance(item, h5py.Group):
            held: dict[str, Any] = {key: item[n] for key, n in names.items()}
            found.append({key: column[()] for key, column in held.items()})
        else:
            rows: Any = item[()]
            found.append({key: rows[n] for key, n in names.items()})
        return 1

    with h5py.File(path, "r") as file:
        if fields(list(file)) is not None:
            look("/", file)
        else:
            file.visititems(look)
    if not found:
        raise Refused("no group or table with x, y, t and p is in it")
    return found[0]


def main(listed: str, limit_bytes: int, seconds: int) -> int:
    rows = json.loads(Path(listed).read_text(encoding="utf-8"))

    def all_of_them(reader: Reader) -> dict[str, Any]:
        import numpy as np

        groups = {}
        for number, (path, kind) in enumerate(rows):
            arrays = {}
            for key, column in read(path, kind, limit_bytes).items():
                value = np.ascontiguousarray(column)
                if value.dtype.kind not in "fiub" or value.nbytes > limit_bytes - reader.offset:
                    raise Refused(f"{value.size} values of {value.dtype}; at most {limit_bytes} bytes are read")
                arrays[key] = reader.array(value, list(value.shape))
            groups[str(number)] = {"group": arrays}
        return {"group": groups}

    return respond(Reader(limit_bytes), seconds, all_of_them, "recording")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
