"""Events of address-event cameras: the binary formats of N-MNIST, CIFAR10-DVS and DVS128 Gesture.

tonic 1.7 reads these formats too, and is not used: its ``read_dvs_ibm`` and ``read_dvs_128`` raise on every file (they
unpack two of three values), its DVS128 Gesture and CIFAR10-DVS are re-packed copies and not the official files (1,342
gestures of 1,464), and it downloads and extracts without checks. N-MNIST it reads event for event as ``read_nmnist``
does (a test compares), but takes empty files and pixels outside of the sensor without a word, raises NumPy's errors on
a cut one, and its frames leave events out: docs/data_events.md has the figures.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.raw import Array

MAX_SIDE = 4096  # of a sensor
_NMNIST_OVERFLOW_ROW, _NMNIST_OVERFLOW = 240, 2**13
_AEDAT3_HEADER = struct.Struct("<HHIIIIII")  # type, source, size, offset, overflow, capacity, number, valid
_AEDAT3_POLARITY = 1
_AEDAT3_END = b"#!END-HEADER"
_HEADER_LINES = 1000


@dataclass(frozen=True, slots=True)
class Events:
    """Events in the order of the file, int64 (n,): column x, row y, polarity p (1 = brighter), microseconds t."""

    x: Array
    y: Array
    p: Array
    t: Array

    def __len__(self) -> int:
        return len(self.t)

    def where(self, which: Array) -> Events:
        """Those at the places, or of the mask, ``which``."""
        return Events(self.x[which], self.y[which], self.p[which], self.t[which])

    def between(self, start: int, end: int) -> Events:
        """Those with start <= t < end."""
        return self.where((self.t >= start) & (self.t < end))


def read_nmnist(data: bytes, where: str) -> Events:
    """An N-MNIST recording: 5 bytes an event, x8 | y8 | p1 | t23, big-endian (Orchard et al. 2015).

    Row 240 is no pixel: it says that the clock ran over, by 2^13 microseconds. Raises InvalidFileError.
    """
    if not data or len(data) % 5:
        raise InvalidFileError(f"{where} has {len(data)} bytes, expected a multiple of 5, at least 5; it is damaged")
    b = np.frombuffer(data, np.uint8).astype(np.int64).reshape(-1, 5)
    overflow = b[:, 1] == _NMNIST_OVERFLOW_ROW
    t = ((b[:, 2] & 127) << 16) | (b[:, 3] << 8) | b[:, 4]
    t += np.cumsum(overflow) * _NMNIST_OVERFLOW
    return _within(Events(*(v[~overflow] for v in (b[:, 0], b[:, 1], b[:, 2] >> 7, t))), 34, where)


def read_aedat2(data: bytes, where: str) -> Events:
    """A CIFAR10-DVS recording: AEDAT 2.0, 8 bytes an event, address and microseconds as big-endian uint32.

    The address holds x in bits 1 .. 7, y in 8 .. 14, polarity in 0 (0 = brighter). The picture is turned upright as in
    the readers in use (column 127 - y, row 127 - x). Raises InvalidFileError.
    """
    start = _text_header_end(data, where, b"#!AER-DAT2.")
    if len(data) == start or (len(data) - start) % 8:
        raise InvalidFileError(f"{where} has {len(data) - start} bytes of events, expected a multiple of 8; damaged")
    rows = np.frombuffer(data, ">u4", offset=start).astype(np.int64).reshape(-1, 2)
    address = rows[:, 0]
    return Events(127 - ((address >> 8) & 127), 127 - ((address >> 1) & 127), 1 - (address & 1), rows[:, 1])


def read_aedat2_dvs128(data: bytes, where: str) -> Events:
    """A recording of a DVS128 by jAER: AEDAT 2.0; x in bits 1 .. 7 of the address, y in 8 .. 14, 0 = brighter in 0.

    Bits 15 and 31 mark signals from outside, which are no events of pixels. Upright as ``read_aedat2_davis`` is; in
    CIFAR10-DVS the camera itself lay on its side. Raises InvalidFileError.
    """
    rows = _aedat2_rows(data, where, beside=0x8000_8000)
    address = rows[:, 0]
    return Events(127 - ((address >> 1) & 127), 127 - ((address >> 8) & 127), 1 - (address & 1), rows[:, 1])


def read_aedat2_davis(data: bytes, where: str, width: int, height: int) -> Events:
    """A recording of a DAVIS by jAER: AEDAT 2.0; x in bits 12 .. 21 of the address, y in 22 .. 30, 1 = brighter in 11.

    Bit 31 marks frames and motion sensors, which are no events of pixels, bit 10 signals from outside. jAER counts
    from the lower right; the picture is turned upright, as tonic does. Raises InvalidFileError.
    """
    rows = _aedat2_rows(data, where, beside=0x8000_0400)
    address = rows[:, 0]
    x, y = width - 1 - ((address >> 12) & 1023), height - 1 - ((address >> 22) & 511)
    if len(rows) and min(int(x.min()), int(y.min())) < 0:
        raise InvalidFileError(f"{where}: an event lies outside of {width} x {height} pixels; is it of another camera?")
    return Events(x, y, (address >> 11) & 1, rows[:, 1])


def _aedat2_rows(data: bytes, where: str, *, beside: int) -> Array:
    """int64 (n, 2): address and microseconds, without the rows whose address has a bit of ``beside``."""
    start = _text_header_end(data, where, b"#!AER-DAT2.")
    if (len(data) - start) % 8:
        raise InvalidFileError(f"{where} has {len(data) - start} bytes of events, expected a multiple of 8; damaged")
    rows = np.frombuffer(data, ">u4", offset=start).astype(np.int64).reshape(-1, 2)
    return rows[rows[:, 0] & beside == 0]


def read_aedat3(data: bytes, where: str, side: int = 128) -> Events:
    """A recording of AEDAT 3.1, as DVS128 Gesture's: packets of a 28-byte header and events, little-endian.

    side: of the sensor at the most.
    A polarity event is p in bit 1, y in bits 2 .. 16, x in 17 .. 31, then 31 bits of microseconds, which the packet's
    overflow count goes on from. All events count, those marked invalid too, as in the readers in use. Raises
    InvalidFileError.
    """
    place = _text_header_end(data, where, b"#!AER-DAT3.", end=_AEDAT3_END)
    parts = []
    while place < len(data):
        if len(data) - place < _AEDAT3_HEADER.size:
            raise InvalidFileError(f"{where} ends within the header of a packet; it is damaged")
        kind, _, size, offset, overflow, capacity, number, _ = _AEDAT3_HEADER.unpack_from(data, place)
        place += _AEDAT3_HEADER.size
        if size * capacity > len(data) - place or number > capacity:
            raise InvalidFileError(
                f"{where}: a packet declares {number} of {capacity} events of {size} bytes, and {len(data) - place} "
                f"bytes are left; it is damaged"
            )
        if kind == _AEDAT3_POLARITY and number:
            if (size, offset) != (8, 4) or overflow >= 2**20:
                raise InvalidFileError(f"{where}: polarity events of {size} bytes, expected 8; it is damaged")
            rows = np.frombuffer(data, "<u4", count=2 * number, offset=place).astype(np.int64).reshape(-1, 2)
            parts.append(np.column_stack([rows[:, 0], rows[:, 1] | (overflow << 31)]))
        place += size * capacity
    if not parts:
        raise InvalidFileError(f"{where} holds no polarity events, expected a DVS recording")
    rows = np.concatenate(parts)
    address = rows[:, 0]
    return _within(Events(address >> 17, (address >> 2) & 0x7FFF, (address >> 1) & 1, rows[:, 1]), side, where)


def _text_header_end(data: bytes, where: str, start: bytes, end: bytes | None = None) -> int:
    """Where the lines of '#' end: after the line ``end``, or before the first line that is none."""
    if not data.startswith(start):
        raise InvalidFileError(f"{where} starts with {data[:12]!r}, expected {start.decode()}")
    place = 0
    for _ in range(_HEADER_LINES):
        stop = data.find(b"\n", place)
        if stop < 0:
            break
        if not data.startswith(b"#", place):
            if end is None:
                return place
            break
        line, place = data[place:stop], stop + 1
        if end is not None and line.strip() == end:
            return place
    if end is None and not data.startswith(b"#", place):
        return place  # the events hold no byte 10
    raise InvalidFileError(f"{where}: its header has no end, expected lines of '#' and then events; it is damaged")


def _within(events: Events, side: int, where: str) -> Events:
    if len(events) and max(int(events.x.max()), int(events.y.max())) >= side:
        raise InvalidFileError(
            f"{where}: an event lies at column {int(events.x.max())}, row {int(events.y.max())} at the most, expected "
            f"less than {side}; it is damaged"
        )
    return events
