"""Synapses gathered: an output pixel's inputs stay in registers while the spikes in its window are looked up.

Scattering loads and stores each sum for every spike; gathering does so once, and pays for looking at windows in which
nothing fires. Weights lie as the window's bits do, (kH, kW, C), so that a bit's place is its row of weights. They are
biased to be unsigned; what they have too much is as many times the bias as there were spikes, and is taken off at the
end.
"""

from __future__ import annotations

import numpy as np

from snnas.export.formats.c import loops
from snnas.export.formats.c.instructions import instructions
from snnas.export.formats.c.loops import chunks
from snnas.export.formats.c.packing import ROW_STEP, ROW_TYPE, rows
from snnas.export.formats.c.plan import ROWS, Connection, Layout, Unit, up, words
from snnas.export.formats.c.runtime import LOAD, PAIR
from snnas.hw_sim.program import LinearMap, Shape

RATE = 0.1  # spikes per neuron and timestep of a source that nobody has measured


def gathers(u: Unit, c: Connection, source: Shape, rate: float) -> bool:
    """Whether a convolution is better gathered than scattered, at ``rate``."""
    m = c.map
    if m.kind != "conv" or m.groups != 1 or m.pre or m.post or u.lanes != 2 or not u.layout.aligned:
        return False
    return pays(m, source, u, rate, c.bits)


def pays(m: LinearMap, source: Shape, u: Unit, rate: float, bits: int) -> bool:
    """By the Cortex-M4's instructions, as they were fitted."""
    fired = rate * float(np.prod(source))
    spread = loops.found(source, rate) + loops.scattered(m, source, u.layout, u.lanes, fired, bits)
    return instructions(loops.gathered(m, source, u.layout, rate, bits)) < instructions(spread)


def convolution(name: str, m: LinearMap, source: Shape, to: Layout, bits: int, scale: int) -> tuple[np.ndarray, str]:
    """The packed weights, and C that adds the convolution of the bits ``s`` to the inputs ``a``."""
    c, h, w = source
    _, _, kh, kw = m.weight.shape
    window = _short if kw * c <= 32 else _long
    parts, body = [], ""
    begin = 0
    for first, count, size in chunks(m.weight.shape[0]):
        weight = m.weight[first : first + count * size]
        weight = weight.reshape(count, -1, *m.weight.shape[1:]).transpose(0, 3, 4, 2, 1)  # (chunk, kH, kW, C, size)
        packed = rows(weight, bits)[1]
        each = up(size, ROWS) // ROWS * ROW_STEP[bits]
        parts.append(packed)
        lines = window(name, m, source, begin, each, size, bits)
        place = f"((oy * {to.shape[2]}u + ox) * {to.stride}u + {first}u + g * {size}u) / 2u"
        body += _indent(_chunk(count, size, lines, place, bits, scale), 12)
        begin += packed.size
    text = f"""    for (uint32_t oy = 0; oy < {to.shape[1]}u; oy++) {{
        {bounds("r", "oy", m.stride[0], m.pad[0], kh, h)}
        for (uint32_t ox = 0; ox < {to.shape[2]}u; ox++) {{
            {bounds("q", "ox", m.stride[1], m.pad[1], kw, w)}
            if (r0 >= r1 || q0 >= q1) continue;
{body}        }}
    }}
"""
    return np.concatenate(parts), text


def _short(name: str, m: LinearMap, source: Shape, begin: int, each: int, size: int, bits: int) -> str:
    """A window's rows of at most 32 bits: two words hold one."""
    (c, _, w), (_, _, kh, kw) = source, m.weight.shape
    pixel = f"(oy * {m.stride[0]}u + r0 - {m.pad[0]}u) * {w}u + ox * {m.stride[1]}u + q0 - {m.pad[1]}u"
    return f"""uint32_t at = ({pixel}) * {c}u;
const uint32_t mask = 0xffffffffu >> (32u - (q1 - q0) * {c}u);
const {ROW_TYPE[bits]} *v = {name} + {begin}u + (g * {kh}u + r0) * {kw * c * each}u + q0 * {c * each}u;
for (uint32_t r = r0; r < r1; r++, at += {w * c}u, v += {kw * c * each}u) {{
    uint32_t f = (s[at >> 5] >> (at & 31u) | (s[(at >> 5) + 1u] << (31u - (at & 31u))) << 1) & mask;
{_indent(_sums("f", "v", size, bits), 4)}}}
"""


