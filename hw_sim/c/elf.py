"""Reads 32-bit ELF files, as much as an emulator and a count of bytes need. A compiler of ours wrote them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

LOAD, SYMTAB, NOBITS = 1, 2, 8
WRITE, ALLOC = 1, 2


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of memory: where, how much, and where in the file its beginning lies (the rest is zero)."""

    address: int
    size: int
    offset: int
    held: int


@dataclass(frozen=True, slots=True)
class Elf:
    """segments; symbols {name: (address, size)}; flash: bytes of code and constants; ram: bytes of static memory."""

    segments: tuple[Segment, ...]
    symbols: dict[str, tuple[int, int]]
    flash: int
    ram: int
    undefined: tuple[str, ...]


def read(path: Path) -> Elf:
    """A little-endian 32-bit ELF."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        raise ValueError(f"{path}: no little-endian 32-bit ELF")
    phoff, shoff = struct.unpack_from("<II", data, 28)
    phsize, phnum, shsize, shnum = struct.unpack_from("<HHHH", data, 42)
    headers = [struct.unpack_from("<8I", data, phoff + k * phsize) for k in range(phnum)]
    segments = [Segment(h[2], h[5], h[1], h[4]) for h in headers if h[0] == LOAD and h[5]]
    sections = [struct.unpack_from("<10I", data, shoff + k * shsize) for k in range(shnum)]
    symbols, undefined = dict[str, tuple[int, int]](), list[str]()
    for _, kind, _, _, offset, size, link, _, _, each in sections:
        if kind != SYMTAB:
            continue
        names = sections[link][4]
        for at in range(offset, offset + size, each):
            name, value, length, _, _, section = struct.unpack_from("<IIIBBH", data, at)
            text = data[names + name : data.index(b"\0", names + name)].decode("ascii", "replace")
            if text and section:
                symbols[text] = value, length
            elif text:
                undefined.append(text)
    held = [(flags, size) for _, kind, flags, _, _, size, *_ in sections if flags & ALLOC]
    return Elf(
        tuple(segments),
        symbols,
        sum(size for flags, size in held if not flags & WRITE),
        sum(size for flags, size in held if flags & WRITE),
        tuple(undefined),
    )
