"""Flash and memory of a model in C, read from its own text: constants and state exactly, code and stack as fitted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snnas.hw_sim.c.model import CModel

SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "int64_t": 8}
SIZES |= {"uint64_t": 8}
_ARRAY = re.compile(r"^static const (\w+) \w+\[(\d+)\] = ", re.MULTILINE)
_MEMBER = re.compile(r"^    (\w+) \w+((?:\[\d+\])*);$", re.MULTILINE)
_COUNT = re.compile(r"typedef (\w+) snnas_count;")
_WINDOW = re.compile(r"uint32_t window\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes. constants: weights and tables; code: estimated; state: one instance; stack: estimated."""

    constants: int
    code: int
    state: int
    stack: int

    @property
    def flash(self) -> int:
        return self.constants + self.code

    @property
    def ram(self) -> int:
        """Beside the caller's frame."""
        return self.state + self.stack


# Bytes of code for each character of functions, as zig's clang makes it with -O2: to within a fourth (fitted)
CODE = {"cortex-m4": 0.52, "rv32imc": 0.4}
STACK = {"cortex-m4": 256, "rv32imc": 256}


def footprint(model: CModel, core: str) -> Footprint:
    """Of a model on a core of ``hw_sim/c/compilers.py``."""
    constants = sum(SIZES[kind] * int(n) for kind, n in _ARRAY.findall(model.source))
    window = max((4 * int(n) for n in _WINDOW.findall(model.source)), default=0)
    answers = 8 * model.classes * len(re.findall(r"^    int64_t logits\[", model.source, flags=re.MULTILINE))
    return Footprint(
        constants=constants,
        code=int(CODE[core] * code_size(model)),
        state=_state(model.header),
        stack=STACK[core] + max(window, answers),
    )


def code_size(model: CModel) -> int:
    """Characters of functions: the source without its arrays."""
    return len(re.sub(r"^static const \w+ \w+\[\d+\] = \{.*?^\};$", "", model.source, flags=re.MULTILINE | re.DOTALL))


def _state(header: str) -> int:
    """``sizeof (snnas_state)``: members in order, each where its type may stand."""
    count = _COUNT.search(header)
    sizes = SIZES | ({"snnas_count": SIZES[count.group(1)]} if count else {})
    body = header[header.index("typedef struct {") : header.index("} snnas_state;")]
    at = widest = 0
    for kind, extents in _MEMBER.findall(body):
        size, n = sizes[kind], 1
        for extent in re.findall(r"\d+", extents):
            n *= int(extent)
        at = -(-at // size) * size + size * n
        widest = max(widest, size)
    return -(-at // widest) * widest
