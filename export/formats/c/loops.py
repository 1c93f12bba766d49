"""How often the loop bodies of a synapse run in a timestep: the counts that a cost model multiplies.

They follow ``synapses`` (scattered) and ``gather``, border by border; spikes lie evenly over a source's neurons.
"""

from __future__ import annotations

import numpy as np

from snnas.export.formats.c.instructions import Work
from snnas.export.formats.c.plan import ROWS, Connection, Layout, Unit, layout, up, words
from snnas.export.formats.c.runtime import turns
from snnas.hw_sim.program import LinearMap, Pool, Shape

CHUNK = 16  # channels whose sums are held together: eight registers


def few(bits: int) -> str:
    """Weights of fewer than 8 bits are unpacked."""
    return "" if bits == 8 else f"_of_{bits}"


def chunks(n: int) -> list[tuple[int, int, int]]:
    """(first channel, how many chunks, their size): whole ones, and one with the rest."""
    whole = n // CHUNK
    found = [(0, whole, CHUNK)] if whole else []
    return found + ([(whole * CHUNK, 1, n - whole * CHUNK)] if n % CHUNK else [])


def reach(size: int, kernel: int, stride: int, pad: int) -> float:
    """How many windows hold a place along an axis, on average."""
    first = np.arange(0, size + 2 * pad - kernel + 1, stride) - pad
    return float((np.minimum(first + kernel, size) - np.maximum(first, 0)).clip(0).sum()) / size


def of_map(m: LinearMap, source: Shape) -> tuple[float, float]:
    """``reach`` of a convolution down and across."""
    return _reaches(m.weight.shape[2:], m.stride, m.pad, source)


def found(source: Shape, rate: float) -> Work:
    """The spikes of a source, found in its words."""
    n = _size(source)
    return Work({"word": float(words(n)), "event": rate * n})


def scattered(m: LinearMap, source: Shape, to: Layout, lanes: int, fired: float, bits: int) -> Work:
    """What ``fired`` values of a source bring by a convolution without pools, finding them left aside."""
    n = m.weight.shape[0] // m.groups
    down, across = of_map(m, source)
    taps = fired * down * across
    made = _located(source, fired, m.weight.shape[2:], m.stride)
    if to.aligned and (m.groups == 1 or n % ROWS == 0):
        return made + Work({"row": fired * down, "tap": taps}) + _added(up(n, ROWS), lanes, bits, taps)
    if n == 1:
        return made + Work({"row": fired * down, f"{single(to, lanes)}_weight{few(bits)}": taps})
    return made + Work({"row": fired * down, "tap_singly": taps, f"entry_{lanes}{few(bits)}": taps * n})


def single(to: Layout, lanes: int) -> str:
    """How one value is added to one place."""
    known = lanes == 2 and to.stride % 2 == 0 and to.pixels > 1
    return "one" if known or lanes == 1 else f"one_{lanes}"


def listed(m: LinearMap, source: Shape, lanes: int, rate: float, bits: int) -> Work:
    """A sparse matrix."""
    return found(source, rate) + Work({"tap_listed": rate * _size(source), f"listed{few(bits)}": rate * m.weight.size})


def rows(places: int, source: Shape, lanes: int, fired: float, bits: int) -> Work:
    """A matrix whose spikes, or counts, are scattered, finding them left aside."""
    return Work({"tap_flat": fired}) + _added(places, lanes, bits, fired)


