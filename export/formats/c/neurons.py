"""Neurons as C: leak, input, clip, threshold and reset, as ``hw_sim/kernels.py`` has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snnas.export.formats.c.member import Member
from snnas.export.formats.c.packing import Table, table
from snnas.export.formats.c.plan import Unit, up
from snnas.export.formats.c.runtime import element
from snnas.hw_sim import limits
from snnas.hw_sim.kernels import STATE_LIMIT, STATE_SHIFT

INT = 1 << 31
ONE = limits.DECAY_ONE
UNROLLED = 4  # leaks of a timestep; more are a loop


@dataclass(frozen=True, slots=True)
class Neurons:
    """The C of a population: its tables, and the function that takes it through a timestep."""

    tables: tuple[str, ...]
    function: str


def neurons(u: Unit, frame: int, current: str) -> Neurons:
    """frame: where the unit's currents begin among all of them; current: the C type of one."""
    p = u.population
    late = [table(f"c{u.index}_{k}", values) for k, (_, values) in enumerate(u.constants)]
    bias = table(f"b{u.index}", p.bias.astype(np.int64), 1 << p.bias_exponent)
    name = f"neurons_{u.index}"
    state = _state(u)
    takes = ["snnas_state *t"]
    takes += [f"{element(u.lanes)} *a"] if u.connections else []
    takes += [f"const {current} *frame"] if u.hosted else []
    takes += ["uint32_t *out"]
    text = f"/* {p.id}: {p.role}, {'x'.join(map(str, p.shape))}, dv {p.dv}, vth {p.vth} */\n"
    text += _fires(u)
    text += f"static void {name}({', '.join(takes)})\n{{\n"
    text += "".join(f"    {kind} *{n} = t->{n}_{u.index};\n" for n, kind in state)
    text += "    uint32_t k = 0, bits = 0;\n"
    unused = not state and all(d == 0 for d, _ in u.constants)
    text += "    (void)t;\n" if unused else ""
    text += _loop(u, bias, late, frame)
    left = p.size % 32
    text += f"    *out = bits >> {32 - left};\n}}\n" if left else "}\n"
    return Neurons((bias.declared, *(t.declared for t in late)), text)


def _state(u: Unit) -> list[tuple[str, str]]:
    """Registers that outlive a timestep, with their types."""
    wide = "int64_t" if u.lanes == 0 else "int32_t"
    current = [("u", wide)] if u.population.current_decays else []
    return current + ([] if u.forgets else [("v", "int32_t")])


def registers(u: Unit) -> list[Member]:
    """What the state holds of the population."""
    return [Member(kind, f"{name}_{u.index}", (u.population.size,)) for name, kind in _state(u)]


def _fires(u: Unit) -> str:
    """``fires_<n>``: one neuron's timestep; the highest bit where it fires."""
    p = u.population
    wide = "int64_t" if u.lanes == 0 else "int32_t"
    takes = [f"{wide} a", "int32_t bias", *(f"{kind} *{name}" for name, kind in _state(u))]
    lines: list[str] = []
    reach = INT << STATE_SHIFT if u.lanes == 0 else STATE_LIMIT
    if p.current_decays:
        lines += [f"{wide} current = *u;", *_leak("current", wide, ONE - p.du - 1, 1, reach), "current += a * 64;"]
    else:
        lines.append(f"{'' if u.turns else 'const '}{wide} current = a * 64;")
    if u.turns:
        lines.append(f"if (current > {STATE_LIMIT}) current -= {2 * STATE_LIMIT};")
        lines.append(f"else if (current <= -{STATE_LIMIT}) current += {2 * STATE_LIMIT};")
    if p.current_decays:
        lines.append("*u = current;")
    if u.forgets:
        lines.append(f"return (uint32_t)({p.vth << STATE_SHIFT} - (current + bias)) & 0x80000000u;")
    else:
        lines += ["int32_t x = *v;", *_leak("x", "int32_t", ONE - p.dv, u.leaks, u.reach)]
        if u.lanes == 0:
            lines.append("const int64_t sum = x + current + bias;")
            lines.append(f"x = (int32_t)(sum > {STATE_LIMIT - 1} ? {STATE_LIMIT - 1} : sum < -{STATE_LIMIT - 1} ? "
                         f"-{STATE_LIMIT - 1} : sum);")  # fmt: skip
        else:
            lines.append("x += current + bias;")
            if u.clips:
                lines.append(f"if (x > {STATE_LIMIT - 1}) x = {STATE_LIMIT - 1};")
                lines.append(f"else if (x < -{STATE_LIMIT - 1}) x = -{STATE_LIMIT - 1};")
        after = f"x - {p.taken}" if p.taken else "0"
        fired = f"const uint32_t fired = (uint32_t)({p.vth << STATE_SHIFT} - x) & 0x80000000u;"  # the sign
        lines += [fired, f"*v = fired ? {after} : x;"]
        lines.append("return fired;")
    body = "".join(f"    {line}\n" for line in lines)
    return f"static inline uint32_t fires_{u.index}({', '.join(takes)})\n{{\n{body}}}\n\n"


