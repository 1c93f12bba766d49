"""Synapses as C: what each spike of a source brings, scattered over the inputs of the neurons that it reaches.

A synapse is a chain of stages: pools before the weights count spikes, the weights multiply, pools behind them add up.
Unsigned sums wrap round, which C defines; a proved range says that what is read at the end fits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from snnas.export.formats.c import gather
from snnas.export.formats.c.packing import ROW_STEP, ROW_TYPE, array, rows, single, singles
from snnas.export.formats.c.plan import ROWS, Connection, Layout, Plan, Unit, layout, of_pixels, up, words
from snnas.export.formats.c.runtime import element, row, row_at
from snnas.export.formats.c.work import rate_of
from snnas.hw_sim.errors import UnsupportedError
from snnas.hw_sim.program import LinearMap, Pool, Shape

COUNT = 1 << 16  # spikes in a window
INT = 1 << 31


@dataclass(slots=True)
class Synapses:
    """The C of all synapses. counts, sums: elements of the scratch memory that pools need; wide: 16-bit counts."""

    arrays: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    counts: int = 0
    sums: int = 0
    wide: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """What a stage reads: ``bits`` of spikes, ``counts`` of pooled ones, or ``sums`` behind the weights."""

    kind: str
    pointer: str
    shape: Shape

    def loop(self, body: str) -> str:
        """``body`` for each source neuron k that gave something (value, where it is no spike)."""
        n = int(np.prod(self.shape))
        if self.kind == "bits":
            return f"""    for (uint32_t i = 0; i < {words(n)}u; i++) {{
        for (uint32_t f = {self.pointer}[i]; f != 0; f &= f - 1u) {{
            const uint32_t k = 32u * i + snnas_lowest(f);
{body}        }}
    }}
"""
        return f"""    for (uint32_t k = 0; k < {n}u; k++) {{
        const uint32_t value = {self.pointer}[k];
        if (value != 0) {{
{body}        }}
    }}
"""

    @property
    def split(self) -> str:
        """Channel c, row y and column x of neuron k."""
        c, _, w = self.shape
        channel, pixel = (f"k % {c}u", f"k / {c}u") if c > 1 else ("0", "k")
        across = f"p / {w}u, x = p % {w}u" if w > 1 else "p, x = 0"
        return f"            const uint32_t c = {channel}, p = {pixel}, y = {across};\n"

    def times(self, exponent: int) -> str:
        """What a weight is multiplied by."""
        if self.kind == "bits":
            return f"{1 << exponent}u"
        return f"value << {exponent}" if exponent else "value"


def synapses(plan: Plan) -> Synapses:
    """Of all populations."""
    made = Synapses()
    for unit in plan.units:
        for connection in unit.connections:
            _one(made, plan, unit, connection)
    return made


def _one(made: Synapses, plan: Plan, unit: Unit, c: Connection) -> None:
    source = _Source("bits", "s", plan.source(c.src))
    body, m = "", c.map
    offset = 0
    for pool in m.pre:
        shape = pool.out_shape(source.shape)
        n = int(np.prod(shape))
        body += f"    snnas_count *n{offset} = t->counts + {offset}u;\n"
        body += f"    for (uint32_t k = 0; k < {n}u; k++) n{offset}[k] = 0;\n"
        body += source.loop(source.split + _windows(pool, shape, _counting(offset, shape, source.kind)))
        source = _Source("counts", f"n{offset}", shape)
        offset += n
    made.counts = max(made.counts, offset)
    most = int(np.prod([k for p in m.pre for k in p.kernel]))
    if most >= COUNT:
        raise UnsupportedError(f"synapse {c.id}: pools of {most} spikes; target c counts fewer than {COUNT}")
    made.wide |= most > 255
    if m.kind == "dense":
        body += _dense(made, unit, c, source)
    elif m.kind == "sparse":
        body += _sparse(made, unit, c, source)
    elif gather.gathers(unit, c, source.shape, rate_of(plan, c.src)):
        packed, body = gather.convolution(f"w{c.index}", m, source.shape, unit.layout, c.bits, 1 << c.exponent)
        made.arrays.append(array(ROW_TYPE[c.bits], f"w{c.index}", packed))
    elif not m.post:
        body += _conv(made, c, source, unit.layout, unit.lanes, "a", source.times(c.exponent))
    else:
        body += _summed(made, unit, c, source)
    shown = f"{m.kind} {'x'.join(map(str, m.weight.shape))}, from {_name(plan, c.src)}"
    late = f", {c.distance} timesteps late" if c.distance else ""
    state = "snnas_state *t" if "t->" in body else ""
    made.functions.append(
        f"/* {c.id}: {shown}{late} */\n"
        f"static void synapse_{c.index}({state + ', ' if state else ''}const uint32_t *s, {element(unit.lanes)} *a)\n"
        f"{{\n{body}}}\n"
    )


def _name(plan: Plan, src: int) -> str:
    return "the input" if src < 0 else plan.units[src].population.id


def _span(axis: str, size: int, kernel: int, stride: int, pad: int) -> str:
    """Bounds of the windows that hold position ``axis``: from <axis>0 to <axis>1, exclusive."""
    at = f"{axis} + {pad}u" if pad else axis
    over = f"({at}) / {stride}u" if stride > 1 else f"({at})"
    first = f"({at} - {kernel}u) / {stride}u + 1u" if stride > 1 else f"{at} - {kernel - 1}u"
    last = f"{over} < {size - 1}u ? {over} + 1u : {size}u" if size > 1 else "1u"
    return f"const uint32_t {axis}0 = {at} >= {kernel}u ? {first} : 0, {axis}1 = {last};"


def _over(kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], out: Shape, inner: str) -> str:
    """``inner`` for each window (oy, ox) that holds (y, x)."""
    return f"""            {_span("y", out[1], kernel[0], stride[0], pad[0])}
            {_span("x", out[2], kernel[1], stride[1], pad[1])}
            for (uint32_t oy = y0; oy < y1; oy++) {{
                for (uint32_t ox = x0; ox < x1; ox++) {{
{inner}                }}
            }}
