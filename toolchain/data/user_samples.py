"""A user's samples for a program of anybody's: read without trust, in the shape and range that the program takes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snnas.export.formats.npz_file import read_npz
from snnas.hw_sim.errors import InvalidFileError, UsageError, exact
from snnas.hw_sim.program import Program, Shape
from snnas.hw_sim.signals import SignalInput, held, slices
from snnas.hw_sim.tables import read_table
from snnas.toolchain.data.datasets.series import read_series

ARRAYS = "arrays"  # what samples without a file are called


def read_files(name: str, meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The signals (N, L, C) of a .ts file or a folder of .csv files, and their labels: the test split, or all.

    meta: of the program, which may say that signals are stretched to one length, or cut into several of that length:
    one after the other, without overlap, so that they may be run in a row.
    """
    found = read_series(Path(name))
    test = found.parts == "test"
    wanted = test if test.any() else ~test
    y = found.y[wanted]
    samples = [sample for sample, is_wanted in zip(found.samples, wanted, strict=True) if is_wanted]
    signal = None if meta.get("signal") is None else SignalInput.of(meta["signal"], name)
    if signal is not None and signal.sliced:
        pieces = [slices(sample, signal.length) for sample in samples]
        return np.concatenate(pieces), np.repeat(y, [len(piece) for piece in pieces])
    length, fit = max(len(sample) for sample in found.samples), held
    if signal is not None and signal.stretched:
        length, fit = signal.length, signal.fit
    return np.stack([fit(sample[None], length)[0] for sample in samples]), y