def one_division(u: Unit) -> bool:
    """Whether all leaks of a timestep are one division by a power of two, or nothing at all."""
    factor = ONE - u.population.dv
    return factor in (0, ONE) or factor & (factor - 1) == 0


def wide_leak(u: Unit) -> bool:
    """Whether a leak's product needs 64 bits."""
    factor = ONE - u.population.dv
    return u.reach * (factor // (factor & -factor)) >= INT


def _leak(name: str, kind: str, factor: int, leaks: int, reach: int) -> list[str]:
    """``leaks`` times ``name = trunc(name * factor / 4096)``; C rounds a quotient toward zero. reach: of |name|."""
    if factor == ONE:
        return []
    if factor == 0:
        return [f"{name} = 0;"]
    shift = limits.DECAY_BITS + 1 - (factor & -factor).bit_length()
    odd = factor >> limits.DECAY_BITS - shift
    if odd == 1:  # trunc(trunc(v / 2^a) / 2^b) = trunc(v / 2^(a + b))
        total = shift * leaks
        return [f"{name} /= {1 << total};" if 1 << total <= reach else f"{name} = 0;"]
    if reach * odd < INT:
        line = f"{name} = {name} * {odd} / {1 << shift};"
    else:
        cast = "" if kind == "int64_t" else "(int32_t)"
        line = f"{name} = {cast}((int64_t){name} * {factor} / {ONE});"
    if leaks <= UNROLLED:
        return [line] * leaks
    return [f"for (uint32_t leak = 0; leak < {leaks}u; leak++) {line}"]


def _loop(u: Unit, bias: Table, late: list[Table], frame: int) -> str:
    """Every neuron in (H, W, C) order; what its synapses gathered is read and cleared on the way."""
    channels, height, width = u.population.shape
    pixels = height * width
    plain = channels == 1 or pixels == 1  # one row of neurons, without gaps
    across, stride = (u.population.size, u.layout.places) if plain else (channels, u.layout.stride)

    times = f" * {1 << u.shift}" if u.shift else ""
    store = "if ((k & 31u) == 0) *out++ = bits;"

    def neuron(gathered: str, offset: int) -> str:
        c = f"(c + {offset}u)" if offset else "c"
        at = f"(k + {offset}u)" if offset and aligned else "k"
        channel = "0" if channels == 1 else c
        terms = [f"{gathered}{times}"] if gathered else []
        if u.hosted:
            place = f"{c} * {pixels}u + p" if not plain else c
            terms.append(f"frame[{frame}u + {place}]" if frame else f"frame[{place}]")
        for (since, _), values in zip(u.constants, late, strict=True):
            added = values.at(at, channel)
            terms.append(f"(t->step >= {since}u ? {added} : 0)" if since else f"({added})")
        given = " + ".join(terms) or "0"
        states = "".join(f", {name} + {offset}" if offset else f", {name}" for name, _ in _state(u))
        return f"bits = bits >> 1 | fires_{u.index}({given}, {bias.at(at, channel)}{states});"

    reads: tuple[str, ...]
    if u.lanes == 2:
        reads = "(int32_t)(int16_t)x", "(int32_t)(int16_t)((x + 0x8000u) >> 16)"
    else:
        reads = (f"({'int64_t' if u.lanes == 0 else 'int32_t'})x",)

    def some(n: int) -> str:
        """So many neurons, from place c on."""
        lines = [f"{element(u.lanes)} x;"] if u.connections else []
        for k in range(n):
            if u.connections and k % len(reads) == 0:
                lines.append(f"x = a[{k // len(reads)}]; a[{k // len(reads)}] = 0;")
            lines.append(neuron(reads[k % len(reads)] if u.connections else "", k))
            lines += [] if aligned else ["k++;", store]
        lines += [f"k += {n}u;", store] if aligned else []
        lines += [f"{name} += {n};" for name, _ in _state(u)]
        return "\n".join([*lines, *([f"a += {up(n, len(reads)) // len(reads)};"] if u.connections else [])])

    n, aligned = together(u)
    pad = "    " if plain else "        "
    whole = across // n * n
    text = _for("c", 0, whole, n, some(n), pad)
    text += _for("c", whole, across, across - whole, some(across - whole), pad)
    if not plain:
        gap = (stride - up(across, len(reads))) // len(reads)
        text += f"{pad}a += {gap};\n" if gap and u.connections else ""
        text = f"    for (uint32_t p = 0; p < {pixels}u; p++) {{\n{text}    }}\n"
    return text


def together(u: Unit) -> tuple[int, bool]:
    """How many neurons a turn of the loop updates, and whether a word of spikes can only end where a turn does."""
    channels, height, width = u.population.shape
    plain = channels == 1 or height * width == 1
    across = u.population.size if plain else channels
    for n in (8, 4, 2):
        if across % n == 0 or (plain and across > n):
            return n, True
    return 2, False


def _for(name: str, start: int, end: int, step: int, body: str, pad: str) -> str:
    if start == end:
        return ""
    head = f"for (uint32_t {name} = {start}; {name} < {end}u; {name} += {step}u)"
    return f"{pad}{head} {{\n{_lines(body, pad + '    ')}{pad}}}\n"


def _lines(text: str, pad: str) -> str:
    return "".join(f"{pad}{line}\n" for line in text.split("\n"))