"""


def _windows(pool: Pool, out: Shape, inner: str) -> str:
    return _over(pool.kernel, pool.stride, pool.pad, out, inner)


def _counting(offset: int, shape: Shape, kind: str) -> str:
    value = "1u" if kind == "bits" else "value"
    cell = f"n{offset}[(oy * {shape[2]}u + ox) * {shape[0]}u + c]"
    return f"                    {cell} = (snnas_count)({cell} + {value});\n"


def _conv(made: Synapses, c: Connection, source: _Source, to: Layout, lanes: int, a: str, scale: str) -> str:
    """The weights of a convolution, row by row where a pixel's channels are whole rows, else one by one."""
    m = c.map
    o, _, kh, kw = m.weight.shape
    n, each = o // m.groups, source.shape[0] // m.groups
    # (source channel, kH, kW, the target channels that it reaches)
    weight = m.weight.reshape(m.groups, n, each, kh, kw).transpose(0, 2, 3, 4, 1).reshape(-1, kh, kw, n)
    first = f" + c / {each}u * {n}u" if m.groups > 1 else ""
    if to.aligned and (m.groups == 1 or n % ROWS == 0):
        return source.loop(source.split + _in_rows(made, c, weight, to, lanes, a, scale, first))
    kind, packed = singles(weight, c.bits)
    made.arrays.append(array(kind, f"w{c.index}", packed))
    tap = f"(c * {kh}u + y + {m.pad[0]}u - oy * {m.stride[0]}u) * {kw}u + x + {m.pad[1]}u - ox * {m.stride[1]}u"
    if n == 1:
        value = f"(uint32_t)({single(f'w{c.index}', tap, c.bits)}) * ({scale})"
        before, inner = _one_added(to, lanes, a, f"c / {each}u" if each > 1 else "c", to.shape[2], value)
        return source.loop(source.split + before + _over((kh, kw), m.stride, m.pad, to.shape, inner))
    value = f"(uint32_t)({single(f'w{c.index}', f'j * {n}u + e', c.bits)}) * ({scale})"
    inner = f"                    const uint32_t j = {tap};\n"
    inner += f"                    for (uint32_t e = 0; e < {n}u; e++)\n"
    place = f"(oy * {to.shape[2]}u + ox) * {to.stride}u{first} + e"
    inner += f"                        snnas_one_{lanes}({a}, {place}, {value});\n"
    return source.loop(source.split + _over((kh, kw), m.stride, m.pad, to.shape, inner))