def gathered(m: LinearMap, source: Shape, to: Layout, rate: float, bits: int) -> Work:
    """A gathered convolution; rate: spikes per source neuron."""
    n, c, _, kw = m.weight.shape
    down, across = of_map(m, source)
    taps = rate * _size(source) * down * across
    parts = chunks(n)
    each = sum(count for _, count, _ in parts)
    fours = sum(count * (up(size, ROWS) // ROWS) for _, count, size in parts)
    short = kw * c <= 32
    rows_inside = to.pixels * each * down * source[1] / to.shape[1]
    return Work({
        "window": float(to.pixels), "chunk": float(to.pixels * each),
        "window_row" if short else "long_row": rows_inside * (1 if short else 1 + kw * c / 32),
        "gathered": taps * each, f"four_g{few(bits)}": taps * fours,
        # A chunk in whose window nothing fires adds nothing.
        "added": to.pixels * fours * _some(rate, taps / max(rate * to.pixels, 1e-9)),
    })  # fmt: skip


def gathered_rows(places: int, source: Shape, rate: float, bits: int) -> Work:
    """Likewise of a matrix."""
    size, parts = _size(source), chunks(places)
    each = sum(count for _, count, _ in parts)
    fours = sum(count * (up(n, ROWS) // ROWS) for _, count, n in parts)
    return Work({
        "chunk": float(each), "word_g": float(words(size) * each),
        "gathered": rate * size * each, f"four_g{few(bits)}": rate * size * fours, "added": fours * _some(rate, size),
    })  # fmt: skip


def pooled(u: Unit, c: Connection, source: Shape, rate: float) -> Work:
    """Pools before the weights count spikes, where there are any; those behind add up all sums of their windows."""
    m, made, shape = c.map, found(source, rate), source
    fired = rate * _size(source)
    for pool in m.pre:
        made += _counted(pool, shape, fired)
        shape = pool.out_shape(shape)
        rate = _some(rate, float(np.prod(pool.kernel)))
        fired = rate * _size(shape)
        made += Work({"cleared_count": float(_size(shape)), "place": float(_size(shape))})
    if m.kind == "dense":
        return made + rows(u.layout.places, shape, u.lanes, fired, c.bits)
    plain = LinearMap(kind="conv", weight=m.weight, stride=m.stride, pad=m.pad, groups=m.groups)
    if not m.post:
        return made + scattered(plain, shape, u.layout, u.lanes, fired, c.bits)
    reached = layout(plain.out_shape(shape))
    made += scattered(plain, shape, reached, 1, fired, c.bits)
    made += Work({"cleared_sum": float(reached.places)})
    shape = reached.shape
    for pool in m.post:
        down, across = _reaches(pool.kernel, pool.stride, pool.pad, shape)
        channels, height, width = shape
        shape = pool.out_shape(shape)
        made += Work({
            "pooled_pixel": float(shape[1] * shape[2]), "pooled_place": float(_size(shape)),
            "pooled_row": channels * height * down * shape[2], "pooled": channels * height * down * width * across,
        })  # fmt: skip
    return made


def _counted(pool: Pool, source: Shape, fired: float) -> Work:
    """What ``fired`` values that a pool before the weights takes cost it."""
    down, across = _reaches(pool.kernel, pool.stride, pool.pad, source)
    made = _located(source, fired, pool.kernel, pool.stride)
    return made + Work({"row": fired * down, "counted": fired * down * across})


def _located(source: Shape, fired: float, kernel: tuple[int, ...], stride: tuple[int, int]) -> Work:
    """Channel, row and column of a value, and the windows that hold it."""
    divided = sum(n > 1 for n in (source[0], source[2]))
    strided = sum(s > 1 for s in stride)
    return Work({"located": fired, "divided": fired * divided, "strided": fired * strided})


def _added(places: int, lanes: int, bits: int, times: float) -> Work:
    """A row of so many places, added up ``times`` times."""
    fours = places // ROWS
    return Work({f"four_{lanes}{few(bits)}": times * fours, "turn_of_row": times * turns(fours)})


def _reaches(
    kernel: tuple[int, ...], stride: tuple[int, int], pad: tuple[int, int], source: Shape
) -> tuple[float, float]:
    down, across = (reach(source[1 + a], kernel[a], stride[a], pad[a]) for a in (0, 1))
    return down, across


def _some(rate: float, of: float) -> float:
    """How often at least one of so many fires."""
    return 1 - (1 - min(rate, 1.0)) ** of


def _size(shape: Shape) -> int:
    return int(np.prod(shape))
