"""The host stage in integers as C: pixels to currents (``hw_sim/host_stage.py``), once for each frame that is given.

A window's pixels lie side by side with the weights of each channel, two 16-bit numbers in a word, so that a Cortex-M4
or M7 multiplies and adds both in one instruction (SMLAD). Sums of 32 bits are proved to fit, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.export.compiler.adjoint import matrix_of
from snnas.export.formats.c.packing import array, smallest
from snnas.export.formats.c.plan import Plan, Unit, up
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.host_stage import IntegerStage, integer_stages
from snnas.hw_sim.program import LinearMap, Program, Shape

MATRIX = 1 << 24  # entries of a matrix that is written out where maps are joined
WINDOW = 1 << 12  # pixels that a window holds on the stack
STRAIGHT = 8  # pairs of pixels whose products are written out

DOT = """#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#include <arm_acle.h>
#define SNNAS_DOT(w, x, sum) __smlad((int16x2_t)(w), (int16x2_t)(x), sum)
#else
#define SNNAS_DOT(w, x, sum) \\
    ((sum) + (int16_t)(w) * (int16_t)(x) + (int16_t)((w) >> 16) * (int16_t)((x) >> 16))
#endif
"""


@dataclass(frozen=True, slots=True)
class Host:
    """The C of the host stage. arrays: its weights; functions: ``host(t, frame)`` and what it calls."""

    arrays: tuple[str, ...] = ()
    functions: str = ""


def host(plan: Plan) -> Host:
    """Of a program whose host stage computes in integers; nothing of any other."""
    given = plan.program.host_integers
    if given is None:
        return Host()
    arrays, functions, calls, first = list[str](), DOT + "\n", "", 0
    for h in plan.program.host:
        if h.distance:
            raise UnsupportedError(
                f"host map {h.id}: injected {h.distance} timesteps late; target c with --host int injects at once: "
                "export with --host float"
            )
    for unit, stage in stages(plan):
        weights, body = _one(unit, stage, plan.program.input_shape, given.zero)
        arrays += weights
        rounds = f"(int32_t)(((uint32_t)sum + 0x{(1 << 31) + (1 << stage.shift >> 1):x}u) >> {stage.shift})"
        rounds += f" - {1 << 31 - stage.shift}" if stage.shift else ""
        result = f"{rounds}" if stage.shift else "sum"
        kind = plan.current
        functions += f"""/* What the host injects into {unit.population.id}. */
static inline {kind} rounded_{unit.index}(int32_t sum)
{{
    return ({kind})({result});
}}

static void host_{unit.index}(const uint8_t *frame, {kind} *out)
{{
{body}}}

"""
        at = f"t->currents + {first}u" if first else "t->currents"
        calls += f"    host_{unit.index}(frame, {at});\n"
        first += unit.population.size
    return Host(tuple(arrays), f"{functions}static void host(snnas_state *t, const uint8_t *frame)\n{{\n{calls}}}\n")


def pixel(program: Program) -> str:
    """The formula by which a value x becomes a pixel, before it is rounded, with every step where channels differ."""
    given = program.host_integers
    assert given is not None
    if not given.finer:
        return f"x / {given.step!r} + {given.zero}"
    steps = ", ".join(repr(float(step)) for step in given.steps(len(given.finer)))
    return f"x / step + {given.zero}, step of its channel {steps}"


def stages(plan: Plan) -> list[tuple[Unit, IntegerStage]]:
    """The populations that a host stage in integers drives, and theirs; none of any other."""
    if not plan.integers:
        return []
    found = integer_stages(plan.program)
    return [(u, found[u.population.id]) for u in plan.hosted]


def windowed(stage: IntegerStage, source: Shape) -> LinearMap | None:
    """The convolution by which a stage is computed window by window; None: as a matrix, neuron by neuron.

    A dense map is one window of all pixels.
    """
    if len(stage.maps) != 1:
        return None
    ((_, m),) = stage.maps
    if m.kind == "dense":
        m = LinearMap(kind="conv", weight=m.weight.reshape(-1, *source))
    plain = m.kind == "conv" and m.groups == 1 and not (m.pre or m.post)
    return m if plain and int(np.prod(m.weight.shape[1:])) <= WINDOW else None


def _one(unit: Unit, stage: IntegerStage, source: Shape, zero: int) -> tuple[list[str], str]:
    """The arrays of a population's host stage, and the body of its function."""
    m = windowed(stage, source)
    if m is None:
        return _matrix(unit, stage, source, zero)
    n = m.weight.shape[0]
    out = unit.population.shape if unit.population.shape[0] == n else (unit.population.size, 1, 1)
    return _windows(unit, m, source, zero, out)


