"""model.net of an export folder: what its program gives, written once more."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.hdf5_guard import Tree, read_hdf5
from snnas.export.formats.netx_file import why_not, write_net
from snnas.hw_sim.files import read_bytes
from snnas.hw_sim.program import Program
from snnas.toolchain.checking.findings import Book, amount_of, written_otherwise

NET = "model.net"


def check_net(book: Book, program: Program, report: Mapping[str, Any], version: str) -> None:
    """SN316, of a folder that holds a model.net, and of one whose report says that it does.

    What the report says is held against the program elsewhere (SN307). version: of the snnas that wrote it; another one
    may write it otherwise.
    """
    place, reason = book.subject / NET, why_not(program)
    if not place.is_file():
        if report.get("netx") == NET and reason is None:
            book.add("SN316", "netx", "failed", "report.json says that it is there; export again", place)
        return
    if reason is not None:
        why = f"netx cannot hold the program ({reason}), so that nothing gives it; export again"
        book.add("SN316", "netx", "failed", why, place)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / NET
        write_net(made, program)
        odd = [] if read_bytes(made) == read_bytes(place) else _odd(read_hdf5(made), read_hdf5(place))
    problem = f"{', '.join(odd[:6])}: not what program.npz gives; {written_otherwise(version)}"
    layers = amount_of(len(program.populations), "layer")
    book.judge("SN316", "netx", problem if odd else None, f"{layers} as written again", place)


def _odd(made: Tree, held: Tree) -> list[str]:
    """What is not in both alike, by path. Files of one content differ with the library that wrote them."""
    ours, theirs = dict(_parts(made)), dict(_parts(held))
    return sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))


def _parts(tree: Tree, above: str = "") -> Iterator[tuple[str, object]]:
    """Path and content of every entry of a file."""
    for name, item in tree.items():
        path = f"{above}{name}"
        if isinstance(item, dict):
            yield path, "a group"
            yield from _parts(item, f"{path}/")
        else:
            values = np.asarray(item)
            yield (
                path,
                (values.dtype.str, values.shape, values.tolist() if values.dtype.hasobject else values.tobytes()),
            )
