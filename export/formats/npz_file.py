"""Named arrays in one .npz file: written byte for byte the same each time, read without trusting a byte.

``golden.npz``, the record that every back end is compared with, is such a file (B samples, T timesteps):

* ``currents.<population>``: int32 (B, T or 1, C, H, W), what the host injects, in weight units; or, for spike inputs,
  ``input.spikes``: uint8 (B, T, C, H, W), 0 or 1;
* ``spikes.<population>``: uint8 (B, T, ceil(N / 8)), ``np.packbits`` of the N = C*H*W neurons in C-order;
* ``logits``: int64 (B, classes), in 1/64 of a weight unit; ``labels``: int64 (B,).
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.hw_sim.files import whole
from snnas.hw_sim.lava import run_lava  # the file that travels alone holds the one reader

LIMIT_BYTES = run_lava.LIMIT_BYTES
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's earliest date, so that equal arrays give equal bytes


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes ``arrays`` in their order; deterministic bytes, whole or not at all.

    TypeError for arrays of objects. OSError where the disk refuses (nothing is left behind).
    """
    path = Path(path)
    with (
        whole(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for key, array in arrays.items():
            _write_entry(archive, key, np.asarray(array))


def _write_entry(archive: zipfile.ZipFile, key: str, array: np.ndarray) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"array {key!r} is of {array.dtype}; only booleans, integers and floats are written")
    little = np.require(array, dtype=array.dtype.newbyteorder("<"), requirements="C")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, little, version=(1, 0), allow_pickle=False)
    info = zipfile.ZipInfo(f"{key}.npy", date_time=_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o644 << 16
    archive.writestr(info, buffer.getvalue())


def read_npz(
    path: str | os.PathLike[str],
    *,
    limit_bytes: int = LIMIT_BYTES,
    what: str = "array file",
    by: str = "snnas export",
    text: bool = False,
) -> dict[str, np.ndarray]:
    """The arrays of ``path``; InvalidFileError, one line that starts with ``what`` and the path, for anything else.

    No pickle; sizes are checked against the declared ones and ``limit_bytes`` before memory is taken. by: what writes
    such files.
    """
    try:
        return run_lava.read_npz(os.fspath(path), limit_bytes, text=text)
    except run_lava.BadFile as error:
        raise InvalidFileError(f"{what} {os.fspath(path)}: {error}; write it again with {by}", code="SN101") from None