def _in_rows(
    made: Synapses, c: Connection, weight: np.ndarray, to: Layout, lanes: int, a: str, scale: str, first: str
) -> str:
    """A row of windows in one go: weights lie in the order in which its columns come, every stride-th from the last.

    weight: (source channel, kH, kW, target channels).
    """
    m, (_, kh, kw, n) = c.map, weight.shape
    stride = m.stride[1]
    order = sorted(range(kw), key=lambda q: (q % stride, -q))
    kind, packed = rows(weight[:, :, order], c.bits)
    made.arrays.append(array(kind, f"w{c.index}", packed))
    column = f"{kw - 1}u - q"
    if stride > 1:
        made.arrays.append(array("uint8_t" if kw <= 256 else "uint16_t", f"q{c.index}", np.argsort(order)))
        column = f"q{c.index}[q]"
    fours = up(n, ROWS) // ROWS
    step, across = fours * ROW_STEP[c.bits], to.stride // max(lanes, 1)
    pixel = f"(oy * {to.shape[2]}u + x0) * {to.stride}u{first}"
    tap = f"(c * {kh}u + y + {m.pad[0]}u - oy * {m.stride[0]}u) * {kw}u + {column}"
    body = "".join(f"                    {line}\n" for line in row(c.bits, lanes, "to", "w", fours, scale))
    return f"""            {_span("y", to.shape[1], kh, m.stride[0], m.pad[0])}
            {_span("x", to.shape[2], kw, stride, m.pad[1])}
            const uint32_t q = x + {m.pad[1]}u - x0 * {stride}u;
            for (uint32_t oy = y0; oy < y1; oy++) {{
                const {kind} *w = {row_at(f"w{c.index}", tap, fours, c.bits)};
                {element(lanes)} *to = {a} + ({pixel}) / {max(lanes, 1)}u;
                for (uint32_t ox = x0; ox < x1; ox++, w += {step}u, to += {across}u) {{
{body}                }}
            }}
"""


def _summed(made: Synapses, unit: Unit, c: Connection, source: _Source) -> str:
    """A convolution whose sums are pooled: whole numbers of 32 bits in scratch memory, then added to the inputs."""
    m = c.map
    shape = LinearMap(kind="conv", weight=m.weight, stride=m.stride, pad=m.pad, groups=m.groups).out_shape(source.shape)
    _check_sums(c, unit)
    place = layout(shape)
    offset = place.places
    made.sums = max(made.sums, offset)
    body = "    uint32_t *m0 = t->sums;\n" + _cleared("m0", offset)
    body += _conv(made, c, source, place, 1, "m0", source.times(0))
    at, held = "m0", place
    for number, pool in enumerate(m.post):
        source_shape, shape = shape, pool.out_shape(shape)
        if number == len(m.post) - 1:
            return body + _pooled(pool, source_shape, shape, at, held, _to_inputs(unit, shape, c.exponent))
        to, stands = f"m{number + 1}", layout(shape)
        offset += stands.places
        made.sums = max(made.sums, offset)
        body += f"    uint32_t *{to} = t->sums + {offset - stands.places}u;\n"
        if any(p >= k for p, k in zip(pool.pad, pool.kernel, strict=True)):  # windows of nothing are left out
            body += _cleared(to, stands.places)
        pixel = f"(oy * {shape[2]}u + ox) * {stands.stride}u"
        body += _pooled(pool, source_shape, shape, at, held, f"{to}[{pixel} + c] = sum;\n")
        at, held = to, stands
    return body


def _pooled(pool: Pool, source: Shape, out: Shape, at: str, held: Layout, then: str) -> str:
    """Each window's sum, channel by channel: most of them are filled, so that none is looked for."""
    c, h, w = source
    rows = gather.bounds("r", "oy", pool.stride[0], pool.pad[0], pool.kernel[0], h)
    columns = gather.bounds("q", "ox", pool.stride[1], pool.pad[1], pool.kernel[1], w)
    y, x = (f"o{a} * {s}u + {r}0" + (f" - {pad}u" if pad else "") for a, s, r, pad in
            zip("yx", pool.stride, "rq", pool.pad, strict=True))  # fmt: skip
    return f"""    for (uint32_t oy = 0; oy < {out[1]}u; oy++) {{
        {rows}
        for (uint32_t ox = 0; ox < {out[2]}u; ox++) {{
            {columns}
            if (r0 >= r1 || q0 >= q1) continue;
            const uint32_t *from = {at} + (({y}) * {w}u + {x}) * {held.stride}u;
            for (uint32_t c = 0; c < {c}u; c++, from++) {{
                uint32_t sum = 0;
                const uint32_t *m = from;
                for (uint32_t r = r0; r < r1; r++, m += {w * held.stride}u)
                    for (uint32_t q = 0; q < q1 - q0; q++) sum += m[q * {held.stride}u];
                {then}            }}
        }}
    }}
"""


