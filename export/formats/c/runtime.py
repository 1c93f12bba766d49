"""The few C functions that every model shares: adding up weights, and finding the spikes in words of bits."""

from __future__ import annotations

from snnas.export.formats.c.packing import ROW_STEP, ROW_TYPE
from snnas.export.formats.c.plan import ROWS as PLACES

STRAIGHT = 8  # fours of a row that are written out; a longer one is a loop

LOWEST = """/* The place of the lowest bit that is set; f is not 0. */
static inline uint32_t snnas_lowest(uint32_t f)
{
#if defined(__GNUC__) && (defined(__ARM_FEATURE_CLZ) || defined(__x86_64__) || defined(__riscv_zbb))
    return (uint32_t)__builtin_ctz(f);
#else
    static const uint8_t place[32] = { 0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
                                       31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9 };
    return place[((f & (0u - f)) * 0x077CB531u) >> 27];
#endif
}
"""

SOME = """/* Whether one of n words holds a spike. */
static inline uint32_t snnas_some(const uint32_t *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (s[i] != 0) return 1;
    return 0;
}
"""

SINGLES = {
    6: """static inline int32_t snnas_w6(const uint8_t *w, uint32_t k)
{
    const uint32_t bit = 6u * k, x = (uint32_t)w[bit >> 3] | (uint32_t)w[(bit >> 3) + 1u] << 8;
    return (int32_t)(x >> (bit & 7u) & 63u) - 32;
}
""",
    4: """static inline int32_t snnas_w4(const uint8_t *w, uint32_t k)
{
    return (int32_t)((uint32_t)w[k >> 1] >> (4u * (k & 1u)) & 15u) - 8;
}
""",
}

# Two neurons' inputs in a word are the whole number high * 65536 + low: sums of words are words of the sums, carries
# included, and both are read at the end.
PAIR = {
    8: ("x & 0x00ff00ffu", "x >> 8 & 0x00ff00ffu"),
    6: ("(x & 0x3fu) | (x << 10 & 0x3f0000u)", "(x >> 12 & 0x3fu) | (x >> 2 & 0x3f0000u)"),
    4: ("(x & 0xfu) | (x << 12 & 0xf0000u)", "(x >> 8 & 0xfu) | (x << 4 & 0xf0000u)"),
}
LOAD = {
    8: "const uint32_t x = w[0];",
    6: "const uint32_t x = (uint32_t)w[0] | (uint32_t)w[1] << 8 | (uint32_t)w[2] << 16;",
    4: "const uint32_t x = w[0];",
}


def element(lanes: int) -> str:
    """The type of a word of synaptic inputs."""
    return "uint64_t" if lanes == 0 else "uint32_t"


def four(bits: int, lanes: int) -> str:
    """``snnas_four<bits>_<lanes>``: adds ``scale`` times four weights."""
    even, odd = PAIR[bits]
    bias = 1 << bits - 1
    if lanes == 2:
        both = f"0x{bias << 16 | bias:x}u"
        body = f"    a[0] += (({even}) - {both}) * scale;\n    a[1] += (({odd}) - {both}) * scale;\n"
    else:
        cast = "(uint64_t)" if lanes == 0 else ""
        body = f"    const uint32_t e = {even}, o = {odd};\n"
        for k, part in enumerate(("e & 0xffffu", "e >> 16", "o & 0xffffu", "o >> 16")):
            body += f"    a[{k}] += ({cast}({part}) - {bias}u) * scale;\n"
    kind = element(lanes)
    takes = f"{kind} *a, const {ROW_TYPE[bits]} *w, {kind} scale"
    return f"static inline void snnas_four{bits}_{lanes}({takes})\n{{\n    {LOAD[bits]}\n{body}}}\n"


def turns(fours: int) -> int:
    """How often the loop of a row of so many fours turns; 0: it is written out."""
    return 0 if fours <= STRAIGHT else fours // next(n for n in (8, 4, 2, 1) if fours % n == 0)


def row(bits: int, lanes: int, a: str, w: str, fours: int, scale: str) -> list[str]:
    """Lines that add ``scale`` times a row of ``fours`` times four weights; a and w: pointers, named."""
    each = PLACES // max(lanes, 1)

    def one(to: str, of: str, k: int) -> str:
        return f"snnas_four{bits}_{lanes}({to} + {k * each}u, {of} + {k * ROW_STEP[bits]}u, {scale});"

    if not turns(fours):
        return [one(a, w, k) for k in range(fours)]
    step = fours // turns(fours)
    return [
        f"{element(lanes)} *b = {a};",
        f"const {ROW_TYPE[bits]} *v = {w};",
        f"for (uint32_t n = {turns(fours)}u; n != 0; n--, b += {step * each}u, v += {step * ROW_STEP[bits]}u) {{",
        *(f"    {one('b', 'v', k)}" for k in range(step)),
        "}",
    ]


def row_at(name: str, index: str, fours: int, bits: int) -> str:
    """Where row number ``index`` begins."""
    return f"{name} + ({index}) * {fours * ROW_STEP[bits]}u"


ONE = {
    2: """static inline void snnas_one_2(uint32_t *a, uint32_t k, uint32_t value)
{
    a[k >> 1] += value << (16u * (k & 1u));
}
""",
    1: """static inline void snnas_one_1(uint32_t *a, uint32_t k, uint32_t value)
{
    a[k] += value;
}
""",
    0: """static inline void snnas_one_0(uint64_t *a, uint32_t k, uint32_t value)
{
    a[k] += (uint64_t)(int64_t)(int32_t)value;
}
""",
}


def used(text: str) -> str:
    """The functions of this module that ``text`` calls."""
    parts = [LOWEST] if "snnas_lowest(" in text else []
    parts += [SOME] if "snnas_some(" in text else []
    parts += [SINGLES[b] for b in SINGLES if f"snnas_w{b}(" in text]
    parts += [four(b, n) for b in PAIR for n in ONE if f"snnas_four{b}_{n}(" in text]
    parts += [body for n, body in ONE.items() if f"snnas_one_{n}(" in text]
    return "\n".join(parts)
