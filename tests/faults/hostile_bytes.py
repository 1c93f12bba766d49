"""Changes to bytes that know no format: flips, extremes, cuts, copies, splices, and what means something to many."""

from __future__ import annotations

import struct
from random import Random

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63)
WORDS = (b"\0", b"\n", b"\r\n", b"\x1b[2J", b"../", b"/etc/passwd", b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b", b"%n%s")


def scrambled(rng: Random, data: bytes, *, changes: int = 8, front: int = 0) -> bytes:
    """One to ``changes`` changes; half of them within the first ``front`` bytes, where a format keeps its structure."""
    out = bytearray(data)
    for _ in range(rng.randint(1, changes)):
        reach = min(front, len(out)) if front and rng.random() < 0.5 else len(out)
        _change(rng, out, rng.randrange(reach) if reach else 0)
    return bytes(out)


def _change(rng: Random, out: bytearray, at: int) -> None:
    kind = rng.randrange(9)
    size = 1 << rng.randrange(10)
    if kind <= 2 and at < len(out):
        out[at] = out[at] ^ (1 << rng.randrange(8)) if kind else rng.randrange(256)
    elif kind == 3:
        width = rng.choice("BHIQ")
        value = rng.choice(EXTREMES) & (256 ** struct.calcsize(width) - 1)
        piece = struct.pack(rng.choice("<>") + width, value)
        out[at : at + len(piece)] = piece
    elif kind == 4:
        del out[at : at + size]
    elif kind == 5:
        out[at:at] = out[at : at + size]
    elif kind == 6:
        start = rng.randrange(len(out) + 1)
        out[at : at + size] = out[start : start + size]
    elif kind == 7:
        out[at:at] = rng.choice(WORDS)
    elif rng.random() < 0.5:
        del out[at:]
    else:
        out[at : at + size] = bytes([rng.choice((0, 0xFF))]) * min(size, 256)