def _to_inputs(unit: Unit, shape: Shape, exponent: int) -> str:
    place = f"(oy * {shape[2]}u + ox) * {unit.layout.stride}u + c"
    return f"snnas_one_{unit.lanes}(a, {place}, sum << {exponent});\n"


def _one_added(to: Layout, lanes: int, a: str, channel: str, width: int, value: str) -> tuple[str, str]:
    """C that adds a value to one channel of pixel (oy, ox): once before the windows, and in each of them.

    Where a pixel begins a word, which half of it the channel takes is known before.
    """
    pixel = f"(oy * {width}u + ox) * "
    if lanes == 2 and to.stride % 2 == 0 and to.pixels > 1:
        before = f"            const uint32_t half = 16u * ({channel} & 1u), word = {channel} / 2u;\n"
        return before, f"                    {a}[{pixel}{to.stride // 2}u + word] += ({value}) << half;\n"
    return "", f"                    snnas_one_{lanes}({a}, {pixel}{to.stride}u + {channel}, {value});\n"


def _cleared(name: str, n: int) -> str:
    return f"    for (uint32_t k = 0; k < {n}u; k++) {name}[k] = 0;\n"


def _check_sums(c: Connection, unit: Unit) -> None:
    """Where 64 bits gather, each sum of 32 must hold; elsewhere what wraps round comes back."""
    windows = int(np.prod([k for p in (*c.map.pre, *c.map.post) for k in p.kernel]))
    most = int(np.abs(c.map.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()) * windows << c.exponent
    if unit.lanes == 0 and most >= INT:
        raise UnsupportedError(f"synapse {c.id}: its pooled sums may reach {most}; target c holds {INT - 1}")


def _dense(made: Synapses, unit: Unit, c: Connection, source: _Source) -> str:
    weight = c.map.weight.reshape(*unit.population.shape, -1)
    each = unit.layout.placed(np.moveaxis(weight, -1, 0)[of_pixels(source.shape)])
    if unit.lanes == 2 and source.kind == "bits":
        packed, text = gather.dense(f"w{c.index}", each, c.bits, 1 << c.exponent)
        made.arrays.append(array(ROW_TYPE[c.bits], f"w{c.index}", packed))
        return text
    kind, packed = rows(each, c.bits)
    made.arrays.append(array(kind, f"w{c.index}", packed))
    fours = each.shape[1] // ROWS
    body = f"            const {kind} *w = {row_at(f'w{c.index}', 'k', fours, c.bits)};\n"
    lines = row(c.bits, unit.lanes, "a", "w", fours, source.times(c.exponent))
    return source.loop(body + "".join(f"            {line}\n" for line in lines))


def _sparse(made: Synapses, unit: Unit, c: Connection, source: _Source) -> str:
    """By source neuron: the places that it reaches, and the weights."""
    m = c.map
    assert m.indices is not None
    assert m.indptr is not None
    n = int(np.prod(source.shape))
    rank = np.empty(n, np.int64)
    rank[of_pixels(source.shape)] = np.arange(n)
    target = np.repeat(np.arange(m.indptr.size - 1), np.diff(m.indptr))
    src = rank[m.indices]
    order = np.lexsort((target, src))
    starts = np.searchsorted(src[order], np.arange(n + 1))
    places = unit.layout.place(target[order])
    kind, packed = singles(m.weight[order], c.bits)
    made.arrays.append(array(kind, f"w{c.index}", packed))
    made.arrays.append(array("uint16_t" if len(src) < COUNT else "uint32_t", f"i{c.index}", starts))
    made.arrays.append(array("uint16_t" if unit.layout.places <= COUNT else "uint32_t", f"j{c.index}", places))
    value = f"(uint32_t)({single(f'w{c.index}', 'e', c.bits)}) * ({source.times(c.exponent)})"
    return source.loop(
        f"            for (uint32_t e = i{c.index}[k]; e < i{c.index}[k + 1u]; e++)\n"
        f"                snnas_one_{unit.lanes}(a, j{c.index}[e], {value});\n"
    )
