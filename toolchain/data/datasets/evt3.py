"""Prophesee's EVT 3.0, which no library that we found reads rightly, in NumPy.

expelliarmus 1.1.12 adds 4,096 microseconds to its clock whenever the lower half of the time falls, though the upper
half has stepped on already (a real recording of 8.8 ms lasts 53.9 ms); faery 0.7.1 lets no time fall back behind a
stray word, which moves events by up to 11 microseconds. Tests compare: files of faery event for event, a real one with
both up to these.

A word of 16 bits, little-endian, has its type in the upper 4: 0 row, 2 an event's column, 3 the first column of a
vector, 4 and 5 vectors of 12 and 8 neighbours, 6 and 8 the lower and upper 12 bits of the microseconds; others are no
events of pixels. Bit 11 of types 2 and 3 is the polarity.
"""

from __future__ import annotations

import numpy as np

from snnas.hw_sim.errors import InvalidFileError
from snnas.toolchain.data.datasets.events import Events
from snnas.toolchain.data.datasets.raw import Array

_ROW, _COLUMN, _BASE, _VECTOR_12, _VECTOR_8, _LOW, _HIGH = 0, 2, 3, 4, 5, 6, 8
_CHUNK = 1 << 20  # words at a time: bounds the memory
_MAX_EVENTS = 1 << 27
_HALF = 1 << 11


def read_evt3(data: bytes, where: str) -> Events:
    """All events in the order of the file; those before the first row and upper time are left out: theirs is unknown.

    Raises InvalidFileError.
    """
    start = 0
    while data.startswith(b"%", start):
        end = data.find(b"\n", start)
        if end < 0:
            raise InvalidFileError(
                f"{where}: its header has no end, expected lines of '%' and then events; it is damaged"
            )
        last, start = data[start:end].strip(), end + 1
        if last == b"% end":
            break
    words = np.frombuffer(data, "<u2", count=(len(data) - start) // 2, offset=start)
    parts, events, turns = list[tuple[Array, ...]](), 0, 0
    state = words[:0]
    for place in range(0, len(words), _CHUNK):
        part, state, turns = _decoded(np.concatenate([state, words[place : place + _CHUNK]]), turns)
        events += len(part[0])
        if events > _MAX_EVENTS:
            raise InvalidFileError(f"{where} holds over {_MAX_EVENTS} events; cut it into shorter recordings")
        parts.append(part)
    if not parts:
        return Events(*[np.zeros(0, np.int64)] * 4)
    return Events(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _decoded(words: Array, turns: int) -> tuple[tuple[Array, ...], Array, int]:
    """x, y, p, t of the words; the words that say again what holds at their end; and how often the clock ran over.

    turns: how often it had before.
    """
    kinds, values = words >> 12, (words & 4095).astype(np.int64)
    places = np.arange(len(words))
    row, low, high, base = (
        np.maximum.accumulate(np.where(kinds == kind, places, -1)) for kind in (_ROW, _LOW, _HIGH, _BASE)
    )
    highs = values[kinds == _HIGH]
    turned = turns + np.concatenate([[0], np.cumsum(np.diff(highs) < -_HALF)]).astype(np.int64)
    nth = np.cumsum(kinds == _HIGH) - 1  # of the upper halves, the one that holds
    long, short = kinds == _VECTOR_12, kinds == _VECTOR_8
    before = np.cumsum(12 * long + 8 * short) - (12 * long + 8 * short)  # columns that vectors before a word took
    columns, vectors = np.flatnonzero(kinds == _COLUMN), np.flatnonzero((long | short) & (base >= 0))
    bits = (values[vectors, None] >> np.arange(12)) & 1
    bits[short[vectors], 8:] = 0
    which, bit = np.nonzero(bits)
    of = vectors[which]
    word = np.concatenate([columns, of])
    x = np.concatenate([values[columns] & 2047, (values[base[of]] & 2047) + before[of] - before[base[of]] + bit])
    p = np.concatenate([values[columns], values[base[of]]]) >> 11
    order = np.argsort(16 * word + np.concatenate([np.zeros_like(columns), bit]), kind="stable")
    word, x, p = word[order], x[order], p[order]
    known = np.minimum(row, high)[word] >= 0
    word, x, p = word[known], x[known], p[known]
    lower = np.where(low[word] >= 0, values[low[word]], 0)
    t = ((turned[nth[word]] << 12 | values[high[word]]) << 12) | lower
    said = [int(place[-1]) for place in (row, low, high) if len(words) and place[-1] >= 0]
    state = [int(words[place]) for place in said]
    if len(words) and base[-1] >= 0:
        first = int(values[base[-1]])
        column = (first & 2047) + int((before + 12 * long + 8 * short)[-1] - before[base[-1]])
        state.append(_BASE << 12 | first & _HALF | column & 2047)
    return (x, values[row[word]], p, t), np.array(state, dtype=words.dtype), int(turned[-1]) if len(highs) else turns