def _long(name: str, m: LinearMap, source: Shape, begin: int, each: int, size: int, bits: int) -> str:
    """Longer rows, word by word."""
    (c, _, w), (_, _, kh, kw) = source, m.weight.shape
    offset = f"{begin}u + (g * {kh}u + r) * {kw * c * each}u + q0 * {c * each}u"
    return f"""for (uint32_t r = r0; r < r1; r++) {{
    uint32_t at = ((oy * {m.stride[0]}u + r - {m.pad[0]}u) * {w}u + ox * {m.stride[1]}u + q0 - {m.pad[1]}u) * {c}u;
    uint32_t left = (q1 - q0) * {c}u;
    const {ROW_TYPE[bits]} *v = {name} + {offset};
    while (left != 0) {{
        const uint32_t n = left < 32u - (at & 31u) ? left : 32u - (at & 31u);
        uint32_t f = s[at >> 5] >> (at & 31u);
        if (n < 32u) f &= (1u << n) - 1u;
{_indent(_sums("f", "v", size, bits), 8)}        at += n; v += n * {each}u; left -= n;
    }}
}}
"""


def dense(name: str, each: np.ndarray, bits: int, scale: int) -> tuple[np.ndarray, str]:
    """Likewise of a matrix: each (source neurons, places), one window of all of them."""
    parts, body, begin = [], "", 0
    for first, count, size in chunks(each.shape[1]):
        weight = each[:, first : first + count * size].reshape(len(each), count, size).transpose(1, 0, 2)
        packed = rows(weight, bits)[1]
        step = size // ROWS * ROW_STEP[bits]
        parts.append(packed)
        lines = f"""const {ROW_TYPE[bits]} *v = {name} + {begin}u + g * {len(each) * step}u;
for (uint32_t i = 0; i < {words(len(each))}u; i++, v += {32 * step}u) {{
    uint32_t f = s[i];
{_indent(_sums("f", "v", size, bits), 4)}}}
"""
        body += _indent(_chunk(count, size, lines, f"({first}u + g * {size}u) / 2u", bits, scale), 4)
        begin += packed.size
    return np.concatenate(parts), body


def _chunk(count: int, size: int, lines: str, place: str, bits: int, scale: int) -> str:
    """Sums in registers, ``lines``, and what they bring to the inputs from ``place`` on."""
    pairs = up(size, ROWS) // 2
    names = [f"a{k}" for k in range(pairs)]
    bias = 1 << bits - 1
    text = f"for (uint32_t g = 0; g < {count}u; g++) {{\n"
    text += f"    uint32_t {' = 0, '.join(names)} = 0, fired = 0;\n{_indent(lines, 4)}"
    text += "    if (fired != 0) {\n"
    text += f"        uint32_t *to = a + {place};\n        fired *= 0x{bias << 16 | bias:x}u;\n"
    times = f" * {scale}u" if scale != 1 else ""
    text += "".join(f"        to[{k}] += ({name} - fired){times};\n" for k, name in enumerate(names))
    return text + "    }\n}\n"


def _sums(f: str, v: str, size: int, bits: int) -> str:
    """Adds the weights of each bit of ``f``; row 0 stands at ``v``."""
    fours = up(size, ROWS) // ROWS
    even, odd = PAIR[bits]
    text = f"for (; {f} != 0; {f} &= {f} - 1u) {{\n"
    text += f"    const {ROW_TYPE[bits]} *w = {v} + snnas_lowest({f}) * {fours * ROW_STEP[bits]}u;\n    fired++;\n"
    for k in range(fours):
        load = LOAD[bits].replace("[", f"[{k * ROW_STEP[bits]}u + ")
        text += f"    {{ {load} a{2 * k} += {even}; a{2 * k + 1} += {odd}; }}\n"
    return text + "}\n"


def bounds(r: str, oy: str, stride: int, pad: int, kernel: int, size: int) -> str:
    """Which of the kernel's rows, from <r>0 to <r>1, exclusive, lie on the source."""
    at = f"{oy} * {stride}u"
    first = f"{at} < {pad}u ? {pad}u - {at} : 0" if pad else "0"
    last = f"{size + pad}u - {at} < {kernel}u ? {size + pad}u - {at} : {kernel}u"
    if pad > kernel:  # whole windows may lie behind the source
        last = f"{at} > {size + pad}u ? 0 : {last}"
    return f"const uint32_t {r}0 = {first}, {r}1 = {last};"


def _indent(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())