def sliced_arrays(x: np.ndarray, y: np.ndarray | None, meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The same, of signals (N, L) or (N, L, C) of an .npz, where a program was trained on slices of such."""
    if meta.get("signal") is None or x.ndim not in (2, 3):
        return x, y
    signal = SignalInput.of(meta["signal"], ARRAYS)
    if not signal.sliced:
        return x, y
    pieces = np.stack([slices(sample, signal.length) for sample in x])
    return pieces.reshape(-1, *pieces.shape[2:]), None if y is None else np.repeat(y, pieces.shape[1])


def read_arrays(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The arrays x and y of a user's file; y may be absent."""
    if not Path(name).is_file():
        raise UsageError(f"--data {name}: no such file; name an .npz with x and, for accuracy, y")
    arrays = read_npz(name, what="data file", by="numpy.savez", text=True)
    x, y = arrays.get("x"), arrays.get("y")
    with zipfile.ZipFile(name) as archive:
        of_text = {"x.npy", "y.npy"} & {*archive.namelist()} - {f"{key}.npy" for key in arrays}
    if of_text:
        raise InvalidFileError(
            f"{name}: {min(of_text)[0]} holds text; expected numbers, and of labels whole ones: "
            "numpy.unique(y, return_inverse=True)[1]"
        )
    if x is None:
        held = ", ".join(name[:60] for name in list(arrays)[:20]) or "no array"
        raise InvalidFileError(
            f"{name}: holds {held}; expected x and, for accuracy, y; write it again with numpy.savez"
        )
    return checked_arrays(x, y, name)


def given_arrays(x: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples that Python holds, as those of a file: whatever NumPy can make an array of, torch's tensors among it."""
    return checked_arrays(_as_array(x, "x"), None if y is None else _as_array(y, "y"), ARRAYS)


def _as_array(value: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise InvalidFileError(f"{ARRAYS}: {name} is no array ({' '.join(str(error).split())[:120]})") from None


def checked_arrays(x: np.ndarray, y: np.ndarray | None, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Finite numbers x, and whole numbers y, one for each; InvalidFileError names the array and what was expected."""
    what = f"{x.dtype} {x.shape}" if x.dtype.kind not in "fiub" or 0 in x.shape else ""
    if what or not np.isfinite(x).all():
        found = what or "not finite everywhere"
        raise InvalidFileError(f"{name}: array x is {found}; expected finite numbers (N, C, H, W) or (N, T, C, H, W)")
    if y is not None and y.shape == (len(x), 1):
        y = y.ravel()
    if y is not None and (y.dtype.kind not in "iu" or y.shape != (len(x),)):
        first = x.ndim > 2 and y.ndim == 1 and x.shape[1] == len(y)
        mend = f": x is {x.shape}, put its samples first and time second" if first else ""
        mend = "; of one-hot labels give y.argmax(1)" if y.ndim == 2 and len(y) == len(x) else mend
        raise InvalidFileError(
            f"{name}: array y is {y.dtype} {y.shape}; expected one whole number per sample of x{mend}"
        )
    return x.astype(x.dtype.newbyteorder("="), copy=False), y  # torch takes this machine's byte order alone


def check_labels(y: np.ndarray | None, outputs: int, name: str) -> None:
    """InvalidFileError for a label that is none of the model's outputs."""
    if y is not None and y.size and (y.min() < 0 or y.max() >= outputs):
        low, high = int(y.min()), int(y.max())
        mend = "numbered from 1? subtract 1" if low == 1 and high == outputs else "number them as the outputs are"
        raise InvalidFileError(
            f"{name}: labels in {low}..{high}; the model has {outputs} output{'s' * (outputs != 1)}, expected "
            f"0..{outputs - 1}: {mend}"
        )


def run_seed(path: Path) -> int:
    """The seed of the run that a file or folder lies in, so that its test split is the one it never saw; else 0."""
    for run in path.resolve().parents[:3]:
        if (run / "run.toml").is_file():
            seed = read_table(run / "run.toml").get("seed")
            return seed if type(seed) is int and seed >= 0 else 0
    return 0


def scaled(x: np.ndarray, kind: str) -> np.ndarray:
    """Images of bytes become 0..1, as in training; spikes and counts stay what they are."""
    if kind != "analogue":
        if x.min() < 0 or (kind == "spikes" and not bool(((x == 0) | (x == 1)).all())):
            raise InvalidFileError(
                f"the samples lie in {exact(x.min())}..{exact(x.max())}; expected "
                f"{'0 and 1 alone' if kind == 'spikes' else 'counts >= 0'}, or give --input-kind analogue"
            )
        return x
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)


def check_range(x: np.ndarray, program: Program, name: str) -> None:
    """InvalidFileError outside the range that the program was compiled for: its registers might overflow."""
    low, high = program.input_range
    if program.input_kind == "analogue" and (x.min() < low or x.max() > high):
        raise InvalidFileError(
            f"{name}: x lies in {exact(x.min())}..{exact(x.max())}; the program takes {low:g}..{high:g}: rescale it"
        )


def frames(x: np.ndarray, shape: Shape, name: str) -> np.ndarray:
    """Gives x as (N, C, H, W) or (N, T, C, H, W); a flat input takes any shape of that many values, C-order.

    One of height 1, which a graph calls (C, L), takes (N, C, L) and (N, T, C, L) too.
    """
    c, height, length = shape
    for sample_axes in (1, 2):
        rest = x.shape[sample_axes:]
        flat = bool(rest) and (height, length) == (1, 1) and int(np.prod(rest)) == c
        if rest == shape or flat or (height == 1 and rest == (c, length)):
            return x.reshape(*x.shape[:sample_axes], *shape)
    raise InvalidFileError(f"{name}: a sample of x has shape {x.shape[1:]}; the model takes {shape}, or T of them")


def of_signals(
    x: np.ndarray, meta: Mapping[str, Any], limits: tuple[float, float], shape: Shape, timesteps: int, name: str
) -> np.ndarray:
    """Signals (N, L) or (N, L, C) as what the program is given, where ``meta`` says that it was trained on signals.

    As in training: encoded by the constants that stand there, values cut off at ``limits``. Frames stay what they are.
    """
    if meta.get("signal") is None or x.ndim not in (2, 3):
        return x
    signal = SignalInput.of(meta["signal"], name)
    x = x.reshape(*x.shape[:2], -1)
    wanted = (timesteps, *shape)
    made = signal.shape(x.shape[2])
    still = made[0] == 1 and not signal.spikes
    if made[still:] != wanted[still:]:
        raise InvalidFileError(
            f"{name}: a sample of x is {x.shape[1]} samples of {x.shape[2]} channels, which make {made}; the program "
            f"takes {wanted}: expected {shape[0] // signal.lines} channels, (N, L, C); where "
            "channels stand before time store x.transpose(0, 2, 1)"
        )
    made_of_it = signal.apply(x)
    return made_of_it if signal.spikes else made_of_it.clip(*limits)


def repeated(x: np.ndarray, timesteps: int, kind: str) -> np.ndarray:
    """Spikes are one frame per timestep; a static frame of them is shown at every one."""
    if kind == "analogue" or x.ndim == 5:
        return x
    return np.broadcast_to(x[:, None], (len(x), timesteps, *x.shape[1:]))