def _windows(unit: Unit, m: LinearMap, source: Shape, zero: int, out: Shape) -> tuple[list[str], str]:
    """Window by window: its pixels in pairs, then each channel's sum."""
    (c, h, w), (_, height, width) = source, out
    o, _, kh, kw = m.weight.shape
    n = c * kh * kw
    pairs = up(n, 2) // 2
    flat = np.pad(m.weight.reshape(o, n), ((0, 0), (0, 2 * pairs - n))) & 0xFFFF
    packed = flat[:, 0::2] | flat[:, 1::2] << 16
    pixels = height * width
    step, back = (f"{m.stride[0]}u", f"{m.stride[1]}u"), (f"{m.pad[0]}u", f"{m.pad[1]}u")
    inside = [f"y < {h}u" if m.pad[0] else "", f"x < {w}u" if m.pad[1] else ""]  # what is negative is large
    test = " && ".join(filter(None, inside))
    pixel = f"frame[(c * {h}u + y) * {w}u + x]" + (f" - {zero}" if zero else "")
    value = f"(int16_t)({test} ? {pixel} : 0)" if test else f"(int16_t)({pixel})"
    y, x = (f"o{a} * {s} + k{a}" + (f" - {b}" if b != "0u" else "") for a, s, b in zip("yx", step, back, strict=True))
    body = f"""    for (uint32_t oy = 0; oy < {height}u; oy++)
        for (uint32_t ox = 0; ox < {width}u; ox++) {{
            uint32_t window[{pairs}], n = 0, pair = 0;
            for (uint32_t c = 0; c < {c}u; c++)
                for (uint32_t ky = 0; ky < {kh}u; ky++)
                    for (uint32_t kx = 0; kx < {kw}u; kx++) {{
                        const uint32_t y = {y}, x = {x};
                        const int16_t value = {value};
                        pair = pair >> 16 | (uint32_t)value << 16;
                        if ((n++ & 1u) != 0) window[(n >> 1) - 1u] = pair;
                    }}
"""
    body += f"            window[{pairs - 1}] = pair >> 16;\n" if n % 2 else ""
    body += f"""            const uint32_t *w = h{unit.index};
            for (uint32_t o = 0; o < {o}u; o++, w += {pairs}u) {{
                int32_t sum = 0;
{_products(pairs)}                out[o * {pixels}u + oy * {width}u + ox] = rounded_{unit.index}(sum);
            }}
        }}
"""
    return [array("uint32_t", f"h{unit.index}", packed)], body


def _products(pairs: int) -> str:
    """C that adds up the products of a window, written out where it is small: not every compiler does it."""
    turn = STRAIGHT if pairs > STRAIGHT else pairs
    each = [f"sum = SNNAS_DOT(w[k + {k}u], window[k + {k}u], sum);" for k in range(turn)]
    whole, left = divmod(pairs, turn)
    text = f"                for (uint32_t k = 0; k < {whole * turn}u; k += {turn}u) {{ {' '.join(each)} }}\n"
    rest = "".join(f" sum = SNNAS_DOT(w[{k}], window[{k}], sum);" for k in range(pairs - left, pairs))
    return text + (f"               {rest}\n" if rest else "")


def _matrix(unit: Unit, stage: IntegerStage, source: Shape, zero: int) -> tuple[list[str], str]:
    """Any maps, joined: the pixels that a neuron reads, and their weights."""
    rows, columns = unit.population.size, int(np.prod(source))
    if rows * columns > MATRIX:
        raise UnsupportedError(
            f"population {unit.population.id}: its host stage of {len(stage.maps)} maps is a matrix of {rows} x "
            f"{columns}; target c with --host int writes out {MATRIX}: export with --host float"
        )
    joined = sum(matrix_of(linear, source, unit.population.shape) for _, linear in stage.maps)
    matrix = np.rint(joined).astype(np.int64).reshape(rows, columns)
    row, column = np.nonzero(matrix)
    starts = np.searchsorted(row, np.arange(rows + 1))
    weights = matrix[row, column] if len(row) else np.zeros(1, np.int64)
    name = unit.index
    off = f" - {zero}" if zero else ""
    body = f"""    for (uint32_t k = 0; k < {rows}u; k++) {{
        int32_t sum = 0;
        for (uint32_t e = i_h{name}[k]; e < i_h{name}[k + 1u]; e++) sum += h{name}[e] * (frame[j_h{name}[e]]{off});
        out[k] = rounded_{name}(sum);
    }}
"""
    arrays = [array(smallest(weights)[1], f"h{name}", weights), array("uint32_t", f"i_h{name}", starts)]
    return [*arrays, array("uint32_t", f"j_h{name}", column)], body
