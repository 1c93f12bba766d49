"""The guarded child that reads a data set by tonic: ``python -I tonic_child.py REQUEST LIMIT_BYTES SECONDS``.

REQUEST is a JSON file: name (of tonic.datasets), save_to, parts (values of ``train`` or ``split``), argument ('train',
'split' or ''), others (further arguments by name), and start: [number of a part, row] from which events are wanted, or
null for labels and sensor. The answer is in the form of ``hdf5_child``. Nothing is downloaded, and nothing that tonic
prints is taken for the answer.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # -I leaves out the working folder and the script's own
    sys.path.insert(0, str(Path(__file__).absolute().parents[4]))

from snnas.export.formats.hdf5_child import Reader, Refused, respond


def opened(request: dict[str, Any], part: Any) -> Any:
    """The data set of one part, of the files that are there."""
    import tonic

    made = getattr(tonic.datasets, request["name"])

    def refuse(self: Any, *args: Any) -> None:
        raise Refused(f"the files of {made.__name__} are not in {self.location_on_system}")

    here = type(made.__name__, (made,), {"download": refuse, "_check_exists": lambda self: True})
    chosen = {request["argument"]: part} if request["argument"] else {}
    return here(request["save_to"], **chosen, **request["others"])


def labels(reader: Reader, request: dict[str, Any]) -> dict[str, Any]:
    """Labels of all parts as text, how many each has, and the folder of the files.

    sensor: (W, H, P), zeros where tonic does not know it.
    """
    import numpy as np

    texts, counts, sensor, folder = list[str](), list[int](), None, ""
    for part in request["parts"]:
        data = opened(request, part)
        sensor, folder = getattr(data, "sensor_size", None), str(data.location_on_system)
        targets = getattr(data, "targets", None) or []
        if len(targets) != len(data):
            targets = [data[row][1] for row in range(len(data))]
        if not all(np.ndim(target) == 0 for target in targets):
            raise Refused(f"{request['name']} gives {type(targets[0]).__name__} for a sample, expected a label")
        texts += [str(target) for target in targets]
        counts.append(len(targets))
    sizes = np.array(sensor if sensor is not None else (0, 0, 0), dtype="<i8")
    return {
        "group": {
            "labels": {"strings": texts, "shape": [len(texts)]},
            "counts": reader.array(np.array(counts, dtype="<i8"), [len(counts)]),
            "sensor": reader.array(sizes, [3]),
            "folder": {"strings": [folder], "shape": [1]},
        }
    }


def _tables(request: dict[str, Any], number: int, first: int) -> Iterator[Any]:
    for part in request["parts"][number:]:
        data = opened(request, part)
        yield from (data[row][0] for row in range(first, len(data)))
        first = 0


def events(reader: Reader, request: dict[str, Any]) -> dict[str, Any]:
    """x, y, p and t of as many rows as a quarter of the limit holds, part after part; ``lengths``: events of each."""
    import numpy as np

    number, first = request["start"]
    columns: dict[str, list[Any]] = {key: [] for key in "xypt"}
    held = 0
    for table in _tables(request, number, first):
        names = getattr(getattr(table, "dtype", None), "names", None) or ()
        if not {"x", "t", "p"} <= set(names):
            raise Refused(f"{request['name']} gives {type(table).__name__} {names}, expected events with x, t and p")
        for key, column in columns.items():
            column.append(np.asarray(table[key] if key in names else np.zeros(len(table))).astype("<i8"))
        held += 32 * len(table)
        if held > reader.limit_bytes // 4:
            break
    if held > reader.limit_bytes:
        raise Refused(f"{held // 32} events at a time; at most {reader.limit_bytes} bytes are read")
    lengths = np.array([len(column) for column in columns["t"]], dtype="<i8")
    found = {key: np.concatenate(column) for key, column in columns.items()} | {"lengths": lengths}
    return {"group": {key: reader.array(value, [len(value)]) for key, value in found.items()}}


def answer(reader: Reader, request: dict[str, Any]) -> dict[str, Any]:
    """``labels`` or ``events``, as asked; Refused for whatever tonic raises."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return labels(reader, request) if request["start"] is None else events(reader, request)
    except Refused:
        raise
    except Exception as error:  # tonic checks little: a damaged file may end in any of them
        raise Refused(f"tonic cannot read it ({type(error).__name__}: {error})") from None


def main(path: str, limit_bytes: int, seconds: int) -> int:
    import tonic  # before the limits: importing it is not the file's doing

    assert tonic
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    return respond(Reader(limit_bytes), seconds, partial(answer, request=request))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
